// SPDX-License-Identifier: Apache-2.0
// Learning rates as functions of the step.
//
// Cosine annealing without restarts (Loshchilov and Hutter, SGDR, 2017,
// arXiv 1608.03983, eq. 5 with the lower end 0): with k steps done and n =
// decay_steps,
//
//   lr(k) = lr * 0.5 * (1 + cos(pi * min(k, n) / n)),
//
// so that the first update has the full rate and those from n on have 0.
// Constant time; computed in float64.
//
//   CosineSchedule schedule{/*lr=*/3e-4, /*decay_steps=*/1000000};
//   SEPTET_RETURN_IF_ERROR(schedule.Validate());
//   for (int64_t k = 0; k < steps; ++k) {
//     ... adam.Step(params, grads, schedule(k)) ...
//   }
//
// Keywords: cosine decay, optax.cosine_decay_schedule, CosineAnnealingLR.
#ifndef SEPTET_CORE_OPTIM_SCHEDULE_H_
#define SEPTET_CORE_OPTIM_SCHEDULE_H_

#include <cstdint>

#include "absl/status/status.h"

namespace septet {

struct CosineSchedule {
  double lr = 3e-4;         // at step 0; finite, >= 0
  int64_t decay_steps = 1;  // until the rate is 0; >= 1

  // InvalidArgument that names the field, its value and its range.
  absl::Status Validate() const;

  // The rate of the update after `step` others; step >= 0. For a schedule that
  // Validate() accepts.
  double operator()(int64_t step) const;
};

}  // namespace septet

#endif  // SEPTET_CORE_OPTIM_SCHEDULE_H_
