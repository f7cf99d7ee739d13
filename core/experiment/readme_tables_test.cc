// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/readme_tables.h"

#include <cstdlib>
#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/experiment/experiment.h"
#include "septet/core/experiment/fake_testutil.h"
#include "septet/core/experiment/verdict.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::HasSubstr;

class ReadmeTablesTest : public ::testing::Test {
 protected:
  ReadmeTablesTest() {
    std::string folder = ::testing::TempDir() + "/readme_XXXXXX";
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    readme_ = folder_ + "/README.md";
    WriteVerdict("results/recall/quick", 2);
  }

  void WriteVerdict(const std::string& folder, double score) {
    Verdict verdict;
    verdict.experiment = "retention/recall";
    verdict.claim = "Claim.";
    verdict.source = "Source";
    verdict.seeds = {1};
    verdict.seconds = 3;
    verdict.checks = {JudgeCheck(FakeCheck(), Preset::kQuick, {score})};
    const auto json = VerdictJson(verdict);
    SEPTET_ASSERT_OK(json);
    SEPTET_ASSERT_OK(MakeDirectories(folder_ + "/" + folder));
    SEPTET_ASSERT_OK(
        WriteFileAtomically(folder_ + "/" + folder + "/verdict.json", *json));
  }

  void WriteReadme(const std::string& text) {
    SEPTET_ASSERT_OK(WriteFileAtomically(readme_, text));
  }

  std::string folder_, readme_;
};

constexpr char kTable[] =
    "| check | paper | measured (mean) | worst seed | threshold | verdict |\n"
    "| --- | --- | --- | --- | --- | --- |\n"
    "| score, % | 2 | 2 | 2 | ≥ 1 | met |\n"
    "\n"
    "retention/recall at quick, seed 1, 3.0 s.\n";

const char kMark[] = "<!-- verdict: results/recall/quick/verdict.json -->\n";

TEST_F(ReadmeTablesTest, FillsInTablesAndLeavesTheRest) {
  WriteReadme(std::string("# Title\n\n") + kMark + "old\n<!-- end -->\n" +
              "between\n" + kMark + "<!-- end -->\n```\n" + kMark + "```\nend");
  SEPTET_ASSERT_OK_AND_ASSIGN(const ReadmeTables tables,
                              MakeReadmeTables(readme_));
  EXPECT_EQ(tables.text, std::string("# Title\n\n") + kMark + kTable +
                             "<!-- end -->\nbetween\n" + kMark + kTable +
                             "<!-- end -->\n```\n" + kMark + "```\nend");
  EXPECT_THAT(tables.paths, ElementsAre("results/recall/quick/verdict.json",
                                        "results/recall/quick/verdict.json"));
  EXPECT_EQ(CheckReadmeTables(readme_).code(),
            absl::StatusCode::kFailedPrecondition);
  WriteReadme(tables.text);
  SEPTET_EXPECT_OK(CheckReadmeTables(readme_));
}

TEST_F(ReadmeTablesTest, CheckNamesTheLineThatDiffers) {
  std::string table = kTable;
  table.replace(table.find("| 2 | 2 | 2 |"), 13, "| 2 | 3 | 3 |");
  WriteReadme(std::string("x\n") + kMark + table + "<!-- end -->\n");
  EXPECT_THAT(
      CheckReadmeTables(readme_),
      StatusIs(
          absl::StatusCode::kFailedPrecondition,
          Eq(readme_ +
             ":5: is \"| score, % | 2 | 3 | 3 | ≥ 1 | met |\", "
             "expected \"| score, % | 2 | 2 | 2 | ≥ 1 | met |\"; bazel run "
             "//tools:verdict_table -- " +
             readme_ + " writes it")));
  WriteReadme("no tables\n");
  EXPECT_THAT(CheckReadmeTables(readme_),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("has no <!-- verdict: results/... -->")));
}

TEST_F(ReadmeTablesTest, CheckFindsVerdictsWithoutATable) {
  WriteReadme(std::string(kMark) + kTable + "<!-- end -->\n");
  SEPTET_EXPECT_OK(CheckReadmeTables(readme_));
  WriteVerdict("results/other/quick", 1);
  EXPECT_THAT(CheckReadmeTables(readme_),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       Eq(readme_ + ": has no table of "
                                    "results/other/quick/verdict.json")));
}

TEST_F(ReadmeTablesTest, MarksAreChecked) {
  WriteVerdict("results/recall/full", 1);
  const struct {
    std::string text, message;
  } cases[] = {
      {std::string("a\n") + kMark + "b\n",
       ":2: found no <!-- end --> behind <!-- verdict: "
       "results/recall/quick/verdict.json -->"},
      {std::string(kMark) + kMark + "<!-- end -->\n",
       ":1: found no <!-- end --> behind"},
      {"<!-- end -->\n",
       ":1: found <!-- end --> without <!-- verdict: ... -->"},
      {"<!-- verdict: ../x/verdict.json -->\n<!-- end -->\n",
       ":1: expected a path below the folder, got '../x/verdict.json'"},
      {"<!-- verdict: /x/verdict.json -->\n<!-- end -->\n",
       ":1: expected a path below the folder, got '/x/verdict.json'"},
      {"<!-- verdict: results/recall/full/verdict.json -->\n<!-- end -->\n",
       ":1: 'results/recall/full/verdict.json' is of 'retention/recall' at "
       "quick, expected it at .../recall/quick/verdict.json"},
  };
  for (const auto& c : cases) {
    WriteReadme(c.text);
    EXPECT_THAT(MakeReadmeTables(readme_),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr(readme_ + c.message)));
  }
  WriteReadme("<!-- verdict: results/no/verdict.json -->\n<!-- end -->\n");
  EXPECT_EQ(MakeReadmeTables(readme_).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(MakeReadmeTables(folder_ + "/none.md").status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace septet
