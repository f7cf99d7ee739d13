// SPDX-License-Identifier: Apache-2.0
// Losses: cross-entropy of classes, negative log-likelihood, squared, absolute
// and Huber error, binary cross-entropy of logits, Kullback-Leibler divergence,
// Gaussian negative log-likelihood.
//
//   Var loss = CrossEntropy(logits, targets);            // [B, T, V], [B, T]
//   Var loss = CrossEntropy(logits, targets, {LossReduction::kSum});
//
// All take f32 or f64 and give a scalar, or with LossReduction::kNone one value
// a row (cross-entropy, Nll, KlDiv) or an element (the others). Targets of
// classes are i32 or i64 constants. Means divide by the number of rows or
// elements; those of CrossEntropy and Nll by the number of rows that are not
// ignored. A mean of nothing is 0 with zero gradients, also where all rows are
// ignored (PyTorch gives NaN there).
//
// Errors: InvalidArgument naming the argument, expected and actual. Every loss
// is differentiable any number of times, with respect to both arguments where
// the second is not one of classes.
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

// (prediction - target)^2 and |prediction - target|, of equal shapes. The
// derivative of the latter at 0 is 0.
Var Mse(const Var& prediction, const Var& target,
        LossReduction reduction = LossReduction::kMean);
Var L1(const Var& prediction, const Var& target,
       LossReduction reduction = LossReduction::kMean);

// r^2 / 2 where |r| <= delta, else delta (|r| - delta / 2), for r = prediction
// - target. Smooth L1 is Huber with delta = beta, divided by beta. delta and
// beta are positive normal numbers of the dtype.
Var Huber(const Var& prediction, const Var& target, double delta = 1.0,
          LossReduction reduction = LossReduction::kMean);
Var SmoothL1(const Var& prediction, const Var& target, double beta = 1.0,
             LossReduction reduction = LossReduction::kMean);

// -(w t log sigmoid(x) + (1 - t) log(1 - sigmoid(x))), without overflow and
// without cancellation for t of 0 or 1, for any finite x. targets t: of the
// shape of logits x, usually in [0, 1]. positive_weight w: broadcasts to
// logits; undefined is 1.
Var BceWithLogits(const Var& logits, const Var& targets,
                  const Var& positive_weight = Var(),
                  LossReduction reduction = LossReduction::kMean);

// sum_v p_v (log p_v - log q_v) over the last axis, for log_q and p [..., V]:
// KL(p || q). p = 0 adds 0. kMean divides by the number of rows (PyTorch's
// "batchmean" at rank 2; its "mean" divides by V too).
Var KlDiv(const Var& log_q, const Var& p,
          LossReduction reduction = LossReduction::kMean);
// The same with p given by its logarithm.
Var KlDivOfLogs(const Var& log_q, const Var& log_p,
                LossReduction reduction = LossReduction::kMean);

// log_variance / 2 + (target - mean)^2 / (2 exp(log_variance)) + log(2 pi) / 2
// an element: -log N(target; mean, exp(log_variance)). log_variance broadcasts
// to the shape of mean and target.
Var GaussianNll(const Var& mean, const Var& log_variance, const Var& target,
                LossReduction reduction = LossReduction::kMean);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_LOSS_H_
