// SPDX-License-Identifier: Apache-2.0
// The next token from a row of logits: greedy, or drawn from a distribution
// that temperature, top-k, top-p and a repetition penalty have shaped.
//
//   SamplingOptions options;
//   options.temperature = 0.8;
//   options.top_p = 0.95;
//   SEPTET_ASSIGN_OR_RETURN(RandomStream stream,
//                           RandomStream::Create(seed, "generate"));
//   SEPTET_ASSIGN_OR_RETURN(
//       Tensor next, SampleTokens(logits, history, options, stream, {step}));
//
// In this order (retnet.md 4):
//   1. the logit of a token in the row's history is divided by
//      repetition_penalty if it is positive, and multiplied by it if it is not
//      (Keskar et al., CTRL, 2019, arXiv 1909.05858, section 4.1);
//   2. temperature 0: the token of the largest logit, the lowest id on ties.
//      Otherwise logits are divided by it;
//   3. the top_k largest are kept, ties to the lower id (Fan et al., 2018,
//      arXiv 1805.04833); softmax over them;
//   4. in that order, largest first, a token is kept while the probability of
//      those before it is < top_p, the first always (Holtzman et al., 2020,
//      arXiv 1904.09751); what is kept is made to add up to 1.
//
// Drawing (cppo.md 7.1): the lowest id whose cumulative probability, in id
// order, exceeds unit(w0) of the row's element of the stream. So a text depends
// on seed, stream and the elements' numbers alone.
//
// All is computed in float64, whatever the logits' dtype. Cost of a row: O(V),
// with top_k at most O(V log top_k), and where top_p cuts O(K log V) for the K
// tokens that it keeps. Keywords: nucleus sampling.
#ifndef SEPTET_CORE_NN_SAMPLING_H_
#define SEPTET_CORE_NN_SAMPLING_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "septet/core/random/stream.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

struct SamplingOptions {
  double temperature = 1;         // finite, >= 0
  int64_t top_k = 0;              // >= 0; 0 and V or more: all
  double top_p = 1;               // in [0, 1]; 0: the likeliest alone
  double repetition_penalty = 1;  // finite, > 0

  // InvalidArgument that names the field, its value and its range.
  absl::Status Validate() const;
};

// The distribution, f64 [B, V]. logits [B, V], f32 or f64, V >= 1; history i64
// [B, T] of tokens in 0..V-1, or undefined: none. A logit may be -infinity: its
// token is never drawn.
// Errors: those of Validate(); InvalidArgument for other shapes or dtypes, a
// token out of range, a logit that is NaN or +infinity, and a row of -infinity
// alone, each with its place.
absl::StatusOr<Tensor> SamplingProbabilities(const Tensor& logits,
                                             const Tensor& history,
                                             const SamplingOptions& options);

// A token for each row, i64 [B]: row b's is drawn with element elements[b] >= 0
// of the stream. `log_probabilities`, if given, becomes f64 [B]: of the tokens,
// in the distribution they were drawn from. Errors as above, and
// InvalidArgument for another number of elements; then it is left alone.
absl::StatusOr<Tensor> SampleTokens(const Tensor& logits, const Tensor& history,
                                    const SamplingOptions& options,
                                    const RandomStream& stream,
                                    absl::Span<const int64_t> elements,
                                    Tensor* log_probabilities = nullptr);

}  // namespace septet

#endif  // SEPTET_CORE_NN_SAMPLING_H_
