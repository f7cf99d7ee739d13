// SPDX-License-Identifier: Apache-2.0
#include "septet/core/conformance/case_list.h"

#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/conformance/case.h"

namespace septet {
namespace {

using ::testing::HasSubstr;

Case WithCases(const std::string& text) {
  return Case("file", {}, {{"cases", text}});
}

TEST(CaseListTest, ReadsValuesByType) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const CaseList cases,
      CaseList::Parse(WithCases(
          R"([{"eps": 1e-05, "n": 3}, {"n": -4, "ceil": true, "kind": "a"}])")));
  ASSERT_EQ(cases.size(), 2);
  EXPECT_EQ(*cases.Double(0, "eps"), 1e-5);
  EXPECT_EQ(*cases.Double(0, "n"), 3.0);
  EXPECT_EQ(*cases.Int(1, "n"), -4);
  EXPECT_EQ(*cases.Bool(1, "ceil"), true);
  EXPECT_EQ(*cases.String(1, "kind"), "a");
  EXPECT_TRUE(cases.Has(0, "eps"));
  EXPECT_FALSE(cases.Has(1, "eps"));
  EXPECT_FALSE(cases.Has(2, "n"));
}

TEST(CaseListTest, Errors) {
  const auto invalid = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  for (const char* text :
       {"", "{}", "[]", "[1]", R"([{"a": 1}, 2])", "[{", R"([{"a": 1}] [])"}) {
    EXPECT_THAT(CaseList::Parse(WithCases(text)),
                invalid("a JSON list of at least one object"))
        << text;
  }
  EXPECT_THAT(CaseList::Parse(Case("file", {}, {})),
              invalid("option \"cases\" is missing"));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const CaseList cases,
      CaseList::Parse(WithCases(R"([{"x": 1.5, "s": "1", "b": true}])")));
  EXPECT_THAT(cases.Int(0, "y"),
              invalid("file: entry 0 of option \"cases\" has no \"y\""));
  EXPECT_THAT(cases.Double(3, "x"), invalid("entry 3 of option"));
  EXPECT_THAT(cases.Int(0, "x"),
              invalid("file: entry 0 of option \"cases\": \"x\" is 1.5, want "
                      "an integer"));
  EXPECT_THAT(cases.Double(0, "s"), invalid("is \"1\", want a number"));
  EXPECT_THAT(cases.Bool(0, "x"), invalid("want true or false"));
  EXPECT_THAT(cases.String(0, "b"), invalid("is true, want a string"));
}

}  // namespace
}  // namespace septet
