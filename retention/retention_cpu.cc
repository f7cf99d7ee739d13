// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "septet/retention/decay.h"
#include "septet/retention/retention_kernels.h"
#include "septet/retention/retention_problem.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "retention/retention_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "septet/core/blas/micro_gemm-inl.h"
#include "septet/core/ops/simd-inl.h"

// How a chunk is computed (retention_problem.h has the formulas, retnet.md 3.8
// the derivatives). All products are MicroGemm's, on copies that lie without
// gaps, because rows of a joint projection fall into few sets of the cache.
// Scores are made in blocks of kRetentionBlock rows, so that a chunk may have
// any length, and within a block in groups, each of which has only the columns
// of keys that its last row sees. Row factors and scales go into the scores and
// the decayed queries and keys, which are smaller than what they multiply.
HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace {

using retention_internal::Pad;

// Rows that see the same columns: two tiles of MicroGemm. Measured beside 6, 16
// and 24.
constexpr size_t kGroup = 12;
constexpr size_t kBlock = static_cast<size_t>(kRetentionBlock);

template <typename T>
using Tag = hn::ScalableTag<T>;

template <typename T>
constexpr size_t PadSize(size_t n) {
  return static_cast<size_t>(Pad<T>(static_cast<int64_t>(n)));
}

// Buffers, one behind the other, each of whole cache lines.
template <typename T>
class Arena {
 public:
  explicit Arena(T* next) : next_(next) {}
  T* Take(size_t rows, size_t row) {
    T* const taken = next_;
    next_ += rows * row;
    return taken;
  }

 private:
  T* next_;
};

// to[i] = factor from[i].
template <typename T>
HWY_INLINE void ScaleRow(size_t n, T factor, const T* from, T* to) {
  const Tag<T> d;
  const auto f = hn::Set(d, factor);
  MapLoop(d, n, from, to, [f](auto v) SEPTET_LAMBDA { return hn::Mul(v, f); });
}

template <typename T>
void CopyRows(size_t rows, size_t n, const T* from, size_t from_row, T* to,
              size_t to_row) {
  const Tag<T> d;
  for (size_t i = 0; i < rows; ++i, from += from_row, to += to_row) {
    MapLoop(d, n, from, to, [](auto v) SEPTET_LAMBDA { return v; });
  }
}

template <typename T>
void ZeroRows(size_t rows, size_t n, T* to, size_t to_row) {
  for (size_t i = 0; i < rows; ++i) std::fill_n(to + i * to_row, n, T{0});
}

// Asks for rows of an operand that the next chunk reads or writes, into the
// second-level cache: rows of a head lie apart from each other, which hardware
// does not foresee, and a whole chunk does not fit into the first level.
template <typename T>
HWY_INLINE void PrefetchRows(size_t rows, size_t n, const T* from,
                             size_t from_row) {
#if defined(__GNUC__)
  constexpr size_t kLine = 64 / sizeof(T);
  for (size_t i = 0; i < rows; ++i, from += from_row) {
    for (size_t j = 0; j < n; j += kLine) __builtin_prefetch(from + j, 0, 2);
  }
#else
  (void)rows, (void)n, (void)from, (void)from_row;
#endif
}

template <typename T>
HWY_INLINE T Dot(size_t n, const T* a, const T* b) {
  const Tag<T> d;
  const size_t lanes = hn::Lanes(d);
  auto sum = hn::Zero(d);
  for (size_t i = 0; i < n; i += lanes) {
    const size_t count = HWY_MIN(lanes, n - i);
    sum = hn::MulAdd(LoadSome(d, a + i, count), LoadSome(d, b + i, count), sum);
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

// What a task works on, and what a head's decay comes to.
template <typename T>
struct Head {
  const RetentionProblem<T>& p;
  int64_t sequence;
  int64_t head;
  size_t length;     // rows of the sequence
  int64_t position;  // of its first row
  size_t dk, dv;
  size_t ldk, ldv;   // of rows in buffers
  size_t chunk;      // C, at most `length`
  size_t chunk_pad;  // of rows of scores
  double log_gamma;
  T* power;          // [C + 1], d^x
  T* reversed;       // [C], d^(C-1-y)
  T* factors;        // [C], f_j without scale
  T* sums;           // [C]
  double* row_sums;  // [C], c_n
  T cross;           // x
  T update;          // y

  Head(const RetentionProblem<T>& problem, int64_t task, Arena<T>* arena)
      : p(problem),
        sequence(task / problem.heads),
        head(task % problem.heads),
        length(static_cast<size_t>(problem.Length(sequence))),
        position(problem.Position(sequence)),
        dk(static_cast<size_t>(problem.key_dim)),
        dv(static_cast<size_t>(problem.value_dim)),
        ldk(PadSize<T>(dk)),
        ldv(PadSize<T>(dv)),
        chunk(HWY_MAX(size_t{1},
                      std::min(static_cast<size_t>(problem.chunk), length))),
        chunk_pad(PadSize<T>(chunk)),
        log_gamma(problem.log_gamma[head]),
        power(arena->Take(1, PadSize<T>(chunk + 1))),
        reversed(arena->Take(1, PadSize<T>(chunk + 1))),
        factors(arena->Take(1, PadSize<T>(chunk + 1))),
        sums(arena->Take(1, PadSize<T>(chunk + 1))),
        row_sums(
            reinterpret_cast<double*>(arena->Take(1, PadSize<T>(2 * chunk)))),
        cross(1),
        update(1) {
    for (size_t x = 0; x <= chunk; ++x) {
      power[x] = static_cast<T>(std::exp(static_cast<double>(x) * log_gamma));
    }
    for (size_t y = 0; y < chunk; ++y) reversed[y] = power[chunk - 1 - y];
    if (RetentionIsChunkwiseTorchscale(p.norm)) {
      // Of a whole chunk, also where the sequence is shorter.
      const double sum = DecayRowSum(log_gamma, p.chunk - 1);
      const double x =
          p.norm == RetentionNorm::kTorchscaleChunkwise ? sum : std::sqrt(sum);
      cross = static_cast<T>(x);
      update = static_cast<T>(1 / x);
    }
  }

  // Where a row of an operand is.
  template <typename U>
  U* At(const RetentionOperand<U>& x, size_t t) const {
    return p.At(x, sequence, head, static_cast<int64_t>(t));
  }
  int64_t StateOffset() const {
    return (sequence * p.heads + head) * p.key_dim * p.value_dim;
  }
  T* Divisors(T* divisors, size_t t) const {
    return divisors + head * p.TotalRows() + p.FlatRow(sequence) +
           static_cast<int64_t>(t);
  }

  // factors[j] = 1 / sqrt(c_n), or 1, for rows t, t + 1, ... of a chunk.
  void StartChunk(size_t t, size_t rows) {
    if (p.norm == RetentionNorm::kNone) {
      std::fill_n(factors, rows, T{1});
      return;
    }
    const double gamma = std::exp(log_gamma);
    double sum =
        RetentionIsChunkwiseTorchscale(p.norm)
            ? 1
            : DecayRowSum(log_gamma, position + static_cast<int64_t>(t));
    for (size_t j = 0; j < rows; ++j) {
      row_sums[j] = sum;
      sum = gamma * sum + 1;
    }
    for (size_t j = 0; j < rows; ++j) {
      factors[j] = T{1} / std::sqrt(static_cast<T>(row_sums[j]));
    }
  }
};

enum class Sum { kNone, kSigned, kAbsolute };

constexpr Sum SumOfNorm(RetentionNorm norm) {
  switch (norm) {
    case RetentionNorm::kNone:
    case RetentionNorm::kDecay:
      return Sum::kNone;
    case RetentionNorm::kPaper:
    case RetentionNorm::kTorchscaleParallelLegacy:
      return Sum::kSigned;
    default:
      return Sum::kAbsolute;
  }
}

// scores[j] *= d^(row - j) factor for j <= row, and 0 up to `columns`; returns
// the sum before `factor`.
template <Sum kSum, typename T>
HWY_INLINE T DecayRow(const Head<T>& h, size_t row, size_t columns, T factor,
                      T* scores) {
  const Tag<T> d;
  const size_t lanes = hn::Lanes(d);
  const auto f = hn::Set(d, factor);
  const T* const decay = h.reversed + (h.chunk - 1 - row);
  auto sum = hn::Zero(d);
  const auto add = [&](auto v) SEPTET_LAMBDA {
    if constexpr (kSum == Sum::kSigned) sum = hn::Add(sum, v);
    if constexpr (kSum == Sum::kAbsolute) sum = hn::Add(sum, hn::Abs(v));
  };
  size_t j = 0;
  for (; j + lanes <= row + 1; j += lanes) {
    const auto v = hn::Mul(hn::LoadU(d, scores + j), hn::LoadU(d, decay + j));
    add(v);
    hn::StoreU(hn::Mul(v, f), d, scores + j);
  }
  if (j <= row) {
    const size_t count = row + 1 - j;
    const auto v = hn::IfThenElseZero(
        hn::FirstN(d, count),
        hn::Mul(hn::LoadU(d, scores + j), LoadPartial(d, decay + j, count)));
    add(v);
    hn::StoreU(hn::Mul(v, f), d, scores + j);
    j += lanes;
  }
  for (; j < columns; j += lanes) hn::StoreU(hn::Zero(d), d, scores + j);
  if constexpr (kSum == Sum::kNone) return T{0};
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

// Rows [begin, begin + count) of a chunk, in groups: visit(first, count,
// columns) with the columns of keys that the group's last row sees.
template <class Visit>
HWY_INLINE void ForGroups(size_t begin, size_t count, const Visit& visit) {
  for (size_t g = 0; g < count; g += kGroup) {
    const size_t n = HWY_MIN(kGroup, count - g);
    visit(g, n, begin + g + n);
  }
}

// to [width, chunk_pad] = the rows of a chunk transposed; zeros behind them.
template <typename T>
void TransposeChunk(const Head<T>& h, size_t rows, size_t width, const T* from,
                    size_t from_row, T* to) {
  PackTransposed(rows, width, from, from_row, T{1}, to, h.chunk_pad);
  const size_t pad = PadSize<T>(rows);
  for (size_t i = 0; rows < pad && i < width; ++i) {
    std::fill(to + i * h.chunk_pad + rows, to + i * h.chunk_pad + pad, T{0});
  }
}

// scores [count, scores_row] = left rows [begin, begin + count) of a chunk
// times transposed keys or values, up to the diagonal and the end of a vector.
template <typename T>
void BlockScores(const Head<T>& h, size_t begin, size_t count, size_t width,
                 const T* left, size_t left_row, const T* transposed, T* scores,
                 size_t scores_row) {
  const size_t lanes = hn::Lanes(Tag<T>());
  ForGroups(begin, count, [&](size_t g, size_t n, size_t columns) HWY_ATTR {
    MicroGemm(n, (columns + lanes - 1) / lanes * lanes, width,
              left + g * left_row, left_row, size_t{1}, transposed, h.chunk_pad,
              scores + g * scores_row, scores_row, false);
  });
}

// Decays scores of rows [begin, begin + count) and multiplies them by scale and
// the rows' factors, where those do not depend on the scores.
template <Sum kSum, typename T>
void DecayBlock(const Head<T>& h, size_t begin, size_t count, bool factors,
                T* scores, size_t scores_row) {
  const size_t lanes = hn::Lanes(Tag<T>());
  const T scale = static_cast<T>(h.p.scale);
  ForGroups(begin, count, [&](size_t g, size_t n, size_t columns) HWY_ATTR {
    columns = (columns + lanes - 1) / lanes * lanes;
    for (size_t i = g; i < g + n; ++i) {
      const size_t row = begin + i;
      const T factor = factors ? scale * h.factors[row] : scale;
      const T sum =
          DecayRow<kSum>(h, row, columns, factor, scores + i * scores_row);
      if constexpr (kSum != Sum::kNone) h.sums[row] = scale * sum;
    }
  });
}

// R <- d^rows R + y K^T V, K decayed and scaled. keys [rows, ldk], values
// [rows, ldv]; decayed is a buffer like keys. Without `has_state` R is 0
// before. Adds up the key sum likewise.
template <typename T>
void UpdateState(const Head<T>& h, size_t rows, const T* keys, size_t keys_row,
                 const T* values, bool has_state, T* decayed, T* state,
                 T* key_sum) {
  const Tag<T> d;
  const T scale = static_cast<T>(h.p.scale) * h.update;
  if (key_sum != nullptr) ScaleRow(h.dk, h.power[rows], key_sum, key_sum);
  for (size_t j = 0; j < rows; ++j) {
    T* const to = decayed + j * h.ldk;
    ScaleRow(h.dk, scale * h.power[rows - 1 - j], keys + j * keys_row, to);
    if (key_sum == nullptr) continue;
    MapLoop2(d, h.dk, key_sum, to, key_sum,
             [](auto a, auto b) SEPTET_LAMBDA { return hn::Add(a, b); });
  }
  if (has_state) {
    for (size_t i = 0; i < h.dk; ++i) {
      T* const row = state + i * h.ldv;
      ScaleRow(h.dv, h.power[rows], row, row);
    }
  }
  MicroGemm(h.dk, h.dv, rows, decayed, size_t{1}, h.ldk, values, h.ldv, state,
            h.ldv, has_state);
}

// max(1, largest column sum of |R|).
template <typename T>
T StateDivisor(const Head<T>& h, const T* state, T* column_sums) {
  const Tag<T> d;
  std::fill_n(column_sums, h.dv, T{0});
  for (size_t i = 0; i < h.dk; ++i) {
    MapLoop2(d, h.dv, column_sums, state + i * h.ldv, column_sums,
             [](auto a, auto b)
                 SEPTET_LAMBDA { return hn::Add(a, hn::Abs(b)); });
  }
  T largest{1};
  for (size_t i = 0; i < h.dv; ++i) largest = HWY_MAX(largest, column_sums[i]);
  return largest;
}

template <typename T>
void LoadState(const Head<T>& h, const T* from, T* to) {
  CopyRows(h.dk, h.dv, from + h.StateOffset(), h.dv, to, h.ldv);
}
template <typename T>
void StoreState(const Head<T>& h, const T* from, bool has_state, T* to) {
  to += h.StateOffset();
  if (has_state) {
    CopyRows(h.dk, h.dv, from, h.ldv, to, h.dv);
  } else {
    std::fill_n(to, h.dk * h.dv, T{0});
  }
}

// The divisor m of a row with the sum of its scores, before the factor. A sum
// of absolute values has the sign of the scale.
template <typename T>
T RowDivisor(RetentionNorm norm, T sum, T factor, T state_divisor) {
  switch (norm) {
    case RetentionNorm::kTorchscaleParallel:
      return std::min(std::max(std::abs(sum) * factor, T{1}),
                      static_cast<T>(5e4));
    case RetentionNorm::kPaper:
    case RetentionNorm::kTorchscaleParallelLegacy:
      return std::max(std::abs(sum) * factor, T{1});
    default:
      return std::max(std::abs(sum) * factor, state_divisor);
  }
}

// Rows of scores at a time: a group where all keys of a chunk stay in the
// first-level cache beside them.
constexpr size_t ForwardBlock(size_t chunk) {
  return HWY_MIN(chunk, chunk <= kBlock ? kGroup : kBlock);
}

template <Sum kSum, typename T>
void ForwardTask(const RetentionProblem<T>& p, const RetentionResult<T>& result,
                 int64_t task, T* workspace) {
  Arena<T> arena(workspace);
  Head<T> h(p, task, &arena);
  const size_t c = h.chunk;
  const size_t block = ForwardBlock(c);
  T* const transposed = arena.Take(h.dk, h.chunk_pad);
  // Rows of the decayed queries, up to column ldk, and the scores behind them:
  // what stands left of the state and the values.
  const size_t left_row = h.ldk + h.chunk_pad;
  T* const left = arena.Take(block, left_row);
  T* const scores = left + h.ldk;
  T* const queries = scores - h.dk;
  T* const keys = arena.Take(c, h.ldk);
  T* const state = arena.Take(h.dk, h.ldv);
  T* const values = arena.Take(c, h.ldv);
  T* const column_sums = arena.Take(1, h.ldv);
  T* key_sum = arena.Take(1, h.ldk);
  bool has_state = p.state != nullptr;
  if (has_state) LoadState(h, p.state, state);
  if (p.norm == RetentionNorm::kPaper) {
    if (p.key_sum != nullptr) {
      std::copy_n(p.key_sum + task * p.key_dim, h.dk, key_sum);
    } else {
      std::fill_n(key_sum, h.dk, T{0});
    }
  } else {
    key_sum = nullptr;
  }
  const size_t q_row = static_cast<size_t>(p.q.time);
  const size_t k_row = static_cast<size_t>(p.k.time);
  const size_t v_row = static_cast<size_t>(p.v.time);
  const size_t out_row = static_cast<size_t>(result.out.time);
  for (size_t t = 0; t < h.length; t += c) {
    const size_t rows = HWY_MIN(c, h.length - t);
    const T* const k = h.At(p.k, t);
    h.StartChunk(t, rows);
    CopyRows(rows, h.dv, h.At(p.v, t), v_row, values, h.ldv);
    TransposeChunk(h, rows, h.dk, k, k_row, transposed);
    const T state_divisor = RetentionIsChunkwiseTorchscale(p.norm) && has_state
                                ? StateDivisor(h, state, column_sums)
                                : T{1};
    const size_t next = t + rows;  // the chunk behind this one
    for (size_t begin = 0; begin < rows; begin += block) {
      const size_t count = HWY_MIN(block, rows - begin);
      const T* const q = h.At(p.q, t + begin);
      T* const out = h.At(result.out, t + begin);
      const size_t ahead = next + begin;
      const size_t ahead_rows =
          ahead < h.length ? HWY_MIN(count, h.length - ahead) : 0;
      PrefetchRows(ahead_rows, h.dk, h.At(p.q, ahead), q_row);
      PrefetchRows(ahead_rows, h.dk, h.At(p.k, ahead), k_row);
      BlockScores(h, begin, count, h.dk, q, q_row, transposed, scores,
                  left_row);
      DecayBlock<kSum>(h, begin, count, kSum == Sum::kNone, scores, left_row);
      if constexpr (kSum != Sum::kNone) {
        T* const divisors = h.Divisors(result.divisors, t + begin);
        for (size_t i = 0; i < count; ++i) {
          const size_t row = begin + i;
          T sum = h.sums[row];
          if (key_sum != nullptr) {
            sum += h.power[row + 1] * Dot(h.dk, q + i * q_row, key_sum);
          }
          divisors[i] = RowDivisor(p.norm, sum, h.factors[row], state_divisor);
          h.factors[row] /= divisors[i];
          T* const scored = scores + i * left_row;
          ScaleRow(row + 1, h.factors[row], scored, scored);
        }
      }
      if (has_state) {
        for (size_t i = 0; i < count; ++i) {
          const size_t row = begin + i;
          ScaleRow(h.dk, h.cross * h.power[row + 1] * h.factors[row],
                   q + i * q_row, queries + i * left_row);
        }
      }
      PrefetchRows(ahead_rows, h.dv, h.At(p.v, ahead), v_row);
      PrefetchRows(ahead_rows, h.dv, h.At(result.out, ahead), out_row);
      ForGroups(begin, count, [&](size_t g, size_t n, size_t columns) HWY_ATTR {
        MicroGemm(n, h.dv, columns + (has_state ? h.dk : 0),
                  (has_state ? queries : scores) + g * left_row, left_row,
                  size_t{1}, has_state ? state : values, h.ldv,
                  out + g * out_row, out_row, false);
      });
    }
    const bool last = t + rows == h.length;
    if (last && result.state == nullptr && result.key_sum == nullptr) break;
    UpdateState(h, rows, k, k_row, values, has_state, keys, state, key_sum);
    has_state = true;
  }
  if (result.state != nullptr) StoreState(h, state, has_state, result.state);
  if (result.key_sum != nullptr && key_sum != nullptr) {
    std::copy_n(key_sum, h.dk, result.key_sum + task * p.key_dim);
  }
}

template <typename T>
void Forward(const RetentionProblem<T>& p, const RetentionResult<T>& result,
             int64_t task, T* workspace) {
  switch (SumOfNorm(p.norm)) {
    case Sum::kNone:
      return ForwardTask<Sum::kNone>(p, result, task, workspace);
    case Sum::kSigned:
      return ForwardTask<Sum::kSigned>(p, result, task, workspace);
    case Sum::kAbsolute:
      return ForwardTask<Sum::kAbsolute>(p, result, task, workspace);
  }
}

// -1/2 sum_n (dc_n / dlog_gamma) / c_n (o_n dO_n): what log_gamma does through
// the row factors. c and its derivative by recurrence from the first row on.
template <typename T>
double LogGammaOfFactors(const Head<T>& h, const RetentionGradient<T>& grad) {
  if (h.p.norm == RetentionNorm::kNone) return 0;
  const double gamma = std::exp(h.log_gamma);
  double sum = DecayRowSum(h.log_gamma, h.position);
  double derivative = sum * DecayRowSumSlope(h.log_gamma, h.position);
  double total = 0;
  for (size_t t = 0; t < h.length; ++t) {
    total -=
        0.5 * derivative / sum *
        static_cast<double>(Dot(h.dv, h.At(grad.out, t), h.At(grad.dout, t)));
    derivative = gamma * (derivative + sum);
    sum = gamma * sum + 1;
  }
  return total;
}

template <typename T>
void BackwardTask(const RetentionProblem<T>& p,
                  const RetentionGradient<T>& grad, int64_t task,
                  T* workspace) {
  Arena<T> arena(workspace);
  Head<T> h(p, task, &arena);
  const size_t c = h.chunk;
  const size_t block = std::min(c, kBlock);
  T* const keys_transposed = arena.Take(h.dk, h.chunk_pad);
  T* const values_transposed = arena.Take(h.dv, h.chunk_pad);
  T* const scores = arena.Take(block, h.chunk_pad);
  T* const dscores = arena.Take(block, h.chunk_pad);
  T* const q = arena.Take(c, h.ldk);
  T* const k = arena.Take(c, h.ldk);
  T* const decayed_keys = arena.Take(c, h.ldk);
  T* const decayed_queries = arena.Take(block, h.ldk);
  T* const v = arena.Take(c, h.ldv);
  T* const dout = arena.Take(c, h.ldv);
  T* const state_transposed = arena.Take(h.dv, h.ldk);
  T* const g = arena.Take(h.dk, h.ldv);
  const size_t matrix = h.dk * h.ldv;
  T* const states = arena.Take(1, 0);
  const bool initial = p.state != nullptr;
  const bool wants_log_gamma = grad.dlog_gamma != nullptr;
  const size_t q_row = static_cast<size_t>(p.q.time);
  const size_t k_row = static_cast<size_t>(p.k.time);
  const size_t v_row = static_cast<size_t>(p.v.time);
  const size_t dout_row = static_cast<size_t>(grad.dout.time);
  const size_t dq_row = static_cast<size_t>(grad.dq.time);
  const size_t dk_row = static_cast<size_t>(grad.dk.time);
  const size_t dv_row = static_cast<size_t>(grad.dv.time);
  const size_t chunks = (h.length + c - 1) / c;

  // The states before the chunks; the last one's end where log_gamma needs it.
  if (initial) LoadState(h, p.state, states);
  for (size_t n = 0; n + (wants_log_gamma ? 0 : 1) < chunks; ++n) {
    const size_t t = n * c;
    const size_t rows = HWY_MIN(c, h.length - t);
    T* const next = states + (n + 1) * matrix;
    const bool has_state = initial || n > 0;
    const size_t ahead = t + rows;
    const size_t ahead_rows = HWY_MIN(c, h.length - ahead);
    PrefetchRows(ahead_rows, h.dv, h.At(p.v, ahead), v_row);
    PrefetchRows(ahead_rows, h.dk, h.At(p.k, ahead), k_row);
    if (has_state) std::copy_n(states + n * matrix, matrix, next);
    CopyRows(rows, h.dv, h.At(p.v, t), v_row, v, h.ldv);
    UpdateState<T>(h, rows, h.At(p.k, t), k_row, v, has_state, decayed_keys,
                   next, nullptr);
  }
  bool has_g = grad.dstate != nullptr;
  if (has_g) LoadState(h, grad.dstate, g);
  double dlog_gamma = wants_log_gamma ? LogGammaOfFactors(h, grad) : 0;

  for (size_t n = chunks; n-- > 0;) {
    const size_t t = n * c;
    const size_t rows = HWY_MIN(c, h.length - t);
    const bool has_state = initial || n > 0;
    const T* const state = states + n * matrix;
    const T scale = static_cast<T>(p.scale);
    h.StartChunk(t, rows);
    if (RetentionHasDivisors(p.norm)) {
      // Read only.
      const T* const divisors = h.Divisors(const_cast<T*>(grad.divisors), t);
      for (size_t j = 0; j < rows; ++j) h.factors[j] /= divisors[j];
    }
    CopyRows(rows, h.dk, h.At(p.q, t), q_row, q, h.ldk);
    CopyRows(rows, h.dk, h.At(p.k, t), k_row, k, h.ldk);
    CopyRows(rows, h.dv, h.At(p.v, t), v_row, v, h.ldv);
    for (size_t j = 0; j < rows; ++j) {
      ScaleRow(h.dv, h.factors[j], h.At(grad.dout, t) + j * dout_row,
               dout + j * h.ldv);
    }
    TransposeChunk(h, rows, h.dk, k, h.ldk, keys_transposed);
    TransposeChunk(h, rows, h.dv, v, h.ldv, values_transposed);
    T* const dq_to = h.At(grad.dq, t);
    T* const dk_to = h.At(grad.dk, t);
    T* const dv_to = h.At(grad.dv, t);

    if (has_g) {
      if (wants_log_gamma) {
        double sum = 0;
        for (size_t i = 0; i < h.dk; ++i) {
          sum += static_cast<double>(
              Dot(h.dv, states + (n + 1) * matrix + i * h.ldv, g + i * h.ldv));
        }
        dlog_gamma += static_cast<double>(rows) * sum;
      }
      // What keys and values do through the state behind the chunk.
      PackTransposed(h.dk, h.dv, g, h.ldv, T{1}, state_transposed, h.ldk);
      MicroGemm(rows, h.dk, h.dv, v, h.ldv, size_t{1}, state_transposed, h.ldk,
                dk_to, dk_row, false);
      for (size_t j = 0; j < rows; ++j) {
        const T factor = scale * h.update * h.power[rows - 1 - j];
        ScaleRow(h.dk, factor, dk_to + j * dk_row, dk_to + j * dk_row);
        ScaleRow(h.dk, factor, k + j * h.ldk, decayed_keys + j * h.ldk);
      }
      MicroGemm(rows, h.dv, h.dk, decayed_keys, h.ldk, size_t{1}, g, h.ldv,
                dv_to, dv_row, false);
      for (size_t i = 0; i < h.dk; ++i) {
        ScaleRow(h.dv, h.power[rows], g + i * h.ldv, g + i * h.ldv);
      }
    }
    if (has_state) {
      PackTransposed(h.dk, h.dv, state, h.ldv, T{1}, state_transposed, h.ldk);
    }
    for (size_t begin = 0; begin < rows; begin += kBlock) {
      const size_t count = HWY_MIN(kBlock, rows - begin);
      const T* const q_rows = q + begin * h.ldk;
      const T* const dout_rows = dout + begin * h.ldv;
      BlockScores(h, begin, count, h.dk, q_rows, h.ldk, keys_transposed, scores,
                  h.chunk_pad);
      DecayBlock<Sum::kNone>(h, begin, count, /*factors=*/false, scores,
                             h.chunk_pad);
      BlockScores(h, begin, count, h.dv, dout_rows, h.ldv, values_transposed,
                  dscores, h.chunk_pad);
      DecayBlock<Sum::kNone>(h, begin, count, /*factors=*/false, dscores,
                             h.chunk_pad);
      // Queries.
      ForGroups(begin, count, [&](size_t r, size_t m, size_t columns) HWY_ATTR {
        T* const to = dq_to + (begin + r) * dq_row;
        if (n > 0) {
          const size_t ahead = t - c + begin + r;
          PrefetchRows(m, h.dk, h.At(p.q, ahead), q_row);
          PrefetchRows(m, h.dk, h.At(p.k, ahead), k_row);
          PrefetchRows(m, h.dk, h.At(grad.dq, ahead), dq_row);
          PrefetchRows(m, h.dk, h.At(grad.dk, ahead), dk_row);
        }
        if (has_state) {
          MicroGemm(m, h.dk, h.dv, dout_rows + r * h.ldv, h.ldv, size_t{1},
                    state_transposed, h.ldk, to, dq_row, false);
          for (size_t i = 0; i < m; ++i) {
            ScaleRow(h.dk, h.cross * h.power[begin + r + i + 1],
                     to + i * dq_row, to + i * dq_row);
          }
        }
        MicroGemm(m, h.dk, columns, dscores + r * h.chunk_pad, h.chunk_pad,
                  size_t{1}, k, h.ldk, to, dq_row, has_state);
      });
      // Keys and values, those that earlier blocks have begun and the block's
      // own, of which a group sees the queries from its first row on.
      const auto add = [&](size_t key, size_t m, size_t first,
                           bool accumulate) HWY_ATTR {
        const size_t at = first * h.chunk_pad + key;
        MicroGemm(m, h.dv, count - first, scores + at, size_t{1}, h.chunk_pad,
                  dout_rows + first * h.ldv, h.ldv, dv_to + key * dv_row,
                  dv_row, accumulate);
        MicroGemm(m, h.dk, count - first, dscores + at, size_t{1}, h.chunk_pad,
                  q_rows + first * h.ldk, h.ldk, dk_to + key * dk_row, dk_row,
                  accumulate);
      };
      if (begin > 0) add(0, begin, 0, true);
      ForGroups(begin, count, [&](size_t r, size_t m, size_t) HWY_ATTR {
        if (n > 0) {
          const size_t ahead = t - c + begin + r;
          PrefetchRows(m, h.dv, h.At(p.v, ahead), v_row);
          PrefetchRows(m, h.dv, h.At(grad.dout, ahead), dout_row);
          PrefetchRows(m, h.dv, h.At(grad.dv, ahead), dv_row);
        }
        add(begin + r, m, r, has_g);
      });
      // The state before the chunk.
      for (size_t i = 0; i < count; ++i) {
        ScaleRow(h.dk, h.cross * h.power[begin + i + 1], q_rows + i * h.ldk,
                 decayed_queries + i * h.ldk);
      }
      if (n > 0 || grad.dinitial != nullptr) {
        MicroGemm(h.dk, h.dv, count, decayed_queries, size_t{1}, h.ldk,
                  dout_rows, h.ldv, g, h.ldv, has_g || begin > 0);
      }
    }
    has_g = true;
    if (wants_log_gamma) {
      for (size_t j = 0; j < rows; ++j) {
        const double difference =
            static_cast<double>(Dot(h.dk, q + j * h.ldk, dq_to + j * dq_row)) -
            static_cast<double>(Dot(h.dk, k + j * h.ldk, dk_to + j * dk_row));
        dlog_gamma += static_cast<double>(j + 1) * difference;
      }
    }
  }
  if (grad.dinitial != nullptr) StoreState(h, g, has_g, grad.dinitial);
  if (wants_log_gamma) grad.dlog_gamma[task] = dlog_gamma;
}

void ForwardF32(const RetentionProblem<float>& p,
                const RetentionResult<float>& result, int64_t task,
                float* workspace) {
  Forward(p, result, task, workspace);
}
void ForwardF64(const RetentionProblem<double>& p,
                const RetentionResult<double>& result, int64_t task,
                double* workspace) {
  Forward(p, result, task, workspace);
}
void BackwardF32(const RetentionProblem<float>& p,
                 const RetentionGradient<float>& gradient, int64_t task,
                 float* workspace) {
  BackwardTask(p, gradient, task, workspace);
}
void BackwardF64(const RetentionProblem<double>& p,
                 const RetentionGradient<double>& gradient, int64_t task,
                 double* workspace) {
  BackwardTask(p, gradient, task, workspace);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace septet {
namespace {
HWY_EXPORT(ForwardF32);
HWY_EXPORT(ForwardF64);
HWY_EXPORT(BackwardF32);
HWY_EXPORT(BackwardF64);
}  // namespace

void RetentionForward(const RetentionProblem<float>& p,
                      const RetentionResult<float>& result, int64_t task,
                      float* workspace) {
  HWY_DYNAMIC_DISPATCH(ForwardF32)(p, result, task, workspace);
}
void RetentionForward(const RetentionProblem<double>& p,
                      const RetentionResult<double>& result, int64_t task,
                      double* workspace) {
  HWY_DYNAMIC_DISPATCH(ForwardF64)(p, result, task, workspace);
}
void RetentionBackward(const RetentionProblem<float>& p,
                       const RetentionGradient<float>& gradient, int64_t task,
                       float* workspace) {
  HWY_DYNAMIC_DISPATCH(BackwardF32)(p, gradient, task, workspace);
}
void RetentionBackward(const RetentionProblem<double>& p,
                       const RetentionGradient<double>& gradient, int64_t task,
                       double* workspace) {
  HWY_DYNAMIC_DISPATCH(BackwardF64)(p, gradient, task, workspace);
}

}  // namespace septet
#endif  // HWY_ONCE
