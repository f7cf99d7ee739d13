// SPDX-License-Identifier: Apache-2.0
// What a recurrent language model keeps of the tokens that it has read: tensors
// whose first axis is the rows of a batch, and whose size does not grow.
//
//   SEPTET_ASSIGN_OR_RETURN(RecurrentState state,
//                           model.MakeState(/*batch=*/8, DType::kF32));
//   SEPTET_ASSIGN_OR_RETURN(Tensor logits, model.Extend(p, prompts, &state));
//   for (int64_t i = 0; i < count; ++i) {
//     SEPTET_ASSIGN_OR_RETURN(logits, model.Extend(p, next, &state));
//   }
//
// Nothing is differentiated through a state. One thread at a time.
#ifndef SEPTET_RETENTION_RECURRENT_STATE_H_
#define SEPTET_RETENTION_RECURRENT_STATE_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/autograd/var.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/transformer.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

class RecurrentState {
 public:
  // For models: tensors with `batch` rows.
  RecurrentState(int64_t batch, std::vector<Tensor> tensors)
      : batch_(batch), tensors_(std::move(tensors)) {}

  RecurrentState(RecurrentState&&) = default;
  RecurrentState& operator=(RecurrentState&&) = default;
  // Clone() says that elements are copied.
  RecurrentState(const RecurrentState&) = delete;
  RecurrentState& operator=(const RecurrentState&) = delete;

  int64_t batch() const { return batch_; }
  // Tokens read, of the longest row where prompts were of several lengths.
  int64_t length() const { return length_; }
  // Of all tensors: the same for every length.
  int64_t bytes() const;
  absl::Span<const Tensor> tensors() const { return tensors_; }

  // Another state with the same contents, or with rows `rows` of this one, in
  // that order and perhaps repeated: to branch from one prefix, reorder beams,
  // or go on with the rows that are not done. InvalidArgument for a row that is
  // not there, or for no rows; ResourceExhausted.
  absl::StatusOr<RecurrentState> Clone() const;
  absl::StatusOr<RecurrentState> Select(absl::Span<const int64_t> rows) const;

  // For models: what comes in place of tensors(), `count` tokens later.
  void Advance(std::vector<Tensor> tensors, int64_t count) {
    tensors_ = std::move(tensors);
    length_ += count;
  }

 private:
  int64_t batch_ = 0;
  int64_t length_ = 0;
  std::vector<Tensor> tensors_;
};

// What a model makes of tokens: hidden vectors [N, T, d], and the tensors
// behind them.
struct RecurrentPiece {
  Var hidden;
  std::vector<Tensor> tensors;
};

// How a model is continued: by `advance` from the tensors before `ids` [N, T],
// i32 or i64, the first of which has the position `first`, and by `logits`
// [..., V] of hidden vectors [..., d].
struct RecurrentModel {
  absl::string_view name;
  const BoundParameters* parameters;
  absl::FunctionRef<RecurrentPiece(
      const Tensor& ids, absl::Span<const Tensor> before, int64_t first)>
      advance;
  absl::FunctionRef<Var(const Var& hidden)> logits;
};

// For models: appends tokens [B, T], or [B] for T = 1, and returns the logits
// that follow: of the last token [B, V], or with all_logits of each [B, T, V].
// With lengths, i64 [B], the first lengths[b] in 1..T tokens of row b count; a
// row ends in column T - 1, has zeros in the columns before its first token,
// and is counted as T tokens. Such rows are computed one by one. On an error
// the state is as before.
// Errors: FailedPrecondition if the parameters are on a tape, or for lengths
// with a state that has read tokens; InvalidArgument for other shapes or
// dtypes, lengths out of range, or a token out of range.
absl::StatusOr<Tensor> ExtendRecurrent(const RecurrentModel& model,
                                       const Tensor& tokens,
                                       const ExtendOptions& options,
                                       RecurrentState* state);

// For models: InvalidArgument unless the tensors are of these shapes, in which
// the rows are left out.
absl::Status CheckRecurrentState(absl::string_view model,
                                 const RecurrentState& state,
                                 absl::Span<const std::vector<int64_t>> shapes);

}  // namespace septet

#endif  // SEPTET_RETENTION_RECURRENT_STATE_H_
