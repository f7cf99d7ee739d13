// SPDX-License-Identifier: Apache-2.0
// How well a model predicts held-out text: bits a byte, by position and by
// context (retnet.md 8).
//
//   SEPTET_ASSIGN_OR_RETURN(double bits, BitsPerByte(model, held_out,
//   options)); SEPTET_ASSIGN_OR_RETURN(
//       std::vector<double> last,
//       LastBits(model, held_out, options, /*last=*/32, {32, 128, 512}));
//
// Which bytes count: core/data/bits_per_byte.h. The bits do not depend on the
// number of threads.
#ifndef SEPTET_RETENTION_LM_EVALUATE_H_
#define SEPTET_RETENTION_LM_EVALUATE_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "septet/core/data/bits_per_byte.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/lm/model.h"
#include "septet/retention/retention.h"

namespace septet {

// tokens: [N], as TokenWindows takes them. Errors: those of CheckEvaluation and
// of the model; Cancelled after SIGINT or SIGTERM.
absl::StatusOr<double> BitsPerByte(const RetentionLm& model,
                                   const Tensor& tokens,
                                   const EvaluationOptions& options,
                                   RetentionForm form = RetentionForm::kAuto);

// The mean over windows at each of the options.context targets, whatever
// options.last: target t is predicted from t + 1 tokens.
absl::StatusOr<std::vector<double>> BitsByPosition(
    const RetentionLm& model, const Tensor& tokens,
    const EvaluationOptions& options,
    RetentionForm form = RetentionForm::kAuto);

// Over the `last` targets of each window, which are the same for all
// `contexts`: windows end where the longest one has them end. One result a
// context. Errors: also InvalidArgument for no contexts, or one shorter than
// `last`.
absl::StatusOr<std::vector<double>> LastBits(
    const RetentionLm& model, const Tensor& tokens,
    const EvaluationOptions& options, int64_t last,
    absl::Span<const int64_t> contexts,
    RetentionForm form = RetentionForm::kAuto);

}  // namespace septet

#endif  // SEPTET_RETENTION_LM_EVALUATE_H_
