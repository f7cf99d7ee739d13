// SPDX-License-Identifier: Apache-2.0
// How well a model predicts held-out text, in bits a byte.
//
//   EvaluationOptions options;
//   options.context = 128;
//   SEPTET_ASSIGN_OR_RETURN(double bits,
//                           BitsPerByte(model, held_out_tokens, options));
//
// As retnet.md 8 has it: windows whose last targets are evenly spaced from byte
// 512 to the end (core/data/token_windows.h), the mean loss over all of a
// window's bytes or over its last ones. With `last` and one `first` the targets
// are the same for every context, and what differs is how much the model sees.
//
// Cost: the forward pass of windows * context bytes, 16 windows at a time. The
// bits do not depend on the number of threads.
#ifndef SEPTET_BASELINES_BYTE_LM_EVALUATE_H_
#define SEPTET_BASELINES_BYTE_LM_EVALUATE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "septet/baselines/byte_lm/model.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

struct EvaluationOptions {
  int64_t context = 128;  // >= 1
  int64_t windows = 96;   // >= 1
  int64_t first = 512;    // the longer of this and `context` is taken
  int64_t last = 0;       // count so many of a window's targets; 0: all
};

// OK if BitsPerByte can evaluate any model on `tokens`; else the error that it
// would return.
absl::Status CheckEvaluation(const Tensor& tokens,
                             const EvaluationOptions& options);

// tokens: [N], as TokenWindows takes them. Errors: InvalidArgument where the
// text is too short (with the numbers) or last is out of 0..context; those of
// the model; Cancelled after SIGINT or SIGTERM.
absl::StatusOr<double> BitsPerByte(const ByteLm& model, const Tensor& tokens,
                                   const EvaluationOptions& options);

}  // namespace septet

#endif  // SEPTET_BASELINES_BYTE_LM_EVALUATE_H_
