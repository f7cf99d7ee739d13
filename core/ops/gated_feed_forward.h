// SPDX-License-Identifier: Apache-2.0
// A gated feed-forward network without biases (Shazeer: GLU Variants Improve
// Transformer, 2020, arXiv 2002.05202) as one differentiable op:
//
//   y = (phi(x w1) * (x wg)) w2
//
//   Var y = GatedFeedForward(ActivationKind::kSwish, x, w1, wg, w2);  // SwiGLU
//
// It goes by blocks of rows, all of whose hidden values lie in the second-level
// cache, forward and backward: at the widths of small models reading and
// writing them takes a fifth of the time otherwise. Kept for the gradient are
// x, x w1 and x wg alone; phi(x w1) * (x wg), which w2's gradient reads, is
// made again beside the derivative of phi, with which it shares the
// exponential.
//
// Cost: 2 (d 2 f + f e) operations a row forward, twice that backward.
// Determinism: rows are divided by shape alone, gradients of weights are sums
// of at most kGatedFeedForwardParts parts in a fixed order: the same bits for
// any number of threads.
#ifndef SEPTET_CORE_OPS_GATED_FEED_FORWARD_H_
#define SEPTET_CORE_OPS_GATED_FEED_FORWARD_H_

#include <cstdint>

#include "septet/core/autograd/var.h"
#include "septet/core/ops/activation_kind.h"

namespace septet {

// So many threads at most share a backward pass.
inline constexpr int64_t kGatedFeedForwardParts = 4;

// x [..., d], w1, wg [d, f], w2 [f, e]: [..., e]; all f32 or all f64, extents
// of at least 1 but for the number of rows.
// Errors: InvalidArgument naming the argument, expected and actual.
// Differentiable in all any number of times: first gradients are fused, higher
// ones go through Linear and GatedActivation.
Var GatedFeedForward(ActivationKind kind, const Var& x, const Var& w1,
                     const Var& wg, const Var& w2);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_GATED_FEED_FORWARD_H_
