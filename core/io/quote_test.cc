// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/quote.h"

#include <string>

#include "gtest/gtest.h"
#include "septet/core/io/json_string.h"

namespace septet {
namespace {

TEST(QuoteNameTest, Escapes) {
  EXPECT_EQ(QuoteName(""), "''");
  EXPECT_EQ(QuoteName("layer.0"), "'layer.0'");
  EXPECT_EQ(QuoteName("a'b\n\x1b[1m"), "'a\\'b\\n\\x1b[1m'");
  EXPECT_EQ(QuoteName("caf\xc3\xa9"), "'caf\xc3\xa9'");
  EXPECT_EQ(QuoteName(std::string("a\xff\0", 3)), "'a\\xff\\x00'");
}

TEST(QuoteNameTest, CutsBetweenCharacters) {
  EXPECT_EQ(QuoteName(std::string(100, 'x')),
            "'" + std::string(100, 'x') + "'");
  EXPECT_EQ(QuoteName(std::string(101, 'x')),
            "'" + std::string(100, 'x') + "...'");
  for (int offset = 90; offset <= 100; ++offset) {
    std::string name(offset, 'x');
    for (int i = 0; i < 10; ++i) name += "\xf0\x9f\x98\x80";
    const std::string quoted = QuoteName(name);
    EXPECT_EQ(quoted.find("\\x"), std::string::npos) << quoted;
    EXPECT_TRUE(JsonString(quoted).ok());
    EXPECT_LE(quoted.size(), 105u);
  }
  // No character at all.
  EXPECT_TRUE(JsonString(QuoteName(std::string(200, '\x80'))).ok());
}

}  // namespace
}  // namespace septet
