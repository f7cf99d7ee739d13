// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "septet/core/ops/cross_entropy_kernels.h"
#include "septet/core/ops/store_mode.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/cross_entropy_kernels_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "septet/core/ops/reduce-inl.h"
#include "septet/core/ops/simd-inl.h"
#include "septet/core/ops/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace {

template <typename T>
HWY_INLINE void RowMaxAndSum(size_t n, const T* x, T* max, T* sum) {
  const T m =
      TreeReduce<MaxOp, T>(n, [x](auto d, size_t i, size_t count) HWY_ATTR {
        return LoadSome(d, x + i, count);
      });
  *max = m;
  *sum =
      TreeReduce<SumOp, T>(n, [x, m](auto d, size_t i, size_t count) HWY_ATTR {
        return VecExpNonPositive(
            d, hn::Sub(LoadSome(d, x + i, count), hn::Set(d, m)));
      });
}

template <typename T>
void ForwardRows(size_t rows, size_t n, const T* x, const int64_t* classes,
                 int64_t ignored, T smoothing, T* loss, T* max, T* sum) {
  for (size_t r = 0; r < rows; ++r, x += n) {
    if (loss == nullptr) {
      RowMaxAndSum(n, x, max + r, sum + r);
      continue;
    }
    if (classes[r] == ignored) {
      loss[r] = max[r] = sum[r] = T{0};
      continue;
    }
    RowMaxAndSum(n, x, max + r, sum + r);
    const T m = max[r];
    T value = std::log(sum[r]);
    if (smoothing != T{1}) {
      const T own = x[static_cast<size_t>(classes[r])];
      value -= (T{1} - smoothing) * (own - m);
    }
    if (smoothing != T{0}) {
      const T total = TreeReduce<SumOp, T>(
          n, [x, m](auto d, size_t i, size_t count) HWY_ATTR {
            return hn::Sub(LoadSome(d, x + i, count), hn::Set(d, m));
          });
      value -= smoothing / static_cast<T>(n) * total;
    }
    loss[r] = value;
  }
}

template <typename T>
void BackwardRows(size_t rows, size_t n, const T* x, const int64_t* classes,
                  int64_t ignored, T smoothing, const T* max, const T* sum,
                  const T* g, size_t g_pitch, T* dx, StoreMode mode) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const T share = smoothing / static_cast<T>(n);
  for (size_t r = 0; r < rows; ++r, x += n, dx += n) {
    if (classes[r] == ignored) {
      std::fill_n(dx, n, T{0});
      continue;
    }
    const auto t = static_cast<size_t>(classes[r]);
    const V vmax = hn::Set(d, max[r]);
    const V inverse = hn::Set(d, T{1} / sum[r]);
    const V vshare = hn::Set(d, share);
    const V own = hn::Set(d, T{1} - smoothing);
    const V factor = hn::Set(d, g[r * g_pitch]);
    StoreLoop(d, n, dx, mode, [=](size_t i, size_t count) HWY_ATTR {
      const V v = LoadSome(d, x + i, count);
      V p = hn::Mul(VecExpNonPositive(d, hn::Sub(v, vmax)), inverse);
      if (HWY_UNLIKELY(t - i < count)) {  // i <= t < i + count
        const auto here =
            hn::Eq(hn::Iota(d, 0), hn::Set(d, static_cast<T>(t - i)));
        p = hn::IfThenElse(here, hn::Sub(p, own), p);
      }
      return hn::Mul(factor, hn::Sub(p, vshare));
    });
  }
  EndStores(mode);
}

void ForwardF32(size_t rows, size_t n, const float* x, const int64_t* classes,
                int64_t ignored, float smoothing, float* loss, float* max,
                float* sum) {
  ForwardRows(rows, n, x, classes, ignored, smoothing, loss, max, sum);
}
void ForwardF64(size_t rows, size_t n, const double* x, const int64_t* classes,
                int64_t ignored, double smoothing, double* loss, double* max,
                double* sum) {
  ForwardRows(rows, n, x, classes, ignored, smoothing, loss, max, sum);
}
void BackwardF32(size_t rows, size_t n, const float* x, const int64_t* classes,
                 int64_t ignored, float smoothing, const float* max,
                 const float* sum, const float* g, size_t g_pitch, float* dx,
                 StoreMode mode) {
  BackwardRows(rows, n, x, classes, ignored, smoothing, max, sum, g, g_pitch,
               dx, mode);
}
void BackwardF64(size_t rows, size_t n, const double* x, const int64_t* classes,
                 int64_t ignored, double smoothing, const double* max,
                 const double* sum, const double* g, size_t g_pitch, double* dx,
                 StoreMode mode) {
  BackwardRows(rows, n, x, classes, ignored, smoothing, max, sum, g, g_pitch,
               dx, mode);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace septet {

HWY_EXPORT(ForwardF32);
HWY_EXPORT(ForwardF64);
HWY_EXPORT(BackwardF32);
HWY_EXPORT(BackwardF64);

void CrossEntropyForward(int64_t rows, int64_t n, const float* x,
                         const int64_t* classes, int64_t ignored,
                         float smoothing, float* loss, float* max, float* sum) {
  HWY_DYNAMIC_DISPATCH(ForwardF32)
  (static_cast<size_t>(rows), static_cast<size_t>(n), x, classes, ignored,
   smoothing, loss, max, sum);
}
void CrossEntropyForward(int64_t rows, int64_t n, const double* x,
                         const int64_t* classes, int64_t ignored,
                         double smoothing, double* loss, double* max,
                         double* sum) {
  HWY_DYNAMIC_DISPATCH(ForwardF64)
  (static_cast<size_t>(rows), static_cast<size_t>(n), x, classes, ignored,
   smoothing, loss, max, sum);
}

void CrossEntropyBackward(int64_t rows, int64_t n, const float* x,
                          const int64_t* classes, int64_t ignored,
                          float smoothing, const float* max, const float* sum,
                          const float* g, int64_t g_pitch, float* dx,
                          StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(BackwardF32)
  (static_cast<size_t>(rows), static_cast<size_t>(n), x, classes, ignored,
   smoothing, max, sum, g, static_cast<size_t>(g_pitch), dx, mode);
}
void CrossEntropyBackward(int64_t rows, int64_t n, const double* x,
                          const int64_t* classes, int64_t ignored,
                          double smoothing, const double* max,
                          const double* sum, const double* g, int64_t g_pitch,
                          double* dx, StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(BackwardF64)
  (static_cast<size_t>(rows), static_cast<size_t>(n), x, classes, ignored,
   smoothing, max, sum, g, static_cast<size_t>(g_pitch), dx, mode);
}

}  // namespace septet
#endif  // HWY_ONCE
