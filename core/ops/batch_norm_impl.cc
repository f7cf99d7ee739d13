// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/batch_norm_impl.h"

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace batch_norm_internal {
namespace {

template <typename T>
void Update(const Tensor& batch, double factor, double momentum,
            const Tensor& running) {
  const T* b = batch.data<T>();
  T* r = running.mutable_data<T>();
  for (int64_t i = 0; i < batch.num_elements(); ++i) {
    r[i] = static_cast<T>((1 - momentum) * r[i] + momentum * factor * b[i]);
  }
}

}  // namespace

absl::Status UpdateRunning(absl::string_view op, absl::string_view name,
                           const Tensor& batch, double factor, double momentum,
                           const Tensor& running) {
  if (!(momentum >= 0 && momentum <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat(
        op, ": momentum is ", momentum, ", expected 0 <= momentum <= 1"));
  }
  if (!running.defined()) {
    return absl::InvalidArgumentError(
        absl::StrCat(op, ": ", name, " is not given"));
  }
  if (running.dtype() != batch.dtype() || running.shape() != batch.shape()) {
    return absl::InvalidArgumentError(
        absl::StrCat(op, ": ", name, " is ", running.DebugString(),
                     ", expected ", batch.DebugString()));
  }
  if (running.IsReadOnly() || !running.IsContiguous()) {
    return absl::FailedPreconditionError(
        absl::StrCat(op, ": ", name, " is ",
                     running.IsReadOnly() ? "read-only" : "not contiguous",
                     ", expected contiguous memory that may be written"));
  }
  if (batch.dtype() == DType::kF32) {
    Update<float>(batch, factor, momentum, running);
  } else {
    Update<double>(batch, factor, momentum, running);
  }
  return absl::OkStatus();
}

}  // namespace batch_norm_internal
}  // namespace septet
