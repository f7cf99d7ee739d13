// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/json_string.h"

#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "septet/core/base/status_testutil.h"

namespace septet {
namespace {

using ::testing::HasSubstr;

TEST(JsonStringTest, EscapesWhatMustBe) {
  EXPECT_EQ(JsonString("").value(), "\"\"");
  EXPECT_EQ(JsonString("a \"b\"\n").value(), "\"a \\\"b\\\"\\n\"");
  EXPECT_EQ(JsonString("\\ / \b\f\r\t").value(), "\"\\\\ / \\b\\f\\r\\t\"");
  EXPECT_EQ(JsonString(std::string("\0\x01\x1f\x7f", 4)).value(),
            "\"\\u0000\\u0001\\u001f\x7f\"");
  EXPECT_EQ(JsonString("caf\xc3\xa9").value(), "\"caf\xc3\xa9\"");
}

TEST(JsonStringTest, AParserReadsItBack) {
  for (int c = 0; c < 0x80; ++c) {
    const std::string text = std::string("<") + static_cast<char>(c) + ">";
    SEPTET_ASSERT_OK_AND_ASSIGN(const std::string literal, JsonString(text));
    const auto parsed = nlohmann::json::parse(literal, nullptr, false);
    ASSERT_TRUE(parsed.is_string()) << c;
    EXPECT_EQ(parsed.get<std::string>(), text);
  }
}

TEST(JsonStringTest, RefusesWhatIsNotUtf8) {
  // A lone byte, a cut sequence, an overlong one, a surrogate, too high.
  for (const char* text :
       {"a\xff", "\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80"}) {
    EXPECT_THAT(JsonString(text), StatusIs(absl::StatusCode::kInvalidArgument,
                                           HasSubstr("is not UTF-8")));
  }
  EXPECT_THAT(JsonString("a\xff"), StatusIs(absl::StatusCode::kInvalidArgument,
                                            HasSubstr("\"a\\xff\"")));
}

}  // namespace
}  // namespace septet
