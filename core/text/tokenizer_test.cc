// SPDX-License-Identifier: Apache-2.0
#include "septet/core/text/tokenizer.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/text/byte_tokenizer.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

std::vector<std::string> Stream(const std::vector<int32_t>& ids) {
  const ByteTokenizer tokenizer;
  StreamDecoder decoder(&tokenizer);
  std::vector<std::string> parts;
  for (const int32_t id : ids) parts.push_back(*decoder.Add(id));
  parts.push_back(decoder.Finish());
  return parts;
}

TEST(StreamDecoderTest, HoldsBackTheBeginningOfACharacter) {
  EXPECT_THAT(Stream({'a', 0xe2, 0x82, 0xac, 'b'}),
              ElementsAre("a", "", "", "\xe2\x82\xac", "b", ""));
}

TEST(StreamDecoderTest, GivesBytesThatCannotBecomeACharacter) {
  EXPECT_THAT(Stream({0xe2, 'a', 0xff, 0x80, 0xf0, 0x9f}),
              ElementsAre("", "\xe2\x61", "\xff", "\x80", "", "", "\xf0\x9f"));
}

TEST(StreamDecoderTest, FinishBeginsANewText) {
  const ByteTokenizer tokenizer;
  StreamDecoder decoder(&tokenizer);
  SEPTET_ASSERT_OK(decoder.Add(0xc3));
  EXPECT_EQ(decoder.Finish(), "\xc3");
  EXPECT_EQ(*decoder.Add('a'), "a");
  EXPECT_EQ(decoder.Finish(), "");
}

TEST(StreamDecoderTest, AnIdOutOfRangeIsLeftOut) {
  const ByteTokenizer tokenizer;
  StreamDecoder decoder(&tokenizer);
  SEPTET_ASSERT_OK(decoder.Add('a'));
  EXPECT_THAT(decoder.Add(256),
              StatusIs(kInvalid, "Decode: ids[1] is 256, expected 0 to 255"));
  EXPECT_EQ(*decoder.Add('b'), "b");
}

TEST(ByteTokenizerTest, AnyBytesRoundTrip) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  const ByteTokenizer tokenizer;
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<int32_t> ids,
                              tokenizer.Encode(bytes));
  for (int i = 0; i < 256; ++i) EXPECT_EQ(ids[i], i);
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string back, tokenizer.Decode(ids));
  EXPECT_EQ(back, bytes);
  EXPECT_EQ(tokenizer.vocab_size(), 256);
}

TEST(ByteTokenizerTest, SpecialTokensFollowAndAreNotText) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const ByteTokenizer tokenizer,
                              ByteTokenizer::Create({"<bos>", "<eos>"}));
  EXPECT_EQ(tokenizer.vocab_size(), 258);
  EXPECT_EQ(*tokenizer.SpecialId("<eos>"), 257);
  EXPECT_EQ(*tokenizer.Decode({256, 'H', 'i', 257}), "Hi");
  EXPECT_EQ(tokenizer.Encode("<bos>")->size(), 5u);
  EXPECT_THAT(
      tokenizer.SpecialId("<pad>"),
      StatusIs(absl::StatusCode::kNotFound,
               "ByteTokenizer: no special token '<pad>', there are: <bos>, "
               "<eos>"));
  EXPECT_THAT(tokenizer.Decode({0, -1}),
              StatusIs(kInvalid, "Decode: ids[1] is -1, expected 0 to 257"));
}

TEST(ByteTokenizerTest, NamesOfSpecialTokensAreChecked) {
  EXPECT_THAT(ByteTokenizer::Create({"<a>", ""}),
              StatusIs(kInvalid, HasSubstr("special_tokens[1] is '', expected "
                                           "a name")));
  EXPECT_THAT(ByteTokenizer::Create({"<a>", "<b>", "<a>"}),
              StatusIs(kInvalid, HasSubstr("special_tokens[2] is '<a>', which "
                                           "is there already")));
}

}  // namespace
}  // namespace septet
