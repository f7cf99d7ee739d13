// SPDX-License-Identifier: Apache-2.0
#include "septet/core/autograd/gradient_checker.h"

#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/types/span.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using Function = std::function<Var(absl::Span<const Var>)>;

absl::StatusOr<std::vector<double>> Evaluate(
    const Function& fn, const std::vector<Tensor>& inputs) {
  const std::vector<Var> constants(inputs.begin(), inputs.end());
  const Var result = fn(constants);
  SEPTET_RETURN_IF_ERROR(result.status());
  return result.tensor().ToVector<double>();
}

// Column (input i, element e) of the Jacobian by central differences.
absl::StatusOr<std::vector<double>> Difference(
    const Function& fn, const std::vector<Tensor>& inputs, size_t i, int64_t e,
    double step) {
  std::vector<double> sides[2];
  for (int side = 0; side < 2; ++side) {
    std::vector<Tensor> moved = inputs;
    SEPTET_ASSIGN_OR_RETURN(moved[i], inputs[i].Clone());
    moved[i].mutable_data<double>()[e] += side == 0 ? step : -step;
    SEPTET_ASSIGN_OR_RETURN(sides[side], Evaluate(fn, moved));
  }
  for (size_t o = 0; o < sides[0].size(); ++o) {
    sides[0][o] = (sides[0][o] - sides[1][o]) / (2 * step);
  }
  return sides[0];
}

// The worst disagreement so far.
struct Worst {
  double excess = 1.0;  // error over tolerance
  std::string text;

  void See(double got, double want, double tolerance, absl::string_view mode,
           size_t input, int64_t element, size_t output) {
    const double allowed = tolerance * (1 + std::abs(want));
    const double ratio = std::abs(got - want) / allowed;
    if (!(ratio <= excess)) {  // NaN too
      excess = ratio;
      text = absl::StrFormat(
          "%s: derivative of output %d by element %d of input %d is %.17g, "
          "central difference %.17g, allowed error %.3g",
          mode, output, element, input, got, want, allowed);
    }
  }
};

absl::Status CheckFirstOrder(const Function& fn,
                             const std::vector<Tensor>& inputs,
                             const GradientCheckOptions& options,
                             absl::string_view mode, Worst* worst) {
  Tape tape;
  std::vector<Var> vars;
  for (const Tensor& input : inputs) vars.push_back(tape.Watch(input));
  const Var output = fn(vars);
  SEPTET_RETURN_IF_ERROR(output.status());
  if (!output.defined() || output.dtype() != DType::kF64) {
    return absl::InvalidArgumentError(
        absl::StrCat("gradient check: the output is ",
                     output.tensor().DebugString(), ", expected f64"));
  }
  const int64_t outputs = output.tensor().num_elements();

  // Rows of the Jacobian, one reverse walk each.
  std::vector<std::vector<std::vector<double>>> rows(outputs);
  for (int64_t o = 0; o < outputs; ++o) {
    SEPTET_ASSIGN_OR_RETURN(Tensor seed,
                            Tensor::Zeros(output.shape(), output.dtype()));
    seed.mutable_data<double>()[o] = 1.0;
    SEPTET_ASSIGN_OR_RETURN(
        std::vector<Var> grads,
        tape.GradVars({output}, {Var(std::move(seed))}, vars,
                      /*create_graph=*/false));
    for (const Var& grad : grads) {
      rows[o].push_back(grad.tensor().ToVector<double>());
    }
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    for (int64_t e = 0; e < inputs[i].num_elements(); ++e) {
      SEPTET_ASSIGN_OR_RETURN(std::vector<double> want,
                              Difference(fn, inputs, i, e, options.step));
      for (int64_t o = 0; o < outputs; ++o) {
        worst->See(rows[o][i][e], want[o], options.tolerance,
                   absl::StrCat(mode, "reverse mode"), i, e, o);
      }
      if (!options.check_jvp) continue;
      std::vector<Tensor> tangents;
      for (const Tensor& input : inputs) {
        SEPTET_ASSIGN_OR_RETURN(Tensor zeros,
                                Tensor::Zeros(input.shape(), input.dtype()));
        tangents.push_back(std::move(zeros));
      }
      tangents[i].mutable_data<double>()[e] = 1.0;
      SEPTET_ASSIGN_OR_RETURN(std::vector<Tensor> columns,
                              tape.Jvp({output}, vars, tangents));
      const std::vector<double> column = columns[0].ToVector<double>();
      for (int64_t o = 0; o < outputs; ++o) {
        worst->See(column[o], want[o], options.tolerance,
                   absl::StrCat(mode, "forward mode"), i, e, o);
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckGradients(const Function& fn,
                            const std::vector<Tensor>& inputs,
                            const GradientCheckOptions& options) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].dtype() != DType::kF64 || !inputs[i].IsContiguous()) {
      return absl::InvalidArgumentError(
          absl::StrCat("gradient check: input ", i, " is ",
                       inputs[i].DebugString(), ", expected row-major f64"));
    }
  }
  Worst worst;
  SEPTET_RETURN_IF_ERROR(CheckFirstOrder(fn, inputs, options, "", &worst));
  if (options.check_second_order) {
    // The gradient by each input of a weighted sum of the outputs, as a
    // function of its own. Weights that no symmetry cancels.
    for (size_t i = 0; i < inputs.size(); ++i) {
      const Function gradient = [&fn, i](absl::Span<const Var> in) -> Var {
        Tape own;
        Tape* tape = nullptr;
        for (const Var& var : in) {
          if (var.tape() != nullptr) tape = var.tape();
        }
        std::vector<Var> vars(in.begin(), in.end());
        if (tape == nullptr) {
          tape = &own;
          for (Var& var : vars) var = own.Watch(var.tensor());
        }
        const Var output = fn(vars);
        if (!output.ok()) return output;
        absl::StatusOr<Tensor> weights =
            Tensor::Empty(output.shape(), output.dtype());
        if (!weights.ok()) return weights.status();
        for (int64_t o = 0; o < weights->num_elements(); ++o) {
          weights->mutable_data<double>()[o] = std::cos(1.0 + 0.7 * o);
        }
        absl::StatusOr<std::vector<Var>> grads = tape->GradVars(
            {output}, {Var(*weights)}, {vars[i]}, /*create_graph=*/true);
        if (!grads.ok()) return grads.status();
        return tape == &own ? (*grads)[0].Detach() : (*grads)[0];
      };
      SEPTET_RETURN_IF_ERROR(CheckFirstOrder(
          gradient, inputs, options,
          absl::StrCat("second order by input ", i, ", "), &worst));
    }
  }
  if (worst.text.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(worst.text);
}

}  // namespace septet
