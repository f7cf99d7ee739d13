// SPDX-License-Identifier: Apache-2.0
// Runs reproduce with fake experiments, and report and verdict_table on what it
// wrote.
#include <cstdlib>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/file.h"
#include "septet/core/base/program_testutil.h"
#include "septet/core/base/status_testutil.h"

namespace septet {
namespace {

using ::testing::HasSubstr;

class ReportTest : public ::testing::Test {
 protected:
  ReportTest() {
    std::string folder = ::testing::TempDir() + "/report_XXXXXX";
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
  }

  static ProgramResult Run(const std::string& program,
                           std::vector<std::string> args) {
    args.insert(args.begin(), Runfile(program));
    const auto result = RunProgram(args);
    SEPTET_EXPECT_OK(result);
    return result.ok() ? *result : ProgramResult();
  }

  void Reproduce() {
    const ProgramResult result =
        Run("tools/reproduce_fakes",
            {"retention", "--out=" + folder_ + "/results"});
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }

  std::string folder_;
};

TEST_F(ReportTest, MakesAPageOfWhatReproduceWrote) {
  Reproduce();
  ProgramResult result = Run("tools/report", {folder_ + "/results"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  EXPECT_EQ(result.out, folder_ + "/results/report.html\n");
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const std::string page,
      ReadFileToString(folder_ + "/results/report.html"));
  EXPECT_THAT(page, HasSubstr("Claim of retention/recall."));
  EXPECT_THAT(page, HasSubstr("retention/copy/quick"));
  EXPECT_THAT(page, HasSubstr("<span class=\"met\">1 met, 0 missed, 0 as "
                              "found</span>"));
  EXPECT_THAT(page, HasSubstr("href=\"retention/recall/quick/seed_1/"
                              "result.json\""));
  result = Run("tools/report",
               {folder_ + "/results", "--out=" + folder_ + "/page.html"});
  EXPECT_EQ(result.out, folder_ + "/page.html\n");
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string other,
                              ReadFileToString(folder_ + "/page.html"));
  EXPECT_THAT(other, HasSubstr("href=\"results/retention/recall/quick/"));
}

TEST_F(ReportTest, WithoutRunsOrWithTooManyFoldersItFails) {
  ProgramResult result = Run("tools/report", {folder_});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("report: " + folder_ + ": found no"));
  result = Run("tools/report", {"a", "b"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("expected one folder, got 2"));
}

TEST_F(ReportTest, VerdictTableWritesAndChecksAReadme) {
  Reproduce();
  const std::string readme = folder_ + "/README.md";
  const std::string marks =
      "# Title\n<!-- verdict: results/retention/recall/quick/verdict.json "
      "-->\n<!-- end -->\n<!-- verdict: results/retention/copy/quick/"
      "verdict.json -->\n<!-- end -->\n";
  SEPTET_ASSERT_OK(WriteFileAtomically(readme, marks));
  ProgramResult result = Run("tools/verdict_table", {"--check", readme});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("verdict_table: " + readme + ":3: is"));
  result = Run("tools/verdict_table", {readme});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, readme + ": 2 tables\n");
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string text, ReadFileToString(readme));
  EXPECT_THAT(text, HasSubstr("verdict.json -->\n| check | paper | measured"));
  EXPECT_THAT(text, HasSubstr("| score, % | 2 | 1 | 1 | ≥ 1 | met |\n"));
  EXPECT_EQ(Run("tools/verdict_table", {"--check", readme}).exit_code, 0);
  EXPECT_EQ(Run("tools/verdict_table", {}).exit_code, 2);
}

}  // namespace
}  // namespace septet
