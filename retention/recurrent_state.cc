// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/recurrent_state.h"

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/nn/transformer.h"
#include "septet/core/ops/concat.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

// i64 or i32 [B, T], without gaps.
absl::StatusOr<Tensor> CheckTokens(const RecurrentModel& model,
                                   const Tensor& tokens, int64_t batch) {
  if (!tokens.defined() || tokens.rank() < 1 || tokens.rank() > 2 ||
      tokens.num_elements() == 0 || tokens.dim(0) != batch) {
    return absl::InvalidArgumentError(absl::StrCat(
        model.name, ": tokens are ",
        tokens.defined() ? tokens.DebugString() : "not given", ", expected [",
        batch, ", T] or [", batch, "], as the state has"));
  }
  if (tokens.dtype() != DType::kI64 && tokens.dtype() != DType::kI32) {
    return absl::InvalidArgumentError(absl::StrCat(model.name, ": tokens are ",
                                                   tokens.DebugString(),
                                                   ", expected i32 or i64"));
  }
  SEPTET_ASSIGN_OR_RETURN(const Tensor dense, tokens.Contiguous());
  return dense.Reshape({batch, tokens.num_elements() / batch});
}

absl::StatusOr<std::vector<int64_t>> CheckLengths(const RecurrentModel& model,
                                                  const Tensor& lengths,
                                                  int64_t batch, int64_t time,
                                                  int64_t before) {
  if (before > 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(model.name, ": lengths are for the first tokens, but the ",
                     "state has read ", before));
  }
  if (lengths.dtype() != DType::kI64 || lengths.shape() != Shape({batch})) {
    return absl::InvalidArgumentError(
        absl::StrCat(model.name, ": lengths are ", lengths.DebugString(),
                     ", expected i64 [", batch, "]"));
  }
  std::vector<int64_t> values = lengths.ToVector<int64_t>();
  for (size_t b = 0; b < values.size(); ++b) {
    if (values[b] >= 1 && values[b] <= time) continue;
    return absl::InvalidArgumentError(absl::StrCat(model.name, ": lengths[", b,
                                                   "] is ", values[b],
                                                   ", expected 1 to ", time));
  }
  return values;
}

// Joins what rows alone have given.
absl::StatusOr<RecurrentPiece> Join(const std::vector<RecurrentPiece>& pieces) {
  RecurrentPiece joined;
  std::vector<Var> parts;
  for (const RecurrentPiece& piece : pieces) parts.push_back(piece.hidden);
  joined.hidden = Concat(parts, 0);
  for (size_t i = 0; i < pieces[0].tensors.size(); ++i) {
    parts.clear();
    for (const RecurrentPiece& piece : pieces) {
      parts.push_back(piece.tensors[i]);
    }
    const Var tensor = Concat(parts, 0);
    SEPTET_RETURN_IF_ERROR(tensor.status());
    joined.tensors.push_back(tensor.tensor());
  }
  return joined;
}

// Every row by itself, all of them ending in column T - 1.
absl::StatusOr<RecurrentPiece> AdvanceRows(const RecurrentModel& model,
                                           const Tensor& ids,
                                           absl::Span<const int64_t> lengths,
                                           const RecurrentState& state) {
  const int64_t time = ids.dim(1);
  std::vector<RecurrentPiece> pieces;
  for (int64_t b = 0; b < ids.dim(0); ++b) {
    const int64_t length = lengths[static_cast<size_t>(b)];
    SEPTET_ASSIGN_OR_RETURN(Tensor row, ids.Slice(0, b, b + 1));
    SEPTET_ASSIGN_OR_RETURN(row, row.Slice(1, 0, length));
    std::vector<Tensor> before;
    for (const Tensor& x : state.tensors()) {
      SEPTET_ASSIGN_OR_RETURN(Tensor part, x.Slice(0, b, b + 1));
      before.push_back(std::move(part));
    }
    RecurrentPiece piece = model.advance(row, before, time - length);
    piece.hidden = Pad(piece.hidden, {0, time - length, 0}, {0, 0, 0});
    SEPTET_RETURN_IF_ERROR(piece.hidden.status());
    pieces.push_back(std::move(piece));
  }
  return Join(pieces);
}

}  // namespace

int64_t RecurrentState::bytes() const {
  int64_t sum = 0;
  for (const Tensor& x : tensors_) {
    sum += x.num_elements() * static_cast<int64_t>(DTypeSize(x.dtype()));
  }
  return sum;
}

absl::StatusOr<RecurrentState> RecurrentState::Clone() const {
  std::vector<int64_t> rows(static_cast<size_t>(batch_));
  std::iota(rows.begin(), rows.end(), 0);
  return Select(rows);
}

absl::StatusOr<RecurrentState> RecurrentState::Select(
    absl::Span<const int64_t> rows) const {
  if (rows.empty()) {
    return absl::InvalidArgumentError(
        "recurrent state: no rows are selected, expected at least one");
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i] >= 0 && rows[i] < batch_) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("recurrent state: rows[", i, "] is ", rows[i],
                     ", expected 0 to ", batch_ - 1));
  }
  const auto count = static_cast<int64_t>(rows.size());
  std::vector<Tensor> tensors;
  for (const Tensor& x : tensors_) {
    SEPTET_ASSIGN_OR_RETURN(
        Tensor copy, Tensor::Empty(x.shape().WithDim(0, count), x.dtype()));
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = rows[static_cast<size_t>(i)];
      SEPTET_ASSIGN_OR_RETURN(const Tensor from, x.Slice(0, row, row + 1));
      SEPTET_ASSIGN_OR_RETURN(const Tensor to, copy.Slice(0, i, i + 1));
      SEPTET_RETURN_IF_ERROR(to.CopyFrom(from));
    }
    tensors.push_back(std::move(copy));
  }
  RecurrentState result(count, std::move(tensors));
  result.length_ = length_;
  return result;
}

absl::Status CheckRecurrentState(
    absl::string_view model, const RecurrentState& state,
    absl::Span<const std::vector<int64_t>> shapes) {
  if (state.tensors().size() != shapes.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(model, ": the state has ", state.tensors().size(),
                     " tensors, expected ", shapes.size()));
  }
  for (size_t i = 0; i < shapes.size(); ++i) {
    std::vector<int64_t> want = {state.batch()};
    want.insert(want.end(), shapes[i].begin(), shapes[i].end());
    if (state.tensors()[i].shape() == Shape(want)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(model, ": tensor ", i, " of the state is ",
                     state.tensors()[i].DebugString(), ", expected [",
                     absl::StrJoin(want, ", "), "]"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Tensor> ExtendRecurrent(const RecurrentModel& model,
                                       const Tensor& tokens,
                                       const ExtendOptions& options,
                                       RecurrentState* state) {
  const int64_t batch = state->batch();
  SEPTET_ASSIGN_OR_RETURN(const Tensor ids, CheckTokens(model, tokens, batch));
  for (const Var& var : model.parameters->trained()) {
    if (var.tape() == nullptr) continue;
    return absl::FailedPreconditionError(
        absl::StrCat(model.name,
                     ": parameters are on a tape, but nothing is "
                     "differentiated through a state"));
  }
  const int64_t time = ids.dim(1);
  RecurrentPiece piece;
  if (options.lengths.defined()) {
    SEPTET_ASSIGN_OR_RETURN(
        const std::vector<int64_t> lengths,
        CheckLengths(model, options.lengths, batch, time, state->length()));
    SEPTET_ASSIGN_OR_RETURN(piece, AdvanceRows(model, ids, lengths, *state));
  } else {
    piece = model.advance(ids, state->tensors(), state->length());
  }
  SEPTET_RETURN_IF_ERROR(piece.hidden.status());
  Var h = piece.hidden;
  if (!options.all_logits) {
    h = Reshape(Slice(h, 1, time - 1, time), {batch, h.dim(2)});
  }
  const Var logits = model.logits(h);
  SEPTET_RETURN_IF_ERROR(logits.status());
  state->Advance(std::move(piece.tensors), time);
  return logits.tensor();
}

}  // namespace septet
