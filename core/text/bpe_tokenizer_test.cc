// SPDX-License-Identifier: Apache-2.0
#include "septet/core/text/bpe_tokenizer.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/file.h"
#include "septet/core/base/program_testutil.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/io/json_value.h"
#include "septet/core/random/stream.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

std::string Golden(absl::string_view name) {
  return ReadFileToString(Runfile(absl::StrCat("core/text/testdata/", name)))
      .value();
}

BpeTokenizer GoldenTokenizer() {
  return BpeTokenizer::Load(Runfile("core/text/testdata/bpe_vocab.json"),
                            Runfile("core/text/testdata/bpe_merges.txt"))
      .value();
}

// The 256 bytes as vocab.json writes them, in GPT-2's order: those that can be
// printed first.
std::vector<std::string> WrittenBytes() {
  std::vector<std::string> written;
  const std::string golden = Golden("bpe_vocab.json");
  const JsonValue vocab = JsonValue::Parse(golden, "golden").value();
  written.resize(256);
  for (const std::string& name : vocab.names()) {
    const int64_t id = vocab.GetInteger(name).value();
    if (id < 256) written[static_cast<size_t>(id)] = name;
  }
  return written;
}

// A vocabulary of the bytes and what follows them.
std::string Vocab(const std::vector<std::string>& more) {
  std::vector<std::string> tokens = WrittenBytes();
  tokens.insert(tokens.end(), more.begin(), more.end());
  std::string json = "{";
  for (size_t i = 0; i < tokens.size(); ++i) {
    absl::StrAppend(
        &json, i == 0 ? "" : ",", "\"",
        absl::StrReplaceAll(tokens[i], {{"\\", "\\\\"}, {"\"", "\\\""}}),
        "\":", i);
  }
  return json + "}";
}

absl::StatusOr<BpeTokenizer> Parse(absl::string_view vocab,
                                   absl::string_view merges,
                                   const BpeOptions& options = {}) {
  return BpeTokenizer::Parse(vocab, "v.json", merges, "m.txt", options);
}

TEST(BpeTokenizerTest, Golden) {
  const BpeTokenizer tokenizer = GoldenTokenizer();
  EXPECT_EQ(tokenizer.vocab_size(), 317);
  const std::string file = Golden("bpe_cases.json");
  SEPTET_ASSERT_OK_AND_ASSIGN(const JsonValue value,
                              JsonValue::Parse(file, "bpe_cases.json"));
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<JsonValue> cases, value.List());
  ASSERT_EQ(cases.size(), 15u);
  // Twice: the second time pieces come from the cache.
  for (int i = 0; i < 2; ++i) {
    for (const JsonValue& one : cases) {
      SEPTET_ASSERT_OK_AND_ASSIGN(const std::string text,
                                  one.GetString("text"));
      SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<int64_t> want,
                                  one.GetIntegers("ids"));
      SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<int32_t> ids,
                                  tokenizer.Encode(text));
      EXPECT_THAT(ids, ElementsAreArray(want)) << text;
      EXPECT_EQ(*tokenizer.Decode(ids), text);
    }
  }
}

TEST(BpeTokenizerTest, SpecialTokensOnRequest) {
  const BpeTokenizer tokenizer = GoldenTokenizer();
  EXPECT_EQ(*tokenizer.TokenId("<|endoftext|>"), 316);
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const std::vector<int32_t> ids,
      tokenizer.EncodeWithSpecial("the plan<|endoftext|><|endoftext|>a"));
  EXPECT_THAT(ids, ElementsAre(292, 68, 266, 316, 316, 64));
  EXPECT_EQ(*tokenizer.Decode(ids), "the plan<|endoftext|><|endoftext|>a");
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<int32_t> plain,
                              tokenizer.Encode("<|endoftext|>"));
  EXPECT_THAT(plain, ::testing::Not(::testing::Contains(316)));
  EXPECT_THAT(*tokenizer.EncodeWithSpecial("<|endoftext|"),
              ElementsAreArray(*tokenizer.Encode("<|endoftext|")));
}

TEST(BpeTokenizerTest, NewSpecialTokensGetTheLowestFreeIds) {
  BpeOptions options;
  options.special_tokens = {"<pad>", "\xe4\xb8\xad", "<pad><pad>"};
  // Id 256 is free between the bytes and "ab".
  const std::string vocab =
      absl::StrReplaceAll(Vocab({"ab"}), {{"\"ab\":256", "\"ab\":257"}});
  SEPTET_ASSERT_OK_AND_ASSIGN(const BpeTokenizer tokenizer,
                              Parse(vocab, "a b", options));
  EXPECT_EQ(*tokenizer.TokenId("<pad>"), 256);
  EXPECT_EQ(*tokenizer.TokenId("\xe4\xb8\xad"), 258);
  EXPECT_EQ(tokenizer.vocab_size(), 260);
  EXPECT_THAT(*tokenizer.EncodeWithSpecial("ab<pad><pad><pad>\xe4\xb8\xad"),
              ElementsAre(257, 259, 256, 258));
  EXPECT_THAT(
      tokenizer.TokenId("abc"),
      StatusIs(absl::StatusCode::kNotFound, "BpeTokenizer: no token 'abc'"));
  options.special_tokens = {""};
  EXPECT_THAT(Parse(vocab, "a b", options),
              StatusIs(kInvalid, HasSubstr("special_tokens[0] is ''")));
  options.special_tokens = {"x", "x"};
  EXPECT_THAT(Parse(vocab, "a b", options),
              StatusIs(kInvalid, HasSubstr("special_tokens[1] is 'x', which is "
                                           "there already")));
}

// The definition, in strings: the first pair by rank, the leftmost of equals,
// until there is none.
std::vector<std::string> MergeByDefinition(
    const std::map<std::pair<std::string, std::string>, int>& ranks,
    absl::string_view piece) {
  std::vector<std::string> tokens;
  for (const char c : piece) tokens.emplace_back(1, c);
  while (true) {
    int best = -1;
    int best_rank = 0;
    for (size_t i = 0; i + 1 < tokens.size(); ++i) {
      const auto found = ranks.find({tokens[i], tokens[i + 1]});
      if (found == ranks.end()) continue;
      if (best < 0 || found->second < best_rank) {
        best = static_cast<int>(i);
        best_rank = found->second;
      }
    }
    if (best < 0) return tokens;
    tokens[best] += tokens[best + 1];
    tokens.erase(tokens.begin() + best + 1);
  }
}

// Random vocabularies of three letters, whose merges come in any order; pieces
// on both sides of the length from which a heap is used.
TEST(BpeTokenizerTest, MergesAsDefined) {
  const RandomStream stream = RandomStream::Create(7, "bpe_test").value();
  uint64_t element = 0;
  const auto below = [&](uint32_t n) { return stream.Below(element++, n); };
  for (int vocabulary = 0; vocabulary < 30; ++vocabulary) {
    std::vector<std::string> tokens = {"a", "b", "c"};
    std::vector<std::pair<std::string, std::string>> merges;
    std::map<std::string, bool> known;
    for (int i = 0; i < 25; ++i) {
      const std::string left = tokens[below(tokens.size())];
      const std::string right = tokens[below(tokens.size())];
      merges.insert(merges.begin() + below(merges.size() + 1), {left, right});
      if (!known[left + right]) tokens.push_back(left + right);
      known[left + right] = true;
    }
    std::map<std::pair<std::string, std::string>, int> ranks;
    std::string text = "#version: 0.2\n";
    for (const auto& merge : merges) {
      if (!ranks.emplace(merge, ranks.size()).second) continue;
      absl::StrAppend(&text, merge.first, " ", merge.second, "\n");
    }
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const BpeTokenizer tokenizer,
        Parse(Vocab({tokens.begin() + 3, tokens.end()}), text));
    for (int i = 0; i < 60; ++i) {
      std::string piece;
      for (uint32_t n = 1 + below(i < 40 ? 20 : 100); n > 0; --n) {
        piece += static_cast<char>('a' + below(3));
      }
      std::vector<std::string> got;
      SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<int32_t> ids,
                                  tokenizer.Encode(piece));
      for (const int32_t id : ids) {
        got.push_back(*tokenizer.Decode({id}));
      }
      ASSERT_EQ(got, MergeByDefinition(ranks, piece)) << piece << "\n" << text;
    }
  }
}

TEST(BpeTokenizerTest, AnyBytesRoundTrip) {
  const BpeTokenizer tokenizer = GoldenTokenizer();
  const RandomStream stream = RandomStream::Create(1, "bytes").value();
  std::string bytes;
  for (uint64_t i = 0; i < 20000; ++i) {
    // Spaces and letters make pieces of some length.
    const uint32_t byte = stream.Below(i, 400);
    bytes += static_cast<char>(byte < 256 ? byte : "the plan"[byte % 8]);
  }
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<int32_t> ids,
                              tokenizer.Encode(bytes));
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string back, tokenizer.Decode(ids));
  EXPECT_TRUE(back == bytes);
}

// A piece of a megabyte: the square of that would not end within the test.
TEST(BpeTokenizerTest, LongPieces) {
  std::vector<std::string> more;
  std::string merges;
  std::string token = "a";
  for (int i = 0; i < 8; ++i) {
    absl::StrAppend(&merges, token, " ", token, "\n");
    token += token;
    more.push_back(token);
  }
  SEPTET_ASSERT_OK_AND_ASSIGN(const BpeTokenizer tokenizer,
                              Parse(Vocab(more), merges));
  const std::string text((1 << 20) + 3, 'a');
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<int32_t> ids,
                              tokenizer.Encode(text));
  ASSERT_EQ(ids.size(), (1u << 12) + 2);
  EXPECT_EQ(ids.front(), 263);
  EXPECT_EQ(ids[4096], 256);
  EXPECT_EQ(ids[4097], 64);
}

TEST(BpeTokenizerTest, ThreadsShareATokenizer) {
  const BpeTokenizer tokenizer = GoldenTokenizer();
  const std::string text = Golden("bpe_cases.json");
  const std::vector<int32_t> want = *tokenizer.Encode(text);
  std::vector<std::vector<int32_t>> got(4);
  std::vector<std::thread> threads;
  for (std::vector<int32_t>& ids : got) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) ids = *tokenizer.Encode(text);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::vector<int32_t>& ids : got) EXPECT_EQ(ids, want);
}

// The golden vocabulary as ranks: what a merge makes has its id.
TEST(BpeTokenizerTest, Ranks) {
  const BpeTokenizer tokenizer = GoldenTokenizer();
  std::string ranks;
  for (int32_t id = 0; id < 316; ++id) {
    absl::StrAppend(&ranks, absl::Base64Escape(*tokenizer.Decode({id})), " ",
                    id, "\n");
  }
  SEPTET_ASSERT_OK_AND_ASSIGN(const BpeTokenizer ranked,
                              BpeTokenizer::ParseRanks(ranks, "r.tiktoken"));
  EXPECT_EQ(ranked.vocab_size(), 317);
  EXPECT_EQ(*ranked.TokenId("<|endoftext|>"), 316);
  // Made by tiktoken 0.14 of these ranks.
  EXPECT_THAT(*ranked.Encode(" the plan changed.\n\nPOST: we're late"),
              ElementsAre(259, 266, 286, 71, 315, 13, 198, 198, 309, 25, 291,
                          295, 288));
  EXPECT_EQ(*ranked.Decode(*ranked.Encode("friend, tell me")),
            "friend, tell me");
}

// A piece that is a token is that token, though no merge makes it.
TEST(BpeTokenizerTest, WholePiecesOfRanks) {
  std::string ranks;
  for (int byte = 0; byte < 256; ++byte) {
    absl::StrAppend(&ranks,
                    absl::Base64Escape(std::string(1, static_cast<char>(byte))),
                    " ", byte, "\n");
  }
  absl::StrAppend(&ranks, absl::Base64Escape("abc"), " 256\n");
  BpeOptions options;
  options.special_tokens = {"xyz"};
  SEPTET_ASSERT_OK_AND_ASSIGN(const BpeTokenizer tokenizer,
                              BpeTokenizer::ParseRanks(ranks, "r", options));
  EXPECT_THAT(*tokenizer.Encode("abc abc"),
              ElementsAre(256, ' ', 'a', 'b', 'c'));
  EXPECT_THAT(*tokenizer.Encode("xyz"), ElementsAre('x', 'y', 'z'));
  EXPECT_THAT(*tokenizer.EncodeWithSpecial("xyz"), ElementsAre(257));
}

TEST(BpeTokenizerTest, DamagedRanksAreNamed) {
  const auto parse = [](absl::string_view ranks) {
    return BpeTokenizer::ParseRanks(ranks, "r");
  };
  const std::string expected =
      ", expected a token in base64, a space and its "
      "rank";
  EXPECT_THAT(parse(""), StatusIs(kDataLoss, "r: no token for the byte 0x00"));
  EXPECT_THAT(parse("YQ== 0\nYg==\n"),
              StatusIs(kDataLoss, "r:2: 'Yg=='" + expected));
  EXPECT_THAT(parse("YQ== 0\n\nY 1"),
              StatusIs(kDataLoss, "r:3: 'Y 1'" + expected));
  EXPECT_THAT(parse("YQ== x"), StatusIs(kDataLoss, "r:1: 'YQ== x'" + expected));
  EXPECT_THAT(parse(" 0"), StatusIs(kDataLoss, "r:1: ' 0'" + expected));
  EXPECT_THAT(parse("YQ== 99999999999"),
              StatusIs(kDataLoss, "r:1: 'YQ== 99999999999'" + expected));
  EXPECT_THAT(parse("YQ== 0\nYQ== 1"),
              StatusIs(kDataLoss,
                       "r:2: 'YQ== 1' is a token that is there "
                       "already"));
  EXPECT_THAT(parse("YQ== 5"),
              StatusIs(kDataLoss,
                       "r: token 'a' has the id 5, expected 0 to 1, "
                       "as there are 2 tokens"));
  EXPECT_THAT(
      parse(absl::StrCat(absl::Base64Escape(std::string(513, 'a')), " 0")),
      StatusIs(kDataLoss, HasSubstr("has 513 bytes, expected at most 512")));
  EXPECT_THAT(BpeTokenizer::LoadRanks("/none/r"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/none/r")));
}

TEST(BpeTokenizerTest, DamagedVocabulariesAreNamed) {
  const auto parse = [](absl::string_view vocab) { return Parse(vocab, ""); };
  EXPECT_THAT(parse(""), StatusIs(kDataLoss, StartsWith("v.json: ")));
  EXPECT_THAT(parse("[]"), StatusIs(kDataLoss,
                                    "v.json: is not an object of "
                                    "tokens and ids"));
  EXPECT_THAT(parse(R"({"a":"b"})"),
              StatusIs(kDataLoss, HasSubstr("expected an integer")));
  EXPECT_THAT(parse(R"({"a":0})"),
              StatusIs(kDataLoss, "v.json: no token for the byte 0x00"));
  EXPECT_THAT(parse(R"({"a":0,"b":0})"),
              StatusIs(kDataLoss, ::testing::ContainsRegex(
                                      "token '.' has the id 0, as has '.'")));
  EXPECT_THAT(parse(R"({"a":-1})"),
              StatusIs(kDataLoss, HasSubstr("token 'a' has the id -1")));
  EXPECT_THAT(parse(R"({"":0})"),
              StatusIs(kDataLoss, "v.json: the token with the id 0 is empty"));
  EXPECT_THAT(parse("{\"\xe4\xb8\xad\":0}"),
              StatusIs(kDataLoss,
                       "v.json: token '\xe4\xb8\xad' has the "
                       "character U+4e2d, which stands for no "
                       "byte"));
  // A special token and a token of the same bytes, written differently.
  BpeOptions options;
  options.special_tokens = {" "};
  EXPECT_THAT(Parse("{\" \":0,\"\xc4\xa0\":1}", "", options),
              StatusIs(kDataLoss, HasSubstr("is there twice")));
}

TEST(BpeTokenizerTest, DamagedMergesAreNamed) {
  const auto parse = [](absl::string_view merges) {
    return Parse(Vocab({"ab"}), merges);
  };
  SEPTET_EXPECT_OK(parse(""));
  SEPTET_EXPECT_OK(parse("#version: 0.2\r\na b\r\n\r\n"));
  const std::string expected = ", expected two tokens with one space between";
  EXPECT_THAT(parse("a b\nab"),
              StatusIs(kDataLoss, "m.txt:2: 'ab'" + expected));
  EXPECT_THAT(parse("a  b"), StatusIs(kDataLoss, "m.txt:1: 'a  b'" + expected));
  EXPECT_THAT(parse("a "), StatusIs(kDataLoss, "m.txt:1: 'a '" + expected));
  EXPECT_THAT(parse(" b"), StatusIs(kDataLoss, "m.txt:1: ' b'" + expected));
  EXPECT_THAT(parse("a b c"),
              StatusIs(kDataLoss, "m.txt:1: 'a b c'" + expected));
  EXPECT_THAT(parse("a b\na c"),
              StatusIs(kDataLoss,
                       "m.txt:2: 'a c': v.json has no token with "
                       "the bytes 'ac'"));
  EXPECT_THAT(parse("ac b"),
              StatusIs(kDataLoss,
                       "m.txt:1: 'ac b': v.json has no token with "
                       "the bytes 'ac'"));
  EXPECT_THAT(parse("a b\na b"),
              StatusIs(kDataLoss, "m.txt:2: 'a b' is there already"));
  EXPECT_THAT(parse("a \xff"),
              StatusIs(kDataLoss, "m.txt:1: token '\\xff' is not UTF-8"));
  EXPECT_THAT(BpeTokenizer::Load("/none/v", "/none/m"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/none/v")));
  EXPECT_THAT(BpeTokenizer::Load(Runfile("core/text/testdata/bpe_vocab.json"),
                                 "/none/m"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/none/m")));
}

TEST(BpeTokenizerTest, IdsOutOfRangeAreNamed) {
  EXPECT_THAT(GoldenTokenizer().Decode({0, 317}),
              StatusIs(kInvalid, "Decode: ids[1] is 317, expected 0 to 316"));
}

}  // namespace
}  // namespace septet
