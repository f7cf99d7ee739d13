// SPDX-License-Identifier: Apache-2.0
#include "septet/core/nn/conv_layer.h"

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/nn/initializer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/validate.h"
#include "septet/core/ops/conv.h"
#include "septet/core/tensor/shape.h"

namespace septet {

absl::Status Conv2dLayerOptions::Validate() const {
  constexpr const char* kName = "convolution";
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "in", in, 1));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "out", out, 1));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "kernel_h", kernel_h, 1));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "kernel_w", kernel_w, 1));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "groups", conv.groups, 1));
  if (in % conv.groups == 0 && out % conv.groups == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(kName, ": groups is ", conv.groups,
                   ", expected a divisor of in, ", in, ", and out, ", out));
}

absl::StatusOr<Conv2dLayer> Conv2dLayer::Create(
    const Conv2dLayerOptions& options, const ParameterScope& scope) {
  SEPTET_RETURN_IF_ERROR(options.Validate()) << scope.FullName("");
  Conv2dLayer layer;
  layer.options_ = options;
  // The last axis is what a kernel's sums are over in the transpose.
  const int64_t last = options.transposed ? options.in : options.out;
  const int64_t other =
      (options.transposed ? options.out : options.in) / options.conv.groups;
  // First, because fans are products of these extents.
  SEPTET_ASSIGN_OR_RETURN(
      const Shape shape,
      Shape::Create({options.kernel_h, options.kernel_w, other, last}),
      _ << "parameter '" << scope.FullName("weight") << "'");
  const Fans fans = ConvFans(options.kernel_h, options.kernel_w, other, last);
  SEPTET_ASSIGN_OR_RETURN(
      layer.weight_,
      scope.Parameter("weight", shape, options.weight_init, fans));
  if (options.bias) {
    SEPTET_ASSIGN_OR_RETURN(
        layer.bias_, scope.Parameter("bias", {options.out}, options.bias_init,
                                     fans, /*decay=*/false));
  }
  return layer;
}

Var Conv2dLayer::Forward(const BoundParameters& p, const Var& x) const {
  if (options_.transposed) {
    return ConvTranspose2d(x, p[weight_], p[bias_], options_.conv,
                           options_.output_padding_h,
                           options_.output_padding_w);
  }
  return Conv2d(x, p[weight_], p[bias_], options_.conv);
}

}  // namespace septet
