// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "septet/core/ops/batch_norm_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/batch_norm_kernels_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "septet/core/ops/reduce-inl.h"
#include "septet/core/ops/simd-inl.h"

#ifndef SEPTET_CORE_OPS_BATCH_NORM_KERNELS_CPU_ONCE_
#define SEPTET_CORE_OPS_BATCH_NORM_KERNELS_CPU_ONCE_
namespace septet {
namespace {

// Rows whose statistics are formed together: with 256 columns of float they
// fill a first-level cache of 32 KiB.
constexpr size_t kBlockRows = 32;

// Columns that fill four of the widest vectors of float. Matrices with fewer
// are taken as several rows side by side, so that vectors are full.
constexpr size_t kMinColumns = 64;

// How many rows lie side by side: 1 for kMinColumns or more.
constexpr size_t SideBySide(size_t c) {
  return c < kMinColumns ? kMinColumns / c : 1;
}

// `from` [c], k times; a null pointer stays one.
template <typename T>
const T* Repeat(size_t k, size_t c, const T* from, T* to) {
  if (from == nullptr) return nullptr;
  for (size_t i = 0; i < k; ++i) {
    for (size_t j = 0; j < c; ++j) to[i * c + j] = from[j];
  }
  return to;
}

template <typename T>
void Merge(size_t c, size_t n_a, T* mean_a, T* m2_a, size_t n_b,
           const T* mean_b, const T* m2_b) {
  const T n = static_cast<T>(n_a + n_b);
  const T part = static_cast<T>(n_b) / n;
  const T weight = static_cast<T>(n_a) * part;
  for (size_t j = 0; j < c; ++j) {
    const T delta = mean_b[j] - mean_a[j];
    mean_a[j] += delta * part;
    m2_a[j] += m2_b[j] + delta * delta * weight;
  }
}

}  // namespace
}  // namespace septet
#endif  // SEPTET_CORE_OPS_BATCH_NORM_KERNELS_CPU_ONCE_

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace {

// Calls term(r, w) for rows r in ascending order, w = r % 4 being the
// accumulator that it is to be added to: four chains hide an addition's
// latency. Rows left over go to the first.
template <class Term>
HWY_INLINE void ForEachRow(size_t rows, const Term& term) {
  size_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    term(r, std::integral_constant<int, 0>());
    term(r + 1, std::integral_constant<int, 1>());
    term(r + 2, std::integral_constant<int, 2>());
    term(r + 3, std::integral_constant<int, 3>());
  }
  for (; r < rows; ++r) term(r, std::integral_constant<int, 0>());
}

// Adds to one of four.
template <int kWay, class V>
HWY_INLINE void AddTo(V term, V& a0, V& a1, V& a2, V& a3) {
  if constexpr (kWay == 0) {
    a0 = hn::Add(a0, term);
  } else if constexpr (kWay == 1) {
    a1 = hn::Add(a1, term);
  } else if constexpr (kWay == 2) {
    a2 = hn::Add(a2, term);
  } else {
    a3 = hn::Add(a3, term);
  }
}

template <class V>
HWY_INLINE V Fold(V a0, V a1, V a2, V a3) {
  return hn::Add(hn::Add(a0, a1), hn::Add(a2, a3));
}

// The statistics of `count` columns of a block of rows, merged into those of
// `before` rows before it.
template <class D, typename T>
HWY_INLINE void BlockStatistics(D d, size_t rows, size_t c, size_t count,
                                const T* HWY_RESTRICT x, size_t before,
                                T* HWY_RESTRICT mean, T* HWY_RESTRICT m2) {
  using V = hn::Vec<D>;
  const V zero = hn::Zero(d);
  const V n = hn::Set(d, static_cast<T>(rows));
  V s0 = zero, s1 = zero, s2 = zero, s3 = zero;
  ForEachRow(rows, [&](size_t r, auto way) HWY_ATTR {
    AddTo<decltype(way)::value>(LoadSome(d, x + r * c, count), s0, s1, s2, s3);
  });
  const V first = hn::Div(Fold(s0, s1, s2, s3), n);
  s0 = zero, s1 = zero, s2 = zero, s3 = zero;
  V q0 = zero, q1 = zero, q2 = zero, q3 = zero;
  ForEachRow(rows, [&](size_t r, auto way) HWY_ATTR {
    const V v = hn::Sub(LoadSome(d, x + r * c, count), first);
    AddTo<decltype(way)::value>(v, s0, s1, s2, s3);
    AddTo<decltype(way)::value>(hn::Mul(v, v), q0, q1, q2, q3);
  });
  // What rounding left of the sum of differences is taken off again.
  const V rest = Fold(s0, s1, s2, s3);
  const V shift = hn::Div(rest, n);
  const V block_mean = hn::Add(first, shift);
  V block_m2 = hn::Sub(Fold(q0, q1, q2, q3), hn::Mul(rest, shift));
  block_m2 = hn::IfThenElse(hn::Lt(block_m2, zero), zero, block_m2);
  if (before == 0) {
    StoreSome(d, block_mean, mean, count);
    StoreSome(d, block_m2, m2, count);
    return;
  }
  const T part = static_cast<T>(rows) / static_cast<T>(before + rows);
  const V mean_a = LoadSome(d, mean, count);
  const V delta = hn::Sub(block_mean, mean_a);
  StoreSome(d, hn::Add(mean_a, hn::Mul(delta, hn::Set(d, part))), mean, count);
  const V weight = hn::Set(d, static_cast<T>(before) * part);
  const V between = hn::Mul(hn::Mul(delta, delta), weight);
  StoreSome(d, hn::Add(LoadSome(d, m2, count), hn::Add(block_m2, between)), m2,
            count);
}

template <typename T>
HWY_INLINE void StatisticsOfWide(size_t rows, size_t c, const T* x, T* mean,
                                 T* m2) {
  const hn::ScalableTag<T> d;
  const size_t step = hn::Lanes(d);
  for (size_t begin = 0; begin < rows; begin += kBlockRows) {
    const size_t n = HWY_MIN(kBlockRows, rows - begin);
    const T* block = x + begin * c;
    size_t j = 0;
    for (; j + step <= c; j += step) {
      BlockStatistics(d, n, c, step, block + j, begin, mean + j, m2 + j);
    }
    if (j < c) {
      BlockStatistics(d, n, c, c - j, block + j, begin, mean + j, m2 + j);
    }
  }
}

template <typename T>
void Statistics(size_t rows, size_t c, const T* x, T* mean, T* m2) {
  const size_t k = SideBySide(c);
  const size_t wide = rows / k;
  if (k == 1 || wide == 0) {
    StatisticsOfWide(rows, c, x, mean, m2);
    return;
  }
  T means[kMinColumns], m2s[kMinColumns];
  StatisticsOfWide(wide, k * c, x, means, m2s);
  for (size_t i = 1; i < k; ++i) {
    Merge(c, i * wide, means, m2s, wide, means + i * c, m2s + i * c);
  }
  for (size_t j = 0; j < c; ++j) {
    mean[j] = means[j];
    m2[j] = m2s[j];
  }
  if (const size_t rest = rows - wide * k; rest > 0) {
    StatisticsOfWide(rest, c, x + wide * k * c, means, m2s);
    Merge(c, wide * k, mean, m2, rest, means, m2s);
  }
}

template <bool kShift, bool kBias, typename T>
HWY_INLINE void ApplyRows(size_t rows, size_t c, const T* x, const T* shift,
                          const T* multiplier, const T* bias, T* y) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const size_t step = hn::Lanes(d);
  const auto apply = [&](V v, size_t j, size_t count) HWY_ATTR {
    if constexpr (kShift) v = hn::Sub(v, LoadSome(d, shift + j, count));
    v = hn::Mul(v, LoadSome(d, multiplier + j, count));
    if constexpr (kBias) v = hn::Add(v, LoadSome(d, bias + j, count));
    return v;
  };
  for (size_t r = 0; r < rows; ++r, x += c, y += c) {
    size_t j = 0;
    for (; j + step <= c; j += step) {
      hn::StoreU(apply(hn::LoadU(d, x + j), j, step), d, y + j);
    }
    if (j < c) {
      StorePartial(d, apply(LoadPartial(d, x + j, c - j), j, c - j), y + j,
                   c - j);
    }
  }
}

template <typename T>
HWY_INLINE void ApplyWide(size_t rows, size_t c, const T* x, const T* shift,
                          const T* multiplier, const T* bias, T* y) {
  if (shift != nullptr) {
    if (bias != nullptr) {
      ApplyRows<true, true>(rows, c, x, shift, multiplier, bias, y);
    } else {
      ApplyRows<true, false>(rows, c, x, shift, multiplier, bias, y);
    }
  } else if (bias != nullptr) {
    ApplyRows<false, true>(rows, c, x, shift, multiplier, bias, y);
  } else {
    ApplyRows<false, false>(rows, c, x, shift, multiplier, bias, y);
  }
}

template <typename T>
void Apply(size_t rows, size_t c, const T* x, const T* shift,
           const T* multiplier, const T* bias, T* y) {
  const size_t k = SideBySide(c);
  const size_t wide = rows / k;
  T buffers[3][kMinColumns];
  if (k > 1 && wide > 0) {
    ApplyWide(wide, k * c, x, Repeat(k, c, shift, buffers[0]),
              Repeat(k, c, multiplier, buffers[1]),
              Repeat(k, c, bias, buffers[2]), y);
    x += wide * k * c;
    y += wide * k * c;
    rows -= wide * k;
  }
  ApplyWide(rows, c, x, shift, multiplier, bias, y);
}

template <bool kShift, class D, typename T>
HWY_INLINE void BlockSums(D d, size_t rows, size_t c, size_t count,
                          const T* HWY_RESTRICT x, const T* shift,
                          const T* HWY_RESTRICT dy, bool first,
                          T* HWY_RESTRICT sum_dy, T* HWY_RESTRICT sum_dy_x) {
  using V = hn::Vec<D>;
  const V zero = hn::Zero(d);
  V mean = zero;
  if constexpr (kShift) mean = LoadSome(d, shift, count);
  V s0 = zero, s1 = zero, s2 = zero, s3 = zero;
  V q0 = zero, q1 = zero, q2 = zero, q3 = zero;
  ForEachRow(rows, [&](size_t r, auto way) HWY_ATTR {
    const V g = LoadSome(d, dy + r * c, count);
    V v = LoadSome(d, x + r * c, count);
    if constexpr (kShift) v = hn::Sub(v, mean);
    AddTo<decltype(way)::value>(g, s0, s1, s2, s3);
    AddTo<decltype(way)::value>(hn::Mul(g, v), q0, q1, q2, q3);
  });
  V s = Fold(s0, s1, s2, s3);
  V q = Fold(q0, q1, q2, q3);
  if (!first) {
    s = hn::Add(LoadSome(d, sum_dy, count), s);
    q = hn::Add(LoadSome(d, sum_dy_x, count), q);
  }
  StoreSome(d, s, sum_dy, count);
  StoreSome(d, q, sum_dy_x, count);
}

template <bool kShift, typename T>
HWY_INLINE void SumsOfWide(size_t rows, size_t c, const T* x, const T* shift,
                           const T* dy, T* sum_dy, T* sum_dy_x) {
  const hn::ScalableTag<T> d;
  const size_t step = hn::Lanes(d);
  for (size_t begin = 0; begin < rows; begin += kBlockRows) {
    const size_t n = HWY_MIN(kBlockRows, rows - begin);
    const size_t at = begin * c;
    const auto columns = [&](size_t j, size_t count) HWY_ATTR {
      BlockSums<kShift>(d, n, c, count, x + at + j,
                        kShift ? shift + j : nullptr, dy + at + j, begin == 0,
                        sum_dy + j, sum_dy_x + j);
    };
    size_t j = 0;
    for (; j + step <= c; j += step) columns(j, step);
    if (j < c) columns(j, c - j);
  }
}

template <bool kShift, typename T>
HWY_INLINE void BackwardSumsOf(size_t rows, size_t c, const T* x,
                               const T* shift, const T* dy, T* sum_dy,
                               T* sum_dy_x) {
  const size_t k = SideBySide(c);
  const size_t wide = rows / k;
  if (k == 1 || wide == 0) {
    SumsOfWide<kShift>(rows, c, x, shift, dy, sum_dy, sum_dy_x);
    return;
  }
  T shifts[kMinColumns], sums[kMinColumns], sums_x[kMinColumns];
  SumsOfWide<kShift>(wide, k * c, x, Repeat(k, c, shift, shifts), dy, sums,
                     sums_x);
  const auto add = [&](size_t i) HWY_ATTR {
    for (size_t j = 0; j < c; ++j) {
      sum_dy[j] = i == 0 ? sums[j] : sum_dy[j] + sums[i * c + j];
      sum_dy_x[j] = i == 0 ? sums_x[j] : sum_dy_x[j] + sums_x[i * c + j];
    }
  };
  for (size_t i = 0; i < k; ++i) add(i);
  if (const size_t rest = rows - wide * k; rest > 0) {
    const size_t at = wide * k * c;
    SumsOfWide<kShift>(rest, c, x + at, shift, dy + at, sums, sums_x);
    for (size_t j = 0; j < c; ++j) {
      sum_dy[j] += sums[j];
      sum_dy_x[j] += sums_x[j];
    }
  }
}

template <typename T>
void BackwardSums(size_t rows, size_t c, const T* x, const T* shift,
                  const T* dy, T* sum_dy, T* sum_dy_x) {
  if (shift != nullptr) {
    BackwardSumsOf<true>(rows, c, x, shift, dy, sum_dy, sum_dy_x);
  } else {
    BackwardSumsOf<false>(rows, c, x, shift, dy, sum_dy, sum_dy_x);
  }
}

template <bool kDyMean, typename T>
HWY_INLINE void BackwardApplyRows(size_t rows, size_t c, const T* x,
                                  const T* mean, const T* dy, const T* p,
                                  const T* dy_mean, const T* q, T* dx) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const size_t step = hn::Lanes(d);
  const auto apply = [&](size_t j, size_t count) HWY_ATTR {
    V g = LoadSome(d, dy + j, count);
    if constexpr (kDyMean) g = hn::Sub(g, LoadSome(d, dy_mean + j, count));
    const V v =
        hn::Sub(LoadSome(d, x + j, count), LoadSome(d, mean + j, count));
    StoreSome(d,
              hn::Sub(hn::Mul(g, LoadSome(d, p + j, count)),
                      hn::Mul(v, LoadSome(d, q + j, count))),
              dx + j, count);
  };
  for (size_t r = 0; r < rows; ++r, x += c, dy += c, dx += c) {
    size_t j = 0;
    for (; j + step <= c; j += step) apply(j, step);
    if (j < c) apply(j, c - j);
  }
}

template <typename T>
HWY_INLINE void BackwardApplyWide(size_t rows, size_t c, const T* x,
                                  const T* mean, const T* dy, const T* p,
                                  const T* dy_mean, const T* q, T* dx) {
  if (dy_mean != nullptr) {
    BackwardApplyRows<true>(rows, c, x, mean, dy, p, dy_mean, q, dx);
  } else {
    BackwardApplyRows<false>(rows, c, x, mean, dy, p, dy_mean, q, dx);
  }
}

template <typename T>
void BackwardApply(size_t rows, size_t c, const T* x, const T* mean,
                   const T* dy, const T* p, const T* dy_mean, const T* q,
                   T* dx) {
  const size_t k = SideBySide(c);
  const size_t wide = rows / k;
  T buffers[4][kMinColumns];
  if (k > 1 && wide > 0) {
    BackwardApplyWide(wide, k * c, x, Repeat(k, c, mean, buffers[0]), dy,
                      Repeat(k, c, p, buffers[1]),
                      Repeat(k, c, dy_mean, buffers[2]),
                      Repeat(k, c, q, buffers[3]), dx);
    x += wide * k * c;
    dy += wide * k * c;
    dx += wide * k * c;
    rows -= wide * k;
  }
  BackwardApplyWide(rows, c, x, mean, dy, p, dy_mean, q, dx);
}

void StatisticsF32(size_t rows, size_t c, const float* x, float* mean,
                   float* m2) {
  Statistics(rows, c, x, mean, m2);
}
void ApplyF32(size_t rows, size_t c, const float* x, const float* shift,
              const float* multiplier, const float* bias, float* y) {
  Apply(rows, c, x, shift, multiplier, bias, y);
}
void BackwardSumsF32(size_t rows, size_t c, const float* x, const float* shift,
                     const float* dy, float* sum_dy, float* sum_dy_x) {
  BackwardSums(rows, c, x, shift, dy, sum_dy, sum_dy_x);
}
void BackwardApplyF32(size_t rows, size_t c, const float* x, const float* mean,
                      const float* dy, const float* p, const float* dy_mean,
                      const float* q, float* dx) {
  BackwardApply(rows, c, x, mean, dy, p, dy_mean, q, dx);
}
void StatisticsF64(size_t rows, size_t c, const double* x, double* mean,
                   double* m2) {
  Statistics(rows, c, x, mean, m2);
}
void ApplyF64(size_t rows, size_t c, const double* x, const double* shift,
              const double* multiplier, const double* bias, double* y) {
  Apply(rows, c, x, shift, multiplier, bias, y);
}
void BackwardSumsF64(size_t rows, size_t c, const double* x,
                     const double* shift, const double* dy, double* sum_dy,
                     double* sum_dy_x) {
  BackwardSums(rows, c, x, shift, dy, sum_dy, sum_dy_x);
}
void BackwardApplyF64(size_t rows, size_t c, const double* x,
                      const double* mean, const double* dy, const double* p,
                      const double* dy_mean, const double* q, double* dx) {
  BackwardApply(rows, c, x, mean, dy, p, dy_mean, q, dx);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace septet {

HWY_EXPORT(StatisticsF32);
HWY_EXPORT(StatisticsF64);
HWY_EXPORT(ApplyF32);
HWY_EXPORT(ApplyF64);
HWY_EXPORT(BackwardSumsF32);
HWY_EXPORT(BackwardSumsF64);
HWY_EXPORT(BackwardApplyF32);
HWY_EXPORT(BackwardApplyF64);

namespace {
size_t Size(int64_t n) { return static_cast<size_t>(n); }
}  // namespace

void BatchNormStatistics(int64_t rows, int64_t c, const float* x, float* mean,
                         float* m2) {
  HWY_DYNAMIC_DISPATCH(StatisticsF32)(Size(rows), Size(c), x, mean, m2);
}
void BatchNormMerge(int64_t c, int64_t n_a, float* mean_a, float* m2_a,
                    int64_t n_b, const float* mean_b, const float* m2_b) {
  Merge(Size(c), Size(n_a), mean_a, m2_a, Size(n_b), mean_b, m2_b);
}
void BatchNormApply(int64_t rows, int64_t c, const float* x, const float* shift,
                    const float* multiplier, const float* bias, float* y) {
  HWY_DYNAMIC_DISPATCH(ApplyF32)
  (Size(rows), Size(c), x, shift, multiplier, bias, y);
}
void BatchNormBackwardSums(int64_t rows, int64_t c, const float* x,
                           const float* shift, const float* dy, float* sum_dy,
                           float* sum_dy_x) {
  HWY_DYNAMIC_DISPATCH(BackwardSumsF32)
  (Size(rows), Size(c), x, shift, dy, sum_dy, sum_dy_x);
}
void BatchNormBackwardApply(int64_t rows, int64_t c, const float* x,
                            const float* mean, const float* dy, const float* p,
                            const float* dy_mean, const float* q, float* dx) {
  HWY_DYNAMIC_DISPATCH(BackwardApplyF32)
  (Size(rows), Size(c), x, mean, dy, p, dy_mean, q, dx);
}
void BatchNormStatistics(int64_t rows, int64_t c, const double* x, double* mean,
                         double* m2) {
  HWY_DYNAMIC_DISPATCH(StatisticsF64)(Size(rows), Size(c), x, mean, m2);
}
void BatchNormMerge(int64_t c, int64_t n_a, double* mean_a, double* m2_a,
                    int64_t n_b, const double* mean_b, const double* m2_b) {
  Merge(Size(c), Size(n_a), mean_a, m2_a, Size(n_b), mean_b, m2_b);
}
void BatchNormApply(int64_t rows, int64_t c, const double* x,
                    const double* shift, const double* multiplier,
                    const double* bias, double* y) {
  HWY_DYNAMIC_DISPATCH(ApplyF64)
  (Size(rows), Size(c), x, shift, multiplier, bias, y);
}
void BatchNormBackwardSums(int64_t rows, int64_t c, const double* x,
                           const double* shift, const double* dy,
                           double* sum_dy, double* sum_dy_x) {
  HWY_DYNAMIC_DISPATCH(BackwardSumsF64)
  (Size(rows), Size(c), x, shift, dy, sum_dy, sum_dy_x);
}
void BatchNormBackwardApply(int64_t rows, int64_t c, const double* x,
                            const double* mean, const double* dy,
                            const double* p, const double* dy_mean,
                            const double* q, double* dx) {
  HWY_DYNAMIC_DISPATCH(BackwardApplyF64)
  (Size(rows), Size(c), x, mean, dy, p, dy_mean, q, dx);
}

}  // namespace septet
#endif  // HWY_ONCE
