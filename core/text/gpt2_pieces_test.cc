// SPDX-License-Identifier: Apache-2.0
#include "septet/core/text/gpt2_pieces.h"

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/file.h"
#include "septet/core/base/program_testutil.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/io/json_value.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;

std::vector<std::string> Pieces(absl::string_view text) {
  std::vector<std::string> pieces;
  while (!text.empty()) {
    const size_t bytes = Gpt2PieceBytes(text);
    pieces.emplace_back(text.substr(0, bytes));
    text.remove_prefix(bytes);
  }
  return pieces;
}

TEST(Gpt2PiecesTest, Golden) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const std::string file,
      ReadFileToString(Runfile("core/text/testdata/bpe_cases.json")));
  SEPTET_ASSERT_OK_AND_ASSIGN(const JsonValue value,
                              JsonValue::Parse(file, "bpe_cases.json"));
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<JsonValue> cases, value.List());
  ASSERT_EQ(cases.size(), 15u);
  for (const JsonValue& one : cases) {
    SEPTET_ASSERT_OK_AND_ASSIGN(const std::string text, one.GetString("text"));
    SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> pieces,
                                one.GetStrings("pieces"));
    EXPECT_THAT(Pieces(text), ElementsAreArray(pieces)) << text;
  }
}

TEST(Gpt2PiecesTest, WhiteSpaceLeavesItsLastCharacter) {
  EXPECT_THAT(Pieces("a \t b"), ElementsAre("a", " \t", " b"));
  EXPECT_THAT(Pieces("a \t\tb"), ElementsAre("a", " \t", "\t", "b"));
  EXPECT_THAT(Pieces("a\xe3\x80\x80\xe3\x80\x80z"),
              ElementsAre("a", "\xe3\x80\x80", "\xe3\x80\x80", "z"));
  EXPECT_THAT(Pieces("\xc2\x85 "), ElementsAre("\xc2\x85 "));
  // No white space: U+001C, U+180E, U+200B.
  EXPECT_THAT(Pieces(" \x1c"), ElementsAre(" \x1c"));
  EXPECT_THAT(Pieces(" \xe1\xa0\x8e"), ElementsAre(" \xe1\xa0\x8e"));
  EXPECT_THAT(Pieces(" \xe2\x80\x8b"), ElementsAre(" \xe2\x80\x8b"));
}

TEST(Gpt2PiecesTest, Contractions) {
  EXPECT_THAT(Pieces("'sx 'll"), ElementsAre("'s", "x", " '", "ll"));
  EXPECT_THAT(Pieces("'v've"), ElementsAre("'", "v", "'ve"));
  EXPECT_THAT(Pieces("'"), ElementsAre("'"));
  EXPECT_THAT(Pieces("!'s"), ElementsAre("!'", "s"));
}

TEST(Gpt2PiecesTest, CategoriesOfUnicode) {
  // A combining accent (Mn) is no letter; U+2160 (Nl) and U+00BD (No) are
  // digits; U+02B0 (Lm) and U+01C5 (Lt) are letters.
  EXPECT_THAT(Pieces("e\xcc\x81"
                     "a"),
              ElementsAre("e", "\xcc\x81", "a"));
  EXPECT_THAT(Pieces("1\xe2\x85\xa0\xc2\xbd"),
              ElementsAre("1\xe2\x85\xa0\xc2\xbd"));
  EXPECT_THAT(Pieces("a\xca\xb0\xc7\x85"), ElementsAre("a\xca\xb0\xc7\x85"));
}

TEST(Gpt2PiecesTest, BytesThatAreNoCharacterAreOthers) {
  EXPECT_THAT(Pieces("a\xff\xc3 b \xe2\x82!"),
              ElementsAre("a", "\xff\xc3", " b", " \xe2\x82!"));
}

}  // namespace
}  // namespace septet
