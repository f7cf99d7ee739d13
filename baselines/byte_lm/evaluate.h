// SPDX-License-Identifier: Apache-2.0
// How well a model predicts held-out text, in bits a byte.
//
//   EvaluationOptions options;
//   options.context = 128;
//   SEPTET_ASSIGN_OR_RETURN(double bits,
//                           BitsPerByte(model, held_out_tokens, options));
//
// Which bytes count: core/data/bits_per_byte.h. The bits do not depend on the
// number of threads.
#ifndef SEPTET_BASELINES_BYTE_LM_EVALUATE_H_
#define SEPTET_BASELINES_BYTE_LM_EVALUATE_H_

#include "absl/status/statusor.h"
#include "septet/baselines/byte_lm/model.h"
#include "septet/core/data/bits_per_byte.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

// tokens: [N], as TokenWindows takes them. Errors: those of CheckEvaluation and
// of the model; Cancelled after SIGINT or SIGTERM.
absl::StatusOr<double> BitsPerByte(const ByteLm& model, const Tensor& tokens,
                                   const EvaluationOptions& options);

}  // namespace septet

#endif  // SEPTET_BASELINES_BYTE_LM_EVALUATE_H_
