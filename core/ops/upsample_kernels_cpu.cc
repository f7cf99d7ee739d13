// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "septet/core/ops/upsample_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/upsample_kernels_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "septet/core/ops/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace {

template <typename T>
void Resize(const T* x, int64_t row_stride, int64_t channels, int64_t num_rows,
            const int64_t* row, const double* row_weight, int64_t cols,
            const int64_t* begin, const int64_t* col, const double* col_weight,
            T* y) {
  const hn::ScalableTag<T> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t j = 0; j < cols; ++j, y += channels) {
    for (int64_t c = 0; c < channels; c += lanes) {
      const size_t count =
          static_cast<size_t>(channels - c < lanes ? channels - c : lanes);
      auto sum = hn::Zero(d);
      for (int64_t a = 0; a < num_rows; ++a) {
        const T* const from = x + row[a] * row_stride + c;
        for (int64_t b = begin[j]; b < begin[j + 1]; ++b) {
          const T weight = static_cast<T>(row_weight[a] * col_weight[b]);
          const T* const pixel = from + col[b] * channels;
          const auto v = count == static_cast<size_t>(lanes)
                             ? hn::LoadU(d, pixel)
                             : LoadPartial(d, pixel, count);
          sum = hn::Add(sum, hn::Mul(hn::Set(d, weight), v));
        }
      }
      if (count == static_cast<size_t>(lanes)) {
        hn::StoreU(sum, d, y + c);
      } else {
        StorePartial(d, sum, y + c, count);
      }
    }
  }
}

void ResizeF32(const float* x, int64_t row_stride, int64_t channels,
               int64_t num_rows, const int64_t* row, const double* row_weight,
               int64_t cols, const int64_t* begin, const int64_t* col,
               const double* col_weight, float* y) {
  Resize(x, row_stride, channels, num_rows, row, row_weight, cols, begin, col,
         col_weight, y);
}
void ResizeF64(const double* x, int64_t row_stride, int64_t channels,
               int64_t num_rows, const int64_t* row, const double* row_weight,
               int64_t cols, const int64_t* begin, const int64_t* col,
               const double* col_weight, double* y) {
  Resize(x, row_stride, channels, num_rows, row, row_weight, cols, begin, col,
         col_weight, y);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace septet {

HWY_EXPORT(ResizeF32);
HWY_EXPORT(ResizeF64);

void ResizeRow(const float* x, int64_t row_stride, int64_t channels,
               int64_t num_rows, const int64_t* row, const double* row_weight,
               int64_t cols, const int64_t* begin, const int64_t* col,
               const double* col_weight, float* y) {
  HWY_DYNAMIC_DISPATCH(ResizeF32)
  (x, row_stride, channels, num_rows, row, row_weight, cols, begin, col,
   col_weight, y);
}
void ResizeRow(const double* x, int64_t row_stride, int64_t channels,
               int64_t num_rows, const int64_t* row, const double* row_weight,
               int64_t cols, const int64_t* begin, const int64_t* col,
               const double* col_weight, double* y) {
  HWY_DYNAMIC_DISPATCH(ResizeF64)
  (x, row_stride, channels, num_rows, row, row_weight, cols, begin, col,
   col_weight, y);
}

}  // namespace septet
#endif  // HWY_ONCE
