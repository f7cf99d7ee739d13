// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "septet/core/ops/layer_norm_kernels.h"
#include "septet/core/ops/reduce_tree.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/layer_norm_kernels_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "septet/core/ops/reduce-inl.h"
#include "septet/core/ops/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace {

// y = ((x - mean) rstd) scale + bias, either of them left out where null.
template <bool kScale, bool kBias, typename T>
HWY_INLINE void NormalizeRow(size_t n, const T* x, const T* scale,
                             const T* bias, T mean, T rstd, T* y) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const size_t step = hn::Lanes(d);
  const V vmean = hn::Set(d, mean);
  const V vrstd = hn::Set(d, rstd);
  const auto apply = [&](V v, size_t i, size_t count) HWY_ATTR {
    v = hn::Mul(hn::Sub(v, vmean), vrstd);
    if constexpr (kScale) v = hn::Mul(v, LoadSome(d, scale + i, count));
    if constexpr (kBias) v = hn::Add(v, LoadSome(d, bias + i, count));
    return v;
  };
  size_t i = 0;
  for (; i + step <= n; i += step) {
    hn::StoreU(apply(hn::LoadU(d, x + i), i, step), d, y + i);
  }
  if (i < n) {
    const size_t count = n - i;
    StorePartial(d, apply(LoadPartial(d, x + i, count), i, count), y + i,
                 count);
  }
}

template <typename T>
void ForwardRows(size_t rows, size_t n, const T* x, const T* scale,
                 const T* bias, T eps, T* y, T* mean, T* rstd) {
  const T size = static_cast<T>(n == 0 ? 1 : n);
  for (size_t r = 0; r < rows; ++r, x += n, y += n) {
    const T m = TreeReduce<SumOp, T>(
                    n, [x](auto d, size_t i, size_t count)
                           HWY_ATTR { return LoadSome(d, x + i, count); }) /
                size;
    const T variance =
        TreeReduce<SumOp, T>(n,
                             [x, m](auto d, size_t i, size_t count) HWY_ATTR {
                               const auto v = hn::Sub(LoadSome(d, x + i, count),
                                                      hn::Set(d, m));
                               return hn::Mul(v, v);
                             }) /
        size;
    const T s = T{1} / std::sqrt(variance + eps);
    mean[r] = m;
    rstd[r] = s;
    if (scale != nullptr) {
      if (bias != nullptr) {
        NormalizeRow<true, true>(n, x, scale, bias, m, s, y);
      } else {
        NormalizeRow<true, false>(n, x, scale, bias, m, s, y);
      }
    } else if (bias != nullptr) {
      NormalizeRow<false, true>(n, x, scale, bias, m, s, y);
    } else {
      NormalizeRow<false, false>(n, x, scale, bias, m, s, y);
    }
  }
}

// total_scale += dy u, total_bias += dy, for one vector. Loads come before
// stores: rows of 4 KiB lie so that a store would hold the next load up.
template <class D, class V, typename T>
HWY_INLINE void AccumulateParameters(D d, V u, V dy, size_t count,
                                     T* HWY_RESTRICT total_scale,
                                     T* HWY_RESTRICT total_bias) {
  const V old_scale = LoadSome(d, total_scale, count);
  const V old_bias = LoadSome(d, total_bias, count);
  StoreSome(d, hn::Add(old_scale, hn::Mul(dy, u)), total_scale, count);
  StoreSome(d, hn::Add(old_bias, dy), total_bias, count);
}

// Both sums of a row's backward pass: g = dy scale, and g u. Where total is not
// null, total[0, n) += dy u and total[n, 2 n) += dy in the same pass.
template <bool kScale, typename T>
HWY_INLINE void BackwardSums(size_t n, const T* x, const T* scale, T mean,
                             T rstd, const T* dy, T* total, T* sum_g,
                             T* sum_gu) {
  *sum_g = TreeReduce<SumOp, T>(
      n, [scale, dy](auto d, size_t i, size_t count) HWY_ATTR {
        auto v = LoadSome(d, dy + i, count);
        if constexpr (kScale) v = hn::Mul(v, LoadSome(d, scale + i, count));
        return v;
      });
  *sum_gu =
      TreeReduce<SumOp, T>(n, [=](auto d, size_t i, size_t count) HWY_ATTR {
        const auto u =
            hn::Mul(hn::Sub(LoadSome(d, x + i, count), hn::Set(d, mean)),
                    hn::Set(d, rstd));
        const auto v = LoadSome(d, dy + i, count);
        if (total != nullptr) {
          AccumulateParameters(d, u, v, count, total + i, total + n + i);
        }
        if constexpr (kScale) {
          return hn::Mul(hn::Mul(v, LoadSome(d, scale + i, count)), u);
        } else {
          return hn::Mul(v, u);
        }
      });
}

// dx = rstd ((g - mean_g) - u mean_gu).
template <bool kScale, typename T>
HWY_INLINE void BackwardRow(size_t n, const T* x, const T* scale, T mean,
                            T rstd, const T* dy, T* dx, T* total) {
  T sum_g, sum_gu;
  BackwardSums<kScale>(n, x, scale, mean, rstd, dy, total, &sum_g, &sum_gu);
  if (dx == nullptr) return;
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const size_t step = hn::Lanes(d);
  const V vmean = hn::Set(d, mean);
  const V vrstd = hn::Set(d, rstd);
  const V mean_g = hn::Set(d, sum_g / static_cast<T>(n));
  const V mean_gu = hn::Set(d, sum_gu / static_cast<T>(n));
  const auto apply = [&](size_t i, size_t count) HWY_ATTR {
    const V u = hn::Mul(hn::Sub(LoadSome(d, x + i, count), vmean), vrstd);
    V g = LoadSome(d, dy + i, count);
    if constexpr (kScale) g = hn::Mul(g, LoadSome(d, scale + i, count));
    const V v = hn::Sub(hn::Sub(g, mean_g), hn::Mul(u, mean_gu));
    StoreSome(d, hn::Mul(v, vrstd), dx + i, count);
  };
  size_t i = 0;
  for (; i + step <= n; i += step) apply(i, step);
  if (i < n) apply(i, n - i);
}

template <typename T>
HWY_INLINE void AddRow(size_t n, const T* HWY_RESTRICT x, T* HWY_RESTRICT y) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  MapLoop2(d, n, y, x, y, [](V a, V b) HWY_ATTR { return hn::Add(a, b); });
}

template <typename T>
void BackwardRows(size_t rows, size_t n, const T* x, const T* scale,
                  const T* mean, const T* rstd, const T* dy, T* dx, T* dscale,
                  T* dbias, T* workspace) {
  const bool parameters = dscale != nullptr || dbias != nullptr;
  // Levels of the tree over the rows: [dscale n, dbias n] each.
  size_t levels = 0;
  uint64_t blocks = 0;
  const size_t pitch = 2 * n;
  if (n == 0) return;
  for (size_t begin = 0; begin < rows; begin += kReduceColumnBlock) {
    const size_t end = HWY_MIN(rows, begin + kReduceColumnBlock);
    T* total = parameters ? workspace + levels * pitch : nullptr;
    if (parameters) {
      for (size_t i = 0; i < pitch; ++i) total[i] = T{0};
    }
    for (size_t r = begin; r < end; ++r) {
      const T* row_x = x + r * n;
      const T* row_dy = dy + r * n;
      T* row_dx = dx == nullptr ? nullptr : dx + r * n;
      if (scale != nullptr) {
        BackwardRow<true>(n, row_x, scale, mean[r], rstd[r], row_dy, row_dx,
                          total);
      } else {
        BackwardRow<false>(n, row_x, scale, mean[r], rstd[r], row_dy, row_dx,
                           total);
      }
    }
    if (parameters) {
      for (uint64_t bits = blocks; bits % 2 == 1; bits /= 2) {
        --levels;
        AddRow(pitch, workspace + (levels + 1) * pitch,
               workspace + levels * pitch);
      }
      ++levels;
      ++blocks;
    }
  }
  if (levels == 0) return;
  for (size_t k = levels - 1; k > 0; --k) {
    AddRow(pitch, workspace + k * pitch, workspace + (k - 1) * pitch);
  }
  if (dscale != nullptr) AddRow(n, workspace, dscale);
  if (dbias != nullptr) AddRow(n, workspace + n, dbias);
}

void ForwardF32(size_t rows, size_t n, const float* x, const float* scale,
                const float* bias, float eps, float* y, float* mean,
                float* rstd) {
  ForwardRows(rows, n, x, scale, bias, eps, y, mean, rstd);
}
void ForwardF64(size_t rows, size_t n, const double* x, const double* scale,
                const double* bias, double eps, double* y, double* mean,
                double* rstd) {
  ForwardRows(rows, n, x, scale, bias, eps, y, mean, rstd);
}
void BackwardF32(size_t rows, size_t n, const float* x, const float* scale,
                 const float* mean, const float* rstd, const float* dy,
                 float* dx, float* dscale, float* dbias, float* workspace) {
  BackwardRows(rows, n, x, scale, mean, rstd, dy, dx, dscale, dbias, workspace);
}
void BackwardF64(size_t rows, size_t n, const double* x, const double* scale,
                 const double* mean, const double* rstd, const double* dy,
                 double* dx, double* dscale, double* dbias, double* workspace) {
  BackwardRows(rows, n, x, scale, mean, rstd, dy, dx, dscale, dbias, workspace);
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

void LayerNormForward(int64_t rows, int64_t n, const float* x,
                      const float* scale, const float* bias, float eps,
                      float* y, float* mean, float* rstd) {
  HWY_DYNAMIC_DISPATCH(ForwardF32)
  (static_cast<size_t>(rows), static_cast<size_t>(n), x, scale, bias, eps, y,
   mean, rstd);
}
void LayerNormForward(int64_t rows, int64_t n, const double* x,
                      const double* scale, const double* bias, double eps,
                      double* y, double* mean, double* rstd) {
  HWY_DYNAMIC_DISPATCH(ForwardF64)
  (static_cast<size_t>(rows), static_cast<size_t>(n), x, scale, bias, eps, y,
   mean, rstd);
}

int64_t LayerNormBackwardWorkspace(int64_t rows, int64_t n) {
  const int64_t block = static_cast<int64_t>(kReduceColumnBlock);
  int64_t blocks = (rows + block - 1) / block;
  int64_t levels = 2;  // one in work beside each that waits
  for (; blocks > 1; blocks /= 2) ++levels;
  return levels * 2 * n;
}

void LayerNormBackward(int64_t rows, int64_t n, const float* x,
                       const float* scale, const float* mean, const float* rstd,
                       const float* dy, float* dx, float* dscale, float* dbias,
                       float* workspace) {
  HWY_DYNAMIC_DISPATCH(BackwardF32)
  (static_cast<size_t>(rows), static_cast<size_t>(n), x, scale, mean, rstd, dy,
   dx, dscale, dbias, workspace);
}
void LayerNormBackward(int64_t rows, int64_t n, const double* x,
                       const double* scale, const double* mean,
                       const double* rstd, const double* dy, double* dx,
                       double* dscale, double* dbias, double* workspace) {
  HWY_DYNAMIC_DISPATCH(BackwardF64)
  (static_cast<size_t>(rows), static_cast<size_t>(n), x, scale, mean, rstd, dy,
   dx, dscale, dbias, workspace);
}

}  // namespace septet
#endif  // HWY_ONCE
