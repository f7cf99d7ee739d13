// SPDX-License-Identifier: Apache-2.0
// Bias-free batch normalisation (Mohan, Kadkhodaie, Simoncelli,
// Fernandez-Granda, ICLR 2020; the form of Kadkhodaie et al., ICLR 2024,
// arXiv 2310.02557), channels last: a channel is divided by its standard
// deviation and multiplied by its scale, and its mean is not subtracted, so
// that in evaluation a network of it is homogeneous of order 1.
//
// Training, with m elements a channel:
//   s = sqrt(sum((x - mean)^2) / m + eps),  y = scale x / s
//   running sd <- (1 - momentum) running sd + momentum s
// (the standard deviation is averaged, not the variance). Evaluation:
//   y = scale x / running sd, without eps.
// Backward in training, with g = dy: dscale = sum(g x) / s and
//   dx = scale g / s - scale / (m s^3) sum(g x) (x - mean).
//
//   const BiasFreeBatchNormResult result =
//       BiasFreeBatchNormTraining(x, scale, /*eps=*/1e-5);
//   SEPTET_RETURN_IF_ERROR(
//       UpdateRunningDeviation(result, /*momentum=*/0.1, running_sd));
//   Var h = Relu(result.y);
//
// Cost and threads as for core/ops/batch_norm.h.
#ifndef SEPTET_CORE_OPS_BIAS_FREE_BATCH_NORM_H_
#define SEPTET_CORE_OPS_BIAS_FREE_BATCH_NORM_H_

#include "absl/status/status.h"
#include "septet/core/autograd/var.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

struct BiasFreeBatchNormResult {
  Var y;   // of x's shape; carries the error, if there is one
  Var sd;  // [C], s above, a constant: nothing is differentiated through it
};

// x: [..., C], f32 or f64, rank 2 to 8, at least one element a channel. scale:
// [C], may be an undefined Var (1). eps >= 0; with eps = 0 a constant channel
// gives infinities or NaN.
// Errors, in y: InvalidArgument naming the argument, expected and actual.
// y is differentiable any number of times in x and scale, s being a function of
// x (higher derivatives through elementary ops).
BiasFreeBatchNormResult BiasFreeBatchNormTraining(const Var& x,
                                                  const Var& scale, double eps);

// x and scale as above, but x may have no rows. running_sd: [C] of x's dtype, a
// constant: no gradient reaches it, and a later update of it changes no
// gradient of this y. Errors as above. Differentiable any number of times.
Var BiasFreeBatchNormEvaluation(const Var& x, const Var& scale,
                                const Tensor& running_sd);

// Updates the running standard deviation in place, as above: [C] of the
// batch's dtype, contiguous. 0 <= momentum <= 1.
// Errors: that of the batch; InvalidArgument for a momentum out of range,
// another shape or dtype; FailedPrecondition if it may not be written. Then
// nothing has changed.
absl::Status UpdateRunningDeviation(const BiasFreeBatchNormResult& batch,
                                    double momentum, const Tensor& running_sd);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_BIAS_FREE_BATCH_NORM_H_
