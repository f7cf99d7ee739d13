// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "septet/core/ops/index_kernels.h"
#include "septet/core/ops/reduce_tree.h"
#include "septet/core/ops/store_mode.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/index_kernels_cpu.cc"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "septet/core/ops/reduce-inl.h"
#include "septet/core/ops/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace {

// At most four 512-bit vectors side by side: narrower ones take fewer columns.
template <typename T>
using SumTag = hn::CappedTag<T, 64 / sizeof(T)>;

// Sums `width` columns (four whole vectors where kWhole, else at most one).
template <bool kWhole, typename T>
HWY_INLINE void SumColumns(size_t count, const int64_t* rows, size_t pitch,
                           const T* x, T* out, size_t width) {
  const SumTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const size_t step = hn::Lanes(d);
  constexpr size_t kPitch = 4 * hn::MaxLanes(SumTag<T>());
  // Sums of blocks that wait for their neighbour.
  HWY_ALIGN T waiting[kReduceLevels * kPitch];
  size_t levels = 0;
  uint64_t blocks = 0;
  for (size_t begin = 0; begin < count; begin += kReduceColumnBlock) {
    const size_t end = HWY_MIN(count, begin + kReduceColumnBlock);
    V v0 = hn::Zero(d), v1 = v0, v2 = v0, v3 = v0;
    for (size_t k = begin; k < end; ++k) {
      const T* row = x + static_cast<size_t>(rows[k]) * pitch;
      if constexpr (kWhole) {
        v0 = hn::Add(v0, hn::LoadU(d, row));
        v1 = hn::Add(v1, hn::LoadU(d, row + step));
        v2 = hn::Add(v2, hn::LoadU(d, row + 2 * step));
        v3 = hn::Add(v3, hn::LoadU(d, row + 3 * step));
      } else {
        v0 = hn::Add(v0, LoadSome(d, row, width));
      }
    }
    for (uint64_t bits = blocks; bits % 2 == 1; bits /= 2) {
      const T* left = waiting + --levels * kPitch;
      v0 = hn::Add(hn::Load(d, left), v0);
      if constexpr (kWhole) {
        v1 = hn::Add(hn::Load(d, left + step), v1);
        v2 = hn::Add(hn::Load(d, left + 2 * step), v2);
        v3 = hn::Add(hn::Load(d, left + 3 * step), v3);
      }
    }
    T* place = waiting + levels++ * kPitch;
    hn::Store(v0, d, place);
    if constexpr (kWhole) {
      hn::Store(v1, d, place + step);
      hn::Store(v2, d, place + 2 * step);
      hn::Store(v3, d, place + 3 * step);
    }
    ++blocks;
  }
  for (size_t first = 0; first < width; first += step) {
    V v = hn::Zero(d);
    if (levels > 0) {
      v = hn::Load(d, waiting + (levels - 1) * kPitch + first);
      for (size_t k = levels - 1; k > 0; --k) {
        v = hn::Add(hn::Load(d, waiting + (k - 1) * kPitch + first), v);
      }
    }
    StoreSome(d, v, out + first, HWY_MIN(step, width - first));
  }
}

// Rows lie in no order, so that a hardware prefetcher finds each too late: the
// next one is asked for while one is in work. Longer rows feed it themselves.
constexpr size_t kPrefetchBytes = 8192;

// y = row; `next`, if it is not null, is fetched meanwhile.
template <typename T>
HWY_INLINE void CopyRow(size_t n, const T* row, const T* next, T* y,
                        StoreMode mode) {
  const hn::ScalableTag<T> d;
  if (next == nullptr || n * sizeof(T) > kPrefetchBytes) {
    StoreLoop(d, n, y, mode, [=](size_t i, size_t count) HWY_ATTR {
      return LoadSome(d, row + i, count);
    });
  } else {
    StoreLoop(d, n, y, mode, [=](size_t i, size_t count) HWY_ATTR {
      hwy::Prefetch(next + i);
      return LoadSome(d, row + i, count);
    });
  }
}

template <typename I>
HWY_INLINE void CopyRows(size_t count, const I* rows, size_t n,
                         const uint32_t* x, uint32_t* y, StoreMode mode) {
  const auto row = [=](size_t k) {
    return x + static_cast<size_t>(rows[k]) * n;
  };
  for (size_t k = 0; k < count; ++k, y += n) {
    CopyRow(n, row(k), k + 1 < count ? row(k + 1) : nullptr, y, mode);
  }
  EndStores(mode);
}

template <typename T>
void SumRows(size_t count, const int64_t* starts, const int64_t* order,
             size_t n, const T* x, T* y, StoreMode mode) {
  const hn::ScalableTag<T> d;
  const size_t step = hn::Lanes(SumTag<T>());
  const int64_t last = count == 0 ? 0 : starts[count] - 1;
  for (size_t r = 0; r < count; ++r, y += n) {
    const int64_t begin = starts[r];
    const auto terms = static_cast<size_t>(starts[r + 1] - begin);
    if (terms == 0) {
      StoreLoop(d, n, y, mode,
                [=](size_t, size_t) HWY_ATTR { return hn::Zero(d); });
    } else if (terms == 1) {
      const T* row = x + static_cast<size_t>(order[begin]) * n;
      const T* next = begin < last
                          ? x + static_cast<size_t>(order[begin + 1]) * n
                          : nullptr;
      CopyRow(n, row, next, y, mode);
    } else {
      size_t j = 0;
      for (; j + 4 * step <= n; j += 4 * step) {
        SumColumns<true>(terms, order + begin, n, x + j, y + j, 4 * step);
      }
      for (; j < n; j += step) {
        SumColumns<false>(terms, order + begin, n, x + j, y + j,
                          HWY_MIN(step, n - j));
      }
    }
  }
  EndStores(mode);
}

void CopyRowsI32(size_t count, const int32_t* rows, size_t n, const uint32_t* x,
                 uint32_t* y, StoreMode mode) {
  CopyRows(count, rows, n, x, y, mode);
}
void CopyRowsI64(size_t count, const int64_t* rows, size_t n, const uint32_t* x,
                 uint32_t* y, StoreMode mode) {
  CopyRows(count, rows, n, x, y, mode);
}
void SumRowsF32(size_t count, const int64_t* starts, const int64_t* order,
                size_t n, const float* x, float* y, StoreMode mode) {
  SumRows(count, starts, order, n, x, y, mode);
}
void SumRowsF64(size_t count, const int64_t* starts, const int64_t* order,
                size_t n, const double* x, double* y, StoreMode mode) {
  SumRows(count, starts, order, n, x, y, mode);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace septet {

HWY_EXPORT(CopyRowsI32);
HWY_EXPORT(CopyRowsI64);
HWY_EXPORT(SumRowsF32);
HWY_EXPORT(SumRowsF64);

void CopyRowsKernel(int64_t count, const int32_t* rows, int64_t n,
                    const uint32_t* x, uint32_t* y, StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(CopyRowsI32)
  (static_cast<size_t>(count), rows, static_cast<size_t>(n), x, y, mode);
}
void CopyRowsKernel(int64_t count, const int64_t* rows, int64_t n,
                    const uint32_t* x, uint32_t* y, StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(CopyRowsI64)
  (static_cast<size_t>(count), rows, static_cast<size_t>(n), x, y, mode);
}

void SumRowsKernel(int64_t count, const int64_t* starts, const int64_t* order,
                   int64_t n, const float* x, float* y, StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(SumRowsF32)
  (static_cast<size_t>(count), starts, order, static_cast<size_t>(n), x, y,
   mode);
}
void SumRowsKernel(int64_t count, const int64_t* starts, const int64_t* order,
                   int64_t n, const double* x, double* y, StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(SumRowsF64)
  (static_cast<size_t>(count), starts, order, static_cast<size_t>(n), x, y,
   mode);
}

}  // namespace septet
#endif  // HWY_ONCE
