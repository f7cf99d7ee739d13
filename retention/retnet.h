// SPDX-License-Identifier: Apache-2.0
// RetNet (Sun et al.: Retentive Network: A Successor to Transformer for Large
// Language Models, 2023, arXiv 2307.08621) as a causal language model.
//
//   x = s E[token], norm                         (embedding_norm)
//   pre-norm    x <- x + MSR(N(x));  x <- x + FFN(N(x))
//   DeepNorm    x <- N(a x + MSR(x)); x <- N(a x + FFN(x)),  a = (2 L)^(1/4)
//   logits = N(x) W^T, or N(x) E^T               (the last N with pre-norm)
//
// with MSR of retention/multi_scale_retention.h. One model, three forms:
//
//   ParameterStore store;
//   SEPTET_ASSIGN_OR_RETURN(
//       RetNet model, RetNet::Create(options, ParameterScope(&store, {1})));
//   Var loss = model.Loss(p, Pass::Training(1, step), {tokens}, targets);
//
//   // Prompts of any lengths, then a token at a time.
//   SEPTET_ASSIGN_OR_RETURN(RetNetPrefill prompt, model.Prefill(p, prompts));
//   SEPTET_ASSIGN_OR_RETURN(Tensor logits,
//                           model.DecodeStep(p, next, &prompt.cache));
//
// Parameters, in this order: "embedding.weight" [V, d]; "embedding_norm.*"; for
// each layer "layers.N.retention_norm.*", "layers.N.retention.*", "layers.N.
// ffn_norm.*", "layers.N.ffn.*" (core/nn/feed_forward.h); "final_norm.*";
// "head.weight" [V, d] unless tied.
//
// Cost a token: 2 operations a weight of the layers and the head, and
// retention's, forward; three times that with the gradient. A step of decoding
// reads the weights and reads and writes the state, whatever its position.
#ifndef SEPTET_RETENTION_RETNET_H_
#define SEPTET_RETENTION_RETNET_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "septet/core/autograd/var.h"
#include "septet/core/nn/dropout_layer.h"
#include "septet/core/nn/embedding_layer.h"
#include "septet/core/nn/feed_forward.h"
#include "septet/core/nn/initializer.h"
#include "septet/core/nn/norm_layer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/ops/activation_kind.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/decode_cache.h"
#include "septet/retention/multi_scale_retention.h"
#include "septet/retention/retention.h"

namespace septet {

enum class RetNetPlacement {
  kPre,
  kDeepNorm,
  // What torchscale's `deepnorm` computes where `encoder_normalize_before`
  // was set in its place: pre-norm with a residual times a.
  kDeepNormPreNormQuirk,
  kPost,  // x <- N(x + f(x))
};

// First values (retnet.md 3.7).
struct RetNetInit {
  Initializer embedding = Initializer::Normal(0, 0.02);
  Initializer qkvg = Initializer::XavierUniform(0.17677669529663687);
  Initializer value = Initializer::XavierUniform(0.17677669529663687);
  Initializer retention_out = Initializer::XavierUniform(0.5);
  Initializer fc1 = Initializer::FanInUniform();
  Initializer gate = Initializer::FanInUniform();
  Initializer fc2 = Initializer::FanInUniform();
  Initializer head = Initializer::Normal(0, 0.02);
};

struct RetNetOptions {
  int64_t vocab_size = 0;  // V, >= 1
  int64_t dim = 0;         // d, >= 1
  int64_t layers = 0;      // L, >= 0
  int64_t value_dim = 0;   // >= 1
  int64_t ffn_dim = 0;     // >= 1
  // Of every layer; `dim` and `value_dim` in it are set from the above, and the
  // initialisers from `init`.
  MultiScaleRetentionOptions retention;

  RetNetPlacement placement = RetNetPlacement::kPre;
  NormKind norm = NormKind::kRms;
  double norm_eps = 1e-6;
  FeedForwardKind ffn = FeedForwardKind::kGlu;
  ActivationKind activation = ActivationKind::kSwish;
  bool ffn_bias = false;
  NormKind ffn_hidden_norm = NormKind::kNone;  // Sub-LayerNorm
  bool embedding_norm = false;
  double embedding_scale = 1;  // finite
  bool tied_head = false;
  double embedding_dropout = 0;
  double ffn_dropout = 0;  // of what the network adds
  RetNetInit init;

  // InvalidArgument that names the field, its value and its range.
  absl::Status Validate() const;
};

// The desk model's form: d_v = d_ffn = 5 d / 3 down to a multiple of 16, or
// `value_dim` where that is given, pre-norm, RMSNorm 1e-6, swish GLU, untied,
// N(0, 1 / d) for embedding and head.
RetNetOptions DefaultRetNetOptions(int64_t vocab_size, int64_t dim,
                                   int64_t layers, int64_t heads,
                                   int64_t value_dim = 0);

// A layer that is done, for whoever looks on.
struct RetNetLayerView {
  int64_t layer = 0;
  RetentionView retention;  // undefined in a step of decoding
  Var out;                  // of the layer, [B, T, d], [R, d] or [N, d]
};
using RetNetObserver = std::function<void(const RetNetLayerView&)>;

struct RetNetInput {
  // i32 or i64: [B, T], or packed [R] with cu_seqlens [N + 1].
  Tensor tokens;
  Tensor cu_seqlens;
  // bool [B, T], or undefined: all. False for padding, before or behind a row's
  // tokens, which is taken out before anything is computed: positions, states
  // and losses are those of each row alone. What is computed is 0 there; what
  // tokens and targets are there does not matter.
  Tensor mask;
  RetentionForm form = RetentionForm::kAuto;
  // One a layer, or empty: what a segment before left (detach it for truncated
  // backpropagation). All layers have the same positions.
  absl::Span<const RetentionState> state = {};
  std::vector<RetentionState>* final_state = nullptr;
  int64_t chunk_size = 0;   // 0: that of the model's options
  RetNetObserver observer;  // called behind each layer, in their order
};

struct RetNetLossOptions {
  int64_t ignore_index = -100;  // targets that do not count
  double z_loss = 0;            // times the mean squared log-partition, >= 0
};

// The logits behind each prompt and what decoding goes on from.
struct RetNetPrefill {
  Tensor logits;  // [N, V]
  DecodeCache cache;
};

class RetNet {
 public:
  RetNet() = default;
  // Adds the parameters to the scope's store.
  static absl::StatusOr<RetNet> Create(const RetNetOptions& options,
                                       const ParameterScope& scope);

  // Logits [B, T, V] or [R, V].
  Var Forward(const BoundParameters& p, const Pass& pass,
              const RetNetInput& input) const;
  // What the head reads, behind the last norm; and from vectors x [..., d] in
  // the place of embeddings (input.tokens is not looked at).
  Var Hidden(const BoundParameters& p, const Pass& pass,
             const RetNetInput& input) const;
  Var HiddenOf(const BoundParameters& p, const Pass& pass, const Var& x,
               const RetNetInput& input) const;
  Var Logits(const BoundParameters& p, const Var& h) const;

  // Mean cross-entropy, in nats, of targets of the shape of input.tokens.
  Var Loss(const BoundParameters& p, const Pass& pass, const RetNetInput& input,
           const Tensor& targets, const RetNetLossOptions& options = {}) const;

  // Reads prompts of any lengths >= 1, packed, in chunks; the logits behind
  // each one's last token. Errors: InvalidArgument for no prompts, an empty
  // prompt or a token out of range, with its place; Internal naming the first
  // layer whose state is not finite, or the logits.
  absl::StatusOr<RetNetPrefill> Prefill(
      const BoundParameters& p,
      absl::Span<const std::vector<int64_t>> prompts) const;

  // A cache of `rows` sequences that have read nothing.
  absl::StatusOr<DecodeCache> MakeCache(int64_t rows, DType dtype) const;

  // Reads one token of each row of the cache: logits [N, V] behind it. tokens
  // i32 or i64 [N]. Errors: InvalidArgument for a cache of another model,
  // another number of tokens or one out of range; FailedPrecondition if the
  // parameters are on a tape; then the cache is as before. Internal naming the
  // first layer whose output is not finite, or the logits, after which the
  // cache is of no use.
  absl::StatusOr<Tensor> DecodeStep(const BoundParameters& p,
                                    const Tensor& tokens, DecodeCache* cache,
                                    const RetNetObserver& observer = {}) const;

  const RetNetOptions& options() const { return options_; }
  const MultiScaleRetention& retention(int64_t layer) const {
    return layers_[static_cast<size_t>(layer)].retention;
  }
  ParameterId embedding() const { return embedding_.weight(); }

 private:
  struct Layer {
    NormLayer retention_norm;
    MultiScaleRetention retention;
    NormLayer ffn_norm;
    FeedForward ffn;
  };

  bool NormsBefore() const {
    return options_.placement == RetNetPlacement::kPre ||
           options_.placement == RetNetPlacement::kDeepNormPreNormQuirk;
  }
  Var Embed(const BoundParameters& p, const Pass& pass,
            const Var& tokens) const;
  Var Residual(const BoundParameters& p, const NormLayer& norm, const Var& x,
               const Var& y) const;

  RetNetOptions options_;
  double residual_scale_ = 1;
  EmbeddingLayer embedding_;
  NormLayer embedding_norm_;
  DropoutLayer embedding_dropout_;
  std::vector<Layer> layers_;
  NormLayer final_norm_;
  ParameterId head_weight_;
};

}  // namespace septet

#endif  // SEPTET_RETENTION_RETNET_H_
