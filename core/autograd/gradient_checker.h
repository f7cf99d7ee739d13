// SPDX-License-Identifier: Apache-2.0
// Checks derivatives against central differences in float64: the whole
// Jacobian, by reverse mode, by forward mode, and, where asked for, the
// derivative of the gradient.
//
//   SEPTET_EXPECT_OK(CheckGradients(
//       [](absl::Span<const Var> in) { return Mul(in[0], in[1]); }, {a, b}));
#ifndef SEPTET_CORE_AUTOGRAD_GRADIENT_CHECKER_H_
#define SEPTET_CORE_AUTOGRAD_GRADIENT_CHECKER_H_

#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "septet/core/autograd/var.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

struct GradientCheckOptions {
  // Half the distance of the two evaluations. The error of a central
  // difference is about step^2 |f'''| / 6 + 1e-16 |f| / step: near its least.
  double step = 1e-5;
  // |got - want| <= tolerance * (1 + |want|).
  double tolerance = 1e-7;
  bool check_jvp = true;
  // Also checks the derivative of the gradient of a weighted sum of outputs,
  // with create_graph.
  bool check_second_order = true;
};

// OK if all derivatives of fn at `inputs`, which like its output are f64,
// agree (of nothing, if there are no elements). Else
// FailedPrecondition naming the worst entry, both values and the tolerance; an
// error of fn is returned as it is.
absl::Status CheckGradients(const std::function<Var(absl::Span<const Var>)>& fn,
                            const std::vector<Tensor>& inputs,
                            const GradientCheckOptions& options = {});

}  // namespace septet

#endif  // SEPTET_CORE_AUTOGRAD_GRADIENT_CHECKER_H_
