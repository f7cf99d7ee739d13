// SPDX-License-Identifier: Apache-2.0
// Windows of a long row of tokens, to train a language model and to evaluate
// it.
//
//   TokenWindowsOptions options;
//   options.context = 128;                          // T
//   options.seed = seed;
//   SEPTET_ASSIGN_OR_RETURN(TokenWindows train,
//                           TokenWindows::Create(tokens, options));
//   SEPTET_ASSIGN_OR_RETURN(TokenBatch batch, train.Batch(step, /*rows=*/16));
//   Var logits = model.Forward(p, pass, batch.inputs);    // [16, 128, V]
//   Var loss = CrossEntropy(logits, batch.targets);
//
//   SEPTET_ASSIGN_OR_RETURN(std::vector<int64_t> ends,
//                           EvaluationTargets(held_out.size(), {}));
//   SEPTET_ASSIGN_OR_RETURN(TokenBatch fixed, held_out.EndingAt(ends));
//
// A window is T + 1 tokens: the first T are the inputs, the last T the
// targets, so that target t follows input t. Tokens are u8, u16, i32 or i64,
// in memory or mapped (a tensor of a mapped file is read where it lies, a
// window at a time); batches are i64, as embeddings and losses want them.
//
// Row r of step s of a batch of R rows starts at a place drawn uniformly from
// the N - T places where a window fits, by element s R + r of the named
// stream: RandomStream::Below, or, from 2^32 places on, the upper half of the
// 128-bit product of the number of places and words 1 and 0 (word 1 above).
// Rows are drawn independently, with replacement. So the cursor of a run is
// its step.
//
// Cost: O(R T). Copies are handles of the same tokens; all members are const
// and may be called from several threads.
#ifndef SEPTET_CORE_DATA_TOKEN_WINDOWS_H_
#define SEPTET_CORE_DATA_TOKEN_WINDOWS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/random/stream.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

struct TokenWindowsOptions {
  int64_t context = 0;  // T, >= 1
  uint64_t seed = 0;    // its low 32 bits count, as in RandomStream
};

struct TokenBatch {
  Tensor inputs;   // i64 [B, T], row-major
  Tensor targets;  // i64 [B, T], row-major
};

class TokenWindows {
 public:
  // tokens: contiguous [N], N > T. Windows of one seed whose `stream` differs
  // are drawn independently of each other.
  // Errors: InvalidArgument for another dtype or rank, for gaps between the
  // tokens, if T < 1 or N <= T (which says how many tokens there are and how
  // many a window has); those of RandomStream::Create.
  static absl::StatusOr<TokenWindows> Create(
      Tensor tokens, const TokenWindowsOptions& options,
      absl::string_view stream = "data/windows");

  int64_t size() const { return tokens_.dim(0); }  // N
  int64_t context() const { return context_; }     // T

  // Where row `row` of a batch of `rows` begins; 0 <= row < rows, step >= 0.
  int64_t Start(int64_t step, int64_t row, int64_t rows) const;

  // The windows of a step. Errors: InvalidArgument if step < 0 or rows < 1;
  // ResourceExhausted.
  absl::StatusOr<TokenBatch> Batch(int64_t step, int64_t rows) const;

  // The windows whose last targets are the tokens at these places, each in
  // T..N-1: InvalidArgument, with the place, otherwise. ResourceExhausted.
  absl::StatusOr<TokenBatch> EndingAt(
      absl::Span<const int64_t> last_targets) const;

 private:
  TokenWindows(Tensor tokens, int64_t context, RandomStream stream);

  // The windows that begin at starts(0), ..., starts(rows - 1).
  template <typename Starts>
  absl::StatusOr<TokenBatch> Gather(int64_t rows, const Starts& starts) const;

  Tensor tokens_;
  int64_t context_ = 0;
  RandomStream stream_;
};

struct EvaluationTargetsOptions {
  int64_t windows = 96;  // W, in 1..N - first
  // The place of the first window's last target. At least the longest context
  // that is to be evaluated: all contexts then have the same targets.
  int64_t first = 512;
};

// The places of the last targets of W windows, evenly spaced from `first` to
// the end of N tokens: first + floor(i (N - 1 - first) / (W - 1)) for window
// i; one window alone has `first`. All places differ; windows may overlap.
// Errors: InvalidArgument unless 1 <= first < N and 1 <= W <= N - first.
absl::StatusOr<std::vector<int64_t>> EvaluationTargets(
    int64_t size, const EvaluationTargetsOptions& options);

}  // namespace septet

#endif  // SEPTET_CORE_DATA_TOKEN_WINDOWS_H_
