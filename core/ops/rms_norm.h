// SPDX-License-Identifier: Apache-2.0
// Root-mean-square normalisation over the last axis (Zhang, Sennrich: Root Mean
// Square Layer Normalization, 2019, arXiv 1910.07467, eq. 4):
// y = x / sqrt(mean(x^2) + eps) * scale. The mean is not taken off.
//
//   Var y = RmsNorm(x, scale, 1e-6);      // Llama, RetNet
//   Var o = RmsNorm(heads, Var(), 1e-6);  // [B, T, H, D]: each head by itself
//
// The paper's code adds eps to the root; this is the form of all later ones,
// with eps below it.
//
// Cost: two passes over x forward, two over x and dy backward, of which the
// first reads memory and the second the cache. The reductions' order is fixed
// by the shape (core/ops/rms_norm_kernels.h).
#ifndef SEPTET_CORE_OPS_RMS_NORM_H_
#define SEPTET_CORE_OPS_RMS_NORM_H_

#include "septet/core/autograd/var.h"

namespace septet {

// x: [..., n], f32 or f64, n >= 1. scale: [n], or an undefined Var (1).
// eps >= 0.
// Errors: InvalidArgument naming the argument, expected and actual.
// Differentiable any number of times (higher derivatives through elementary
// ops).
Var RmsNorm(const Var& x, const Var& scale, double eps);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_RMS_NORM_H_
