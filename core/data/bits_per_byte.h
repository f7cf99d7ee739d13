// SPDX-License-Identifier: Apache-2.0
// How well any model predicts a held-out row of tokens, in bits a token: bits a
// byte where tokens are bytes.
//
//   EvaluationOptions options;
//   options.context = 128;
//   SEPTET_ASSIGN_OR_RETURN(
//       double bits,
//       BitsPerByte(held_out, options,
//                   [&](const TokenBatch& batch) -> absl::StatusOr<Tensor> {
//                     const Var losses = CrossEntropy(
//                         model.Forward(p, Pass(), batch.inputs),  // [B, T, V]
//                         batch.targets, {LossReduction::kNone});
//                     SEPTET_RETURN_IF_ERROR(losses.status());
//                     return losses.tensor();
//                   }));
//
// As retnet.md 8 has it: windows whose last targets are evenly spaced from
// token 512 to the end (token_windows.h), the mean loss over all of a window's
// targets or over its last ones. With `last` and one `first` the targets are
// the same for every context, and what differs is how much the model sees.
//
// Cost: what the model takes for windows * context tokens, `rows` windows at a
// time. Losses are added up in float64, window by window: how many are asked
// for at once changes nothing.
#ifndef SEPTET_CORE_DATA_BITS_PER_BYTE_H_
#define SEPTET_CORE_DATA_BITS_PER_BYTE_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "septet/core/data/token_windows.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

struct EvaluationOptions {
  int64_t context = 128;  // T, >= 1
  int64_t windows = 96;   // >= 1
  int64_t first = 512;    // the longer of this and `context` is taken
  int64_t last = 0;       // count so many of a window's targets; 0: all
  int64_t rows = 16;      // B: windows given to the model at once, >= 1
};

// OK if BitsPerByte can evaluate any model on `tokens`; else the error that it
// would return.
absl::Status CheckEvaluation(const Tensor& tokens,
                             const EvaluationOptions& options);

// tokens: [N], as TokenWindows takes them. `losses` gets batches of at most B
// windows and returns -ln p of each target, f32 or f64 of the shape of
// batch.targets, [B, T].
// Errors: InvalidArgument where there are too few tokens (with the numbers),
// `last` is out of 0..context or `rows` below 1; those of `losses`; Internal if
// it returns another shape or type; Cancelled after SIGINT or SIGTERM.
absl::StatusOr<double> BitsPerByte(
    const Tensor& tokens, const EvaluationOptions& options,
    absl::FunctionRef<absl::StatusOr<Tensor>(const TokenBatch&)> losses);

}  // namespace septet

#endif  // SEPTET_CORE_DATA_BITS_PER_BYTE_H_
