// SPDX-License-Identifier: Apache-2.0
// Convolution, maximum over windows and ReLU as one op: the block that small
// classifiers of images are made of.
//
//   // 3 x 3, padded to keep the size, then half of it.
//   Var y = Conv2dMaxPoolRelu(x, w, bias, Conv2dOptions::Uniform(1, 1), {2,
//   2});
//
// y = Relu(MaxPool2d(Conv2d(x, w, bias, options), windows).y), which is also
// MaxPool2d(Relu(Conv2d(...))).y, with windows that lie side by side: stride
// and extent are the same, there is no padding, and rows and columns left over
// at the end belong to no window. That formula is the op's composite.
//
// The convolution's result and its gradient, several times as large as
// everything else, are made by bands that stay in the cache (core/blas/conv.h)
// and are never in memory: kept for the derivative are the inputs and a byte an
// element of y, the place of the winner in its window.
// Cost: the operations of Conv2d, forward and backward. The gradient goes to
// the first of equal values, and nowhere where y is 0.
//
// Errors: those of Conv2d; InvalidArgument for windows that are larger than the
// convolution's result, have no pixel or more than 255. Differentiable any
// number of times; beyond the first through the composite.
#ifndef SEPTET_CORE_OPS_CONV_POOL_H_
#define SEPTET_CORE_OPS_CONV_POOL_H_

#include <cstdint>

#include "septet/core/autograd/var.h"
#include "septet/core/ops/conv.h"

namespace septet {

struct PoolWindowOptions {
  int32_t h = 2;  // rows, and rows from window to window
  int32_t w = 2;
};

// x [N, H, W, Cin], w [KH, KW, Cin / groups, Cout], bias [Cout] or undefined:
// [N, OH / window h, OW / window w, Cout], f32 or f64.
Var Conv2dMaxPoolRelu(const Var& x, const Var& w, const Var& bias,
                      const Conv2dOptions& options = {},
                      const PoolWindowOptions& windows = {});

}  // namespace septet

#endif  // SEPTET_CORE_OPS_CONV_POOL_H_
