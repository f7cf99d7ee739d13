// SPDX-License-Identifier: Apache-2.0
#include "septet/core/text/char_tokenizer.h"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kDataLoss = absl::StatusCode::kDataLoss;

std::string TempPath(absl::string_view name) {
  return absl::StrCat(std::getenv("TEST_TMPDIR"), "/", name);
}

TEST(CharTokenizerTest, NumbersCharactersByCodePoint) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const CharTokenizer tokenizer,
      CharTokenizer::FromText("ba\n\xf0\x9f\x98\x80\xc3\xa9"
                              "ab"));
  EXPECT_EQ(tokenizer.vocab_size(), 5);
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<int32_t> ids,
                              tokenizer.Encode("\xf0\x9f\x98\x80"
                                               "ab\xc3\xa9\n"));
  EXPECT_THAT(ids, ElementsAre(4, 1, 2, 3, 0));
  EXPECT_EQ(*tokenizer.Decode(ids),
            "\xf0\x9f\x98\x80"
            "ab\xc3\xa9\n");
}

TEST(CharTokenizerTest, WhatCannotBeEncodedIsNamedWithItsByte) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const CharTokenizer tokenizer,
                              CharTokenizer::FromText("ab"));
  EXPECT_THAT(tokenizer.Encode("ab\xc3\xa9"),
              StatusIs(kInvalid,
                       "CharTokenizer: character U+00e9 '\xc3\xa9' at byte 2 "
                       "is not among the 2 of the vocabulary"));
  EXPECT_THAT(tokenizer.Encode("ab\xff"),
              StatusIs(kInvalid, "CharTokenizer: byte 2 (0xff) is not UTF-8"));
  EXPECT_THAT(tokenizer.Decode({2}),
              StatusIs(kInvalid, "Decode: ids[0] is 2, expected 0 to 1"));
  EXPECT_THAT(CharTokenizer::FromText(""),
              StatusIs(kInvalid, HasSubstr("the text is empty")));
  EXPECT_THAT(CharTokenizer::FromText("a\xc3"),
              StatusIs(kInvalid, HasSubstr("byte 1 (0xc3) is not UTF-8")));
}

TEST(CharTokenizerTest, SavedAndLoaded) {
  const std::string text("z\"\\\n\0\xe2\x80\xa8\xc3\xa9", 10);
  SEPTET_ASSERT_OK_AND_ASSIGN(const CharTokenizer tokenizer,
                              CharTokenizer::FromText(text));
  const std::string path = TempPath("chars.json");
  SEPTET_ASSERT_OK(tokenizer.Save(path));
  SEPTET_ASSERT_OK_AND_ASSIGN(const CharTokenizer loaded,
                              CharTokenizer::Load(path));
  EXPECT_EQ(*loaded.Encode(text), *tokenizer.Encode(text));
  EXPECT_EQ(loaded.vocab_size(), tokenizer.vocab_size());
  EXPECT_THAT(CharTokenizer::Load(TempPath("none.json")),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("none.json")));
  EXPECT_THAT(tokenizer.Save(TempPath("no/folder.json")),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("folder.json")));
}

TEST(CharTokenizerTest, DamagedFilesAreNamed) {
  const auto parse = [](absl::string_view bytes) {
    return CharTokenizer::Parse(bytes, "a.json");
  };
  const std::string begin = R"({"format":"septet.char_tokenizer",)";
  EXPECT_THAT(parse(""), StatusIs(kDataLoss, HasSubstr("a.json")));
  EXPECT_THAT(parse("[]"), StatusIs(kDataLoss, HasSubstr("a.json")));
  EXPECT_THAT(parse("{}"), StatusIs(kDataLoss, HasSubstr("format")));
  EXPECT_THAT(parse(R"({"format":"x"})"),
              StatusIs(kDataLoss,
                       "a.json: field 'format' is 'x', expected "
                       "'septet.char_tokenizer'"));
  EXPECT_THAT(parse(begin + R"("characters":7})"),
              StatusIs(kDataLoss, HasSubstr("'characters'")));
  EXPECT_THAT(parse(begin + R"("characters":[]})"),
              StatusIs(kDataLoss, HasSubstr("is empty")));
  EXPECT_THAT(parse(begin + R"("characters":["a","bc"]})"),
              StatusIs(kDataLoss,
                       "a.json: field 'characters[1]' is 'bc', "
                       "expected a character"));
  EXPECT_THAT(parse(begin + R"("characters":["a","b","a"]})"),
              StatusIs(kDataLoss,
                       "a.json: field 'characters[2]' is 'a', as "
                       "is [0]"));
}

}  // namespace
}  // namespace septet
