// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/runner.h"

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/file.h"
#include "septet/core/base/signals.h"
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
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;

// Experiments, a folder for what they write, and what became of the last run.
class RunnerTest : public ::testing::Test {
 protected:
  RunnerTest() {
    std::string folder = ::testing::TempDir() + "/runner_XXXXXX";
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    run_.out = folder;
  }

  void Add(const Experiment& experiment) {
    SEPTET_ASSERT_OK(registry_.Add(experiment));
  }

  // An experiment whose seeds write down that they were run, and measure
  // `score`.
  Experiment Logging(const std::string& name) {
    Experiment experiment = FakeExperiment(name);
    experiment.run_seed =
        [this](const SeedContext& context) -> absl::StatusOr<SeedResult> {
      ran_.push_back(
          absl::StrCat(context.seed, context.resume ? " resumed" : ""));
      SEPTET_EXPECT_OK(WriteFileAtomically(context.folder + "/work", "x"));
      return SeedResult{{{"score", score_}}};
    };
    return experiment;
  }

  // Runs all experiments, and forgets what had been run before.
  void RunAll(PlanRequest request = {}) {
    request.all = true;
    ran_.clear();
    const auto made = MakePlan(registry_, request, 1e9);
    SEPTET_ASSERT_OK(made);
    plan_ = *made;
    std::ostringstream progress;
    results_ = RunPlan(plan_, run_, progress);
    progress_ = progress.str();
  }

  void RunSeeds(int seeds) {
    PlanRequest request;
    request.seeds = seeds;
    RunAll(request);
  }

  std::string Read(const std::string& relative) {
    const auto text = ReadFileToString(absl::StrCat(run_.out, "/", relative));
    SEPTET_EXPECT_OK(text);
    return text.ok() ? *text : "";
  }

  void Write(const std::string& relative, const std::string& text) {
    SEPTET_ASSERT_OK(
        WriteFileAtomically(absl::StrCat(run_.out, "/", relative), text));
  }

  bool Exists(const std::string& relative) {
    return std::filesystem::exists(absl::StrCat(run_.out, "/", relative));
  }

  ExperimentRegistry registry_;
  RunOptions run_;
  double score_ = 1;
  std::vector<std::string> ran_;
  Plan plan_;
  std::string progress_;
  std::vector<ExperimentResult> results_;
};

TEST_F(RunnerTest, RunsInOrderAndGoesOnAfterAFailure) {
  std::vector<std::string> ran;
  for (const char* name : {"b/two", "a/one", "c/three"}) {
    Experiment experiment = FakeExperiment(name);
    experiment.run_seed =
        [&ran, name](const SeedContext&) -> absl::StatusOr<SeedResult> {
      ran.push_back(name);
      if (ran.size() == 2) return absl::DataLossError("no data");
      return SeedResult{{{"score", ran.size() == 1 ? 1.0 : 0.5}}};
    };
    Add(experiment);
  }
  RunAll();
  EXPECT_THAT(ran, ElementsAre("a/one", "b/two", "c/three"));
  EXPECT_THAT(progress_,
              MatchesRegex("\\[1/3\\] a/one\n"
                           "  seed 1: begins\n"
                           "  seed 1: done in .* s\n"
                           "a/one: passed \\(.* s\\)\n"
                           "\\[2/3\\] b/two\n"
                           "  seed 1: begins\n"
                           "b/two: DATA_LOSS: seed 1: no data \\(.* s\\)\n"
                           "\\[3/3\\] c/three\n"
                           "  seed 1: begins\n"
                           "  seed 1: done in .* s\n"
                           "c/three: missed \\(.* s\\)\n"));
  EXPECT_THAT(ResultsStatus(results_),
              StatusIs(absl::StatusCode::kDataLoss,
                       Eq("1 of 3 experiments missed a gated check: c/three; "
                          "1 of 3 experiments could not be run: b/two")));
  EXPECT_THAT(
      ResultsJson(plan_, results_),
      MatchesRegex(
          "\\{\"preset\":\"quick\",\"passed\":1,\"failed\":2,"
          "\"interrupted\":0,"
          "\"experiments\":\\["
          "\\{\"name\":\"a/one\",\"status\":\"OK\",\"verdict\":\"passed\","
          "\"seconds\":.*\\},"
          "\\{\"name\":\"b/two\",\"status\":\"DATA_LOSS\",\"verdict\":"
          "\"error\",.*\\},"
          "\\{\"name\":\"c/three\",\"status\":\"OK\",\"verdict\":\"missed\",.*"
          "\\}\\]\\}"));
}

TEST_F(RunnerTest, NothingToRunIsOk) {
  RunAll();
  SEPTET_EXPECT_OK(ResultsStatus(results_));
  EXPECT_EQ(progress_, "");
  EXPECT_EQ(ResultsText(results_), "");
  EXPECT_EQ(ResultsJson(plan_, results_),
            "{\"preset\":\"quick\",\"passed\":0,\"failed\":0,"
            "\"interrupted\":0,"
            "\"experiments\":[]}");
}

TEST_F(RunnerTest, ContextHasPresetSeedsAndCompleteOptions) {
  Experiment experiment = FakeExperiment("a/one");
  experiment.make_options = [](Preset preset) {
    auto options = std::make_unique<ExperimentTestOptions>();
    if (preset == Preset::kFull) options->set_steps(500);
    return options;
  };
  std::vector<uint64_t> seeds;
  SeedContext seen;
  int steps = 0;
  experiment.run_seed = [&](const SeedContext& context) {
    seen = context;
    seeds.push_back(context.seed);
    const auto& options = context.OptionsAs<ExperimentTestOptions>();
    steps = options.steps();
    EXPECT_TRUE(options.has_steps() && options.has_rate());
    EXPECT_TRUE(std::filesystem::is_empty(context.folder));
    *context.progress << "halfway\n";
    return SeedResult{{{"score", 1.0}}};
  };
  Add(experiment);
  RunAll();
  SEPTET_EXPECT_OK(ResultsStatus(results_));
  EXPECT_EQ(seen.preset, Preset::kQuick);
  EXPECT_FALSE(seen.resume);
  EXPECT_EQ(seen.folder, run_.out + "/a/one/quick/seed_1");
  EXPECT_THAT(seeds, ElementsAre(1));
  EXPECT_EQ(steps, 10);
  EXPECT_THAT(progress_, HasSubstr("begins\nhalfway\n"));
  PlanRequest request;
  request.preset = Preset::kFull;
  request.seeds = 3;
  RunAll(request);
  SEPTET_EXPECT_OK(ResultsStatus(results_));
  EXPECT_EQ(seen.preset, Preset::kFull);
  EXPECT_EQ(seen.folder, run_.out + "/a/one/full/seed_3");
  EXPECT_THAT(seeds, ElementsAre(1, 1, 2, 3));
  EXPECT_EQ(steps, 500);
}

TEST_F(RunnerTest, SummaryHasAllSeedsAndItsFiguresAreListed) {
  Experiment experiment = FakeExperiment("a/one");
  int calls = 0;
  experiment.summarize = [&](const SummaryContext& context) {
    ++calls;
    EXPECT_THAT(context.seeds, ElementsAre(1, 2));
    EXPECT_THAT(context.folders, ElementsAre(context.folder + "/seed_1",
                                             context.folder + "/seed_2"));
    EXPECT_EQ(context.results.size(), 2u);
    EXPECT_EQ(context.results.at(1).metrics.at("score"), 3);
    EXPECT_TRUE(std::filesystem::is_empty(context.folder + "/figures"));
    SEPTET_EXPECT_OK(
        WriteFileAtomically(context.folder + "/figures/b.svg", "<svg/>"));
    SEPTET_EXPECT_OK(MakeDirectories(context.folder + "/figures/a"));
    return WriteFileAtomically(context.folder + "/figures/a/c.csv", "x\n1\n");
  };
  Add(experiment);
  RunSeeds(2);
  SEPTET_EXPECT_OK(ResultsStatus(results_));
  // Also where all seeds were done before.
  RunSeeds(2);
  SEPTET_EXPECT_OK(ResultsStatus(results_));
  EXPECT_EQ(calls, 2);
  EXPECT_THAT(results_[0].verdict->figures,
              ElementsAre("figures/a/c.csv", "figures/b.svg"));
  EXPECT_THAT(ResultsText(results_), HasSubstr("  figure: " + run_.out +
                                               "/a/one/quick/figures/b.svg"));
}

TEST_F(RunnerTest, AFailingSummaryIsAnError) {
  Experiment experiment = FakeExperiment("a/one");
  experiment.summarize = [&](const SummaryContext&) {
    return absl::ResourceExhaustedError("no room");
  };
  Add(experiment);
  RunAll();
  EXPECT_THAT(results_[0].status, StatusIs(absl::StatusCode::kResourceExhausted,
                                           Eq("summary: no room")));
  EXPECT_FALSE(Exists("a/one/quick/verdict.json"));
}

TEST_F(RunnerTest, WritesVerdictTablesAndManifest) {
  Experiment experiment = FakeExperiment("a/one");
  Check check = FakeCheck();
  check.label = "bits, contested";
  check.metric = "bits";
  check.acceptance = Acceptance::kContested;
  experiment.checks.push_back(check);
  experiment.run_seed = [](const SeedContext& context) {
    return SeedResult{{{"score", static_cast<double>(context.seed)},
                       {"bits", 0.25},
                       {"unjudged", 7.0}}};
  };
  Add(experiment);
  RunSeeds(2);
  SEPTET_EXPECT_OK(ResultsStatus(results_));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Verdict verdict,
      ReadVerdict(run_.out + "/a/one/quick/verdict.json"));
  EXPECT_EQ(verdict.experiment, "a/one");
  EXPECT_EQ(verdict.claim, "Claim of a/one.");
  EXPECT_EQ(verdict.source, "Source of a/one");
  EXPECT_EQ(verdict.preset, Preset::kQuick);
  EXPECT_THAT(verdict.seeds, ElementsAre(1, 2));
  EXPECT_THAT(verdict.figures, IsEmpty());
  EXPECT_EQ(verdict.environment.count("git"), 1u);
  EXPECT_EQ(verdict.environment.count("cpu"), 1u);
  ASSERT_EQ(verdict.checks.size(), 2u);
  EXPECT_THAT(verdict.checks[0].by_seed, ElementsAre(1, 2));
  EXPECT_EQ(verdict.checks[0].mean, 1.5);
  EXPECT_EQ(verdict.checks[0].worst, 1);
  EXPECT_EQ(verdict.checks[0].outcome, Outcome::kMet);
  EXPECT_EQ(verdict.checks[1].outcome, Outcome::kAsFound);
  EXPECT_TRUE(verdict.passed());
  EXPECT_THAT(Read("a/one/quick/verdict.md"),
              HasSubstr("| score, % | 2 | 1.5 | 1 | ≥ 1 | met |\n"
                        "| bits, contested | 2 | 0.25 | 0.25 | ≥ 1 | as found "
                        "|\n"));
  EXPECT_THAT(Read("a/one/quick/verdict.csv"),
              HasSubstr("a/one,quick,bits,\"bits, contested\",2,0.25,0.25,at "
                        "least,1,0,mean,contested,as found,0.25,0.25\n"));
  EXPECT_THAT(Read("a/one/quick/manifest.json"),
              HasSubstr("\"experiment\": \"a/one\""));
  EXPECT_THAT(ResultsText(results_),
              HasSubstr("  check            paper  measured (mean)  worst seed "
                        " threshold  verdict\n"
                        "  score, %         2      1.5              1          "
                        " ≥ 1        met\n"));
}

TEST_F(RunnerTest, FinishedSeedsAreNotRunAgain) {
  Add(Logging("a/one"));
  RunSeeds(2);
  EXPECT_THAT(ran_, ElementsAre("1", "2"));
  RunSeeds(3);
  EXPECT_THAT(ran_, ElementsAre("3"));
  EXPECT_THAT(progress_, HasSubstr("  seed 1: was done before in "));
  EXPECT_THAT(results_[0].verdict->seeds, ElementsAre(1, 2, 3));
  // Fewer seeds than are there.
  RunSeeds(1);
  EXPECT_THAT(ran_, IsEmpty());
  EXPECT_THAT(results_[0].verdict->seeds, ElementsAre(1));
  run_.fresh = true;
  RunSeeds(2);
  EXPECT_THAT(ran_, ElementsAre("1", "2"));
  EXPECT_FALSE(Exists("a/one/quick/seed_3"));
}

TEST_F(RunnerTest, PresetsDoNotMeet) {
  Add(Logging("a/one"));
  RunAll();
  PlanRequest request;
  request.preset = Preset::kStandard;
  RunAll(request);
  EXPECT_THAT(ran_, ElementsAre("1", "2", "3"));
  RunAll();
  EXPECT_THAT(ran_, IsEmpty());
}

TEST_F(RunnerTest, AnUnfinishedSeedGoesOnInItsFolder) {
  Experiment experiment = Logging("a/one");
  const auto work = experiment.run_seed;
  bool fails = true;
  experiment.run_seed =
      [&](const SeedContext& context) -> absl::StatusOr<SeedResult> {
    auto result = work(context);
    if (context.seed == 2 && fails) return absl::DataLossError("cut off");
    return result;
  };
  Add(experiment);
  RunSeeds(3);
  EXPECT_THAT(ran_, ElementsAre("1", "2"));
  EXPECT_THAT(results_[0].status,
              StatusIs(absl::StatusCode::kDataLoss, Eq("seed 2: cut off")));
  EXPECT_FALSE(Exists("a/one/quick/verdict.json"));
  fails = false;
  RunSeeds(3);
  EXPECT_THAT(ran_, ElementsAre("2 resumed", "3"));
  EXPECT_THAT(progress_, HasSubstr("  seed 2: goes on\n"));
  SEPTET_EXPECT_OK(ResultsStatus(results_));
}

TEST_F(RunnerTest, ChangedOptionsBeginAgainAndSaySo) {
  int steps = 10;
  Experiment experiment = Logging("a/one");
  experiment.make_options = [&steps](Preset) {
    auto options = std::make_unique<ExperimentTestOptions>();
    options->set_steps(steps);
    return options;
  };
  Add(experiment);
  RunSeeds(2);
  steps = 11;
  RunSeeds(1);
  EXPECT_THAT(ran_, ElementsAre("1"));
  EXPECT_THAT(progress_,
              HasSubstr("  another run is there, all seeds begin again: steps "
                        "was 10, is now 11\n"));
  EXPECT_FALSE(Exists("a/one/quick/seed_2"));
}

TEST_F(RunnerTest, DamagedAndForeignResultsAreRunAgainWithAWarning) {
  Add(Logging("a/one"));
  RunSeeds(2);
  const std::string path = "a/one/quick/seed_1/result.json";
  const std::string good = Read(path);
  std::string other = good;
  other.replace(other.find("\"fingerprint\": \"") + 16, 4, "0000");
  std::string newer = good;
  newer.replace(newer.find(": 1"), 3, ": 9");
  std::string lacking = good;
  lacking.replace(lacking.find("score"), 5, "other");
  for (const std::string& bad :
       {good.substr(0, good.size() / 2), other, newer, lacking,
        Read("a/one/quick/seed_2/result.json"), std::string(),
        std::string("\0\xff", 2)}) {
    Write(path, bad);
    RunSeeds(2);
    EXPECT_THAT(ran_, ElementsAre("1"));
    EXPECT_THAT(progress_, HasSubstr("  warning: seed 1 begins again: "));
    EXPECT_THAT(progress_, HasSubstr(path));
    SEPTET_EXPECT_OK(ResultsStatus(results_));
    RunSeeds(2);
    EXPECT_THAT(ran_, IsEmpty());
  }
  // A folder in the way of the file.
  std::filesystem::remove(run_.out + "/" + path);
  SEPTET_ASSERT_OK(MakeDirectories(run_.out + "/" + path));
  RunSeeds(2);
  EXPECT_THAT(ran_, ElementsAre("1"));
}

TEST_F(RunnerTest, DamagedAndForeignManifestsAreErrorsThatNameTheFile) {
  Add(Logging("a/one"));
  RunAll();
  const std::string path = "a/one/quick/manifest.json";
  const std::string good = Read(path);
  Write(path, good.substr(0, good.size() / 2));
  RunAll();
  EXPECT_THAT(ran_, IsEmpty());
  EXPECT_THAT(results_[0].status,
              StatusIs(absl::StatusCode::kDataLoss,
                       HasSubstr("to begin again give --fresh: " + run_.out +
                                 "/" + path)));
  std::string foreign = good;
  foreign.replace(foreign.find("\"reproduce\""), 11, "\"train\"");
  Write(path, foreign);
  RunAll();
  EXPECT_THAT(ran_, IsEmpty());
  EXPECT_THAT(results_[0].status,
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("is of a run of 'train', not of "
                                 "'reproduce'")));
  run_.fresh = true;
  RunAll();
  EXPECT_THAT(ran_, ElementsAre("1"));
  SEPTET_EXPECT_OK(ResultsStatus(results_));
}

TEST_F(RunnerTest, AFolderThatCannotBeMadeIsAnError) {
  Add(Logging("a/one"));
  Write("a", "a file");
  RunAll();
  EXPECT_EQ(results_[0].status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(results_[0].status.message()),
              HasSubstr(run_.out + "/a"));
}

TEST_F(RunnerTest, ASeedThatCannotGoOnCanBeRemoved) {
  Experiment experiment = Logging("a/one");
  experiment.run_seed = [](const SeedContext&) -> absl::StatusOr<SeedResult> {
    return absl::DataLossError("checkpoint: damaged");
  };
  Add(experiment);
  const std::string hint =
      "  to begin seed 1 again remove " + run_.out + "/a/one/quick/seed_1\n";
  RunAll();
  EXPECT_THAT(progress_, Not(HasSubstr(hint)));
  Write("a/one/quick/seed_1/x", "of the run that was cut off");
  RunAll();
  EXPECT_THAT(progress_, HasSubstr(hint));
  EXPECT_EQ(results_[0].status.code(), absl::StatusCode::kDataLoss);
}

TEST_F(RunnerTest, AnErrorBesideASignalIsNotHidden) {
  Experiment experiment = Logging("a/one");
  experiment.run_seed = [](const SeedContext&) -> absl::StatusOr<SeedResult> {
    std::raise(SIGTERM);
    return absl::ResourceExhaustedError("write x: No space left on device");
  };
  Add(experiment);
  InterruptScope scope;
  RunAll();
  EXPECT_EQ(InterruptExitCode(ResultsStatus(results_)), 128 + SIGTERM);
  EXPECT_THAT(progress_, HasSubstr("  warning: seed 1: RESOURCE_EXHAUSTED: "
                                   "write x: No space left on device\n"));
}

TEST_F(RunnerTest, ASignalStopsBetweenSeeds) {
  Experiment experiment = Logging("a/one");
  const auto work = experiment.run_seed;
  bool signals = true;
  experiment.run_seed = [&](const SeedContext& context) {
    if (context.seed == 2 && signals) std::raise(SIGTERM);
    return work(context);
  };
  Add(experiment);
  Add(Logging("b/two"));
  {
    InterruptScope scope;
    RunSeeds(3);
  }
  EXPECT_THAT(ran_, ElementsAre("1", "2"));
  ASSERT_EQ(results_.size(), 1u);
  EXPECT_THAT(
      ResultsStatus(results_),
      StatusIs(absl::StatusCode::kCancelled,
               Eq("interrupted by SIGTERM; what is finished is kept, and the "
                  "same command goes on from there, without --fresh if that "
                  "was given")));
  EXPECT_EQ(InterruptExitCode(ResultsStatus(results_)), 128 + SIGTERM);
  EXPECT_THAT(
      ResultsJson(plan_, results_),
      HasSubstr("\"status\":\"CANCELLED\",\"verdict\":\"interrupted\""));
  EXPECT_THAT(ResultsJson(plan_, results_),
              HasSubstr("\"failed\":0,\"interrupted\":1,"));
  EXPECT_THAT(progress_, HasSubstr("\na/one: interrupted ("));
  signals = false;
  InterruptScope scope;
  RunSeeds(3);
  EXPECT_THAT(ran_, ElementsAre("3", "1", "2", "3"));
  SEPTET_EXPECT_OK(ResultsStatus(results_));
}

TEST_F(RunnerTest, ASeedThatASignalCutOffIsNotAFailure) {
  Experiment experiment = Logging("a/one");
  const auto work = experiment.run_seed;
  bool signals = true;
  experiment.run_seed =
      [&](const SeedContext& context) -> absl::StatusOr<SeedResult> {
    const auto result = work(context);
    if (!signals) return result;
    std::raise(SIGINT);
    return absl::UnavailableError("a child was interrupted");
  };
  Add(experiment);
  {
    InterruptScope scope;
    RunSeeds(2);
  }
  EXPECT_EQ(InterruptExitCode(ResultsStatus(results_)), 128 + SIGINT);
  EXPECT_THAT(progress_, HasSubstr("  warning: seed 1: UNAVAILABLE: a child "
                                   "was interrupted\na/one: interrupted ("));
  signals = false;
  InterruptScope scope;
  RunSeeds(2);
  EXPECT_THAT(ran_, ElementsAre("1 resumed", "2"));
}

TEST_F(RunnerTest, PlanCountsFinishedSeeds) {
  Add(Logging("a/one"));
  RunSeeds(2);
  PlanRequest request;
  request.all = true;
  request.seeds = 4;
  SEPTET_ASSERT_OK_AND_ASSIGN(Plan plan, MakePlan(registry_, request, 1e9));
  EXPECT_EQ(plan.experiments[0].eta_seconds, 4);
  CountFinishedSeeds(run_.out, &plan);
  EXPECT_EQ(plan.experiments[0].seeds_done, 2);
  EXPECT_EQ(plan.experiments[0].eta_seconds, 2);
  EXPECT_THAT(PlanText(plan), HasSubstr("4 (2 done)"));
  Write("a/one/quick/seed_2/result.json", "{");
  SEPTET_ASSERT_OK_AND_ASSIGN(plan, MakePlan(registry_, request, 1e9));
  CountFinishedSeeds(run_.out, &plan);
  EXPECT_EQ(plan.experiments[0].seeds_done, 1);
  CountFinishedSeeds("/nowhere", &plan);
  EXPECT_EQ(plan.experiments[0].seeds_done, 0);
}

TEST_F(RunnerTest, AMissedCheckIsNoErrorOfTheRun) {
  score_ = 0.5;
  Add(Logging("a/one"));
  RunAll();
  ASSERT_EQ(results_.size(), 1u);
  SEPTET_EXPECT_OK(results_[0].status);
  EXPECT_FALSE(results_[0].passed());
  EXPECT_EQ(results_[0].verdict->checks[0].outcome, Outcome::kMissed);
  EXPECT_THAT(ResultsStatus(results_),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       Eq("1 of 1 experiment missed a gated check: a/one")));
}

TEST_F(RunnerTest, AMetricThatIsNotThereIsAnError) {
  Experiment experiment = FakeExperiment("a/one");
  experiment.run_seed = [](const SeedContext&) { return SeedResult(); };
  Add(experiment);
  RunAll();
  ASSERT_EQ(results_.size(), 1u);
  EXPECT_THAT(results_[0].status,
              StatusIs(absl::StatusCode::kInternal,
                       Eq("seed 1: measured no \"score\", which a check of "
                          "a/one needs")));
  EXPECT_FALSE(Exists("a/one/quick/seed_1/result.json"));
}

TEST_F(RunnerTest, InvalidOptionsAreAFailure) {
  Experiment experiment = FakeExperiment("a/one");
  experiment.make_options = [](Preset) {
    auto options = std::make_unique<ExperimentTestOptions>();
    options->set_steps(0);
    return options;
  };
  Add(experiment);
  experiment.name = "a/two";
  experiment.make_options = [](Preset) { return nullptr; };
  Add(experiment);
  RunAll();
  ASSERT_EQ(results_.size(), 2u);
  EXPECT_THAT(results_[0].status,
              StatusIs(absl::StatusCode::kInvalidArgument,
                       Eq("options: steps: expected at least 1, got 0")));
  EXPECT_THAT(results_[1].status,
              StatusIs(absl::StatusCode::kInternal,
                       Eq("options: make_options gave none at quick")));
  EXPECT_THAT(
      ResultsStatus(results_),
      StatusIs(absl::StatusCode::kInvalidArgument,
               Eq("2 of 2 experiments could not be run: a/one, a/two")));
}

TEST(ContextDeathTest, OptionsOfAnotherTypeAbort) {
  SeedContext context;
  EXPECT_DEATH((void)context.OptionsAs<ExperimentTestOptions>(),
               "septet.ExperimentTestOptions");
}

}  // namespace
}  // namespace septet
