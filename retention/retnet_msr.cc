// SPDX-License-Identifier: Apache-2.0
// retnet/msr: a layer of gated multi-scale retention in the form that the case
// names, with the gradients of sum(out w) or the state behind it.
#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/conformance/case.h"
#include "septet/core/conformance/family.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/decay.h"
#include "septet/retention/gated_head_norm_kernels.h"
#include "septet/retention/multi_scale_retention.h"
#include "septet/retention/retention.h"
#include "septet/retention/retnet_decay_option.h"
#include "septet/retention/retnet_state.h"
#include "septet/retention/retnet_tolerance.h"

namespace septet {
namespace {

absl::StatusOr<RetentionForm> ReadForm(const Case& file) {
  SEPTET_ASSIGN_OR_RETURN(const std::string form, file.String("form"));
  if (form == "parallel") return RetentionForm::kParallel;
  if (form == "chunkwise") return RetentionForm::kChunkwise;
  if (form == "recurrent") return RetentionForm::kRecurrent;
  return file.OptionError("form", "parallel, chunkwise or recurrent");
}

absl::StatusOr<MultiScaleRetentionOptions> ReadOptions(Case& file) {
  MultiScaleRetentionOptions options;
  SEPTET_ASSIGN_OR_RETURN(options.dim, file.Int("embed_dim"));
  SEPTET_ASSIGN_OR_RETURN(options.value_dim, file.Int("value_dim"));
  SEPTET_ASSIGN_OR_RETURN(options.heads, file.Int("heads"));
  SEPTET_ASSIGN_OR_RETURN(options.chunk_size, file.Int("chunk_size"));
  SEPTET_ASSIGN_OR_RETURN(options.head_norm_eps, file.Double("eps"));
  SEPTET_ASSIGN_OR_RETURN(options.decay, DecayTensorOf(file));
  options.score_norm = ScoreNorm::kTorchscale;
  SEPTET_ASSIGN_OR_RETURN(const std::string variant,
                          file.String("variant", "default"));
  if (variant == "no_gate") {
    options.gate = false;
  } else if (variant == "no_group_norm") {
    options.head_norm = HeadNorm::kNone;
  } else if (variant == "group_layer_norm") {
    options.head_norm = HeadNorm::kLayer;
  } else if (variant != "default") {
    return file.OptionError(
        "variant", "default, no_gate, no_group_norm or group_layer_norm");
  }
  return options;
}

absl::Status Msr(CaseRun& run) {
  Case& file = run.file();
  SEPTET_ASSIGN_OR_RETURN(const MultiScaleRetentionOptions options,
                          ReadOptions(file));
  SEPTET_ASSIGN_OR_RETURN(const RetentionForm form, ReadForm(file));
  ParameterStore store;
  SEPTET_ASSIGN_OR_RETURN(
      const MultiScaleRetention layer,
      MultiScaleRetention::Create(options,
                                  ParameterScope(&store, {0, run.dtype()})));
  std::map<std::string, Tensor> weights;
  const std::vector<std::string> names = store.trained_names();
  // "q.weight" of ours is "param.q_proj.weight", [out, in].
  const auto theirs = [](const std::string& name) {
    return absl::StrCat("param.", name.substr(0, name.find('.')),
                        "_proj.weight");
  };
  for (const std::string& name : names) {
    SEPTET_ASSIGN_OR_RETURN(const Tensor x, run.Input(theirs(name)));
    SEPTET_ASSIGN_OR_RETURN(weights[name], x.Permute({1, 0}));
  }
  SEPTET_RETURN_IF_ERROR(store.Import(weights));
  SEPTET_ASSIGN_OR_RETURN(const Tensor x, run.Input("x"));
  SEPTET_ASSIGN_OR_RETURN(const Tensor w, run.Input("w"));
  Tape tape;
  const BoundParameters p = store.Watch(&tape);
  const Var input = tape.Watch(x);
  RetentionContext context;
  context.form = form;
  RetentionState state;
  const bool has_state = file.HasTensor("state.prev_key_value");
  const Var out = layer.Forward(p, Pass(), context, input, {},
                                has_state ? &state : nullptr);
  SEPTET_RETURN_IF_ERROR(run.Expect("out", out));
  if (has_state) {
    SEPTET_RETURN_IF_ERROR(state.s.status());
    SEPTET_ASSIGN_OR_RETURN(
        const TorchscaleState theirs_state,
        ToTorchscaleState(state.s.tensor(), options.decay.custom,
                          state.position[0]));
    SEPTET_RETURN_IF_ERROR(
        run.Expect("state.prev_key_value", theirs_state.prev_key_value));
    SEPTET_RETURN_IF_ERROR(run.Expect("state.scale", theirs_state.scale));
  }
  if (!options.gate) file.Ignore("param.g_proj.weight");
  if (!file.HasTensor("grad.x")) return absl::OkStatus();
  std::vector<Var> wanted(p.trained().begin(), p.trained().end());
  wanted.push_back(input);
  SEPTET_ASSIGN_OR_RETURN(const std::vector<Tensor> grads,
                          tape.Grad(Sum(Mul(out, w)), wanted));
  const Tolerance tolerance = RetnetGradientTolerance(run.dtype());
  SEPTET_RETURN_IF_ERROR(run.Expect("grad.x", grads.back(), tolerance));
  for (size_t i = 0; i < names.size(); ++i) {
    SEPTET_RETURN_IF_ERROR(run.Expect(absl::StrCat("grad.", theirs(names[i])),
                                      Permute(grads[i], {1, 0}), tolerance));
  }
  if (options.gate) return absl::OkStatus();
  // Without a gate there is nothing to differentiate.
  return run.Expect(
      "grad.param.g_proj.weight",
      Tensor::Zeros({options.value_dim, options.dim}, run.dtype()), tolerance);
}

[[maybe_unused]] const bool kRegistered =
    RegisterFamily({"retnet/msr", kRetnetF64, kRetnetF32, &Msr});

}  // namespace
}  // namespace septet
