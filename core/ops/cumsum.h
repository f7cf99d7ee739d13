// SPDX-License-Identifier: Apache-2.0
// Running sums along an axis.
//
//   CumSum(x, 1)                       // y[:, t] = x[:, 0] + ... + x[:, t]
//   CumSum(x, 1, {.exclusive = true})  // y[:, t] = x[:, 0] + ... + x[:, t-1]
//   CumSum(x, 1, {.reverse = true})    // y[:, t] = x[:, t] + ... + x[:, T-1]
//
// Sums are carried in double, one term after the other, and rounded where they
// are written: the error of an f32 result is its own rounding.
//
// Cost: x is read and y written once; lines along the axis run in parallel.
// Gradient: the running sum of dy in the other direction.
#ifndef SEPTET_CORE_OPS_CUMSUM_H_
#define SEPTET_CORE_OPS_CUMSUM_H_

#include <cstdint>

#include "septet/core/autograd/var.h"

namespace septet {

struct CumSumOptions {
  bool exclusive = false;  // without the element itself; begins with 0
  bool reverse = false;    // from the end of the axis
};

// x: f32 or f64 of rank 1 to 8; the axis may be negative. Of x's shape; empty
// where x is.
// Errors: InvalidArgument naming the axis and x. Linear; differentiable any
// number of times.
Var CumSum(const Var& x, int64_t axis, const CumSumOptions& options = {});

}  // namespace septet

#endif  // SEPTET_CORE_OPS_CUMSUM_H_
