// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "septet/core/ops/batch_norm_kernels.h"
#include "septet/core/ops/store_mode.h"

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

// Rows whose sums are formed together.
constexpr size_t kBlockRows = 32;

// Columns whose sums are formed together: those of two numbers stay in the
// first-level cache, and a row is read in pieces of 4 KiB.
template <typename T>
constexpr size_t kTileColumns = 4096 / sizeof(T);

// Columns that fill four of the widest vectors of float. Matrices with fewer
// are taken as several rows side by side, so that vectors are full.
constexpr size_t kMinColumns = 64;

// Bytes of a row where nothing is summed: fewer ends of rows, and the numbers
// of four parameters fill half of a first-level cache of 32 KiB.
constexpr size_t kApplyBytes = 4096;

// How many rows lie side by side to make `least` columns or nearly so: 1 for
// more than half of that.
constexpr size_t SideBySide(size_t c, size_t least) {
  return c < least ? least / c : 1;
}

// The same where nothing is summed. Whole cache lines, if there are enough.
template <typename T>
constexpr size_t SideBySideInLines(size_t c) {
  constexpr size_t kLine = 64 / sizeof(T);
  const size_t k = SideBySide(c, kApplyBytes / sizeof(T));
  return k < kLine ? k : k / kLine * kLine;
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

// a[j] += the first, b[j] += the second of the numbers that term(r, j, count,
// x, y) gives for rows r and columns j < columns; only the first for !kTwo. One
// row after the other, in the order of memory: several rows at a time save
// loads and stores of the sums, and halve the rate at which memory comes.
template <bool kTwo, typename T, class Term>
HWY_INLINE void AddRows(size_t rows, size_t columns, T* HWY_RESTRICT a,
                        T* HWY_RESTRICT b, const Term& term) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const size_t step = hn::Lanes(d);
  const auto add = [&](size_t r, size_t j, size_t count) SEPTET_LAMBDA {
    V x, y;
    term(r, j, count, x, y);
    StoreSome(d, hn::Add(LoadSome(d, a + j, count), x), a + j, count);
    if constexpr (kTwo) {
      StoreSome(d, hn::Add(LoadSome(d, b + j, count), y), b + j, count);
    }
  };
  const size_t whole = columns / step * step;
  for (size_t r = 0; r < rows; ++r) {
    for (size_t j = 0; j < whole; j += step) add(r, j, step);
    if (whole < columns) add(r, whole, columns - whole);
  }
}

// The statistics of a block of rows, merged into those of `before` rows before
// it. Rows are c apart.
template <typename T>
HWY_INLINE void BlockStatistics(size_t rows, size_t c, size_t columns,
                                const T* HWY_RESTRICT x, size_t before,
                                T* HWY_RESTRICT mean, T* HWY_RESTRICT m2) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  HWY_ALIGN T sums[kTileColumns<T>];
  HWY_ALIGN T squares[kTileColumns<T>];
  const T n = static_cast<T>(rows);
  // What differences are taken to: the mean of the rows before, or, for the
  // first block, its own. A block that lies far from the rows before it loses
  // digits of its own variance, but none of the sum, which the distance
  // between the two dominates then.
  if (before == 0) {
    for (size_t j = 0; j < columns; ++j) mean[j] = T{0};
    AddRows<false>(
        rows, columns, mean, sums,
        [=](size_t r, size_t j, size_t count, V& v, V& /*unused*/)
            SEPTET_LAMBDA { v = LoadSome(d, x + r * c + j, count); });
    for (size_t j = 0; j < columns; ++j) mean[j] /= n;
  }
  for (size_t j = 0; j < columns; ++j) sums[j] = squares[j] = T{0};
  AddRows<true>(rows, columns, sums, squares,
                [=](size_t r, size_t j, size_t count, V& v, V& square)
                    SEPTET_LAMBDA {
                      v = hn::Sub(LoadSome(d, x + r * c + j, count),
                                  LoadSome(d, mean + j, count));
                      square = hn::Mul(v, v);
                    });
  const T part = n / static_cast<T>(before + rows);
  const T weight = static_cast<T>(before) * part;
  for (size_t j = 0; j < columns; ++j) {
    const T shift = sums[j] / n;
    T own = squares[j] - sums[j] * shift;
    own = own < T{0} ? T{0} : own;
    mean[j] += shift * (before == 0 ? T{1} : part);
    m2[j] = before == 0 ? own : m2[j] + (own + shift * shift * weight);
  }
}

template <typename T>
HWY_INLINE void StatisticsOfWide(size_t rows, size_t c, const T* x, T* mean,
                                 T* m2) {
  for (size_t j = 0; j < c; j += kTileColumns<T>) {
    const size_t columns = HWY_MIN(kTileColumns<T>, c - j);
    for (size_t begin = 0; begin < rows; begin += kBlockRows) {
      BlockStatistics(HWY_MIN(kBlockRows, rows - begin), c, columns,
                      x + begin * c + j, begin, mean + j, m2 + j);
    }
  }
}

template <typename T>
void Statistics(size_t rows, size_t c, const T* x, T* mean, T* m2) {
  const size_t k = SideBySide(c, kMinColumns);
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
                          const T* multiplier, const T* bias, T* y,
                          StoreMode mode) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  for (size_t r = 0; r < rows; ++r, x += c, y += c) {
    StoreLoop(d, c, y, mode, [&](size_t j, size_t count) SEPTET_LAMBDA {
      V v = LoadSome(d, x + j, count);
      if constexpr (kShift) v = hn::Sub(v, LoadSome(d, shift + j, count));
      v = hn::Mul(v, LoadSome(d, multiplier + j, count));
      if constexpr (kBias) v = hn::Add(v, LoadSome(d, bias + j, count));
      return v;
    });
  }
}

template <typename T>
HWY_INLINE void ApplyWide(size_t rows, size_t c, const T* x, const T* shift,
                          const T* multiplier, const T* bias, T* y,
                          StoreMode mode) {
  if (shift != nullptr) {
    if (bias != nullptr) {
      ApplyRows<true, true>(rows, c, x, shift, multiplier, bias, y, mode);
    } else {
      ApplyRows<true, false>(rows, c, x, shift, multiplier, bias, y, mode);
    }
  } else if (bias != nullptr) {
    ApplyRows<false, true>(rows, c, x, shift, multiplier, bias, y, mode);
  } else {
    ApplyRows<false, false>(rows, c, x, shift, multiplier, bias, y, mode);
  }
}

template <typename T>
void Apply(size_t rows, size_t c, const T* x, const T* shift,
           const T* multiplier, const T* bias, T* y, StoreMode mode) {
  constexpr size_t kColumns = kApplyBytes / sizeof(T);
  const size_t k = SideBySideInLines<T>(c);
  const size_t wide = rows / k;
  T buffers[3][kColumns];
  if (k > 1 && wide > 0) {
    ApplyWide(wide, k * c, x, Repeat(k, c, shift, buffers[0]),
              Repeat(k, c, multiplier, buffers[1]),
              Repeat(k, c, bias, buffers[2]), y, mode);
    x += wide * k * c;
    y += wide * k * c;
    rows -= wide * k;
  }
  ApplyWide(rows, c, x, shift, multiplier, bias, y, mode);
  EndStores(mode);
}

template <bool kShift, typename T>
HWY_INLINE void SumsOfWide(size_t rows, size_t c, const T* x, const T* shift,
                           const T* dy, T* sum_dy, T* sum_dy_x) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  HWY_ALIGN T sums[kTileColumns<T>];
  HWY_ALIGN T products[kTileColumns<T>];
  for (size_t first = 0; first < c; first += kTileColumns<T>) {
    const size_t columns = HWY_MIN(kTileColumns<T>, c - first);
    for (size_t begin = 0; begin < rows; begin += kBlockRows) {
      const T* px = x + begin * c + first;
      const T* pdy = dy + begin * c + first;
      for (size_t j = 0; j < columns; ++j) sums[j] = products[j] = T{0};
      AddRows<true>(HWY_MIN(kBlockRows, rows - begin), columns, sums, products,
                    [=](size_t r, size_t j, size_t count, V& g,
                        V& product) SEPTET_LAMBDA {
                      g = LoadSome(d, pdy + r * c + j, count);
                      V v = LoadSome(d, px + r * c + j, count);
                      if constexpr (kShift) {
                        v = hn::Sub(v, LoadSome(d, shift + first + j, count));
                      }
                      product = hn::Mul(g, v);
                    });
      for (size_t j = 0; j < columns; ++j) {
        T& s = sum_dy[first + j];
        T& q = sum_dy_x[first + j];
        s = begin == 0 ? sums[j] : s + sums[j];
        q = begin == 0 ? products[j] : q + products[j];
      }
    }
  }
}

template <bool kShift, typename T>
HWY_INLINE void BackwardSumsOf(size_t rows, size_t c, const T* x,
                               const T* shift, const T* dy, T* sum_dy,
                               T* sum_dy_x) {
  const size_t k = SideBySide(c, kMinColumns);
  const size_t wide = rows / k;
  if (k == 1 || wide == 0) {
    SumsOfWide<kShift>(rows, c, x, shift, dy, sum_dy, sum_dy_x);
    return;
  }
  T shifts[kMinColumns], sums[kMinColumns], sums_x[kMinColumns];
  SumsOfWide<kShift>(wide, k * c, x, Repeat(k, c, shift, shifts), dy, sums,
                     sums_x);
  const auto add = [&](size_t i) SEPTET_LAMBDA {
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
                                  const T* dy_mean, const T* q, T* dx,
                                  StoreMode mode) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  for (size_t r = 0; r < rows; ++r, x += c, dy += c, dx += c) {
    StoreLoop(d, c, dx, mode, [&](size_t j, size_t count) SEPTET_LAMBDA {
      V g = LoadSome(d, dy + j, count);
      if constexpr (kDyMean) g = hn::Sub(g, LoadSome(d, dy_mean + j, count));
      const V v =
          hn::Sub(LoadSome(d, x + j, count), LoadSome(d, mean + j, count));
      return hn::Sub(hn::Mul(g, LoadSome(d, p + j, count)),
                     hn::Mul(v, LoadSome(d, q + j, count)));
    });
  }
}

template <typename T>
HWY_INLINE void BackwardApplyWide(size_t rows, size_t c, const T* x,
                                  const T* mean, const T* dy, const T* p,
                                  const T* dy_mean, const T* q, T* dx,
                                  StoreMode mode) {
  if (dy_mean != nullptr) {
    BackwardApplyRows<true>(rows, c, x, mean, dy, p, dy_mean, q, dx, mode);
  } else {
    BackwardApplyRows<false>(rows, c, x, mean, dy, p, dy_mean, q, dx, mode);
  }
}

template <typename T>
void BackwardApply(size_t rows, size_t c, const T* x, const T* mean,
                   const T* dy, const T* p, const T* dy_mean, const T* q, T* dx,
                   StoreMode mode) {
  constexpr size_t kColumns = kApplyBytes / sizeof(T);
  const size_t k = SideBySideInLines<T>(c);
  const size_t wide = rows / k;
  T buffers[4][kColumns];
  if (k > 1 && wide > 0) {
    BackwardApplyWide(wide, k * c, x, Repeat(k, c, mean, buffers[0]), dy,
                      Repeat(k, c, p, buffers[1]),
                      Repeat(k, c, dy_mean, buffers[2]),
                      Repeat(k, c, q, buffers[3]), dx, mode);
    x += wide * k * c;
    dy += wide * k * c;
    dx += wide * k * c;
    rows -= wide * k;
  }
  BackwardApplyWide(rows, c, x, mean, dy, p, dy_mean, q, dx, mode);
  EndStores(mode);
}

void StatisticsF32(size_t rows, size_t c, const float* x, float* mean,
                   float* m2) {
  Statistics(rows, c, x, mean, m2);
}
void ApplyF32(size_t rows, size_t c, const float* x, const float* shift,
              const float* multiplier, const float* bias, float* y,
              StoreMode mode) {
  Apply(rows, c, x, shift, multiplier, bias, y, mode);
}
void BackwardSumsF32(size_t rows, size_t c, const float* x, const float* shift,
                     const float* dy, float* sum_dy, float* sum_dy_x) {
  BackwardSums(rows, c, x, shift, dy, sum_dy, sum_dy_x);
}
void BackwardApplyF32(size_t rows, size_t c, const float* x, const float* mean,
                      const float* dy, const float* p, const float* dy_mean,
                      const float* q, float* dx, StoreMode mode) {
  BackwardApply(rows, c, x, mean, dy, p, dy_mean, q, dx, mode);
}
void StatisticsF64(size_t rows, size_t c, const double* x, double* mean,
                   double* m2) {
  Statistics(rows, c, x, mean, m2);
}
void ApplyF64(size_t rows, size_t c, const double* x, const double* shift,
              const double* multiplier, const double* bias, double* y,
              StoreMode mode) {
  Apply(rows, c, x, shift, multiplier, bias, y, mode);
}
void BackwardSumsF64(size_t rows, size_t c, const double* x,
                     const double* shift, const double* dy, double* sum_dy,
                     double* sum_dy_x) {
  BackwardSums(rows, c, x, shift, dy, sum_dy, sum_dy_x);
}
void BackwardApplyF64(size_t rows, size_t c, const double* x,
                      const double* mean, const double* dy, const double* p,
                      const double* dy_mean, const double* q, double* dx,
                      StoreMode mode) {
  BackwardApply(rows, c, x, mean, dy, p, dy_mean, q, dx, mode);
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
                    const float* multiplier, const float* bias, float* y,
                    StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(ApplyF32)
  (Size(rows), Size(c), x, shift, multiplier, bias, y, mode);
}
void BatchNormBackwardSums(int64_t rows, int64_t c, const float* x,
                           const float* shift, const float* dy, float* sum_dy,
                           float* sum_dy_x) {
  HWY_DYNAMIC_DISPATCH(BackwardSumsF32)
  (Size(rows), Size(c), x, shift, dy, sum_dy, sum_dy_x);
}
void BatchNormBackwardApply(int64_t rows, int64_t c, const float* x,
                            const float* mean, const float* dy, const float* p,
                            const float* dy_mean, const float* q, float* dx,
                            StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(BackwardApplyF32)
  (Size(rows), Size(c), x, mean, dy, p, dy_mean, q, dx, mode);
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
                    const double* bias, double* y, StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(ApplyF64)
  (Size(rows), Size(c), x, shift, multiplier, bias, y, mode);
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
                            const double* q, double* dx, StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(BackwardApplyF64)
  (Size(rows), Size(c), x, mean, dy, p, dy_mean, q, dx, mode);
}

}  // namespace septet
#endif  // HWY_ONCE
