// SPDX-License-Identifier: Apache-2.0
#include "septet/core/optim/ema.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/optim/optim_kernels.h"
#include "septet/core/optim/tensor_list_impl.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

absl::Status EmaOptions::Validate() const {
  if (tau >= 0 && tau <= 1) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("ema: tau is ", tau, ", expected 0 <= tau <= 1"));
}

absl::Status UpdateEma(absl::Span<const Tensor> online,
                       const EmaOptions& options,
                       absl::Span<const Tensor> target) {
  SEPTET_RETURN_IF_ERROR(options.Validate());
  if (online.size() != target.size()) {
    return absl::InvalidArgumentError(absl::StrCat("ema: ", online.size(),
                                                   " online tensors given for ",
                                                   target.size(), " targets"));
  }
  std::vector<int64_t> ends;
  ends.reserve(target.size());
  int64_t total = 0;
  for (size_t i = 0; i < target.size(); ++i) {
    const Tensor& y = target[i];
    SEPTET_RETURN_IF_ERROR(
        optim_internal::ValidateTensor({"ema: target", i}, y));
    if (y.IsReadOnly()) {
      return absl::FailedPreconditionError(
          absl::StrCat("ema: target ", i, " (", y.DebugString(),
                       ") is read-only; Clone() it"));
    }
    SEPTET_RETURN_IF_ERROR(optim_internal::ValidateLike(
        {"ema: online", i}, online[i], y.dtype(), y.shape()));
    total += y.num_elements();
    ends.push_back(total);
  }
  const double tau = options.tau;
  if (tau == 0) return absl::OkStatus();
  optim_internal::ForEachRange(ends, [&](size_t i, int64_t begin, int64_t end) {
    const auto run = [&](auto zero) {
      using T = decltype(zero);
      const T* x = online[i].data<T>() + begin;
      T* y = target[i].mutable_data<T>() + begin;
      if (tau == 1) {
        std::memmove(y, x, static_cast<size_t>(end - begin) * sizeof(T));
      } else {
        AxpbyKernel<T>(end - begin, static_cast<T>(tau), x,
                       static_cast<T>(1 - tau), y);
      }
    };
    if (target[i].dtype() == DType::kF32) {
      run(0.0f);
    } else {
      run(0.0);
    }
  });
  return absl::OkStatus();
}

}  // namespace septet
