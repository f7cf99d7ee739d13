// SPDX-License-Identifier: Apache-2.0
// A shift and a factor for each channel, channels last: y = (x - shift)
// multiplier + bias. Normalisations with stored statistics are of this form
// (core/ops/batch_norm.h).
//
//   Var y = ChannelAffine(x, mean, Div(scale, sd), bias);
//
// Cost: x is read and y written once; the gradient of x costs the same.
#ifndef SEPTET_CORE_OPS_CHANNEL_AFFINE_H_
#define SEPTET_CORE_OPS_CHANNEL_AFFINE_H_

#include "septet/core/autograd/var.h"

namespace septet {

// x: [..., C], f32 or f64, rank 2 to 8, C >= 1; without rows the result is
// empty. multiplier: [C]; shift and bias: [C], each may be an undefined Var
// (0). All of one dtype.
// Errors: InvalidArgument naming the argument, expected and actual.
// Differentiable any number of times in all four.
Var ChannelAffine(const Var& x, const Var& shift, const Var& multiplier,
                  const Var& bias);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_CHANNEL_AFFINE_H_
