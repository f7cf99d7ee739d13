// SPDX-License-Identifier: Apache-2.0
// RWKV-4 (Peng et al.: RWKV: Reinventing RNNs for the Transformer Era, 2023,
// arXiv 2305.13048) as a decoder-only language model, a baseline of RetNet's
// (Sun et al., 2023, arXiv 2307.08621, tables 1 and 5).
//
//   x = N_0(E[token])
//   x <- x + TimeMix(N(x)):      k, v, r = shift(x) W_k, W_v, W_r
//                                (sigmoid(r) wkv(k, v)) W_o
//   x <- x + ChannelMix(N(x)):   k, r = shift(x) W_k, W_r
//                                sigmoid(r) (max(k, 0)^2 W_v)
//   logits = N(x) W^T
//
// with a token shift (retention/token_shift.h) of its own for each of k, v and
// r, and the mean over time of retention/wkv.h. All products are parallel over
// time, and the mean is a scan, so a training step is parallel, whatever table
// 1 says. Decoding is recurrent: five vectors [d] a layer, whatever the length.
//
// Differences from the authors' code: none in the model; first values as there,
// but for those named at RwkvInit. RetNet's comparison keeps the feed-forward
// network of the other models in place of the channel-mix: RwkvFfn::kGlu.
//
//   RwkvOptions options = Rwkv4Options(/*vocab=*/256, /*dim=*/64,
//                                      /*layers=*/2);
//   ParameterStore store;
//   SEPTET_ASSIGN_OR_RETURN(
//       Rwkv model, Rwkv::Create(options, ParameterScope(&store,
//       {/*seed=*/1})));
//   Tape tape;
//   BoundParameters p = store.Watch(&tape);
//   Var logits = model.Forward(p, Pass::Training(1, step), tokens);
//   Var loss = CrossEntropy(logits, targets, {});
//
// Parameters, in this order: "embedding.weight" [V, d]; "embedding_norm.*"; for
// each layer "layers.N.time_norm.*", "layers.N.time.mix" [3, d] (of k, v, r),
// "layers.N.time.decay" [d] (ln w), "layers.N.time.bonus" [d],
// "layers.N.time.{key,value,receptance,out}.weight" [d, d];
// "layers.N.channel_norm.*", "layers.N.channel.mix" [2, d] (of k, r),
// "layers.N.channel.key.weight" [d, f], "layers.N.channel.value.weight" [f, d],
// "layers.N.channel.receptance.weight" [d, d], or "layers.N.ffn.*";
// "final_norm.*"; "head.weight" [V, d] unless tied.
//
// Cost a token: 2 operations a weight, and two exponentials a channel and
// layer; about three times that with the gradient. Determinism: the same bits
// for any number of threads.
#ifndef SEPTET_RETENTION_RWKV_H_
#define SEPTET_RETENTION_RWKV_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "septet/core/autograd/var.h"
#include "septet/core/nn/dropout_layer.h"
#include "septet/core/nn/embedding_layer.h"
#include "septet/core/nn/feed_forward.h"
#include "septet/core/nn/initializer.h"
#include "septet/core/nn/linear_layer.h"
#include "septet/core/nn/norm_layer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/nn/transformer.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/recurrent_state.h"

namespace septet {

// First values of matrices. Those of mixtures, decay and bonus are functions of
// layer and channel (appendix E of the paper): see Rwkv::Create().
struct RwkvInit {
  Initializer embedding = Initializer::Uniform(-1e-4, 1e-4);
  // Keys, receptances and what ends a branch begin at 0: a block is the
  // identity, and its mean over time is a plain one.
  Initializer time_key = Initializer::Zeros();
  Initializer time_value = Initializer::Orthogonal();
  Initializer time_receptance = Initializer::Zeros();
  Initializer time_out = Initializer::Zeros();
  Initializer channel_key = Initializer::Orthogonal(2);  // sqrt(4 d / d)
  Initializer channel_value = Initializer::Zeros();
  Initializer channel_receptance = Initializer::Zeros();
  Initializer fc1 = Initializer::FanInUniform();
  Initializer gate = Initializer::FanInUniform();
  Initializer fc2 = Initializer::FanInUniform();
  Initializer head = Initializer::Orthogonal(0.5);
};

enum class RwkvFfn {
  kChannelMix,  // RWKV-4's
  kGlu,         // swish(fc1) gate, without a token shift
};

struct RwkvOptions {
  int64_t vocab_size = 0;  // V, >= 1
  int64_t dim = 0;         // d, >= 1
  int64_t layers = 0;      // >= 0
  int64_t ffn_dim = 0;     // f, >= 1

  RwkvFfn ffn = RwkvFfn::kChannelMix;
  NormKind norm = NormKind::kLayer;
  double norm_eps = 1e-5;
  bool embedding_norm = true;
  bool tied_head = false;  // logits = h E^T

  double time_dropout = 0;     // of the time-mix's result
  double channel_dropout = 0;  // of the channel-mix's, or the network's

  RwkvInit init;

  // InvalidArgument that names the field, its value and its range.
  absl::Status Validate() const;
};

// The released models': f = 4 d, 13 d^2 weights a layer.
RwkvOptions Rwkv4Options(int64_t vocab_size, int64_t dim, int64_t layers);

// The same with the f, a multiple of 16, for which a layer has about as many
// weights, 12 d^2, as RotarySwiGluOptions() gives a Transformer
// (core/nn/transformer.h).
RwkvOptions RwkvPreset(int64_t vocab_size, int64_t dim, int64_t layers);

class Rwkv {
 public:
  // Adds the parameters to the scope's store. First values of layer i of L,
  // channel c of d, with a = i / (L - 1) and b = 1 - i / L:
  //   decay  -5 + 8 (c / (d - 1))^(0.7 + 1.3 a)
  //   bonus  ln 0.3 + ((c + 1) mod 3 - 1) / 2
  //   mix    (c / d)^b for k, that + 0.3 a for v, (c / d)^(b / 2) for r; in the
  //          channel-mix (c / d)^b for both
  // Errors: those of Validate(), with the scope's name; ResourceExhausted.
  static absl::StatusOr<Rwkv> Create(const RwkvOptions& options,
                                     const ParameterScope& scope);

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

  const RwkvOptions& options() const { return options_; }
  ParameterId embedding() const { return embedding_.weight(); }

 private:
  struct Layer {
    NormLayer time_norm;
    ParameterId time_mix;
    ParameterId decay;
    ParameterId bonus;
    LinearLayer time_key;
    LinearLayer time_value;
    LinearLayer time_receptance;
    LinearLayer time_out;
    DropoutLayer time_dropout;
    NormLayer channel_norm;
    // Of the channel-mix, or
    ParameterId channel_mix;
    LinearLayer channel_key;
    LinearLayer channel_value;
    LinearLayer channel_receptance;
    DropoutLayer channel_dropout;
    // the gated network.
    FeedForward ffn;
  };
  // What tokens are continued from, and what is left behind them: the tensors
  // of StateShapes(). Null in training.
  struct Continuation {
    absl::Span<const Tensor> before;
    std::vector<Tensor>* after;
    size_t next = 0;  // of `before`
  };

  Rwkv() = default;

  absl::Status AddTimeMix(int64_t index, const ParameterScope& in,
                          Layer* layer) const;
  absl::Status AddChannelMix(int64_t index, const ParameterScope& in,
                             Layer* layer) const;

  // Of one row of a batch: for each layer the last row of the time-mix's input
  // [d], wkv's state [3, d], and the last row of the channel-mix's input [d].
  std::vector<std::vector<int64_t>> StateShapes() const;

  Var TimeMix(const BoundParameters& p, const Layer& layer, const Var& x,
              Continuation* continuation) const;
  Var ChannelMix(const BoundParameters& p, const Layer& layer, const Var& x,
                 Continuation* continuation) const;
  Var Run(const BoundParameters& p, const Pass& pass, const Tensor& tokens,
          Continuation* continuation) const;

  RwkvOptions options_;
  EmbeddingLayer embedding_;
  NormLayer embedding_norm_;
  std::vector<Layer> layers_;
  NormLayer final_norm_;
  ParameterId head_weight_;
};

}  // namespace septet

#endif  // SEPTET_RETENTION_RWKV_H_
