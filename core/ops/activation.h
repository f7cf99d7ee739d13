// SPDX-License-Identifier: Apache-2.0
// The activation functions as a differentiable op; their names, formulas and
// derivatives at 0 are in core/ops/activation_kind.h.
//
//   Var y = Activation(ActivationKind::kGeluTanh, x);
//   SEPTET_ASSIGN_OR_RETURN(ActivationKind kind, ParseActivation("swish"));
//
// Cost: one pass over x forward, one over x and the gradient backward.
#ifndef SEPTET_CORE_OPS_ACTIVATION_H_
#define SEPTET_CORE_OPS_ACTIVATION_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/autograd/var.h"
#include "septet/core/ops/activation_kind.h"

namespace septet {

// phi(x), elementwise. x: f32 or f64 of any shape; the result has its shape and
// dtype. Error: InvalidArgument for another Differentiable any number of
// times; higher derivatives go through elementary ops, and are NaN at
// infinities where those are.
Var Activation(ActivationKind kind, const Var& x);

inline Var Relu(const Var& x) { return Activation(ActivationKind::kRelu, x); }
inline Var Gelu(const Var& x) { return Activation(ActivationKind::kGelu, x); }
inline Var GeluTanh(const Var& x) {
  return Activation(ActivationKind::kGeluTanh, x);
}
inline Var Swish(const Var& x) { return Activation(ActivationKind::kSwish, x); }
inline Var Sigmoid(const Var& x) {
  return Activation(ActivationKind::kSigmoid, x);
}
inline Var Softplus(const Var& x) {
  return Activation(ActivationKind::kSoftplus, x);
}

// The kind of that name. InvalidArgument, naming the nearest one, for others.
absl::StatusOr<ActivationKind> ParseActivation(absl::string_view name);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_ACTIVATION_H_
