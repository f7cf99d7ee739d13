// SPDX-License-Identifier: Apache-2.0
// Activation functions and their derivatives on Highway vectors, for kernels
// that fuse them: ActivationValue<kKind>(d, x) and ActivationSlope<kKind>(d,
// x).
#if defined(SEPTET_CORE_OPS_ACTIVATION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SEPTET_CORE_OPS_ACTIVATION_INL_H_
#undef SEPTET_CORE_OPS_ACTIVATION_INL_H_
#else
#define SEPTET_CORE_OPS_ACTIVATION_INL_H_
#endif

#include <limits>

#include "hwy/highway.h"
#include "septet/core/ops/activation_kind.h"
#include "septet/core/ops/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// (1 + p) and the power of two of exp(-x^2 / 2), and Q = exp(x^2 / 2)
// erfc(|x| / sqrt 2): the two factors of the normal distribution's tail.
template <class V>
struct NormalTail {
  ExpParts<V> parts;
  V ratio;
};
template <class D, class V>
HWY_INLINE NormalTail<V> NormalTailOf(D d, V x) {
  using T = hn::TFromD<D>;
  const V a = AbsBelowUnderflow(d, x, static_cast<T>(0.5));
  NormalTail<V> tail;
  tail.parts = ExpNegSquareParts(d, a, static_cast<T>(0.5));
  V numerator, denominator;
  ScaledErfc(d, hn::Mul(a, hn::Set(d, static_cast<T>(0.70710678118654752440))),
             &numerator, &denominator);
  tail.ratio = hn::Div(numerator, denominator);
  return tail;
}

// 2 sqrt(2/pi) (x + 0.044715 x^3), the argument of the sigmoid in gelu_tanh,
// and x limited to where its exponential is neither 0 nor infinite, so that
// nothing in the derivative becomes 0 * infinity.
template <class D, class V>
HWY_INLINE V GeluTanhArgument(D d, V x, V* limited) {
  using T = hn::TFromD<D>;
  const V limit = hn::Set(d, T{IsFloat32<D>() ? 12 : 24});
  *limited =
      hn::IfThenElse(hn::Gt(hn::Abs(x), limit), hn::CopySign(limit, x), x);
  const V square = hn::Mul(*limited, *limited);
  const V scale = hn::Set(d, static_cast<T>(1.5957691216057307118));
  const V cubic = hn::Set(d, static_cast<T>(1.5957691216057307118 * 0.044715));
  return hn::Mul(*limited, hn::MulAdd(cubic, square, scale));
}

template <ActivationKind kKind, class D, class V>
HWY_INLINE V ActivationValue(D d, V x) {
  using T = hn::TFromD<D>;
  const V zero = hn::Zero(d);
  const V one = hn::Set(d, T{1});
  if constexpr (kKind == ActivationKind::kRelu) {
    return hn::IfThenZeroElse(hn::Le(x, zero), x);
  } else if constexpr (kKind == ActivationKind::kLeakyRelu) {
    return hn::IfThenElse(hn::Gt(x, zero), x,
                          hn::Mul(x, hn::Set(d, static_cast<T>(0.01))));
  } else if constexpr (kKind == ActivationKind::kGelu) {
    const auto tail = NormalTailOf(d, x);
    const V half = hn::Mul(hn::Set(d, static_cast<T>(0.5)), tail.ratio);
    const V p = ExpScale(d, hn::MulAdd(half, tail.parts.p, half), tail.parts);
    return hn::Mul(x, hn::IfThenElse(hn::Lt(x, zero), p, hn::Sub(one, p)));
  } else if constexpr (kKind == ActivationKind::kGeluTanh) {
    V limited;
    return hn::Mul(x, VecSigmoid(d, GeluTanhArgument(d, x, &limited)));
  } else if constexpr (kKind == ActivationKind::kSwish) {
    return hn::Mul(x, VecSigmoid(d, x));
  } else if constexpr (kKind == ActivationKind::kSelu) {
    const V lambda = hn::Set(d, static_cast<T>(1.0507009873554805));
    const V lambda_a =
        hn::Set(d, static_cast<T>(1.0507009873554805 * 1.6732632423543772));
    const auto positive = hn::Gt(x, zero);
    const V e = Expm1NonPositive(d, hn::IfThenZeroElse(positive, x));
    return hn::IfThenElse(positive, hn::Mul(lambda, x), hn::Mul(lambda_a, e));
  } else if constexpr (kKind == ActivationKind::kElu) {
    const auto positive = hn::Gt(x, zero);
    const V e = Expm1NonPositive(d, hn::IfThenZeroElse(positive, x));
    return hn::IfThenElse(positive, x, e);
  } else if constexpr (kKind == ActivationKind::kSoftplus) {
    // max(x, 0) + log1p(exp(-|x|)); where the exponential is tiny it is its
    // own log1p.
    const V e = VecExpNonPositive(d, hn::Neg(hn::Abs(x)));
    const V tiny = hn::Set(d, std::numeric_limits<T>::epsilon() / 4);
    const V l = hn::IfThenElse(hn::Lt(e, tiny), e, Log1pOfUnit(d, e));
    return hn::Add(hn::IfThenZeroElse(hn::Lt(x, zero), x), l);
  } else if constexpr (kKind == ActivationKind::kSigmoid) {
    return VecSigmoid(d, x);
  } else if constexpr (kKind == ActivationKind::kTanh) {
    return VecTanh(d, x);
  } else if constexpr (kKind == ActivationKind::kGaussian) {
    const V a = AbsBelowUnderflow(d, x, static_cast<T>(0.5));
    const auto parts = ExpNegSquareParts(d, a, static_cast<T>(0.5));
    return ExpScale(d, hn::Add(one, parts.p), parts);
  } else if constexpr (kKind == ActivationKind::kSin) {
    return VecSin(d, x);
  } else {
    static_assert(kKind == ActivationKind::kIdentity, "");
    return x;
  }
}

template <ActivationKind kKind, class D, class V>
HWY_INLINE V ActivationSlope(D d, V x) {
  using T = hn::TFromD<D>;
  const V zero = hn::Zero(d);
  const V one = hn::Set(d, T{1});
  if constexpr (kKind == ActivationKind::kRelu) {
    return hn::IfThenElseZero(hn::Gt(x, zero), one);
  } else if constexpr (kKind == ActivationKind::kLeakyRelu) {
    return hn::IfThenElse(hn::Gt(x, zero), one,
                          hn::Set(d, static_cast<T>(0.01)));
  } else if constexpr (kKind == ActivationKind::kGelu) {
    // Phi(x) + x phi(x); both terms are multiples of exp(-x^2 / 2) on the left.
    const auto tail = NormalTailOf(d, x);
    const V half = hn::Mul(hn::Set(d, static_cast<T>(0.5)), tail.ratio);
    const V density =
        hn::Mul(x, hn::Set(d, static_cast<T>(0.39894228040143267794)));
    const auto negative = hn::Lt(x, zero);
    // The factor of the exponential: density + half on the left, density - half
    // on the right, where 1 is added.
    const V factor =
        hn::Add(density, hn::IfThenElse(negative, half, hn::Neg(half)));
    // The limit keeps infinity * 0 away; the exponential is 0 beyond.
    const V limit = hn::Set(d, T{50});
    const V bounded = hn::IfThenElse(hn::Gt(hn::Abs(x), limit), zero, factor);
    const V product =
        ExpScale(d, hn::MulAdd(bounded, tail.parts.p, bounded), tail.parts);
    return hn::Add(product, hn::IfThenZeroElse(negative, one));
  } else if constexpr (kKind == ActivationKind::kGeluTanh) {
    V limited, sigmoid, complement;
    const V w = GeluTanhArgument(d, x, &limited);
    SigmoidPair(d, w, &sigmoid, &complement);
    // x w' = 2 sqrt(2/pi) (x + 3 * 0.044715 x^3)
    const V square = hn::Mul(limited, limited);
    const V xw = hn::Mul(
        limited,
        hn::MulAdd(
            hn::Set(d, static_cast<T>(1.5957691216057307118 * 3 * 0.044715)),
            square, hn::Set(d, static_cast<T>(1.5957691216057307118))));
    return hn::Mul(sigmoid, hn::MulAdd(xw, complement, one));
  } else if constexpr (kKind == ActivationKind::kSwish) {
    V sigmoid, complement;
    SigmoidPair(d, x, &sigmoid, &complement);
    // Beyond the limit sigmoid is 0 or 1; infinity * 0 would be NaN.
    const V limit = hn::Set(d, T{IsFloat32<D>() ? 110 : 800});
    const V bounded = hn::IfThenElse(hn::Gt(hn::Abs(x), limit), zero, x);
    return hn::Mul(sigmoid, hn::MulAdd(bounded, complement, one));
  } else if constexpr (kKind == ActivationKind::kSelu) {
    const V lambda = hn::Set(d, static_cast<T>(1.0507009873554805));
    const V lambda_a =
        hn::Set(d, static_cast<T>(1.0507009873554805 * 1.6732632423543772));
    const auto positive = hn::Gt(x, zero);
    const V e = VecExpNonPositive(d, hn::IfThenZeroElse(positive, x));
    return hn::IfThenElse(positive, lambda, hn::Mul(lambda_a, e));
  } else if constexpr (kKind == ActivationKind::kElu) {
    return VecExpNonPositive(d, hn::IfThenZeroElse(hn::Gt(x, zero), x));
  } else if constexpr (kKind == ActivationKind::kSoftplus) {
    return VecSigmoid(d, x);
  } else if constexpr (kKind == ActivationKind::kSigmoid) {
    // e / (1 + e)^2, e = exp(-|x|)
    const V e = VecExpNonPositive(d, hn::Neg(hn::Abs(x)));
    const V sum = hn::Add(one, e);
    return hn::Div(e, hn::Mul(sum, sum));
  } else if constexpr (kKind == ActivationKind::kTanh) {
    // 1 - tanh^2 = 4 e / (1 + e)^2, e = exp(-2 |x|)
    const V a = hn::Abs(x);
    const V e = VecExpNonPositive(d, hn::Neg(hn::Add(a, a)));
    const V sum = hn::Add(one, e);
    const V half_sum = hn::Mul(sum, hn::Set(d, static_cast<T>(0.5)));
    return hn::Div(e, hn::Mul(half_sum, half_sum));
  } else if constexpr (kKind == ActivationKind::kGaussian) {
    const V a = AbsBelowUnderflow(d, x, static_cast<T>(0.5));
    const auto parts = ExpNegSquareParts(d, a, static_cast<T>(0.5));
    // At infinity 0, not infinity * 0.
    const V limit = hn::Set(d, T{50});
    const V factor =
        hn::IfThenElse(hn::Gt(hn::Abs(x), limit), zero, hn::Neg(x));
    return ExpScale(d, hn::MulAdd(factor, parts.p, factor), parts);
  } else if constexpr (kKind == ActivationKind::kSin) {
    return VecCos(d, x);
  } else {
    static_assert(kKind == ActivationKind::kIdentity, "");
    return one;
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#endif  // SEPTET_CORE_OPS_ACTIVATION_INL_H_
