// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/runner.h"

#include <cstdint>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/experiment/experiment.h"
#include "septet/core/experiment/fake_testutil.h"
#include "septet/core/experiment/plan.h"
#include "septet/core/experiment/registry.h"
#include "septet/core/experiment/test_options.pb.h"
#include "septet/core/experiment/verdict.h"

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
  const std::vector<ExperimentResult> results =
      RunPlan(*plan, {::testing::TempDir() + "/runner_test"}, out);
  *progress = out.str();
  return results;
}

TEST(RunnerTest, RunsInOrderAndGoesOnAfterAFailure) {
  std::vector<std::string> ran;
  ExperimentRegistry registry;
  for (const char* name : {"b/two", "a/one", "c/three"}) {
    Experiment experiment = FakeExperiment(name);
    const bool fails = experiment.name == "b/two";
    experiment.run_seed =
        [&ran, name, fails](const SeedContext&) -> absl::StatusOr<SeedResult> {
      ran.push_back(name);
      if (fails) return absl::DataLossError("no data");
      return SeedResult{{{"score", 1.0}}};
    };
    SEPTET_ASSERT_OK(registry.Add(experiment));
  }
  Plan plan;
  std::string progress;
  const auto results = RunAll(registry, {}, &plan, &progress);
  EXPECT_THAT(ran, ElementsAre("a/one", "b/two", "c/three"));
  EXPECT_THAT(progress, MatchesRegex("\\[1/3\\] a/one\n"
                                     "a/one: passed \\(.* s\\)\n"
                                     "\\[2/3\\] b/two\n"
                                     "b/two: DATA_LOSS: no data \\(.* s\\)\n"
                                     "\\[3/3\\] c/three\n"
                                     "c/three: passed \\(.* s\\)\n"));
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
  std::vector<uint64_t> seeds;
  SeedContext seen;
  bool complete = false;
  int steps = 0;
  experiment.run_seed = [&](const SeedContext& context) {
    seen = context;
    seeds.push_back(context.seed);
    const auto& options = context.OptionsAs<ExperimentTestOptions>();
    steps = options.steps();
    complete = options.has_steps() && options.has_rate();
    return SeedResult{{{"score", 1.0}}};
  };
  ExperimentRegistry registry;
  SEPTET_ASSERT_OK(registry.Add(experiment));
  Plan plan;
  std::string progress;
  PlanRequest request;
  SEPTET_EXPECT_OK(ResultsStatus(RunAll(registry, request, &plan, &progress)));
  EXPECT_EQ(seen.preset, Preset::kQuick);
  EXPECT_THAT(seeds, ElementsAre(1));
  EXPECT_EQ(steps, 10);
  EXPECT_TRUE(complete);
  request.preset = Preset::kFull;
  request.seeds = 3;
  SEPTET_EXPECT_OK(ResultsStatus(RunAll(registry, request, &plan, &progress)));
  EXPECT_EQ(seen.preset, Preset::kFull);
  EXPECT_THAT(seeds, ElementsAre(1, 1, 2, 3));
  EXPECT_EQ(steps, 500);
}

TEST(RunnerTest, AMissedCheckIsNoErrorOfTheRun) {
  Experiment experiment = FakeExperiment("a/one");
  experiment.run_seed = [](const SeedContext&) {
    return SeedResult{{{"score", 0.5}}};
  };
  ExperimentRegistry registry;
  SEPTET_ASSERT_OK(registry.Add(experiment));
  Plan plan;
  std::string progress;
  const auto results = RunAll(registry, {}, &plan, &progress);
  ASSERT_EQ(results.size(), 1u);
  SEPTET_EXPECT_OK(results[0].status);
  EXPECT_FALSE(results[0].passed());
  ASSERT_EQ(results[0].checks.size(), 1u);
  EXPECT_EQ(results[0].checks[0].outcome, Outcome::kMissed);
  EXPECT_THAT(ResultsStatus(results),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       Eq("1 of 1 experiment failed: a/one")));
}

TEST(RunnerTest, AMetricThatIsNotThereIsAnError) {
  Experiment experiment = FakeExperiment("a/one");
  experiment.run_seed = [](const SeedContext&) { return SeedResult(); };
  ExperimentRegistry registry;
  SEPTET_ASSERT_OK(registry.Add(experiment));
  Plan plan;
  std::string progress;
  const auto results = RunAll(registry, {}, &plan, &progress);
  ASSERT_EQ(results.size(), 1u);
  EXPECT_THAT(results[0].status,
              StatusIs(absl::StatusCode::kInternal,
                       Eq("a/one measured no \"score\", which it declares a "
                          "check of")));
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
  SeedContext context;
  EXPECT_DEATH((void)context.OptionsAs<ExperimentTestOptions>(),
               "septet.ExperimentTestOptions");
}

}  // namespace
}  // namespace septet
