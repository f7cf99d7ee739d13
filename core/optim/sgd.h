// SPDX-License-Identifier: Apache-2.0
// Stochastic gradient descent, with momentum (Polyak 1964), Nesterov's form of
// it (Sutskever et al., On the Importance of Initialization and Momentum in
// Deep Learning, ICML 2013) and weight decay.
//
// For each element of each parameter, with gradient g and the momentum m:
//
//   g' = g + weight_decay p                                  (kGradient only)
//   m <- momentum m + (1 - dampening) g'
//   u = m, or g' + momentum m with nesterov, or g' without momentum
//   p <- p - share p - lr u
//
// where share is 0 for kGradient, lr weight_decay for kDecoupled and
// weight_decay for kUnscaled. As in PyTorch m is g' after the first step,
// whatever the dampening; with `start_from_zero` the first step is as all
// others. An averaged momentum, m <- 0.9 m + 0.1 g from 0 on, is momentum =
// dampening = 0.9 with start_from_zero.
//
// In the parameter's dtype. One pass over memory: 20 bytes an element in f32
// with momentum, 12 without. All parameters are one row of elements to the
// threads. The bits do not depend on the number of threads or on the vector
// width.
//
//   SgdOptions options;
//   options.lr = 0.1;
//   options.momentum = 0.9;
//   SEPTET_ASSIGN_OR_RETURN(Sgd sgd, Sgd::Create(options, params));
//   SEPTET_ASSIGN_OR_RETURN(auto grads, tape.Grad(loss, watched));
//   SEPTET_RETURN_IF_ERROR(sgd.Step(params, grads, schedule(k)));
//
// One thread at a time an optimiser. Keywords: heavy ball, torch.optim.SGD,
// optax.sgd.
#ifndef SEPTET_CORE_OPTIM_SGD_H_
#define SEPTET_CORE_OPTIM_SGD_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

// What weight decay acts on.
enum class SgdDecay {
  kGradient,   // is added to the gradient: the penalty weight_decay/2 |p|^2
  kDecoupled,  // takes lr weight_decay of the parameter, as AdamW does
  kUnscaled    // takes weight_decay of the parameter, whatever the rate
};

struct SgdOptions {
  double lr = 1e-3;         // finite, >= 0
  double momentum = 0;      // in [0, 1); 0: there is none
  double dampening = 0;     // of the gradient in the momentum, in [0, 1]
  bool nesterov = false;    // needs momentum > 0 and dampening 0
  double weight_decay = 0;  // finite, >= 0; below 1 for kUnscaled
  SgdDecay decay_kind = SgdDecay::kGradient;
  bool start_from_zero = false;

  // InvalidArgument that names the field, its value and its range.
  absl::Status Validate() const;
};

class Sgd {
 public:
  // An optimiser for parameters like `params`: f32 or f64, contiguous, each
  // with its own memory. Only their shapes and dtypes are kept. decay[i] says
  // whether weight decay holds for parameter i; for all if it is empty.
  // Errors: those of Validate(); InvalidArgument naming the parameter's index,
  // or the number of entries of `decay`.
  static absl::StatusOr<Sgd> Create(const SgdOptions& options,
                                    absl::Span<const Tensor> params,
                                    const std::vector<bool>& decay = {});

  // The momentum is one object's: another takes a copy by SetState().
  Sgd(Sgd&&) = default;
  Sgd& operator=(Sgd&&) = default;
  Sgd(const Sgd&) = delete;
  Sgd& operator=(const Sgd&) = delete;

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

  const SgdOptions& options() const { return options_; }
  // Steps done so far.
  int64_t step() const { return step_; }

  // For checkpoints: "step" (i64, rank 0), and with momentum "m.<i>" like
  // parameter i. These share this object's memory: write or Clone() them before
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
  explicit Sgd(const SgdOptions& options) : options_(options) {}

  SgdOptions options_;
  int64_t step_ = 0;
  std::vector<bool> decay_;
  std::vector<Tensor> like_;   // the parameters' shapes and dtypes
  std::vector<Tensor> m_;      // empty without momentum
  std::vector<int64_t> ends_;  // elements of the parameters up to each
};

}  // namespace septet

#endif  // SEPTET_CORE_OPTIM_SGD_H_
