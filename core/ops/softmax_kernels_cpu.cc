// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "septet/core/ops/softmax_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/softmax_kernels_cpu.cc"
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
HWY_INLINE T RowMax(size_t n, const T* x) {
  return TreeReduce<MaxOp, T>(n, [x](auto d, size_t i, size_t count) HWY_ATTR {
    return LoadSome(d, x + i, count);
  });
}

template <typename T>
void SoftmaxRows(size_t rows, size_t n, const T* x, T* y) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  if (n == 0) return;
  for (size_t r = 0; r < rows; ++r, x += n, y += n) {
    const T max = RowMax(n, x);
    const T sum = TreeReduce<SumOp, T>(
        n, [x, y, max](auto dr, size_t i, size_t count) HWY_ATTR {
          const auto e = VecExpNonPositive(
              dr, hn::Sub(LoadSome(dr, x + i, count), hn::Set(dr, max)));
          StoreSome(dr, e, y + i, count);
          return e;
        });
    const V scale = hn::Set(d, T{1} / sum);
    MapLoop(d, n, y, y, [scale](V v) HWY_ATTR { return hn::Mul(v, scale); });
  }
}

template <typename T>
void SoftmaxBackwardRows(size_t rows, size_t n, const T* y, const T* dy,
                         T* dx) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  for (size_t r = 0; r < rows; ++r, y += n, dy += n, dx += n) {
    const T dot = TreeReduce<SumOp, T>(n, [y, dy](auto dr, size_t i,
                                                  size_t count) HWY_ATTR {
      return hn::Mul(LoadSome(dr, y + i, count), LoadSome(dr, dy + i, count));
    });
    const V vdot = hn::Set(d, dot);
    MapLoop2(d, n, y, dy, dx, [vdot](V vy, V vdy) HWY_ATTR {
      return hn::Mul(vy, hn::Sub(vdy, vdot));
    });
  }
}

template <typename T>
void LogSoftmaxRows(size_t rows, size_t n, const T* x, T* y) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  if (n == 0) return;
  for (size_t r = 0; r < rows; ++r, x += n, y += n) {
    const T max = RowMax(n, x);
    const T sum = TreeReduce<SumOp, T>(
        n, [x, max](auto dr, size_t i, size_t count) HWY_ATTR {
          return VecExpNonPositive(
              dr, hn::Sub(LoadSome(dr, x + i, count), hn::Set(dr, max)));
        });
    const V vmax = hn::Set(d, max);
    const V log_sum = hn::Set(d, std::log(sum));
    MapLoop(d, n, x, y, [vmax, log_sum](V v) HWY_ATTR {
      return hn::Sub(hn::Sub(v, vmax), log_sum);
    });
  }
}

template <typename T>
void LogSoftmaxBackwardRows(size_t rows, size_t n, const T* y, const T* dy,
                            T* dx) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  for (size_t r = 0; r < rows; ++r, y += n, dy += n, dx += n) {
    const T sum =
        TreeReduce<SumOp, T>(n, [dy](auto dr, size_t i, size_t count) HWY_ATTR {
          return LoadSome(dr, dy + i, count);
        });
    const V vsum = hn::Set(d, sum);
    MapLoop2(d, n, y, dy, dx, [d, vsum](V vy, V vdy) HWY_ATTR {
      return hn::Sub(vdy, hn::Mul(VecExpNonPositive(d, vy), vsum));
    });
  }
}

void SoftmaxF32(size_t rows, size_t n, const float* x, float* y) {
  SoftmaxRows(rows, n, x, y);
}
void SoftmaxF64(size_t rows, size_t n, const double* x, double* y) {
  SoftmaxRows(rows, n, x, y);
}
void SoftmaxBackwardF32(size_t rows, size_t n, const float* y, const float* dy,
                        float* dx) {
  SoftmaxBackwardRows(rows, n, y, dy, dx);
}
void SoftmaxBackwardF64(size_t rows, size_t n, const double* y,
                        const double* dy, double* dx) {
  SoftmaxBackwardRows(rows, n, y, dy, dx);
}
void LogSoftmaxF32(size_t rows, size_t n, const float* x, float* y) {
  LogSoftmaxRows(rows, n, x, y);
}
void LogSoftmaxF64(size_t rows, size_t n, const double* x, double* y) {
  LogSoftmaxRows(rows, n, x, y);
}
void LogSoftmaxBackwardF32(size_t rows, size_t n, const float* y,
                           const float* dy, float* dx) {
  LogSoftmaxBackwardRows(rows, n, y, dy, dx);
}
void LogSoftmaxBackwardF64(size_t rows, size_t n, const double* y,
                           const double* dy, double* dx) {
  LogSoftmaxBackwardRows(rows, n, y, dy, dx);
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

void SoftmaxForward(int64_t rows, int64_t n, const float* x, float* y) {
  HWY_DYNAMIC_DISPATCH(SoftmaxF32)
  (static_cast<size_t>(rows), static_cast<size_t>(n), x, y);
}
void SoftmaxForward(int64_t rows, int64_t n, const double* x, double* y) {
  HWY_DYNAMIC_DISPATCH(SoftmaxF64)
  (static_cast<size_t>(rows), static_cast<size_t>(n), x, y);
}

void SoftmaxBackward(int64_t rows, int64_t n, const float* y, const float* dy,
                     float* dx) {
  HWY_DYNAMIC_DISPATCH(SoftmaxBackwardF32)
  (static_cast<size_t>(rows), static_cast<size_t>(n), y, dy, dx);
}
void SoftmaxBackward(int64_t rows, int64_t n, const double* y, const double* dy,
                     double* dx) {
  HWY_DYNAMIC_DISPATCH(SoftmaxBackwardF64)
  (static_cast<size_t>(rows), static_cast<size_t>(n), y, dy, dx);
}

void LogSoftmaxForward(int64_t rows, int64_t n, const float* x, float* y) {
  HWY_DYNAMIC_DISPATCH(LogSoftmaxF32)
  (static_cast<size_t>(rows), static_cast<size_t>(n), x, y);
}
void LogSoftmaxForward(int64_t rows, int64_t n, const double* x, double* y) {
  HWY_DYNAMIC_DISPATCH(LogSoftmaxF64)
  (static_cast<size_t>(rows), static_cast<size_t>(n), x, y);
}

void LogSoftmaxBackward(int64_t rows, int64_t n, const float* y,
                        const float* dy, float* dx) {
  HWY_DYNAMIC_DISPATCH(LogSoftmaxBackwardF32)
  (static_cast<size_t>(rows), static_cast<size_t>(n), y, dy, dx);
}
void LogSoftmaxBackward(int64_t rows, int64_t n, const double* y,
                        const double* dy, double* dx) {
  HWY_DYNAMIC_DISPATCH(LogSoftmaxBackwardF64)
  (static_cast<size_t>(rows), static_cast<size_t>(n), y, dy, dx);
}

}  // namespace septet
#endif  // HWY_ONCE
