// SPDX-License-Identifier: Apache-2.0
// Layer normalisation over the last axis (Ba, Kiros, Hinton, 2016,
// arXiv 1607.06450): y = (x - mean) / sqrt(var + eps) * scale + bias, with the
// population variance (divided by n).
//
// Cost: three passes over x forward; four over x and dy backward. The
// reductions' order is fixed by the shape (core/ops/layer_norm_kernels.h).
#ifndef SEPTET_CORE_OPS_LAYER_NORM_H_
#define SEPTET_CORE_OPS_LAYER_NORM_H_

#include "septet/core/autograd/var.h"

namespace septet {

// x: [..., n], f32 or f64, n >= 1. scale and bias: [n], each may be an
// undefined Var (1 and 0). eps >= 0.
// Errors: InvalidArgument naming the argument, expected and actual.
// Differentiable any number of times (higher derivatives through elementary
// ops).
Var LayerNorm(const Var& x, const Var& scale, const Var& bias, double eps);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_LAYER_NORM_H_
