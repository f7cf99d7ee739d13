// SPDX-License-Identifier: Apache-2.0
// Ops that rearrange elements: reshape, permute, broadcast, and the transpose
// of broadcasting, a sum. All are linear; their derivatives are each other.
//
// Any dtype; gradients for f32 and f64. Errors: InvalidArgument naming the
// shapes. Reshape, Permute and BroadcastTo copy nothing (Reshape does where the
// strides leave no choice); SumTo reads its input once.
#ifndef SEPTET_CORE_OPS_SHAPE_OPS_H_
#define SEPTET_CORE_OPS_SHAPE_OPS_H_

#include <cstdint>
#include <initializer_list>

#include "absl/types/span.h"
#include "septet/core/autograd/var.h"
#include "septet/core/tensor/shape.h"

namespace septet {

// The same elements in row-major order under another shape. One extent may be
// -1: it is inferred.
Var Reshape(const Var& x, absl::Span<const int64_t> dims);
inline Var Reshape(const Var& x, std::initializer_list<int64_t> dims) {
  return Reshape(x, absl::MakeConstSpan(dims.begin(), dims.size()));
}
inline Var Reshape(const Var& x, const Shape& shape) {
  return Reshape(x, shape.dims());
}

// Axis i of the result is axis axes[i] of x.
Var Permute(const Var& x, absl::Span<const int64_t> axes);

// Axes reversed: the matrix transpose at rank 2.
Var Transpose(const Var& x);

// Axes of extent 1, and missing leading axes, repeat.
Var BroadcastTo(const Var& x, const Shape& shape);

// Sums over the axes that BroadcastTo(shape -> x.shape()) would repeat: x is
// [..] of f32 or f64, `shape` broadcasts to it. The sum's order is fixed by the
// shapes alone (core/ops/reduce_kernels.h).
Var SumTo(const Var& x, const Shape& shape);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_SHAPE_OPS_H_
