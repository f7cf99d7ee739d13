// SPDX-License-Identifier: Apache-2.0
// Polyak averaging of parameters: the slow copy of a network that targets are
// computed from.
//
//   target <- tau online + (1 - tau) target
//
// (Lillicrap et al., Continuous Control with Deep Reinforcement Learning,
// 2016, arXiv 1509.02971, algorithm 1). An exponential moving average with
// decay 1 - tau. Note that others call the decay tau.
//
//   SEPTET_RETURN_IF_ERROR(UpdateEma(online, {/*tau=*/0.005}, target));
//
// One pass: 12 bytes of memory an element in f32. Bits as in adam.h.
#ifndef SEPTET_CORE_OPTIM_EMA_H_
#define SEPTET_CORE_OPTIM_EMA_H_

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

struct EmaOptions {
  // The share of the new value, in [0, 1]. 0 changes nothing and 1 copies,
  // whatever the elements (infinities and NaN too).
  double tau = 0.005;

  // InvalidArgument with the value and the range.
  absl::Status Validate() const;
};

// Updates the elements of `target` in place. target[i] and online[i] are alike
// in dtype (f32 or f64) and shape, and contiguous; they may share memory if
// they are the same tensor.
// Errors: InvalidArgument naming the index, the expected and the actual;
// nothing is changed then; FailedPrecondition likewise if a target is
// read-only.
absl::Status UpdateEma(absl::Span<const Tensor> online,
                       const EmaOptions& options,
                       absl::Span<const Tensor> target);

}  // namespace septet

#endif  // SEPTET_CORE_OPTIM_EMA_H_
