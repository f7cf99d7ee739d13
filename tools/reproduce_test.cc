// SPDX-License-Identifier: Apache-2.0
// Runs the reproduce program as a user does: as it is, and with fake
// experiments.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/program_testutil.h"
#include "septet/core/base/status_testutil.h"

namespace septet {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;

ProgramResult Run(const std::string& program, std::vector<std::string> args) {
  args.insert(args.begin(), Runfile(program));
  args.push_back("--out=" + ::testing::TempDir() + "/reproduce_test");
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

TEST(ReproduceTest, WithoutArgumentsPrintsItsPlan) {
  const ProgramResult result = Reproduce({});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, StartsWith("Plan: "));
  EXPECT_THAT(result.out, HasSubstr(" GFLOP/s, budget "));
  EXPECT_THAT(result.out, HasSubstr("{\"preset\":\"quick\",\"passed\":"));
}

TEST(ReproduceTest, HelpListsEveryFlagWithItsDefault) {
  const ProgramResult result = Reproduce({"--help"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  EXPECT_EQ(result.out, R"(usage: reproduce [FLAG]... [PACKAGE|EXPERIMENT]...
Runs the experiments behind the claims of the papers. Without a name: the flagship
experiment of each package.

flags:
  name      type                 default                range       help
  --preset  quick|standard|full  quick                              Size of each experiment.
  --all     bool                 false                              Run every experiment.
  --seeds   int32                0                      at least 0  Seeds of each experiment; 0: what it has at the preset.
  --out     string               septet_runs/reproduce              Folder for what the runs write.
  --list    bool                 false                              Only list the experiments.
  --help    bool                 false                              Prints this.
)");
}

TEST(ReproduceTest, UnknownFlagIsAUsageErrorWithTheNearest) {
  const ProgramResult result = Reproduce({"--presett=quick"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_EQ(result.err,
            "reproduce: unknown flag --presett; nearest is \"--preset\" (there "
            "are: --preset, --all, --seeds, --out, --list, --help)\n"
            "See `reproduce --help`.\n");
}

TEST(ReproduceTest, BadValuesAreUsageErrors) {
  const ProgramResult result = Reproduce({"--preset=fast", "--seeds=-1"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.err,
            "reproduce: --preset: no value \"fast\" (there are: quick, "
            "standard, full)\n"
            "reproduce: --seeds: expected at least 0, got -1\n"
            "See `reproduce --help`.\n");
}

TEST(ReproduceTest, UnknownNameIsAUsageErrorWithTheNearest) {
  const ProgramResult result = WithFakes({"retension/recal"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_EQ(result.err,
            "reproduce: no package or experiment \"retension/recal\"; nearest "
            "is \"retention/recall\" (packages: retention, rl/offline)\n"
            "See `reproduce --help`.\n");
  EXPECT_EQ(WithFakes({"--all", "retention"}).exit_code, 2);
  EXPECT_EQ(Reproduce({"no_such_package"}).exit_code, 2);
}

TEST(ReproduceTest, ListPrintsWithoutRunning) {
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

TEST(ReproduceTest, RunsTheFlagshipsAndSumsUp) {
  const ProgramResult result = WithFakes({});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, StartsWith("Plan: 2 experiments at preset quick"));
  EXPECT_THAT(result.out, HasSubstr("\nrecall at quick of seed 1\n"));
  EXPECT_THAT(result.out,
              HasSubstr("\n{\"preset\":\"quick\",\"passed\":2,\"failed\":0,"));
  EXPECT_THAT(result.err,
              MatchesRegex("\\[1/2\\] retention/recall\n"
                           "retention/recall: passed \\(.* s\\)\n"
                           "\\[2/2\\] rl/offline/hopper\n"
                           "rl/offline/hopper: passed \\(.* s\\)\n"));
}

TEST(ReproduceTest, PresetAndSeedsReachTheExperiment) {
  ProgramResult result =
      WithFakes({"retention/recall", "--preset=full", "--seeds", "4"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("\nrecall at full of seed 4\n"));
  result = WithFakes({"retention/recall", "--preset=standard"});
  EXPECT_THAT(result.out, HasSubstr("\nrecall at standard of seed 3\n"));
}

TEST(ReproduceTest, AFailureIsExitCode1) {
  const ProgramResult result = WithFakes({"--all"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("rl/offline/broken: DATA_LOSS: no such "
                                    "weights"));
  EXPECT_THAT(result.err, HasSubstr("\nreproduce: 1 of 4 experiments failed: "
                                    "rl/offline/broken\n"));
  EXPECT_THAT(result.err, Not(HasSubstr("--help")));
}

}  // namespace
}  // namespace septet
