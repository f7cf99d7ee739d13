// SPDX-License-Identifier: Apache-2.0
#include "septet/core/train/non_finite.h"

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

struct Content {
  int64_t nans = 0;
  int64_t infinities = 0;
  int64_t first = -1;  // in row-major order
  double value = 0;    // of the first

  bool finite() const { return nans + infinities == 0; }
};

Content Look(const Tensor& tensor) {
  Content content;
  if (!tensor.defined() || !tensor.has_storage() ||
      !IsFloating(tensor.dtype())) {
    return content;
  }
  const std::vector<double> values = tensor.ToVector<double>();
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i])) continue;
    ++(std::isnan(values[i]) ? content.nans : content.infinities);
    if (content.first < 0) {
      content.first = static_cast<int64_t>(i);
      content.value = values[i];
    }
  }
  return content;
}

std::string Describe(const Tensor& tensor, const Content& content) {
  std::vector<int64_t> index(tensor.rank());
  int64_t rest = content.first;
  for (int axis = tensor.rank() - 1; axis >= 0; --axis) {
    index[axis] = rest % tensor.dim(axis);
    rest /= tensor.dim(axis);
  }
  const int64_t count = content.nans + content.infinities;
  return absl::StrCat(tensor.DebugString(), ", ", count, " of ",
                      tensor.num_elements(),
                      count == 1 ? " elements is" : " elements are",
                      " not finite, [", absl::StrJoin(index, ", "), "] is ",
                      std::isnan(content.value) ? "nan"
                      : content.value > 0       ? "inf"
                                                : "-inf");
}

std::string OpText(const Op& op, int64_t node) {
  return node < 0 ? absl::StrCat("op ", op.name())
                  : absl::StrCat("op ", node, " (", op.name(), ")");
}

}  // namespace

std::string NonFiniteText(const Tensor& tensor) {
  const Content content = Look(tensor);
  return content.finite() ? "" : Describe(tensor, content);
}

void NonFiniteFinder::OnOp(const Op& op, int64_t node,
                           absl::Span<const Tensor* const> inputs,
                           absl::Span<const Var> outputs) {
  // Everything after the first NaN follows from it.
  if (!first_nan_.empty()) return;
  bool infinite_input = false;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Content content = Look(*inputs[i]);
    infinite_input |= content.infinities > 0;
    if (content.nans == 0) continue;
    // The result of an op would have been seen before.
    first_nan_ = absl::StrCat("input ", i, " of ", OpText(op, node),
                              ", which no op has computed (a batch or a "
                              "constant): ",
                              Describe(*inputs[i], content));
    return;
  }
  for (const Var& output : outputs) {
    if (!output.ok() || !output.defined()) continue;
    const Content content = Look(output.tensor());
    if (content.nans > 0) {
      first_nan_ = absl::StrCat(
          "the result of ", OpText(op, node), ": ",
          Describe(output.tensor(), content), "; its inputs are ",
          infinite_input ? "no NaN, but have infinities" : "finite");
      nan_of_infinities_ = infinite_input;
      return;
    }
    if (content.infinities > 0 && !infinite_input && first_infinity_.empty()) {
      first_infinity_ = absl::StrCat("the result of ", OpText(op, node), ": ",
                                     Describe(output.tensor(), content),
                                     "; its inputs are finite");
    }
  }
}

void NonFiniteFinder::OnGradient(const Op& op, int64_t node, int input,
                                 const Tensor& gradient) {
  if (!first_gradient_.empty()) return;
  const Content content = Look(gradient);
  if (content.finite()) return;
  first_gradient_ =
      absl::StrCat("on the way back, the gradient of input ", input, " of ",
                   OpText(op, node), ": ", Describe(gradient, content));
}

std::string NonFiniteFinder::Report(bool infinity_counts) const {
  std::string text = first_nan_;
  if (!first_infinity_.empty() &&
      (nan_of_infinities_ || (infinity_counts && first_nan_.empty()))) {
    text = text.empty() ? first_infinity_
                        : absl::StrCat(first_infinity_, "; then ", text);
  }
  return text.empty() ? first_gradient_ : text;
}

}  // namespace septet
