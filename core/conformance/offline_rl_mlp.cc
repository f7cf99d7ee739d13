// SPDX-License-Identifier: Apache-2.0
// offline_rl/mlp: a network of Dense, activation and (layer_norm=1) LayerNorm a
// hidden layer and a Dense at the end, and the gradients of sum(cotangent * y)
// with respect to all parameters and to x.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/conformance/case.h"
#include "septet/core/conformance/family.h"
#include "septet/core/conformance/offline_rl_tolerance.h"
#include "septet/core/ops/activation.h"
#include "septet/core/ops/activation_kind.h"
#include "septet/core/ops/layer_norm.h"
#include "septet/core/ops/matmul.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

absl::Status Mlp(CaseRun& run) {
  Case& file = run.file();
  SEPTET_ASSIGN_OR_RETURN(const std::vector<int64_t> hidden,
                          file.IntList("hidden"));
  SEPTET_ASSIGN_OR_RETURN(const bool layer_norm, file.Bool("layer_norm"));
  SEPTET_ASSIGN_OR_RETURN(const double eps, file.Double("ln_eps", 1e-6));
  SEPTET_ASSIGN_OR_RETURN(const std::string act,
                          file.String("act", "gelu_tanh"));
  SEPTET_ASSIGN_OR_RETURN(const ActivationKind kind, ParseActivation(act),
                          _ << file.path() << ": option \"act\"");
  Tape tape;
  std::vector<Var> watched;
  std::vector<std::string> grad_names;
  const auto watch = [&](const std::string& name, absl::string_view grad) {
    const absl::StatusOr<Tensor> tensor = run.Input(name);
    if (!tensor.ok()) return Var(tensor.status());
    grad_names.push_back(absl::StrCat(grad, name));
    watched.push_back(tape.Watch(*tensor));
    return watched.back();
  };
  Var h = watch("x", "grad_");
  for (size_t i = 0; i <= hidden.size(); ++i) {
    const auto param = [&](absl::string_view name) {
      return watch(absl::StrCat("mlp.", i, ".", name), "grad.");
    };
    h = Linear(h, param("kernel"), param("bias"));
    if (i == hidden.size()) break;
    h = Activation(kind, h);
    if (layer_norm) h = LayerNorm(h, param("ln_scale"), param("ln_bias"), eps);
  }
  SEPTET_RETURN_IF_ERROR(run.Expect("y", h));
  SEPTET_ASSIGN_OR_RETURN(const Tensor cotangent, run.Input("cotangent"));
  SEPTET_ASSIGN_OR_RETURN(
      const std::vector<Var> grads,
      tape.GradVars({h}, {cotangent}, watched, /*create_graph=*/false));
  for (size_t i = 0; i < grads.size(); ++i) {
    SEPTET_RETURN_IF_ERROR(run.Expect(grad_names[i], grads[i]));
  }
  return absl::OkStatus();
}

[[maybe_unused]] const bool kRegistered =
    RegisterFamily({"offline_rl/mlp", kOfflineRlF64, kOfflineRlF32, &Mlp});

}  // namespace
}  // namespace septet
