// SPDX-License-Identifier: Apache-2.0
// Products with a matrix, and the fully connected layer.
//
// The product is Gemm's, whose table chooses the library by type and shape
// (core/blas/gemm.h; dispatch logs say "core/blas"); cost 2 m n k operations
// forward and twice that backward. Differentiable any number of times.
#ifndef SEPTET_CORE_OPS_MATMUL_H_
#define SEPTET_CORE_OPS_MATMUL_H_

#include "septet/core/autograd/var.h"

namespace septet {

struct MatMulOptions {
  bool transpose_a = false;  // a is [k, m]; needs rank 2
  bool transpose_b = false;  // b is [n, k]
};

// a [..., m, k] times b [k, n] = [..., m, n]; a of rank 1, [k], gives [n]. Both
// f32 or both f64. A transposed view costs nothing extra.
// Errors: InvalidArgument naming both shapes.
Var MatMul(const Var& a, const Var& b, const MatMulOptions& options = {});

struct LinearOptions {
  // w is [out, in], as torch.nn.Linear keeps it, instead of [in, out].
  bool weight_out_in = false;
};

// y [..., out] = x [..., in] w [in, out] + b [out]. `b` may be an undefined
// Var: no bias. All f32 or all f64. Errors: InvalidArgument naming the
// argument, its shape and what was expected.
Var Linear(const Var& x, const Var& w, const Var& b,
           const LinearOptions& options = {});

}  // namespace septet

#endif  // SEPTET_CORE_OPS_MATMUL_H_
