// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/plan.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/experiment/experiment.h"
#include "septet/core/experiment/fake_testutil.h"
#include "septet/core/experiment/registry.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// FLOPs a second: the fakes then take 10 s, 300 s and 5000 s.
constexpr double kRate = 1e8;

class PlanTest : public ::testing::Test {
 protected:
  PlanTest() {
    Add(FakeExperiment("retention/recall", /*flagship=*/true));
    Add(FakeExperiment("retention/copy"));
    Experiment contested = FakeExperiment("rl/offline/hopper", true);
    contested.checks[0].acceptance = Acceptance::kContested;
    Add(contested);
  }

  void Add(const Experiment& experiment) {
    SEPTET_ASSERT_OK(registry_.Add(experiment));
  }

  std::vector<std::string> Planned(const PlanRequest& request) {
    const auto plan = MakePlan(registry_, request, kRate);
    SEPTET_EXPECT_OK(plan);
    std::vector<std::string> names;
    if (!plan.ok()) return names;
    for (const PlannedExperiment& planned : plan->experiments) {
      names.push_back(planned.experiment->name);
    }
    return names;
  }

  ExperimentRegistry registry_;
};

TEST_F(PlanTest, NoNameIsTheFlagshipsAtQuick) {
  EXPECT_THAT(Planned({}),
              ElementsAre("retention/recall", "rl/offline/hopper"));
  EXPECT_EQ(PlanRequest().preset, Preset::kQuick);
}

TEST_F(PlanTest, NamesSelectPackagesAndExperimentsEachOnce) {
  PlanRequest request;
  request.names = {"rl", "retention/copy", "retention", "retention/copy"};
  EXPECT_THAT(
      Planned(request),
      ElementsAre("retention/copy", "retention/recall", "rl/offline/hopper"));
  request.names = {"retention/copy"};
  EXPECT_THAT(Planned(request), ElementsAre("retention/copy"));
}

TEST_F(PlanTest, AllIsEverything) {
  PlanRequest request;
  request.all = true;
  EXPECT_THAT(
      Planned(request),
      ElementsAre("retention/copy", "retention/recall", "rl/offline/hopper"));
}

TEST_F(PlanTest, EtaIsDeclaredFlopsOverTheRate) {
  PlanRequest request;
  SEPTET_ASSERT_OK_AND_ASSIGN(Plan plan, MakePlan(registry_, request, kRate));
  EXPECT_DOUBLE_EQ(plan.experiments[0].eta_seconds, 10);
  EXPECT_DOUBLE_EQ(plan.EtaSeconds(), 20);
  EXPECT_DOUBLE_EQ(plan.BudgetSeconds(), 60);
  EXPECT_EQ(plan.registered, 3);
  request.preset = Preset::kStandard;
  SEPTET_ASSERT_OK_AND_ASSIGN(plan, MakePlan(registry_, request, 2 * kRate));
  EXPECT_EQ(plan.experiments[0].seeds, 3);
  EXPECT_DOUBLE_EQ(plan.EtaSeconds(), 300);
  EXPECT_DOUBLE_EQ(plan.BudgetSeconds(), 600);
  // The declared FLOPs are those of 3 seeds.
  request.seeds = 6;
  SEPTET_ASSERT_OK_AND_ASSIGN(plan, MakePlan(registry_, request, 2 * kRate));
  EXPECT_EQ(plan.experiments[1].seeds, 6);
  EXPECT_DOUBLE_EQ(plan.EtaSeconds(), 600);
}

TEST_F(PlanTest, SaysWhatIsWrong) {
  PlanRequest request;
  request.names = {"retention", "retension", "rl/offline/hoper"};
  EXPECT_THAT(
      MakePlan(registry_, request, kRate),
      StatusIs(
          absl::StatusCode::kNotFound,
          Eq("no package or experiment \"retension\"; nearest is \"retention\" "
             "(packages: retention, rl/offline)\n"
             "no package or experiment \"rl/offline/hoper\"; nearest is "
             "\"rl/offline/hopper\" (packages: retention, rl/offline)")));
  request.names = {"retention"};
  request.all = true;
  EXPECT_THAT(MakePlan(registry_, request, kRate),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       Eq("expected names or everything, got both: all and "
                          "\"retention\"")));
  request.all = false;
  request.seeds = -1;
  EXPECT_THAT(MakePlan(registry_, request, kRate),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       Eq("expected seeds of at least 0, got -1")));
  EXPECT_THAT(MakePlan(registry_, {}, 0),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       Eq("expected flops_per_second above 0, got 0")));
}

TEST_F(PlanTest, TextShowsTotalsAndEachExperiment) {
  SEPTET_ASSERT_OK_AND_ASSIGN(Plan plan, MakePlan(registry_, {}, kRate));
  EXPECT_EQ(PlanText(plan),
            "Plan: 2 experiments at preset quick, ETA 20 s at 0.10 GFLOP/s "
            "(35% of the peak), budget 1 min 0 s.\n"
            "  experiment         kind       seeds  ETA   budget  claim\n"
            "  retention/recall   gated      1      10 s  30 s    Claim of "
            "retention/recall.\n"
            "  rl/offline/hopper  contested  1      10 s  30 s    Claim of "
            "rl/offline/hopper.\n");
}

TEST_F(PlanTest, ListShowsBudgetsOfAllPresets) {
  EXPECT_EQ(
      ListText(registry_.All()),
      "  experiment         kind                 quick  standard   full   "
      "     claim\n"
      "  retention/copy     gated                30 s   5 min 0 s  50 min "
      "0 s  Claim of retention/copy.\n"
      "  retention/recall   gated, flagship      30 s   5 min 0 s  50 min "
      "0 s  Claim of retention/recall.\n"
      "  rl/offline/hopper  contested, flagship  30 s   5 min 0 s  50 min "
      "0 s  Claim of rl/offline/hopper.\n");
}

TEST_F(PlanTest, DurationsAreReadable) {
  const std::vector<std::pair<double, std::string>> cases = {
      {0.04, "ETA 0.0 s"},      {9.9, "ETA 9.9 s"},
      {9.96, "ETA 10 s"},       {59.4, "ETA 59 s"},
      {59.6, "ETA 1 min 0 s"},  {3599.4, "ETA 59 min 59 s"},
      {7800, "ETA 2 h 10 min"}, {1e300, "ETA 277777777 h 46 min"},
  };
  for (const auto& c : cases) {
    PlanRequest request;
    request.names = {"retention/copy"};
    SEPTET_ASSERT_OK_AND_ASSIGN(Plan plan,
                                MakePlan(registry_, request, 1e9 / c.first));
    EXPECT_THAT(PlanText(plan), HasSubstr(c.second + " at"));
  }
}

TEST(EmptyPlanTest, SaysThatNothingIsRegistered) {
  SEPTET_ASSERT_OK_AND_ASSIGN(Plan plan,
                              MakePlan(ExperimentRegistry(), {}, 2.5e9));
  EXPECT_THAT(plan.experiments, IsEmpty());
  EXPECT_EQ(PlanText(plan),
            "Plan: 0 experiments at preset quick, ETA 0.0 s at "
            "2.50 GFLOP/s (35% of the peak), budget 0.0 s.\n"
            "No experiments are registered in this program, so there is "
            "nothing to run.\n");
  EXPECT_EQ(ListText({}), "No experiments are registered in this program.\n");
}

TEST(EmptyPlanTest, SaysThatThereIsNoFlagship) {
  ExperimentRegistry registry;
  SEPTET_ASSERT_OK(registry.Add(FakeExperiment("a/b")));
  SEPTET_ASSERT_OK_AND_ASSIGN(Plan plan, MakePlan(registry, {}, 1));
  EXPECT_THAT(PlanText(plan),
              HasSubstr("No package has a flagship experiment"));
}

TEST_F(PlanTest, BudgetsWithinTheLimitsPass) {
  SEPTET_EXPECT_OK(ValidateBudgets(registry_));
  SEPTET_EXPECT_OK(ValidateBudgets(ExperimentRegistry()));
}

TEST_F(PlanTest, BudgetsAreLimitedByExperimentAndPackage) {
  Experiment slow = FakeExperiment("rl/offline/slow");
  slow.quick.budget_seconds = 60.5;
  slow.standard.budget_seconds = 1501;
  Add(slow);
  EXPECT_THAT(
      ValidateBudgets(registry_),
      StatusIs(absl::StatusCode::kFailedPrecondition,
               Eq("rl/offline/slow at quick: expected a budget of at most 60 "
                  "s, got 60.5 s\n"
                  "package rl/offline at standard: expected a budget of at "
                  "most 1800 s, got 1801 s")));
}

TEST_F(PlanTest, GatedChecksNeedThreeSeedsAtStandard) {
  Experiment few = FakeExperiment("retention/few");
  few.standard.seeds = 2;
  Add(few);
  EXPECT_THAT(ValidateBudgets(registry_),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       Eq("retention/few at standard: expected at least 3 "
                          "seeds for the gated \"score, %\", got 2")));
  // Without a threshold there, or contested, any number will do.
  few.name = "retention/unjudged";
  few.checks[0].standard.reset();
  ExperimentRegistry registry;
  few.flagship = true;
  SEPTET_ASSERT_OK(registry.Add(few));
  SEPTET_EXPECT_OK(ValidateBudgets(registry));
}

TEST(BudgetTest, PackageIsLimitedAtQuick) {
  // 10 times 30 s is 5 minutes; one more is too much.
  ExperimentRegistry registry;
  for (int i = 0; i < 11; ++i) {
    Experiment experiment = FakeExperiment(absl::StrCat("a/x", i), i == 0);
    experiment.standard.budget_seconds = 100;
    if (i == 10) {
      SEPTET_EXPECT_OK(ValidateBudgets(registry));
    }
    SEPTET_ASSERT_OK(registry.Add(experiment));
  }
  EXPECT_THAT(ValidateBudgets(registry),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       Eq("package a at quick: expected a budget of at most "
                          "300 s, got 330 s")));
}

TEST(BudgetTest, EachPackageHasAFlagshipAndTogetherTheyAreQuick) {
  ExperimentRegistry registry;
  SEPTET_ASSERT_OK(registry.Add(FakeExperiment("none/a")));
  SEPTET_ASSERT_OK(registry.Add(FakeExperiment("two/a", true)));
  SEPTET_ASSERT_OK(registry.Add(FakeExperiment("two/b", true)));
  for (int i = 0; i < 19; ++i) {
    SEPTET_ASSERT_OK(
        registry.Add(FakeExperiment(absl::StrCat("p", i, "/a"), true)));
  }
  EXPECT_THAT(
      ValidateBudgets(registry),
      StatusIs(absl::StatusCode::kFailedPrecondition,
               Eq("package none: expected at least 1 flagship experiment, got "
                  "none\n"
                  "all flagships at quick: expected a budget of at most 600 "
                  "s, got 630 s")));
}

}  // namespace
}  // namespace septet
