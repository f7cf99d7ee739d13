// SPDX-License-Identifier: Apache-2.0
// Elementwise arithmetic with broadcasting, comparison, selection and
// elementary functions.
//
// Two operands broadcast by NumPy's rule: shapes are aligned at the last axis,
// extents are equal or 1. dtypes must be equal; there is no promotion.
// Arithmetic takes f32 and f64 (Add, Sub, Mul and comparisons i32 and i64 too),
// everything else f32 and f64. Results are new row-major tensors.
//
// Errors: InvalidArgument naming both operands' dtypes and shapes.
// Gradients: every op is differentiable any number of times unless it says
// otherwise; a broadcast operand's gradient is summed to its shape.
#ifndef SEPTET_CORE_OPS_ELEMENTWISE_H_
#define SEPTET_CORE_OPS_ELEMENTWISE_H_

#include "septet/core/autograd/var.h"
#include "septet/core/tensor/dtype.h"

namespace septet {

Var Add(const Var& a, const Var& b);
Var Sub(const Var& a, const Var& b);
Var Mul(const Var& a, const Var& b);
Var Div(const Var& a, const Var& b);

// NaN where an operand is NaN. The gradient goes to the larger (smaller)
// operand, half to each where they are equal, as in PyTorch.
Var Maximum(const Var& a, const Var& b);
Var Minimum(const Var& a, const Var& b);

// scale * x + shift, for constants.
Var Affine(const Var& x, double scale, double shift);
inline Var Scale(const Var& x, double scale) { return Affine(x, scale, 0.0); }
inline Var AddScalar(const Var& x, double shift) {
  return Affine(x, 1.0, shift);
}

// 1 where the relation holds, else 0, as bool. Not differentiable.
Var Equal(const Var& a, const Var& b);
Var Less(const Var& a, const Var& b);
Var LessEqual(const Var& a, const Var& b);
Var Greater(const Var& a, const Var& b);
Var GreaterEqual(const Var& a, const Var& b);

// condition ? a : b; condition is bool, all three broadcast.
Var Where(const Var& condition, const Var& a, const Var& b);

Var Neg(const Var& x);
// The gradient at 0 is 0.
Var Abs(const Var& x);
// -1, 0 or 1; the gradient is 0.
Var Sign(const Var& x);
Var Square(const Var& x);
Var Sqrt(const Var& x);
// 1 / sqrt(x).
Var Rsqrt(const Var& x);
Var Reciprocal(const Var& x);
Var Exp(const Var& x);
// exp(x) - 1 without cancellation.
Var Expm1(const Var& x);
// Natural logarithm.
Var Log(const Var& x);
// log(1 + x) without cancellation.
Var Log1p(const Var& x);
Var Sin(const Var& x);
Var Cos(const Var& x);
Var Tanh(const Var& x);
// The error function and its complement.
Var Erf(const Var& x);
Var Erfc(const Var& x);

// x limited to [lo, hi]; NaN stays NaN. lo <= hi, either may be infinite. The
// derivative is 1 on the closed interval and 0 outside, and for NaN.
Var Clip(const Var& x, double lo, double hi);

// x^exponent, with the values of std::pow. Integers of magnitude up to 16 are
// products, at most 5 roundings deep.
Var Pow(const Var& x, double exponent);

// a + weight (b - a), exactly a and b at the weights 0 and 1; a and b
// broadcast.
Var Lerp(const Var& a, const Var& b, double weight);

// Elements converted to another dtype (core/tensor/dtype.h). Differentiable
// between floating dtypes.
Var Cast(const Var& x, DType dtype);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_ELEMENTWISE_H_
