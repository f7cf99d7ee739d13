// SPDX-License-Identifier: Apache-2.0
#include "septet/core/random/variates.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "septet/core/random/philox.h"

namespace septet {
namespace {

TEST(VariatesTest, UnitIsExact) {
  EXPECT_EQ(UnitFromWord(0), 0.0);
  EXPECT_EQ(UnitFromWord(0x80000000u), 0.5);
  EXPECT_EQ(UnitFromWord(0xffffffffu), 1 - 0x1p-32);
}

TEST(VariatesTest, BelowTakesTheUpperPartOfTheProduct) {
  EXPECT_EQ(BelowFromWord(0xffffffffu, 0), 0u);
  EXPECT_EQ(BelowFromWord(0xffffffffu, 1), 0u);
  EXPECT_EQ(BelowFromWord(0, 6), 0u);
  EXPECT_EQ(BelowFromWord(0xffffffffu, 6), 5u);
  EXPECT_EQ(BelowFromWord(0x80000000u, 6), 3u);
  EXPECT_EQ(BelowFromWord(0x7fffffffu, 6), 2u);
  EXPECT_EQ(BelowFromWord(0xffffffffu, 0xffffffffu), 0xfffffffeu);
}

// The definition, in extended precision, with the angle reduced exactly.
long double Reference(uint32_t w0, uint32_t w1) {
  const long double u = std::ldexp(static_cast<long double>(w0) + 1, -32);
  const long double pi = std::acos(-1.0L);
  const uint32_t quarter = (w1 + 0x20000000u) >> 30;
  const long double x =
      2 * pi *
      std::ldexp(
          static_cast<long double>(static_cast<int32_t>(w1 - (quarter << 30))),
          -32);
  const long double cos[4] = {std::cos(x), -std::sin(x), -std::cos(x),
                              std::sin(x)};
  return std::sqrt(-2 * std::log(u)) * cos[quarter];
}

TEST(VariatesTest, NormalIsTheDefinitionToTheLastBits) {
  if (sizeof(long double) <= sizeof(double)) {
    GTEST_SKIP() << "long double is no better than double here";
  }
  std::vector<uint32_t> words = {0, 1, 2, 0xffffffffu, 0xfffffffeu};
  // Around the borders of the quarters, the halves, and sqrt(1/2).
  for (const uint32_t edge :
       {0x20000000u, 0x40000000u, 0x60000000u, 0x80000000u, 0xa0000000u,
        0xc0000000u, 0xe0000000u, 0xb504f333u, 0x5a827999u}) {
    for (int d = -2; d <= 2; ++d) words.push_back(edge + d);
  }
  for (uint64_t i = 0; i < 300; ++i) {
    words.push_back(PhiloxElement({1, 2}, i)[0]);
    words.push_back(PhiloxElement({1, 2}, i)[1] >> (i % 32));
  }
  long double worst = 0;
  for (const uint32_t w0 : words) {
    for (const uint32_t w1 : words) {
      const long double want = Reference(w0, w1);
      const double got = NormalFromWords(w0, w1);
      if (want == 0) {
        ASSERT_EQ(got, 0);
        continue;
      }
      worst = std::max(worst, std::abs(got / want - 1));
      ASSERT_LE(worst, 1e-15L) << std::hex << w0 << " " << w1;
    }
  }
  RecordProperty("worst_relative_error", std::to_string(worst * 1e16) + "e-16");
}

TEST(VariatesTest, NormalAtTheEnds) {
  EXPECT_NEAR(NormalFromWords(0, 0), 6.660436, 1e-6);
  EXPECT_NEAR(NormalFromWords(0, 0x80000000u), -6.660436, 1e-6);
  EXPECT_LE(NormalFromWords(0, 0), kMaxNormal);
  EXPECT_GT(NormalFromWords(0, 0), kMaxNormal - 1e-3);
  EXPECT_EQ(NormalFromWords(0xffffffffu, 0), 0);
  EXPECT_EQ(NormalFromWords(0, 0x40000000u), 0);
}

// Bits that must never change: runs are to be repeatable for years. Computed
// by the same series in another language.
TEST(VariatesTest, NormalBitsAreFixed) {
  EXPECT_EQ(NormalFromWords(0x6627e8d5u, 0xe169c58du), 0x1.fb7665db1b649p-1);
  EXPECT_EQ(NormalFromWords(0x408f276du, 0x41c83b0eu), -0x1.294a797d54a07p-4);
  EXPECT_EQ(NormalFromWords(0xd16cfe09u, 0x94fdccebu), -0x1.1a5a002b3d2d1p-1);
  EXPECT_EQ(NormalFromWords(0x5001e420u, 0x24126ea1u), 0x1.ee51b5b979bb5p-1);
  EXPECT_EQ(NormalFromWords(0xfffffffeu, 0x00000001u), 0x1.6a09e6684e3f4p-16);
}

TEST(VariatesTest, ScalesAreRoundedAfterEachOperation) {
  // Fused, the first would keep the 2^-64 of the square.
  const double a = 1 + 0x1p-32;
  EXPECT_EQ(ScaleNormal(-1 - 0x1p-31, a, a), 0.0);
  EXPECT_EQ(ScaleUnit(-1 - 0x1p-31, -0x1p-32, 1.0), -0x1p-32);
  EXPECT_EQ(ScaleUnit(2.0, 4.0, 0.25), 2.5);
  EXPECT_EQ(ScaleNormal(2.0, 4.0, -0.25), 1.0);
}

}  // namespace
}  // namespace septet
