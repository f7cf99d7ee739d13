// SPDX-License-Identifier: Apache-2.0
#include "septet/core/random/philox.h"

#include <cstdint>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace septet {
namespace {

using ::testing::ElementsAre;

// The known answers of Random123 (kat_vectors, "philox4x32 10").
TEST(PhiloxTest, KnownAnswersOfRandom123) {
  EXPECT_THAT(Philox4x32({0, 0}, {0, 0, 0, 0}),
              ElementsAre(0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8));
  EXPECT_THAT(Philox4x32({0xffffffff, 0xffffffff},
                         {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}),
              ElementsAre(0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd));
  EXPECT_THAT(Philox4x32({0xa4093822, 0x299f31d0},
                         {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}),
              ElementsAre(0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1));
}

TEST(PhiloxTest, IsAConstantExpression) {
  static_assert(Philox4x32({0, 0}, {0, 0, 0, 0})[0] == 0x6627e8d5);
}

TEST(PhiloxTest, ElementsUseTheTwoLowWordsOfTheCounter) {
  const PhiloxKey key = {1, 2};
  EXPECT_EQ(PhiloxElement(key, 0x123456789abcdef0),
            Philox4x32(key, {0x9abcdef0, 0x12345678, 0, 0}));
}

TEST(PhiloxTest, EveryBitOfKeyAndCounterChangesAboutHalfOfTheBits) {
  const PhiloxKey key = {3, 5};
  const PhiloxCounter counter = {7, 11, 13, 17};
  const PhiloxBlock base = Philox4x32(key, counter);
  for (int bit = 0; bit < 6 * 32; ++bit) {
    PhiloxKey k = key;
    PhiloxCounter c = counter;
    (bit < 64 ? k[bit / 32] : c[bit / 32 - 2]) ^= uint32_t{1} << bit % 32;
    const PhiloxBlock block = Philox4x32(k, c);
    int changed = 0;
    for (int word = 0; word < 4; ++word) {
      changed += __builtin_popcount(block[word] ^ base[word]);
    }
    // 64 of 128 with a standard deviation of 5.7.
    EXPECT_GT(changed, 64 - 28) << "bit " << bit;
    EXPECT_LT(changed, 64 + 28) << "bit " << bit;
  }
}

TEST(PhiloxTest, ElementsDiffer) {
  std::set<PhiloxBlock> blocks;
  for (uint64_t i = 0; i < 1000; ++i) blocks.insert(PhiloxElement({0, 0}, i));
  for (uint64_t i = 0; i < 1000; ++i) {
    blocks.insert(PhiloxElement({0, 0}, i << 32));
  }
  EXPECT_EQ(blocks.size(), 1999);  // Element 0 is in both.
}

}  // namespace
}  // namespace septet
