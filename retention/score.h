// SPDX-License-Identifier: Apache-2.0
// What a RetNet thinks of texts that are given: the loss of every token of a
// long one, and the probability of continuations of a context, by which
// zero-shot tasks are answered (retnet.md 4).
//
//   SEPTET_ASSIGN_OR_RETURN(const Tensor losses,
//                           TokenLosses(model, p, tokens, {}));  // f64 [T - 1]
//   const double perplexity = std::exp(Mean(losses).tensor().item<double>());
//
//   SEPTET_ASSIGN_OR_RETURN(
//       const std::vector<ContinuationScore> scores,
//       ScoreContinuations(model, p, question, {answer_a, answer_b}));
//   // The best of them: by log_probability, or by mean() whatever their
//   length.
//
// Parameters are those of Bind(): nothing is differentiated. The score norms of
// torchscale, whose forms differ, are taken in their recurrent form.
#ifndef SEPTET_RETENTION_SCORE_H_
#define SEPTET_RETENTION_SCORE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/retnet.h"

namespace septet {

struct TokenLossOptions {
  int64_t segment = 512;  // tokens read at once, >= 1
  // 0: the state is carried from one segment to the next, so that every token
  // sees all before it. Else, 1 to `segment`: segments begin `stride` tokens
  // after each other with no state, as models with a limited context are
  // measured, and a token's loss is that of the first segment that has it. So
  // each sees at least segment - stride before it, but for the first ones.
  int64_t stride = 0;
  int64_t rows = 8;  // segments at once, >= 1, where none is carried

  // InvalidArgument that names the field, its value and its range.
  absl::Status Validate() const;
};

// -ln p(tokens[t + 1] | what it sees), f64 [T - 1], of tokens i32 or i64 [T].
// Memory: of one segment, or `rows` of them, whatever T. Carried, the segments
// change the losses by rounding alone.
// Errors: those of Validate(); InvalidArgument for other shapes or types, fewer
// than two tokens, or one out of 0..V-1, with its place; FailedPrecondition for
// parameters on a tape; Internal for a loss that is not a number, with its
// place.
absl::StatusOr<Tensor> TokenLosses(const RetNet& model,
                                   const BoundParameters& p,
                                   const Tensor& tokens,
                                   const TokenLossOptions& options);

struct ContinuationScore {
  double log_probability = 0;  // of all its tokens behind the context, in nats
  int64_t tokens = 0;
  bool greedy = false;  // each of them is the likeliest one at its place

  double mean() const { return log_probability / static_cast<double>(tokens); }
};

// One for each continuation. The context is read once, then all continuations
// behind its state, packed. Memory: logits of all tokens of continuations.
// Errors: InvalidArgument for no continuations, an empty one or an empty
// context, or a token out of 0..V-1, with its place; FailedPrecondition and
// Internal as above.
absl::StatusOr<std::vector<ContinuationScore>> ScoreContinuations(
    const RetNet& model, const BoundParameters& p,
    const std::vector<int64_t>& context,
    absl::Span<const std::vector<int64_t>> continuations);

}  // namespace septet

#endif  // SEPTET_RETENTION_SCORE_H_
