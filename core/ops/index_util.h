// SPDX-License-Identifier: Apache-2.0
// What ops that take indices share: tensors of i32 or i64 whose elements must
// lie in a range. Internal to core/ops.
#ifndef SEPTET_CORE_OPS_INDEX_UTIL_H_
#define SEPTET_CORE_OPS_INDEX_UTIL_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

// i32 or i64.
absl::Status RequireIndices(absl::string_view name, const Tensor& index);

// InvalidArgument unless every element is in [0, n). The message gives the
// first one that is not, its place, and the range, which `of` explains:
// "ids[1, 2] is 7, expected 0 <= ids < 5 (rows of weight)". `index` is
// contiguous and of i32 or i64. Elements equal to *ignored, where it is not
// null, are let through.
absl::Status CheckIndices(absl::string_view name, const Tensor& index,
                          int64_t n, absl::string_view of,
                          const int64_t* ignored = nullptr);

// Calls fn with the elements of `index`, a const int32_t* or const int64_t*.
template <typename Fn>
decltype(auto) WithIndices(const Tensor& index, const Fn& fn) {
  if (index.dtype() == DType::kI32) return fn(index.data<int32_t>());
  return fn(index.data<int64_t>());
}

// A shape seen from one axis: [outer, n, inner].
struct AxisView {
  int64_t outer = 1;
  int64_t n = 1;
  int64_t inner = 1;
};
AxisView ViewAxis(const Shape& shape, int axis);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_INDEX_UTIL_H_
