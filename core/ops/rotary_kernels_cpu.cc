// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "septet/core/ops/rotary_kernels.h"
#include "septet/core/ops/rotary_layout.h"
#include "septet/core/ops/store_mode.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/rotary_kernels_cpu.cc"
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
void Table(RotaryLayout layout, size_t begin, size_t end, size_t pairs,
           const double* frequencies, double offset, double scale, bool inverse,
           T* cos, T* sin) {
  const hn::ScalableTag<double> d;
  const size_t lanes = hn::Lanes(d);
  HWY_ALIGN double sines[hn::MaxLanes(d)];
  HWY_ALIGN double cosines[hn::MaxLanes(d)];
  for (size_t t = begin; t < end; ++t) {
    const double position = (offset + static_cast<double>(t)) * scale;
    const auto vposition = hn::Set(d, position);
    for (size_t i = 0; i < pairs; i += lanes) {
      const size_t count = HWY_MIN(lanes, pairs - i);
      auto vsin = hn::Zero(d);
      auto vcos = vsin;
      VecSinCos(d, hn::Mul(vposition, LoadSome(d, frequencies + i, count)),
                &vsin, &vcos);
      if (inverse) vsin = hn::Neg(vsin);
      hn::Store(vsin, d, sines);
      hn::Store(vcos, d, cosines);
      for (size_t k = 0; k < count; ++k) {
        const T c = static_cast<T>(cosines[k]);
        const T s = static_cast<T>(sines[k]);
        if (layout == RotaryLayout::kInterleaved) {
          *cos++ = c;
          *sin++ = -s;
        }
        *cos++ = c;
        *sin++ = s;
      }
    }
  }
}

template <typename T>
HWY_INLINE void HalfRow(size_t pairs, const T* x, const T* cos, const T* sin,
                        T* y, StoreMode mode) {
  const hn::ScalableTag<T> d;
  const size_t lanes = hn::Lanes(d);
  const T* x2 = x + pairs;
  // As one loop, if no vector is a part and all or none go to whole lines.
  const bool lines =
      reinterpret_cast<uintptr_t>(y) % 64 == 0 && pairs * sizeof(T) % 64 == 0;
  if (pairs % lanes == 0 && (lines || mode == StoreMode::kCached)) {
    for (size_t i = 0; i < pairs; i += lanes) {
      const auto a = hn::LoadU(d, x + i);
      const auto b = hn::LoadU(d, x2 + i);
      const auto c = hn::LoadU(d, cos + i);
      const auto s = hn::LoadU(d, sin + i);
      const auto first = hn::Sub(hn::Mul(a, c), hn::Mul(b, s));
      const auto second = hn::Add(hn::Mul(b, c), hn::Mul(a, s));
      if (mode == StoreMode::kStreaming) {
        hn::Stream(first, d, y + i);
        hn::Stream(second, d, y + pairs + i);
      } else {
        hn::StoreU(first, d, y + i);
        hn::StoreU(second, d, y + pairs + i);
      }
    }
    return;
  }
  StoreLoop(d, pairs, y, mode, [=](size_t i, size_t count) SEPTET_LAMBDA {
    return hn::Sub(
        hn::Mul(LoadSome(d, x + i, count), LoadSome(d, cos + i, count)),
        hn::Mul(LoadSome(d, x2 + i, count), LoadSome(d, sin + i, count)));
  });
  StoreLoop(
      d, pairs, y + pairs, mode, [=](size_t i, size_t count) SEPTET_LAMBDA {
        return hn::Add(
            hn::Mul(LoadSome(d, x2 + i, count), LoadSome(d, cos + i, count)),
            hn::Mul(LoadSome(d, x + i, count), LoadSome(d, sin + i, count)));
      });
}

// Any number of whole pairs, cos and sin beside them.
template <typename T>
HWY_INLINE void InterleavedPairs(size_t n, const T* x, const T* cos,
                                 const T* sin, T* y, StoreMode mode) {
#if HWY_TARGET == HWY_SCALAR
  (void)mode;
  for (size_t i = 0; i < n; i += 2) {
    y[i] = x[i] * cos[i] + x[i + 1] * sin[i];
    y[i + 1] = x[i + 1] * cos[i + 1] + x[i] * sin[i + 1];
  }
#else
  const hn::ScalableTag<T> d;
  // Vectors must begin with a pair: a head of an odd number of elements, before
  // the first whole line, would end that.
  if (reinterpret_cast<uintptr_t>(y) / sizeof(T) % 2 != 0) {
    mode = StoreMode::kCached;
  }
  StoreLoop(d, n, y, mode, [=](size_t i, size_t count) SEPTET_LAMBDA {
    const auto v = LoadSome(d, x + i, count);
    return hn::Add(hn::Mul(v, LoadSome(d, cos + i, count)),
                   hn::Mul(hn::Reverse2(d, v), LoadSome(d, sin + i, count)));
  });
#endif
}

template <typename T>
HWY_INLINE void Copy(size_t n, const T* x, T* y, StoreMode mode) {
  const hn::ScalableTag<T> d;
  StoreLoop(d, n, y, mode, [=](size_t i, size_t count) SEPTET_LAMBDA {
    return LoadSome(d, x + i, count);
  });
}

template <typename T>
void Rows(RotaryLayout layout, size_t times, size_t inner, size_t rows,
          size_t width, size_t pairs, const T* x, const T* cos, const T* sin,
          T* y, StoreMode mode) {
  const size_t rotated = 2 * pairs;
  const size_t rest = width - rotated;
  const bool half = layout == RotaryLayout::kHalf;
  const size_t table_width = half ? pairs : rotated;
  if (!half && inner == 1 && rows == 1 && rest == 0) {
    InterleavedPairs(times * width, x, cos, sin, y, mode);
    EndStores(mode);
    return;
  }
  for (size_t t = 0; t < times; ++t, cos += table_width, sin += table_width) {
    for (size_t m = 0; m < rows; ++m, x += width, y += width) {
      if (half) {
        HalfRow(pairs, x, cos, sin, y, mode);
      } else {
        InterleavedPairs(rotated, x, cos, sin, y, mode);
      }
      if (rest != 0) Copy(rest, x + rotated, y + rotated, mode);
    }
    const size_t others = (inner - rows) * width;
    if (others == 0) continue;
    Copy(others, x, y, mode);
    x += others;
    y += others;
  }
  EndStores(mode);
}

void TableF32(RotaryLayout layout, size_t begin, size_t end, size_t pairs,
              const double* frequencies, double offset, double scale,
              bool inverse, float* cos, float* sin) {
  Table(layout, begin, end, pairs, frequencies, offset, scale, inverse, cos,
        sin);
}
void TableF64(RotaryLayout layout, size_t begin, size_t end, size_t pairs,
              const double* frequencies, double offset, double scale,
              bool inverse, double* cos, double* sin) {
  Table(layout, begin, end, pairs, frequencies, offset, scale, inverse, cos,
        sin);
}
void RowsF32(RotaryLayout layout, size_t times, size_t inner, size_t rows,
             size_t width, size_t pairs, const float* x, const float* cos,
             const float* sin, float* y, StoreMode mode) {
  Rows(layout, times, inner, rows, width, pairs, x, cos, sin, y, mode);
}
void RowsF64(RotaryLayout layout, size_t times, size_t inner, size_t rows,
             size_t width, size_t pairs, const double* x, const double* cos,
             const double* sin, double* y, StoreMode mode) {
  Rows(layout, times, inner, rows, width, pairs, x, cos, sin, y, mode);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace septet {

HWY_EXPORT(TableF32);
HWY_EXPORT(TableF64);
HWY_EXPORT(RowsF32);
HWY_EXPORT(RowsF64);

void RotaryTable(RotaryLayout layout, int64_t begin, int64_t end, int64_t pairs,
                 const double* frequencies, double offset, double scale,
                 bool inverse, float* cos, float* sin) {
  HWY_DYNAMIC_DISPATCH(TableF32)
  (layout, static_cast<size_t>(begin), static_cast<size_t>(end),
   static_cast<size_t>(pairs), frequencies, offset, scale, inverse, cos, sin);
}
void RotaryTable(RotaryLayout layout, int64_t begin, int64_t end, int64_t pairs,
                 const double* frequencies, double offset, double scale,
                 bool inverse, double* cos, double* sin) {
  HWY_DYNAMIC_DISPATCH(TableF64)
  (layout, static_cast<size_t>(begin), static_cast<size_t>(end),
   static_cast<size_t>(pairs), frequencies, offset, scale, inverse, cos, sin);
}

void RotaryFirstRows(RotaryLayout layout, int64_t times, int64_t inner,
                     int64_t rows, int64_t width, int64_t pairs, const float* x,
                     const float* cos, const float* sin, float* y,
                     StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(RowsF32)
  (layout, static_cast<size_t>(times), static_cast<size_t>(inner),
   static_cast<size_t>(rows), static_cast<size_t>(width),
   static_cast<size_t>(pairs), x, cos, sin, y, mode);
}
void RotaryFirstRows(RotaryLayout layout, int64_t times, int64_t inner,
                     int64_t rows, int64_t width, int64_t pairs,
                     const double* x, const double* cos, const double* sin,
                     double* y, StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(RowsF64)
  (layout, static_cast<size_t>(times), static_cast<size_t>(inner),
   static_cast<size_t>(rows), static_cast<size_t>(width),
   static_cast<size_t>(pairs), x, cos, sin, y, mode);
}

}  // namespace septet
#endif  // HWY_ONCE
