// SPDX-License-Identifier: Apache-2.0
// Compiled with -ffp-contract=off: no product may be fused with a sum.
#include "septet/core/random/variates.h"

#include <cmath>
#include <cstdint>
#include <cstring>

#include "septet/core/random/variates_impl.h"

namespace septet {
namespace {

using random_internal::kAngle;
using random_internal::kCos;
using random_internal::kCosTerms;
using random_internal::kLn2High;
using random_internal::kLn2Low;
using random_internal::kLog;
using random_internal::kLogTerms;
using random_internal::kSin;
using random_internal::kSinTerms;
using random_internal::kSqrt2;

inline double Horner(const double* coefficients, int terms, double x) {
  double sum = coefficients[terms - 1];
  for (int i = terms - 2; i >= 0; --i) sum = sum * x + coefficients[i];
  return sum;
}

// ln((word + 1) / 2^32).
inline double LogOfWord(uint32_t word) {
  const double k = static_cast<double>(uint64_t{word} + 1);
  uint64_t bits;
  std::memcpy(&bits, &k, sizeof(bits));
  double exponent = static_cast<double>(bits >> 52) - (1023 + 32);
  bits = (bits & 0x000fffffffffffff) | 0x3ff0000000000000;
  double m;
  std::memcpy(&m, &bits, sizeof(m));
  if (m > kSqrt2) {
    m = m * 0.5;
    exponent = exponent + 1;
  }
  const double s = (m - 1) / (m + 1);
  const double z = s * s;
  const double log_m = (s + s) + s * (z * Horner(kLog, kLogTerms, z));
  return exponent * kLn2High + (exponent * kLn2Low + log_m);
}

// cos(2 pi word / 2^32).
inline double CosOfWord(uint32_t word) {
  // The nearest quarter turn, and the rest in [-1/8, 1/8) of a turn.
  const uint32_t shifted = word + 0x20000000u;
  const uint32_t quarter = shifted >> 30;
  const double x =
      (static_cast<double>(shifted & 0x3fffffffu) - 0x20000000) * kAngle;
  const double y = x * x;
  const double sin = x + x * (y * Horner(kSin, kSinTerms, y));
  const double cos = 1 + y * Horner(kCos, kCosTerms, y);
  const double value = (quarter & 1) != 0 ? sin : cos;
  return ((quarter + 1) & 2) != 0 ? -value : value;
}

}  // namespace

double NormalFromWords(uint32_t w0, uint32_t w1) {
  return std::sqrt(-2 * LogOfWord(w0)) * CosOfWord(w1);
}

double ScaleUnit(double lo, double hi, double u) {
  const double width = hi - lo;
  return width * u + lo;
}

double ScaleNormal(double mean, double std, double z) { return std * z + mean; }

}  // namespace septet
