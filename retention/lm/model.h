// SPDX-License-Identifier: Apache-2.0
// One language model by options: a RetNet, or what it is compared with (Sun et
// al., 2023, arXiv 2307.08621, tables 1, 5), so that all are trained,
// evaluated and asked for text by the same code (retnet.md 8).
//
//   RetentionLmOptions options;             // the desk model
//   options.set_kind(RetentionLmKindNames::rwkv);
//   SEPTET_ASSIGN_OR_RETURN(std::unique_ptr<RetentionLm> model,
//                           RetentionLm::Create(options, /*seed=*/1));
//   Var loss = model->Loss(p, Pass::Training(seed, step), tokens, targets);
//
//   retnet              retention/retnet.h; all of options.model
//   transformer         core/nn/transformer.h, RotarySwiGluOptions, with the
//                       rotation of model.rotary
//   linear_transformer  retention/linear_transformer.h, its preset
//   rwkv                retention/rwkv.h, its preset, or with the gated network
//                       of the others in place of the channel-mix
//
// Of options.model a transformer takes vocab_size, dim, layers, heads, ffn_dim,
// rotary, norm_eps, tied and dropout, a linear_transformer the same and
// chunk_size, rwkv vocab_size, dim, layers, ffn_dim, tied and dropout. Widths
// of 0 are those of each kind with about 12 d^2 weights a layer.
//
// First values are functions of the seed and the parameters' names.
#ifndef SEPTET_RETENTION_LM_MODEL_H_
#define SEPTET_RETENTION_LM_MODEL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/autograd/var.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/nn/transformer.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/generate.h"
#include "septet/retention/linear_transformer.h"
#include "septet/retention/lm/options.pb.h"
#include "septet/retention/model_options.pb.h"
#include "septet/retention/retention.h"
#include "septet/retention/retnet.h"
#include "septet/retention/rwkv.h"

namespace septet {

class RetentionLm {
 public:
  // Looks at kind, model and rwkv_ffn. Errors: InvalidArgument that names the
  // option, also for one of options.model that this kind does not have and that
  // has another value than its default; ResourceExhausted.
  static absl::StatusOr<std::unique_ptr<RetentionLm>> Create(
      const RetentionLmOptions& options, uint64_t seed);

  // tokens [B, T], i32 or i64, in 0..V-1: logits [B, T, V]. `form` is
  // retention's; InvalidArgument for another one than kAuto with other kinds.
  Var Logits(const BoundParameters& p, const Pass& pass, const Tensor& tokens,
             RetentionForm form = RetentionForm::kAuto) const;
  // Mean cross-entropy, in nats, of targets [B, T] after tokens [B, T].
  Var Loss(const BoundParameters& p, const Pass& pass, const Tensor& tokens,
           const Tensor& targets) const;

  // What writes (retention/generate.h). This and `p`, which is on no tape, must
  // outlive it. A transformer reads at most `capacity` tokens a row; the others
  // do not look at it.
  std::unique_ptr<GenerationSession> NewSession(const BoundParameters* p,
                                                int64_t capacity) const;

  ParameterStore& parameters() { return parameters_; }
  const ParameterStore& parameters() const { return parameters_; }
  // Null for other kinds.
  const RetNet* retnet() const { return std::get_if<RetNet>(&network_); }
  const RetentionLmOptions& options() const { return options_; }

 private:
  explicit RetentionLm(const RetentionLmOptions& options) : options_(options) {}

  const RetentionLmOptions options_;
  ParameterStore parameters_;
  std::variant<std::monostate, RetNet, Transformer, LinearTransformer, Rwkv>
      network_;
};

// The elements of the model's parameters, without making it. Errors: those of
// RetentionLm::Create for the options.
absl::StatusOr<int64_t> NumRetentionLmParameters(
    const RetentionLmOptions& options);

// Bytes that decoding keeps of `tokens` tokens of one sequence, in float32.
// Errors: likewise.
absl::StatusOr<int64_t> RetentionLmStateBytes(const RetentionLmOptions& options,
                                              int64_t tokens);

// options.model with the values of a preset (retention/model_options.h) where
// none has been set: of all fields for retnet, of dim, layers and heads for
// the others that have them. An empty name changes nothing. For command lines:
// files hold every field. NotFound, with the names, for another preset.
absl::StatusOr<RetNetModelOptions> WithPreset(const RetentionLmOptions& options,
                                              absl::string_view preset);

// "retnet", ...
std::string RetentionLmKindName(RetentionLmKindNames::Kind kind);

}  // namespace septet

#endif  // SEPTET_RETENTION_LM_MODEL_H_
