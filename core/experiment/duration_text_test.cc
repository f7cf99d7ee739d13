// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/duration_text.h"

#include <cmath>

#include "gtest/gtest.h"

namespace septet {
namespace {

TEST(DurationTextTest, IsReadable) {
  EXPECT_EQ(DurationText(0.04), "0.0 s");
  EXPECT_EQ(DurationText(9.9), "9.9 s");
  EXPECT_EQ(DurationText(9.96), "10 s");
  EXPECT_EQ(DurationText(59.4), "59 s");
  EXPECT_EQ(DurationText(59.6), "1 min 0 s");
  EXPECT_EQ(DurationText(3599.4), "59 min 59 s");
  EXPECT_EQ(DurationText(7800), "2 h 10 min");
  EXPECT_EQ(DurationText(1e300), "277777777 h 46 min");
  EXPECT_EQ(DurationText(std::nan("")), "? s");
}

}  // namespace
}  // namespace septet
