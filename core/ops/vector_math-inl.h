// SPDX-License-Identifier: Apache-2.0
// Elementary functions on Highway vectors of float and double, for every
// target: VecExp, VecExpm1, VecLog, VecLog1p, VecSin, VecCos, VecTanh,
// VecSigmoid, VecErf, VecErfc, and parts of them that other kernels share.
//
// The bounds of their errors are in elementwise_kernels.h. All keep NaN, signed
// zeros, infinities and gradual underflow as the functions of <cmath> do;
// hwy/contrib/math does not (its Exp maps NaN to 0, its Log maps 0 and infinity
// to finite numbers).
//
// Methods, all from the literature; the coefficients are minimax fits made for
// this file (Remez exchange in 113-bit arithmetic, with the error named beside
// each):
//   exp, expm1   x = n ln 2 + r, polynomial in r, scaled by powers of two in
//                two steps (W. J. Cody, W. Waite: Software Manual for the
//                Elementary Functions, 1980).
//   log, log1p   x = 2^k z, s = f / (2 + f), f = z - 1, odd series in s (P. T.
//                P. Tang, ACM TOMS 16, 1990; same form as in FDLIBM).
//   sin, cos     three-part reduction by pi/2 (Cody and Waite), in float64 also
//                for float32; arguments beyond 1e5 by <cmath>, lane by lane.
//   erf, erfc    erfc(x) = exp(-x^2) R(x), R rational for the scaled function
//                erfcx on the whole half line (the split of W. J. Cody, Math.
//                Comp. 23, 1969, in one interval), x^2 as a sum of two numbers.
#if defined(SEPTET_CORE_OPS_VECTOR_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SEPTET_CORE_OPS_VECTOR_MATH_INL_H_
#undef SEPTET_CORE_OPS_VECTOR_MATH_INL_H_
#else
#define SEPTET_CORE_OPS_VECTOR_MATH_INL_H_
#endif

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "hwy/highway.h"
#include "septet/core/ops/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class D>
constexpr bool IsFloat32() {
  return std::is_same<hn::TFromD<D>, float>::value;
}

// c0 + c1 x + c2 x^2 + ...
template <class D, class V, typename T>
HWY_INLINE V Polynomial(D d, V /*x*/, T c0) {
  return hn::Set(d, c0);
}
template <class D, class V, typename T, typename... Rest>
HWY_INLINE V Polynomial(D d, V x, T c0, Rest... rest) {
  return hn::MulAdd(Polynomial(d, x, rest...), x, hn::Set(d, c0));
}

// ---------------------------------------------------------------- exp, expm1

// Floating-point constants of the reduction. Adding `magic` to a number of
// modest size rounds it to an integer, and leaves that integer, plus the bias
// of the exponent, in the low bits of the sum.
template <typename T>
struct ExpConstants;
template <>
struct ExpConstants<float> {
  static constexpr float kMagic = 12582912.0f + 127.0f;
  static constexpr int kMantissaBits = 23;
  static constexpr int kBias = 127;
  static constexpr float kLog2E = 1.44269504088896341f;
  // 15 bits, so that its product with an exponent is exact without FMA.
  static constexpr float kLn2Hi = 0.693145751953125f;
  static constexpr float kLn2Lo = 1.428606765330187e-06f;
  // exp is 0 below and infinite above (in the clamped range, n stays in what
  // two factors can scale).
  static constexpr float kLow = -104.5f;
  static constexpr float kHigh = 89.5f;
};
template <>
struct ExpConstants<double> {
  static constexpr double kMagic = 6755399441055744.0 + 1023.0;
  static constexpr int kMantissaBits = 52;
  static constexpr int kBias = 1023;
  static constexpr double kLog2E = 1.44269504088896340736;
  // 42 bits.
  static constexpr double kLn2Hi = 0.6931471805598903;
  static constexpr double kLn2Lo = 5.497923018708371e-14;
  static constexpr double kLow = -746.5;
  static constexpr double kHigh = 710.5;
};

// exp(x) = (1 + p) 2^n with p = expm1(r), |r| <= 0.347. `biased` holds the
// integer n + bias in its low bits; n the same as a number.
template <class V>
struct ExpParts {
  V p;
  V n;
  V biased;
};

// Parts of exp(hi + lo), where sum is hi + lo rounded, and n * kLn2Hi - hi is
// nearly exact. Needs |sum| below 2^14, or NaN.
// kLow false: lo is 0, and left out.
template <bool kLow = true, class D, class V>
HWY_INLINE ExpParts<V> ExpReduce(D d, V sum, V hi, V lo) {
  using T = hn::TFromD<D>;
  using C = ExpConstants<T>;
  const V magic = hn::Set(d, C::kMagic);
  ExpParts<V> parts;
  parts.biased = hn::MulAdd(sum, hn::Set(d, C::kLog2E), magic);
  parts.n = hn::Sub(parts.biased, magic);
  V r = hn::NegMulAdd(parts.n, hn::Set(d, C::kLn2Hi), hi);
  r = hn::NegMulAdd(parts.n, hn::Set(d, C::kLn2Lo), r);
  if constexpr (kLow) r = hn::Add(r, lo);
  V q;
  if constexpr (IsFloat32<D>()) {
    // (e^r - 1 - r) / r^2, error of r^2 q relative to r: 2^-26.
    q = Polynomial(d, r, 0.5f, 0.16666542f, 0.041666612f, 0.00836676918f,
                   0.00139185647f);
  } else {
    // As above: 2^-55.
    q = Polynomial(d, r, 0.50000000000000044, 0.16666666666666685,
                   0.041666666666581878, 0.0083333333333156078,
                   0.0013888888930237864, 0.00019841269901018599,
                   2.4801506604477151e-05, 2.7557229606287543e-06,
                   2.7625582068648859e-07, 2.5113989593624534e-08);
  }
  parts.p = hn::MulAdd(hn::Mul(r, r), q, r);
  return parts;
}
template <class D, class V>
HWY_INLINE ExpParts<V> ExpReduce(D d, V x) {
  return ExpReduce<false>(d, x, x, hn::Zero(d));
}

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
// y 2^n, rounded once: the instruction for it.
template <size_t kLanes>
HWY_INLINE hn::Vec128<float, kLanes> TimesPowerOfTwo(
    hn::Vec128<float, kLanes> y, hn::Vec128<float, kLanes> n) {
  return hn::Vec128<float, kLanes>{_mm_scalef_ps(y.raw, n.raw)};
}
template <size_t kLanes>
HWY_INLINE hn::Vec128<double, kLanes> TimesPowerOfTwo(
    hn::Vec128<double, kLanes> y, hn::Vec128<double, kLanes> n) {
  return hn::Vec128<double, kLanes>{_mm_scalef_pd(y.raw, n.raw)};
}
HWY_INLINE hn::Vec256<float> TimesPowerOfTwo(hn::Vec256<float> y,
                                             hn::Vec256<float> n) {
  return hn::Vec256<float>{_mm256_scalef_ps(y.raw, n.raw)};
}
HWY_INLINE hn::Vec256<double> TimesPowerOfTwo(hn::Vec256<double> y,
                                              hn::Vec256<double> n) {
  return hn::Vec256<double>{_mm256_scalef_pd(y.raw, n.raw)};
}
HWY_INLINE hn::Vec512<float> TimesPowerOfTwo(hn::Vec512<float> y,
                                             hn::Vec512<float> n) {
  return hn::Vec512<float>{_mm512_scalef_ps(y.raw, n.raw)};
}
HWY_INLINE hn::Vec512<double> TimesPowerOfTwo(hn::Vec512<double> y,
                                              hn::Vec512<double> n) {
  return hn::Vec512<double>{_mm512_scalef_pd(y.raw, n.raw)};
}
#endif

// y 2^n for any n that ExpReduce gives: in two factors, so that overflow and
// gradual underflow come out of the last multiplication. With m = n + bias in
// the low bits, the exponent fields are m / 2 + (bias + 1) / 2 and what is
// left; in integers, because the multiplier is what limits the callers.
template <class D, class V>
HWY_INLINE V ExpScale(D d, V y, const ExpParts<V>& parts) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  (void)d;
  return TimesPowerOfTwo(y, parts.n);
#else
  using C = ExpConstants<hn::TFromD<D>>;
  const hn::RebindToUnsigned<D> du;
  using TU = hn::TFromD<decltype(du)>;
  const auto bits = hn::BitCast(du, parts.biased);
  const auto field1 = hn::Add(hn::ShiftRight<1>(bits),
                              hn::Set(du, static_cast<TU>(C::kBias / 2 + 1)));
  const auto field2 =
      hn::Add(hn::Sub(bits, field1), hn::Set(du, static_cast<TU>(C::kBias)));
  const V scale1 = hn::BitCast(d, hn::ShiftLeft<C::kMantissaBits>(field1));
  const V scale2 = hn::BitCast(d, hn::ShiftLeft<C::kMantissaBits>(field2));
  return hn::Mul(hn::Mul(y, scale1), scale2);
#endif
}

// 2^n, for n in the range of normal numbers.
template <class D, class V>
HWY_INLINE V ExpPowerOfTwo(D d, const ExpParts<V>& parts) {
  const hn::RebindToSigned<D> di;
  return hn::BitCast(d,
                     hn::ShiftLeft<ExpConstants<hn::TFromD<D>>::kMantissaBits>(
                         hn::BitCast(di, parts.biased)));
}

template <class D, class V>
HWY_INLINE V VecExp(D d, V x) {
  using T = hn::TFromD<D>;
  using C = ExpConstants<T>;
  x = ClampKeepNaN(d, x, C::kLow, C::kHigh);
  const auto parts = ExpReduce(d, x);
  return ExpScale(d, hn::Add(hn::Set(d, T{1}), parts.p), parts);
}

// exp(x) for x <= 0.
template <class D, class V>
HWY_INLINE V VecExpNonPositive(D d, V x) {
  using T = hn::TFromD<D>;
  x = RaiseKeepNaN(d, x, ExpConstants<T>::kLow);
  const auto parts = ExpReduce(d, x);
  return ExpScale(d, hn::Add(hn::Set(d, T{1}), parts.p), parts);
}

// expm1(x) for |x| below 80 (float) or 700 (double); the sign of zero is lost,
// and subnormal x may be.
template <class D, class V>
HWY_INLINE V Expm1Bounded(D d, V x) {
  using T = hn::TFromD<D>;
  const auto parts = ExpReduce(d, x);
  const V scale = ExpPowerOfTwo(d, parts);
  return hn::MulAdd(parts.p, scale, hn::Sub(scale, hn::Set(d, T{1})));
}

// expm1(x) for x <= 0, or NaN.
template <class D, class V>
HWY_INLINE V Expm1NonPositive(D d, V x) {
  using T = hn::TFromD<D>;
  // Below, the result rounds to -1.
  const V low = hn::Set(d, T{IsFloat32<D>() ? -20 : -40});
  return Expm1Bounded(d, hn::IfThenElse(hn::Lt(x, low), low, x));
}

template <class D, class V>
HWY_INLINE V VecExpm1(D d, V x) {
  using T = hn::TFromD<D>;
  using C = ExpConstants<T>;
  const hn::RebindToSigned<D> di;
  // Above the upper limit the result overflows, with n at its largest.
  const V clamped = ClampKeepNaN(d, x, T{IsFloat32<D>() ? -20 : -40},
                                 static_cast<T>(IsFloat32<D>() ? 88.9 : 709.9));
  const auto parts = ExpReduce(d, clamped);
  // 2^(n-1), because 2^n may overflow where the result does not.
  const V scale =
      hn::BitCast(d, hn::ShiftLeft<C::kMantissaBits>(
                         hn::Sub(hn::BitCast(di, parts.biased),
                                 hn::Set(di, hn::TFromD<decltype(di)>{1}))));
  const V half = hn::MulAdd(parts.p, scale, hn::Sub(scale, hn::Set(d, T{0.5})));
  const V y = hn::Add(half, half);
  // Small arguments as they are: halving a subnormal would round, and zero
  // keeps its sign.
  const V tiny = hn::Set(d, std::numeric_limits<T>::epsilon() / 4);
  return hn::IfThenElse(hn::Lt(hn::Abs(x), tiny), x, y);
}

// ---------------------------------------------------------------- log, log1p

template <typename T>
struct LogConstants;
template <>
struct LogConstants<float> {
  static constexpr int kMantissaBits = 23;
  static constexpr uint32_t kSqrtHalfBits = 0x3F3504F3u;
  static constexpr uint32_t kExponentMask = 0xFF800000u;
  // 128 in the exponent field keeps the exponent's integer positive.
  static constexpr uint32_t kOffsetBits = 0x40000000u;
  // A small integer in the mantissa of 2^23, and what to take off then.
  static constexpr uint32_t kIntegerBits = 0x4B000000u;
  static constexpr float kIntegerOffset = 8388608.0f + 128.0f;
  static constexpr float kSubnormalScale = 33554432.0f;  // 2^25
  static constexpr float kSubnormalExponent = 25.0f;
};
template <>
struct LogConstants<double> {
  static constexpr int kMantissaBits = 52;
  static constexpr uint64_t kSqrtHalfBits = 0x3FE6A09E667F3BCDull;
  static constexpr uint64_t kExponentMask = 0xFFF0000000000000ull;
  static constexpr uint64_t kOffsetBits = 0x4000000000000000ull;  // 1024
  static constexpr uint64_t kIntegerBits = 0x4330000000000000ull;
  static constexpr double kIntegerOffset = 4503599627370496.0 + 1024.0;
  static constexpr double kSubnormalScale = 18014398509481984.0;  // 2^54
  static constexpr double kSubnormalExponent = 54.0;
};

// x = z 2^k with z in [sqrt(1/2), sqrt(2)), for normal positive x.
// `exponent_bits` is k in the place of the exponent.
template <class V, class VU>
struct LogParts {
  V k;
  V z;
  VU exponent_bits;
};
template <class D, class V>
HWY_INLINE auto LogReduce(D d, V x) {
  using T = hn::TFromD<D>;
  using C = LogConstants<T>;
  const hn::RebindToUnsigned<D> du;
  using VU = hn::Vec<decltype(du)>;
  const VU bits = hn::BitCast(du, x);
  const VU shifted =
      hn::Add(bits, hn::Set(du, C::kOffsetBits - C::kSqrtHalfBits));
  const VU exponent_bits =
      hn::Sub(hn::And(shifted, hn::Set(du, C::kExponentMask)),
              hn::Set(du, C::kOffsetBits));
  LogParts<V, VU> parts;
  parts.exponent_bits = exponent_bits;
  parts.z = hn::BitCast(d, hn::Sub(bits, exponent_bits));
  parts.k =
      hn::Sub(hn::BitCast(d, hn::Or(hn::ShiftRight<C::kMantissaBits>(shifted),
                                    hn::Set(du, C::kIntegerBits))),
              hn::Set(d, C::kIntegerOffset));
  return parts;
}

// k ln 2 + log(1 + f), 1 + f in about [sqrt(1/2), sqrt(2)].
template <class D, class V>
HWY_INLINE V LogOfParts(D d, V k, V f) {
  using T = hn::TFromD<D>;
  using C = ExpConstants<T>;
  const V s = hn::Div(f, hn::Add(f, hn::Set(d, T{2})));
  const V s2 = hn::Mul(s, s);
  V l;
  if constexpr (IsFloat32<D>()) {
    // (log((1+s)/(1-s)) - 2s) / s^3 in s^2, error 2^-29 relative to s.
    l = Polynomial(d, s2, 0.666667759f, 0.399775803f, 0.298709273f);
  } else {
    // As above: 2^-58.
    l = Polynomial(d, s2, 0.6666666666666734, 0.39999999999416536,
                   0.28571428742067356, 0.22222198599793178,
                   0.18183563178246512, 0.15314075286982295,
                   0.14795739601470667);
  }
  const V half_f2 = hn::Mul(hn::Mul(f, hn::Set(d, T{0.5})), f);
  const V tail = hn::MulAdd(s, hn::MulAdd(s2, l, half_f2),
                            hn::Mul(k, hn::Set(d, C::kLn2Lo)));
  return hn::MulAdd(k, hn::Set(d, C::kLn2Hi),
                    hn::Sub(f, hn::Sub(half_f2, tail)));
}

// The values of log at and beyond the ends of its domain; x is its argument
// and y what the formula gave.
template <class D, class V>
HWY_INLINE V LogSpecials(D d, V x, V y) {
  using T = hn::TFromD<D>;
  const V inf = hn::Set(d, std::numeric_limits<T>::infinity());
  const V zero = hn::Zero(d);
  y = hn::IfThenElse(hn::Lt(x, inf), y, inf);
  return hn::IfThenElse(
      hn::Gt(x, zero), y,
      hn::IfThenElse(hn::Eq(x, zero), hn::Neg(inf),
                     hn::Set(d, std::numeric_limits<T>::quiet_NaN())));
}

template <class D, class V>
HWY_INLINE V VecLog(D d, V x) {
  using T = hn::TFromD<D>;
  using C = LogConstants<T>;
  const auto subnormal = hn::Lt(x, hn::Set(d, std::numeric_limits<T>::min()));
  const V scaled =
      hn::IfThenElse(subnormal, hn::Mul(x, hn::Set(d, C::kSubnormalScale)), x);
  const auto parts = LogReduce(d, scaled);
  const V k =
      hn::Sub(parts.k,
              hn::IfThenElseZero(subnormal, hn::Set(d, C::kSubnormalExponent)));
  return LogSpecials(d, x,
                     LogOfParts(d, k, hn::Sub(parts.z, hn::Set(d, T{1}))));
}

// log1p(x) for finite x > -1; the sign of zero is lost. What rounding takes
// from u = 1 + x is given back to f, so that f is x where k is 0.
template <class D, class V>
HWY_INLINE V Log1pBounded(D d, V x) {
  using T = hn::TFromD<D>;
  const hn::RebindToUnsigned<D> du;
  const V one = hn::Set(d, T{1});
  const V u = hn::Add(one, x);
  const auto parts = LogReduce(d, u);
  const V large = hn::Max(x, one);
  const V small = hn::Min(x, one);
  const V correction = hn::Sub(small, hn::Sub(u, large));
  const V scale = hn::BitCast(
      d, hn::Sub(hn::BitCast(du, one), parts.exponent_bits));  // 2^-k
  // For the largest x, 2^-k is no normal number, and the correction nothing.
  const auto matters =
      hn::Lt(x, hn::Set(d, 2 / std::numeric_limits<T>::epsilon()));
  const V f =
      hn::MulAdd(hn::IfThenElseZero(matters, correction),
                 hn::IfThenElseZero(matters, scale), hn::Sub(parts.z, one));
  return LogOfParts(d, parts.k, f);
}

// log1p(x) for x in [0, 1], where k is 0 or 1.
template <class D, class V>
HWY_INLINE V Log1pOfUnit(D d, V x) {
  using T = hn::TFromD<D>;
  const V one = hn::Set(d, T{1});
  const V half = hn::Set(d, static_cast<T>(0.5));
  const auto upper =
      hn::Gt(x, hn::Set(d, static_cast<T>(0.41421356237309504880)));
  // Without rounding: f is x, or (1 + x) / 2 - 1.
  const V f = hn::IfThenElse(upper, hn::Mul(half, hn::Sub(x, one)), x);
  return LogOfParts(d, hn::IfThenElseZero(upper, one), f);
}

template <class D, class V>
HWY_INLINE V VecLog1p(D d, V x) {
  using T = hn::TFromD<D>;
  const V one = hn::Set(d, T{1});
  const V y = LogSpecials(d, hn::Add(x, one), Log1pBounded(d, x));
  // log1p(x) rounds to x here; and zero keeps its sign.
  const V tiny = hn::Set(d, std::numeric_limits<T>::epsilon() / 4);
  return hn::IfThenElse(hn::Lt(hn::Abs(x), tiny), x, y);
}

// ------------------------------------------------------------------ sin, cos

// Beyond this many radians <cmath> answers: n = x / (pi/2) must stay below
// 2^17, or its products with the first two parts of pi/2 are no longer exact.
constexpr double kTrigVectorLimit = 1.0e5;

// r = x - n pi/2, |r| <= pi/4, and n modulo 4 in the low bits of `quadrant`,
// for |x| <= kTrigVectorLimit.
template <class V, class VU>
struct TrigParts {
  V r;
  VU quadrant;
};
template <class D, class V>
HWY_INLINE void TrigReduceF64(D d, V x, V* r, V* biased) {
  // pi/2 in parts of 36, 36 and 53 bits.
  const V magic = hn::Set(d, 6755399441055744.0);  // 1.5 2^52
  *biased = hn::MulAdd(x, hn::Set(d, 0.6366197723675814), magic);
  const V n = hn::Sub(*biased, magic);
  V t = hn::NegMulAdd(n, hn::Set(d, 1.5707963267923333), x);
  t = hn::NegMulAdd(n, hn::Set(d, 2.5633441515839558e-12), t);
  *r = hn::NegMulAdd(n, hn::Set(d, 1.0562999066987428e-23), t);
}

template <class D, class V>
HWY_INLINE auto TrigReduce(D d, V x) {
  const hn::RebindToUnsigned<D> du;
  using VU = hn::Vec<decltype(du)>;
  TrigParts<V, VU> parts;
  if constexpr (IsFloat32<D>()) {
#if HWY_TARGET == HWY_SCALAR
    const hn::Rebind<double, D> dd;
    const hn::RebindToSigned<D> di;
    hn::Vec<decltype(dd)> r, biased;
    TrigReduceF64(dd, hn::PromoteTo(dd, x), &r, &biased);
    parts.r = hn::DemoteTo(d, r);
    parts.quadrant = hn::BitCast(
        du, hn::DemoteTo(di, hn::Sub(biased, hn::Set(dd, 6755399441055744.0))));
#else
    const hn::Half<D> dh;
    const hn::Rebind<double, decltype(dh)> dd;
    const hn::Rebind<int32_t, decltype(dh)> dih;
    const hn::RebindToSigned<D> di;
    const auto magic = hn::Set(dd, 6755399441055744.0);
    hn::Vec<decltype(dd)> r0, r1, biased0, biased1;
    TrigReduceF64(dd, hn::PromoteTo(dd, hn::LowerHalf(dh, x)), &r0, &biased0);
    TrigReduceF64(dd, hn::PromoteTo(dd, hn::UpperHalf(dh, x)), &r1, &biased1);
    parts.r = hn::Combine(d, hn::DemoteTo(dh, r1), hn::DemoteTo(dh, r0));
    parts.quadrant = hn::BitCast(
        du, hn::Combine(di, hn::DemoteTo(dih, hn::Sub(biased1, magic)),
                        hn::DemoteTo(dih, hn::Sub(biased0, magic))));
#endif
  } else {
    V biased;
    TrigReduceF64(d, x, &parts.r, &biased);
    parts.quadrant = hn::BitCast(du, biased);
  }
  return parts;
}

// sin and cos of r, |r| <= pi/4.
template <class D, class V>
HWY_INLINE void SinCosPolynomials(D d, V r, V* sin, V* cos) {
  using T = hn::TFromD<D>;
  const V z = hn::Mul(r, r);
  const V one = hn::Set(d, T{1});
  V s, c;
  if constexpr (IsFloat32<D>()) {
    // (sin r - r) / r^3 and (cos r - 1 + r^2/2) / r^4 in r^2; 2^-27, 2^-33.
    s = Polynomial(d, z, -0.166666552f, 0.00833218917f, -0.000195182889f);
    c = Polynomial(d, z, 0.0416666456f, -0.00138873095f, 2.44323273e-05f);
  } else {
    // As above; 2^-57, 2^-63.
    s = Polynomial(d, z, -0.1666666666666663, 0.0083333333333218407,
                   -0.00019841269829358528, 2.7557313538514175e-06,
                   -2.5050734389225865e-08, 1.5895433285413243e-10);
    c = Polynomial(d, z, 0.041666666666666595, -0.001388888888887334,
                   2.4801587288999782e-05, -2.7557314216170091e-07,
                   2.0875705255743729e-09, -1.135874102390768e-11);
  }
  *sin = hn::Mul(r, hn::MulAdd(z, s, one));
  *cos = hn::MulAdd(z, hn::MulAdd(z, c, hn::Set(d, T{-0.5})), one);
}

// Lanes of x beyond the limit (or NaN) by <cmath>.
template <bool kCosine, class D, class V>
HWY_NOINLINE V TrigFallback(D d, hn::VecArg<V> x, hn::VecArg<V> y) {
  using T = hn::TFromD<D>;
  HWY_ALIGN T in[hn::MaxLanes(d)];
  HWY_ALIGN T out[hn::MaxLanes(d)];
  hn::Store(x, d, in);
  hn::Store(y, d, out);
  for (size_t i = 0; i < hn::Lanes(d); ++i) {
    if (!(std::abs(in[i]) <= static_cast<T>(kTrigVectorLimit))) {
      out[i] = kCosine ? std::cos(in[i]) : std::sin(in[i]);
    }
  }
  return hn::Load(d, out);
}

// kCosine: cos(x), else sin(x).
template <bool kCosine, class D, class V>
HWY_INLINE V SinOrCos(D d, V x) {
  using T = hn::TFromD<D>;
  const hn::RebindToUnsigned<D> du;
  using TU = hn::TFromD<decltype(du)>;
  const auto small =
      hn::Le(hn::Abs(x), hn::Set(d, static_cast<T>(kTrigVectorLimit)));
  const auto parts = TrigReduce(d, hn::IfThenElseZero(small, x));
  V sin, cos;
  SinCosPolynomials(d, parts.r, &sin, &cos);
  const auto quadrant =
      kCosine ? hn::Add(parts.quadrant, hn::Set(du, TU{1})) : parts.quadrant;
  const auto odd = hn::MaskFromVec(hn::BitCast(
      d, hn::Sub(hn::Zero(du), hn::And(quadrant, hn::Set(du, TU{1})))));
  const auto sign = hn::BitCast(d, hn::ShiftLeft<sizeof(T) * 8 - 2>(
                                       hn::And(quadrant, hn::Set(du, TU{2}))));
  V y = hn::Xor(hn::IfThenElse(odd, cos, sin), sign);
  if (HWY_UNLIKELY(!hn::AllTrue(d, small))) {
    y = TrigFallback<kCosine, D, V>(d, x, y);
  }
  return y;
}

template <class D, class V>
HWY_INLINE V VecSin(D d, V x) {
  return SinOrCos<false>(d, x);
}
template <class D, class V>
HWY_INLINE V VecCos(D d, V x) {
  return SinOrCos<true>(d, x);
}

// Both of one argument, for the cost of little more than one.
template <class D, class V>
HWY_INLINE void VecSinCos(D d, V x, V* sin, V* cos) {
  using T = hn::TFromD<D>;
  const hn::RebindToUnsigned<D> du;
  using TU = hn::TFromD<decltype(du)>;
  const auto small =
      hn::Le(hn::Abs(x), hn::Set(d, static_cast<T>(kTrigVectorLimit)));
  const auto parts = TrigReduce(d, hn::IfThenElseZero(small, x));
  V s, c;
  SinCosPolynomials(d, parts.r, &s, &c);
  const auto one = hn::Set(du, TU{1});
  const auto two = hn::Set(du, TU{2});
  const auto odd = hn::MaskFromVec(
      hn::BitCast(d, hn::Sub(hn::Zero(du), hn::And(parts.quadrant, one))));
  constexpr int kToSign = sizeof(T) * 8 - 2;
  const auto sin_sign =
      hn::BitCast(d, hn::ShiftLeft<kToSign>(hn::And(parts.quadrant, two)));
  const auto cos_sign = hn::BitCast(
      d, hn::ShiftLeft<kToSign>(hn::And(hn::Add(parts.quadrant, one), two)));
  *sin = hn::Xor(hn::IfThenElse(odd, c, s), sin_sign);
  *cos = hn::Xor(hn::IfThenElse(odd, s, c), cos_sign);
  if (HWY_UNLIKELY(!hn::AllTrue(d, small))) {
    *sin = TrigFallback<false, D, V>(d, x, *sin);
    *cos = TrigFallback<true, D, V>(d, x, *cos);
  }
}

// ------------------------------------------------------------- tanh, sigmoid

template <class D, class V>
HWY_INLINE V VecTanh(D d, V x) {
  using T = hn::TFromD<D>;
  // Beyond, tanh rounds to 1.
  const V limit = hn::Set(d, T{IsFloat32<D>() ? 10 : 20});
  V a = hn::Abs(x);
  a = hn::IfThenElse(hn::Gt(a, limit), limit, a);
  const V e = Expm1Bounded(d, hn::Add(a, a));
  return hn::CopySign(hn::Div(e, hn::Add(e, hn::Set(d, T{2}))), x);
}

// 1 / (1 + exp(-x)) and 1 / (1 + exp(x)), both to relative accuracy.
template <class D, class V>
HWY_INLINE void SigmoidPair(D d, V x, V* sigmoid, V* complement) {
  using T = hn::TFromD<D>;
  const V one = hn::Set(d, T{1});
  const V e = VecExpNonPositive(d, hn::Neg(hn::Abs(x)));
  const V large = hn::Div(one, hn::Add(one, e));
  const V small = hn::Mul(e, large);
  const auto negative = hn::Lt(x, hn::Zero(d));
  *sigmoid = hn::IfThenElse(negative, small, large);
  *complement = hn::IfThenElse(negative, large, small);
}

template <class D, class V>
HWY_INLINE V VecSigmoid(D d, V x) {
  using T = hn::TFromD<D>;
  const V one = hn::Set(d, T{1});
  const V e = VecExpNonPositive(d, hn::Neg(hn::Abs(x)));
  const V numerator = hn::IfThenElse(hn::Lt(x, hn::Zero(d)), e, one);
  return hn::Div(numerator, hn::Add(one, e));
}

// ----------------------------------------------------------------- erf, erfc

// -c x^2 as hi + lo, for c = 1 or 1/2: by fused multiply-add, or with the
// square of the leading half of the bits, which is exact. x >= 0.
template <class D, class V>
HWY_INLINE void NegSquareInTwoParts(D d, V x, hn::TFromD<D> c, V* hi, V* lo) {
  const V factor = hn::Set(d, -c);
#if HWY_NATIVE_FMA
  const V scaled = hn::Mul(x, factor);
  *hi = hn::Mul(scaled, x);
  *lo = hn::MulSub(scaled, x, *hi);
#else
  const hn::RebindToUnsigned<D> du;
  using TU = hn::TFromD<decltype(du)>;
  const TU mask = IsFloat32<D>() ? static_cast<TU>(0xFFFFF000u)
                                 : static_cast<TU>(0xFFFFFFFFF8000000ull);
  const V head = hn::And(x, hn::BitCast(d, hn::Set(du, mask)));
  *hi = hn::Mul(hn::Mul(head, head), factor);
  *lo = hn::Mul(hn::Mul(hn::Sub(x, head), hn::Add(x, head)), factor);
#endif
}

// exp(u^2) erfc(u) = numerator / denominator to 2^-54 for u in [0, 28], or to
// 2^-24.7 for float in [0, 11]. Evaluated in pairs, fours
// and eights (Estrin): fewer roundings follow one another than in Horner's
// scheme, and those of the powers of u cancel in the quotient.
template <class D, class V>
HWY_INLINE void ScaledErfc(D d, V u, V* numerator, V* denominator) {
  const V u2 = hn::Mul(u, u);
  const V u4 = hn::Mul(u2, u2);
  // c0 + c1 u, and so on.
  const auto two = [d, u](auto c0, auto c1) HWY_ATTR {
    return hn::MulAdd(hn::Set(d, c1), u, hn::Set(d, c0));
  };
  if constexpr (IsFloat32<D>()) {
    *numerator = hn::MulAdd(hn::Set(d, 0.0335386478f), u4,
                            hn::MulAdd(two(0.738969959f, 0.232738978f), u2,
                                       two(1.0f, 1.24541947f)));
    *denominator = hn::MulAdd(
        two(0.412542228f, 0.0594451192f), u4,
        hn::MulAdd(two(2.41750493f, 1.33912165f), u2, two(1.0f, 2.37379931f)));
  } else {
    const V u8 = hn::Mul(u4, u4);
    const auto four = [&](double c0, double c1, double c2, double c3) HWY_ATTR {
      return hn::MulAdd(two(c2, c3), u2, two(c0, c1));
    };
    *numerator = hn::MulAdd(
        hn::MulAdd(hn::Set(d, 1.4430164439782008e-05), u2,
                   two(0.0034244878402265588, 0.00031723723739958783)),
        u8,
        hn::MulAdd(four(1.0583821406702085, 0.40450424334727053,
                        0.11430029999593436, 0.023608689161570235),
                   u4,
                   four(1.0, 2.3429254835106876, 2.7210893658856987,
                        2.0243469702910559)));
    *denominator =
        hn::MulAdd(four(0.042126456203937346, 0.0060825350599855339,
                        0.00056228836308043213, 2.5576800530485993e-05),
                   u8,
                   hn::MulAdd(four(3.9263248907850743, 1.9742265621719761,
                                   0.7376066179286983, 0.20561409171830267),
                              u4,
                              four(1.0, 3.4713046506062004, 5.6380372162714858,
                                   5.6671388358987871)));
  }
}

// |x|, at most the number where exp(-c x^2) has underflowed to 0; c = 1 or 1/2.
template <class D, class V>
HWY_INLINE V AbsBelowUnderflow(D d, V x, hn::TFromD<D> c) {
  using T = hn::TFromD<D>;
  const V limit =
      hn::Set(d, static_cast<T>(IsFloat32<D>() ? (c == T{1} ? 10.2 : 14.45)
                                               : (c == T{1} ? 27.3 : 38.63)));
  const V a = hn::Abs(x);
  return hn::IfThenElse(hn::Gt(a, limit), limit, a);
}

// exp(-c x^2) as parts, for what AbsBelowUnderflow gives (or NaN).
template <class D, class V>
HWY_INLINE ExpParts<V> ExpNegSquareParts(D d, V a, hn::TFromD<D> c) {
  V hi, lo;
  NegSquareInTwoParts(d, a, c, &hi, &lo);
  return ExpReduce(d, hn::Add(hi, lo), hi, lo);
}

// erfc(|x|).
template <class D, class V>
HWY_INLINE V ErfcOfAbs(D d, V x) {
  using T = hn::TFromD<D>;
  const V a = AbsBelowUnderflow(d, x, T{1});
  const auto parts = ExpNegSquareParts(d, a, T{1});
  V numerator, denominator;
  ScaledErfc(d, a, &numerator, &denominator);
  const V ratio = hn::Div(numerator, denominator);
  return ExpScale(d, hn::MulAdd(ratio, parts.p, ratio), parts);
}

// erf(x) for |x| <= kErfSmall.
constexpr double kErfSmall = 0.65;
template <class D, class V>
HWY_INLINE V ErfOfSmall(D d, V x) {
  const V z = hn::Mul(x, x);
  V ratio;
  // erf(x) / x in x^2; 2^-24 and 2^-56.
  if constexpr (IsFloat32<D>()) {
    ratio = Polynomial(d, z, 1.12837911f, -0.376120716f, 0.112751953f,
                       -0.0264059454f, 0.00420100149f);
  } else {
    ratio = Polynomial(d, z, 1.1283791670955126, -0.3761263890318311,
                       0.11283791670910669, -0.026866170633186963,
                       0.0052239774623924536, -0.00085483142394215158,
                       0.00012054722913019692, -1.4907625997018636e-05,
                       1.6139345320364817e-06, -1.3123242321745249e-07);
  }
  return hn::Mul(x, ratio);
}

template <class D, class V>
HWY_INLINE V VecErfc(D d, V x) {
  using T = hn::TFromD<D>;
  const V a = hn::Abs(x);
  const V large = ErfcOfAbs(d, a);
  const V one = hn::Set(d, T{1});
  const V y = hn::IfThenElse(hn::Lt(x, hn::Zero(d)),
                             hn::Sub(hn::Set(d, T{2}), large), large);
  return hn::IfThenElse(hn::Lt(a, hn::Set(d, static_cast<T>(kErfSmall))),
                        hn::Sub(one, ErfOfSmall(d, x)), y);
}

template <class D, class V>
HWY_INLINE V VecErf(D d, V x) {
  using T = hn::TFromD<D>;
  const V a = hn::Abs(x);
  const V large = hn::Sub(hn::Set(d, T{1}), ErfcOfAbs(d, a));
  return hn::IfThenElse(hn::Lt(a, hn::Set(d, static_cast<T>(kErfSmall))),
                        ErfOfSmall(d, x), hn::CopySign(large, x));
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#endif  // SEPTET_CORE_OPS_VECTOR_MATH_INL_H_
