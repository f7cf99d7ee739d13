// SPDX-License-Identifier: Apache-2.0
// The series behind NormalFromWords, shared by variates.cc (one at a time) and
// fill_cpu.cc (vectors), which must round alike: Horner's rule from the last
// coefficient on, every product and sum rounded.
#ifndef SEPTET_CORE_RANDOM_VARIATES_IMPL_H_
#define SEPTET_CORE_RANDOM_VARIATES_IMPL_H_

namespace septet {
namespace random_internal {

// ln 2 in two parts. The first ends in 21 zero bits, so that its products
// with exponents of 0..32 are exact.
inline constexpr double kLn2High = 0x1.62e42feep-1;
inline constexpr double kLn2Low = 0x1.a39ef35793c76p-33;

// sqrt(2): mantissas above it are halved, so that those left lie in
// [sqrt(1/2), sqrt(2)] and s = (m - 1) / (m + 1) within +-0.1716.
inline constexpr double kSqrt2 = 0x1.6a09e667f3bcdp+0;

// ln m = 2 s + s z L(z), z = s^2 <= 0.02944, L(z) = 2/3 + 2/5 z + ...
// The first term left out is below 2^-56 of the sum.
inline constexpr double kLog[] = {2.0 / 3,  2.0 / 5,  2.0 / 7,  2.0 / 9,
                                  2.0 / 11, 2.0 / 13, 2.0 / 15, 2.0 / 17,
                                  2.0 / 19, 2.0 / 21};
inline constexpr int kLogTerms = 10;

// sin x = x + x y S(y), cos x = 1 + y C(y), y = x^2 <= (pi / 4)^2: the Taylor
// series, whose first term left out is below 2^-53 of the sum.
inline constexpr double kSin[] = {
    -1.0 / 6,        1.0 / 120,        -1.0 / 5040,         1.0 / 362880,
    -1.0 / 39916800, 1.0 / 6227020800, -1.0 / 1307674368000};
inline constexpr int kSinTerms = 7;
inline constexpr double kCos[] = {
    -1.0 / 2,       1.0 / 24,        -1.0 / 720,         1.0 / 40320,
    -1.0 / 3628800, 1.0 / 479001600, -1.0 / 87178291200, 1.0 / 20922789888000};
inline constexpr int kCosTerms = 8;

// 2 pi / 2^32: the angle of one unit of the second word.
inline constexpr double kAngle = 0x1.921fb54442d18p-30;

}  // namespace random_internal
}  // namespace septet

#endif  // SEPTET_CORE_RANDOM_VARIATES_IMPL_H_
