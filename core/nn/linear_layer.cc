// SPDX-License-Identifier: Apache-2.0
#include "septet/core/nn/linear_layer.h"

#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/nn/initializer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/validate.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

absl::Status LinearLayerOptions::Validate() const {
  SEPTET_RETURN_IF_ERROR(RequireAtLeast("linear layer", "in", in, 1));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast("linear layer", "out", out, 1));
  int64_t sum = 0;
  for (const LinearPart& part : weight_parts) {
    SEPTET_RETURN_IF_ERROR(
        RequireAtLeast("linear layer", "a part's out", part.out, 1));
    if (__builtin_add_overflow(sum, part.out, &sum)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "linear layer: the parts have more outputs than fit into 63 bits, "
          "expected ",
          out));
    }
  }
  if (weight_parts.empty() || sum == out) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "linear layer: the parts have ", sum, " outputs, expected ", out));
}

namespace {

absl::StatusOr<Tensor> DrawParts(const LinearLayerOptions& options,
                                 const ParameterScope& scope) {
  SEPTET_ASSIGN_OR_RETURN(
      const Shape shape, Shape::Create({options.in, options.out}),
      _ << "parameter '" << scope.FullName("weight") << "'");
  Tensor weight;
  int64_t begin = 0;
  for (const LinearPart& part : options.weight_parts) {
    // Drawn whole, so that an element's numbers are those of its place.
    SEPTET_ASSIGN_OR_RETURN(
        const Tensor drawn,
        scope.Draw("weight", shape, part.init, Fans{options.in, part.out}));
    if (begin == 0) {
      weight = drawn;
    } else {
      SEPTET_ASSIGN_OR_RETURN(const Tensor from,
                              drawn.Slice(1, begin, begin + part.out));
      SEPTET_ASSIGN_OR_RETURN(const Tensor to,
                              weight.Slice(1, begin, begin + part.out));
      SEPTET_RETURN_IF_ERROR(to.CopyFrom(from));
    }
    begin += part.out;
  }
  return weight;
}

}  // namespace

absl::StatusOr<LinearLayer> LinearLayer::Create(
    const LinearLayerOptions& options, const ParameterScope& scope) {
  SEPTET_RETURN_IF_ERROR(options.Validate()) << scope.FullName("");
  const Fans fans{options.in, options.out};
  LinearLayer layer;
  if (options.weight_parts.empty()) {
    SEPTET_ASSIGN_OR_RETURN(layer.weight_,
                            scope.Parameter("weight", {options.in, options.out},
                                            options.weight_init, fans));
  } else {
    SEPTET_ASSIGN_OR_RETURN(Tensor weight, DrawParts(options, scope));
    SEPTET_ASSIGN_OR_RETURN(layer.weight_,
                            scope.Add("weight", std::move(weight)));
  }
  if (options.bias) {
    SEPTET_ASSIGN_OR_RETURN(
        layer.bias_, scope.Parameter("bias", {options.out}, options.bias_init,
                                     fans, /*decay=*/false));
  }
  return layer;
}

}  // namespace septet
