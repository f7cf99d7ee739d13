// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/verdict.h"

#include <cmath>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/experiment/experiment.h"

namespace septet {
namespace {

using ::testing::ElementsAre;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

Check Quick(Comparison comparison, double threshold) {
  Check check;
  check.metric = check.label = "x";
  check.comparison = comparison;
  check.quick = threshold;
  return check;
}

TEST(JudgeCheckTest, AtLeast) {
  Check check = Quick(Comparison::kAtLeast, 3);
  JudgedCheck judged = JudgeCheck(check, Preset::kQuick, {2, 5, 4});
  EXPECT_THAT(judged.by_seed, ElementsAre(2, 5, 4));
  EXPECT_DOUBLE_EQ(judged.mean, 11.0 / 3);
  EXPECT_EQ(judged.worst, 2);
  EXPECT_EQ(judged.outcome, Outcome::kMet);
  check.judged = Statistic::kWorst;
  EXPECT_EQ(JudgeCheck(check, Preset::kQuick, {2, 5, 4}).outcome,
            Outcome::kMissed);
  // The threshold itself is good enough.
  EXPECT_EQ(JudgeCheck(check, Preset::kQuick, {3, 3}).outcome, Outcome::kMet);
}

TEST(JudgeCheckTest, AtMost) {
  Check check = Quick(Comparison::kAtMost, 3);
  JudgedCheck judged = JudgeCheck(check, Preset::kQuick, {2, 5, 4});
  EXPECT_EQ(judged.worst, 5);
  EXPECT_EQ(judged.outcome, Outcome::kMissed);
  EXPECT_EQ(JudgeCheck(check, Preset::kQuick, {3, 3}).outcome, Outcome::kMet);
  judged = JudgeCheck(check, Preset::kQuick, {0, 5});
  EXPECT_EQ(judged.outcome, Outcome::kMet);
  check.judged = Statistic::kWorst;
  judged = JudgeCheck(check, Preset::kQuick, {0, 5});
  EXPECT_EQ(judged.outcome, Outcome::kMissed);
}

TEST(JudgeCheckTest, Within) {
  Check check = Quick(Comparison::kWithin, 3);
  check.tolerance = 0.5;
  JudgedCheck judged = JudgeCheck(check, Preset::kQuick, {2.25, 3.5});
  EXPECT_EQ(judged.worst, 2.25);
  EXPECT_EQ(judged.outcome, Outcome::kMet);
  EXPECT_EQ(JudgeCheck(check, Preset::kQuick, {3.5}).outcome, Outcome::kMet);
  EXPECT_EQ(JudgeCheck(check, Preset::kQuick, {2.25}).outcome,
            Outcome::kMissed);
  EXPECT_EQ(JudgeCheck(check, Preset::kQuick, {3.75}).outcome,
            Outcome::kMissed);
  // Without a threshold the worst seed is that farthest from the mean.
  judged = JudgeCheck(check, Preset::kFull, {1, 2, 9});
  EXPECT_EQ(judged.worst, 9);
  EXPECT_EQ(judged.outcome, Outcome::kAsFound);
}

TEST(JudgeCheckTest, NanMissesAndInfinityIsAValue) {
  for (Comparison comparison :
       {Comparison::kAtLeast, Comparison::kAtMost, Comparison::kWithin}) {
    for (Statistic statistic : {Statistic::kMean, Statistic::kWorst}) {
      Check check = Quick(comparison, 3);
      check.tolerance = kInf;
      check.judged = statistic;
      const JudgedCheck judged =
          JudgeCheck(check, Preset::kQuick, {3, kNan, 3});
      EXPECT_TRUE(std::isnan(judged.mean));
      EXPECT_TRUE(std::isnan(judged.worst));
      EXPECT_EQ(judged.outcome, Outcome::kMissed);
    }
  }
  EXPECT_EQ(JudgeCheck(Quick(Comparison::kAtLeast, 3), Preset::kQuick, {kInf})
                .outcome,
            Outcome::kMet);
  EXPECT_EQ(
      JudgeCheck(Quick(Comparison::kAtMost, 3), Preset::kQuick, {kInf}).outcome,
      Outcome::kMissed);
}

TEST(JudgeCheckTest, ContestedAndUnthresholdedAreAsFound) {
  Check check = Quick(Comparison::kAtLeast, 3);
  EXPECT_EQ(JudgeCheck(check, Preset::kStandard, {1}).outcome,
            Outcome::kAsFound);
  check.acceptance = Acceptance::kContested;
  EXPECT_EQ(JudgeCheck(check, Preset::kQuick, {1}).outcome, Outcome::kAsFound);
  EXPECT_EQ(JudgeCheck(check, Preset::kQuick, {9}).outcome, Outcome::kAsFound);
}

TEST(JudgeCheckDeathTest, NeedsASeed) {
  EXPECT_DEATH(JudgeCheck(Quick(Comparison::kAtLeast, 3), Preset::kQuick, {}),
               "by_seed");
}

}  // namespace
}  // namespace septet
