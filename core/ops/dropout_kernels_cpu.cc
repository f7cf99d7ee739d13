// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "septet/core/ops/dropout_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/dropout_kernels_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "septet/core/ops/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace {

void DropoutF32(size_t n, const uint32_t* words, uint32_t threshold,
                float scale, const float* x, float* y) {
  const hn::ScalableTag<float> d;
  const hn::ScalableTag<uint32_t> du;
  const hn::ScalableTag<int32_t> di;
  const size_t step = hn::Lanes(d);
  const auto vscale = hn::Set(d, scale);
  // Without the top bit's meaning as a sign: every target compares signed
  // numbers.
  const auto top = hn::Set(du, uint32_t{0x80000000});
  const auto below = hn::BitCast(di, hn::Xor(hn::Set(du, threshold - 1), top));
  const auto keep = [&](auto w, auto v) HWY_ATTR {
    const auto kept = hn::Gt(hn::BitCast(di, hn::Xor(w, top)), below);
    return hn::IfThenElseZero(hn::RebindMask(d, kept), hn::Mul(v, vscale));
  };
  size_t i = 0;
  for (; i + step <= n; i += step) {
    hn::StoreU(keep(hn::LoadU(du, words + i), hn::LoadU(d, x + i)), d, y + i);
  }
  if (i < n) {
    StorePartial(
        d,
        keep(LoadPartial(du, words + i, n - i), LoadPartial(d, x + i, n - i)),
        y + i, n - i);
  }
}

void DropoutF64(size_t n, const uint32_t* words, uint32_t threshold,
                double scale, const double* x, double* y) {
#if HWY_HAVE_FLOAT64 && HWY_TARGET != HWY_SCALAR
  const hn::ScalableTag<double> d;
  const hn::ScalableTag<uint64_t> d64;
  const hn::ScalableTag<int64_t> di;
  const hn::Rebind<uint32_t, decltype(d)> du;
  const size_t step = hn::Lanes(d);
  const auto vscale = hn::Set(d, scale);
  const auto below = hn::Set(di, int64_t{threshold} - 1);
  size_t i = 0;
  for (; i + step <= n; i += step) {
    const auto w = hn::PromoteTo(d64, hn::LoadU(du, words + i));
    const auto kept = hn::RebindMask(d, hn::Gt(hn::BitCast(di, w), below));
    hn::StoreU(hn::IfThenElseZero(kept, hn::Mul(hn::LoadU(d, x + i), vscale)),
               d, y + i);
  }
#else
  size_t i = 0;
#endif
  for (; i < n; ++i) y[i] = words[i] >= threshold ? scale * x[i] : 0.0;
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace septet {

HWY_EXPORT(DropoutF32);
HWY_EXPORT(DropoutF64);

void DropoutKernel(int64_t n, const uint32_t* words, uint32_t threshold,
                   float scale, const float* x, float* y) {
  HWY_DYNAMIC_DISPATCH(DropoutF32)
  (static_cast<size_t>(n), words, threshold, scale, x, y);
}
void DropoutKernel(int64_t n, const uint32_t* words, uint32_t threshold,
                   double scale, const double* x, double* y) {
  HWY_DYNAMIC_DISPATCH(DropoutF64)
  (static_cast<size_t>(n), words, threshold, scale, x, y);
}

}  // namespace septet
#endif  // HWY_ONCE
