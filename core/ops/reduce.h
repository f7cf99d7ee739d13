// SPDX-License-Identifier: Apache-2.0
// Reductions over axes.
//
// x is f32 or f64 of any shape; `axes` may be negative and must be distinct; no
// axes at all means all of them. With keep_dims the axes stay, with extent 1.
// Sums run in a fixed tree that depends on the shape alone
// (core/ops/reduce_kernels.h). Empty sums are 0; the mean, maximum or minimum
// of nothing is an InvalidArgument.
//
// Errors: InvalidArgument naming the axes and the shape. Differentiable any
// number of times.
#ifndef SEPTET_CORE_OPS_REDUCE_H_
#define SEPTET_CORE_OPS_REDUCE_H_

#include <cstdint>

#include "absl/types/span.h"
#include "septet/core/autograd/var.h"

namespace septet {

struct ReduceOptions {
  bool keep_dims = false;
};

Var Sum(const Var& x, absl::Span<const int64_t> axes = {},
        const ReduceOptions& options = {});
Var Mean(const Var& x, absl::Span<const int64_t> axes = {},
         const ReduceOptions& options = {});

// NaN if there is one. Equal extremes share the gradient equally, as in
// PyTorch's amax and amin.
Var Max(const Var& x, absl::Span<const int64_t> axes = {},
        const ReduceOptions& options = {});
Var Min(const Var& x, absl::Span<const int64_t> axes = {},
        const ReduceOptions& options = {});

}  // namespace septet

#endif  // SEPTET_CORE_OPS_REDUCE_H_
