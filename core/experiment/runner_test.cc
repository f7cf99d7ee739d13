// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/runner.h"

#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/experiment/experiment.h"
#include "septet/core/experiment/fake_testutil.h"
#include "septet/core/experiment/plan.h"
#include "septet/core/experiment/registry.h"
#include "septet/core/experiment/test_options.pb.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::MatchesRegex;

std::vector<ExperimentResult> RunAll(const ExperimentRegistry& registry,
                                     PlanRequest request, Plan* plan,
                                     std::string* progress) {
  request.all = true;
  const auto made = MakePlan(registry, request, 1e9);
  SEPTET_EXPECT_OK(made);
  if (!made.ok()) return {};
  *plan = *made;
  std::ostringstream out;
  const std::vector<ExperimentResult> results = RunPlan(*plan, out);
  *progress = out.str();
  return results;
}

TEST(RunnerTest, RunsInOrderAndGoesOnAfterAFailure) {
  std::vector<std::string> ran;
  ExperimentRegistry registry;
  for (const char* name : {"b/two", "a/one", "c/three"}) {
    Experiment experiment = FakeExperiment(name);
    const bool fails = experiment.name == "b/two";
    experiment.run = [&ran, name, fails](const ExperimentContext&) {
      ran.push_back(name);
      return fails ? absl::DataLossError("no data") : absl::OkStatus();
    };
    SEPTET_ASSERT_OK(registry.Add(experiment));
  }
  Plan plan;
  std::string progress;
  const auto results = RunAll(registry, {}, &plan, &progress);
  EXPECT_THAT(ran, ElementsAre("a/one", "b/two", "c/three"));
  EXPECT_THAT(progress, MatchesRegex("\\[1/3\\] a/one\n"
                                     "a/one: OK \\(.* s\\)\n"
                                     "\\[2/3\\] b/two\n"
                                     "b/two: DATA_LOSS: no data \\(.* s\\)\n"
                                     "\\[3/3\\] c/three\n"
                                     "c/three: OK \\(.* s\\)\n"));
  EXPECT_THAT(ResultsStatus(results),
              StatusIs(absl::StatusCode::kDataLoss,
                       Eq("1 of 3 experiments failed: b/two")));
  EXPECT_THAT(
      ResultsJson(plan, results),
      MatchesRegex("\\{\"preset\":\"quick\",\"passed\":2,\"failed\":1,"
                   "\"experiments\":\\["
                   "\\{\"name\":\"a/one\",\"status\":\"OK\",\"seconds\":.*\\},"
                   "\\{\"name\":\"b/two\",\"status\":\"DATA_LOSS\",.*\\},"
                   "\\{\"name\":\"c/three\",\"status\":\"OK\",.*\\}\\]\\}"));
}

TEST(RunnerTest, NothingToRunIsOk) {
  Plan plan;
  std::string progress;
  const auto results = RunAll(ExperimentRegistry(), {}, &plan, &progress);
  SEPTET_EXPECT_OK(ResultsStatus(results));
  EXPECT_EQ(progress, "");
  EXPECT_EQ(ResultsJson(plan, results),
            "{\"preset\":\"quick\",\"passed\":0,\"failed\":0,"
            "\"experiments\":[]}");
}

TEST(RunnerTest, ContextHasPresetSeedsAndCompleteOptions) {
  Experiment experiment = FakeExperiment("a/one");
  experiment.make_options = [](Preset preset) {
    auto options = std::make_unique<ExperimentTestOptions>();
    if (preset == Preset::kFull) options->set_steps(500);
    return options;
  };
  ExperimentContext seen;
  bool complete = false;
  int steps = 0;
  experiment.run = [&](const ExperimentContext& context) {
    seen = context;
    const auto& options = context.OptionsAs<ExperimentTestOptions>();
    steps = options.steps();
    complete = options.has_steps() && options.has_rate();
    return absl::OkStatus();
  };
  ExperimentRegistry registry;
  SEPTET_ASSERT_OK(registry.Add(experiment));
  Plan plan;
  std::string progress;
  PlanRequest request;
  SEPTET_EXPECT_OK(ResultsStatus(RunAll(registry, request, &plan, &progress)));
  EXPECT_EQ(seen.preset, Preset::kQuick);
  EXPECT_EQ(seen.seeds, 1);
  EXPECT_EQ(steps, 10);
  EXPECT_TRUE(complete);
  request.preset = Preset::kFull;
  request.seeds = 7;
  SEPTET_EXPECT_OK(ResultsStatus(RunAll(registry, request, &plan, &progress)));
  EXPECT_EQ(seen.preset, Preset::kFull);
  EXPECT_EQ(seen.seeds, 7);
  EXPECT_EQ(steps, 500);
}

TEST(RunnerTest, InvalidOptionsAreAFailure) {
  Experiment experiment = FakeExperiment("a/one");
  experiment.make_options = [](Preset) {
    auto options = std::make_unique<ExperimentTestOptions>();
    options->set_steps(0);
    return options;
  };
  ExperimentRegistry registry;
  SEPTET_ASSERT_OK(registry.Add(experiment));
  Plan plan;
  std::string progress;
  const auto results = RunAll(registry, {}, &plan, &progress);
  ASSERT_EQ(results.size(), 1u);
  EXPECT_THAT(results[0].status,
              StatusIs(absl::StatusCode::kInvalidArgument,
                       Eq("options: steps: expected at least 1, got 0")));
  EXPECT_THAT(ResultsStatus(results),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       Eq("1 of 1 experiment failed: a/one")));
}

TEST(RunnerDeathTest, OptionsOfAnotherTypeAbort) {
  ExperimentContext context;
  EXPECT_DEATH((void)context.OptionsAs<ExperimentTestOptions>(),
               "septet.ExperimentTestOptions");
}

}  // namespace
}  // namespace septet
