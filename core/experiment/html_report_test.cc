// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/html_report.h"

#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/experiment/experiment.h"
#include "septet/core/experiment/fake_testutil.h"
#include "septet/core/experiment/verdict.h"

namespace septet {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class HtmlReportTest : public ::testing::Test {
 protected:
  HtmlReportTest() {
    std::string folder = ::testing::TempDir() + "/report_XXXXXX";
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    root_ = folder;
  }

  void Write(const std::string& path, absl::string_view text) {
    const std::string full = root_ + "/" + path;
    SEPTET_ASSERT_OK(MakeDirectories(full.substr(0, full.rfind('/'))));
    SEPTET_ASSERT_OK(WriteFileAtomically(full, text));
  }

  void WriteVerdict(const std::string& path, const std::string& label,
                    double score) {
    Verdict verdict;
    verdict.experiment = "retention/recall";
    verdict.claim = "A <b>bold</b> claim & more.";
    verdict.source = "Source";
    verdict.seeds = {1};
    Check check = FakeCheck();
    check.label = label;
    verdict.checks = {JudgeCheck(check, Preset::kQuick, {score})};
    const auto json = VerdictJson(verdict);
    SEPTET_ASSERT_OK(json);
    Write(path, *json);
  }

  std::string Report() {
    std::ostringstream warnings;
    const auto page = HtmlReport(root_, root_, warnings);
    SEPTET_EXPECT_OK(page);
    warnings_ = warnings.str();
    return page.ok() ? *page : "";
  }

  // Whatever the page loads or leads to is in it or beside it.
  static void ExpectSelfContained(const std::string& page) {
    EXPECT_THAT(page, Not(HasSubstr("<script")));
    EXPECT_THAT(page, Not(HasSubstr("<link")));
    EXPECT_THAT(page, Not(HasSubstr("http:")));
    EXPECT_THAT(page, Not(HasSubstr("https:")));
    for (size_t at = page.find("src="); at != std::string::npos;
         at = page.find("src=", at + 1)) {
      EXPECT_EQ(page.substr(at, 10), "src=\"data:");
    }
    EXPECT_THAT(page, HasSubstr("content=\"default-src 'none'; img-src data:; "
                                "style-src 'unsafe-inline'\""));
  }

  std::string root_, warnings_;
};

TEST_F(HtmlReportTest, HasVerdictsFiguresManifestsAndLinks) {
  WriteVerdict("retention/recall/quick/verdict.json", "score, %", 2);
  WriteVerdict("retention/copy/quick/verdict.json", "score, %", 0.5);
  Write("retention/recall/quick/manifest.json", "{\"tool\": \"<i>\"}");
  Write("retention/recall/quick/figures/a.svg", "<svg>1</svg>");
  Write("retention/recall/quick/figures/a.png", "not shown");
  Write("retention/recall/quick/figures/a.csv", "x\n1\n");
  Write("retention/recall/quick/figures/b.png", "PNG b");
  Write("retention/recall/quick/seed_1/metrics.jsonl", "{}\n");
  Write("retention/recall/quick/seed_1/.metrics.tmp.1.1", "{");
  Write("other/notes.txt", "x");
  const std::string page = Report();
  EXPECT_EQ(warnings_, "");
  ExpectSelfContained(page);
  EXPECT_THAT(page, HasSubstr("<a href=\"#run1\">retention/copy/quick</a></td>"
                              "<td><span class=\"missed\">0 met, 1 missed, 0 "
                              "as found</span>"));
  EXPECT_THAT(page, HasSubstr("<h2 id=\"run2\">retention/recall/quick</h2>"));
  EXPECT_THAT(page, HasSubstr("<p>A &lt;b&gt;bold&lt;/b&gt; claim &amp; more. "
                              "<span class=\"small\">(Source)</span></p>"));
  EXPECT_THAT(page,
              HasSubstr("<tr><td>score, %</td><td>2</td><td>2</td><td>2</td>"
                        "<td>≥ 1</td><td class=\"met\">met</td></tr>"));
  EXPECT_THAT(page, HasSubstr("<pre>{&quot;tool&quot;: &quot;&lt;i&gt;&quot;}"
                              "</pre>"));
  EXPECT_THAT(page, HasSubstr(absl::StrCat(
                        "<img alt=\"a\" src=\"data:image/svg+xml;base64,",
                        absl::Base64Escape("<svg>1</svg>"), "\">")));
  EXPECT_THAT(page, HasSubstr(absl::StrCat(
                        "<img alt=\"b\" src=\"data:image/png;base64,",
                        absl::Base64Escape("PNG b"), "\">")));
  EXPECT_THAT(page, Not(HasSubstr(absl::Base64Escape("not shown"))));
  EXPECT_THAT(page, HasSubstr("<a href=\"retention/recall/quick/figures/a.csv"
                              "\">a.csv</a>"));
  EXPECT_THAT(page, HasSubstr("<a href=\"retention/recall/quick/seed_1/"
                              "metrics.jsonl\">metrics.jsonl</a>"));
  EXPECT_THAT(page, Not(HasSubstr(".tmp.")));
  EXPECT_THAT(page, Not(HasSubstr("notes.txt")));
}

TEST_F(HtmlReportTest, HostileNamesAndTextsAreEscaped) {
  WriteVerdict("a/verdict.json", "<script>alert('x')</script>\"|", 2);
  Write("b\"><script>/metrics.jsonl", "");
  Write("c/java\xff\nscript:x/result.json", "{}");
  Write("c/javascript:x/result.json", "{}");
  Write("a/figures/\"onload=x.png", "PNG");
  const std::string page = Report();
  ExpectSelfContained(page);
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"
                              "&quot;|"));
  EXPECT_THAT(page, HasSubstr("<a href=\"b%22%3E%3Cscript%3E/metrics.jsonl\""));
  EXPECT_THAT(page, HasSubstr("c/java\\xff\\nscript:x"));
  EXPECT_THAT(page, HasSubstr("<a href=\"c/javascript%3Ax/result.json\""));
  EXPECT_THAT(page, HasSubstr("alt=\"&quot;onload=x\""));
}

TEST_F(HtmlReportTest, WhatCannotBeReadIsSaid) {
  Write("a/verdict.json", "{\"schema_version\": 1");
  Write("b/verdict.json", "{\"schema_version\": 7}");
  Write("c/manifest.json", "\xff");
  Write("d/manifest.json", std::string((1 << 20) + 1, ' '));
  const std::string page = Report();
  ExpectSelfContained(page);
  EXPECT_THAT(page, HasSubstr("<span class=\"error\">cannot be read</span>"));
  EXPECT_THAT(page, HasSubstr("field &#39;schema_version&#39; is 7, this "
                              "program reads 1"));
  for (const char* path :
       {"/a/verdict.json", "/b/verdict.json", "/c/manifest.json: is not UTF-8",
        "/d/manifest.json: has 1048577 bytes, expected at "
        "most 1048576"}) {
    EXPECT_THAT(warnings_, HasSubstr(path));
    EXPECT_THAT(page, HasSubstr(path));
  }
}

TEST_F(HtmlReportTest, LargeFiguresAreLinks) {
  Write("a/metrics.jsonl", "");
  Write("a/figures/large.svg", std::string((8 << 20) + 1, ' '));
  Write("a/figures/large.png", "small enough");
  Write("a/figures/alone.svg", std::string((8 << 20) + 1, ' '));
  const std::string page = Report();
  EXPECT_LT(page.size(), 10000u);
  EXPECT_THAT(page, HasSubstr(absl::Base64Escape("small enough")));
  EXPECT_THAT(page, HasSubstr("<a href=\"a/figures/alone.svg\">alone.svg</a>"));
}

TEST_F(HtmlReportTest, LinksLeadFromThePage) {
  Write("runs/a/metrics.jsonl", "");
  SEPTET_ASSERT_OK(MakeDirectories(root_ + "/pages"));
  std::ostringstream warnings;
  const auto page = HtmlReport(root_ + "/runs", root_ + "/pages", warnings);
  SEPTET_ASSERT_OK(page);
  EXPECT_THAT(*page, HasSubstr("<a href=\"../runs/a/metrics.jsonl\""));
}

TEST_F(HtmlReportTest, LoopsOfLinksEnd) {
  Write("a/metrics.jsonl", "");
  std::filesystem::create_directory_symlink(root_, root_ + "/a/loop");
  const std::string page = Report();
  EXPECT_THAT(page, Not(HasSubstr("loop")));
}

TEST_F(HtmlReportTest, NothingToReportIsNotFound) {
  std::ostringstream warnings;
  EXPECT_THAT(HtmlReport(root_, root_, warnings),
              StatusIs(absl::StatusCode::kNotFound,
                       HasSubstr(root_ + ": found no folder with")));
  EXPECT_THAT(HtmlReport(root_ + "/none", root_, warnings),
              StatusIs(absl::StatusCode::kNotFound,
                       HasSubstr("open " + root_ + "/none")));
}

}  // namespace
}  // namespace septet
