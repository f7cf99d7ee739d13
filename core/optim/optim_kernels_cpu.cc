// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "septet/core/optim/optim_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/optim/optim_kernels_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "septet/core/ops/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace {

template <bool kDecay, typename T>
void AdamLoop(size_t n, const AdamCoefficients<T>& c, const T* g, T* p, T* m,
              T* v) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const V beta1 = hn::Set(d, c.beta1);
  const V beta2 = hn::Set(d, c.beta2);
  const V one_minus_beta1 = hn::Set(d, c.one_minus_beta1);
  const V one_minus_beta2 = hn::Set(d, c.one_minus_beta2);
  const V step_size = hn::Set(d, c.step_size);
  const V root_factor = hn::Set(d, c.root_factor);
  const V eps = hn::Set(d, c.eps);
  [[maybe_unused]] const V decay = hn::Set(d, c.decay);
  // Mul and Add, not MulAdd: see the header.
  const auto update = [&](V vg, V* vp, V* vm, V* vv) HWY_ATTR {
    *vm = hn::Add(hn::Mul(beta1, *vm), hn::Mul(one_minus_beta1, vg));
    *vv =
        hn::Add(hn::Mul(beta2, *vv), hn::Mul(one_minus_beta2, hn::Mul(vg, vg)));
    if constexpr (kDecay) *vp = hn::Sub(*vp, hn::Mul(decay, *vp));
    const V root = hn::Add(hn::Mul(root_factor, hn::Sqrt(*vv)), eps);
    *vp = hn::Sub(*vp, hn::Mul(step_size, hn::Div(*vm, root)));
  };
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    V vp = hn::LoadU(d, p + i);
    V vm = hn::LoadU(d, m + i);
    V vv = hn::LoadU(d, v + i);
    update(hn::LoadU(d, g + i), &vp, &vm, &vv);
    hn::StoreU(vp, d, p + i);
    hn::StoreU(vm, d, m + i);
    hn::StoreU(vv, d, v + i);
  }
  if (i < n) {
    const size_t rest = n - i;
    V vp = LoadPartial(d, p + i, rest);
    V vm = LoadPartial(d, m + i, rest);
    V vv = LoadPartial(d, v + i, rest);
    update(LoadPartial(d, g + i, rest), &vp, &vm, &vv);
    StorePartial(d, vp, p + i, rest);
    StorePartial(d, vm, m + i, rest);
    StorePartial(d, vv, v + i, rest);
  }
}

void AdamF32(size_t n, const AdamCoefficients<float>& c, const float* g,
             float* p, float* m, float* v) {
  if (c.decay == 0) {
    AdamLoop<false>(n, c, g, p, m, v);
  } else {
    AdamLoop<true>(n, c, g, p, m, v);
  }
}
void AdamF64(size_t n, const AdamCoefficients<double>& c, const double* g,
             double* p, double* m, double* v) {
  if (c.decay == 0) {
    AdamLoop<false>(n, c, g, p, m, v);
  } else {
    AdamLoop<true>(n, c, g, p, m, v);
  }
}

template <SgdKind kKind, typename T>
void SgdLoop(size_t n, const SgdCoefficients<T>& c, const T* g, T* p, T* m) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const V lr = hn::Set(d, c.lr);
  const V gradient_decay = hn::Set(d, c.gradient_decay);
  const V decay = hn::Set(d, c.decay);
  [[maybe_unused]] const V momentum = hn::Set(d, c.momentum);
  [[maybe_unused]] const V share = hn::Set(d, c.gradient_share);
  const auto update = [&](V vg, V* vp, [[maybe_unused]] V* vm) HWY_ATTR {
    V u = hn::Add(vg, hn::Mul(gradient_decay, *vp));
    if constexpr (kKind != SgdKind::kPlain) {
      *vm = hn::Add(hn::Mul(momentum, *vm), hn::Mul(share, u));
      if constexpr (kKind == SgdKind::kNesterov) {
        u = hn::Add(u, hn::Mul(momentum, *vm));
      } else {
        u = *vm;
      }
    }
    *vp = hn::Sub(hn::Sub(*vp, hn::Mul(decay, *vp)), hn::Mul(lr, u));
  };
  constexpr bool kHasMomentum = kKind != SgdKind::kPlain;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    V vp = hn::LoadU(d, p + i);
    V vm = kHasMomentum ? hn::LoadU(d, m + i) : hn::Zero(d);
    update(hn::LoadU(d, g + i), &vp, &vm);
    hn::StoreU(vp, d, p + i);
    if constexpr (kHasMomentum) hn::StoreU(vm, d, m + i);
  }
  if (i < n) {
    const size_t rest = n - i;
    V vp = LoadPartial(d, p + i, rest);
    V vm = kHasMomentum ? LoadPartial(d, m + i, rest) : hn::Zero(d);
    update(LoadPartial(d, g + i, rest), &vp, &vm);
    StorePartial(d, vp, p + i, rest);
    if constexpr (kHasMomentum) StorePartial(d, vm, m + i, rest);
  }
}

template <typename T>
void SgdOfKind(SgdKind kind, size_t n, const SgdCoefficients<T>& c, const T* g,
               T* p, T* m) {
  switch (kind) {
    case SgdKind::kPlain:
      return SgdLoop<SgdKind::kPlain>(n, c, g, p, m);
    case SgdKind::kMomentum:
      return SgdLoop<SgdKind::kMomentum>(n, c, g, p, m);
    case SgdKind::kNesterov:
      return SgdLoop<SgdKind::kNesterov>(n, c, g, p, m);
  }
}
void SgdF32(SgdKind kind, size_t n, const SgdCoefficients<float>& c,
            const float* g, float* p, float* m) {
  SgdOfKind(kind, n, c, g, p, m);
}
void SgdF64(SgdKind kind, size_t n, const SgdCoefficients<double>& c,
            const double* g, double* p, double* m) {
  SgdOfKind(kind, n, c, g, p, m);
}

// Squares of lanes of T, as doubles.
template <class DD>
HWY_INLINE hn::Vec<DD> SquareOf(DD dd, const double* x) {
  const auto v = hn::LoadU(dd, x);
  return hn::Mul(v, v);
}
template <class DD>
HWY_INLINE hn::Vec<DD> SquareOf(DD dd, const float* x) {
#if HWY_TARGET == HWY_SCALAR
  const auto v = hn::Set(dd, static_cast<double>(*x));
#else
  const hn::Rebind<float, DD> df;
  const auto v = hn::PromoteTo(dd, hn::LoadU(df, x));
#endif
  return hn::Mul(v, v);
}

template <typename T>
double SumSquares(size_t n, const T* x) {
  // At most 8 doubles a vector: 16 sums fill whole vectors of every target, two
  // or more of them.
  constexpr size_t kSums = 16;
  const hn::CappedTag<double, 8> d;
  using V = hn::Vec<decltype(d)>;
  const size_t lanes = hn::Lanes(d);
  HWY_ALIGN double sums[kSums] = {};
  size_t i = 0;
  if (lanes == 8) {
    V s0 = hn::Zero(d), s1 = s0;
    for (; i + kSums <= n; i += kSums) {
      s0 = hn::Add(s0, SquareOf(d, x + i));
      s1 = hn::Add(s1, SquareOf(d, x + i + 8));
    }
    hn::StoreU(s0, d, sums);
    hn::StoreU(s1, d, sums + lanes);
  } else if (lanes == 4) {
    V s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
    for (; i + kSums <= n; i += kSums) {
      s0 = hn::Add(s0, SquareOf(d, x + i));
      s1 = hn::Add(s1, SquareOf(d, x + i + 4));
      s2 = hn::Add(s2, SquareOf(d, x + i + 8));
      s3 = hn::Add(s3, SquareOf(d, x + i + 12));
    }
    hn::StoreU(s0, d, sums);
    hn::StoreU(s1, d, sums + lanes);
    hn::StoreU(s2, d, sums + 2 * lanes);
    hn::StoreU(s3, d, sums + 3 * lanes);
  } else {
    for (; i + kSums <= n; i += kSums) {
      for (size_t j = 0; j < kSums; j += lanes) {
        const V sum = hn::Load(d, sums + j);
        hn::Store(hn::Add(sum, SquareOf(d, x + i + j)), d, sums + j);
      }
    }
  }
  for (size_t j = 0; i < n; ++i, ++j) {
    const double v = static_cast<double>(x[i]);
    sums[j] += v * v;
  }
  for (size_t half = kSums / 2; half > 0; half /= 2) {
    for (size_t j = 0; j < half; ++j) sums[j] += sums[j + half];
  }
  return sums[0];
}
double SumSquaresF32(size_t n, const float* x) { return SumSquares(n, x); }
double SumSquaresF64(size_t n, const double* x) { return SumSquares(n, x); }

template <typename T>
void RescaleLoop(size_t n, T factor, T* x) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const V f = hn::Set(d, factor);
  MapLoop(d, n, x, x, [f](V v) HWY_ATTR { return hn::Mul(f, v); });
}
void RescaleF32(size_t n, float factor, float* x) { RescaleLoop(n, factor, x); }
void RescaleF64(size_t n, double factor, double* x) {
  RescaleLoop(n, factor, x);
}

template <typename T>
void LimitLoop(size_t n, T limit, T* x) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  MapLoop(d, n, x, x, [d, limit](V v) HWY_ATTR {
    return ClampKeepNaN(d, v, -limit, limit);
  });
}
void LimitF32(size_t n, float limit, float* x) { LimitLoop(n, limit, x); }
void LimitF64(size_t n, double limit, double* x) { LimitLoop(n, limit, x); }

template <typename T>
void AxpbyLoop(size_t n, T a, const T* x, T b, T* y) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const V va = hn::Set(d, a);
  const V vb = hn::Set(d, b);
  MapLoop2(d, n, x, y, y, [va, vb](V vx, V vy) HWY_ATTR {
    return hn::Add(hn::Mul(va, vx), hn::Mul(vb, vy));
  });
}

void AxpbyF32(size_t n, float a, const float* x, float b, float* y) {
  AxpbyLoop(n, a, x, b, y);
}
void AxpbyF64(size_t n, double a, const double* x, double b, double* y) {
  AxpbyLoop(n, a, x, b, y);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace septet {
namespace {

HWY_EXPORT(AdamF32);
HWY_EXPORT(AdamF64);
HWY_EXPORT(AxpbyF32);
HWY_EXPORT(AxpbyF64);
HWY_EXPORT(LimitF32);
HWY_EXPORT(LimitF64);
HWY_EXPORT(RescaleF32);
HWY_EXPORT(RescaleF64);
HWY_EXPORT(SgdF32);
HWY_EXPORT(SgdF64);
HWY_EXPORT(SumSquaresF32);
HWY_EXPORT(SumSquaresF64);

}  // namespace

template <typename T>
void AdamKernel(int64_t n, const AdamCoefficients<T>& c, const T* g, T* p, T* m,
                T* v) {
  const size_t count = static_cast<size_t>(n);
  if constexpr (std::is_same_v<T, float>) {
    HWY_DYNAMIC_DISPATCH(AdamF32)(count, c, g, p, m, v);
  } else {
    HWY_DYNAMIC_DISPATCH(AdamF64)(count, c, g, p, m, v);
  }
}

template <typename T>
void SgdKernel(SgdKind kind, int64_t n, const SgdCoefficients<T>& c, const T* g,
               T* p, T* m) {
  const size_t count = static_cast<size_t>(n);
  if constexpr (std::is_same_v<T, float>) {
    HWY_DYNAMIC_DISPATCH(SgdF32)(kind, count, c, g, p, m);
  } else {
    HWY_DYNAMIC_DISPATCH(SgdF64)(kind, count, c, g, p, m);
  }
}

template <typename T>
double SumSquaresKernel(int64_t n, const T* x) {
  const size_t count = static_cast<size_t>(n);
  if constexpr (std::is_same_v<T, float>) {
    return HWY_DYNAMIC_DISPATCH(SumSquaresF32)(count, x);
  } else {
    return HWY_DYNAMIC_DISPATCH(SumSquaresF64)(count, x);
  }
}

template <typename T>
void RescaleKernel(int64_t n, T factor, T* x) {
  const size_t count = static_cast<size_t>(n);
  if constexpr (std::is_same_v<T, float>) {
    HWY_DYNAMIC_DISPATCH(RescaleF32)(count, factor, x);
  } else {
    HWY_DYNAMIC_DISPATCH(RescaleF64)(count, factor, x);
  }
}

template <typename T>
void LimitKernel(int64_t n, T limit, T* x) {
  const size_t count = static_cast<size_t>(n);
  if constexpr (std::is_same_v<T, float>) {
    HWY_DYNAMIC_DISPATCH(LimitF32)(count, limit, x);
  } else {
    HWY_DYNAMIC_DISPATCH(LimitF64)(count, limit, x);
  }
}

template <typename T>
void AxpbyKernel(int64_t n, T a, const T* x, T b, T* y) {
  const size_t count = static_cast<size_t>(n);
  if constexpr (std::is_same_v<T, float>) {
    HWY_DYNAMIC_DISPATCH(AxpbyF32)(count, a, x, b, y);
  } else {
    HWY_DYNAMIC_DISPATCH(AxpbyF64)(count, a, x, b, y);
  }
}

template void AdamKernel(int64_t, const AdamCoefficients<float>&, const float*,
                         float*, float*, float*);
template void AdamKernel(int64_t, const AdamCoefficients<double>&,
                         const double*, double*, double*, double*);
template void AxpbyKernel(int64_t, float, const float*, float, float*);
template void AxpbyKernel(int64_t, double, const double*, double, double*);
template void SgdKernel(SgdKind, int64_t, const SgdCoefficients<float>&,
                        const float*, float*, float*);
template void SgdKernel(SgdKind, int64_t, const SgdCoefficients<double>&,
                        const double*, double*, double*);
template double SumSquaresKernel(int64_t, const float*);
template double SumSquaresKernel(int64_t, const double*);
template void RescaleKernel(int64_t, float, float*);
template void RescaleKernel(int64_t, double, double*);
template void LimitKernel(int64_t, float, float*);
template void LimitKernel(int64_t, double, double*);

}  // namespace septet
#endif  // HWY_ONCE
