// SPDX-License-Identifier: Apache-2.0
#include "septet/core/text/sentencepiece_tokenizer.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/file.h"
#include "septet/core/base/program_testutil.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/io/json_value.h"
#include "septet/core/random/stream.h"
#include "septet/core/text/sentencepiece_library_testutil.h"
#include "septet/core/text/tokenizer.h"
#include "septet/core/text/utf8.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

std::string TestData(absl::string_view name) {
  return Runfile(absl::StrCat("core/text/testdata/sentencepiece/", name));
}

std::string ModelPath(absl::string_view name) {
  return TestData(absl::StrCat(name, ".model"));
}

std::vector<int32_t> Ids(const std::vector<int64_t>& ids) {
  return {ids.begin(), ids.end()};
}

// What the library for Python gave for each model.
TEST(SentencePieceTokenizerTest, Golden) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string file,
                              ReadFileToString(TestData("cases.json")));
  SEPTET_ASSERT_OK_AND_ASSIGN(const JsonValue cases,
                              JsonValue::Parse(file, "cases.json"));
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> texts,
                              cases.GetStrings("texts"));
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<JsonValue> models,
                              cases.GetList("models"));
  ASSERT_EQ(models.size(), 10u);
  ASSERT_EQ(texts.size(), 98u);
  for (const JsonValue& model : models) {
    SEPTET_ASSERT_OK_AND_ASSIGN(const std::string name,
                                model.GetString("name"));
    SCOPED_TRACE(name);
    SEPTET_ASSERT_OK_AND_ASSIGN(const SentencePieceTokenizer tokenizer,
                                SentencePieceTokenizer::Load(ModelPath(name)));
    EXPECT_EQ(tokenizer.vocab_size(), *model.GetInteger("vocab_size"));
    EXPECT_EQ(tokenizer.unk_id(), *model.GetInteger("unk"));
    EXPECT_EQ(tokenizer.bos_id(), *model.GetInteger("bos"));
    EXPECT_EQ(tokenizer.eos_id(), *model.GetInteger("eos"));
    EXPECT_EQ(tokenizer.pad_id(), *model.GetInteger("pad"));
    SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<JsonValue> ids,
                                model.GetList("ids"));
    SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> decoded,
                                model.GetStrings("decoded"));
    ASSERT_EQ(ids.size(), texts.size());
    for (size_t i = 0; i < texts.size(); ++i) {
      SCOPED_TRACE(texts[i]);
      SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<int64_t> want,
                                  ids[i].Integers());
      SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<int32_t> got,
                                  tokenizer.Encode(texts[i]));
      EXPECT_EQ(got, Ids(want));
      EXPECT_EQ(*tokenizer.Decode(Ids(want)), decoded[i]);
    }
    SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<JsonValue> random_ids,
                                model.GetList("random_ids"));
    SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<std::string> random_texts,
                                model.GetStrings("random_texts"));
    ASSERT_EQ(random_ids.size(), random_texts.size());
    for (size_t i = 0; i < random_ids.size(); ++i) {
      SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<int64_t> sequence,
                                  random_ids[i].Integers());
      EXPECT_EQ(*tokenizer.Decode(Ids(sequence)), random_texts[i]);
      // A stream gives the same text.
      StreamDecoder decoder(&tokenizer);
      std::string text;
      for (const int64_t id : sequence) {
        SEPTET_ASSERT_OK_AND_ASSIGN(const std::string part,
                                    decoder.Add(static_cast<int32_t>(id)));
        SEPTET_EXPECT_OK(CheckUtf8(part));
        text += part;
      }
      EXPECT_EQ(text + decoder.Finish(), random_texts[i]);
    }
  }
}

// Each paragraph of some fortunes, and characters from all over Unicode, as the
// library of the system has them.
TEST(SentencePieceTokenizerTest, AsTheLibrary) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const std::string fortunes,
      ReadFileToString(absl::StrCat(std::getenv("TEST_SRCDIR"),
                                    "/dataset_fortunes/fortunes/science")));
  std::vector<std::string> texts = absl::StrSplit(fortunes, "\n%\n");
  ASSERT_GT(texts.size(), 500u);
  const RandomStream stream =
      RandomStream::Create(3, "sentencepiece_test").value();
  uint64_t element = 0;
  for (int i = 0; i < 400; ++i) {
    std::string text;
    for (uint32_t n = stream.Below(element++, 30); n > 0; --n) {
      const uint32_t kind = stream.Below(element++, 4);
      const uint32_t point = stream.Below(element++, kind == 0   ? 0x80
                                                     : kind == 1 ? 0x3400
                                                                 : 0x20000);
      if (kind == 3) {
        text += ' ';
      } else if (point > 0 && (point < 0xd800 || point > 0xdfff)) {
        AppendUtf8(point, &text);
      }
    }
    texts.push_back(text);
  }
  for (const absl::string_view name :
       {"unigram_nfkc", "unigram_bytes", "unigram_unused", "unigram_suffix",
        "unigram_no_prefix", "bpe", "bpe_bytes", "bpe_unused", "character",
        "word"}) {
    SCOPED_TRACE(name);
    SEPTET_ASSERT_OK_AND_ASSIGN(const SentencePieceTokenizer tokenizer,
                                SentencePieceTokenizer::Load(ModelPath(name)));
    const SentencePieceLibrary library(ModelPath(name));
    int tokens = 0;
    for (const std::string& text : texts) {
      const std::vector<int> want = library.Encode(text);
      SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<int32_t> ids,
                                  tokenizer.Encode(text));
      ASSERT_EQ(ids, want) << text;
      ASSERT_EQ(*tokenizer.Decode(ids), library.Decode(want)) << text;
      tokens += static_cast<int>(ids.size());
    }
    EXPECT_GT(tokens, 10000);
  }
}

TEST(SentencePieceTokenizerTest, ErrorsNameThePlace) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const SentencePieceTokenizer tokenizer,
                              SentencePieceTokenizer::Load(ModelPath("bpe")));
  EXPECT_THAT(tokenizer.Encode("abc\xff"),
              StatusIs(kInvalid,
                       "SentencePieceTokenizer: byte 3 (0xff) is "
                       "not UTF-8"));
  EXPECT_THAT(tokenizer.Decode({0, 300}),
              StatusIs(kInvalid, "Decode: ids[1] is 300, expected 0 to 299"));
  EXPECT_EQ(*tokenizer.TokenId("<s>"), 1);
  EXPECT_THAT(tokenizer.TokenId("<none>"),
              StatusIs(absl::StatusCode::kNotFound,
                       "SentencePieceTokenizer: no piece '<none>'"));
  EXPECT_THAT(SentencePieceTokenizer::Load("/none/x.model"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("x.model")));
}

// A text that would take the square of its length.
TEST(SentencePieceTokenizerTest, LongTexts) {
  const std::string text(1 << 18, 'a');
  for (const absl::string_view name : {"bpe", "unigram_no_prefix"}) {
    SEPTET_ASSERT_OK_AND_ASSIGN(const SentencePieceTokenizer tokenizer,
                                SentencePieceTokenizer::Load(ModelPath(name)));
    SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<int32_t> ids,
                                tokenizer.Encode(text));
    EXPECT_EQ(*tokenizer.Decode(ids), text);
  }
}

// Fields of protobuf: a tag and a length, below 128 here, before bytes.
std::string Bytes(int number, absl::string_view bytes) {
  std::string out = {static_cast<char>(number << 3 | 2)};
  size_t length = bytes.size();
  while (length >= 128) {
    out += static_cast<char>(length | 128);
    length >>= 7;
  }
  out += static_cast<char>(length);
  return absl::StrCat(out, bytes);
}
std::string Number(int number, int value) {
  std::string out;
  if (number >= 16) {
    out = {static_cast<char>((number << 3 & 127) | 128),
           static_cast<char>(number >> 4)};
  } else {
    out = {static_cast<char>(number << 3)};
  }
  return out + static_cast<char>(value);
}
std::string Score(absl::string_view bytes) {
  return absl::StrCat("\x15", bytes);
}
std::string Piece(absl::string_view text, int type,
                  absl::string_view more = "") {
  return Bytes(1, absl::StrCat(Bytes(1, text), Number(3, type), more));
}

absl::StatusOr<SentencePieceTokenizer> Parse(absl::string_view file) {
  return SentencePieceTokenizer::Parse(file, "x.model");
}

TEST(SentencePieceTokenizerTest, DamagedMessagesAreNamed) {
  const std::string at = "x.model: not a SentencePiece model: at byte ";
  const std::string unknown = Piece("<unk>", 2);
  SEPTET_EXPECT_OK(Parse(unknown));
  EXPECT_THAT(Parse("\xff"),
              StatusIs(kDataLoss, at + "0: the tag of a field is cut off"));
  EXPECT_THAT(Parse(std::string(1, '\0')),
              StatusIs(kDataLoss, at + "0: a field has the number 0"));
  EXPECT_THAT(Parse(unknown + "\x0a\x05x"),
              StatusIs(kDataLoss, absl::StrCat(at, unknown.size(),
                                               ": field 1 has 5 bytes, there "
                                               "are 1")));
  EXPECT_THAT(Parse("\x0a\xff"),
              StatusIs(kDataLoss, at + "0: field 1 is cut off"));
  EXPECT_THAT(Parse("\x08\xff"),
              StatusIs(kDataLoss, at + "0: field 1 is cut off"));
  EXPECT_THAT(Parse("\x35\x01"),
              StatusIs(kDataLoss, at + "0: field 6 is cut off"));
  EXPECT_THAT(Parse("\x0b"), StatusIs(kDataLoss, at + "0: field 1 has the wire "
                                                      "type 3, expected 0, 1, "
                                                      "2 or 5"));
  EXPECT_THAT(Parse(Number(1, 5)),
              StatusIs(kDataLoss, at + "0: pieces has the wire type 0, "
                                       "expected 2"));
  EXPECT_THAT(Parse(Bytes(1, Number(1, 5))),
              StatusIs(kDataLoss, at + "2: piece has the wire type 0, "
                                       "expected 2"));
  EXPECT_THAT(Parse(unknown + Bytes(2, Number(3, 9))),
              StatusIs(kDataLoss,
                       "x.model: model_type is 9, expected 1 to "
                       "4"));
  EXPECT_THAT(Parse(unknown + Bytes(5, Bytes(2, "x"))),
              StatusIs(absl::StatusCode::kUnimplemented,
                       HasSubstr("denormalizer_spec has rules")));
}

TEST(SentencePieceTokenizerTest, DamagedPiecesAreNamed) {
  const std::string unknown = Piece("<unk>", 2);
  const std::string fallback = Bytes(2, "\x98\x02\x01");
  const auto is = [](absl::string_view message) {
    return StatusIs(kDataLoss, absl::StrCat("x.model: ", message));
  };
  EXPECT_THAT(Parse(""), is("no piece is the unknown one"));
  EXPECT_THAT(Parse(unknown + Piece("", 1)), is("piece 1 is empty"));
  SEPTET_EXPECT_OK(Parse(unknown + Piece(std::string(4096, 'a'), 1)));
  EXPECT_THAT(Parse(unknown + Piece(std::string(4097, 'a'), 1)),
              is("piece 1 has 4097 bytes, expected at most 4096"));
  EXPECT_THAT(Parse(unknown + Piece("\xff", 1)),
              is("piece 1 is '\\xff', expected UTF-8"));
  EXPECT_THAT(Parse(unknown + Piece("a", 7)),
              is("piece 1 has the type 7, expected 1 to 6"));
  EXPECT_THAT(Parse(Piece("a", 1, Score(absl::string_view("\0\0\x80\x7f", 4)))),
              is("piece 0 'a' has the score inf"));
  EXPECT_THAT(Parse(unknown + unknown),
              is("piece 1 '<unk>' is the unknown one, as is piece 0"));
  EXPECT_THAT(Parse(unknown + Piece("a", 1) + Piece("a", 4)),
              is("piece 2 'a' is there already"));
  EXPECT_THAT(Parse(unknown + Piece("<0x41>", 6)),
              is("piece 1 '<0x41>' is a byte, but byte_fallback is false"));
  EXPECT_THAT(Parse(unknown + fallback + Piece("<0x4>", 6)),
              is("piece 1 '<0x4>' is a byte, expected '<0x00>' to '<0xFF>'"));
  EXPECT_THAT(Parse(unknown + fallback),
              is("byte_fallback is true, and no piece is <0x00>"));
}

// Tries whose links lead out of them, and replacements that are not there.
TEST(SentencePieceTokenizerTest, DamagedRulesAreNamed) {
  const auto map = [](const std::vector<uint32_t>& words,
                      absl::string_view replacements) {
    std::string bytes;
    for (const uint32_t word : words) {
      for (int shift = 0; shift < 32; shift += 8) {
        bytes += static_cast<char>(word >> shift);
      }
    }
    return absl::StrCat(bytes, replacements);
  };
  const auto parse = [](absl::string_view charsmap) {
    return Parse(Piece("<unk>", 2) + Piece("a", 1) +
                 Bytes(3, Bytes(2, charsmap)));
  };
  const std::string begin = "x.model: precompiled_charsmap ";
  const absl::string_view zero("\0", 1);
  EXPECT_THAT(parse("abc"), StatusIs(kDataLoss, begin + "has 3 bytes"));
  for (const uint32_t bytes : {0u, 3u, 8u, 4000000000u}) {
    EXPECT_THAT(
        parse(map({bytes, 0}, "")),
        StatusIs(kDataLoss, HasSubstr(absl::StrCat("its trie has ", bytes))));
  }
  EXPECT_THAT(parse(map({4, 0}, "x")),
              StatusIs(kDataLoss, begin + "does not end with a zero byte"));
  SEPTET_ASSERT_OK_AND_ASSIGN(const SentencePieceTokenizer outside,
                              parse(map({4, 1000 << 10}, zero)));
  EXPECT_THAT(outside.Encode("a"),
              StatusIs(kDataLoss, begin + absl::StrCat("has a link to unit ",
                                                       1000 ^ 'a', " of 1")));
  // Unit 'a' ^ 1 is reached with 'a', and says that a leaf is at 'a' ^ 1 ^ 2.
  const auto trie = [](uint32_t leaf) {
    std::vector<uint32_t> words(1 + 128, 0);
    words[0] = 128 * 4;
    words[1] = 1 << 10;
    words[1 + ('a' ^ 1)] = 'a' | 1 << 8 | 2 << 10;
    words[1 + ('a' ^ 1 ^ 2)] = leaf | 1U << 31;
    return words;
  };
  const std::string replacements =
      absl::StrCat("b", zero, std::string(1025, 'c'), zero);
  SEPTET_ASSERT_OK_AND_ASSIGN(const SentencePieceTokenizer good,
                              parse(map(trie(0), replacements)));
  EXPECT_THAT(*good.Encode("a"), ElementsAre(0));
  SEPTET_ASSERT_OK_AND_ASSIGN(const SentencePieceTokenizer behind,
                              parse(map(trie(1028), replacements)));
  EXPECT_THAT(
      behind.Encode("a"),
      StatusIs(kDataLoss, begin + "has a replacement at byte 1028 of 1028"));
  SEPTET_ASSERT_OK_AND_ASSIGN(const SentencePieceTokenizer large,
                              parse(map(trie(2), replacements)));
  EXPECT_THAT(large.Encode("a"),
              StatusIs(kDataLoss, begin + "has a replacement of 1025 bytes, "
                                          "expected at most 1024"));
}

// Wherever a file ends, the answer is an error or a model.
TEST(SentencePieceTokenizerTest, Truncated) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string file,
                              ReadFileToString(ModelPath("bpe_bytes")));
  int refused = 0;
  for (size_t size = 0; size < file.size(); size += 7) {
    const auto tokenizer = Parse(file.substr(0, size));
    if (tokenizer.ok()) {
      SEPTET_EXPECT_OK(tokenizer->Encode("Hello world."));
      continue;
    }
    ++refused;
    EXPECT_THAT(tokenizer, StatusIs(kDataLoss, StartsWith("x.model: ")));
  }
  EXPECT_GT(refused, 500);
}

}  // namespace
}  // namespace septet
