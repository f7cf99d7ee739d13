// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "septet/core/ops/activation_kernels.h"
#include "septet/core/ops/activation_kind.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/activation_kernels_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "septet/core/ops/activation-inl.h"
#include "septet/core/ops/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace {

template <ActivationKind kKind, typename T>
void ForwardLoop(size_t n, const T* x, T* y) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  MapLoop(d, n, x, y,
          [d](V v) HWY_ATTR { return ActivationValue<kKind>(d, v); });
}

// dy null: d = phi'(x), else d = dy phi'(x).
template <ActivationKind kKind, typename T>
void BackwardLoop(size_t n, const T* x, const T* dy, T* dx) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  if (dy == nullptr) {
    MapLoop(d, n, x, dx,
            [d](V v) HWY_ATTR { return ActivationSlope<kKind>(d, v); });
  } else {
    MapLoop2(d, n, x, dy, dx, [d](V v, V w) HWY_ATTR {
      return hn::Mul(w, ActivationSlope<kKind>(d, v));
    });
  }
}

#define SEPTET_ACTIVATION_SWITCH_(function, ...)                \
  switch (kind) {                                               \
    case ActivationKind::kRelu:                                 \
      return function<ActivationKind::kRelu>(__VA_ARGS__);      \
    case ActivationKind::kLeakyRelu:                            \
      return function<ActivationKind::kLeakyRelu>(__VA_ARGS__); \
    case ActivationKind::kGelu:                                 \
      return function<ActivationKind::kGelu>(__VA_ARGS__);      \
    case ActivationKind::kGeluTanh:                             \
      return function<ActivationKind::kGeluTanh>(__VA_ARGS__);  \
    case ActivationKind::kSwish:                                \
      return function<ActivationKind::kSwish>(__VA_ARGS__);     \
    case ActivationKind::kSelu:                                 \
      return function<ActivationKind::kSelu>(__VA_ARGS__);      \
    case ActivationKind::kElu:                                  \
      return function<ActivationKind::kElu>(__VA_ARGS__);       \
    case ActivationKind::kSoftplus:                             \
      return function<ActivationKind::kSoftplus>(__VA_ARGS__);  \
    case ActivationKind::kSigmoid:                              \
      return function<ActivationKind::kSigmoid>(__VA_ARGS__);   \
    case ActivationKind::kTanh:                                 \
      return function<ActivationKind::kTanh>(__VA_ARGS__);      \
    case ActivationKind::kGaussian:                             \
      return function<ActivationKind::kGaussian>(__VA_ARGS__);  \
    case ActivationKind::kSin:                                  \
      return function<ActivationKind::kSin>(__VA_ARGS__);       \
    case ActivationKind::kIdentity:                             \
      return function<ActivationKind::kIdentity>(__VA_ARGS__);  \
  }

void ForwardF32(ActivationKind kind, size_t n, const float* x, float* y) {
  SEPTET_ACTIVATION_SWITCH_(ForwardLoop, n, x, y)
}
void ForwardF64(ActivationKind kind, size_t n, const double* x, double* y) {
  SEPTET_ACTIVATION_SWITCH_(ForwardLoop, n, x, y)
}
void BackwardF32(ActivationKind kind, size_t n, const float* x, const float* dy,
                 float* dx) {
  SEPTET_ACTIVATION_SWITCH_(BackwardLoop, n, x, dy, dx)
}
void BackwardF64(ActivationKind kind, size_t n, const double* x,
                 const double* dy, double* dx) {
  SEPTET_ACTIVATION_SWITCH_(BackwardLoop, n, x, dy, dx)
}

#undef SEPTET_ACTIVATION_SWITCH_

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

void ActivationForward(ActivationKind kind, int64_t n, const float* x,
                       float* y) {
  HWY_DYNAMIC_DISPATCH(ForwardF32)(kind, static_cast<size_t>(n), x, y);
}
void ActivationForward(ActivationKind kind, int64_t n, const double* x,
                       double* y) {
  HWY_DYNAMIC_DISPATCH(ForwardF64)(kind, static_cast<size_t>(n), x, y);
}

void ActivationBackward(ActivationKind kind, int64_t n, const float* x,
                        const float* dy, float* dx) {
  if (n == 0) return;
  HWY_DYNAMIC_DISPATCH(BackwardF32)(kind, static_cast<size_t>(n), x, dy, dx);
}
void ActivationBackward(ActivationKind kind, int64_t n, const double* x,
                        const double* dy, double* dx) {
  if (n == 0) return;
  HWY_DYNAMIC_DISPATCH(BackwardF64)(kind, static_cast<size_t>(n), x, dy, dx);
}

void ActivationDerivative(ActivationKind kind, int64_t n, const float* x,
                          float* d) {
  HWY_DYNAMIC_DISPATCH(BackwardF32)
  (kind, static_cast<size_t>(n), x, nullptr, d);
}
void ActivationDerivative(ActivationKind kind, int64_t n, const double* x,
                          double* d) {
  HWY_DYNAMIC_DISPATCH(BackwardF64)
  (kind, static_cast<size_t>(n), x, nullptr, d);
}

}  // namespace septet
#endif  // HWY_ONCE
