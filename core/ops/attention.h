// SPDX-License-Identifier: Apache-2.0
// Scaled dot-product attention (Vaswani et al., 2017, arXiv 1706.03762),
//
//   o_t = sum_s w_ts v_s,   w_t = softmax over the keys that query t sees of
//                                 scale q_t k_s,
//
// fused, without a matrix of queries by keys (FlashAttention, Dao et al., 2022,
// arXiv 2205.14135; core/ops/attention-inl.h says how, and is the template from
// which attention with other scores is made).
//
//   Var o = Attention(q, k, v);                             // causal
//   AttentionOptions options;
//   options.causal = false;
//   Var y = Attention(q, k, v, {lengths, Var()}, options);  // padded batch
//
// With a cache of keys and values, k and v are longer than q: the last query
// sees all keys, the one before it all but one. Views are read where they lie:
// the filled part of a cache [B, H, capacity, D] is its Slice along time.
//
// Cost: 2 (D + Dv) multiply-adds a visible pair and an exponential forward,
// 6 D + 4 Dv and one backward (4 D operations forward, and 14 D in all with the
// forward pass, by the usual count, which leaves out computing the scores a
// second time). Kept for the gradient besides the inputs: the output and one
// number a query. Where there are fewer than 8 key heads B Hkv, the backward
// pass takes up to 8 / (B Hkv) + 1 times the memory of dk and dv besides them.
//
// Determinism: the same bits for any number of threads. The same query against
// the same keys gives the same bits whatever T and S, but for T = 1 without
// dropout, where a kernel of its own adds in another order.
#ifndef SEPTET_CORE_OPS_ATTENTION_H_
#define SEPTET_CORE_OPS_ATTENTION_H_

#include <cstdint>

#include "septet/core/autograd/var.h"
#include "septet/core/random/philox.h"

namespace septet {

// How q, k, v and the result lie: [batch, heads, time, dim] or [batch, time,
// heads, dim]. The latter is what a projection gives: [B, T, H D] is reshaped
// to it and back for nothing.
enum class AttentionLayout { kBHTD, kBTHD };

struct AttentionMask {
  Var key_lengths;  // i64 [B], in 0 .. S: keys from there on are not seen
  Var key_mask;     // bool [B, S]: keys that are false are not seen
  // Query t sees its own key, S - T + t, whatever the two say.
  bool keep_self = false;
};

struct AttentionOptions {
  AttentionLayout layout = AttentionLayout::kBHTD;
  bool causal = true;  // query t sees keys 0 .. S - T + t
  double scale = 0;    // of the products q k; 0: 1 / sqrt(D)
  // Weights are dropped with this probability and the others divided by one
  // less it. Weight (b, h, t, s) is kept iff
  //   UnitFromWord(PhiloxElement(dropout_key, e / 4)[e % 4]) >= dropout,
  //   e = ((b H + h) T + t) RoundUp4(S) + s.
  double dropout = 0;
  PhiloxKey dropout_key{};
};

// q [B, H, T, D], k [B, Hkv, S, D], v [B, Hkv, S, Dv] give [B, H, T, Dv] (or
// with axes 1 and 2 exchanged); f32 or f64. Hkv divides H: query head h uses
// key head h / (H / Hkv). Batch, heads and widths are positive; T and S may be
// 0. A query that sees no key has the output 0 and sends no gradient. Keys and
// values that a query does not see, because of causal or key_mask, must be
// finite all the same, because they may be multiplied by 0; what lies beyond
// key_lengths is not read (without keep_self).
//
// Errors: InvalidArgument naming the argument, what was expected and what came:
// dtypes, shapes, S < T if causal, a key length out of range, a scale that is
// not finite, dropout outside of [0, 1).
//
// Differentiable with respect to q, k and v any number of times: gradients of
// first order are fused, higher ones and forward mode go through elementary
// ops, which do have the matrix.
Var Attention(const Var& q, const Var& k, const Var& v,
              const AttentionMask& mask = {},
              const AttentionOptions& options = {});

// The same with q, k and v side by side, as one projection gives them: qkv [B,
// T, H + 2 Hkv, D] gives [B, T, H, D]. So nothing is copied, and the gradient
// is written side by side, too, where that of Split() is joined from three.
// options.layout is kBTHD.
//
// Errors: InvalidArgument likewise, and for another number of heads or layout.
Var JointAttention(const Var& qkv, int64_t heads, int64_t kv_heads,
                   const AttentionMask& mask = {},
                   const AttentionOptions& options = {});

}  // namespace septet

#endif  // SEPTET_CORE_OPS_ATTENTION_H_
