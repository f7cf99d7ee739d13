// SPDX-License-Identifier: Apache-2.0
// Runs the reproduce program as a user does: as it is, and with fake
// experiments.
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/file.h"
#include "septet/core/base/program_testutil.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/experiment/verdict.h"

namespace septet {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;

class ReproduceTest : public ::testing::Test {
 protected:
  ReproduceTest() {
    std::string folder = ::testing::TempDir() + "/reproduce_XXXXXX";
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    out_ = folder;
    unsetenv("SEPTET_FAKE_SIGNAL");
  }

  ProgramResult Run(const std::string& program, std::vector<std::string> args) {
    args.insert(args.begin(), Runfile(program));
    args.push_back("--out=" + out_);
    const auto result = RunProgram(args);
    SEPTET_EXPECT_OK(result);
    return result.ok() ? *result : ProgramResult();
  }

  ProgramResult Reproduce(const std::vector<std::string>& args) {
    return Run("tools/reproduce", args);
  }

  ProgramResult WithFakes(const std::vector<std::string>& args) {
    return Run("tools/reproduce_fakes", args);
  }

  ProgramResult Counting(int signal) {
    setenv("SEPTET_FAKE_SIGNAL", absl::StrCat(signal).c_str(), 1);
    ProgramResult result = WithFakes({"faults", "--seeds=3"});
    unsetenv("SEPTET_FAKE_SIGNAL");
    return result;
  }

  std::string out_;
};

TEST_F(ReproduceTest, HelpListsEveryFlagWithItsDefault) {
  const ProgramResult result = Reproduce({"--help"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  EXPECT_EQ(result.out, R"(usage: reproduce [FLAG]... [PACKAGE|EXPERIMENT]...
Runs the experiments behind the claims of the papers. Without a name: the flagship
experiment of each package. What an earlier run has finished is not run again.

flags:
  name       type                 default                range      help
  --preset   quick|standard|full  quick                             Size of each experiment.
  --all      bool                 false                             Run every experiment.
  --seeds    int32                0                      0 to 1000  Seeds of each experiment; 0: what it has at the preset.
  --out      string               septet_runs/reproduce             Folder for what the runs write.
  --fresh    bool                 false                             Remove earlier runs of these experiments; else they go on.
  --threads  int32                0                      0 to 1024  Threads that calculate; 0: one for each core.
  --list     bool                 false                             Only list the experiments.
  --help     bool                 false                             Prints this.
)");
}

TEST_F(ReproduceTest, UnknownFlagIsAUsageErrorWithTheNearest) {
  const ProgramResult result = Reproduce({"--presett=quick"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_EQ(result.err,
            "reproduce: unknown flag --presett; nearest is \"--preset\" (there "
            "are: --preset, --all, --seeds, --out, --fresh, --threads, --list, "
            "--help)\n"
            "See `reproduce --help`.\n");
}

TEST_F(ReproduceTest, BadValuesAreUsageErrors) {
  const ProgramResult result = Reproduce({"--preset=fast", "--seeds=-1"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.err,
            "reproduce: --preset: no value \"fast\" (there are: quick, "
            "standard, full)\n"
            "reproduce: --seeds: expected 0 to 1000, got -1\n"
            "See `reproduce --help`.\n");
}

TEST_F(ReproduceTest, AnEmptyFolderIsAUsageError) {
  // Not the root of the file system.
  out_ = "";
  const ProgramResult result = WithFakes({"retention"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_EQ(result.err,
            "reproduce: --out: expected a folder, got \"\"\n"
            "See `reproduce --help`.\n");
}

TEST_F(ReproduceTest, UnknownNameIsAUsageErrorWithTheNearest) {
  const ProgramResult result = WithFakes({"retension/recal"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_EQ(result.err,
            "reproduce: no package or experiment \"retension/recal\"; nearest "
            "is \"retention/recall\" (packages: faults, retention, "
            "rl/offline)\n"
            "See `reproduce --help`.\n");
  EXPECT_EQ(WithFakes({"--all", "retention"}).exit_code, 2);
  EXPECT_EQ(Reproduce({"no_such_package"}).exit_code, 2);
}

TEST_F(ReproduceTest, ListPrintsWithoutRunning) {
  ProgramResult result = WithFakes({"--list"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  EXPECT_THAT(result.out, HasSubstr("retention/copy "));
  EXPECT_THAT(result.out, HasSubstr("rl/offline/broken "));
  EXPECT_THAT(result.out, Not(HasSubstr("recall at")));
  result = WithFakes({"--list", "retention"});
  EXPECT_THAT(result.out, Not(HasSubstr("rl/offline")));
  EXPECT_EQ(Reproduce({"--list"}).exit_code, 0);
}

TEST_F(ReproduceTest, RunsTheFlagshipsAndSumsUp) {
  const ProgramResult result = WithFakes({});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, StartsWith("Plan: 3 experiments at preset quick"));
  EXPECT_THAT(result.out, HasSubstr(" of the peak), budget 1 min 30 s.\n"));
  EXPECT_THAT(result.out, HasSubstr("\nrecall at quick of seed 1\n"));
  EXPECT_THAT(
      result.out,
      HasSubstr("\nretention/recall: Claim of retention/recall. (Source of "
                "retention/recall)\n"
                "  check     paper  measured (mean)  worst seed  threshold  "
                "verdict\n"
                "  score, %  2      1                1           ≥ 1        "
                "met\n"));
  EXPECT_THAT(result.out,
              HasSubstr("\n{\"preset\":\"quick\",\"passed\":3,\"failed\":0,"));
  EXPECT_THAT(result.err,
              HasSubstr("[2/3] retention/recall\n  seed 1: begins\n"));
  SEPTET_EXPECT_OK(ReadVerdict(out_ + "/rl/offline/hopper/quick/verdict.json"));
}

TEST_F(ReproduceTest, AllPrintsItsSum) {
  const ProgramResult result = WithFakes({"--all"});
  EXPECT_THAT(result.out, StartsWith("Plan: 7 experiments at preset quick"));
  EXPECT_THAT(result.out, HasSubstr(" budget 3 min 30 s.\n"));
}

TEST_F(ReproduceTest, PresetAndSeedsReachTheExperiment) {
  ProgramResult result =
      WithFakes({"retention/recall", "--preset=full", "--seeds", "4"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("\nrecall at full of seed 4\n"));
  EXPECT_THAT(result.out, HasSubstr("\n  full, seeds 1 to 4, "));
  result = WithFakes({"retention/recall", "--preset=standard"});
  EXPECT_THAT(result.out, HasSubstr("\nrecall at standard of seed 3\n"));
}

TEST_F(ReproduceTest, WhatIsDoneIsNotRunAgainUnlessFresh) {
  EXPECT_THAT(WithFakes({"retention/recall"}).out, HasSubstr("recall at"));
  ProgramResult result = WithFakes({"retention/recall", "--seeds=2"});
  EXPECT_THAT(result.out, Not(HasSubstr("of seed 1\n")));
  EXPECT_THAT(result.out, HasSubstr("recall at quick of seed 2\n"));
  EXPECT_THAT(result.out, HasSubstr("  2 (1 done)  "));
  result = WithFakes({"retention/recall", "--seeds=2", "--fresh"});
  EXPECT_THAT(result.out, HasSubstr("recall at quick of seed 1\n"));
  EXPECT_THAT(result.out, Not(HasSubstr("done)")));
}

TEST_F(ReproduceTest, KilledInTheMiddleItGoesOnThere) {
  ProgramResult result = Counting(SIGKILL);
  EXPECT_EQ(result.exit_code, 128 + SIGKILL);
  EXPECT_THAT(result.out, HasSubstr("seed 2 counts 2\n"));
  result = WithFakes({"faults", "--seeds=3"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("  3 (1 done)  "));
  EXPECT_THAT(result.out, HasSubstr("\nseed 2 counts 3\nseed 2 counts 4\n"
                                    "seed 3 counts 1\n"));
  EXPECT_THAT(result.out, Not(HasSubstr("seed 1 counts")));
  EXPECT_THAT(result.out, Not(HasSubstr("seed 2 counts 2")));
  EXPECT_THAT(result.err, HasSubstr("  seed 2: goes on\n"));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Verdict verdict,
      ReadVerdict(out_ + "/faults/counting/quick/verdict.json"));
  EXPECT_THAT(verdict.checks[0].by_seed, ::testing::ElementsAre(11, 12, 13));
}

TEST_F(ReproduceTest, CtrlCSaysHowToGoOn) {
  for (int signal : {SIGINT, SIGTERM}) {
    ProgramResult result = Counting(signal);
    EXPECT_EQ(result.exit_code, 128 + signal);
    EXPECT_THAT(result.out, HasSubstr("seed 2 counts 2\n{\"preset\":"));
    EXPECT_THAT(result.out, HasSubstr("\"status\":\"CANCELLED\""));
    EXPECT_THAT(
        result.err,
        HasSubstr("; what is finished is kept, and the same command goes on "
                  "from there, without --fresh if that was given\n"));
    EXPECT_TRUE(std::filesystem::exists(
        out_ + "/faults/counting/quick/seed_1/result.json"));
    result = WithFakes({"faults", "--seeds=3"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.out, HasSubstr("\nseed 2 counts 3\n"));
    std::filesystem::remove_all(out_);
  }
}

TEST_F(ReproduceTest, OnlyAGatedCheckThatIsMissedIsExitCode1) {
  ProgramResult result = WithFakes({"rl/offline/missed"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out, HasSubstr("  ≥ 1        missed\n"));
  EXPECT_THAT(result.err, HasSubstr("\nreproduce: 1 of 1 experiment missed a "
                                    "gated check: rl/offline/missed\n"));
  result = WithFakes({"rl/offline/contested"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("  ≥ 1        as found\n"));
}

TEST_F(ReproduceTest, AFailingRunIsAnErrorOfItsOwn) {
  const ProgramResult result = WithFakes({"--all"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("rl/offline/broken: DATA_LOSS: seed 1: no "
                                    "such weights"));
  EXPECT_THAT(result.err,
              HasSubstr("\nreproduce: 1 of 7 experiments missed a gated check: "
                        "rl/offline/missed; 1 of 7 experiments could not be "
                        "run: rl/offline/broken\n"));
  EXPECT_THAT(result.err, Not(HasSubstr("--help")));
}

TEST_F(ReproduceTest, AnyNumberOfThreadsGoesOn) {
  ProgramResult result = WithFakes({"retention/recall", "--threads=1"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  result = WithFakes({"retention/recall", "--threads=3"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, Not(HasSubstr("warning")));
  EXPECT_THAT(result.err, HasSubstr("seed 1: was done before"));
}

}  // namespace
}  // namespace septet
