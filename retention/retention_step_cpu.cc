// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "septet/retention/decay.h"
#include "septet/retention/retention_kernels.h"
#include "septet/retention/retention_problem.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "retention/retention_step_cpu.cc"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "septet/core/ops/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace {

// What all rows of a head share.
template <typename T>
struct StepHead {
  size_t key_dim;
  size_t value_dim;
  T gamma;
  T scale;
  RetentionNorm norm;
  bool cached;  // the states that the caller goes through
};

#if HWY_TARGET == HWY_SCALAR || HWY_HAVE_SCALABLE
// Vectors of unknown length cannot be held in arrays.
constexpr size_t kMaxVectors = 1;
#else
constexpr size_t kMaxVectors = 4;
#endif
// States of a step up to this many bytes are taken to be in a cache: panel
// after panel of columns, each through all rows, is half as fast again as row
// after row, from memory less than half as fast. Rows ahead are asked for.
constexpr int64_t kCachedBytes = int64_t{4} << 20;
constexpr size_t kRowsAhead = 4;
template <typename T>
constexpr bool IsCached(int64_t elements) {
  return elements * int64_t{sizeof(T)} <= kCachedBytes;
}

// S <- gamma S + k^T v and out = q S for `rows` rows of a panel of `width`
// columns, kVectors vectors. v and out stay in registers. The first rows write
// out, later ones add to it; in the end it is multiplied by factor.
//
// Where the last vector is not a whole one, it ends with the panel and shares
// columns with the one before, which come to the same in both. A store by mask
// would not do: until it is done, the next row, which begins behind it, waits.
// One vector that is not whole has no choice.
template <size_t kVectors, bool kMasked, bool kAhead, typename T>
HWY_INLINE void StepPanel(const StepHead<T>& h, size_t rows, size_t width,
                          bool first, T factor, const T* HWY_RESTRICT q,
                          const T* HWY_RESTRICT k, const T* HWY_RESTRICT v,
                          T* HWY_RESTRICT state, T* HWY_RESTRICT out) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const size_t lanes = hn::Lanes(d);
  const auto decay = hn::Set(d, h.gamma);
  const T scale = h.scale;
  const size_t value_dim = h.value_dim;
  const auto place = [&](size_t n) SEPTET_LAMBDA {
    return !kMasked && n + 1 == kVectors ? width - lanes : n * lanes;
  };
  const auto load = [&](const T* p, size_t n) SEPTET_LAMBDA {
    return kMasked ? LoadPartial(d, p, width) : hn::LoadU(d, p + place(n));
  };
  const auto store = [&](V x, T* p, size_t n) SEPTET_LAMBDA {
    if (kMasked) {
      StorePartial(d, x, p, width);
    } else {
      hn::StoreU(x, d, p + place(n));
    }
  };
  V value[kVectors], sum[kVectors];
#pragma GCC unroll 4
  for (size_t n = 0; n < kVectors; ++n) {
    value[n] = load(v, n);
    sum[n] = first ? hn::Zero(d) : load(out, n);
  }
  for (size_t i = 0; i < rows; ++i) {
    const auto key = hn::Set(d, scale * k[i]);
    const auto query = hn::Set(d, q[i]);
    V x[kVectors];
#pragma GCC unroll 4
    for (size_t n = 0; n < kVectors; ++n) {
      if (kAhead) hwy::Prefetch(state + kRowsAhead * value_dim + n * lanes);
      x[n] = hn::MulAdd(key, value[n], hn::Mul(decay, load(state, n)));
    }
#pragma GCC unroll 4
    for (size_t n = 0; n < kVectors; ++n) {
      store(x[n], state, n);
      sum[n] = hn::MulAdd(query, x[n], sum[n]);
    }
    state += value_dim;
  }
#pragma GCC unroll 4
  for (size_t n = 0; n < kVectors; ++n) {
    store(hn::Mul(sum[n], hn::Set(d, factor)), out, n);
  }
}

template <bool kAhead, typename T>
void StepRows(const StepHead<T>& h, size_t rows, bool first, T factor,
              const T* q, const T* k, const T* v, T* state, T* out) {
  const size_t lanes = hn::Lanes(hn::ScalableTag<T>());
  for (size_t j = 0; j < h.value_dim;) {
    const size_t left = h.value_dim - j;
    size_t vectors = HWY_MIN(kMaxVectors, (left + lanes - 1) / lanes);
    size_t width = HWY_MIN(left, vectors * lanes);
    // None is left for a panel of a part of a vector.
    if (vectors > 1 && left > width && left < width + lanes) {
      --vectors;
      width -= lanes;
    }
#define SEPTET_STEP_PANEL(count, masked)                          \
  StepPanel<HWY_MIN(size_t{count}, kMaxVectors), masked, kAhead>( \
      h, rows, width, first, factor, q, k, v + j, state + j, out + j)
    switch (vectors) {
      case 1:
        if (width < lanes) {
          SEPTET_STEP_PANEL(1, true);
        } else {
          SEPTET_STEP_PANEL(1, false);
        }
        break;
      case 2:
        SEPTET_STEP_PANEL(2, false);
        break;
      case 3:
        SEPTET_STEP_PANEL(3, false);
        break;
      default:
        SEPTET_STEP_PANEL(4, false);
    }
#undef SEPTET_STEP_PANEL
    j += width;
  }
}

// One row: state and key_sum (kPaper) in place, and out. row_sum: c_n. Returns
// the data divisor.
template <typename T>
T StepRow(const StepHead<T>& h, const T* q, const T* k, const T* v,
          double row_sum, T* state, T* key_sum, T* out) {
  T factor{1}, divisor{1};
  if (h.norm != RetentionNorm::kNone) {
    factor = T{1} / std::sqrt(static_cast<T>(row_sum));
  }
  if (h.norm == RetentionNorm::kPaper) {
    T sum{0};
    for (size_t c = 0; c < h.key_dim; ++c) {
      key_sum[c] = h.gamma * key_sum[c] + h.scale * k[c];
      sum += q[c] * key_sum[c];
    }
    divisor = std::max(std::abs(sum) * factor, T{1});
    factor /= divisor;
  }
  if (h.cached) {
    StepRows<true>(h, h.key_dim, true, factor, q, k, v, state, out);
    return divisor;
  }
  for (size_t i = 0; i < h.key_dim; ++i) {
    StepRows<false>(h, size_t{1}, i == 0, i + 1 == h.key_dim ? factor : T{1},
                    q + i, k + i, v, state + i * h.value_dim, out);
  }
  return divisor;
}

template <typename T>
void StepTask(const RetentionStepProblem<T>& p, int64_t task) {
  const int64_t sequence = task / p.heads, head = task % p.heads;
  const double log_gamma = p.log_gamma[head];
  const StepHead<T> h = {
      static_cast<size_t>(p.key_dim),
      static_cast<size_t>(p.value_dim),
      static_cast<T>(std::exp(log_gamma)),
      static_cast<T>(p.scale),
      p.norm,
      IsCached<T>(p.sequences * p.heads * p.key_dim * p.value_dim)};
  const auto row = [&](const RetentionStepRows<T>& x) {
    return x.data + sequence * x.batch + head * x.head;
  };
  StepRow(
      h, row(p.q), row(p.k), row(p.v),
      p.norm == RetentionNorm::kNone
          ? 1
          : DecayRowSum(log_gamma, p.positions[sequence]),
      p.state + task * p.key_dim * p.value_dim,
      p.norm == RetentionNorm::kPaper ? p.key_sum + task * p.key_dim : nullptr,
      p.out + task * p.value_dim);
}

template <typename T>
void RecurrentTask(const RetentionProblem<T>& p,
                   const RetentionResult<T>& result, int64_t task,
                   T* workspace) {
  const int64_t sequence = task / p.heads, head = task % p.heads;
  const int64_t matrix = p.key_dim * p.value_dim;
  // Where the results lie, else in the workspace.
  const auto start = [task](const T* from, T* to, int64_t n, T* spare) {
    if (to == nullptr) {
      to = spare;
    } else {
      to += task * n;
    }
    if (from != nullptr) {
      std::copy_n(from + task * n, n, to);
    } else {
      std::fill_n(to, n, T{0});
    }
    return to;
  };
  T* const state = start(p.state, result.state, matrix, workspace);
  T* const key_sum =
      p.norm == RetentionNorm::kPaper
          ? start(p.key_sum, result.key_sum, p.key_dim, workspace + matrix)
          : nullptr;
  T* const divisors =
      p.norm == RetentionNorm::kPaper
          ? result.divisors + head * p.TotalRows() + p.FlatRow(sequence)
          : nullptr;
  const double log_gamma = p.log_gamma[head];
  const double gamma = std::exp(log_gamma);
  const StepHead<T> h = {static_cast<size_t>(p.key_dim),
                         static_cast<size_t>(p.value_dim),
                         static_cast<T>(gamma),
                         static_cast<T>(p.scale),
                         p.norm,
                         IsCached<T>(matrix)};
  double row_sum = DecayRowSum(log_gamma, p.Position(sequence));
  const int64_t rows = p.Length(sequence);
  for (int64_t t = 0; t < rows; ++t) {
    const T divisor =
        StepRow(h, p.At(p.q, sequence, head, t), p.At(p.k, sequence, head, t),
                p.At(p.v, sequence, head, t), row_sum, state, key_sum,
                p.At(result.out, sequence, head, t));
    if (divisors != nullptr) divisors[t] = divisor;
    row_sum = gamma * row_sum + 1;
  }
}

void StepF32(const RetentionStepProblem<float>& p, int64_t begin, int64_t end) {
  for (int64_t task = begin; task < end; ++task) StepTask(p, task);
}
void StepF64(const RetentionStepProblem<double>& p, int64_t begin,
             int64_t end) {
  for (int64_t task = begin; task < end; ++task) StepTask(p, task);
}
void RecurrentF32(const RetentionProblem<float>& p,
                  const RetentionResult<float>& result, int64_t task,
                  float* workspace) {
  RecurrentTask(p, result, task, workspace);
}
void RecurrentF64(const RetentionProblem<double>& p,
                  const RetentionResult<double>& result, int64_t task,
                  double* workspace) {
  RecurrentTask(p, result, task, workspace);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace septet {
namespace {
HWY_EXPORT(StepF32);
HWY_EXPORT(StepF64);
HWY_EXPORT(RecurrentF32);
HWY_EXPORT(RecurrentF64);
}  // namespace

void RetentionStepTasks(const RetentionStepProblem<float>& p, int64_t begin,
                        int64_t end) {
  HWY_DYNAMIC_DISPATCH(StepF32)(p, begin, end);
}
void RetentionStepTasks(const RetentionStepProblem<double>& p, int64_t begin,
                        int64_t end) {
  HWY_DYNAMIC_DISPATCH(StepF64)(p, begin, end);
}
void RetentionRecurrent(const RetentionProblem<float>& p,
                        const RetentionResult<float>& result, int64_t task,
                        float* workspace) {
  HWY_DYNAMIC_DISPATCH(RecurrentF32)(p, result, task, workspace);
}
void RetentionRecurrent(const RetentionProblem<double>& p,
                        const RetentionResult<double>& result, int64_t task,
                        double* workspace) {
  HWY_DYNAMIC_DISPATCH(RecurrentF64)(p, result, task, workspace);
}

}  // namespace septet
#endif  // HWY_ONCE
