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

template <typename T>
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
  // Mul and Add, not MulAdd: see the header.
  const auto update = [&](V vg, V* vp, V* vm, V* vv) HWY_ATTR {
    *vm = hn::Add(hn::Mul(beta1, *vm), hn::Mul(one_minus_beta1, vg));
    *vv =
        hn::Add(hn::Mul(beta2, *vv), hn::Mul(one_minus_beta2, hn::Mul(vg, vg)));
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
  AdamLoop(n, c, g, p, m, v);
}
void AdamF64(size_t n, const AdamCoefficients<double>& c, const double* g,
             double* p, double* m, double* v) {
  AdamLoop(n, c, g, p, m, v);
}

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

}  // namespace septet
#endif  // HWY_ONCE
