// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "septet/core/ops/softmax_kernels.h"
#include "septet/core/ops/store_mode.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/softmax_kernels_cpu.cc"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "septet/core/ops/reduce-inl.h"
#include "septet/core/ops/simd-inl.h"
#include "septet/core/ops/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace {

// The maximum, whatever it may be where there is a NaN: then the differences
// to it have one too.
struct PlainMaxOp {
  template <typename T>
  static constexpr T Identity() {
    return -std::numeric_limits<T>::infinity();
  }
  template <class D, class V>
  static HWY_INLINE V Combine(D /*d*/, V a, V b) {
    return hn::Max(a, b);
  }
  template <typename T>
  static HWY_INLINE T CombineScalar(T a, T b) {
    return a >= b ? a : b;
  }
};

template <typename T>
HWY_INLINE T RowMax(size_t n, const T* x) {
  return TreeReduce<PlainMaxOp, T>(
      n, [x](auto d, size_t i, size_t count)
             SEPTET_LAMBDA { return LoadSome(d, x + i, count); });
}

// Elements of the longest row whose exponentials are kept on the stack: two of
// them fit in the second-level cache beside their inputs.
template <typename T>
constexpr size_t kScratchRow = (size_t{32} << 10) / sizeof(T);
// The same where the output stays in the caches: all fits in the first level.
template <typename T>
constexpr size_t kCachedScratchRow = kScratchRow<T> / 4;

// y = e scale, all of [0, n).
template <typename T>
HWY_INLINE void ScaleRow(size_t n, const T* e, T scale, T* y, StoreMode mode) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const V vscale = hn::Set(d, scale);
  MapLoop(
      d, n, e, y, [vscale](V v) SEPTET_LAMBDA { return hn::Mul(v, vscale); },
      mode);
}

// A load that follows a store to another address waits for it, on common
// processors, where the two agree modulo this many bytes.
constexpr size_t kAliasBytes = 4096;

// The first place at or after `scratch`, in whole lines, that is `past` bytes
// beyond x in this sense; less than kAliasBytes further.
template <typename T>
HWY_INLINE T* BesideRow(T* scratch, const T* x, size_t past) {
  const size_t bytes = (reinterpret_cast<uintptr_t>(x) + past -
                        reinterpret_cast<uintptr_t>(scratch)) %
                       kAliasBytes;
  return scratch + bytes / 64 * 64 / sizeof(T);
}

// v at p, past the caches or not.
template <bool kStreaming, class D, class V>
HWY_INLINE void StoreVector(D d, V v, hn::TFromD<D>* p) {
  if constexpr (kStreaming) {
    hn::Stream(v, d, p);
  } else {
    hn::StoreU(v, d, p);
  }
}

// Whether the vectors of a row at y can be stored one by one.
template <bool kStreaming, typename T>
HWY_INLINE bool StoresVectors(const T* y) {
  return !kStreaming || reinterpret_cast<uintptr_t>(y) % 64 == 0;
}

// Softmax of rows of at most kScratchRow elements. While the exponentials of a
// row are computed, which is most of the work, the row before is written and,
// for kStreaming, the row after fetched. What is loaded comes before what is
// stored, and the exponentials lie apart from the rows and from one another
// modulo kAliasBytes: without that, the same takes up to twice the time,
// depending on where the stack is.
template <bool kStreaming, typename T>
HWY_NOINLINE void PipelineSoftmaxRows(size_t rows, size_t n, const T* x, T* y) {
  constexpr StoreMode kMode =
      kStreaming ? StoreMode::kStreaming : StoreMode::kCached;
  HWY_ALIGN T scratch[2][kScratchRow<T> + kAliasBytes / sizeof(T)];
  const T* before = scratch[0];  // exponentials of the row before
  T scale = 0;
  T* row = nullptr;  // where they go, unless they are there
  for (size_t r = 0; r < rows; ++r, x += n, y += n) {
    const T max = RowMax(n, x);
    T* const e = BesideRow(scratch[r % 2], x, r % 2 == 0 ? 1024 : 2560);
    const T* const next = r + 1 < rows ? x + n : x;
    const T sum = TreeReduce<SumOp, T>(n, [=](auto dr, size_t i,
                                              size_t count) SEPTET_LAMBDA {
      if constexpr (kStreaming) hwy::Prefetch(next + i);
      const auto value = LoadSome(dr, x + i, count);
      if (row != nullptr && count == hn::Lanes(dr)) {
        StoreVector<kStreaming>(
            dr, hn::Mul(hn::LoadU(dr, before + i), hn::Set(dr, scale)),
            row + i);
      }
      const auto v = VecExpNonPositive(dr, hn::Sub(value, hn::Set(dr, max)));
      hn::StoreU(v, dr, e + i);
      return v;
    });
    if (row != nullptr) {
      // What was no whole vector.
      const size_t done = n - n % hn::Lanes(ReduceTag<T>());
      ScaleRow(n - done, before + done, scale, row + done, StoreMode::kCached);
    }
    scale = T{1} / sum;
    row = y;
    before = e;
    if (!StoresVectors<kStreaming>(y)) {
      ScaleRow(n, e, scale, y, kMode);
      row = nullptr;
    }
  }
  if (row != nullptr) ScaleRow(n, before, scale, row, kMode);
}

// The same for log-softmax, which needs no scratch: the row before is still in
// a cache.
template <bool kStreaming, typename T>
HWY_NOINLINE void PipelineLogSoftmaxRows(size_t rows, size_t n, const T* x,
                                         T* y) {
  constexpr StoreMode kMode =
      kStreaming ? StoreMode::kStreaming : StoreMode::kCached;
  const hn::ScalableTag<T> d;
  // Of the row before.
  const T* before = nullptr;
  T* row = nullptr;
  T max_before = 0, log_before = 0;
  const auto write = [d](size_t count, const T* from, T max, T log_sum, T* to,
                         StoreMode mode) SEPTET_LAMBDA {
    using V = hn::Vec<decltype(d)>;
    MapLoop(
        d, count, from, to,
        [d, max, log_sum](V v) SEPTET_LAMBDA {
          return hn::Sub(hn::Sub(v, hn::Set(d, max)), hn::Set(d, log_sum));
        },
        mode);
  };
  for (size_t r = 0; r < rows; ++r, x += n, y += n) {
    const T max = RowMax(n, x);
    const T* const next = r + 1 < rows ? x + n : x;
    const T sum = TreeReduce<SumOp, T>(n, [=](auto dr, size_t i,
                                              size_t count) SEPTET_LAMBDA {
      if constexpr (kStreaming) hwy::Prefetch(next + i);
      const auto value = LoadSome(dr, x + i, count);
      if (row != nullptr && count == hn::Lanes(dr)) {
        StoreVector<kStreaming>(
            dr,
            hn::Sub(hn::Sub(hn::LoadU(dr, before + i), hn::Set(dr, max_before)),
                    hn::Set(dr, log_before)),
            row + i);
      }
      return VecExpNonPositive(dr, hn::Sub(value, hn::Set(dr, max)));
    });
    if (row != nullptr) {
      const size_t done = n - n % hn::Lanes(ReduceTag<T>());
      write(n - done, before + done, max_before, log_before, row + done,
            StoreMode::kCached);
    }
    max_before = max;
    log_before = std::log(sum);
    before = x;
    row = y;
    if (!StoresVectors<kStreaming>(y)) {
      write(n, x, max, log_before, y, kMode);
      row = nullptr;
    }
  }
  if (row != nullptr) write(n, before, max_before, log_before, row, kMode);
}

// Rows that fit in registers.
template <int kVectors, typename T>
HWY_INLINE void SoftmaxShortRows(size_t rows, size_t n, const T* x, T* y,
                                 StoreMode mode) {
  using Row = ShortRow<kVectors, T>;
  const typename Row::D d;
  using V = typename Row::V;
  const V lowest = hn::Set(d, PlainMaxOp::Identity<T>());
  const bool lines = Row::StoresLines(y, n, mode);
  for (size_t r = 0; r < rows; ++r, x += n, y += n) {
    Row e = Row::Load(x, n);
    e.FillBeyond(n, lowest);
    const V max = hn::Set(d, e.template Reduce<PlainMaxOp>());
    for (V& v : e.v) v = VecExpNonPositive(d, hn::Sub(v, max));
    e.FillBeyond(n, hn::Zero(d));
    const V scale = hn::Set(d, T{1} / e.template Reduce<SumOp>());
    for (V& v : e.v) v = hn::Mul(v, scale);
    e.Store(y, n, lines);
  }
}

template <typename T>
void SoftmaxRows(size_t rows, size_t n, const T* x, T* y, StoreMode mode) {
  if (n == 0) return;
  if (ForShortRows<T>(n, [&](auto vectors) SEPTET_LAMBDA {
        SoftmaxShortRows<decltype(vectors)::value>(rows, n, x, y, mode);
      })) {
    EndStores(mode);
    return;
  }
  if (mode == StoreMode::kStreaming && n <= kScratchRow<T>) {
    PipelineSoftmaxRows<true>(rows, n, x, y);
    EndStores(mode);
    return;
  }
  if (rows > 1 && n <= kCachedScratchRow<T>) {
    PipelineSoftmaxRows<false>(rows, n, x, y);
    return;
  }
  for (size_t r = 0; r < rows; ++r, x += n, y += n) {
    const T max = RowMax(n, x);
    const T sum = TreeReduce<SumOp, T>(
        n, [x, y, max](auto dr, size_t i, size_t count) SEPTET_LAMBDA {
          const auto e = VecExpNonPositive(
              dr, hn::Sub(LoadSome(dr, x + i, count), hn::Set(dr, max)));
          StoreSome(dr, e, y + i, count);
          return e;
        });
    ScaleRow(n, y, T{1} / sum, y, StoreMode::kCached);
  }
}

template <typename T>
void SoftmaxBackwardRows(size_t rows, size_t n, const T* y, const T* dy, T* dx,
                         StoreMode mode) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  for (size_t r = 0; r < rows; ++r, y += n, dy += n, dx += n) {
    const T dot = TreeReduce<SumOp, T>(n, [y, dy](auto dr, size_t i,
                                                  size_t count) SEPTET_LAMBDA {
      return hn::Mul(LoadSome(dr, y + i, count), LoadSome(dr, dy + i, count));
    });
    const V vdot = hn::Set(d, dot);
    MapLoop2(
        d, n, y, dy, dx,
        [vdot](V vy, V vdy)
            SEPTET_LAMBDA { return hn::Mul(vy, hn::Sub(vdy, vdot)); },
        mode);
  }
  EndStores(mode);
}

template <typename T>
void LogSoftmaxRows(size_t rows, size_t n, const T* x, T* y, StoreMode mode) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  if (n == 0) return;
  if (mode == StoreMode::kStreaming && n <= kScratchRow<T>) {
    PipelineLogSoftmaxRows<true>(rows, n, x, y);
    EndStores(mode);
    return;
  }
  if (rows > 1 && n <= kCachedScratchRow<T>) {
    PipelineLogSoftmaxRows<false>(rows, n, x, y);
    return;
  }
  for (size_t r = 0; r < rows; ++r, x += n, y += n) {
    const T max = RowMax(n, x);
    const T sum = TreeReduce<SumOp, T>(
        n, [x, max](auto dr, size_t i, size_t count) SEPTET_LAMBDA {
          return VecExpNonPositive(
              dr, hn::Sub(LoadSome(dr, x + i, count), hn::Set(dr, max)));
        });
    const V vmax = hn::Set(d, max);
    const V log_sum = hn::Set(d, std::log(sum));
    MapLoop(
        d, n, x, y,
        [vmax, log_sum](V v)
            SEPTET_LAMBDA { return hn::Sub(hn::Sub(v, vmax), log_sum); },
        mode);
  }
  EndStores(mode);
}

template <typename T>
void LogSoftmaxBackwardRows(size_t rows, size_t n, const T* y, const T* dy,
                            T* dx, StoreMode mode) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  for (size_t r = 0; r < rows; ++r, y += n, dy += n, dx += n) {
    const T sum = TreeReduce<SumOp, T>(
        n, [dy](auto dr, size_t i, size_t count)
               SEPTET_LAMBDA { return LoadSome(dr, dy + i, count); });
    const V vsum = hn::Set(d, sum);
    MapLoop2(
        d, n, y, dy, dx,
        [d, vsum](V vy, V vdy) SEPTET_LAMBDA {
          return hn::Sub(vdy, hn::Mul(VecExpNonPositive(d, vy), vsum));
        },
        mode);
  }
  EndStores(mode);
}

void SoftmaxF32(size_t rows, size_t n, const float* x, float* y,
                StoreMode mode) {
  SoftmaxRows(rows, n, x, y, mode);
}
void SoftmaxF64(size_t rows, size_t n, const double* x, double* y,
                StoreMode mode) {
  SoftmaxRows(rows, n, x, y, mode);
}
void SoftmaxBackwardF32(size_t rows, size_t n, const float* y, const float* dy,
                        float* dx, StoreMode mode) {
  SoftmaxBackwardRows(rows, n, y, dy, dx, mode);
}
void SoftmaxBackwardF64(size_t rows, size_t n, const double* y,
                        const double* dy, double* dx, StoreMode mode) {
  SoftmaxBackwardRows(rows, n, y, dy, dx, mode);
}
void LogSoftmaxF32(size_t rows, size_t n, const float* x, float* y,
                   StoreMode mode) {
  LogSoftmaxRows(rows, n, x, y, mode);
}
void LogSoftmaxF64(size_t rows, size_t n, const double* x, double* y,
                   StoreMode mode) {
  LogSoftmaxRows(rows, n, x, y, mode);
}
void LogSoftmaxBackwardF32(size_t rows, size_t n, const float* y,
                           const float* dy, float* dx, StoreMode mode) {
  LogSoftmaxBackwardRows(rows, n, y, dy, dx, mode);
}
void LogSoftmaxBackwardF64(size_t rows, size_t n, const double* y,
                           const double* dy, double* dx, StoreMode mode) {
  LogSoftmaxBackwardRows(rows, n, y, dy, dx, mode);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace septet {

HWY_EXPORT(SoftmaxF32);
HWY_EXPORT(SoftmaxF64);
HWY_EXPORT(SoftmaxBackwardF32);
HWY_EXPORT(SoftmaxBackwardF64);
HWY_EXPORT(LogSoftmaxF32);
HWY_EXPORT(LogSoftmaxF64);
HWY_EXPORT(LogSoftmaxBackwardF32);
HWY_EXPORT(LogSoftmaxBackwardF64);

void SoftmaxForward(int64_t rows, int64_t n, const float* x, float* y,
                    StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(SoftmaxF32)
  (static_cast<size_t>(rows), static_cast<size_t>(n), x, y, mode);
}
void SoftmaxForward(int64_t rows, int64_t n, const double* x, double* y,
                    StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(SoftmaxF64)
  (static_cast<size_t>(rows), static_cast<size_t>(n), x, y, mode);
}

void SoftmaxBackward(int64_t rows, int64_t n, const float* y, const float* dy,
                     float* dx, StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(SoftmaxBackwardF32)
  (static_cast<size_t>(rows), static_cast<size_t>(n), y, dy, dx, mode);
}
void SoftmaxBackward(int64_t rows, int64_t n, const double* y, const double* dy,
                     double* dx, StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(SoftmaxBackwardF64)
  (static_cast<size_t>(rows), static_cast<size_t>(n), y, dy, dx, mode);
}

void LogSoftmaxForward(int64_t rows, int64_t n, const float* x, float* y,
                       StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(LogSoftmaxF32)
  (static_cast<size_t>(rows), static_cast<size_t>(n), x, y, mode);
}
void LogSoftmaxForward(int64_t rows, int64_t n, const double* x, double* y,
                       StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(LogSoftmaxF64)
  (static_cast<size_t>(rows), static_cast<size_t>(n), x, y, mode);
}

void LogSoftmaxBackward(int64_t rows, int64_t n, const float* y,
                        const float* dy, float* dx, StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(LogSoftmaxBackwardF32)
  (static_cast<size_t>(rows), static_cast<size_t>(n), y, dy, dx, mode);
}
void LogSoftmaxBackward(int64_t rows, int64_t n, const double* y,
                        const double* dy, double* dx, StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(LogSoftmaxBackwardF64)
  (static_cast<size_t>(rows), static_cast<size_t>(n), y, dy, dx, mode);
}

}  // namespace septet
#endif  // HWY_ONCE
