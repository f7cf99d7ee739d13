// SPDX-License-Identifier: Apache-2.0
// redshift/activations: values and derivatives of the activation functions that
// the option `order` lists, at the points `x`.
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/conformance/family.h"
#include "septet/core/conformance/tolerance.h"
#include "septet/core/ops/activation.h"
#include "septet/core/ops/activation_kind.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

absl::Status Activations(CaseRun& run) {
  SEPTET_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                          run.file().StringList("order"));
  SEPTET_ASSIGN_OR_RETURN(const Tensor x, run.Input("x"));
  SEPTET_ASSIGN_OR_RETURN(const Tensor ones,
                          Tensor::Full(x.shape(), 1, x.dtype()));
  for (const std::string& name : names) {
    SEPTET_ASSIGN_OR_RETURN(const ActivationKind kind, ParseActivation(name),
                            _ << run.file().path() << ": option \"order\"");
    Tape tape;
    const Var point = tape.Watch(x);
    const Var value = Activation(kind, point);
    SEPTET_RETURN_IF_ERROR(run.Expect(name, value));
    SEPTET_ASSIGN_OR_RETURN(const std::vector<Var> derivative,
                            tape.GradVars({value}, {ones}, {point},
                                          /*create_graph=*/false));
    SEPTET_RETURN_IF_ERROR(run.Expect(absl::StrCat("d_", name), derivative[0]));
  }
  return absl::OkStatus();
}

const Tolerance kF64 = {/*absolute=*/1e-9, /*relative=*/1e-9,
                        Tolerance::Scale::kElement};
const Tolerance kF32 = {/*absolute=*/1e-5, /*relative=*/1e-5,
                        Tolerance::Scale::kElement};

[[maybe_unused]] const bool kRegistered =
    RegisterFamily({"redshift/activations", kF64, kF32, &Activations});

}  // namespace
}  // namespace septet
