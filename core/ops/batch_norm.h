// SPDX-License-Identifier: Apache-2.0
// Batch normalisation (Ioffe, Szegedy, 2015, arXiv 1502.03167), channels last:
// every axis of x but the last is summed over.
//
// Training, with m elements a channel:
//   mean = sum(x) / m,  variance = sum((x - mean)^2) / m         (biased)
//   y = (x - mean) / sqrt(variance + eps) scale + bias
//   running mean <- (1 - momentum) running mean + momentum mean
//   running variance <- (1 - momentum) running variance
//                       + momentum variance m / (m - 1)          (unbiased)
// Evaluation: the same y with the running statistics. All as in PyTorch.
//
//   const BatchNormResult result = BatchNormTraining(x, scale, bias, 1e-5);
//   SEPTET_RETURN_IF_ERROR(UpdateRunningStatistics(
//       result, /*momentum=*/0.1, running_mean, running_variance));
//   Var h = Relu(result.y);
//
// Cost: training reads x twice and writes y once; backward reads x and dy twice
// and writes dx once; evaluation reads x and writes y once. Sums have a fixed
// tree (core/ops/batch_norm_kernels.h): the bits do not depend on threads.
#ifndef SEPTET_CORE_OPS_BATCH_NORM_H_
#define SEPTET_CORE_OPS_BATCH_NORM_H_

#include <cstdint>

#include "absl/status/status.h"
#include "septet/core/autograd/var.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

struct BatchNormResult {
  Var y;              // of x's shape; carries the error, if there is one
  Var mean;           // [C], a constant: nothing is differentiated through
  Var variance;       // [C], biased, a constant
  int64_t count = 0;  // m, elements a channel
};

// x: [..., C], f32 or f64, rank 2 to 8 ([N, C], [N, H, W, C]), at least one
// element a channel. scale and bias: [C], each may be an undefined Var (1 and
// 0). eps >= 0; with eps = 0 a constant channel gives NaN, else y = bias.
// Errors, in y: InvalidArgument naming the argument, expected and actual.
// y is differentiable any number of times in x, scale and bias, the statistics
// being functions of x (higher derivatives through elementary ops).
BatchNormResult BatchNormTraining(const Var& x, const Var& scale,
                                  const Var& bias, double eps);

// x, scale, bias and eps as above, but x may have no rows. running_mean and
// running_variance: [C] of x's dtype, constants: no gradient reaches them, and
// a later update of them changes no gradient of this y. Errors as above.
// Differentiable any number of times.
Var BatchNormEvaluation(const Var& x, const Var& scale, const Var& bias,
                        const Tensor& running_mean,
                        const Tensor& running_variance, double eps);

// Updates the running statistics in place, as above. They are [C] of the
// batch's dtype, contiguous. 0 <= momentum <= 1.
// Errors: that of the batch; InvalidArgument for a momentum out of range, other
// shapes or dtypes, and for count 1, which has no unbiased variance;
// FailedPrecondition if they may not be written. Then nothing has changed.
absl::Status UpdateRunningStatistics(const BatchNormResult& batch,
                                     double momentum,
                                     const Tensor& running_mean,
                                     const Tensor& running_variance);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_BATCH_NORM_H_
