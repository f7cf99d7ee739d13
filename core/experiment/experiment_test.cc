// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/experiment.h"

#include <limits>
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

TEST(ExperimentTest, ValidateNamesAllThatIsWrong) {
  Experiment experiment = FakeExperiment("a/b");
  experiment.claim = "";
  experiment.run = nullptr;
  experiment.quick.budget_seconds = 0;
  experiment.standard.flops = std::numeric_limits<double>::infinity();
  experiment.full.seeds = 0;
  EXPECT_THAT(
      experiment.Validate(),
      StatusIs(
          absl::StatusCode::kInvalidArgument,
          Eq("experiment \"a/b\": has no claim\n"
             "experiment \"a/b\": has no run function\n"
             "experiment \"a/b\": expected budget_seconds above 0 at quick, "
             "got 0\n"
             "experiment \"a/b\": expected flops above 0 at standard, got inf\n"
             "experiment \"a/b\": expected seeds of at least 1 at full, got "
             "0")));
}

}  // namespace
}  // namespace septet
