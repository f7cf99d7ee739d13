// SPDX-License-Identifier: Apache-2.0
#include "septet/core/base/edit_distance.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace septet {
namespace {

TEST(EditDistanceTest, CountsEachKindOfEditOnce) {
  EXPECT_EQ(EditDistance("", ""), 0);
  EXPECT_EQ(EditDistance("layers", "layers"), 0);
  EXPECT_EQ(EditDistance("", "abc"), 3);
  EXPECT_EQ(EditDistance("layers", "layer"), 1);
  EXPECT_EQ(EditDistance("layers", "players"), 1);
  EXPECT_EQ(EditDistance("layers", "lagers"), 1);
  EXPECT_EQ(EditDistance("layers", "alyers"), 1);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3);
  EXPECT_EQ(EditDistance("saturday", "sunday"), 3);
}

// All words of up to four letters over {a, b}: symmetric, zero exactly on
// equality, and within the bounds that the lengths give.
TEST(EditDistanceTest, IsSymmetricAndBounded) {
  std::vector<std::string> words = {""};
  for (size_t i = 0; words[i].size() < 4; ++i) {
    words.push_back(words[i] + "a");
    words.push_back(words[i] + "b");
  }
  ASSERT_EQ(words.size(), 31u);
  for (const std::string& a : words) {
    for (const std::string& b : words) {
      const int distance = EditDistance(a, b);
      EXPECT_EQ(distance, EditDistance(b, a)) << a << " " << b;
      EXPECT_EQ(distance == 0, a == b) << a << " " << b;
      const int na = static_cast<int>(a.size());
      const int nb = static_cast<int>(b.size());
      EXPECT_LE(distance, std::max(na, nb)) << a << " " << b;
      EXPECT_GE(distance, std::max(na, nb) - std::min(na, nb));
    }
  }
}

TEST(NearestNameTest, PicksTheNearestAndTheFirstOfEqual) {
  const std::vector<std::string> names = {"layers", "heads", "head_dim"};
  EXPECT_EQ(NearestName("laeyrs", names), "layers");
  EXPECT_EQ(NearestName("HEADS", names), "heads");
  EXPECT_EQ(NearestName("headdim", names), "head_dim");
  EXPECT_EQ(NearestName("acx", {"abx", "adx"}), "abx");
}

TEST(NearestNameTest, SaysNothingWhereNothingIsNear) {
  EXPECT_EQ(NearestName("zebra", {"layers", "heads"}), "");
  EXPECT_EQ(NearestName("x", {}), "");
  EXPECT_EQ(NearestName("set", {"preset"}), "");
  EXPECT_EQ(NearestName("reset", {"preset"}), "preset");
  EXPECT_EQ(NearestName("", {"layers"}), "");
  EXPECT_EQ(NearestName(std::string(1 << 20, 'x'), {"layers"}), "");
}

}  // namespace
}  // namespace septet
