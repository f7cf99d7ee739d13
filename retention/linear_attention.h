// SPDX-License-Identifier: Apache-2.0
// Causal linear attention (Katharopoulos, Vyas, Pappas, Fleuret: Transformers
// are RNNs: Fast Autoregressive Transformers with Linear Attention, 2020, arXiv
// 2006.16236, eq. 9 to 12): softmax attention with exp(q k) replaced by
// phi(q) phi(k), phi(x) = elu(x) + 1. In row t, with sums over s <= t,
//
//   o_t = sum (phi(q_t) phi(k_s)) v_s / (sum phi(q_t) phi(k_s) + eps)
//       = phi(q_t) S_t / (phi(q_t) z_t + eps),
//   S_t = S_{t-1} + phi(k_t)^T v_t [dk, dv],   z_t = z_{t-1} + phi(k_t) [dk].
//
//   Var o = LinearAttention(q, k, v).out;                    // [B, T, H, dv]
//
//   // A long sequence in parts, or token by token:
//   LinearAttentionOutput a = LinearAttention(q1, k1, v1, {}, {}, true);
//   LinearAttentionOutput b = LinearAttention(q2, k2, v2, {}, a.state, true);
//
// With frequencies, phi(q) and phi(k) are rotated by their positions in the
// numerator alone (Su et al.: RoFormer, 2021, arXiv 2104.09864, eq. 19): the
// weights depend on distances and no longer add up to one. The authors' model
// has no such thing: it adds positions to the embedding.
//
// Dividing phi(q_t) instead of o_t turns the sum into retention without decay
// (retention/retention.h), whose forms all serve: parallel, chunkwise,
// recurrent.
//
// Cost: that of Retention, and one walk over q and k forward and two backward.
// Memory is linear in T. The same bits for any number of threads.
// Keywords: linear transformer, kernel feature map, fast weights.
#ifndef SEPTET_RETENTION_LINEAR_ATTENTION_H_
#define SEPTET_RETENTION_LINEAR_ATTENTION_H_

#include <cstdint>

#include "septet/core/autograd/var.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/retention.h"

namespace septet {

struct LinearAttentionOptions {
  RetentionForm form = RetentionForm::kAuto;
  int64_t chunk_size = 64;  // >= 1
  // Finite, >= 0. The authors' code has 1e-6, which also keeps rows defined
  // whose features are all 0 (elements below -104 in f32).
  double eps = 1e-6;
  // Radians a position, f64 [R / 2] with R <= dk, pairs (2 i, 2 i + 1) of the
  // first R elements (core/ops/rotary.h); undefined: no rotation.
  Tensor frequencies;
  // Of row 0, for the rotation: the length of what the state has seen.
  double position = 0;
};

// What a sequence has behind its last row; undefined: 0.
struct LinearAttentionState {
  Var s;  // [B, H, dk, dv], of the dtype of q
  Var z;  // [B, H, dk]
};

struct LinearAttentionOutput {
  Var out;
  LinearAttentionState state;  // if asked for
};

// q, k [B, T, H, dk], v [B, T, H, dv], f32 or f64, of any strides, T >= 1 (0
// with a state): out [B, T, H, dv].
// Errors, in `out`: InvalidArgument naming the argument, what was expected and
// what came: those of Retention and Rotary, an eps out of range, s without z
// or z without s.
// Differentiable in q, k, v, s and z: first derivatives are fused, higher ones
// and forward mode go through elementary ops.
LinearAttentionOutput LinearAttention(
    const Var& q, const Var& k, const Var& v,
    const LinearAttentionOptions& options = {},
    const LinearAttentionState& state = {}, bool return_state = false);

}  // namespace septet

#endif  // SEPTET_RETENTION_LINEAR_ATTENTION_H_
