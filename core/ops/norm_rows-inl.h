// SPDX-License-Identifier: Apache-2.0
// Normalisation of rows, forward and backward, for every Highway target: what
// LayerNorm (kCentre: the mean is taken off), RMSNorm (it is not) and GroupNorm
// of single tokens (several sets of parameters in turn) have in common.
//
// Row r of x [rows, n] uses the parameters scale, bias [groups, n] at
// r mod groups. With u = (x - mean) rstd, or x rstd:
//   y = u scale + bias,  g = dy scale,
//   dx = rstd (g - mean(g) - u mean(g u)), without mean(g) where not kCentre.
//
// All sums follow the trees of reduce_kernels.h, and no product is fused with a
// sum: the bits are the same on every machine.
//
// A row is read from memory once: its later passes find it in the cache. What
// the forward function reads is one walk, which processors fetch ahead by
// themselves, and sooner than if it asked for the next row. The backward
// function, of two walks, asks for its next rows while it writes.
#if defined(SEPTET_CORE_OPS_NORM_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SEPTET_CORE_OPS_NORM_ROWS_INL_H_
#undef SEPTET_CORE_OPS_NORM_ROWS_INL_H_
#else
#define SEPTET_CORE_OPS_NORM_ROWS_INL_H_
#endif

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "septet/core/ops/reduce-inl.h"
#include "septet/core/ops/reduce_tree.h"
#include "septet/core/ops/simd-inl.h"
#include "septet/core/ops/store_mode.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// (x - mean) rstd, or x rstd.
template <bool kCentre, class V>
HWY_INLINE V NormalizedValue(V x, V mean, V rstd) {
  if constexpr (kCentre) x = hn::Sub(x, mean);
  return hn::Mul(x, rstd);
}

// y = u scale + bias, either of them left out where null.
template <bool kCentre, bool kScale, bool kBias, typename T>
HWY_INLINE void NormalizeRow(size_t n, const T* x, const T* scale,
                             const T* bias, T mean, T rstd, T* y,
                             StoreMode mode) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const V vmean = hn::Set(d, mean);
  const V vrstd = hn::Set(d, rstd);
  const auto value = [=](size_t i, size_t count) SEPTET_LAMBDA {
    V v = NormalizedValue<kCentre>(LoadSome(d, x + i, count), vmean, vrstd);
    if constexpr (kScale) v = hn::Mul(v, LoadSome(d, scale + i, count));
    if constexpr (kBias) v = hn::Add(v, LoadSome(d, bias + i, count));
    return v;
  };
  // Four vectors at a time, loads before stores: a load may wait for stores to
  // other addresses that agree with its own in the low twelve bits.
  const size_t lanes = hn::Lanes(d);
  size_t done = 0;
  if (mode == StoreMode::kStreaming && lanes * sizeof(T) >= 16 &&
      reinterpret_cast<uintptr_t>(y) % HWY_MAX(64, lanes * sizeof(T)) == 0) {
    for (; done + 4 * lanes <= n; done += 4 * lanes) {
      const V v0 = value(done, lanes);
      const V v1 = value(done + lanes, lanes);
      const V v2 = value(done + 2 * lanes, lanes);
      const V v3 = value(done + 3 * lanes, lanes);
      hn::Stream(v0, d, y + done);
      hn::Stream(v1, d, y + done + lanes);
      hn::Stream(v2, d, y + done + 2 * lanes);
      hn::Stream(v3, d, y + done + 3 * lanes);
    }
  }
  StoreLoop(d, n - done, y + done, mode,
            [&](size_t i, size_t count)
                SEPTET_LAMBDA { return value(done + i, count); });
}

// Rows of more bytes are not fetched ahead: two would not fit in a common
// second-level cache beside each other.
constexpr size_t kPrefetchRowBytes = size_t{128} << 10;

// The same for rows that fit in registers: with tens of elements, the loops
// around them would cost more than their work.
template <bool kCentre, int kVectors, typename T>
HWY_INLINE void NormForwardShort(size_t rows, size_t groups, size_t n,
                                 const T* x, const T* scale, const T* bias,
                                 T eps, T* y, T* mean, T* rstd,
                                 StoreMode mode) {
  using Row = ShortRow<kVectors, T>;
  const typename Row::D d;
  using V = typename Row::V;
  const T size = static_cast<T>(n);
  const V zero = hn::Zero(d);
  const bool lines = Row::StoresLines(y, n, mode);
  size_t group = 0;
  for (size_t r = 0; r < rows; ++r, x += n, y += n) {
    Row u = Row::Load(x, n);
    if constexpr (kCentre) {
      Row sums = u;
      for (V& v : sums.v) v = hn::Add(zero, v);
      const T m = sums.template Reduce<SumOp>() / size;
      mean[r] = m;
      for (V& v : u.v) v = hn::Sub(v, hn::Set(d, m));
      u.FillBeyond(n, zero);
    }
    Row squares = u;
    for (V& v : squares.v) v = hn::Mul(v, v);
    const T s = T{1} / std::sqrt(squares.template Reduce<SumOp>() / size + eps);
    rstd[r] = s;
    for (V& v : u.v) v = hn::Mul(v, hn::Set(d, s));
    if (scale != nullptr) {
      const Row a = Row::Load(scale + group * n, n);
      for (int k = 0; k < kVectors; ++k) u.v[k] = hn::Mul(u.v[k], a.v[k]);
    }
    if (bias != nullptr) {
      const Row b = Row::Load(bias + group * n, n);
      for (int k = 0; k < kVectors; ++k) u.v[k] = hn::Add(u.v[k], b.v[k]);
    }
    u.Store(y, n, lines);
    if (++group == groups) group = 0;
  }
}

template <bool kCentre, typename T>
void NormForward(size_t rows, size_t groups, size_t n, const T* x,
                 const T* scale, const T* bias, T eps, T* y, T* mean, T* rstd,
                 StoreMode mode) {
  if (n > 0 && ForShortRows<T>(n, [&](auto vectors) SEPTET_LAMBDA {
        NormForwardShort<kCentre, decltype(vectors)::value>(
            rows, groups, n, x, scale, bias, eps, y, mean, rstd, mode);
      })) {
    EndStores(mode);
    return;
  }
  const T size = static_cast<T>(n == 0 ? 1 : n);
  size_t group = 0;
  for (size_t r = 0; r < rows; ++r, x += n, y += n) {
    T m = 0;
    if constexpr (kCentre) {
      m = TreeReduce<SumOp, T>(
              n, [x](auto d, size_t i, size_t count)
                     SEPTET_LAMBDA { return LoadSome(d, x + i, count); }) /
          size;
      mean[r] = m;
    }
    const T variance =
        TreeReduce<SumOp, T>(n,
                             [x, m](auto d, size_t i, size_t count)
                                 SEPTET_LAMBDA {
                                   auto v = LoadSome(d, x + i, count);
                                   if constexpr (kCentre) {
                                     v = hn::Sub(v, hn::Set(d, m));
                                   }
                                   return hn::Mul(v, v);
                                 }) /
        size;
    const T s = T{1} / std::sqrt(variance + eps);
    rstd[r] = s;
    const T* a = scale == nullptr ? nullptr : scale + group * n;
    const T* b = bias == nullptr ? nullptr : bias + group * n;
    if (a != nullptr) {
      if (b != nullptr) {
        NormalizeRow<kCentre, true, true>(n, x, a, b, m, s, y, mode);
      } else {
        NormalizeRow<kCentre, true, false>(n, x, a, b, m, s, y, mode);
      }
    } else if (b != nullptr) {
      NormalizeRow<kCentre, false, true>(n, x, a, b, m, s, y, mode);
    } else {
      NormalizeRow<kCentre, false, false>(n, x, a, b, m, s, y, mode);
    }
    if (++group == groups) group = 0;
  }
  EndStores(mode);
}

// total_scale += dy u, total_bias += dy (where not null), for one vector. Loads
// come before stores: rows of 4 KiB lie so that a store would hold the next
// load up.
template <bool kBias, class D, class V, typename T>
HWY_INLINE void AccumulateParameters(D d, V u, V dy, size_t count,
                                     T* HWY_RESTRICT total_scale,
                                     T* HWY_RESTRICT total_bias) {
  const V old_scale = LoadSome(d, total_scale, count);
  if constexpr (kBias) {
    const V old_bias = LoadSome(d, total_bias, count);
    StoreSome(d, hn::Add(old_scale, hn::Mul(dy, u)), total_scale, count);
    StoreSome(d, hn::Add(old_bias, dy), total_bias, count);
  } else {
    StoreSome(d, hn::Add(old_scale, hn::Mul(dy, u)), total_scale, count);
  }
}

// dx = rstd ((g - mean_g) - u mean_gu). Where total_scale is not null,
// total_scale[0, n) += dy u and, with kCentre, total_bias[0, n) += dy, in the
// same pass as the sums. Where next is not 0, the row of x and dy that many
// elements on is fetched.
template <bool kCentre, bool kScale, typename T>
HWY_INLINE void NormBackwardRow(size_t n, const T* x, const T* scale, T mean,
                                T rstd, const T* dy, T* dx, T* total_scale,
                                T* total_bias, StoreMode mode, size_t next) {
  T sum_g = 0;
  if constexpr (kCentre) {
    sum_g = TreeReduce<SumOp, T>(
        n, [scale, dy](auto d, size_t i, size_t count) SEPTET_LAMBDA {
          auto v = LoadSome(d, dy + i, count);
          if constexpr (kScale) v = hn::Mul(v, LoadSome(d, scale + i, count));
          return v;
        });
  }
  const T sum_gu = TreeReduce<SumOp, T>(
      n, [=](auto d, size_t i, size_t count) SEPTET_LAMBDA {
        const auto u = NormalizedValue<kCentre>(
            LoadSome(d, x + i, count), hn::Set(d, mean), hn::Set(d, rstd));
        const auto v = LoadSome(d, dy + i, count);
        if (total_scale != nullptr) {
          AccumulateParameters<kCentre>(
              d, u, v, count, total_scale + i,
              total_bias == nullptr ? nullptr : total_bias + i);
        }
        if constexpr (kScale) {
          return hn::Mul(hn::Mul(v, LoadSome(d, scale + i, count)), u);
        } else {
          return hn::Mul(v, u);
        }
      });
  if (dx == nullptr) return;
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const V vmean = hn::Set(d, mean);
  const V vrstd = hn::Set(d, rstd);
  const V mean_g = hn::Set(d, sum_g / static_cast<T>(n));
  const V mean_gu = hn::Set(d, sum_gu / static_cast<T>(n));
  StoreLoop(d, n, dx, mode, [=](size_t i, size_t count) SEPTET_LAMBDA {
    if (next != 0) {
      hwy::Prefetch(x + next + i);
      hwy::Prefetch(dy + next + i);
    }
    const V u =
        NormalizedValue<kCentre>(LoadSome(d, x + i, count), vmean, vrstd);
    V g = LoadSome(d, dy + i, count);
    if constexpr (kScale) g = hn::Mul(g, LoadSome(d, scale + i, count));
    if constexpr (kCentre) g = hn::Sub(g, mean_g);
    return hn::Mul(hn::Sub(g, hn::Mul(u, mean_gu)), vrstd);
  });
}

template <typename T>
HWY_INLINE void AddRow(size_t n, const T* HWY_RESTRICT x, T* HWY_RESTRICT y) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  MapLoop2(d, n, y, x, y, [](V a, V b) SEPTET_LAMBDA { return hn::Add(a, b); });
}

// rows is a multiple of groups. dscale, dbias: [groups, n], added to. Without
// kCentre there is no bias.
template <bool kCentre, typename T>
void NormBackward(size_t rows, size_t groups, size_t n, const T* x,
                  const T* scale, const T* mean, const T* rstd, const T* dy,
                  T* dx, T* dscale, T* dbias, T* workspace, StoreMode mode) {
  const bool fetch =
      mode == StoreMode::kStreaming && 2 * n * sizeof(T) <= kPrefetchRowBytes;
  const bool parameters = dscale != nullptr || dbias != nullptr;
  if (n == 0) return;
  const size_t width = groups * n;
  // Levels of the tree over the rows: [dscale, dbias] each.
  size_t levels = 0;
  uint64_t blocks = 0;
  const size_t pitch = (kCentre ? 2 : 1) * width;
  for (size_t begin = 0; begin < rows; begin += kReduceColumnBlock * groups) {
    const size_t end = HWY_MIN(rows, begin + kReduceColumnBlock * groups);
    T* total = parameters ? workspace + levels * pitch : nullptr;
    if (parameters) {
      for (size_t i = 0; i < pitch; ++i) total[i] = T{0};
    }
    size_t at = 0;  // of the row's parameters
    for (size_t r = begin; r < end; ++r) {
      const T* row_x = x + r * n;
      const T* row_dy = dy + r * n;
      T* row_dx = dx == nullptr ? nullptr : dx + r * n;
      T* total_scale = parameters ? total + at : nullptr;
      T* total_bias = parameters && kCentre ? total + width + at : nullptr;
      const T m = kCentre ? mean[r] : T{0};
      const size_t next = fetch && r + 1 < rows ? n : 0;
      if (scale != nullptr) {
        NormBackwardRow<kCentre, true>(n, row_x, scale + at, m, rstd[r], row_dy,
                                       row_dx, total_scale, total_bias, mode,
                                       next);
      } else {
        NormBackwardRow<kCentre, false>(n, row_x, scale, m, rstd[r], row_dy,
                                        row_dx, total_scale, total_bias, mode,
                                        next);
      }
      at += n;
      if (at == width) at = 0;
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
  EndStores(mode);
  if (levels == 0) return;
  for (size_t k = levels - 1; k > 0; --k) {
    AddRow(pitch, workspace + k * pitch, workspace + (k - 1) * pitch);
  }
  if (dscale != nullptr) AddRow(width, workspace, dscale);
  if (kCentre && dbias != nullptr) AddRow(width, workspace + width, dbias);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#endif  // SEPTET_CORE_OPS_NORM_ROWS_INL_H_
