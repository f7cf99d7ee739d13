// SPDX-License-Identifier: Apache-2.0
// A decoder-only transformer: causal language model, or anything that reads its
// hidden vectors.
//
//   x = s E[token]                        position hook, norm, dropout
//   pre-norm (GPT-2, Llama)               x <- x + f(N(x))
//   post-norm (Vaswani et al., 2017)      x <- N(x + f(x))
//   DeepNorm (Wang et al., 2022)          x <- N(alpha x + f(x))
//   logits = N(x) W^T, or N(x) E^T        the last N with pre-norm alone
//
// where f is attention, then the feed-forward network, in each of the layers.
// One model serves language modelling with rotary positions (RMSNorm, SwiGLU,
// untied), GPT-2 (LayerNorm, learned positions, GELU, tied), the decoder of
// cope.md 3.3, retnet.md's baseline, redshift.md's untrained decoders and
// cppo.md's policies; presets for them are below.
//
//   TransformerOptions options = Gpt2Options(/*vocab=*/256, /*dim=*/64,
//                                            /*layers=*/2, /*heads=*/4);
//   ParameterStore store;
//   SEPTET_ASSIGN_OR_RETURN(
//       Transformer model,
//       Transformer::Create(options,
//                           std::make_unique<LearnedPositions>(positions),
//                           ParameterScope(&store, {/*seed=*/1})));
//   Tape tape;
//   BoundParameters p = store.Watch(&tape);
//   Var logits = model.Forward(p, Pass::Training(1, step), {tokens});
//   Var loss = CrossEntropy(logits, targets, {});
//
// Decoding: Extend() with a KvCache (core/nn/kv_cache.h) gives the logits of
// the whole sequence to rounding, at the cost of the new tokens alone.
//
// Parameters, in this order: "embedding.weight" [V, d]; the hook's below
// "position."; "embedding_norm.*"; for each layer "layers.N.attn_norm.*",
// "layers.N.attn.*" (core/nn/multi_head_attention.h), "layers.N.ffn_norm.*",
// "layers.N.ffn.*" (core/nn/feed_forward.h); "final_norm.*"; "head.weight"
// [V, d] unless tied, "head.bias" [V]. core/nn/import.h loads other names.
//
// Cost a token: 2 operations a weight of the layers and the head, and
// attention's, forward; three times that with the gradient.
#ifndef SEPTET_CORE_NN_TRANSFORMER_H_
#define SEPTET_CORE_NN_TRANSFORMER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "septet/core/autograd/var.h"
#include "septet/core/nn/dropout_layer.h"
#include "septet/core/nn/embedding_layer.h"
#include "septet/core/nn/feed_forward.h"
#include "septet/core/nn/initializer.h"
#include "septet/core/nn/kv_cache.h"
#include "septet/core/nn/multi_head_attention.h"
#include "septet/core/nn/norm_layer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/nn/position_encoding.h"
#include "septet/core/ops/activation_kind.h"
#include "septet/core/ops/attention.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

enum class NormPlacement { kPre, kPost, kDeepNorm };

// First values. Factors such as ResidualScale(layers) are part of them.
struct TransformerInit {
  Initializer embedding = Initializer::Normal(0, 0.02);
  Initializer query = Initializer::Normal(0, 0.02);
  Initializer key = Initializer::Normal(0, 0.02);
  Initializer value = Initializer::Normal(0, 0.02);
  Initializer attention_out = Initializer::Normal(0, 0.02);
  Initializer fc1 = Initializer::Normal(0, 0.02);
  Initializer gate = Initializer::Normal(0, 0.02);
  Initializer fc2 = Initializer::Normal(0, 0.02);
  Initializer head = Initializer::Normal(0, 0.02);
  Initializer bias = Initializer::Zeros();  // of all linear layers
  Initializer norm_weight = Initializer::Ones();
  Initializer norm_bias = Initializer::Zeros();
};

// `init` with value, attention_out, fc1 and fc2 (not the gate) scaled by
// DeepNormScale(layers), as NormPlacement::kDeepNorm wants. layers >= 1.
TransformerInit DeepNormInit(TransformerInit init, int64_t layers);

struct TransformerOptions {
  int64_t vocab_size = 0;  // V, >= 1
  int64_t dim = 0;         // d, >= 1
  int64_t layers = 0;      // >= 0
  int64_t heads = 0;       // >= 1
  int64_t kv_heads = 0;    // 0: heads
  int64_t head_dim = 0;    // 0: dim / heads
  int64_t ffn_dim = 0;     // >= 1

  NormKind norm = NormKind::kLayer;
  double norm_eps = 1e-5;
  bool norm_bias = true;  // LayerNorm's
  NormPlacement placement = NormPlacement::kPre;
  // What multiplies the residual; 0: DeepNormAlpha(layers) with kDeepNorm,
  // else 1.
  double residual_scale = 0;
  bool embedding_norm = false;
  bool final_norm = true;  // with kPre; post-norm blocks end in a norm

  FeedForwardKind ffn = FeedForwardKind::kMlp;
  ActivationKind activation = ActivationKind::kGeluTanh;
  bool qkv_bias = true;
  bool attention_out_bias = true;
  bool ffn_bias = true;
  bool head_bias = false;
  bool tied_head = false;  // logits = h E^T
  bool joint_qkv = true;
  double embedding_scale = 1;  // finite
  double attention_scale = 0;  // 0: 1 / sqrt(head_dim)

  double embedding_dropout = 0;
  double attention_dropout = 0;  // of the weights
  double attention_out_dropout = 0;
  double ffn_hidden_dropout = 0;  // behind the activation
  double ffn_dropout = 0;         // behind fc2

  TransformerInit init;

  // InvalidArgument that names the field, its value and its range.
  absl::Status Validate() const;
};

// GPT-2: pre-norm, LayerNorm 1e-5, tanh GELU in 4 d, biases, tied, N(0, std)
// and residual projections scaled by ResidualScale(layers). With
// LearnedPositions. cppo.md 7.3 and redshift.md change a few fields.
TransformerOptions Gpt2Options(int64_t vocab_size, int64_t dim, int64_t layers,
                               int64_t heads, double std = 0.02);

// Byte-level language model and retnet.md's baseline: pre-norm, RMSNorm 1e-6,
// SwiGLU of 8 d / 3 rounded down to a multiple of 16, no biases, untied. With
// RotaryPositions. Xavier uniform of gain 2^-2.5 for q, k, v and 2^-1 for the
// output, U(+-1 / sqrt(fan_in)) in the feed-forward network, N(0, 1 / d) for
// embedding and head, as retnet.md 3.7 has them.
TransformerOptions RotarySwiGluOptions(int64_t vocab_size, int64_t dim,
                                       int64_t layers, int64_t heads);

// The decoder of cope.md 3.3: ReLU in 4 d with biases, LayerNorm 1e-5, N(0,
// 1 / d) for the embedding, U(+-1 / sqrt(fan_in)) elsewhere; pre-norm scales
// the residual projections by ResidualScale(layers).
TransformerOptions ContextualPositionOptions(int64_t vocab_size, int64_t dim,
                                             int64_t layers, int64_t heads,
                                             NormPlacement placement);

struct TransformerInput {
  Tensor tokens;  // [B, T], i32 or i64, in 0..V-1
  // i64 [B, T], or undefined: 0, 1, ... in every row. What LearnedPositions
  // looks up; attention goes by the place in the row.
  Tensor positions;
  // Which keys are seen beside causality: padding.
  AttentionMask mask;
};

struct ExtendOptions {
  // i64 [B]: the first lengths[b] >= 1 tokens of row b count, the others are
  // padding. Only for the first tokens of a cache. Undefined: all.
  Tensor lengths;
  // Logits of every new token, [B, T, V], instead of the last one's, [B, V].
  // Where there are lengths, row b's tokens end in column T - 1.
  bool all_logits = false;
};

class Transformer {
 public:
  // Adds the parameters to the scope's store. `position` may be null: none.
  // Errors: those of Validate() and the hook's Declare(), with the scope's
  // name.
  static absl::StatusOr<Transformer> Create(
      const TransformerOptions& options,
      std::unique_ptr<PositionEncoding> position, const ParameterScope& scope);

  // Logits [B, T, V]: Logits(Hidden(...)).
  Var Forward(const BoundParameters& p, const Pass& pass,
              const TransformerInput& input) const;

  // What the head reads, [B, T, d], behind the last norm.
  Var Hidden(const BoundParameters& p, const Pass& pass,
             const TransformerInput& input) const;
  // h [..., d]: [..., V].
  Var Logits(const BoundParameters& p, const Var& h) const;

  // A cache for `batch` rows of up to `capacity` tokens.
  absl::StatusOr<KvCache> MakeCache(int64_t batch, int64_t capacity,
                                    DType dtype) const;

  // Appends tokens [B, T], or [B] for T = 1, to the cache's rows, and returns
  // the logits that follow. On an error the cache is as before.
  // Errors: FailedPrecondition if there is no room, if the parameters are on a
  // tape, or for lengths with a cache that is not empty; InvalidArgument for
  // other shapes, a cache of another model, lengths out of 1..T, or a token
  // out of range.
  absl::StatusOr<Tensor> Extend(const BoundParameters& p, const Tensor& tokens,
                                KvCache* cache,
                                const ExtendOptions& options = {}) const;

  const TransformerOptions& options() const { return options_; }
  // Null if there is none.
  const PositionEncoding* position() const { return position_.get(); }
  ParameterId embedding() const { return embedding_.weight(); }

 private:
  struct Layer {
    NormLayer attention_norm;
    MultiHeadAttention attention;
    NormLayer ffn_norm;
    FeedForward ffn;
  };

  Transformer() = default;

  Var Run(const BoundParameters& p, const Pass& pass, const Var& tokens,
          const Var& positions, const AttentionContext& context) const;
  // One residual branch: `y` of x.
  Var Residual(const BoundParameters& p, const NormLayer& norm, const Var& x,
               const Var& y) const;

  TransformerOptions options_;
  double residual_scale_ = 1;
  std::unique_ptr<PositionEncoding> position_;
  EmbeddingLayer embedding_;
  NormLayer embedding_norm_;
  DropoutLayer embedding_dropout_;
  std::vector<Layer> layers_;
  NormLayer final_norm_;
  ParameterId head_weight_;
  ParameterId head_bias_;
};

}  // namespace septet

#endif  // SEPTET_CORE_NN_TRANSFORMER_H_
