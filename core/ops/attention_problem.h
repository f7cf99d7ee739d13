// SPDX-License-Identifier: Apache-2.0
// What the attention kernels are given, and how their work is cut: by the
// shape alone, so that neither threads nor vector width decide which task does
// what. The kernels are in attention_kernels.h (plain attention) and
// attention-inl.h (any modifier of the scores).
#ifndef SEPTET_CORE_OPS_ATTENTION_PROBLEM_H_
#define SEPTET_CORE_OPS_ATTENTION_PROBLEM_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "septet/core/random/philox.h"

namespace septet {

// Element (b, h, t, d) is data[b batch + h head + t time + d]: both [B, H, T,
// D] and [B, T, H, D], and views of them such as the filled part of a cache.
// Read operands may repeat (distance 0).
template <typename T>
struct AttentionOperand {
  T* data = nullptr;
  int64_t batch = 0;
  int64_t head = 0;
  int64_t time = 0;

  T* At(int64_t b, int64_t h, int64_t t) const {
    return data + b * batch + h * head + t * time;
  }
};

// B batch, H query heads, Hkv key heads (Hkv divides H: query head h uses key
// head h / (H / Hkv)), T queries, S keys, D width of q and k, Dv width of v.
template <typename T>
struct AttentionProblem {
  int64_t batch = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t queries = 0;
  int64_t keys = 0;
  int64_t head_dim = 0;
  int64_t value_dim = 0;

  AttentionOperand<const T> q, k, v;

  // Query t sees keys 0 .. S - T + t. Needs S >= T.
  bool causal = false;
  // [B], each in 0 .. S: keys from there on are seen by no query. Null: S.
  const int64_t* key_lengths = nullptr;
  // [B, S]: false: seen by no query. Null: all true.
  const bool* key_mask = nullptr;
  // Query t sees key S - T + t whatever the two above say: no row of a padded
  // batch is without a key.
  bool keep_self = false;

  // Of the products q k, where the modifier of the scores is the plain one.
  double scale = 1;

  // Weights are dropped with this probability, in [0, 1), and the others
  // divided by one less it. Weight (b, h, t, s) has the number
  // e = ((b H + h) T + t) RoundUp4(S) + s, and is kept iff
  // UnitFromWord(PhiloxElement(dropout_key, e / 4)[e % 4]) >= dropout.
  double dropout = 0;
  PhiloxKey dropout_key{};

  int64_t group() const { return heads / kv_heads; }
  // Query t is aligned with key t + offset().
  int64_t offset() const { return keys - queries; }
};

template <typename T>
struct AttentionResult {
  AttentionOperand<T> out;  // [B, H, T, Dv]
  // [B, H, T]: the logarithm of the sum of the exponentials of a row's logits;
  // minus infinity for a row without a key.
  T* log_sum_exp = nullptr;
  // AttentionForwardPartials elements (attention_kernels.h), unless there are
  // none: what parts of the keys come to.
  T* partials = nullptr;
};

// What the backward pass reads besides the problem, and what it writes. dq, dk
// and dv are overwritten.
template <typename T>
struct AttentionGradient {
  AttentionOperand<const T> out, dout;
  const T* log_sum_exp = nullptr;
  AttentionOperand<T> dq, dk, dv;
  // AttentionPartials elements, unless there are none: sums of dk and dv over
  // a part of the queries.
  T* partials = nullptr;
};

// Queries and keys of a tile. A tile of scores then has 16 KiB in both types,
// so that it, the block of queries and a tile of keys or values, each of as
// much for heads 64 wide, pass through the first-level cache and stay in the
// second (the backward pass has two tiles of scores).
template <typename T>
inline constexpr int64_t kAttentionQueries = 256 / sizeof(T);
inline constexpr int64_t kAttentionKeys = 64;
// On the diagonal, tiles are computed in steps of so many keys and queries:
// the widest vector, so that little beyond the triangle is done.
inline constexpr int64_t kAttentionGroup = 16;
// Rows of scores are a multiple of the widest vector.
template <typename T>
inline constexpr int64_t kAttentionPad = 64 / sizeof(T);

constexpr int64_t AttentionRoundUp(int64_t n, int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}
template <typename T>
constexpr int64_t AttentionStride(int64_t queries) {
  return AttentionRoundUp(std::min(queries, kAttentionQueries<T>),
                          kAttentionPad<T>);
}

template <typename T>
constexpr int64_t AttentionQueryBlocks(const AttentionProblem<T>& p) {
  return (p.queries + kAttentionQueries<T> - 1) / kAttentionQueries<T>;
}

// Forward: a task is one block of queries of one head.
template <typename T>
constexpr int64_t AttentionForwardTasks(const AttentionProblem<T>& p) {
  return p.batch * p.heads * AttentionQueryBlocks(p);
}

// Backward: a task adds to dk and dv of one key head, in the order of its query
// blocks. Where there are fewer than kAttentionBackwardTasks key heads, the
// blocks of each are dealt out to several tasks that add to partial sums, which
// are then added in order: enough for some threads, while each task still has
// two blocks at least.
inline constexpr int64_t kAttentionBackwardTasks = 8;
template <typename T>
constexpr int64_t AttentionBackwardChunks(const AttentionProblem<T>& p) {
  const int64_t heads = std::max<int64_t>(1, p.batch * p.kv_heads);
  const int64_t blocks = p.group() * AttentionQueryBlocks(p);
  return std::max<int64_t>(
      1, std::min((kAttentionBackwardTasks + heads - 1) / heads, blocks / 2));
}
template <typename T>
constexpr int64_t AttentionBackwardTasks(const AttentionProblem<T>& p) {
  return p.batch * p.kv_heads * AttentionBackwardChunks(p);
}
// Elements of AttentionGradient::partials.
template <typename T>
constexpr int64_t AttentionPartials(const AttentionProblem<T>& p) {
  return AttentionBackwardChunks(p) == 1
             ? 0
             : AttentionBackwardTasks(p) * p.keys * (p.head_dim + p.value_dim);
}

// Elements of the workspace of a thread, forward and backward: some tiles. It
// begins at a multiple of 64 bytes.
template <typename T>
constexpr int64_t AttentionForwardWorkspace(const AttentionProblem<T>& p) {
  const int64_t stride = AttentionStride<T>(p.queries);
  const int64_t tile = kAttentionKeys * stride;
  return AttentionRoundUp(p.head_dim, kAttentionPad<T>) * stride +
         (p.dropout > 0 ? 2 : 1) * tile +
         stride * AttentionRoundUp(p.value_dim, kAttentionPad<T>) + 3 * stride;
}
template <typename T>
constexpr int64_t AttentionBackwardWorkspace(const AttentionProblem<T>& p) {
  const int64_t stride = AttentionStride<T>(p.queries);
  const int64_t tile = kAttentionKeys * stride;
  const int64_t q = stride * AttentionRoundUp(p.head_dim, kAttentionPad<T>);
  const int64_t v = stride * AttentionRoundUp(p.value_dim, kAttentionPad<T>);
  // q and dout as they are and transposed, dq; scores and their gradients.
  return 3 * q + 2 * v + (p.dropout > 0 ? 3 : 2) * tile + 2 * stride;
}

// A block of queries, as a modifier of the scores sees it. Scores lie with the
// queries along the vectors: that of query begin + i and key j of a tile is
// scores[j stride + i]. Entries i in [count, stride) are padding.
template <typename T>
struct AttentionRows {
  int64_t batch = 0;
  int64_t head = 0;
  int64_t kv_head = 0;
  int64_t begin = 0;     // the first query
  size_t count = 0;      // queries
  size_t stride = 0;     // count, rounded up to vectors
  int64_t task = 0;      // of AttentionForwardTasks, AttentionBackwardTasks
  const T* q = nullptr;  // [count, D], rows q_row apart
  size_t q_row = 0;
  // [D, stride], times the scale if the modifier is plain; padding is 0.
  const T* q_transposed = nullptr;
  // Backward alone: [count, D], the gradient so far, which may be added to.
  T* dq = nullptr;
  size_t dq_row = 0;
};

// A tile of keys. Query i of the block sees key j of the tile iff
// begin[j] <= i < end[j] (i < count). Scores that no query sees need not be
// there: those of keys [16 g, 16 g + 16) begin at entry computed[g], a multiple
// of 16, of their rows; computed grows with g.
template <typename T>
struct AttentionTile {
  int64_t begin_key = 0;
  size_t keys = 0;
  bool masked = false;  // some pair is not seen
  int32_t begin[kAttentionKeys];
  int32_t end[kAttentionKeys];
  size_t computed[kAttentionKeys / kAttentionGroup];

  const T* k = nullptr;  // [keys, D]
  size_t k_row = 0;
  const T* v = nullptr;  // [keys, Dv]
  size_t v_row = 0;
  // Backward alone: may be added to.
  T* dk = nullptr;
  size_t dk_row = 0;
  T* dv = nullptr;
  size_t dv_row = 0;

  size_t Computed(size_t key) const {
    return computed[key / static_cast<size_t>(kAttentionGroup)];
  }
  // Keys of which entry `i` of the scores is there: [0, that).
  size_t KeysOf(size_t i) const {
    constexpr size_t kGroup = static_cast<size_t>(kAttentionGroup);
    size_t n = 0;
    for (size_t g = 0; g * kGroup < keys && computed[g] <= i; ++g) {
      n = std::min(keys, (g + 1) * kGroup);
    }
    return n;
  }
};

}  // namespace septet

#endif  // SEPTET_CORE_OPS_ATTENTION_PROBLEM_H_
