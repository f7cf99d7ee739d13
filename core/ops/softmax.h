// SPDX-License-Identifier: Apache-2.0
// softmax(x)_i = exp(x_i) / sum_j exp(x_j) along one axis, and its logarithm,
// computed from x - max x so that nothing overflows.
//
// Cost: three passes over the axis. The last axis is the fast one; another one
// is moved there and back by copies.
#ifndef SEPTET_CORE_OPS_SOFTMAX_H_
#define SEPTET_CORE_OPS_SOFTMAX_H_

#include <cstdint>

#include "septet/core/autograd/var.h"

namespace septet {

// x: f32 or f64 of rank >= 1; the result has its shape and dtype. What becomes
// of rows with infinities is said in core/ops/softmax_kernels.h.
// Errors: InvalidArgument for dtype, rank, or an axis out of range.
// Differentiable any number of times (higher derivatives through elementary
// ops).
Var Softmax(const Var& x, int64_t axis = -1);
Var LogSoftmax(const Var& x, int64_t axis = -1);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_SOFTMAX_H_
