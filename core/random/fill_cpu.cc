// SPDX-License-Identifier: Apache-2.0
// Compiled with -ffp-contract=off: no product may be fused with a sum, also
// not by a compiler that looks through intrinsics.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/types/span.h"
#include "septet/core/base/check.h"
#include "septet/core/random/fill.h"
#include "septet/core/random/philox.h"
#include "septet/core/random/variates.h"
#include "septet/core/random/variates_impl.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/random/fill_cpu.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.h.
#include "hwy/highway.h"
#include "septet/core/random/philox-inl.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {

namespace hn = ::hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR || !HWY_HAVE_FLOAT64

void FillWords(PhiloxKey key, uint64_t begin, uint32_t* words, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    const PhiloxBlock block = PhiloxElement(key, begin + i);
    std::copy(block.begin(), block.end(), words + 4 * i);
  }
}

template <typename T>
void FillUniform(PhiloxKey key, uint64_t begin, double lo, double hi, T* out,
                 size_t n) {
  for (size_t i = 0; i < n; ++i) {
    const PhiloxBlock w = PhiloxElement(key, begin + i);
    out[i] = static_cast<T>(ScaleUnit(lo, hi, UnitFromWord(w[0])));
  }
}

template <typename T>
void FillNormal(PhiloxKey key, uint64_t begin, double mean, double std, T* out,
                size_t n) {
  for (size_t i = 0; i < n; ++i) {
    const PhiloxBlock w = PhiloxElement(key, begin + i);
    out[i] =
        static_cast<T>(ScaleNormal(mean, std, NormalFromWords(w[0], w[1])));
  }
}

#else

using D64 = hn::ScalableTag<uint64_t>;
using V64 = hn::Vec<D64>;
using DF = hn::ScalableTag<double>;
using VF = hn::Vec<DF>;

// 2^52: the bits of an integer below it, or'ed into this number, are the
// integer added to it. All conversions here are exact this way, and need no
// instruction that only some targets have.
constexpr uint64_t kTwo52Bits = 0x4330000000000000;
constexpr double kTwo52 = 0x1p52;

HWY_INLINE V64 LowerHalves(V64 a) {
  return hn::And(a, hn::Set(D64(), uint64_t{0xffffffff}));
}

// The integers a (below 2^52) less `bias`.
HWY_INLINE VF ToDouble(V64 a, double bias) {
  const DF df;
  return hn::Sub(hn::BitCast(df, hn::Or(a, hn::Set(D64(), kTwo52Bits))),
                 hn::Set(df, kTwo52 + bias));
}

template <int kTerms>
HWY_INLINE VF Horner(const double (&coefficients)[kTerms], VF x) {
  const DF df;
  VF sum = hn::Set(df, coefficients[kTerms - 1]);
#pragma GCC unroll 16
  for (int i = kTerms - 2; i >= 0; --i) {
    sum = hn::Add(hn::Mul(sum, x), hn::Set(df, coefficients[i]));
  }
  return sum;
}

// As LogOfWord and CosOfWord of variates.cc, operation by operation; the upper
// halves of `word` are zero.
HWY_INLINE VF LogOfWord(V64 word) {
  using namespace random_internal;  // NOLINT: the constants of the series
  const D64 d;
  const DF df;
  const V64 bits =
      hn::BitCast(d, ToDouble(hn::Add(word, hn::Set(d, uint64_t{1})), 0));
  VF exponent = ToDouble(hn::ShiftRight<52>(bits), 1023 + 32);
  VF m = hn::BitCast(
      df, hn::Or(hn::And(bits, hn::Set(d, uint64_t{0x000fffffffffffff})),
                 hn::Set(d, uint64_t{0x3ff0000000000000})));
  const VF one = hn::Set(df, 1.0);
  const auto large = hn::Gt(m, hn::Set(df, kSqrt2));
  m = hn::IfThenElse(large, hn::Mul(m, hn::Set(df, 0.5)), m);
  exponent = hn::IfThenElse(large, hn::Add(exponent, one), exponent);
  const VF s = hn::Div(hn::Sub(m, one), hn::Add(m, one));
  const VF z = hn::Mul(s, s);
  const VF log_m = hn::Add(hn::Add(s, s),
                           hn::Mul(s, hn::Mul(z, Horner<kLogTerms>(kLog, z))));
  return hn::Add(hn::Mul(exponent, hn::Set(df, kLn2High)),
                 hn::Add(hn::Mul(exponent, hn::Set(df, kLn2Low)), log_m));
}

HWY_INLINE VF CosOfWord(V64 word) {
  using namespace random_internal;  // NOLINT: the constants of the series
  const D64 d;
  const DF df;
  const V64 shifted = hn::Add(word, hn::Set(d, uint64_t{0x20000000}));
  const V64 quarter = hn::ShiftRight<30>(shifted);
  const VF x = hn::Mul(
      ToDouble(hn::And(shifted, hn::Set(d, uint64_t{0x3fffffff})), 0x20000000),
      hn::Set(df, kAngle));
  const VF y = hn::Mul(x, x);
  const VF sin = hn::Add(x, hn::Mul(x, hn::Mul(y, Horner<kSinTerms>(kSin, y))));
  const VF cos =
      hn::Add(hn::Set(df, 1.0), hn::Mul(y, Horner<kCosTerms>(kCos, y)));
  const V64 one = hn::Set(d, uint64_t{1});
  const auto odd = hn::MaskFromVec(
      hn::BitCast(df, hn::VecFromMask(d, hn::TestBit(quarter, one))));
  const VF value = hn::IfThenElse(odd, sin, cos);
  const V64 sign = hn::ShiftLeft<62>(
      hn::And(hn::Add(quarter, one), hn::Set(d, uint64_t{2})));
  return hn::Xor(value, hn::BitCast(df, sign));
}

// What each kind of number makes of the words of a vector of elements.
struct Uniform {
  double lo;
  double width;

  HWY_INLINE VF operator()(V64 w0, V64 /*w1*/) const {
    const DF df;
    const VF u = hn::Mul(ToDouble(LowerHalves(w0), 0), hn::Set(df, 0x1p-32));
    return hn::Add(hn::Mul(hn::Set(df, width), u), hn::Set(df, lo));
  }
};

struct Normal {
  double mean;
  double std;

  HWY_INLINE VF operator()(V64 w0, V64 w1) const {
    const DF df;
    const VF radius =
        hn::Sqrt(hn::Mul(hn::Set(df, -2.0), LogOfWord(LowerHalves(w0))));
    const VF z = hn::Mul(radius, CosOfWord(LowerHalves(w1)));
    return hn::Add(hn::Mul(hn::Set(df, std), z), hn::Set(df, mean));
  }
};

HWY_INLINE void Store(VF value, double* out) { hn::StoreU(value, DF(), out); }
HWY_INLINE void Store(VF value, float* out) {
  const hn::Rebind<float, DF> d32;
  hn::StoreU(hn::DemoteTo(d32, value), d32, out);
}

template <typename Number, typename T>
HWY_INLINE void Fill(const Number& number, PhiloxKey key, uint64_t begin,
                     T* HWY_RESTRICT out, size_t n) {
  const D64 d;
  const size_t lanes = hn::Lanes(d);
  const V64 places = hn::Iota(d, uint64_t{0});
  for (size_t i = 0; i < n; i += lanes) {
    V64 w0 = hn::Add(hn::Set(d, begin + i), places);
    V64 w1, w2, w3;
    PhiloxLanes(d, key, w0, w1, w2, w3);
    const VF value = number(w0, w1);
    if (HWY_LIKELY(n - i >= lanes)) {
      Store(value, out + i);
    } else {
      HWY_ALIGN T rest[HWY_MAX_BYTES / sizeof(double)];
      Store(value, rest);
      std::copy(rest, rest + (n - i), out + i);
    }
  }
}

void FillWords(PhiloxKey key, uint64_t begin, uint32_t* HWY_RESTRICT words,
               size_t n) {
  const D64 d;
  const size_t lanes = hn::Lanes(d);
  const V64 places = hn::Iota(d, uint64_t{0});
  // In 64-bit units: each element has two.
  HWY_ALIGN uint64_t pairs[2 * HWY_MAX_BYTES / sizeof(uint64_t)];
  for (size_t i = 0; i < n; i += lanes) {
    V64 w0 = hn::Add(hn::Set(d, begin + i), places);
    V64 w1, w2, w3;
    PhiloxLanes(d, key, w0, w1, w2, w3);
    const V64 low = hn::Or(LowerHalves(w0), hn::ShiftLeft<32>(w1));
    const V64 high = hn::Or(LowerHalves(w2), hn::ShiftLeft<32>(w3));
    hn::StoreInterleaved2(low, high, d, pairs);
    if (HWY_LIKELY(n - i >= lanes)) {
      // A number of bytes that the compiler knows: moves, not a call.
      std::memcpy(words + 4 * i, pairs, 16 * lanes);
    } else {
      std::memcpy(words + 4 * i, pairs, 16 * (n - i));
    }
  }
}

template <typename T>
void FillUniform(PhiloxKey key, uint64_t begin, double lo, double hi, T* out,
                 size_t n) {
  Fill(Uniform{lo, hi - lo}, key, begin, out, n);
}

template <typename T>
void FillNormal(PhiloxKey key, uint64_t begin, double mean, double std, T* out,
                size_t n) {
  Fill(Normal{mean, std}, key, begin, out, n);
}

#endif  // HWY_TARGET == HWY_SCALAR || !HWY_HAVE_FLOAT64

// HWY_EXPORT takes plain functions.
void FillUniformF32(PhiloxKey key, uint64_t begin, double lo, double hi,
                    float* out, size_t n) {
  FillUniform(key, begin, lo, hi, out, n);
}
void FillUniformF64(PhiloxKey key, uint64_t begin, double lo, double hi,
                    double* out, size_t n) {
  FillUniform(key, begin, lo, hi, out, n);
}
void FillNormalF32(PhiloxKey key, uint64_t begin, double mean, double std,
                   float* out, size_t n) {
  FillNormal(key, begin, mean, std, out, n);
}
void FillNormalF64(PhiloxKey key, uint64_t begin, double mean, double std,
                   double* out, size_t n) {
  FillNormal(key, begin, mean, std, out, n);
}

}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace septet {

HWY_EXPORT(FillWords);
HWY_EXPORT(FillUniformF32);
HWY_EXPORT(FillUniformF64);
HWY_EXPORT(FillNormalF32);
HWY_EXPORT(FillNormalF64);

void PhiloxFillWords(PhiloxKey key, uint64_t begin,
                     absl::Span<uint32_t> words) {
  SEPTET_CHECK_EQ(words.size() % 4, 0u) << "words, four an element";
  HWY_DYNAMIC_DISPATCH(FillWords)(key, begin, words.data(), words.size() / 4);
}

void PhiloxFillUniform(PhiloxKey key, uint64_t begin, double lo, double hi,
                       absl::Span<float> out) {
  HWY_DYNAMIC_DISPATCH(FillUniformF32)
  (key, begin, lo, hi, out.data(), out.size());
}

void PhiloxFillUniform(PhiloxKey key, uint64_t begin, double lo, double hi,
                       absl::Span<double> out) {
  HWY_DYNAMIC_DISPATCH(FillUniformF64)
  (key, begin, lo, hi, out.data(), out.size());
}

void PhiloxFillNormal(PhiloxKey key, uint64_t begin, double mean, double std,
                      absl::Span<float> out) {
  HWY_DYNAMIC_DISPATCH(FillNormalF32)
  (key, begin, mean, std, out.data(), out.size());
}

void PhiloxFillNormal(PhiloxKey key, uint64_t begin, double mean, double std,
                      absl::Span<double> out) {
  HWY_DYNAMIC_DISPATCH(FillNormalF64)
  (key, begin, mean, std, out.data(), out.size());
}

}  // namespace septet

#endif  // HWY_ONCE
