// SPDX-License-Identifier: Apache-2.0
// Rows divided by their Euclidean norm.
//
//   Var features = NormalizeL2(Linear(h, w, b));   // rows of length 1
//
// For a row x with s = sum(x^2):
//   kSumEps  r = sqrt(s + eps)        (Torch7's nn.Normalize, eps 1e-10)
//   kMaxEps  r = max(sqrt(s), eps)    (PyTorch's F.normalize, eps 1e-12)
//   y = x / r,  dx = (dy - y (y . dy)) / r;  dx = dy / r where eps is larger.
//
// A row of zeros gives zeros, and the gradient dy / r, large but finite. Cost:
// x is read twice, forward and backward. Sums follow the trees of
// reduce_kernels.h.
#ifndef SEPTET_CORE_OPS_NORMALIZE_H_
#define SEPTET_CORE_OPS_NORMALIZE_H_

#include "septet/core/autograd/var.h"

namespace septet {

enum class L2Mode { kSumEps, kMaxEps };
struct NormalizeL2Options {
  L2Mode mode = L2Mode::kSumEps;
  double eps = 1e-10;
};

// x [..., n]: f32 or f64. eps: a positive normal number of the dtype. The
// squares must not overflow.
// Errors: InvalidArgument naming the argument, expected and actual.
// Differentiable any number of times.
Var NormalizeL2(const Var& x, const NormalizeL2Options& options = {});

}  // namespace septet

#endif  // SEPTET_CORE_OPS_NORMALIZE_H_
