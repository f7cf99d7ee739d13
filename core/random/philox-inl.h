// SPDX-License-Identifier: Apache-2.0
// Philox blocks of several elements at once, for every Highway target that has
// 64-bit lanes. Include it after hwy/foreach_target.h, as all -inl.h.
#if defined(SEPTET_CORE_RANDOM_PHILOX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SEPTET_CORE_RANDOM_PHILOX_INL_H_
#undef SEPTET_CORE_RANDOM_PHILOX_INL_H_
#else
#define SEPTET_CORE_RANDOM_PHILOX_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"
#include "septet/core/random/philox.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR

// The words of the elements whose numbers are the 64-bit lanes of w0 on entry.
// On return, the words are the lower halves of the lanes; the upper halves are
// arbitrary. d: a tag of uint64_t.
template <class D, class V>
HWY_INLINE void PhiloxLanes(D d, PhiloxKey key, V& w0, V& w1, V& w2, V& w3) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::Repartition<uint32_t, D> d32;
  // The even 32-bit lanes of a times `factor`: whatever is in the upper halves
  // of a's 64-bit lanes does not count.
  const auto multiply = [d32](V a, uint32_t factor) HWY_ATTR {
    return hn::MulEven(hn::BitCast(d32, a), hn::Set(d32, factor));
  };
  w1 = hn::ShiftRight<32>(w0);
  w2 = hn::Zero(d);
  w3 = hn::Zero(d);
#pragma GCC unroll 10
  for (uint32_t round = 0; round < kPhiloxRounds; ++round) {
    const V key0 =
        hn::Set(d, static_cast<uint32_t>(key[0] + round * kPhiloxWeyl0));
    const V key1 =
        hn::Set(d, static_cast<uint32_t>(key[1] + round * kPhiloxWeyl1));
    const V p0 = multiply(w0, kPhiloxMultiplier0);
    const V p1 = multiply(w2, kPhiloxMultiplier1);
    w0 = hn::Xor(hn::ShiftRight<32>(p1), hn::Xor(w1, key0));
    w1 = p1;
    w2 = hn::Xor(hn::ShiftRight<32>(p0), hn::Xor(w3, key1));
    w3 = p0;
  }
}

#endif  // HWY_TARGET != HWY_SCALAR

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#endif  // SEPTET_CORE_RANDOM_PHILOX_INL_H_
