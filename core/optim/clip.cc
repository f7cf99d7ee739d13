// SPDX-License-Identifier: Apache-2.0
#include "septet/core/optim/clip.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/optim/optim_kernels.h"
#include "septet/core/optim/tensor_list_impl.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using optim_internal::ForEachRange;

// Elements of the gradients up to each.
absl::StatusOr<std::vector<int64_t>> Ends(absl::string_view name,
                                          absl::Span<const Tensor> grads,
                                          bool write) {
  std::vector<int64_t> ends;
  ends.reserve(grads.size());
  int64_t total = 0;
  for (size_t i = 0; i < grads.size(); ++i) {
    SEPTET_RETURN_IF_ERROR(optim_internal::ValidateTensor({name, i}, grads[i]));
    if (write && grads[i].IsReadOnly()) {
      return absl::FailedPreconditionError(
          absl::StrCat(name, " ", i, " (", grads[i].DebugString(),
                       ") is read-only; Clone() it"));
    }
    total += grads[i].num_elements();
    ends.push_back(total);
  }
  return ends;
}

double Norm(absl::Span<const Tensor> grads, const std::vector<int64_t>& ends) {
  if (ends.empty()) return 0;
  const double sum = ParallelReduce(
      CurrentThreadPool(), ends.back(), optim_internal::kGrain, 0.0,
      [&](int64_t begin, int64_t end) {
        double block = 0;
        optim_internal::ForEachPart(
            ends, begin, end, [&](size_t i, int64_t first, int64_t stop) {
              block += grads[i].dtype() == DType::kF32
                           ? SumSquaresKernel(stop - first,
                                              grads[i].data<float>() + first)
                           : SumSquaresKernel(stop - first,
                                              grads[i].data<double>() + first);
            });
        return block;
      },
      [](double a, double b) { return a + b; });
  return std::sqrt(sum);
}

absl::Status ValidateBound(absl::string_view name, double bound) {
  if (std::isfinite(bound) && bound >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " is ", bound, ", expected a finite value >= 0"));
}

}  // namespace

absl::Status ClipGradNormOptions::Validate() const {
  return ValidateBound("clip_grad_norm: max_norm", max_norm);
}

absl::Status ClipGradValueOptions::Validate() const {
  return ValidateBound("clip_grad_value: max_value", max_value);
}

absl::StatusOr<double> GlobalNorm(absl::Span<const Tensor> grads) {
  SEPTET_ASSIGN_OR_RETURN(const std::vector<int64_t> ends,
                          Ends("global_norm: gradient", grads, false));
  return Norm(grads, ends);
}

absl::StatusOr<double> ClipGradNorm(absl::Span<const Tensor> grads,
                                    const ClipGradNormOptions& options) {
  SEPTET_RETURN_IF_ERROR(options.Validate());
  SEPTET_ASSIGN_OR_RETURN(const std::vector<int64_t> ends,
                          Ends("clip_grad_norm: gradient", grads, true));
  const double norm = Norm(grads, ends);
  const double factor = options.max_norm / (norm + 1e-6);
  if (!std::isfinite(norm) || factor >= 1) return norm;
  ForEachRange(ends, [&](size_t i, int64_t begin, int64_t end) {
    if (grads[i].dtype() == DType::kF32) {
      RescaleKernel(end - begin, static_cast<float>(factor),
                    grads[i].mutable_data<float>() + begin);
    } else {
      RescaleKernel(end - begin, factor,
                    grads[i].mutable_data<double>() + begin);
    }
  });
  return norm;
}

absl::Status ClipGradValue(absl::Span<const Tensor> grads,
                           const ClipGradValueOptions& options) {
  SEPTET_RETURN_IF_ERROR(options.Validate());
  SEPTET_ASSIGN_OR_RETURN(const std::vector<int64_t> ends,
                          Ends("clip_grad_value: gradient", grads, true));
  ForEachRange(ends, [&](size_t i, int64_t begin, int64_t end) {
    if (grads[i].dtype() == DType::kF32) {
      LimitKernel(end - begin, static_cast<float>(options.max_value),
                  grads[i].mutable_data<float>() + begin);
    } else {
      LimitKernel(end - begin, options.max_value,
                  grads[i].mutable_data<double>() + begin);
    }
  });
  return absl::OkStatus();
}

}  // namespace septet
