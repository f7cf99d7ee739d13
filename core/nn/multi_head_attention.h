// SPDX-License-Identifier: Apache-2.0
// Multi-head attention of a sequence to itself (Vaswani et al., 2017), with
// grouped keys (Ainslie et al., 2023), a position hook and a cache.
//
//   MultiHeadAttentionOptions options;
//   options.dim = 64;
//   options.heads = 4;
//   SEPTET_ASSIGN_OR_RETURN(
//       MultiHeadAttention attention,
//       MultiHeadAttention::Create(options, scope.Sub("attn")));
//   Var y = attention.Forward(p, pass, {}, x);   // [B, T, 64]
//
// Head h owns the features h D .. h D + D - 1 of q and of the concatenated
// result; query head h reads key head h / (H / Hkv).
//
// Parameters: "qkv.weight" [dim, (H + 2 Hkv) D], columns q, k, v; or, with
// joint_qkv = false, "q.weight" [dim, H D], "k.weight", "v.weight" [dim,
// Hkv D]; "out.weight" [H D, dim]; and their biases. One joint product is
// quicker than three; core/nn/import.h loads either form from either.
//
// Cost: 2 dim (2 H + 2 Hkv) D operations a token for the projections, and
// attention's (core/ops/attention.h).
#ifndef SEPTET_CORE_NN_MULTI_HEAD_ATTENTION_H_
#define SEPTET_CORE_NN_MULTI_HEAD_ATTENTION_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "septet/core/autograd/var.h"
#include "septet/core/nn/dropout_layer.h"
#include "septet/core/nn/initializer.h"
#include "septet/core/nn/kv_cache.h"
#include "septet/core/nn/linear_layer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/nn/position_encoding.h"
#include "septet/core/ops/attention.h"

namespace septet {

struct MultiHeadAttentionOptions {
  int64_t dim = 0;       // >= 1
  int64_t heads = 0;     // H, >= 1
  int64_t kv_heads = 0;  // Hkv, divides H; 0: H
  int64_t head_dim = 0;  // D; 0: dim / H, which must be whole
  bool qkv_bias = true;
  bool out_bias = true;
  bool joint_qkv = true;
  bool causal = true;
  double scale = 0;              // of the scores, finite; 0: 1 / sqrt(D)
  double attention_dropout = 0;  // of the weights
  double dropout = 0;            // of the result
  // Each is given its own fans, whether the product is joint or not. In a joint
  // weight the numbers are those of the joint tensor's elements.
  Initializer q_init = Initializer::FanInUniform();
  Initializer k_init = Initializer::FanInUniform();
  Initializer v_init = Initializer::FanInUniform();
  Initializer out_init = Initializer::FanInUniform();
  Initializer bias_init = Initializer::FanInUniform();

  // With the defaults that depend on others filled in.
  MultiHeadAttentionOptions Resolved() const;
  // InvalidArgument that names the field, its value and its range.
  absl::Status Validate() const;
};

// What all layers of a pass share.
struct AttentionContext {
  const PositionEncoding* position = nullptr;  // null: none
  AttentionMask mask;
  KvCache* cache = nullptr;  // null: keys are those of the pass
};

class MultiHeadAttention {
 public:
  MultiHeadAttention() = default;

  // `layer` is its number in the cache and for the position hook.
  static absl::StatusOr<MultiHeadAttention> Create(
      const MultiHeadAttentionOptions& options, const ParameterScope& scope,
      int layer = 0);

  // x [B, T, dim]: [B, T, dim]. With a cache, the keys and values are written
  // to its slots from length() on and the queries see those before, too.
  // Errors: InvalidArgument for another rank; those of the ops and the cache.
  Var Forward(const BoundParameters& p, const Pass& pass,
              const AttentionContext& context, const Var& x) const;

 private:
  // q, k and v of the new positions: through position hook and cache.
  Var Attend(const AttentionContext& context, const AttentionCall& call, Var q,
             Var k, Var v) const;

  MultiHeadAttentionOptions options_;
  int layer_ = 0;
  LinearLayer qkv_;
  LinearLayer q_;
  LinearLayer k_;
  LinearLayer v_;
  LinearLayer out_;
  DropoutLayer attention_dropout_;
  DropoutLayer dropout_;
};

}  // namespace septet

#endif  // SEPTET_CORE_NN_MULTI_HEAD_ATTENTION_H_
