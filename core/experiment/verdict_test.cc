// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/verdict.h"

#include <cmath>
#include <limits>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/experiment/experiment.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::HasSubstr;

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

Verdict Example() {
  Verdict verdict;
  verdict.experiment = "retention/recall";
  verdict.claim = "Retention \"recalls\".";
  verdict.source = "Sun et al. 2023";
  verdict.preset = Preset::kFull;
  verdict.seeds = {1, 2, 10};
  verdict.seconds = 62.4;
  verdict.environment = {{"cpu", "AMD EPYC 9R14"}, {"git", "1a2b3c"}};
  verdict.figures = {"figures/a.csv", "figures/a.svg"};
  Check check;
  check.metric = "accuracy";
  check.label = "accuracy, %";
  check.paper = "98";
  check.full = 0.1;
  verdict.checks.push_back(JudgeCheck(check, Preset::kFull, {0.1, 0.2, 0.3}));
  check.label = "other";
  check.comparison = Comparison::kWithin;
  check.tolerance = 0.5;
  check.judged = Statistic::kWorst;
  verdict.checks.push_back(JudgeCheck(check, Preset::kFull, {1, kNan, -kInf}));
  check.full.reset();
  check.label = "third";
  check.acceptance = Acceptance::kContested;
  verdict.checks.push_back(JudgeCheck(check, Preset::kFull, {1, 2, 3}));
  return verdict;
}

TEST(VerdictJsonTest, GoesToTextAndBack) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string text, VerdictJson(Example()));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Verdict back, ParseVerdict(text, "v.json"));
  EXPECT_EQ(back.experiment, "retention/recall");
  EXPECT_EQ(back.claim, "Retention \"recalls\".");
  EXPECT_EQ(back.source, "Sun et al. 2023");
  EXPECT_EQ(back.preset, Preset::kFull);
  EXPECT_THAT(back.seeds, ElementsAre(1, 2, 10));
  EXPECT_EQ(back.seconds, 62.4);
  EXPECT_EQ(back.environment, Example().environment);
  EXPECT_EQ(back.figures, Example().figures);
  ASSERT_EQ(back.checks.size(), 3u);
  EXPECT_EQ(back.checks[0].threshold, 0.1);
  EXPECT_EQ(back.checks[0].outcome, Outcome::kMet);
  EXPECT_EQ(back.checks[1].comparison, Comparison::kWithin);
  EXPECT_EQ(back.checks[1].judged, Statistic::kWorst);
  EXPECT_EQ(back.checks[1].tolerance, 0.5);
  EXPECT_EQ(back.checks[1].by_seed[2], -kInf);
  EXPECT_EQ(back.checks[1].outcome, Outcome::kMissed);
  EXPECT_EQ(back.checks[2].threshold, std::nullopt);
  EXPECT_EQ(back.checks[2].acceptance, Acceptance::kContested);
  EXPECT_EQ(back.checks[2].outcome, Outcome::kAsFound);
  EXPECT_FALSE(back.passed());
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string again, VerdictJson(back));
  EXPECT_EQ(again, text);
}

TEST(VerdictJsonTest, EveryTruncationIsAnErrorThatNamesTheFile) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string text, VerdictJson(Example()));
  for (size_t size = 0; size + 1 < text.size(); ++size) {
    EXPECT_THAT(ParseVerdict(text.substr(0, size), "v.json"),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr("v.json: ")))
        << size;
  }
}

TEST(VerdictJsonTest, DamagedFieldsAreNamed) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string text, VerdictJson(Example()));
  const struct {
    const char *from, *to, *message;
  } cases[] = {
      {"\"full\"", "\"ful\"",
       "field 'preset' is 'ful', expected one of quick, standard, full"},
      {"\"comparison\": \"within\"", "\"comparison\": \"in\"",
       "field 'checks[1].comparison' is 'in', expected one of at least, at "
       "most, within"},
      {"\"2\": 0.2", "\"2\": 0.5",
       "field 'checks[0].mean' is 0.2, its seeds have 0.3"},
      {"\"worst\": 0.1", "\"worst\": 0.2",
       "field 'checks[0].worst' is 0.2, its seeds have 0.1"},
      {"\"verdict\": \"missed\"", "\"verdict\": \"met\"",
       "field 'checks[1].verdict' is 'met', its seeds have 'missed'"},
      {"\"10\": 0.3", "\"11\": 0.3",
       "field 'checks[0].by_seed' has no field '10'"},
      {"\"2\": 0.2,", "\"2\": 0.2, \"3\": 1,",
       "field 'checks[0].by_seed' has 4 values, expected one for each of 3 "
       "seeds"},
      {"    2,\n    10\n", "    10,\n    2\n",
       "field 'seeds' has 2 after 10, expected them to grow from 0 or more"},
      {"[\n    1,", "[\n    -1,",
       "field 'seeds' has -1 after -1, expected them to grow from 0 or more"},
      {"figures/a.csv", "figures/../a.csv",
       "field 'figures' has 'figures/../a.csv', expected a path below the "
       "folder"},
      {"figures/a.csv", "/a.csv",
       "field 'figures' has '/a.csv', expected a path below the folder"},
      {"\"Sun et al. 2023\"", "\"\"",
       "field 'source' is '', expected a line of text"},
      {"\"threshold\": 0.1", "\"threshold\": \"0.1\"",
       "field 'checks[0].threshold' is the text '0.1', expected a number"},
      {"\"seconds\"", "\"second\"", "has no field 'seconds'"},
  };
  for (const auto& c : cases) {
    const size_t at = text.find(c.from);
    ASSERT_NE(at, std::string::npos) << c.from;
    std::string damaged = text;
    damaged.replace(at, std::string(c.from).size(), c.to);
    EXPECT_THAT(ParseVerdict(damaged, "v.json"),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr(c.message)))
        << c.from;
  }
  std::string newer = text;
  newer.replace(text.find(": 1"), 3, ": 2");
  EXPECT_THAT(ParseVerdict(newer, "v.json"),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       Eq("v.json: field 'schema_version' is 2, this program "
                          "reads 1")));
}

TEST(VerdictJsonTest, ReadNamesTheFile) {
  const std::string path = ::testing::TempDir() + "/verdict.json";
  EXPECT_EQ(ReadVerdict(path + "x").status().code(),
            absl::StatusCode::kNotFound);
  SEPTET_ASSERT_OK(WriteFileAtomically(path, "{}"));
  EXPECT_THAT(ReadVerdict(path),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr(path)));
}

TEST(VerdictJsonTest, TextThatIsNotUtf8IsAnError) {
  Verdict verdict = Example();
  verdict.claim = "\xff";
  EXPECT_THAT(VerdictJson(verdict),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("claim")));
}

TEST(JudgeCheckDeathTest, NeedsASeed) {
  EXPECT_DEATH(JudgeCheck(Quick(Comparison::kAtLeast, 3), Preset::kQuick, {}),
               "by_seed");
}

}  // namespace
}  // namespace septet
