// SPDX-License-Identifier: Apache-2.0
// Gradients made smaller before a step: all by one factor, or each element for
// itself.
//
//   SEPTET_ASSIGN_OR_RETURN(auto grads, tape.Grad(loss, watched));
//   SEPTET_ASSIGN_OR_RETURN(const double norm,
//                           ClipGradNorm(absl::MakeSpan(grads), {1.0}));
//
// (Pascanu, Mikolov and Bengio, On the Difficulty of Training Recurrent Neural
// Networks, 2013, arXiv 1211.5063, algorithm 1.) Gradients are f32 or f64,
// contiguous, of any mix. Cost: one pass over memory, and another where they
// are changed. Bits as in adam.h. Keywords: torch.nn.utils.clip_grad_norm_,
// optax.clip_by_global_norm.
#ifndef SEPTET_CORE_OPTIM_CLIP_H_
#define SEPTET_CORE_OPTIM_CLIP_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

struct ClipGradNormOptions {
  double max_norm = 1.0;  // finite, >= 0

  // InvalidArgument with the value and the range.
  absl::Status Validate() const;
};

// The root of the sum of squares over all elements of all gradients, summed in
// double in a fixed tree; 0 if there are none.
// Errors: InvalidArgument naming the index of a gradient that is undefined, not
// f32 or f64, or not contiguous.
absl::StatusOr<double> GlobalNorm(absl::Span<const Tensor> grads);

// Multiplies all gradients by min(1, max_norm / (norm + 1e-6)), PyTorch's rule,
// and returns the norm as it was. With a norm that is not finite the gradients
// stay as they are, and the caller decides what to do with the step.
// Errors: those of Validate() and GlobalNorm(); FailedPrecondition naming the
// index of a gradient that is read-only. Nothing is changed then.
absl::StatusOr<double> ClipGradNorm(absl::Span<const Tensor> grads,
                                    const ClipGradNormOptions& options);

struct ClipGradValueOptions {
  double max_value = 1.0;  // finite, >= 0

  // InvalidArgument with the value and the range.
  absl::Status Validate() const;
};

// Limits each element to [-max_value, max_value]; NaN stays. Errors as above.
absl::Status ClipGradValue(absl::Span<const Tensor> grads,
                           const ClipGradValueOptions& options);

}  // namespace septet

#endif  // SEPTET_CORE_OPTIM_CLIP_H_
