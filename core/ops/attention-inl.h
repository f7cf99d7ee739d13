// SPDX-License-Identifier: Apache-2.0
// Attention, o_i = sum_j softmax_j(L_ij) v_j, and its gradients without a
// matrix of queries by keys, for any logits L that are made of q_i k_j: one
// template over a modifier of the scores, for every Highway target. Include it
// after hwy/foreach_target.h, as all -inl.h.
//
// Source: T. Dao, D. Y. Fu, S. Ermon, A. Rudra, C. Re, FlashAttention, 2022,
// arXiv 2205.14135, algorithms 1 and 4 (the running maximum is M. Milakov, N.
// Gimelshein, 2018, arXiv 1805.02867). Keys pass in tiles; of a tile of scores
// only the running maximum m, the sum l and the output survive, and the
// backward pass computes the scores again:
//
//   forward    L = modify(q k);  p = exp(L - m);  l = sum p;  o = p v / l
//   backward   p = exp(L - lse), lse = m + log l;  D_i = do_i o_i
//              dL = p (do v - D);  ds = modify'(dL)
//              dq = ds k;  dk = ds^T q;  dv = p^T do
//
// What differs from the source: scores lie transposed, with the queries along
// the vectors. Maxima, sums and scans over keys are then operations on whole
// vectors; a mask of keys is one comparison a row; and no product needs a
// transposed K or V: only the block of queries is transposed, once
// (core/blas/micro_gemm-inl.h takes its left operand in any orientation).
//
// A modifier is a class with these members (a plain one needs but kPlain):
//
//   struct Alibi {
//     // True: L = scale q k, and nothing below is called. Costs nothing: the
//     // scale goes into the transposed q.
//     static constexpr bool kPlain = false;
//     // Whether tiles of keys are visited from the last to the first, in each
//     // direction. Sums over the keys to the right of one (CoPE) come from
//     // the right forward, and their gradients from the left backward.
//     static constexpr bool kForwardFromRight = false;
//     static constexpr bool kBackwardFromRight = false;
//     // Before the first tile of a block of queries, in both directions.
//     void BeginRows(const AttentionRows<T>& rows);
//     // scores: q k, unscaled, becomes the logits L. Entries that a query does
//     // not see are ignored afterwards.
//     void Forward(const AttentionRows<T>&, const AttentionTile<T>&,
//                  T* scores);
//     // The same in the backward pass.
//     void Again(const AttentionRows<T>&, const AttentionTile<T>&,
//                T* scores);
//     // dscores: dL, zero where a query does not see a key and in the padding,
//     // becomes the gradient of q k, which the template takes to q and k. Adds
//     // to gradients of the modifier's own parameters; may add to rows.dq and
//     // to tile.dk, tile.dv. Called after Again, with the same tile.
//     void Gradient(const AttentionRows<T>&, const AttentionTile<T>&,
//                   T* dscores);
//     // After the last tile, in both directions; rows.dq may be added to.
//     void EndRows(const AttentionRows<T>& rows);
//   };
//
// The order in which blocks of queries come within a task, and the tiles of a
// block, is fixed by the shape. Gradients of parameters are the same for any
// number of threads if they are kept apart by rows.task and added in order.
// The carry of an unseen tile is nobody's: tiles of which no query sees a key
// are not visited.
//
// Keys and values that a query does not see, because of causal or key_mask,
// must be finite (they may be multiplied by 0); those beyond key_lengths are
// not read, unless keep_self is set.
//
// Cost: forward 2 (D + Dv) multiply-adds a visible pair and one exponential,
// backward 6 D + 4 Dv and one. On the diagonal, pairs are done in groups of 16
// keys and 16 queries, so that T + 16 instead of T + 1 halves of a row are.
#if defined(SEPTET_CORE_OPS_ATTENTION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SEPTET_CORE_OPS_ATTENTION_INL_H_
#undef SEPTET_CORE_OPS_ATTENTION_INL_H_
#else
#define SEPTET_CORE_OPS_ATTENTION_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "hwy/highway.h"
#include "septet/core/blas/micro_gemm-inl.h"
#include "septet/core/ops/attention_problem.h"
#include "septet/core/ops/simd-inl.h"
#include "septet/core/ops/vector_math-inl.h"
#include "septet/core/random/philox-inl.h"
#include "septet/core/random/philox.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
// Every translation unit has its own copy, compiled with its own options.
namespace {
namespace hn = hwy::HWY_NAMESPACE;

// L = scale q k.
struct PlainScores {
  static constexpr bool kPlain = true;
  static constexpr bool kForwardFromRight = false;
  static constexpr bool kBackwardFromRight = false;
};

// Vectors that divide a row of scores.
template <typename T>
using AttentionTag = hn::CappedTag<T, 64 / sizeof(T)>;

// exp(x), x <= 0 up to rounding; 0 below -88 (float), -709 (double), where the
// exponent of the power of two that scales the result is one below the
// smallest, which as bits is the number 0. Half the cost of VecExp, whose
// result may be subnormal.
template <class D, class V>
HWY_INLINE V AttentionExp(D d, V x) {
  using T = hn::TFromD<D>;
  const V low = hn::Set(d, T{IsFloat32<D>() ? -88 : -709});
#if HWY_ARCH_X86 && HWY_TARGET != HWY_EMU128 && HWY_TARGET != HWY_SCALAR
  x = hn::Max(low, x);  // maxps: x where it is NaN
#else
  x = hn::IfThenElse(hn::Lt(x, low), low, x);
#endif
  const auto parts = ExpReduce(d, x);
  const V power = ExpPowerOfTwo(d, parts);
  return hn::MulAdd(parts.p, power, power);
}

template <typename T>
inline constexpr T kAttentionHidden = -std::numeric_limits<T>::infinity();

// Which pairs of the tile see each other. False if none does.
template <typename T>
bool DescribeTile(const AttentionProblem<T>& p, const AttentionRows<T>& rows,
                  int64_t begin_key, int64_t end_key, AttentionTile<T>* tile) {
  constexpr size_t kGroup = static_cast<size_t>(kAttentionGroup);
  tile->begin_key = begin_key;
  tile->keys = static_cast<size_t>(end_key - begin_key);
  tile->masked = false;
  const int64_t count = static_cast<int64_t>(rows.count);
  const int64_t stride = static_cast<int64_t>(rows.stride);
  const int64_t length =
      p.key_lengths == nullptr ? p.keys : p.key_lengths[rows.batch];
  const bool* mask =
      p.key_mask == nullptr ? nullptr : p.key_mask + rows.batch * p.keys;
  // The query of the block that is aligned with key 0.
  const int64_t aligned = -p.offset() - rows.begin;
  const size_t groups = (tile->keys + kGroup - 1) / kGroup;
  bool any = false;
  for (size_t g = 0; g < groups; ++g) {
    int64_t first = stride;
    for (size_t j = g * kGroup; j < std::min(tile->keys, (g + 1) * kGroup);
         ++j) {
      const int64_t key = begin_key + static_cast<int64_t>(j);
      int64_t begin =
          p.causal ? std::max<int64_t>(0, key + aligned) : int64_t{0};
      int64_t end = stride;
      if (key >= length || (mask != nullptr && !mask[key])) {
        begin = end = 0;
        if (p.keep_self && key + aligned >= 0) {
          begin = key + aligned;
          end = begin + 1;
        }
      }
      if (begin >= std::min(count, end)) begin = end = 0;
      tile->begin[j] = static_cast<int32_t>(begin);
      tile->end[j] = static_cast<int32_t>(end);
      tile->masked |= begin > 0 || end < stride;
      if (begin == end) continue;
      first = std::min(first, begin);
      any = true;
    }
    tile->computed[g] = static_cast<size_t>(first) / kGroup * kGroup;
    if (first == stride) tile->computed[g] = rows.stride;
  }
  for (size_t g = groups; g-- > 1;) {
    tile->computed[g - 1] = std::min(tile->computed[g - 1], tile->computed[g]);
  }
  return any;
}

// scores = hidden wherever a query does not see a key.
template <typename T>
void HideScores(const AttentionTile<T>& tile, size_t stride, T* scores) {
  const AttentionTag<T> d;
  const auto hidden = hn::Set(d, kAttentionHidden<T>);
  const size_t lanes = hn::Lanes(d);
  for (size_t j = 0; j < tile.keys; ++j) {
    T* row = scores + j * stride;
    const size_t first = tile.Computed(j);
    const size_t begin = static_cast<size_t>(tile.begin[j]);
    const size_t end = static_cast<size_t>(tile.end[j]);
    for (size_t i = first; i < stride; i += lanes) {
      if (begin <= i && i + lanes <= end) continue;
      const auto place = hn::Iota(d, static_cast<T>(i));
      const auto seen =
          hn::And(hn::Ge(place, hn::Set(d, static_cast<T>(begin))),
                  hn::Lt(place, hn::Set(d, static_cast<T>(end))));
      hn::Store(hn::IfThenElse(seen, hn::Load(d, row + i), hidden), d, row + i);
    }
  }
}

// product(keys of a group, entries from): c [keys, n] = a [keys, depth] b
// [depth, n] for the part of a tile that is there.
template <typename T>
HWY_INLINE void TileProduct(const AttentionTile<T>& tile, size_t stride,
                            size_t depth, const T* a, size_t a_row, const T* b,
                            T* c) {
  constexpr size_t kGroup = static_cast<size_t>(kAttentionGroup);
  size_t j = 0;
  while (j < tile.keys) {
    // Groups that begin at the same entry are one product.
    const size_t first = tile.Computed(j);
    size_t end = j + kGroup;
    while (end < tile.keys && tile.Computed(end) == first) end += kGroup;
    end = std::min(end, tile.keys);
    if (first < stride) {
      MicroGemm(end - j, stride - first, depth, a + j * a_row, a_row, size_t{1},
                b + first, stride, c + j * stride + first, stride, false);
    }
    j = end;
  }
}

// c [keys, n] (+)= s [keys, queries] b [queries, n].
template <typename T>
HWY_INLINE void KeyProduct(const AttentionTile<T>& tile,
                           const AttentionRows<T>& rows, size_t n, const T* s,
                           const T* b, size_t b_row, T* c, size_t c_row,
                           bool accumulate) {
  constexpr size_t kGroup = static_cast<size_t>(kAttentionGroup);
  size_t j = 0;
  while (j < tile.keys) {
    const size_t first = tile.Computed(j);
    size_t end = j + kGroup;
    while (end < tile.keys && tile.Computed(end) == first) end += kGroup;
    end = std::min(end, tile.keys);
    // No terms where no query of the block sees the keys.
    const size_t queries = first < rows.count ? rows.count - first : 0;
    if (queries > 0 || !accumulate) {
      MicroGemm(end - j, n, queries, s + j * rows.stride + first, rows.stride,
                size_t{1}, b + first * b_row, b_row, c + j * c_row, c_row,
                accumulate);
    }
    j = end;
  }
}

// c [queries, n] (+)= s^T [queries, keys] b [keys, n].
template <typename T>
HWY_INLINE void QueryProduct(const AttentionTile<T>& tile,
                             const AttentionRows<T>& rows, size_t n, const T* s,
                             const T* b, size_t b_row, T* c, size_t c_row,
                             bool accumulate) {
  constexpr size_t kGroup = static_cast<size_t>(kAttentionGroup);
  size_t i = 0;
  while (i < rows.count) {
    const size_t keys = tile.KeysOf(i);
    size_t end = i + kGroup;
    while (end < rows.count && tile.KeysOf(end) == keys) end += kGroup;
    end = std::min(end, rows.count);
    MicroGemm(end - i, n, keys, s + i, size_t{1}, rows.stride, b, b_row,
              c + i * c_row, c_row, accumulate);
    i = end;
  }
}

// to[j stride + i] = scale from[i from_row + j]; padding is 0.
template <typename T>
void TransposeRows(size_t count, size_t stride, size_t columns, const T* from,
                   size_t from_row, T scale, T* to) {
  PackTransposed(count, columns, from, from_row, scale, to, stride);
  for (size_t j = 0; j < columns && count < stride; ++j) {
    for (size_t i = count; i < stride; ++i) to[j * stride + i] = T{0};
  }
}

// to [count, columns] = from, and the pitch of `to`.
template <typename T>
size_t CopyRows(size_t count, size_t columns, const T* from, size_t from_row,
                T* to) {
  const AttentionTag<T> d;
  for (size_t i = 0; i < count; ++i) {
    MapLoop(d, columns, from + i * from_row, to + i * columns,
            [](auto v) HWY_ATTR { return v; });
  }
  return columns;
}

// The factors of dropout of a tile: 0 or 1 / (1 - dropout). Queries along the
// vectors, so that the four words of a block of Philox are those of four keys
// of each query.
template <typename T>
void DropoutFactors(const AttentionProblem<T>& p, const AttentionRows<T>& rows,
                    const AttentionTile<T>& tile, T* factors) {
  const uint64_t step = (static_cast<uint64_t>(p.keys) + 3) / 4;
  const uint64_t first_row = static_cast<uint64_t>(
      (rows.batch * p.heads + rows.head) * p.queries + rows.begin);
  // A word is kept from this on: the smallest w with w / 2^32 >= dropout.
  const uint64_t threshold =
      static_cast<uint64_t>(std::ceil(p.dropout * 0x1p32));
  const T keep = static_cast<T>(1 / (1 - p.dropout));
#if HWY_TARGET != HWY_SCALAR
  const AttentionTag<T> d;
  // 64-bit lanes in vectors of the same size.
  const hn::Repartition<uint64_t, decltype(d)> d64;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::RebindToUnsigned<decltype(d)> du;
  using TI = hn::TFromD<decltype(di)>;
  const size_t lanes = hn::Lanes(d);
  const auto low_halves = hn::Set(d64, uint64_t{0xffffffff});
  const auto factor = hn::Set(d, keep);
  for (size_t j = 0; j < tile.keys; j += 4) {
    const uint64_t block = (static_cast<uint64_t>(tile.begin_key) + j) / 4;
    for (size_t i = tile.Computed(j); i < rows.stride; i += lanes) {
      const auto store = [&](size_t key, auto words) HWY_ATTR {
        if (key >= tile.keys) return;
        hn::Mask<decltype(d)> kept;
        if constexpr (sizeof(T) == 8) {
          const auto w = hn::BitCast(di, hn::And(words, low_halves));
          kept = hn::RebindMask(
              d, hn::Gt(w, hn::Set(di, static_cast<TI>(threshold) - 1)));
        } else {
          // Signed comparison of numbers with the highest bit turned over.
          const auto turned =
              hn::Xor(words, hn::Set(du, static_cast<hn::TFromD<decltype(du)>>(
                                             uint64_t{0x80000000})));
          kept = hn::RebindMask(
              d, hn::Gt(hn::BitCast(di, turned),
                        hn::Set(di, static_cast<TI>(
                                        static_cast<uint32_t>(threshold - 1) ^
                                        uint32_t{0x80000000}))));
        }
        hn::Store(hn::IfThenElseZero(kept, factor), d,
                  factors + key * rows.stride + i);
      };
      const uint64_t number = (first_row + i) * step + block;
      if constexpr (sizeof(T) == 8) {
        uint64_t numbers[HWY_MAX_BYTES / sizeof(uint64_t)];
        for (size_t lane = 0; lane < hn::Lanes(d64); ++lane) {
          numbers[lane] = number + lane * step;
        }
        auto w0 = hn::LoadU(d64, numbers);
        auto w1 = w0, w2 = w0, w3 = w0;
        PhiloxLanes(d64, p.dropout_key, w0, w1, w2, w3);
        store(j, w0);
        store(j + 1, w1);
        store(j + 2, w2);
        store(j + 3, w3);
      } else {
        // Even and odd queries apart, then interleaved.
        uint64_t even[HWY_MAX_BYTES / sizeof(uint64_t)];
        uint64_t odd[HWY_MAX_BYTES / sizeof(uint64_t)];
        for (size_t lane = 0; lane < hn::Lanes(d64); ++lane) {
          even[lane] = number + 2 * lane * step;
          odd[lane] = even[lane] + step;
        }
        auto e0 = hn::LoadU(d64, even), o0 = hn::LoadU(d64, odd);
        auto e1 = e0, e2 = e0, e3 = e0, o1 = o0, o2 = o0, o3 = o0;
        PhiloxLanes(d64, p.dropout_key, e0, e1, e2, e3);
        PhiloxLanes(d64, p.dropout_key, o0, o1, o2, o3);
        const auto join = [&](auto e, auto o) HWY_ATTR {
          return hn::BitCast(
              du, hn::Or(hn::And(e, low_halves), hn::ShiftLeft<32>(o)));
        };
        store(j, join(e0, o0));
        store(j + 1, join(e1, o1));
        store(j + 2, join(e2, o2));
        store(j + 3, join(e3, o3));
      }
    }
  }
#else
  for (size_t j = 0; j < tile.keys; ++j) {
    const uint64_t key = static_cast<uint64_t>(tile.begin_key) + j;
    for (size_t i = tile.Computed(j); i < rows.stride; ++i) {
      const PhiloxBlock words =
          PhiloxElement(p.dropout_key, (first_row + i) * step + key / 4);
      factors[j * rows.stride + i] = words[key % 4] >= threshold ? keep : T{0};
    }
  }
#endif
}

// One tile's part of the running softmax: scores become weights exp(L - m), m,
// l and correction (by what to multiply the output so far) are updated. True
// if a correction is not 1.
template <bool kDropout, typename T>
bool UpdateSoftmax(const AttentionTile<T>& tile, size_t stride, T* scores,
                   const T* factors, T* m, T* l, T* correction) {
  const AttentionTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const V one = hn::Set(d, T{1});
  bool corrected = false;
  for (size_t i = 0; i < stride; i += hn::Lanes(d)) {
    const size_t keys = tile.KeysOf(i);
    T* column = scores + i;
    const V old = hn::Load(d, m + i);
    V m0 = old, m1 = old, m2 = old, m3 = old;
    size_t j = 0;
    for (; j + 4 <= keys; j += 4) {
      m0 = hn::Max(m0, hn::Load(d, column + j * stride));
      m1 = hn::Max(m1, hn::Load(d, column + (j + 1) * stride));
      m2 = hn::Max(m2, hn::Load(d, column + (j + 2) * stride));
      m3 = hn::Max(m3, hn::Load(d, column + (j + 3) * stride));
    }
    for (; j < keys; ++j) m0 = hn::Max(m0, hn::Load(d, column + j * stride));
    const V maximum = hn::Max(hn::Max(m0, m1), hn::Max(m2, m3));
    // Nothing seen so far: every weight is exp(-inf - 0) = 0.
    const V shift = hn::IfThenElse(
        hn::Eq(maximum, hn::Set(d, kAttentionHidden<T>)), hn::Zero(d), maximum);
    const V factor = AttentionExp(d, hn::Sub(old, shift));
    V s0 = hn::Zero(d), s1 = s0;
    const auto weigh = [&](size_t key) HWY_ATTR {
      T* at = column + key * stride;
      const V weight = AttentionExp(d, hn::Sub(hn::Load(d, at), shift));
      if constexpr (kDropout) {
        hn::Store(hn::Mul(weight, hn::Load(d, factors + i + key * stride)), d,
                  at);
      } else {
        hn::Store(weight, d, at);
      }
      return weight;
    };
    for (j = 0; j + 2 <= keys; j += 2) {
      s0 = hn::Add(s0, weigh(j));
      s1 = hn::Add(s1, weigh(j + 1));
    }
    if (j < keys) s0 = hn::Add(s0, weigh(j));
    hn::Store(maximum, d, m + i);
    hn::Store(hn::MulAdd(hn::Load(d, l + i), factor, hn::Add(s0, s1)), d,
              l + i);
    hn::Store(factor, d, correction + i);
    corrected |= !hn::AllTrue(d, hn::Eq(factor, one));
  }
  return corrected;
}

// rows[i] *= factor[i].
template <typename T>
void ScaleRows(size_t count, size_t columns, const T* factor, T* rows,
               size_t row) {
  const AttentionTag<T> d;
  for (size_t i = 0; i < count; ++i, rows += row) {
    if (factor[i] == T{1}) continue;
    const auto f = hn::Set(d, factor[i]);
    MapLoop(d, columns, rows, rows,
            [f](auto v) HWY_ATTR { return hn::Mul(v, f); });
  }
}

// Keys of a batch element, and those that some query of the block sees: both
// from 0 on.
template <typename T>
int64_t AttentionKeyLimit(const AttentionProblem<T>& p,
                          const AttentionRows<T>& rows) {
  int64_t limit = p.keys;
  if (p.key_lengths != nullptr && !p.keep_self) {
    limit = p.key_lengths[rows.batch];
  }
  if (p.causal) {
    limit = std::min(
        limit, p.offset() + rows.begin + static_cast<int64_t>(rows.count));
  }
  return limit;
}

template <typename T>
AttentionRows<T> DescribeRows(const AttentionProblem<T>& p, int64_t batch,
                              int64_t head, int64_t block, int64_t task) {
  AttentionRows<T> rows;
  rows.batch = batch;
  rows.head = head;
  rows.kv_head = head / p.group();
  rows.begin = block * kAttentionQueries<T>;
  const int64_t count = std::min(kAttentionQueries<T>, p.queries - rows.begin);
  rows.count = static_cast<size_t>(count);
  rows.stride = static_cast<size_t>(AttentionStride<T>(count));
  rows.task = task;
  rows.q = p.q.At(batch, head, rows.begin);
  rows.q_row = static_cast<size_t>(p.q.time);
  return rows;
}

// Calls visit(tile) for the tiles of keys that the block sees.
template <bool kFromRight, typename T, class Visit>
HWY_INLINE void VisitTiles(const AttentionProblem<T>& p,
                           const AttentionRows<T>& rows, const Visit& visit) {
  const int64_t limit = AttentionKeyLimit(p, rows);
  const int64_t tiles = (limit + kAttentionKeys - 1) / kAttentionKeys;
  AttentionTile<T> tile;
  for (int64_t n = 0; n < tiles; ++n) {
    const int64_t begin = (kFromRight ? tiles - 1 - n : n) * kAttentionKeys;
    const int64_t end = std::min(limit, begin + kAttentionKeys);
    if (!DescribeTile(p, rows, begin, end, &tile)) continue;
    tile.k = p.k.At(rows.batch, rows.kv_head, begin);
    tile.k_row = static_cast<size_t>(p.k.time);
    tile.v = p.v.At(rows.batch, rows.kv_head, begin);
    tile.v_row = static_cast<size_t>(p.v.time);
    visit(tile);
  }
}

// Task `task` of AttentionForwardTasks(p). workspace: AttentionForwardWorkspace
// elements, aligned to 64 bytes.
template <class Scores, typename T>
void AttentionForwardTask(const AttentionProblem<T>& p,
                          const AttentionResult<T>& result, int64_t task,
                          T* workspace, Scores& modifier) {
  const AttentionTag<T> d;
  const int64_t blocks = AttentionQueryBlocks(p);
  const int64_t head = task / blocks;
  AttentionRows<T> rows =
      DescribeRows(p, head / p.heads, head % p.heads, task % blocks, task);
  const size_t width = static_cast<size_t>(p.head_dim);
  const size_t value_width = static_cast<size_t>(p.value_dim);
  const size_t stride = rows.stride;
  const size_t out_row =
      static_cast<size_t>(AttentionRoundUp(p.value_dim, kAttentionPad<T>));
  T* scores = workspace;
  T* q_transposed = scores + static_cast<size_t>(kAttentionKeys) * stride;
  T* out = q_transposed + width * stride;
  T* m = out + stride * out_row;
  T* l = m + stride;
  T* correction = l + stride;
  T* factors = p.dropout > 0 ? correction + stride : nullptr;
  TransposeRows(rows.count, stride, width, rows.q, rows.q_row,
                Scores::kPlain ? static_cast<T>(p.scale) : T{1}, q_transposed);
  rows.q_transposed = q_transposed;
  for (size_t i = 0; i < stride; ++i) {
    m[i] = kAttentionHidden<T>;
    l[i] = T{0};
  }
  if constexpr (!Scores::kPlain) modifier.BeginRows(rows);
  bool first = true;
  VisitTiles<Scores::kForwardFromRight>(
      p, rows, [&](const AttentionTile<T>& tile) HWY_ATTR {
        TileProduct(tile, stride, width, tile.k, tile.k_row, q_transposed,
                    scores);
        if constexpr (!Scores::kPlain) modifier.Forward(rows, tile, scores);
        if (tile.masked) HideScores(tile, stride, scores);
        bool corrected;
        if (factors == nullptr) {
          corrected = UpdateSoftmax<false>(tile, stride, scores, factors, m, l,
                                           correction);
        } else {
          DropoutFactors(p, rows, tile, factors);
          corrected = UpdateSoftmax<true>(tile, stride, scores, factors, m, l,
                                          correction);
        }
        if (corrected && !first) {
          ScaleRows(rows.count, value_width, correction, out, out_row);
        }
        QueryProduct(tile, rows, value_width, scores, tile.v, tile.v_row, out,
                     out_row, !first);
        first = false;
      });
  if constexpr (!Scores::kPlain) modifier.EndRows(rows);
  // Rows without a key: l = 0, the output 0, the logarithm minus infinity.
  for (size_t i = 0; i < stride; i += hn::Lanes(d)) {
    const auto sum = hn::Load(d, l + i);
    hn::Store(hn::Add(hn::Load(d, m + i), VecLog(d, sum)), d, m + i);
    hn::Store(hn::IfThenElse(hn::Eq(sum, hn::Zero(d)), sum,
                             hn::Div(hn::Set(d, T{1}), sum)),
              d, l + i);
  }
  const int64_t first_row = head * p.queries + rows.begin;
  for (size_t i = 0; i < rows.count; ++i) {
    T* to = result.out.At(rows.batch, rows.head,
                          rows.begin + static_cast<int64_t>(i));
    if (first) {
      std::fill_n(to, value_width, T{0});
    } else {
      const auto factor = hn::Set(d, l[i]);
      MapLoop(d, value_width, out + i * out_row, to,
              [factor](auto v) HWY_ATTR { return hn::Mul(v, factor); });
    }
    result.log_sum_exp[first_row + static_cast<int64_t>(i)] = m[i];
  }
}

// One tile backward: scores become weights (times the factors of dropout),
// dweights the gradient of the logits, times `scale` if plain.
template <bool kPlain, bool kDropout, typename T>
void TileGradient(const AttentionTile<T>& tile, size_t stride, T scale,
                  const T* lse, const T* delta, const T* factors, T* scores,
                  T* dweights) {
  const AttentionTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const V vscale = hn::Set(d, scale);
  for (size_t i = 0; i < stride; i += hn::Lanes(d)) {
    const size_t keys = tile.KeysOf(i);
    const V shift = hn::Load(d, lse + i);
    V offset = hn::Load(d, delta + i);
    if constexpr (kPlain) offset = hn::Mul(offset, vscale);
    for (size_t j = 0; j < keys; ++j) {
      T* score = scores + j * stride + i;
      T* dweight = dweights + j * stride + i;
      V weight = AttentionExp(d, hn::Sub(hn::Load(d, score), shift));
      V g = hn::Load(d, dweight);
      if constexpr (kDropout)
        g = hn::Mul(g, hn::Load(d, factors + i + j * stride));
      if constexpr (kPlain) {
        g = hn::MulSub(g, vscale, offset);
      } else {
        g = hn::Sub(g, offset);
      }
      hn::Store(hn::Mul(weight, g), d, dweight);
      if constexpr (kDropout) {
        weight = hn::Mul(weight, hn::Load(d, factors + i + j * stride));
      }
      hn::Store(weight, d, score);
    }
  }
}

// Where the gradients of one key head's keys and values add up. Keys from
// `begun` on have no sums yet: their first tile is written, not added.
template <typename T>
struct AttentionKeySums {
  T* dk;
  size_t dk_row;
  size_t width;
  T* dv;
  size_t dv_row;
  size_t value_width;
  size_t begun = 0;

  void ZeroUpTo(size_t end) {
    for (; begun < end; ++begun) {
      std::fill_n(dk + begun * dk_row, width, T{0});
      std::fill_n(dv + begun * dv_row, value_width, T{0});
    }
  }

  // Before the products of a tile: whether there are sums to add to. There are
  // always if `zeros`.
  bool Begin(const AttentionTile<T>& tile, bool zeros) {
    const size_t begin = static_cast<size_t>(tile.begin_key);
    const size_t end = begin + tile.keys;
    const bool first = !zeros && begin >= begun;
    ZeroUpTo(first ? begin : end);
    begun = std::max(begun, end);
    return !first;
  }
};

// One block of queries backward: its dq is written, its part of dk and dv
// added.
template <class Scores, typename T>
void AttentionBackwardRows(const AttentionProblem<T>& p,
                           const AttentionGradient<T>& gradient,
                           AttentionRows<T> rows, AttentionKeySums<T>* sums,
                           T* workspace, Scores& modifier) {
  const AttentionTag<T> d;
  const size_t width = static_cast<size_t>(p.head_dim);
  const size_t value_width = static_cast<size_t>(p.value_dim);
  const size_t stride = rows.stride;
  const size_t tile_size = static_cast<size_t>(kAttentionKeys) * stride;
  const T scale = Scores::kPlain ? static_cast<T>(p.scale) : T{1};
  T* scores = workspace;
  T* dweights = scores + tile_size;
  T* q_transposed = dweights + tile_size;
  T* dout_transposed = q_transposed + width * stride;
  T* lse = dout_transposed + value_width * stride;
  T* delta = lse + stride;
  T* factors = delta + stride;
  T* q = p.dropout > 0 ? factors + tile_size : factors;
  T* dout = q + width * stride;
  T* dq = dout + value_width * stride;

  // Rows far apart would fall into the same sets of the cache.
  CopyRows(rows.count, width, rows.q, rows.q_row, q);
  rows.q = q;
  rows.q_row = width;
  CopyRows(rows.count, value_width,
           gradient.dout.At(rows.batch, rows.head, rows.begin),
           static_cast<size_t>(gradient.dout.time), dout);
  TransposeRows(rows.count, stride, width, q, width, scale, q_transposed);
  TransposeRows(rows.count, stride, value_width, dout, value_width, T{1},
                dout_transposed);
  rows.q_transposed = q_transposed;
  rows.dq = dq;
  rows.dq_row = width;
  const int64_t first_row =
      (rows.batch * p.heads + rows.head) * p.queries + rows.begin;
  for (size_t i = 0; i < stride; ++i) {
    // Padding has weights exp(-inf) = 0; so has a row without keys, whose
    // scores are all hidden.
    lse[i] = -kAttentionHidden<T>;
    delta[i] = T{0};
    if (i >= rows.count) continue;
    lse[i] = gradient.log_sum_exp[first_row + static_cast<int64_t>(i)];
    if (lse[i] == kAttentionHidden<T>) lse[i] = T{0};
    const T* out = gradient.out.At(rows.batch, rows.head,
                                   rows.begin + static_cast<int64_t>(i));
    auto sum = hn::Zero(d);
    for (size_t c = 0; c < value_width; c += hn::Lanes(d)) {
      const size_t n = std::min(hn::Lanes(d), value_width - c);
      sum = hn::MulAdd(LoadPartial(d, out + c, n),
                       LoadPartial(d, dout + i * value_width + c, n), sum);
    }
    delta[i] = hn::GetLane(hn::SumOfLanes(d, sum));
  }
  if constexpr (!Scores::kPlain) modifier.BeginRows(rows);
  // A modifier adds to dq itself.
  bool first = Scores::kPlain;
  if (!first) std::fill_n(dq, rows.count * width, T{0});
  VisitTiles<Scores::kBackwardFromRight>(
      p, rows, [&](AttentionTile<T>& tile) HWY_ATTR {
        tile.dk = sums->dk + static_cast<size_t>(tile.begin_key) * sums->dk_row;
        tile.dk_row = sums->dk_row;
        tile.dv = sums->dv + static_cast<size_t>(tile.begin_key) * sums->dv_row;
        tile.dv_row = sums->dv_row;
        TileProduct(tile, stride, width, tile.k, tile.k_row, q_transposed,
                    scores);
        TileProduct(tile, stride, value_width, tile.v, tile.v_row,
                    dout_transposed, dweights);
        if constexpr (!Scores::kPlain) modifier.Again(rows, tile, scores);
        if (tile.masked) HideScores(tile, stride, scores);
        if (p.dropout > 0) {
          DropoutFactors(p, rows, tile, factors);
          TileGradient<Scores::kPlain, true>(tile, stride, scale, lse, delta,
                                             factors, scores, dweights);
        } else {
          TileGradient<Scores::kPlain, false>(tile, stride, scale, lse, delta,
                                              factors, scores, dweights);
        }
        // A modifier adds to sums itself, in between.
        const bool accumulate = sums->Begin(tile, /*zeros=*/!Scores::kPlain);
        KeyProduct(tile, rows, value_width, scores, dout, value_width, tile.dv,
                   sums->dv_row, accumulate);
        if constexpr (!Scores::kPlain) modifier.Gradient(rows, tile, dweights);
        KeyProduct(tile, rows, width, dweights, q, width, tile.dk, sums->dk_row,
                   accumulate);
        QueryProduct(tile, rows, width, dweights, tile.k, tile.k_row, dq, width,
                     !first);
        first = false;
      });
  if constexpr (!Scores::kPlain) modifier.EndRows(rows);
  if (first) std::fill_n(dq, rows.count * width, T{0});
  for (size_t i = 0; i < rows.count; ++i) {
    CopyRows(size_t{1}, width, dq + i * width, width,
             gradient.dq.At(rows.batch, rows.head,
                            rows.begin + static_cast<int64_t>(i)));
  }
}

// Task `task` of AttentionBackwardTasks(p). workspace:
// AttentionBackwardWorkspace elements, aligned to 64 bytes. If there are
// partial sums, AttentionAddPartials finishes dk and dv.
template <class Scores, typename T>
void AttentionBackwardTask(const AttentionProblem<T>& p,
                           const AttentionGradient<T>& gradient, int64_t task,
                           T* workspace, Scores& modifier) {
  const int64_t chunks = AttentionBackwardChunks(p);
  const int64_t kv = task / chunks;
  const int64_t batch = kv / p.kv_heads;
  const int64_t kv_head = kv % p.kv_heads;
  const size_t keys = static_cast<size_t>(p.keys);
  const size_t width = static_cast<size_t>(p.head_dim);
  const size_t value_width = static_cast<size_t>(p.value_dim);
  AttentionKeySums<T> sums;
  sums.width = width;
  sums.value_width = value_width;
  if (chunks == 1) {
    sums.dk = gradient.dk.At(batch, kv_head, 0);
    sums.dk_row = static_cast<size_t>(gradient.dk.time);
    sums.dv = gradient.dv.At(batch, kv_head, 0);
    sums.dv_row = static_cast<size_t>(gradient.dv.time);
  } else {
    sums.dk = gradient.partials +
              static_cast<size_t>(task) * keys * (width + value_width);
    sums.dk_row = width;
    sums.dv = sums.dk + keys * width;
    sums.dv_row = value_width;
  }
  if constexpr (Scores::kBackwardFromRight) sums.ZeroUpTo(keys);
  const int64_t blocks = AttentionQueryBlocks(p);
  // Dealt out one by one: causal blocks grow.
  for (int64_t n = task % chunks; n < p.group() * blocks; n += chunks) {
    AttentionBackwardRows(
        p, gradient,
        DescribeRows(p, batch, kv_head * p.group() + n / blocks, n % blocks,
                     task),
        &sums, workspace, modifier);
  }
  sums.ZeroUpTo(keys);
}

// Adds the partial sums of key head `kv` (of B Hkv) for keys [begin, end), in
// the order of the tasks, if there are any.
template <typename T>
void AttentionAddPartials(const AttentionProblem<T>& p,
                          const AttentionGradient<T>& gradient, int64_t kv,
                          int64_t begin, int64_t end) {
  const AttentionTag<T> d;
  const int64_t chunks = AttentionBackwardChunks(p);
  if (chunks == 1) return;
  const int64_t size = p.keys * (p.head_dim + p.value_dim);
  const T* part = gradient.partials + kv * chunks * size;
  for (int64_t s = begin; s < end; ++s) {
    for (int which = 0; which < 2; ++which) {
      const auto& operand = which == 0 ? gradient.dk : gradient.dv;
      const int64_t columns = which == 0 ? p.head_dim : p.value_dim;
      T* to = operand.At(kv / p.kv_heads, kv % p.kv_heads, s);
      const T* from =
          part + (which == 0 ? 0 : p.keys * p.head_dim) + s * columns;
      const size_t n = static_cast<size_t>(columns);
      for (int64_t chunk = 0; chunk < chunks; ++chunk, from += size) {
        if (chunk == 0) {
          MapLoop(d, n, from, to, [](auto v) HWY_ATTR { return v; });
        } else {
          MapLoop2(d, n, to, from, to,
                   [](auto a, auto b) HWY_ATTR { return hn::Add(a, b); });
        }
      }
    }
  }
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#endif  // SEPTET_CORE_OPS_ATTENTION_INL_H_
