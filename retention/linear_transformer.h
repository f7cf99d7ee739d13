// SPDX-License-Identifier: Apache-2.0
// A decoder-only language model with linear attention (Katharopoulos et al.,
// 2020, arXiv 2006.16236): the Transformer of core/nn/transformer.h with its
// attention exchanged, a baseline of RetNet's (Sun et al., 2023, arXiv
// 2307.08621, table 5).
//
//   x = E[token];  x <- x + LinearAttention(N(x)) W_o;  x <- x + FFN(N(x))
//   logits = N(x) W^T
//
// Training is parallel over time, decoding recurrent: the state of a layer is a
// matrix [dk, dv] and a vector [dk] a head, whatever the length. The decoder of
// the paper is post-norm with a plain FFN and learned positions; the default
// here shares all but the attention with RotarySwiGluOptions(), so that models
// of equal parameters are compared: pre-norm RMSNorm, SwiGLU, rotated features
// (retention/linear_attention.h), or no positions at all.
//
//   LinearTransformerOptions options =
//       LinearTransformerPreset(/*vocab=*/256, /*dim=*/64, /*layers=*/2,
//                               /*heads=*/2);
//   ParameterStore store;
//   SEPTET_ASSIGN_OR_RETURN(
//       LinearTransformer model,
//       LinearTransformer::Create(options, ParameterScope(&store,
//       {/*seed=*/1})));
//   Tape tape;
//   BoundParameters p = store.Watch(&tape);
//   Var logits = model.Forward(p, Pass::Training(1, step), tokens);
//   Var loss = CrossEntropy(logits, targets, {});
//
// Parameters, in this order, names and shapes as the Transformer's:
// "embedding.weight" [V, d]; for each layer "layers.N.attn_norm.*",
// "layers.N.attn.qkv.weight" [d, 3 d], "layers.N.attn.out.weight" [d, d],
// "layers.N.ffn_norm.*", "layers.N.ffn.*"; "final_norm.*"; "head.weight" [V, d]
// unless tied.
//
// Cost a token: 2 operations a weight, and 4 d dk with a chunk's 2 C d on top;
// three times that with the gradient. Determinism: the same bits for any number
// of threads.
#ifndef SEPTET_RETENTION_LINEAR_TRANSFORMER_H_
#define SEPTET_RETENTION_LINEAR_TRANSFORMER_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "septet/core/autograd/var.h"
#include "septet/core/nn/dropout_layer.h"
#include "septet/core/nn/embedding_layer.h"
#include "septet/core/nn/feed_forward.h"
#include "septet/core/nn/linear_layer.h"
#include "septet/core/nn/norm_layer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/nn/transformer.h"
#include "septet/core/ops/activation_kind.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/recurrent_state.h"
#include "septet/retention/retention.h"

namespace septet {

struct LinearTransformerOptions {
  int64_t vocab_size = 0;  // V, >= 1
  int64_t dim = 0;         // d, >= 1
  int64_t layers = 0;      // >= 0
  int64_t heads = 0;       // >= 1, divides dim
  int64_t ffn_dim = 0;     // >= 1

  NormKind norm = NormKind::kRms;
  double norm_eps = 1e-6;
  FeedForwardKind ffn = FeedForwardKind::kGlu;
  ActivationKind activation = ActivationKind::kSwish;
  bool tied_head = false;  // logits = h E^T

  // Features are rotated by their positions; d / heads is even then.
  bool rotary = true;
  double rotary_base = 10000;                 // finite, > 0
  double attention_eps = 1e-6;                // finite, >= 0
  int64_t chunk_size = 64;                    // >= 1
  RetentionForm form = RetentionForm::kAuto;  // of Forward()

  double attention_out_dropout = 0;
  double ffn_dropout = 0;

  TransformerInit init;  // of biases: none there are

  // InvalidArgument that names the field, its value and its range.
  absl::Status Validate() const;
};

// As RotarySwiGluOptions() (core/nn/transformer.h): the same widths, first
// values and number of parameters.
LinearTransformerOptions LinearTransformerPreset(int64_t vocab_size,
                                                 int64_t dim, int64_t layers,
                                                 int64_t heads);

class LinearTransformer {
 public:
  // Adds the parameters to the scope's store. Errors: those of Validate(), with
  // the scope's name; ResourceExhausted.
  static absl::StatusOr<LinearTransformer> Create(
      const LinearTransformerOptions& options, const ParameterScope& scope);

  // tokens: [B, T], i32 or i64, in 0..V-1, T >= 1. Logits [B, T, V]:
  // Logits(Hidden(...)).
  Var Forward(const BoundParameters& p, const Pass& pass,
              const Tensor& tokens) const;
  // What the head reads, [B, T, d], behind the last norm.
  Var Hidden(const BoundParameters& p, const Pass& pass,
             const Tensor& tokens) const;
  // h [..., d]: [..., V].
  Var Logits(const BoundParameters& p, const Var& h) const;

  // The state of `batch` >= 1 rows that have read nothing. Errors:
  // InvalidArgument for a batch < 1 or a dtype that is not f32 or f64;
  // ResourceExhausted.
  absl::StatusOr<RecurrentState> MakeState(int64_t batch, DType dtype) const;

  // As ExtendRecurrent() (retention/recurrent_state.h). InvalidArgument, too,
  // for a state of another model.
  absl::StatusOr<Tensor> Extend(const BoundParameters& p, const Tensor& tokens,
                                RecurrentState* state,
                                const ExtendOptions& options = {}) const;

  const LinearTransformerOptions& options() const { return options_; }
  ParameterId embedding() const { return embedding_.weight(); }

 private:
  struct Layer {
    NormLayer attention_norm;
    LinearLayer qkv;
    LinearLayer out;
    DropoutLayer dropout;
    NormLayer ffn_norm;
    FeedForward ffn;
  };

  LinearTransformer() = default;

  // Of one row of a batch: s [H, dk, dv] and z [H, dk] of each layer.
  std::vector<std::vector<int64_t>> StateShapes() const;
  // With `before` and `after`, of StateShapes(), or both null.
  Var Run(const BoundParameters& p, const Pass& pass, const Tensor& tokens,
          absl::Span<const Tensor> before, double position,
          std::vector<Tensor>* after) const;

  LinearTransformerOptions options_;
  Tensor frequencies_;  // undefined without rotary
  EmbeddingLayer embedding_;
  std::vector<Layer> layers_;
  NormLayer final_norm_;
  ParameterId head_weight_;
};

}  // namespace septet

#endif  // SEPTET_RETENTION_LINEAR_TRANSFORMER_H_
