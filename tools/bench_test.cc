// SPDX-License-Identifier: Apache-2.0
// Runs the bench program as a user does: as it is, and with fake cases.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/program_testutil.h"
#include "septet/core/base/status_testutil.h"

namespace septet {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

ProgramResult RunAny(const std::string& program,
                     std::vector<std::string> args) {
  args.insert(args.begin(), Runfile(program));
  const auto result = RunProgram(args);
  SEPTET_EXPECT_OK(result);
  return result.ok() ? *result : ProgramResult();
}

ProgramResult Fakes(const std::vector<std::string>& args) {
  return RunAny("tools/bench_fakes", args);
}

TEST(BenchTest, ListsTheCasesOfThePackages) {
  const ProgramResult result = RunAny("tools/bench", {"--list"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("crc32c/u8/1024\n"));
  EXPECT_THAT(result.out, HasSubstr("random_normal/f32/4096\n"));
}

TEST(BenchTest, RunsARealCase) {
  const ProgramResult result =
      RunAny("tools/bench", {"--filter=crc32c/u8/1024", "--rounds=5"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("oneDNN"));
  EXPECT_THAT(result.out, ContainsRegex("crc32c/u8/1024 .*GB/s.*reported"));
  EXPECT_THAT(result.out, HasSubstr("\n1 reported\n"));
}

TEST(BenchTest, AWrongResultFails) {
  const ProgramResult result = Fakes({"--rounds=5"});
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_THAT(result.out, ContainsRegex("fine/1 .* reported"));
  EXPECT_THAT(result.out, HasSubstr("wrong: INTERNAL: y[0] is 1, want 2 +- 0"));
  EXPECT_THAT(result.out, HasSubstr("1 wrong\n"));
}

TEST(BenchTest, AMissedBarFailsWithCheckOnly) {
  EXPECT_EQ(Fakes({"--rounds=5", "--filter=slow"}).exit_code, 0);
  const ProgramResult result =
      Fakes({"--rounds=5", "--filter=slow", "--check"});
  // On a machine without AVX-512, or one too busy, there is no verdict.
  const bool missed = result.out.find("\n1 missed\n") != std::string::npos;
  EXPECT_EQ(result.exit_code, missed ? 1 : 0) << result.out;
}

TEST(BenchTest, JsonHasALineForEachCase) {
  const ProgramResult result =
      Fakes({"--rounds=5", "--json", "--filter=fine,wrong"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out, StartsWith("{\"machine\":{\"cpu\":"));
  EXPECT_THAT(result.out,
              ContainsRegex("\n[{]\"name\":\"fine/1\",\"threads\":1,"
                            "\"verdict\":\"reported\",\"seconds\":"));
  EXPECT_THAT(result.out, HasSubstr("\n{\"name\":\"wrong/1\",\"threads\":1,"
                                    "\"verdict\":\"wrong\",\"error\":"));
  EXPECT_THAT(result.out, Not(HasSubstr("slow")));
}

TEST(BenchTest, BadFlagsAreUsageErrors) {
  ProgramResult result = Fakes({"--filter=fast"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("no case has \"fast\" in its name"));
  result = Fakes({"--rounds=4"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("--rounds: expected 5 to"));
  EXPECT_EQ(Fakes({"argument"}).exit_code, 2);
}

}  // namespace
}  // namespace septet
