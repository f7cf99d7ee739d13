// SPDX-License-Identifier: Apache-2.0
// Tensors that hold one entry a step along their first axis, as trajectories in
// cases do.
#ifndef SEPTET_CORE_CONFORMANCE_ROWS_H_
#define SEPTET_CORE_CONFORMANCE_ROWS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

// How many entries there are. InvalidArgument for rank 0.
inline absl::StatusOr<int64_t> NumRows(const Tensor& stack) {
  if (stack.rank() > 0) return stack.dim(0);
  return absl::InvalidArgumentError(
      absl::StrCat("tensor ", stack.DebugString(), " has no axis of steps"));
}

// `n` entries of a shape, uninitialised. InvalidArgument if n < 0 or the axes
// are too many.
inline absl::StatusOr<Tensor> EmptyRows(int64_t n, const Shape& entry,
                                        DType dtype) {
  std::vector<int64_t> dims = {n};
  dims.insert(dims.end(), entry.dims().begin(), entry.dims().end());
  SEPTET_ASSIGN_OR_RETURN(const Shape shape, Shape::Create(dims));
  return Tensor::Empty(shape, dtype);
}

// Entry t, 0 <= t < NumRows: a view without the first axis.
inline absl::StatusOr<Tensor> Row(const Tensor& stack, int64_t t) {
  SEPTET_ASSIGN_OR_RETURN(const Tensor row, stack.Slice(0, t, t + 1));
  return row.Reshape(row.shape().dims().subspan(1));
}

}  // namespace septet

#endif  // SEPTET_CORE_CONFORMANCE_ROWS_H_
