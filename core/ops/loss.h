// SPDX-License-Identifier: Apache-2.0
// Losses: cross-entropy of classes, negative log-likelihood.
//
//   Var loss = CrossEntropy(logits, targets);            // [B, T, V], [B, T]
//   Var loss = CrossEntropy(logits, targets, {LossReduction::kSum});
//
// All take f32 or f64 and give a scalar, or with LossReduction::kNone one value
// a row. Targets of classes are i32 or i64 constants. Means divide by the
// number of rows that are not ignored. A mean of nothing is 0 with zero
// gradients, also where all rows are ignored (PyTorch gives NaN there).
//
// Errors: InvalidArgument naming the argument, expected and actual. Every loss
// is differentiable any number of times.
#ifndef SEPTET_CORE_OPS_LOSS_H_
#define SEPTET_CORE_OPS_LOSS_H_

#include <cstdint>

#include "septet/core/autograd/var.h"

namespace septet {

enum class LossReduction { kMean, kSum, kNone };

struct CrossEntropyOptions {
  LossReduction reduction = LossReduction::kMean;
  // Rows with this class have loss 0 and no gradient.
  int64_t ignore_index = -100;
  // e in [0, 1]: the target is (1 - e) of its class and e / V of every class.
  double label_smoothing = 0;
};

// logits [..., V], targets [...] in [0, V) or ignore_index, V >= 1:
//   loss = -sum_v q_v log softmax(logits)_v,  q = (1 - e) onehot + e / V.
// Fused: a row of logits is read once from memory forward (twice from a cache)
// and once backward, where its gradient is written; no probabilities are kept.
// Logits may be as large as they like, and -infinity: such a class has
// probability 0 and, as the target, an infinite loss. A row of -infinity only,
// and +infinity, give NaN.
Var CrossEntropy(const Var& logits, const Var& targets,
                 const CrossEntropyOptions& options = {});

struct NllOptions {
  LossReduction reduction = LossReduction::kMean;
  int64_t ignore_index = -100;
};

// -log_probs[..., target]: log_probs [..., V], targets [...].
Var Nll(const Var& log_probs, const Var& targets,
        const NllOptions& options = {});

}  // namespace septet

#endif  // SEPTET_CORE_OPS_LOSS_H_
