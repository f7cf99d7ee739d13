// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "septet/core/ops/index_kernels.h"
#include "septet/core/ops/reduce_tree.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/index_kernels_cpu.cc"
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

template <typename T>
void SumRows(size_t count, const int64_t* rows, size_t pitch, size_t n,
             const T* x, T* out) {
  const size_t step = hn::Lanes(SumTag<T>());
  size_t j = 0;
  for (; j + 4 * step <= n; j += 4 * step) {
    SumColumns<true>(count, rows, pitch, x + j, out + j, 4 * step);
  }
  for (; j < n; j += step) {
    SumColumns<false>(count, rows, pitch, x + j, out + j, HWY_MIN(step, n - j));
  }
}

void SumRowsF32(size_t count, const int64_t* rows, size_t pitch, size_t n,
                const float* x, float* out) {
  SumRows(count, rows, pitch, n, x, out);
}
void SumRowsF64(size_t count, const int64_t* rows, size_t pitch, size_t n,
                const double* x, double* out) {
  SumRows(count, rows, pitch, n, x, out);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace septet {

HWY_EXPORT(SumRowsF32);
HWY_EXPORT(SumRowsF64);

void SumRowsKernel(int64_t count, const int64_t* rows, int64_t pitch, int64_t n,
                   const float* x, float* out) {
  HWY_DYNAMIC_DISPATCH(SumRowsF32)
  (static_cast<size_t>(count), rows, static_cast<size_t>(pitch),
   static_cast<size_t>(n), x, out);
}
void SumRowsKernel(int64_t count, const int64_t* rows, int64_t pitch, int64_t n,
                   const double* x, double* out) {
  HWY_DYNAMIC_DISPATCH(SumRowsF64)
  (static_cast<size_t>(count), rows, static_cast<size_t>(pitch),
   static_cast<size_t>(n), x, out);
}

}  // namespace septet
#endif  // HWY_ONCE
