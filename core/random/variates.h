// SPDX-License-Identifier: Apache-2.0
// Numbers from the words of a random block: uniform, integer, normal.
//
// Each is a plain function of its words, with the same bits on every machine:
// integer arithmetic, or IEEE additions, multiplications, divisions and square
// roots in a fixed order, without fused operations and without the functions
// of a libm, whose last bits differ between systems. fill.h computes the same
// bits for arrays with vector instructions.
//
//   const PhiloxBlock w = PhiloxElement(key, i);
//   const double u = UnitFromWord(w[0]);              // [0, 1)
//   const uint32_t die = BelowFromWord(w[0], 6);      // 0..5
//   const double z = NormalFromWords(w[0], w[1]);
#ifndef SEPTET_CORE_RANDOM_VARIATES_H_
#define SEPTET_CORE_RANDOM_VARIATES_H_

#include <cstdint>

namespace septet {

// word / 2^32, exactly: a multiple of 2^-32 in [0, 1).
constexpr double UnitFromWord(uint32_t word) { return word * 0x1p-32; }

// An integer in 0..n-1: (word n) >> 32. Every value has the probability 1/n up
// to 2^-32. n = 0 gives 0.
constexpr uint32_t BelowFromWord(uint32_t word, uint32_t n) {
  return static_cast<uint32_t>((uint64_t{word} * n) >> 32);
}

// A variate of the standard normal distribution (Box and Muller):
// sqrt(-2 ln((w0 + 1) 2^-32)) cos(2 pi w1 2^-32), to a relative error below
// 1e-15. Its magnitude is at most kMaxNormal.
double NormalFromWords(uint32_t w0, uint32_t w1);

// No NormalFromWords is larger: sqrt(64 ln 2) = 6.66044.
inline constexpr double kMaxNormal = 6.6605;

// lo + (hi - lo) u and mean + std z, rounded after each operation. The
// compiler of a caller might fuse them, and so change the bits.
double ScaleUnit(double lo, double hi, double u);
double ScaleNormal(double mean, double std, double z);

}  // namespace septet

#endif  // SEPTET_CORE_RANDOM_VARIATES_H_
