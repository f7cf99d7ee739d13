// SPDX-License-Identifier: Apache-2.0
// retnet/decoder: a whole model of torchscale, current or legacy: logits in
// three forms, losses, gradients, states, and a greedy continuation.
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
#include "septet/core/nn/feed_forward.h"
#include "septet/core/nn/norm_layer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/ops/activation_kind.h"
#include "septet/core/ops/concat.h"
#include "septet/core/ops/index.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/decode_cache.h"
#include "septet/retention/gated_head_norm_kernels.h"
#include "septet/retention/retention.h"
#include "septet/retention/retnet.h"
#include "septet/retention/retnet_decay_option.h"
#include "septet/retention/retnet_state.h"
#include "septet/retention/retnet_tolerance.h"
#include "septet/retention/torchscale_names.h"

namespace septet {
namespace {

absl::StatusOr<ActivationKind> ReadActivation(const Case& file) {
  SEPTET_ASSIGN_OR_RETURN(const std::string name, file.String("activation_fn"));
  if (name == "swish") return ActivationKind::kSwish;
  if (name == "gelu") return ActivationKind::kGelu;
  if (name == "relu") return ActivationKind::kRelu;
  return file.OptionError("activation_fn", "swish, gelu or relu");
}

absl::StatusOr<RetNetPlacement> ReadPlacement(const Case& file) {
  SEPTET_ASSIGN_OR_RETURN(const bool before,
                          file.Bool("decoder_normalize_before", true));
  SEPTET_ASSIGN_OR_RETURN(const bool deepnorm, file.Bool("deepnorm", false));
  if (before) {
    return deepnorm ? RetNetPlacement::kDeepNormPreNormQuirk
                    : RetNetPlacement::kPre;
  }
  return deepnorm ? RetNetPlacement::kDeepNorm : RetNetPlacement::kPost;
}

absl::StatusOr<RetNetOptions> ReadOptions(Case& file) {
  RetNetOptions options;
  SEPTET_ASSIGN_OR_RETURN(options.vocab_size, file.Int("vocab_size"));
  SEPTET_ASSIGN_OR_RETURN(options.dim, file.Int("decoder_embed_dim"));
  SEPTET_ASSIGN_OR_RETURN(options.layers, file.Int("decoder_layers"));
  SEPTET_ASSIGN_OR_RETURN(options.ffn_dim, file.Int("decoder_ffn_embed_dim"));
  const bool legacy = file.HasTensor("param.layers.0.retention.q_proj.bias");
  SEPTET_ASSIGN_OR_RETURN(
      options.value_dim,
      file.Int("decoder_value_embed_dim", legacy ? 2 * options.dim : 0));
  SEPTET_ASSIGN_OR_RETURN(options.norm_eps, file.Double("layernorm_eps"));
  SEPTET_ASSIGN_OR_RETURN(options.activation, ReadActivation(file));
  SEPTET_ASSIGN_OR_RETURN(options.placement, ReadPlacement(file));
  SEPTET_ASSIGN_OR_RETURN(const bool plain,
                          file.Bool("no_scale_embedding", true));
  if (!plain) {
    options.embedding_scale = std::sqrt(static_cast<double>(options.dim));
  }
  SEPTET_ASSIGN_OR_RETURN(options.embedding_norm,
                          file.Bool("layernorm_embedding", false));
  SEPTET_ASSIGN_OR_RETURN(options.tied_head,
                          file.Bool("share_decoder_input_output_embed", false));
  MultiScaleRetentionOptions& retention = options.retention;
  SEPTET_ASSIGN_OR_RETURN(retention.heads, file.Int("decoder_retention_heads"));
  SEPTET_ASSIGN_OR_RETURN(retention.chunk_size,
                          file.Int("recurrent_chunk_size"));
  SEPTET_ASSIGN_OR_RETURN(retention.decay, DecayTensorOf(file));
  retention.score_norm = ScoreNorm::kTorchscale;
  retention.head_norm_eps = options.norm_eps;
  if (!legacy) return options;
  SEPTET_ASSIGN_OR_RETURN(const bool subln, file.Bool("subln", false));
  retention.score_norm = ScoreNorm::kTorchscaleLegacy;
  retention.head_norm = HeadNorm::kLayer;
  retention.head_norm_eps = 1e-6;  // fixed there
  retention.bias = true;
  options.norm = NormKind::kLayer;
  options.ffn = FeedForwardKind::kMlp;
  options.ffn_bias = true;
  if (subln) options.ffn_hidden_norm = NormKind::kLayer;
  return options;
}

std::string Theirs(const std::string& name) {
  return absl::StrCat("param.", TorchscaleName(name));
}

// The logits of T steps of decoding, and the states behind them.
absl::Status ExpectDecoding(CaseRun& run, const RetNet& model,
                            const BoundParameters& p, const Tensor& tokens) {
  const int64_t rows = tokens.dim(0), time = tokens.dim(1);
  SEPTET_ASSIGN_OR_RETURN(DecodeCache cache,
                          model.MakeCache(rows, run.dtype()));
  std::vector<Var> steps;
  for (int64_t t = 0; t < time; ++t) {
    SEPTET_ASSIGN_OR_RETURN(const Tensor column, tokens.Slice(1, t, t + 1));
    SEPTET_ASSIGN_OR_RETURN(const Tensor dense, column.Contiguous());
    SEPTET_ASSIGN_OR_RETURN(const Tensor ids, dense.Reshape({rows}));
    SEPTET_ASSIGN_OR_RETURN(const Tensor logits,
                            model.DecodeStep(p, ids, &cache));
    steps.push_back(logits);
  }
  SEPTET_RETURN_IF_ERROR(run.Expect("logits.recurrent", Stack(steps, 1)));
  const std::vector<double>& log_gamma = model.options().retention.decay.custom;
  for (int64_t i = 0; i < model.options().layers; ++i) {
    SEPTET_ASSIGN_OR_RETURN(
        const TorchscaleState state,
        ToTorchscaleState(*cache.state(i), log_gamma, time));
    SEPTET_RETURN_IF_ERROR(run.Expect(
        absl::StrCat("state.", i, ".prev_key_value"), state.prev_key_value));
    if (i > 0) continue;
    SEPTET_RETURN_IF_ERROR(run.Expect("state.0.scale", state.scale));
  }
  return absl::OkStatus();
}

// Greedy text from the first three tokens.
absl::Status ExpectGreedy(CaseRun& run, const RetNet& model,
                          const BoundParameters& p) {
  constexpr size_t kPrompt = 3;
  const char kName[] = "greedy.prompt_and_continuation";
  SEPTET_ASSIGN_OR_RETURN(const Tensor expected, run.file().IntInput(kName));
  const std::vector<int64_t> want = expected.ToVector<int64_t>();
  if (want.size() <= kPrompt) return absl::OkStatus();
  std::vector<int64_t> text(want.begin(), want.begin() + kPrompt);
  SEPTET_ASSIGN_OR_RETURN(RetNetPrefill prompt, model.Prefill(p, {text}));
  Tensor logits = prompt.logits;
  while (text.size() < want.size()) {
    const Var next = ArgMax(logits);
    SEPTET_RETURN_IF_ERROR(next.status());
    text.push_back(next.tensor().ToVector<int64_t>()[0]);
    SEPTET_ASSIGN_OR_RETURN(logits,
                            model.DecodeStep(p, next.tensor(), &prompt.cache));
  }
  return run.Expect(kName, Tensor::FromValues<int64_t>(expected.shape(), text));
}

absl::Status Decoder(CaseRun& run) {
  Case& file = run.file();
  SEPTET_ASSIGN_OR_RETURN(const RetNetOptions options, ReadOptions(file));
  ParameterStore store;
  SEPTET_ASSIGN_OR_RETURN(
      const RetNet model,
      RetNet::Create(options, ParameterScope(&store, {0, run.dtype()})));
  const std::vector<std::string> names = store.trained_names();
  std::map<std::string, Tensor> weights;
  for (const std::string& name : names) {
    SEPTET_ASSIGN_OR_RETURN(weights[name], run.Input(Theirs(name)));
    if (!TorchscaleTransposes(name)) continue;
    SEPTET_ASSIGN_OR_RETURN(weights[name], weights[name].Permute({1, 0}));
  }
  SEPTET_RETURN_IF_ERROR(store.Import(weights));
  SEPTET_ASSIGN_OR_RETURN(const Tensor tokens, file.IntInput("tokens"));
  SEPTET_ASSIGN_OR_RETURN(const Tensor targets, file.IntInput("targets"));
  const std::pair<const char*, RetentionForm> forms[] = {
      {"parallel", RetentionForm::kParallel},
      {"chunkwise", RetentionForm::kChunkwise}};
  for (const auto& [form, kind] : forms) {
    Tape tape;
    const BoundParameters p = store.Watch(&tape);
    RetNetInput input;
    input.tokens = tokens;
    input.form = kind;
    SEPTET_RETURN_IF_ERROR(run.Expect(absl::StrCat("logits.", form),
                                      model.Forward(p, Pass(), input)));
    const Var loss = model.Loss(p, Pass(), input, targets);
    SEPTET_RETURN_IF_ERROR(run.Expect(absl::StrCat("loss.", form), loss));
    if (kind != RetentionForm::kParallel) continue;
    SEPTET_ASSIGN_OR_RETURN(const std::vector<Tensor> grads,
                            tape.Grad(loss, p.trained()));
    for (size_t i = 0; i < names.size(); ++i) {
      const Var grad = TorchscaleTransposes(names[i])
                           ? Permute(grads[i], {1, 0})
                           : Var(grads[i]);
      SEPTET_RETURN_IF_ERROR(run.Expect(absl::StrCat("grad.", Theirs(names[i])),
                                        grad,
                                        RetnetGradientTolerance(run.dtype())));
    }
  }
  const BoundParameters p = store.Bind();
  SEPTET_RETURN_IF_ERROR(ExpectDecoding(run, model, p, tokens));
  return ExpectGreedy(run, model, p);
}

[[maybe_unused]] const bool kRegistered =
    RegisterFamily({"retnet/decoder", kRetnetF64, kRetnetF32, &Decoder});

}  // namespace
}  // namespace septet
