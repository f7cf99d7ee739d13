// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "septet/core/ops/store_mode.h"
#include "septet/retention/token_shift_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "retention/token_shift_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "septet/core/ops/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace {

// The row before row `r` of all; null for 0.
template <typename T>
const T* RowBefore(const TokenShiftProblem<T>& p, int64_t r) {
  if (r % p.rows != 0) return p.x + (r - 1) * p.channels;
  return p.before == nullptr ? nullptr : p.before + r / p.rows * p.channels;
}

template <class D, class V = hn::Vec<D>, typename T = hn::TFromD<D>>
HWY_INLINE V LoadOrZero(D d, const T* p, size_t i, size_t count) {
  return p == nullptr ? hn::Zero(d) : LoadSome(d, p + i, count);
}

// y = before + mix (x - before), a mixture after the other: rows are in the
// first-level cache, and fewer streams of stores are quicker.
template <typename T>
void Forward(const TokenShiftProblem<T>& p, int64_t begin, int64_t end,
             T* const* y, StoreMode mode) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const auto n = static_cast<size_t>(p.channels);
  for (int64_t r = begin; r < end; ++r) {
    const T* const x = p.x + r * p.channels;
    const T* const before = RowBefore(p, r);
    for (int m = 0; m < p.mixtures; ++m) {
      const T* const mix = p.mix + static_cast<size_t>(m) * n;
      StoreLoop(d, n, y[m] + r * p.channels, mode,
                [=](size_t i, size_t count) SEPTET_LAMBDA {
                  const V old = LoadOrZero(d, before, i, count);
                  const V change = hn::Sub(LoadSome(d, x + i, count), old);
                  return hn::Add(old,
                                 hn::Mul(LoadSome(d, mix + i, count), change));
                });
    }
  }
  EndStores(mode);
}

// Rows of one sequence whose gradients are made at a time: each row is read for
// two of them, and dmix is read and written once for all. Four are as many as
// 32 registers hold.
constexpr int kGroup = 4;

// What the gradients of some rows are made of: one pointer each to the first of
// them, in x and in the `given` mixtures.
template <typename T>
struct RowsBack {
  const T* x;
  const T* before;  // null for 0
  bool last;        // the last row has none behind it
  int given;
  const T* dy[kMaxTokenShifts];
  const T* mix[kMaxTokenShifts];
  T* dmix[kMaxTokenShifts];
  T* dx;
};

// dx_t = sum_m mix_m dy^m_t + (1 - mix_m) dy^m_{t+1},
// dmix_m = sum_t dy^m_t (x_t - x_{t-1}).
template <int kRows, typename T>
HWY_INLINE void BackwardRows(size_t n, const RowsBack<T>& rows,
                             StoreMode mode) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const size_t lanes = hn::Lanes(d);
  // Whole lines alone may go past the caches.
  const bool stream =
      mode == StoreMode::kStreaming && lanes * sizeof(T) >= 16 &&
      n * sizeof(T) % HWY_MAX(64, lanes * sizeof(T)) == 0 &&
      reinterpret_cast<uintptr_t>(rows.dx) % HWY_MAX(64, lanes * sizeof(T)) ==
          0;
  for (size_t i = 0; i < n; i += lanes) {
    const size_t count = HWY_MIN(lanes, n - i);
    V change[kRows];
    V sum[kRows];
    V old = LoadOrZero(d, rows.before, i, count);
    for (int r = 0; r < kRows; ++r) {
      const V now = LoadSome(d, rows.x + static_cast<size_t>(r) * n + i, count);
      change[r] = hn::Sub(now, old);
      old = now;
      sum[r] = hn::Zero(d);
    }
    for (int m = 0; m < rows.given; ++m) {
      const T* const dy = rows.dy[m] + i;
      const V mix = LoadSome(d, rows.mix[m] + i, count);
      V dmix = LoadSome(d, rows.dmix[m] + i, count);
      V now = LoadSome(d, dy, count);
      for (int r = 0; r < kRows; ++r) {
        dmix = hn::Add(dmix, hn::Mul(now, change[r]));
        sum[r] = hn::Add(sum[r], hn::Mul(mix, now));
        if (r + 1 == kRows && rows.last) break;
        now = LoadSome(d, dy + static_cast<size_t>(r + 1) * n, count);
        sum[r] = hn::Add(sum[r], hn::Sub(now, hn::Mul(mix, now)));
      }
      StoreSome(d, dmix, rows.dmix[m] + i, count);
    }
    for (int r = 0; r < kRows; ++r) {
      T* const to = rows.dx + static_cast<size_t>(r) * n + i;
      if (stream) {
        hn::Stream(sum[r], d, to);
      } else {
        StoreSome(d, sum[r], to, count);
      }
    }
  }
}

template <typename T>
void Backward(const TokenShiftProblem<T>& p, int64_t begin, int64_t end,
              const T* const* dy, T* dx, T* dmix, StoreMode mode) {
  const auto n = static_cast<size_t>(p.channels);
  for (int64_t r = begin; r < end;) {
    const int64_t of_sequence = p.rows - r % p.rows;
    const int64_t count =
        of_sequence >= kGroup && end - r >= kGroup ? kGroup : 1;
    RowsBack<T> rows;
    rows.x = p.x + r * p.channels;
    rows.before = RowBefore(p, r);
    rows.last = count == of_sequence;
    rows.dx = dx + r * p.channels;
    rows.given = 0;
    for (int m = 0; m < p.mixtures; ++m) {
      if (dy[m] == nullptr) continue;
      rows.dy[rows.given] = dy[m] + r * p.channels;
      rows.mix[rows.given] = p.mix + static_cast<size_t>(m) * n;
      rows.dmix[rows.given++] = dmix + static_cast<size_t>(m) * n;
    }
    if (count == kGroup) {
      BackwardRows<kGroup>(n, rows, mode);
    } else {
      BackwardRows<1>(n, rows, mode);
    }
    r += count;
  }
  EndStores(mode);
}

void ForwardF32(const TokenShiftProblem<float>& p, int64_t begin, int64_t end,
                float* const* y, StoreMode mode) {
  Forward(p, begin, end, y, mode);
}
void ForwardF64(const TokenShiftProblem<double>& p, int64_t begin, int64_t end,
                double* const* y, StoreMode mode) {
  Forward(p, begin, end, y, mode);
}
void BackwardF32(const TokenShiftProblem<float>& p, int64_t begin, int64_t end,
                 const float* const* dy, float* dx, float* dmix,
                 StoreMode mode) {
  Backward(p, begin, end, dy, dx, dmix, mode);
}
void BackwardF64(const TokenShiftProblem<double>& p, int64_t begin, int64_t end,
                 const double* const* dy, double* dx, double* dmix,
                 StoreMode mode) {
  Backward(p, begin, end, dy, dx, dmix, mode);
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

void TokenShiftForward(const TokenShiftProblem<float>& p, int64_t begin,
                       int64_t end, float* const* y, StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(ForwardF32)(p, begin, end, y, mode);
}
void TokenShiftForward(const TokenShiftProblem<double>& p, int64_t begin,
                       int64_t end, double* const* y, StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(ForwardF64)(p, begin, end, y, mode);
}
void TokenShiftBackward(const TokenShiftProblem<float>& p, int64_t begin,
                        int64_t end, const float* const* dy, float* dx,
                        float* dmix, StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(BackwardF32)(p, begin, end, dy, dx, dmix, mode);
}
void TokenShiftBackward(const TokenShiftProblem<double>& p, int64_t begin,
                        int64_t end, const double* const* dy, double* dx,
                        double* dmix, StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(BackwardF64)(p, begin, end, dy, dx, dmix, mode);
}

}  // namespace septet
#endif  // HWY_ONCE
