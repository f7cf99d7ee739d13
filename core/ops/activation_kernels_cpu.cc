// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "septet/core/ops/activation_kernels.h"
#include "septet/core/ops/activation_kind.h"
#include "septet/core/ops/store_mode.h"

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
void ForwardLoop(size_t n, const T* x, T* y, StoreMode mode) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  MapLoop(
      d, n, x, y,
      [d](V v) SEPTET_LAMBDA { return ActivationValue<kKind>(d, v); }, mode);
  EndStores(mode);
}

// dy null: d = phi'(x), else d = dy phi'(x).
template <ActivationKind kKind, typename T>
void BackwardLoop(size_t n, const T* x, const T* dy, T* dx, StoreMode mode) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  if (dy == nullptr) {
    MapLoop(
        d, n, x, dx,
        [d](V v) SEPTET_LAMBDA { return ActivationSlope<kKind>(d, v); }, mode);
  } else {
    MapLoop2(
        d, n, x, dy, dx,
        [d](V v, V w)
            SEPTET_LAMBDA { return hn::Mul(w, ActivationSlope<kKind>(d, v)); },
        mode);
  }
  EndStores(mode);
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

void ForwardF32(ActivationKind kind, size_t n, const float* x, float* y,
                StoreMode mode) {
  SEPTET_ACTIVATION_SWITCH_(ForwardLoop, n, x, y, mode)
}
void ForwardF64(ActivationKind kind, size_t n, const double* x, double* y,
                StoreMode mode) {
  SEPTET_ACTIVATION_SWITCH_(ForwardLoop, n, x, y, mode)
}
void BackwardF32(ActivationKind kind, size_t n, const float* x, const float* dy,
                 float* dx, StoreMode mode) {
  SEPTET_ACTIVATION_SWITCH_(BackwardLoop, n, x, dy, dx, mode)
}
void BackwardF64(ActivationKind kind, size_t n, const double* x,
                 const double* dy, double* dx, StoreMode mode) {
  SEPTET_ACTIVATION_SWITCH_(BackwardLoop, n, x, dy, dx, mode)
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

void ActivationForward(ActivationKind kind, int64_t n, const float* x, float* y,
                       StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(ForwardF32)(kind, static_cast<size_t>(n), x, y, mode);
}
void ActivationForward(ActivationKind kind, int64_t n, const double* x,
                       double* y, StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(ForwardF64)(kind, static_cast<size_t>(n), x, y, mode);
}

void ActivationBackward(ActivationKind kind, int64_t n, const float* x,
                        const float* dy, float* dx, StoreMode mode) {
  if (n == 0) return;
  HWY_DYNAMIC_DISPATCH(BackwardF32)
  (kind, static_cast<size_t>(n), x, dy, dx, mode);
}
void ActivationBackward(ActivationKind kind, int64_t n, const double* x,
                        const double* dy, double* dx, StoreMode mode) {
  if (n == 0) return;
  HWY_DYNAMIC_DISPATCH(BackwardF64)
  (kind, static_cast<size_t>(n), x, dy, dx, mode);
}

void ActivationDerivative(ActivationKind kind, int64_t n, const float* x,
                          float* d) {
  HWY_DYNAMIC_DISPATCH(BackwardF32)
  (kind, static_cast<size_t>(n), x, nullptr, d, StoreMode::kCached);
}
void ActivationDerivative(ActivationKind kind, int64_t n, const double* x,
                          double* d) {
  HWY_DYNAMIC_DISPATCH(BackwardF64)
  (kind, static_cast<size_t>(n), x, nullptr, d, StoreMode::kCached);
}

}  // namespace septet
#endif  // HWY_ONCE
