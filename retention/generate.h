// SPDX-License-Identifier: Apache-2.0
// Text from a language model, for several prompts at a time (retnet.md 4): each
// token is drawn by core/nn/sampling.h, until there are enough, a token or a
// string that ends a text has come, or who reads it has had enough.
//
//   GenerationOptions options;
//   options.max_new = 200;
//   options.sampling.temperature = 0.8;
//   options.sampling.top_p = 0.95;
//   options.tokenizer = &tokenizer;
//   options.stop_strings = {"\n\n"};
//   options.stream = [](const GenerationPiece& piece) {
//     std::cout << piece.text << std::flush;
//     return true;
//   };
//   RetNetSession session(&model, &p);          // retention/retnet_session.h
//   SEPTET_ASSIGN_OR_RETURN(GenerationResult result,
//                           Generate(&session, {prompt}, options));
//
// Rows of the result: prompt n has the rows n C to n C + C - 1, with C
// continuations of each. It is read once.
//
// Token i of row r is drawn with element 2^32 r + i of the stream "generate" of
// the seed: a text is the beginning of a longer one, and depends on the seed,
// on its row and on its prompt, not on the other rows or on when they end. But
// products of another number of rows add in another order, so that logits
// differ in their last digits, and a draw between two tokens that lie as close
// may go the other way.
//
// Cost of a token: a step of the session for the rows that are not done, and
// for each of them what drawing costs, O(V). Rows that are done are taken out
// of the session.
#ifndef SEPTET_RETENTION_GENERATE_H_
#define SEPTET_RETENTION_GENERATE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/nn/sampling.h"
#include "septet/core/tensor/tensor.h"
#include "septet/core/text/tokenizer.h"

namespace septet {

// A model and what it keeps of the tokens that N rows have read: a state, or
// keys and values. One thread at a time.
class GenerationSession {
 public:
  virtual ~GenerationSession() = default;

  // V: tokens are 0 to this less one.
  virtual int64_t vocab_size() const = 0;

  // Forgets all rows and reads one for each prompt, of one token or more: the
  // logits behind the last one of each, f32 or f64 [N, V].
  virtual absl::StatusOr<Tensor> Begin(
      absl::Span<const std::vector<int64_t>> prompts) = 0;

  // Reads one more token of each row, i64 [N]: the logits behind it, [N, V].
  virtual absl::StatusOr<Tensor> Step(const Tensor& tokens) = 0;

  // Goes on with rows `rows`, one or more, in that order and perhaps repeated.
  virtual absl::Status Select(absl::Span<const int64_t> rows) = 0;
};

// What a token adds to a row.
struct GenerationPiece {
  int64_t row = 0;
  int64_t token = 0;
  double log_probability = 0;
  // Whole characters (but for the rest of a text that ends in the midst of
  // one), often none: what may be the beginning of a stop string is kept until
  // it is known not to be. Valid during the call.
  absl::string_view text;
};

struct GenerationOptions {
  int64_t max_new = 256;  // tokens of each row, 0 to 2^32 - 1
  SamplingOptions sampling;
  uint64_t seed = 1;
  int64_t continuations = 1;  // C of each prompt, >= 1
  // Tokens that end a text, in 0..V-1.
  std::vector<int64_t> stop_tokens;
  // Not empty each; they need a tokenizer. A text ends before the one that is
  // complete first, of those that end in one byte the longest. What the prompt
  // holds is no part of one.
  std::vector<std::string> stop_strings;
  // What makes text of tokens, or null: there is none. Tokens that it does not
  // have, with which a vocabulary is filled up, stand for nothing.
  const Tokenizer* tokenizer = nullptr;
  // Called with every token, row by row in each step; a row ends if it returns
  // false. May be empty.
  std::function<bool(const GenerationPiece&)> stream;

  // InvalidArgument that names the field, its value and its range.
  absl::Status Validate() const;
};

enum class GenerationEnd {
  kLength,      // max_new tokens
  kStopToken,   // the last token is one of stop_tokens
  kStopString,  // the last token completes one of stop_strings
  kStream,      // the stream returned false
};

struct GeneratedRow {
  // All that were drawn, the one that ends the text, too.
  std::vector<int64_t> tokens;
  // Of each token, in the distribution that it was drawn from.
  std::vector<double> log_probabilities;
  // What the stream was given: that of the tokens behind the prompt's, without
  // the stop token, and without the stop string and what is behind it. A
  // character that the prompt begins and does not end belongs to it, whole.
  std::string text;
  GenerationEnd end = GenerationEnd::kLength;
  // Which one of stop_strings it was, else -1.
  int64_t stop_string = -1;
};

struct GenerationResult {
  std::vector<GeneratedRow> rows;
};

// Begins `session` with the prompts and writes on from them. Afterwards only
// Begin() goes on with the session.
// Errors: those of Validate(); InvalidArgument for no prompts, an empty one, a
// token out of 0..V-1 in a prompt or among the stop tokens, or more than 2^31
// rows, each with its place; those of the session and of drawing (logits that
// are not numbers). What was streamed before an error was right.
absl::StatusOr<GenerationResult> Generate(
    GenerationSession* session, absl::Span<const std::vector<int64_t>> prompts,
    const GenerationOptions& options);

// The same for a session whose rows have read the prompts already: `logits`
// [N, V] are those behind them. InvalidArgument, too, for other logits.
absl::StatusOr<GenerationResult> ContinueGeneration(
    GenerationSession* session, const Tensor& logits,
    absl::Span<const std::vector<int64_t>> prompts,
    const GenerationOptions& options);

}  // namespace septet

#endif  // SEPTET_RETENTION_GENERATE_H_
