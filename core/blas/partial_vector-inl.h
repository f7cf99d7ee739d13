// SPDX-License-Identifier: Apache-2.0
// Loads and stores of a part of a vector, for every Highway target. Include it
// after hwy/foreach_target.h, as all -inl.h. Part of core/ops/simd-inl.h, which
// what is below core/ops cannot include.
//
// A tail of fewer than Lanes(d) elements is computed by the same vector code as
// the rest, so that the bits of an element do not depend on where it stands.
#if defined(SEPTET_CORE_BLAS_PARTIAL_VECTOR_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef SEPTET_CORE_BLAS_PARTIAL_VECTOR_INL_H_
#undef SEPTET_CORE_BLAS_PARTIAL_VECTOR_INL_H_
#else
#define SEPTET_CORE_BLAS_PARTIAL_VECTOR_INL_H_
#endif

#include <cstddef>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Masked-out lanes of 4 and 8 bytes are not accessed: AVX2 by vmaskmov (its
// HWY_MEM_OPS_MIGHT_FAULT is about narrower lanes), AVX-512 by its masks.
#undef SEPTET_SIMD_MASKED_MEMORY
#if !HWY_MEM_OPS_MIGHT_FAULT || HWY_TARGET == HWY_AVX2
#define SEPTET_SIMD_MASKED_MEMORY 1
#else
#define SEPTET_SIMD_MASKED_MEMORY 0
#endif

// p[0, count) in the first lanes, zero in the others. count <= Lanes(d).
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE hn::Vec<D> LoadPartial(D d, const T* HWY_RESTRICT p, size_t count) {
#if SEPTET_SIMD_MASKED_MEMORY
  return hn::MaskedLoad(hn::FirstN(d, count), d, p);
#else
  HWY_ALIGN T lanes[hn::MaxLanes(d)] = {};
  for (size_t i = 0; i < count; ++i) lanes[i] = p[i];
  return hn::Load(d, lanes);
#endif
}

// The first `count` lanes of v to p[0, count). count <= Lanes(d).
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void StorePartial(D d, hn::Vec<D> v, T* HWY_RESTRICT p,
                             size_t count) {
#if SEPTET_SIMD_MASKED_MEMORY
  hn::BlendedStore(v, hn::FirstN(d, count), d, p);
#else
  HWY_ALIGN T lanes[hn::MaxLanes(d)];
  hn::Store(v, d, lanes);
  for (size_t i = 0; i < count; ++i) p[i] = lanes[i];
#endif
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#endif  // SEPTET_CORE_BLAS_PARTIAL_VECTOR_INL_H_
