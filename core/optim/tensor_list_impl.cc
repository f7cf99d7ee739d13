// SPDX-License-Identifier: Apache-2.0
#include "septet/core/optim/tensor_list_impl.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/base/status_macros.h"
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
    return absl::InvalidArgumentError(
        absl::StrCat(name.ToString(), " is ", tensor.DebugString(),
                     ", expected dtype f32 or f64"));
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
        absl::StrCat(name.ToString(), " is ", tensor.DebugString(),
                     ", expected ", DTypeName(dtype), " ", shape.ToString()));
  }
  return absl::OkStatus();
}

namespace {

absl::Status ValidateCount(absl::string_view name, absl::string_view what,
                           size_t count, size_t expected) {
  if (count == expected) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(name, ": ", count, " ", what,
                                                 " given, expected ", expected,
                                                 ", as many as at Create"));
}

}  // namespace

absl::Status ValidateUpdate(absl::string_view name,
                            absl::Span<const Tensor> like,
                            absl::Span<const Tensor> params,
                            absl::Span<const Tensor> grads) {
  SEPTET_RETURN_IF_ERROR(
      ValidateCount(name, "parameters", params.size(), like.size()));
  SEPTET_RETURN_IF_ERROR(
      ValidateCount(name, "gradients", grads.size(), like.size()));
  const std::string parameter = absl::StrCat(name, ": parameter");
  const std::string gradient = absl::StrCat(name, ": gradient");
  for (size_t i = 0; i < params.size(); ++i) {
    const DType dtype = like[i].dtype();
    const Shape& shape = like[i].shape();
    SEPTET_RETURN_IF_ERROR(
        ValidateLike({parameter, i}, params[i], dtype, shape));
    if (params[i].IsReadOnly()) {
      return absl::FailedPreconditionError(
          absl::StrCat(parameter, " ", i, " (", params[i].DebugString(),
                       ") is read-only; Clone() it"));
    }
    SEPTET_RETURN_IF_ERROR(ValidateLike({gradient, i}, grads[i], dtype, shape));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<bool>> DecayMask(absl::string_view name,
                                            const std::vector<bool>& decay,
                                            size_t count) {
  if (decay.empty()) return std::vector<bool>(count, true);
  if (decay.size() == count) return decay;
  return absl::InvalidArgumentError(
      absl::StrCat(name, ": decay has ", decay.size(), " entries for ", count,
                   " parameters, expected one each or none"));
}

absl::StatusOr<std::vector<Tensor>> MatchState(
    absl::string_view name, absl::Span<const NamedTensor> own,
    absl::Span<const NamedTensor> state, size_t num_params) {
  absl::flat_hash_map<absl::string_view, size_t> index;
  for (size_t k = 0; k < own.size(); ++k) index.emplace(own[k].first, k);
  std::vector<const Tensor*> sources(own.size(), nullptr);
  for (const auto& [entry, tensor] : state) {
    const auto found = index.find(entry);
    if (found == index.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": state has an unknown entry \"", entry,
                       "\"; there are ", num_params, " parameters"));
    }
    const size_t k = found->second;
    if (sources[k] != nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": state has \"", entry, "\" twice"));
    }
    const Tensor& want = own[k].second;
    if (!tensor.has_storage() || tensor.dtype() != want.dtype() ||
        tensor.shape() != want.shape()) {
      return absl::InvalidArgumentError(absl::StrCat(
          name, ": state \"", entry, "\" is ",
          tensor.has_storage() ? tensor.DebugString() : "undefined",
          ", expected ", want.DebugString()));
    }
    sources[k] = &tensor;
  }
  for (size_t k = 0; k < own.size(); ++k) {
    if (sources[k] == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": state has no \"", own[k].first, "\""));
    }
  }
  const int64_t step = sources[0]->item<int64_t>();
  if (step < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": state \"step\" is ", step, ", expected >= 0"));
  }
  // Copies: a source may be a view of another's memory, or of ours.
  std::vector<Tensor> copies;
  for (const Tensor* source : sources) {
    SEPTET_ASSIGN_OR_RETURN(Tensor copy, source->Clone());
    copies.push_back(std::move(copy));
  }
  return copies;
}

}  // namespace optim_internal
}  // namespace septet
