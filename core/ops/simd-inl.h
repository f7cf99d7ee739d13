// SPDX-License-Identifier: Apache-2.0
// Loads and stores of a part of a vector, and the clamp that keeps NaN, for
// every Highway target. Include it after hwy/foreach_target.h, as all -inl.h.
//
// A tail of fewer than Lanes(d) elements is computed by the same vector code as
// the rest, so that the bits of an element do not depend on where it stands.
#if defined(SEPTET_CORE_OPS_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SEPTET_CORE_OPS_SIMD_INL_H_
#undef SEPTET_CORE_OPS_SIMD_INL_H_
#else
#define SEPTET_CORE_OPS_SIMD_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "septet/core/blas/partial_vector-inl.h"
#include "septet/core/ops/store_mode.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// x limited to [low, high]; NaN stays NaN (hn::Clamp leaves that open).
template <class D>
HWY_INLINE hn::Vec<D> ClampKeepNaN(D d, hn::Vec<D> x, hn::TFromD<D> low,
                                   hn::TFromD<D> high) {
  const auto vlow = hn::Set(d, low);
  const auto vhigh = hn::Set(d, high);
#if HWY_ARCH_X86 && HWY_TARGET != HWY_EMU128 && HWY_TARGET != HWY_SCALAR
  // minps and maxps return their second operand where either is NaN.
  return hn::Max(vlow, hn::Min(vhigh, x));
#else
  return hn::IfThenElse(hn::Lt(x, vlow), vlow,
                        hn::IfThenElse(hn::Gt(x, vhigh), vhigh, x));
#endif
}

// x, or `low` where x is below; NaN stays NaN.
template <class D>
HWY_INLINE hn::Vec<D> RaiseKeepNaN(D d, hn::Vec<D> x, hn::TFromD<D> low) {
  const auto vlow = hn::Set(d, low);
#if HWY_ARCH_X86 && HWY_TARGET != HWY_EMU128 && HWY_TARGET != HWY_SCALAR
  return hn::Max(vlow, x);  // as above
#else
  return hn::IfThenElse(hn::Lt(x, vlow), vlow, x);
#endif
}

// p[0, count) and anything beyond; count <= Lanes(d).
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE hn::Vec<D> LoadSome(D d, const T* HWY_RESTRICT p, size_t count) {
  return count == hn::Lanes(d) ? hn::LoadU(d, p) : LoadPartial(d, p, count);
}
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void StoreSome(D d, hn::Vec<D> v, T* HWY_RESTRICT p, size_t count) {
  if (count == hn::Lanes(d)) {
    hn::StoreU(v, d, p);
  } else {
    StorePartial(d, v, p, count);
  }
}

// After the parameters of a lambda that is the body of a loop: code for the
// vector target, always inlined. Left to itself, GCC calls large ones, and a
// call for each vector costs several times what the body does.
#undef SEPTET_LAMBDA
#define SEPTET_LAMBDA HWY_ATTR __attribute__((always_inline))

// y[i, i + count) = op(i, count) for the whole of [0, n), where op gives a
// vector of which the first `count` lanes are wanted. y may be what op reads.
// kStreaming writes whole cache lines past the caches, and what is left of a
// line at either end as usual; call EndStores() before anyone else reads y.
template <class D, typename T, class Op>
HWY_INLINE void StoreLoop(D d, size_t n, T* y, StoreMode mode, const Op& op) {
  const size_t lanes = hn::Lanes(d);
  // A line, or a vector where that is longer (both are powers of two).
  const size_t unit = HWY_MAX(lanes, 64 / sizeof(T));
  size_t end = n;  // of what is stored as usual
  if (mode == StoreMode::kStreaming) {
    const size_t past = reinterpret_cast<uintptr_t>(y) / sizeof(T) % unit;
    end = HWY_MIN(n, (unit - past) % unit);
  }
  for (size_t i = 0;;) {
    for (; i + lanes <= end; i += lanes) hn::StoreU(op(i, lanes), d, y + i);
    if (i < end) {
      StorePartial(d, op(i, end - i), y + i, end - i);
      i = end;
    }
    if (end == n) return;
    for (; i + unit <= n; i += unit) {
      for (size_t j = i; j < i + unit; j += lanes) {
        hn::Stream(op(j, lanes), d, y + j);
      }
    }
    end = n;
  }
}

// Streaming stores are ordered after others only from here on.
HWY_INLINE void EndStores(StoreMode mode) {
  if (mode == StoreMode::kStreaming) hwy::FlushStream();
}

// y[i] = op(x[i]), op a function of one vector. y may be x. For kStreaming see
// StoreLoop.
template <class D, typename T, class Op>
HWY_INLINE void MapLoop(D d, size_t n, const T* x, T* y, const Op& op,
                        StoreMode mode = StoreMode::kCached) {
  StoreLoop(d, n, y, mode, [&](size_t i, size_t count) SEPTET_LAMBDA {
    return op(LoadSome(d, x + i, count));
  });
}

// out[i] = op(a[i], b[i]). out may be a or b.
template <class D, typename T, class Op>
HWY_INLINE void MapLoop2(D d, size_t n, const T* a, const T* b, T* out,
                         const Op& op, StoreMode mode = StoreMode::kCached) {
  StoreLoop(d, n, out, mode, [&](size_t i, size_t count) SEPTET_LAMBDA {
    return op(LoadSome(d, a + i, count), LoadSome(d, b + i, count));
  });
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#endif  // SEPTET_CORE_OPS_SIMD_INL_H_
