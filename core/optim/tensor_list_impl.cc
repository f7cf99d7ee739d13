// SPDX-License-Identifier: Apache-2.0
#include "septet/core/optim/tensor_list_impl.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "septet/core/tensor/device.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace optim_internal {

absl::Status ValidateTensor(const TensorName& name, const Tensor& tensor) {
  if (!tensor.defined() || !tensor.has_storage()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name.ToString(), " has no elements: it is undefined"));
  }
  if (tensor.dtype() != DType::kF32 && tensor.dtype() != DType::kF64) {
    return absl::InvalidArgumentError(absl::StrCat(name.ToString(), " is ",
                                                   tensor.DebugString(),
                                                   ", want dtype f32 or f64"));
  }
  if (!tensor.IsContiguous()) {
    return absl::InvalidArgumentError(absl::StrCat(
        name.ToString(), " (", tensor.DebugString(), ") is not contiguous"));
  }
  if (tensor.device().type != DeviceType::kCpu) {
    return absl::UnimplementedError(
        absl::StrCat(name.ToString(), " is on ", tensor.device().ToString(),
                     "; kernels are linked for: cpu/f32, cpu/f64"));
  }
  return absl::OkStatus();
}

absl::Status ValidateLike(const TensorName& name, const Tensor& tensor,
                          DType dtype, const Shape& shape) {
  absl::Status status = ValidateTensor(name, tensor);
  if (!status.ok()) return status;
  if (tensor.dtype() != dtype || tensor.shape() != shape) {
    return absl::InvalidArgumentError(
        absl::StrCat(name.ToString(), " is ", tensor.DebugString(), ", want ",
                     DTypeName(dtype), " ", shape.ToString()));
  }
  return absl::OkStatus();
}

}  // namespace optim_internal
}  // namespace septet
