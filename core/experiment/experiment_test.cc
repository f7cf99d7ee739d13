// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/experiment.h"

#include <limits>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/experiment/fake_testutil.h"

namespace septet {
namespace {

using ::testing::Eq;
using ::testing::HasSubstr;

TEST(PresetTest, NamesGoBothWays) {
  ASSERT_EQ(AllPresets().size(), 3u);
  for (Preset preset : AllPresets()) {
    SEPTET_ASSERT_OK_AND_ASSIGN(Preset back, ParsePreset(PresetName(preset)));
    EXPECT_EQ(back, preset);
  }
  EXPECT_THAT(ParsePreset("quik"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       Eq("no preset \"quik\"; nearest is \"quick\" (there "
                          "are: quick, standard, full)")));
}

TEST(ExperimentTest, PackageIsTheNameBeforeTheLastSlash) {
  EXPECT_EQ(FakeExperiment("retention/recall").Package(), "retention");
  EXPECT_EQ(FakeExperiment("rl/offline/hopper").Package(), "rl/offline");
}

TEST(ExperimentTest, EffortIsThatOfThePreset) {
  const Experiment experiment = FakeExperiment("a/b");
  EXPECT_EQ(experiment.EffortOf(Preset::kQuick).seeds, 1);
  EXPECT_EQ(experiment.EffortOf(Preset::kStandard).seeds, 3);
  EXPECT_EQ(experiment.EffortOf(Preset::kFull).seeds, 5);
}

TEST(ExperimentTest, ValidateAcceptsGoodNamesOnly) {
  for (const char* name : {"a/b", "rl/offline/hopper_v2", "a1/b_"}) {
    SEPTET_EXPECT_OK(FakeExperiment(name).Validate());
  }
  for (const char* name :
       {"", "a", "a/", "/b", "a//b", "A/b", "a/1b", "a/b-c", "a/b c"}) {
    EXPECT_THAT(FakeExperiment(name).Validate(),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("expected a name like")))
        << name;
  }
}

TEST(ExperimentTest, IsGatedIfACheckIs) {
  Experiment experiment = FakeExperiment("a/b");
  EXPECT_EQ(experiment.StrictestAcceptance(), Acceptance::kGated);
  experiment.checks[0].acceptance = Acceptance::kContested;
  EXPECT_EQ(experiment.StrictestAcceptance(), Acceptance::kContested);
  experiment.checks.push_back(FakeCheck());
  EXPECT_EQ(experiment.StrictestAcceptance(), Acceptance::kGated);
}

TEST(ExperimentTest, ThresholdIsThatOfThePreset) {
  Check check;
  check.quick = 1;
  check.full = 3;
  EXPECT_EQ(check.ThresholdOf(Preset::kQuick), 1);
  EXPECT_EQ(check.ThresholdOf(Preset::kStandard), std::nullopt);
  EXPECT_EQ(check.ThresholdOf(Preset::kFull), 3);
}

TEST(ExperimentTest, ValidateNamesAllThatIsWrong) {
  Experiment experiment = FakeExperiment("a/b");
  experiment.claim = "";
  experiment.source = "two\nlines";
  experiment.checks.clear();
  experiment.run_seed = nullptr;
  experiment.quick.budget_seconds = 0;
  experiment.standard.flops = std::numeric_limits<double>::infinity();
  experiment.full.seeds = 0;
  EXPECT_THAT(
      experiment.Validate(),
      StatusIs(
          absl::StatusCode::kInvalidArgument,
          Eq("experiment \"a/b\": expected a claim of one line\n"
             "experiment \"a/b\": expected a source of one line\n"
             "experiment \"a/b\": has no run_seed function\n"
             "experiment \"a/b\": has no checks\n"
             "experiment \"a/b\": expected budget_seconds above 0 at quick, "
             "got 0\n"
             "experiment \"a/b\": expected flops above 0 at standard, got inf\n"
             "experiment \"a/b\": expected seeds of at least 1 at full, got "
             "0")));
}

TEST(ExperimentTest, ValidateNamesAllThatIsWrongWithChecks) {
  Experiment experiment = FakeExperiment("a/b");
  Check check;
  check.paper = "";
  check.tolerance = -1;
  check.standard = std::numeric_limits<double>::quiet_NaN();
  experiment.checks.push_back(check);
  experiment.checks.push_back(FakeCheck());
  experiment.checks[2].tolerance = 0.5;
  EXPECT_THAT(
      experiment.Validate(),
      StatusIs(
          absl::StatusCode::kInvalidArgument,
          Eq("experiment \"a/b\": check 1: expected a metric of one line\n"
             "experiment \"a/b\": check 1: expected a label of one line\n"
             "experiment \"a/b\": check 1: expected what the paper says, or "
             "\"-\"\n"
             "experiment \"a/b\": check 1: expected a tolerance of at least 0, "
             "got -1\n"
             "experiment \"a/b\": check 1: expected a finite threshold at "
             "standard, got nan\n"
             "experiment \"a/b\": check 2: label \"score, %\" is there twice\n"
             "experiment \"a/b\": check 2: has a tolerance, but is not "
             "kWithin")));
}

}  // namespace
}  // namespace septet
