// SPDX-License-Identifier: Apache-2.0
// Products of matrices and of batches of them, and the fully connected layer.
//
//   Var scores = MatMul(q, k, {false, true});   // [B, H, T, D] [B, H, S, D]
//   Var y = Linear(x, w, b);                    // [B, T, in] -> [B, T, out]
//
// The product is Gemm's, whose table chooses the library by type and shape
// (core/blas/gemm.h; dispatch logs say "core/blas"); cost 2 m n k operations a
// matrix forward and twice that backward. Nothing is copied whose rows or
// columns are contiguous: a transposed or permuted view costs nothing extra,
// nor does what is broadcast. Differentiable any number of times.
#ifndef SEPTET_CORE_OPS_MATMUL_H_
#define SEPTET_CORE_OPS_MATMUL_H_

#include "septet/core/autograd/var.h"

namespace septet {

struct MatMulOptions {
  bool transpose_a = false;  // the last two axes of a are [k, m]
  bool transpose_b = false;  // the last two axes of b are [n, k]
};

// a [..., m, k] times b [..., k, n] = [..., m, n]. The axes in front, which
// both may have or lack, broadcast as NumPy's: aligned at the last, of equal
// extent or 1. A vector is a row as `a`, a column as `b`, and the result lacks
// that axis: [k] [..., k, n] = [..., n], [..., m, k] [k] = [..., m], [k] [k] =
// []. Both f32 or both f64; with k = 0 the result is zero. The gradient of what
// was broadcast is the sum over the repetitions. Errors: InvalidArgument naming
// both shapes, where k or the axes in front differ, or a vector is to be
// transposed.
Var MatMul(const Var& a, const Var& b, const MatMulOptions& options = {});

struct LinearOptions {
  // w is [out, in], as torch.nn.Linear keeps it, instead of [in, out].
  bool weight_out_in = false;
};

// y [..., out] = x [..., in] w [in, out] + b [out], x of rank 1 or more. `b`
// may be an undefined Var: no bias. All f32 or all f64. Errors: InvalidArgument
// naming the argument, its shape and what was expected.
Var Linear(const Var& x, const Var& w, const Var& b,
           const LinearOptions& options = {});

}  // namespace septet

#endif  // SEPTET_CORE_OPS_MATMUL_H_
