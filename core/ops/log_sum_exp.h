// SPDX-License-Identifier: Apache-2.0
// log(sum(exp(x))) over axes, without overflow: the maximum is taken out first.
//
//   Var log_z = LogSumExp(scores, {-1});
//
// Cost: two passes over x, the second in the cache where a row fits, and one
// for the gradient. No probabilities are kept.
#ifndef SEPTET_CORE_OPS_LOG_SUM_EXP_H_
#define SEPTET_CORE_OPS_LOG_SUM_EXP_H_

#include <cstdint>

#include "absl/types/span.h"
#include "septet/core/autograd/var.h"
#include "septet/core/ops/reduce.h"

namespace septet {

// x: f32 or f64, of rank >= 1; axes as in reduce.h, not empty of elements.
// -infinity adds nothing: a row of nothing else gives -infinity, with the
// gradient 0. A row with +infinity gives +infinity, one with NaN NaN.
// Errors: InvalidArgument naming the axes and the shape. Differentiable any
// number of times: the gradient is softmax(x), 0 where the result is -infinity.
Var LogSumExp(const Var& x, absl::Span<const int64_t> axes = {},
              const ReduceOptions& options = {});

}  // namespace septet

#endif  // SEPTET_CORE_OPS_LOG_SUM_EXP_H_
