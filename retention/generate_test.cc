// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/generate.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/nn/sampling.h"
#include "septet/core/random/philox.h"
#include "septet/core/random/stream.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"
#include "septet/core/text/byte_tokenizer.h"
#include "septet/core/text/tokenizer.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Tokens = std::vector<int64_t>;

// A model that is a function of all tokens, and remembers what it was asked.
class FakeSession : public GenerationSession {
 public:
  using Logits = std::function<std::vector<double>(const Tokens&)>;
  FakeSession(int64_t vocab, Logits logits)
      : vocab_(vocab), logits_(std::move(logits)) {}

  int64_t vocab_size() const override { return vocab_; }
  absl::StatusOr<Tensor> Begin(absl::Span<const Tokens> prompts) override {
    rows_.assign(prompts.begin(), prompts.end());
    begun_.push_back(static_cast<int64_t>(rows_.size()));
    return Answer();
  }
  absl::StatusOr<Tensor> Step(const Tensor& tokens) override {
    if (!step_error.ok()) return step_error;
    EXPECT_EQ(tokens.shape(), Shape({static_cast<int64_t>(rows_.size())}));
    const Tokens values = tokens.ToVector<int64_t>();
    for (size_t n = 0; n < rows_.size(); ++n) rows_[n].push_back(values[n]);
    stepped_.push_back(static_cast<int64_t>(rows_.size()));
    return Answer();
  }
  absl::Status Select(absl::Span<const int64_t> rows) override {
    if (!select_error.ok()) return select_error;
    std::vector<Tokens> selected;
    for (const int64_t row : rows) {
      selected.push_back(rows_[static_cast<size_t>(row)]);
    }
    rows_ = std::move(selected);
    return absl::OkStatus();
  }

  // Rows of each call.
  const Tokens& begun() const { return begun_; }
  const Tokens& stepped() const { return stepped_; }

  absl::Status step_error;
  absl::Status select_error;
  // In place of [rows, vocab].
  Tensor answer;

 private:
  absl::StatusOr<Tensor> Answer() const {
    if (answer.defined()) return answer;
    std::vector<double> values;
    for (const Tokens& row : rows_) {
      const std::vector<double> logits = logits_(row);
      values.insert(values.end(), logits.begin(), logits.end());
    }
    return Tensor::FromValues<double>(
        Shape({static_cast<int64_t>(rows_.size()), vocab_}), values);
  }

  const int64_t vocab_;
  const Logits logits_;
  std::vector<Tokens> rows_;
  Tokens begun_;
  Tokens stepped_;
};

// Logits in -2..2 that depend on every token.
FakeSession::Logits Scrambled(int64_t vocab) {
  return [vocab](const Tokens& tokens) {
    uint32_t hash = 0x811c9dc5u;
    for (const int64_t token : tokens) {
      hash = (hash ^ static_cast<uint32_t>(token)) * 0x01000193u;
    }
    std::vector<double> logits;
    for (uint32_t id = 0; id < static_cast<uint32_t>(vocab); ++id) {
      logits.push_back(Philox4x32({hash, 5}, {id, 0, 0, 0})[0] / 0x1p30 - 2);
    }
    return logits;
  };
}

// Says `script` behind a prompt of one token, then the token 0.
FakeSession::Logits Scripted(int64_t vocab, const Tokens& script) {
  return [=](const Tokens& tokens) {
    std::vector<double> logits(static_cast<size_t>(vocab),
                               -std::numeric_limits<double>::infinity());
    const size_t at = tokens.size() - 1;
    logits[static_cast<size_t>(at < script.size() ? script[at] : 0)] = 0;
    return logits;
  };
}

Tokens Bytes(absl::string_view text) {
  Tokens ids;
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

// Pieces of text; words have a space in front unless they come first.
class PieceTokenizer : public Tokenizer {
 public:
  explicit PieceTokenizer(std::vector<std::string> pieces, bool words = false)
      : pieces_(std::move(pieces)), words_(words) {}
  absl::StatusOr<std::vector<int32_t>> Encode(
      absl::string_view /*text*/) const override {
    return absl::UnimplementedError("not needed");
  }
  int32_t vocab_size() const override {
    return static_cast<int32_t>(pieces_.size());
  }

 protected:
  void DecodeToken(int32_t id, DecodeState* state,
                   std::string* out) const override {
    if (words_ && state->started) *out += ' ';
    state->started = true;
    *out += pieces_[static_cast<size_t>(id)];
  }

 private:
  const std::vector<std::string> pieces_;
  const bool words_;
};

// Collects what is streamed, by row.
struct Streamed {
  explicit Streamed(size_t rows) : pieces(rows), tokens(rows), logs(rows) {}
  std::function<bool(const GenerationPiece&)> Writer() {
    return [this](const GenerationPiece& piece) {
      const auto row = static_cast<size_t>(piece.row);
      pieces[row].emplace_back(piece.text);
      tokens[row].push_back(piece.token);
      logs[row].push_back(piece.log_probability);
      return true;
    };
  }
  std::vector<std::vector<std::string>> pieces;
  std::vector<Tokens> tokens;
  std::vector<std::vector<double>> logs;
};

std::string Joined(const std::vector<std::string>& pieces) {
  std::string text;
  for (const std::string& piece : pieces) text += piece;
  return text;
}

// One row, written by bytes behind the prompt ">".
GeneratedRow Write(absl::string_view script, GenerationOptions options,
                   std::vector<std::string>* pieces = nullptr) {
  const ByteTokenizer tokenizer;
  options.tokenizer = &tokenizer;
  options.max_new = std::min(options.max_new, int64_t{100});
  FakeSession session(256, Scripted(256, Bytes(script)));
  Streamed streamed(1);
  options.stream = streamed.Writer();
  const auto result = Generate(&session, {Bytes(">")}, options);
  SEPTET_EXPECT_OK(result);
  if (!result.ok()) return {};
  const GeneratedRow& row = result->rows[0];
  EXPECT_EQ(row.text, Joined(streamed.pieces[0]));
  EXPECT_EQ(row.tokens, streamed.tokens[0]);
  EXPECT_EQ(row.log_probabilities, streamed.logs[0]);
  if (pieces != nullptr) *pieces = streamed.pieces[0];
  return row;
}

TEST(GenerateTest, DrawsWhatTheHistoryOfEachRowGives) {
  constexpr int64_t kVocab = 11, kContinuations = 2;
  const std::vector<Tokens> prompts = {{3, 3, 4}, {0}, {9, 1, 2, 3, 4, 5, 6}};
  FakeSession session(kVocab, Scrambled(kVocab));
  GenerationOptions options;
  options.max_new = 30;
  options.seed = 7;
  options.continuations = kContinuations;
  options.sampling.temperature = 0.7;
  options.sampling.top_k = 6;
  options.sampling.top_p = 0.9;
  options.sampling.repetition_penalty = 1.4;
  SEPTET_ASSERT_OK_AND_ASSIGN(const GenerationResult result,
                              Generate(&session, prompts, options));
  EXPECT_THAT(session.begun(), ElementsAre(3));  // each prompt once
  EXPECT_EQ(session.stepped(), Tokens(29, 6));   // none behind the last token
  ASSERT_EQ(result.rows.size(), 6u);
  SEPTET_ASSERT_OK_AND_ASSIGN(const RandomStream stream,
                              RandomStream::Create(7, "generate"));
  for (size_t r = 0; r < result.rows.size(); ++r) {
    SCOPED_TRACE(r);
    const GeneratedRow& row = result.rows[r];
    ASSERT_EQ(row.tokens.size(), 30u);
    EXPECT_EQ(row.end, GenerationEnd::kLength);
    EXPECT_EQ(row.stop_string, -1);
    EXPECT_EQ(row.text, "");
    Tokens history = prompts[r / kContinuations];
    for (size_t i = 0; i < row.tokens.size(); ++i) {
      const Tensor logits =
          *Tensor::FromValues<double>({1, kVocab}, Scrambled(kVocab)(history));
      const Tensor past = *Tensor::FromValues<int64_t>(
          {1, static_cast<int64_t>(history.size())}, history);
      Tensor log_p;
      SEPTET_ASSERT_OK_AND_ASSIGN(
          const Tensor want,
          SampleTokens(logits, past, options.sampling, stream,
                       {static_cast<int64_t>(r) * (int64_t{1} << 32) +
                        static_cast<int64_t>(i)},
                       &log_p));
      ASSERT_EQ(row.tokens[i], want.item<int64_t>()) << i;
      ASSERT_EQ(row.log_probabilities[i], log_p.item<double>()) << i;
      history.push_back(row.tokens[i]);
    }
  }
  // The continuations of one prompt are not the same.
  EXPECT_NE(result.rows[0].tokens, result.rows[1].tokens);
}

TEST(GenerateTest, RowsDoNotDependOnEachOtherAndAreTakenOut) {
  constexpr int64_t kVocab = 13;
  const std::vector<Tokens> prompts = {{1}, {2, 3}, {4}, {5, 5, 5}, {6}};
  GenerationOptions options;
  options.max_new = 40;
  FakeSession whole(kVocab, Scrambled(kVocab));
  SEPTET_ASSERT_OK_AND_ASSIGN(const GenerationResult want,
                              Generate(&whole, prompts, options));
  FakeSession session(kVocab, Scrambled(kVocab));
  options.stop_tokens = {12, 7};
  SEPTET_ASSERT_OK_AND_ASSIGN(const GenerationResult got,
                              Generate(&session, prompts, options));
  Tokens stepped(39, 0);  // rows that are not done
  int64_t stopped = 0;
  for (size_t r = 0; r < prompts.size(); ++r) {
    SCOPED_TRACE(r);
    const Tokens& all = want.rows[r].tokens;
    ASSERT_EQ(all.size(), 40u);
    size_t count = 0;
    while (count < 40 && all[count] != 12 && all[count] != 7) ++count;
    const bool stops = count < 40;
    stopped += stops;
    count = std::min<size_t>(count + 1, 40);
    const GeneratedRow& row = got.rows[r];
    EXPECT_EQ(row.tokens, Tokens(all.begin(), all.begin() + count));
    EXPECT_EQ(row.log_probabilities.size(), count);
    EXPECT_EQ(row.end,
              stops ? GenerationEnd::kStopToken : GenerationEnd::kLength);
    for (size_t i = 0; i + 1 < count; ++i) ++stepped[i];
  }
  ASSERT_GT(stopped, 1);
  while (!stepped.empty() && stepped.back() == 0) stepped.pop_back();
  EXPECT_EQ(session.stepped(), stepped);
}

TEST(GenerateTest, ATextIsTheBeginningOfALongerOneAndSeedsDecide) {
  GenerationOptions options;
  const auto tokens = [&](int64_t max_new, uint64_t seed) {
    FakeSession session(30, Scrambled(30));
    options.max_new = max_new;
    options.seed = seed;
    return Generate(&session, {{1, 2}, {3}}, options)->rows[1].tokens;
  };
  const Tokens text = tokens(50, 1);
  EXPECT_EQ(tokens(20, 1), Tokens(text.begin(), text.begin() + 20));
  EXPECT_EQ(tokens(50, 1), text);
  EXPECT_NE(tokens(50, 2), text);
  EXPECT_THAT(tokens(0, 1), IsEmpty());
}

TEST(GenerateTest, NothingNewIsReadButNotWritten) {
  FakeSession session(30, Scrambled(30));
  GenerationOptions options;
  options.max_new = 0;
  options.continuations = 3;
  SEPTET_ASSERT_OK_AND_ASSIGN(const GenerationResult result,
                              Generate(&session, {{1}}, options));
  EXPECT_EQ(result.rows.size(), 3u);
  for (const GeneratedRow& row : result.rows) {
    EXPECT_THAT(row.tokens, IsEmpty());
    EXPECT_EQ(row.end, GenerationEnd::kLength);
  }
  EXPECT_THAT(session.stepped(), IsEmpty());
}

// The byte behind the stop string that is complete first, and which it is.
std::pair<size_t, int64_t> FirstStop(const std::string& text,
                                     const std::vector<std::string>& stops) {
  for (size_t end = 1; end <= text.size(); ++end) {
    int64_t found = -1;
    size_t longest = 0;
    for (size_t i = 0; i < stops.size(); ++i) {
      const size_t n = stops[i].size();
      if (n > end || n <= longest) continue;
      if (text.compare(end - n, n, stops[i]) != 0) continue;
      found = static_cast<int64_t>(i);
      longest = n;
    }
    if (found >= 0) return {end, found};
  }
  return {std::string::npos, -1};
}

TEST(GenerateTest, StopStringsHoweverTokensCutThem) {
  const std::vector<std::string> pieces = {"a", "b", "ab", "bba", "aab", ""};
  const PieceTokenizer tokenizer(pieces);
  const std::vector<std::vector<std::string>> lists = {
      {"abab"},       {"bb", "abb"},        {"aabaab", "bab"},
      {"aaaa", "aa"}, {"abaabab", "bbabb"}, {"abbbab", "a", "ba"}};
  int stopped = 0, longest_of_several = 0;
  for (const std::vector<std::string>& stops : lists) {
    for (uint64_t seed = 0; seed < 100; ++seed) {
      FakeSession session(6, Scrambled(6));
      GenerationOptions options;
      options.seed = seed;
      options.max_new = 25;
      options.tokenizer = &tokenizer;
      const GeneratedRow all = Generate(&session, {{0, 1}}, options)->rows[0];
      options.stop_strings = stops;
      Streamed streamed(1);
      options.stream = streamed.Writer();
      SEPTET_ASSERT_OK_AND_ASSIGN(const GenerationResult result,
                                  Generate(&session, {{0, 1}}, options));
      const GeneratedRow& row = result.rows[0];
      const auto [end, which] = FirstStop(all.text, stops);
      EXPECT_EQ(row.stop_string, which);
      EXPECT_EQ(Joined(streamed.pieces[0]), row.text);
      if (which < 0) {
        EXPECT_EQ(row.text, all.text);
        EXPECT_EQ(row.tokens, all.tokens);
        EXPECT_EQ(row.end, GenerationEnd::kLength);
        continue;
      }
      ++stopped;
      const std::string& stop = stops[static_cast<size_t>(which)];
      EXPECT_EQ(row.text, all.text.substr(0, end - stop.size()));
      EXPECT_EQ(row.end, GenerationEnd::kStopString);
      // Up to the token that completes it.
      size_t count = 0, length = 0;
      while (length < end) {
        length += pieces[static_cast<size_t>(all.tokens[count++])].size();
      }
      EXPECT_EQ(row.tokens,
                Tokens(all.tokens.begin(),
                       all.tokens.begin() + static_cast<int64_t>(count)));
      for (const std::string& other : stops) {
        longest_of_several +=
            other.size() < stop.size() &&
            stop.compare(stop.size() - other.size(), other.size(), other) == 0;
      }
    }
  }
  EXPECT_GT(stopped, 300);
  EXPECT_GT(longest_of_several, 10);
}

TEST(GenerateTest, KeepsWhatMayBeginAStopString) {
  GenerationOptions options;
  options.stop_strings = {"\nUser:"};
  options.max_new = 12;
  std::vector<std::string> pieces;
  const GeneratedRow row = Write("a\nUs\nUser:z", options, &pieces);
  EXPECT_THAT(pieces, ElementsAre("a", "", "", "", "\nUs", "", "", "", "", ""));
  EXPECT_EQ(row.text, "a\nUs");
  EXPECT_EQ(row.end, GenerationEnd::kStopString);
  EXPECT_EQ(row.stop_string, 0);
  EXPECT_EQ(row.tokens, Bytes("a\nUs\nUser:"));
  // At the end all of it is given away.
  options.max_new = 3;
  EXPECT_EQ(Write("a\nUser:", options, &pieces).text, "a\nU");
  EXPECT_THAT(pieces, ElementsAre("a", "", "\nU"));
  options.max_new = 10;
  options.stop_tokens = {'X'};
  const GeneratedRow stopped = Write("a\nUX", options, &pieces);
  EXPECT_EQ(stopped.text, "a\nU");
  EXPECT_EQ(stopped.end, GenerationEnd::kStopToken);
  EXPECT_EQ(stopped.tokens, Bytes("a\nUX"));
  EXPECT_THAT(pieces, ElementsAre("a", "", "", "\nU"));
}

TEST(GenerateTest, StopStringsBeginBehindThePrompt) {
  GenerationOptions options;
  options.stop_strings = {">a"};  // the prompt is ">"
  options.max_new = 4;
  EXPECT_EQ(Write("ab>a", options).text, "ab");
}

TEST(GenerateTest, StreamsWholeCharacters) {
  GenerationOptions options;
  std::vector<std::string> pieces;
  options.max_new = 5;
  EXPECT_EQ(Write("a\xe2\x82\xac\xc3", options, &pieces).text,
            "a\xe2\x82\xac\xc3");
  EXPECT_THAT(pieces, ElementsAre("a", "", "", "\xe2\x82\xac", "\xc3"));
  // A stop string in the rest.
  options.stop_strings = {"\xc3"};
  const GeneratedRow row = Write("a\xe2\x82\xac\xc3", options, &pieces);
  EXPECT_EQ(row.text, "a\xe2\x82\xac");
  EXPECT_EQ(row.end, GenerationEnd::kStopString);
}

TEST(GenerateTest, ThePromptSaysHowTokensAreRead) {
  const PieceTokenizer tokenizer({"zero", "one", "two"}, /*words=*/true);
  FakeSession session(4, Scripted(4, {1, 3, 2}));
  GenerationOptions options;
  options.tokenizer = &tokenizer;
  options.max_new = 3;
  SEPTET_ASSERT_OK_AND_ASSIGN(const GenerationResult result,
                              Generate(&session, {{0}}, options));
  // A space in front of the first word; token 3 is none of the tokenizer's.
  EXPECT_EQ(result.rows[0].text, " one two");
  EXPECT_THAT(result.rows[0].tokens, ElementsAre(1, 3, 2));
}

TEST(GenerateTest, ACharacterThatThePromptBeginsBelongsToTheText) {
  const ByteTokenizer tokenizer;
  FakeSession session(256, Scripted(256, {0xa9}));
  GenerationOptions options;
  options.tokenizer = &tokenizer;
  options.max_new = 1;
  SEPTET_ASSERT_OK_AND_ASSIGN(const GenerationResult result,
                              Generate(&session, {{0xc3}}, options));
  EXPECT_EQ(result.rows[0].text, "\xc3\xa9");
}

TEST(GenerateTest, TheStreamEndsARow) {
  FakeSession session(10, Scrambled(10));
  GenerationOptions options;
  options.max_new = 8;
  Streamed streamed(3);
  const auto write = streamed.Writer();
  options.stream = [&](const GenerationPiece& piece) {
    write(piece);
    return piece.row != 1 || streamed.tokens[1].size() < 3;
  };
  SEPTET_ASSERT_OK_AND_ASSIGN(const GenerationResult result,
                              Generate(&session, {{1}, {2}, {3}}, options));
  EXPECT_EQ(result.rows[1].tokens.size(), 3u);
  EXPECT_EQ(result.rows[1].end, GenerationEnd::kStream);
  for (const size_t other : {0, 2}) {
    EXPECT_EQ(result.rows[other].tokens.size(), 8u);
    EXPECT_EQ(result.rows[other].end, GenerationEnd::kLength);
  }
  for (size_t r = 0; r < 3; ++r) {
    EXPECT_EQ(streamed.tokens[r], result.rows[r].tokens);
  }
  EXPECT_THAT(session.stepped(), ElementsAre(3, 3, 2, 2, 2, 2, 2));
}

TEST(GenerateTest, ContinuesWhatHasBeenRead) {
  const std::vector<Tokens> prompts = {{3, 1}, {4}};
  GenerationOptions options;
  options.max_new = 20;
  options.continuations = 2;
  options.sampling.repetition_penalty = 1.2;
  FakeSession whole(9, Scrambled(9));
  SEPTET_ASSERT_OK_AND_ASSIGN(const GenerationResult want,
                              Generate(&whole, prompts, options));
  FakeSession session(9, Scrambled(9));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor logits, session.Begin(prompts));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const GenerationResult got,
      ContinueGeneration(&session, logits, prompts, options));
  EXPECT_EQ(session.begun().size(), 1u);
  for (size_t r = 0; r < 4; ++r) {
    EXPECT_EQ(got.rows[r].tokens, want.rows[r].tokens) << r;
  }
}

TEST(GenerateTest, LogitsOfFloatsAreDrawnFrom) {
  FakeSession session(3, Scrambled(3));
  session.answer = *Tensor::FromValues<float>({1, 3}, {0, 9, 1});
  GenerationOptions options;
  options.max_new = 4;
  options.sampling.temperature = 0;
  EXPECT_THAT(Generate(&session, {{0}}, options)->rows[0].tokens,
              ElementsAre(1, 1, 1, 1));
}

TEST(GenerateTest, OptionErrors) {
  FakeSession session(8, Scrambled(8));
  const auto expect = [&](const GenerationOptions& options,
                          const std::vector<Tokens>& prompts,
                          const std::string& message) {
    EXPECT_THAT(Generate(&session, prompts, options),
                StatusIs(absl::StatusCode::kInvalidArgument, message));
    const Tensor logits = *Tensor::Zeros(
        Shape({std::max<int64_t>(1, static_cast<int64_t>(prompts.size())), 8}),
        DType::kF64);
    EXPECT_THAT(ContinueGeneration(&session, logits, prompts, options),
                StatusIs(absl::StatusCode::kInvalidArgument, message));
  };
  GenerationOptions options;
  options.max_new = -1;
  expect(options, {{1}}, "generate: max_new is -1, expected 0 to 4294967295");
  options.max_new = int64_t{1} << 32;
  expect(options, {{1}},
         "generate: max_new is 4294967296, expected 0 to 4294967295");
  options = {};
  options.continuations = 0;
  expect(options, {{1}}, "generate: continuations is 0, expected at least 1");
  options.continuations = (int64_t{1} << 30) + 1;
  expect(options, {{1}, {2}},
         "generate: continuations is 1073741825, expected 1 to 1073741824 of 2 "
         "prompts");
  options = {};
  options.stop_strings = {"x", ""};
  expect(options, {{1}},
         "generate: stop_strings[1] is empty, expected at least one byte");
  options.stop_strings = {"x", "y"};
  expect(options, {{1}},
         "generate: there are 2 stop_strings, expected none without a "
         "tokenizer");
  options = {};
  options.sampling.top_p = 1.5;
  expect(options, {{1}},
         "generate: sampling: top_p is 1.5, expected a number in [0, 1]");
  options = {};
  options.sampling.temperature = -1;
  expect(options, {{1}},
         "generate: sampling: temperature is -1, expected finite and >= 0");
  options = {};
  options.stop_tokens = {0, 8};
  expect(options, {{1}},
         "generate: stop_tokens[1] is 8, expected a token in 0 to 7");
  options.stop_tokens = {-1};
  expect(options, {{1}},
         "generate: stop_tokens[0] is -1, expected a token in 0 to 7");
  options = {};
  expect(options, {}, "generate: there are no prompts, expected at least one");
  expect(options, {{1}, {}},
         "generate: prompts[1] is empty, expected at least one token");
  expect(options, {{1}, {2, 8}},
         "generate: prompts[1][1] is 8, expected a token in 0 to 7");
  expect(options, {{-1}},
         "generate: prompts[0][0] is -1, expected a token in 0 to 7");
  EXPECT_THAT(session.begun(), IsEmpty());  // before anything is read
}

TEST(GenerateTest, LogitErrors) {
  FakeSession session(3, Scrambled(3));
  const auto expect = [&](const Tensor& logits, const std::string& message) {
    EXPECT_THAT(ContinueGeneration(&session, logits, {{1}, {2}}, {}),
                StatusIs(absl::StatusCode::kInvalidArgument, message));
  };
  expect({}, "generate: logits are not given, expected f32 or f64 [2, 3]");
  expect(*Tensor::Zeros({2, 4}, DType::kF64),
         "generate: logits are f64 [2, 4], expected f32 or f64 [2, 3]");
  expect(*Tensor::Zeros({3}, DType::kF32),
         "generate: logits are f32 [3], expected f32 or f64 [2, 3]");
  expect(*Tensor::Zeros({2, 3}, DType::kI64),
         "generate: logits are i64 [2, 3], expected f32 or f64 [2, 3]");
  expect(*Tensor::FromValues<double>({2, 3}, {0, 0, 0, 0, std::nan(""), 0}),
         "generate: token 0: sampling: logits[1, 1] is nan, expected a number "
         "below infinity");
}

TEST(GenerateTest, SessionErrors) {
  FakeSession session(3, Scrambled(3));
  session.answer = *Tensor::Zeros({1, 4}, DType::kF32);
  EXPECT_THAT(Generate(&session, {{1}}, {}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("logits are f32 [1, 4]")));
  // Behind the first token.
  const Tensor good = *Tensor::Zeros({1, 3}, DType::kF32);
  EXPECT_THAT(ContinueGeneration(&session, good, {{1}}, {}),
              StatusIs(absl::StatusCode::kInternal,
                       "generate: the session's logits are f32 [1, 4], "
                       "expected [1, 3]"));
  session.answer = {};
  session.step_error = absl::InternalError("layer 2 is not finite");
  EXPECT_THAT(Generate(&session, {{1}}, {}),
              StatusIs(absl::StatusCode::kInternal,
                       "generate: token 0: layer 2 is not finite"));
  session.step_error = absl::OkStatus();
  session.select_error = absl::ResourceExhaustedError("no memory");
  GenerationOptions options;
  options.continuations = 2;
  EXPECT_THAT(
      Generate(&session, {{1}}, options),
      StatusIs(absl::StatusCode::kResourceExhausted, "generate: no memory"));
}

}  // namespace
}  // namespace septet
