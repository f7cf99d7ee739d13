// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

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

// y = before + mix (x - before)
template <typename T>
void Forward(const TokenShiftProblem<T>& p, int64_t begin, int64_t end,
             T* const* y) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const size_t lanes = hn::Lanes(d);
  const auto n = static_cast<size_t>(p.channels);
  for (int64_t r = begin; r < end; ++r) {
    const T* const x = p.x + r * p.channels;
    const T* const before = RowBefore(p, r);
    for (size_t i = 0; i < n; i += lanes) {
      const size_t count = HWY_MIN(lanes, n - i);
      const V old = LoadOrZero(d, before, i, count);
      const V change = hn::Sub(LoadSome(d, x + i, count), old);
      for (int m = 0; m < p.mixtures; ++m) {
        const V mix =
            LoadSome(d, p.mix + static_cast<size_t>(m) * n + i, count);
        StoreSome(d, hn::Add(old, hn::Mul(mix, change)),
                  y[m] + r * p.channels + i, count);
      }
    }
  }
}

// dx_t = sum_m mix_m dy^m_t + (1 - mix_m) dy^m_{t+1},
// dmix_m = sum_t dy^m_t (x_t - x_{t-1}).
template <typename T>
void Backward(const TokenShiftProblem<T>& p, int64_t begin, int64_t end,
              const T* const* dy, T* dx, T* dmix) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const size_t lanes = hn::Lanes(d);
  const auto n = static_cast<size_t>(p.channels);
  for (int64_t r = begin; r < end; ++r) {
    const T* const x = p.x + r * p.channels;
    const T* const before = RowBefore(p, r);
    const bool last = (r + 1) % p.rows == 0;
    for (size_t i = 0; i < n; i += lanes) {
      const size_t count = HWY_MIN(lanes, n - i);
      const V change =
          hn::Sub(LoadSome(d, x + i, count), LoadOrZero(d, before, i, count));
      V sum = hn::Zero(d);
      for (int m = 0; m < p.mixtures; ++m) {
        if (dy[m] == nullptr) continue;
        const size_t at = static_cast<size_t>(m) * n + i;
        const T* const row = dy[m] + r * p.channels;
        const V mix = LoadSome(d, p.mix + at, count);
        const V now = LoadSome(d, row + i, count);
        StoreSome(d,
                  hn::Add(LoadSome(d, dmix + at, count), hn::Mul(now, change)),
                  dmix + at, count);
        sum = hn::Add(sum, hn::Mul(mix, now));
        if (last) continue;
        const V next = LoadSome(d, row + n + i, count);
        sum = hn::Add(sum, hn::Sub(next, hn::Mul(mix, next)));
      }
      StoreSome(d, sum, dx + r * p.channels + i, count);
    }
  }
}

void ForwardF32(const TokenShiftProblem<float>& p, int64_t begin, int64_t end,
                float* const* y) {
  Forward(p, begin, end, y);
}
void ForwardF64(const TokenShiftProblem<double>& p, int64_t begin, int64_t end,
                double* const* y) {
  Forward(p, begin, end, y);
}
void BackwardF32(const TokenShiftProblem<float>& p, int64_t begin, int64_t end,
                 const float* const* dy, float* dx, float* dmix) {
  Backward(p, begin, end, dy, dx, dmix);
}
void BackwardF64(const TokenShiftProblem<double>& p, int64_t begin, int64_t end,
                 const double* const* dy, double* dx, double* dmix) {
  Backward(p, begin, end, dy, dx, dmix);
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
                       int64_t end, float* const* y) {
  HWY_DYNAMIC_DISPATCH(ForwardF32)(p, begin, end, y);
}
void TokenShiftForward(const TokenShiftProblem<double>& p, int64_t begin,
                       int64_t end, double* const* y) {
  HWY_DYNAMIC_DISPATCH(ForwardF64)(p, begin, end, y);
}
void TokenShiftBackward(const TokenShiftProblem<float>& p, int64_t begin,
                        int64_t end, const float* const* dy, float* dx,
                        float* dmix) {
  HWY_DYNAMIC_DISPATCH(BackwardF32)(p, begin, end, dy, dx, dmix);
}
void TokenShiftBackward(const TokenShiftProblem<double>& p, int64_t begin,
                        int64_t end, const double* const* dy, double* dx,
                        double* dmix) {
  HWY_DYNAMIC_DISPATCH(BackwardF64)(p, begin, end, dy, dx, dmix);
}

}  // namespace septet
#endif  // HWY_ONCE
