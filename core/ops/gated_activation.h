// SPDX-License-Identifier: Apache-2.0
// The gate of a gated linear unit (Shazeer: GLU Variants Improve Transformer,
// 2020, arXiv 2002.05202), as a differentiable op:
//
//   y = phi(x) gate,   elementwise
//
//   Var h = GatedActivation(ActivationKind::kSwish, fc1(x), gate(x));  //
//   SwiGLU
//
// The formulas of phi and their derivatives at 0 are in
// core/ops/activation_kind.h. Cost: one pass over both inputs forward, one over
// them and the gradient backward; kept for the gradient are the inputs alone,
// where an Activation and a Mul keep phi(x), too.
#ifndef SEPTET_CORE_OPS_GATED_ACTIVATION_H_
#define SEPTET_CORE_OPS_GATED_ACTIVATION_H_

#include "septet/core/autograd/var.h"
#include "septet/core/ops/activation_kind.h"

namespace septet {

// x, gate: f32 or f64, of one shape and dtype, the result's.
// Errors: InvalidArgument naming the argument, expected and actual.
// Differentiable in both any number of times: first gradients are fused,
// higher ones go through Mul and Activation's formula.
Var GatedActivation(ActivationKind kind, const Var& x, const Var& gate);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_GATED_ACTIVATION_H_
