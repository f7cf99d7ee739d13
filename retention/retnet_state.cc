// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/retnet_state.h"

#include <cmath>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/retention/decay.h"

namespace septet {
namespace {

absl::Status Check(const char* name, const Tensor& x, size_t heads,
                   int64_t position) {
  if (!x.defined() || x.rank() != 4 ||
      x.dim(1) != static_cast<int64_t>(heads) ||
      (x.dtype() != DType::kF32 && x.dtype() != DType::kF64)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "torchscale state: ", name, " is ",
        x.defined() ? x.DebugString() : "not given",
        ", expected f32 or f64 with ", heads, " heads as axis 1 of 4"));
  }
  if (position >= 1) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "torchscale state: position is ", position, ", expected at least 1"));
}

// c or its root, [H] or [H, 1, 1].
absl::StatusOr<Tensor> Sums(absl::Span<const double> log_gamma,
                            int64_t position, bool root, DType dtype) {
  std::vector<double> values;
  for (const double lg : log_gamma) {
    const double c = DecayRowSum(lg, position - 1);
    values.push_back(root ? std::sqrt(c) : c);
  }
  const int64_t heads = static_cast<int64_t>(values.size());
  SEPTET_ASSIGN_OR_RETURN(
      const Tensor sums,
      Tensor::FromValues<double>(root ? Shape({heads, 1, 1}) : Shape({heads}),
                                 values));
  return sums.To(dtype);
}

absl::StatusOr<Tensor> Result(const Var& x) {
  SEPTET_RETURN_IF_ERROR(x.status());
  return x.tensor().Contiguous();
}

}  // namespace

absl::StatusOr<TorchscaleState> ToTorchscaleState(
    const Tensor& s, absl::Span<const double> log_gamma, int64_t position) {
  SEPTET_RETURN_IF_ERROR(Check("s", s, log_gamma.size(), position));
  TorchscaleState state;
  SEPTET_ASSIGN_OR_RETURN(state.scale,
                          Sums(log_gamma, position, false, s.dtype()));
  SEPTET_ASSIGN_OR_RETURN(const Tensor roots,
                          Sums(log_gamma, position, true, s.dtype()));
  SEPTET_ASSIGN_OR_RETURN(state.prev_key_value,
                          Result(Permute(Div(s, roots), {0, 1, 3, 2})));
  return state;
}

absl::StatusOr<Tensor> FromTorchscaleState(const TorchscaleState& state,
                                           absl::Span<const double> log_gamma,
                                           int64_t position) {
  SEPTET_RETURN_IF_ERROR(Check("prev_key_value", state.prev_key_value,
                               log_gamma.size(), position));
  SEPTET_ASSIGN_OR_RETURN(
      const Tensor roots,
      Sums(log_gamma, position, true, state.prev_key_value.dtype()));
  return Result(Mul(Permute(state.prev_key_value, {0, 1, 3, 2}), roots));
}

}  // namespace septet
