// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "septet/core/ops/activation_kind.h"
#include "septet/core/ops/gated_activation_kernels.h"
#include "septet/core/ops/store_mode.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/gated_activation_kernels_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "septet/core/ops/activation-inl.h"
#include "septet/core/ops/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace {

// phi(x) and phi'(x). For swish with one exponential: both are functions of the
// sigmoid.
template <ActivationKind kKind, class D, class V>
HWY_INLINE void ValueAndSlope(D d, V x, V* value, V* slope) {
  if constexpr (kKind == ActivationKind::kSwish) {
    using T = hn::TFromD<D>;
    V sigmoid, complement;
    SigmoidPair(d, x, &sigmoid, &complement);
    *value = hn::Mul(x, sigmoid);
    // As in ActivationSlope.
    const V limit = hn::Set(d, T{IsFloat32<D>() ? 110 : 800});
    const V bounded = hn::IfThenElse(hn::Gt(hn::Abs(x), limit), hn::Zero(d), x);
    *slope =
        hn::Mul(sigmoid, hn::MulAdd(bounded, complement, hn::Set(d, T{1})));
  } else {
    *value = ActivationValue<kKind>(d, x);
    *slope = ActivationSlope<kKind>(d, x);
  }
}

template <ActivationKind kKind, typename T>
void ForwardLoop(size_t n, const T* x, const T* gate, T* y, StoreMode mode) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  MapLoop2(
      d, n, x, gate, y,
      [d](V v, V g)
          SEPTET_LAMBDA { return hn::Mul(ActivationValue<kKind>(d, v), g); },
      mode);
  EndStores(mode);
}

// y null: not wanted.
template <ActivationKind kKind, typename T>
void BackwardLoop(size_t n, const T* x, const T* gate, const T* dy, T* dx,
                  T* dgate, T* y, StoreMode mode) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const size_t lanes = hn::Lanes(d);
  // Whole vectors of both outputs past the caches, where they lie alike.
  const size_t bytes = lanes * sizeof(T);
  const bool stream = mode == StoreMode::kStreaming && bytes % 64 == 0 &&
                      reinterpret_cast<uintptr_t>(dx) % bytes == 0 &&
                      reinterpret_cast<uintptr_t>(dgate) % bytes == 0;
  for (size_t i = 0; i < n; i += lanes) {
    const size_t count = HWY_MIN(lanes, n - i);
    const V cotangent = LoadSome(d, dy + i, count);
    V value, slope;
    ValueAndSlope<kKind>(d, LoadSome(d, x + i, count), &value, &slope);
    const V factor = LoadSome(d, gate + i, count);
    const V of_x = hn::Mul(hn::Mul(cotangent, factor), slope);
    const V of_gate = hn::Mul(cotangent, value);
    if (y != nullptr) StoreSome(d, hn::Mul(value, factor), y + i, count);
    if (stream && count == lanes) {
      hn::Stream(of_x, d, dx + i);
      hn::Stream(of_gate, d, dgate + i);
    } else {
      StoreSome(d, of_x, dx + i, count);
      StoreSome(d, of_gate, dgate + i, count);
    }
  }
  EndStores(mode);
}

#define SEPTET_GATED_SWITCH_(function, ...)                     \
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

void ForwardF32(ActivationKind kind, size_t n, const float* x,
                const float* gate, float* y, StoreMode mode) {
  SEPTET_GATED_SWITCH_(ForwardLoop, n, x, gate, y, mode)
}
void ForwardF64(ActivationKind kind, size_t n, const double* x,
                const double* gate, double* y, StoreMode mode) {
  SEPTET_GATED_SWITCH_(ForwardLoop, n, x, gate, y, mode)
}
void BackwardF32(ActivationKind kind, size_t n, const float* x,
                 const float* gate, const float* dy, float* dx, float* dgate,
                 float* y, StoreMode mode) {
  SEPTET_GATED_SWITCH_(BackwardLoop, n, x, gate, dy, dx, dgate, y, mode)
}
void BackwardF64(ActivationKind kind, size_t n, const double* x,
                 const double* gate, const double* dy, double* dx,
                 double* dgate, double* y, StoreMode mode) {
  SEPTET_GATED_SWITCH_(BackwardLoop, n, x, gate, dy, dx, dgate, y, mode)
}

#undef SEPTET_GATED_SWITCH_

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

void GatedActivationForward(ActivationKind kind, int64_t n, const float* x,
                            const float* gate, float* y, StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(ForwardF32)
  (kind, static_cast<size_t>(n), x, gate, y, mode);
}
void GatedActivationForward(ActivationKind kind, int64_t n, const double* x,
                            const double* gate, double* y, StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(ForwardF64)
  (kind, static_cast<size_t>(n), x, gate, y, mode);
}

void GatedActivationBackward(ActivationKind kind, int64_t n, const float* x,
                             const float* gate, const float* dy, float* dx,
                             float* dgate, StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(BackwardF32)
  (kind, static_cast<size_t>(n), x, gate, dy, dx, dgate, nullptr, mode);
}
void GatedActivationBackward(ActivationKind kind, int64_t n, const double* x,
                             const double* gate, const double* dy, double* dx,
                             double* dgate, StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(BackwardF64)
  (kind, static_cast<size_t>(n), x, gate, dy, dx, dgate, nullptr, mode);
}

void GatedActivationBackwardAndValue(ActivationKind kind, int64_t n,
                                     const float* x, const float* gate,
                                     const float* dy, float* dx, float* dgate,
                                     float* y) {
  HWY_DYNAMIC_DISPATCH(BackwardF32)
  (kind, static_cast<size_t>(n), x, gate, dy, dx, dgate, y, StoreMode::kCached);
}
void GatedActivationBackwardAndValue(ActivationKind kind, int64_t n,
                                     const double* x, const double* gate,
                                     const double* dy, double* dx,
                                     double* dgate, double* y) {
  HWY_DYNAMIC_DISPATCH(BackwardF64)
  (kind, static_cast<size_t>(n), x, gate, dy, dx, dgate, y, StoreMode::kCached);
}

}  // namespace septet
#endif  // HWY_ONCE
