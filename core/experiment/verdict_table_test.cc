// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/verdict_table.h"

#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "septet/core/experiment/experiment.h"
#include "septet/core/experiment/verdict.h"

namespace septet {
namespace {

Verdict Example() {
  Verdict verdict;
  verdict.experiment = "retention/recall";
  verdict.claim = "Retention recalls.";
  verdict.source = "Sun et al. 2023";
  verdict.preset = Preset::kStandard;
  verdict.seeds = {1, 2};
  verdict.seconds = 62.4;
  verdict.environment = {{"cpu", "AMD EPYC 9R14"}, {"git", "1a2b_3c"}};
  Check check;
  check.metric = "accuracy";
  check.label = "accuracy, %";
  check.paper = "98";
  check.standard = 90;
  verdict.checks.push_back(
      JudgeCheck(check, Preset::kStandard, {91.23456, 89.5}));
  // Would look like 90 with four digits.
  check.label = "accuracy 2, %";
  verdict.checks.push_back(
      JudgeCheck(check, Preset::kStandard, {89.99996, 89.99994}));
  check.label = "steps";
  check.paper = "-";
  check.comparison = Comparison::kAtMost;
  check.judged = Statistic::kWorst;
  check.standard = 1000;
  verdict.checks.push_back(
      JudgeCheck(check, Preset::kStandard,
                 {123456, std::numeric_limits<double>::quiet_NaN()}));
  check.label = "slope";
  check.judged = Statistic::kMean;
  check.comparison = Comparison::kWithin;
  check.standard = 2;
  check.tolerance = 0.25;
  verdict.checks.push_back(JudgeCheck(check, Preset::kStandard, {2.1, 1e-9}));
  check.label = "time, s";
  check.standard.reset();
  verdict.checks.push_back(JudgeCheck(check, Preset::kStandard, {3, 5}));
  return verdict;
}

TEST(VerdictTableTest, Text) {
  EXPECT_EQ(VerdictText(Example()),
            "retention/recall: Retention recalls. (Sun et al. 2023)\n"
            "  check          paper  measured (mean)  worst seed  threshold    "
            "       verdict\n"
            "  accuracy, %    98     90.37            89.5        ≥ 90         "
            "       met\n"
            "  accuracy 2, %  98     89.9999          89.9999     ≥ 90         "
            "       missed\n"
            "  steps          -      NaN              NaN         ≤ 1000, "
            "worst seed  missed\n"
            "  slope          -      1.05             1e-09       2 ± 0.25     "
            "       missed\n"
            "  time, s        -      4                3           -            "
            "       as found\n"
            "  standard, seeds 1 to 2, 1 min 2 s on AMD EPYC 9R14, revision "
            "1a2b_3c\n");
}

TEST(VerdictTableTest, Markdown) {
  Verdict verdict = Example();
  verdict.seeds = {1, 3};
  verdict.checks.resize(1);
  EXPECT_EQ(
      VerdictMarkdown(verdict),
      "| check | paper | measured (mean) | worst seed | threshold | verdict |\n"
      "| --- | --- | --- | --- | --- | --- |\n"
      "| accuracy, % | 98 | 90.37 | 89.5 | ≥ 90 | met |\n"
      "\n"
      "retention/recall at standard, seeds 1, 3, 1 min 2 s on AMD EPYC 9R14, "
      "revision 1a2b\\_3c.\n");
}

TEST(VerdictTableTest, CsvHasAllDigits) {
  Verdict verdict = Example();
  verdict.checks.erase(verdict.checks.begin() + 1);
  EXPECT_EQ(
      VerdictCsv(verdict),
      "experiment,preset,metric,check,paper,mean,worst,comparison,threshold,"
      "tolerance,judged,acceptance,verdict,seed_1,seed_2\n"
      "retention/recall,standard,accuracy,\"accuracy, %\",98,90.36728,89.5,at "
      "least,90,0,mean,gated,met,91.23456,89.5\n"
      "retention/recall,standard,accuracy,steps,-,NaN,NaN,at most,1000,0,worst,"
      "gated,missed,123456,NaN\n"
      "retention/recall,standard,accuracy,slope,-,1.0500000005,1e-09,within,2,"
      "0.25,mean,gated,missed,2.1,1e-09\n"
      "retention/recall,standard,accuracy,\"time, s\",-,4,3,within,,0.25,mean,"
      "gated,as found,3,5\n");
}

}  // namespace
}  // namespace septet
