// SPDX-License-Identifier: Apache-2.0
// What shape inference of most ops needs: conditions on dtypes and shapes with
// messages that name the argument, what was expected, and what came.
#ifndef SEPTET_CORE_OPS_OP_UTIL_H_
#define SEPTET_CORE_OPS_OP_UTIL_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

inline absl::Status RequireDefined(absl::string_view name, const Tensor& x) {
  if (x.defined()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(name, " is not given"));
}

// The elements of an optional input; null where it is not given.
template <typename T>
const T* OptionalData(const Tensor& x) {
  return x.defined() ? x.data<T>() : nullptr;
}

// f32 or f64: what there is arithmetic for.
inline absl::Status RequireReal(absl::string_view name, const Tensor& x) {
  if (!x.defined()) return RequireDefined(name, x);
  if (x.dtype() == DType::kF32 || x.dtype() == DType::kF64) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(name, " is ", x.DebugString(), ", expected f32 or f64"));
}

inline absl::Status RequireSameDType(absl::string_view a_name, const Tensor& a,
                                     absl::string_view b_name,
                                     const Tensor& b) {
  if (!b.defined()) return RequireDefined(b_name, b);
  if (a.dtype() == b.dtype()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("dtypes differ: ", a_name, " is ", a.DebugString(), ", ",
                   b_name, " is ", b.DebugString()));
}

inline absl::Status RequireRank(absl::string_view name, const Tensor& x,
                                int min_rank, int max_rank) {
  if (!x.defined()) return RequireDefined(name, x);
  if (x.rank() >= min_rank && x.rank() <= max_rank) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      name, " is ", x.DebugString(), ", expected rank ",
      min_rank == max_rank ? absl::StrCat(min_rank)
                           : absl::StrCat(min_rank, " to ", max_rank)));
}

// Axis `axis` of `name` must have `extent` elements, as `reason` says.
inline absl::Status RequireExtent(absl::string_view name, const Tensor& x,
                                  int axis, int64_t extent,
                                  absl::string_view reason) {
  if (x.dim(axis) == extent) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " is ", x.DebugString(), ", expected axis ", axis,
                   " to be ", extent, " (", reason, ")"));
}

// Elements a block of a parallel loop: some tens of microseconds of work.
inline constexpr int64_t kElementwiseGrain = 1 << 16;

}  // namespace septet

#endif  // SEPTET_CORE_OPS_OP_UTIL_H_
