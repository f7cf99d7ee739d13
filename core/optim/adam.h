// SPDX-License-Identifier: Apache-2.0
// Adam and AdamW: steps of the gradient's running mean over the root of its
// running second moment.
//
// Kingma and Ba, Adam: A Method for Stochastic Optimization, 2015, arXiv
// 1412.6980, algorithm 1. For each element of each parameter, with gradient g
// and t = 1 at the first step:
//
//   m <- beta1 m + (1 - beta1) g          v <- beta2 v + (1 - beta2) g^2
//   p <- p - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
//
// With weight_decay it is AdamW (Loshchilov and Hutter, Decoupled Weight Decay
// Regularization, 2019, arXiv 1711.05101, algorithm 2 as PyTorch and optax have
// it): p <- p - lr weight_decay p first, for the parameters that `decay` names.
// What torch.optim.Adam calls weight_decay, the penalty's gradient added to g,
// is not offered.
//
// eps stands outside the root, as in PyTorch and optax. The two corrections are
// computed in float64 as -expm1(t log(beta)): 1 - 0.999^1 as written would lose
// ten bits. The rest is in the parameter's dtype, v's root being taken before
// it is corrected, so that a second moment of 1e38 does not overflow.
//
// One pass over memory: 28 bytes an element in f32 (p, m, v read and written,
// g read). All parameters are one row of elements to the threads. The bits do
// not depend on the number of threads or on the vector width.
//
//   SEPTET_ASSIGN_OR_RETURN(Adam adam, Adam::Create(options, params));
//   SEPTET_ASSIGN_OR_RETURN(auto grads, tape.Grad(loss, watched));
//   SEPTET_RETURN_IF_ERROR(adam.Step(params, grads, schedule(k)));
//
// One thread at a time an optimiser. Keywords: stochastic optimisation, bias
// correction, decoupled weight decay, optax.adam, optax.adamw,
// torch.optim.Adam, torch.optim.AdamW.
#ifndef SEPTET_CORE_OPTIM_ADAM_H_
#define SEPTET_CORE_OPTIM_ADAM_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

struct AdamOptions {
  double lr = 1e-3;      // finite, >= 0; the paper's value
  double beta1 = 0.9;    // of the first moment, in [0, 1)
  double beta2 = 0.999;  // of the second moment, in [0, 1)
  // Finite, >= 0. With 0, an element whose gradients have all been 0 becomes
  // NaN; what is below the smallest number of the dtype counts as 0.
  double eps = 1e-8;
  // Decoupled: each step takes lr weight_decay of the parameter. Finite, >= 0.
  double weight_decay = 0;

  // InvalidArgument that names the field, its value and its range.
  absl::Status Validate() const;
};

class Adam {
 public:
  // An optimiser for parameters like `params`: f32 or f64, contiguous, each
  // with its own memory. Only their shapes and dtypes are kept. decay[i] says
  // whether weight decay holds for parameter i (usually for matrices, and not
  // for biases and norms); for all if it is empty.
  // Errors: those of Validate(); InvalidArgument naming the parameter's index,
  // or the number of entries of `decay`.
  static absl::StatusOr<Adam> Create(const AdamOptions& options,
                                     absl::Span<const Tensor> params,
                                     const std::vector<bool>& decay = {});

  // The moments are one object's: another takes a copy by SetState().
  Adam(Adam&&) = default;
  Adam& operator=(Adam&&) = default;
  Adam(const Adam&) = delete;
  Adam& operator=(const Adam&) = delete;

  // Updates the elements of `params` in place; grads[i] is like params[i].
  // `lr` is finite and >= 0; without it, that of the options.
  // Errors: InvalidArgument naming the index, the expected and the actual if a
  // number, dtype, shape or layout is not as it was at Create, and nothing is
  // changed then; FailedPrecondition likewise if a parameter is read-only.
  absl::Status Step(absl::Span<const Tensor> params,
                    absl::Span<const Tensor> grads, double lr);
  absl::Status Step(absl::Span<const Tensor> params,
                    absl::Span<const Tensor> grads) {
    return Step(params, grads, options_.lr);
  }

  const AdamOptions& options() const { return options_; }
  // Steps done so far.
  int64_t step() const { return step_; }

  // For checkpoints: "step" (i64, rank 0), and "m.<i>", "v.<i>" like parameter
  // i. The moments share this object's memory: write or Clone() them before
  // the next step.
  using NamedTensor = std::pair<std::string, Tensor>;
  absl::StatusOr<std::vector<NamedTensor>> State() const;

  // Takes a copy of what State() gave, in any order. Training then continues
  // with the same bits.
  // Errors: InvalidArgument naming the entry if one is missing, unknown, there
  // twice, of another dtype or shape, or if step is negative; nothing is
  // changed then.
  absl::Status SetState(absl::Span<const NamedTensor> state);

 private:
  explicit Adam(const AdamOptions& options) : options_(options) {}

  AdamOptions options_;
  int64_t step_ = 0;
  std::vector<bool> decay_;
  std::vector<Tensor> m_;
  std::vector<Tensor> v_;
  std::vector<int64_t> ends_;  // elements of the parameters up to each
};

}  // namespace septet

#endif  // SEPTET_CORE_OPTIM_ADAM_H_
