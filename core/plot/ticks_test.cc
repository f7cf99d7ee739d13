// SPDX-License-Identifier: Apache-2.0
#include "septet/core/plot/ticks.h"

#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace septet {
namespace {

using ::testing::DoubleEq;
using ::testing::ElementsAre;

std::vector<std::string> Texts(const Ticks& ticks) {
  std::vector<std::string> texts;
  for (const TickLabel& label : ticks.labels) {
    texts.push_back(label.base);
    if (!label.exponent.empty()) texts.back() += "^" + label.exponent;
    texts.back() += label.tail;
  }
  return texts;
}

std::string Offset(const Ticks& ticks) {
  std::string text = ticks.offset.base;
  if (!ticks.offset.exponent.empty()) text += "^" + ticks.offset.exponent;
  return text + ticks.offset.tail;
}

TEST(TicksTest, LinearExamples) {
  EXPECT_THAT(LinearTicks(0, 9.3, 6).values, ElementsAre(0, 2, 4, 6, 8));
  EXPECT_THAT(Texts(LinearTicks(0, 1, 6)),
              ElementsAre("0.0", "0.2", "0.4", "0.6", "0.8", "1.0"));
  EXPECT_THAT(Texts(LinearTicks(-1, 1, 5)),
              ElementsAre("−1.0", "−0.5", "0.0", "0.5", "1.0"));
  EXPECT_THAT(Texts(LinearTicks(0, 1, 5)),
              ElementsAre("0.00", "0.25", "0.50", "0.75", "1.00"));
  // Values are the doubles that one writes.
  EXPECT_THAT(LinearTicks(0.1, 0.3, 3).values, ElementsAre(0.1, 0.2, 0.3));
}

TEST(TicksTest, LargeAndSmallNumbersShareAFactor) {
  const Ticks large = LinearTicks(0, 3e6, 4);
  EXPECT_THAT(Texts(large), ElementsAre("0", "1", "2", "3"));
  EXPECT_EQ(Offset(large), "×10^6");
  const Ticks small = LinearTicks(-5e-7, 2.6e-7, 4);
  EXPECT_THAT(Texts(small), ElementsAre("−4", "−2", "0", "2"));
  EXPECT_EQ(Offset(small), "×10^−7");
  EXPECT_EQ(Offset(LinearTicks(0, 20000, 4)), "");
  EXPECT_EQ(Offset(LinearTicks(0, 0.004, 4)), "");
}

TEST(TicksTest, CloseNumbersShareASummand) {
  const Ticks far = LinearTicks(1e9 - 1e-4, 1e9 + 0.0021, 3);
  EXPECT_THAT(Texts(far), ElementsAre("0.000", "0.001", "0.002"));
  EXPECT_EQ(Offset(far), "+1000000000");
  const Ticks both = LinearTicks(-1, -1 + 2.1e-8, 3);
  EXPECT_THAT(Texts(both), ElementsAre("0", "1", "2"));
  EXPECT_EQ(Offset(both), "×10^−8 − 1");
}

// Ranges of all sizes and places.
std::vector<std::pair<double, double>> Ranges() {
  std::vector<std::pair<double, double>> ranges;
  for (const double length :
       {1e-280, 3e-9, 0.07, 1.0, 9.99, 123.0, 7e8, 1e300}) {
    for (const double start : {0.0, 0.3, -0.5, -1.0, 17.0, 1000.0, -1e6, 1e9}) {
      const double low = length * start;
      if (std::fabs(low) + length > 1e300) continue;
      ranges.emplace_back(low, low + length);
    }
  }
  return ranges;
}

TEST(TicksTest, LinearTicksAreFewAscendAndCoverTheRange) {
  for (const auto& [low, high] : Ranges()) {
    for (int most = 1; most <= 12; ++most) {
      const Ticks ticks = LinearTicks(low, high, most);
      SCOPED_TRACE(::testing::Message() << low << " " << high << " " << most);
      const std::vector<double>& v = ticks.values;
      ASSERT_FALSE(v.empty());
      ASSERT_LE(static_cast<int>(v.size()), most);
      ASSERT_EQ(v.size(), ticks.labels.size());
      EXPECT_GE(v.front(), low);
      EXPECT_LE(v.back(), high);
      // About half of what is allowed or more, and no label twice.
      if (most >= 5) {
        EXPECT_GE(static_cast<int>(v.size()), most / 2 - 1);
      }
      for (size_t i = 1; i < v.size(); ++i) {
        ASSERT_LT(v[i - 1], v[i]);
        EXPECT_NE(Texts(ticks)[i - 1], Texts(ticks)[i]);
      }
      if (v.size() < 2) continue;
      const double step = v[1] - v[0];
      // No tick more would fit at either end.
      const double slack = 1e-6 * step + 1e-12 * std::fabs(high);
      EXPECT_LT(v.front() - low, step + slack);
      EXPECT_LT(high - v.back(), step + slack);
      for (size_t i = 2; i < v.size(); ++i) {
        EXPECT_NEAR(v[i] - v[i - 1], step, slack);
      }
    }
  }
}

TEST(TicksTest, WholeTicksAreWhole) {
  EXPECT_THAT(WholeTicks(-0.5, 0.5, 8).values, ElementsAre(0));
  EXPECT_THAT(WholeTicks(-0.5, 4.5, 8).values, ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(Texts(WholeTicks(-0.5, 10.5, 5)), ElementsAre("0", "5", "10"));
  for (int n = 1; n < 300; ++n) {
    for (const double v : WholeTicks(-0.5, n - 0.5, 6).values) {
      EXPECT_EQ(v, std::floor(v)) << n;
    }
  }
}

TEST(TicksTest, LogExamples) {
  const Ticks decades = LogTicks(0.02, 300, 6);
  EXPECT_THAT(decades.values, ElementsAre(0.1, 1, 10, 100));
  EXPECT_THAT(Texts(decades), ElementsAre("10^−1", "10^0", "10^1", "10^2"));
  EXPECT_EQ(decades.minor.front(), 0.03);
  EXPECT_EQ(decades.minor.back(), 200);
  const Ticks sparse = LogTicks(1e-9, 1e9, 4);
  EXPECT_THAT(Texts(sparse), ElementsAre("10^−5", "10^0", "10^5"));
  EXPECT_THAT(Texts(LogTicks(1.5, 60, 8)),
              ElementsAre("2", "5", "10", "20", "50"));
  EXPECT_THAT(Texts(LogTicks(1.3, 7.5, 8)),
              ElementsAre("1.5", "2", "3", "5", "7"));
  EXPECT_THAT(Texts(LogTicks(1.5e-7, 6e-6, 8)),
              ElementsAre("2×10^−7", "5×10^−7", "10^−6", "2×10^−6", "5×10^−6"));
  // Too narrow for any of these.
  EXPECT_THAT(LogTicks(4.1, 4.6, 5).values,
              ElementsAre(DoubleEq(4.2), DoubleEq(4.4), DoubleEq(4.6)));
}

TEST(TicksTest, LogTicksAreFewAscendAndLieWithin) {
  for (int from = -300; from < 300; from += 7) {
    for (const double decades :
         {0.01, 0.3, 0.9, 1.0, 1.7, 2.0, 5.5, 11.0, 90.0}) {
      const double low = 1.7 * std::pow(10.0, from);
      const double high = low * std::pow(10.0, decades);
      if (high > 1e300) continue;
      for (int most = 1; most <= 9; ++most) {
        const Ticks ticks = LogTicks(low, high, most);
        SCOPED_TRACE(::testing::Message() << low << " " << high << " " << most);
        ASSERT_FALSE(ticks.values.empty());
        ASSERT_LE(static_cast<int>(ticks.values.size()), most);
        ASSERT_EQ(ticks.values.size(), ticks.labels.size());
        EXPECT_GE(ticks.values.front(), low);
        EXPECT_LE(ticks.values.back(), high);
        for (const std::vector<double>* v : {&ticks.values, &ticks.minor}) {
          for (size_t i = 1; i < v->size(); ++i) {
            ASSERT_LT((*v)[i - 1], (*v)[i]);
          }
        }
        for (const double minor : ticks.minor) {
          EXPECT_GE(minor, low * (1 - 1e-9));
          EXPECT_LE(minor, high * (1 + 1e-9));
        }
      }
    }
  }
}

TEST(TicksTest, Numbers) {
  EXPECT_EQ(FixedNumber(-0.04, 1), "0.0");
  EXPECT_EQ(FixedNumber(-0.06, 1), "−0.1");
  EXPECT_EQ(FixedNumber(1234.5, 0), "1234");
  EXPECT_EQ(ShortNumber(0.25, 3), "0.25");
  EXPECT_EQ(ShortNumber(-3e-7, 3), "−3e−7");
  EXPECT_EQ(ShortNumber(1.5e20, 3), "1.5e20");
}

TEST(TicksDeathTest, LimitsInOrder) {
  EXPECT_DEATH(LinearTicks(1, 1, 5), "low < high");
  EXPECT_DEATH(LogTicks(0, 1, 5), "low > 0");
}

}  // namespace
}  // namespace septet
