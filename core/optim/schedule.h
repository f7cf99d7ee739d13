// SPDX-License-Identifier: Apache-2.0
// Learning rates as functions of the step: a warm-up times a decay.
//
//   lr(k) = lr * w(k) * d(k) + offset,   k = 0 at the first update
//
//   w(k) = min(1, (k + 1) / warmup_steps), or min(1, k / warmup_steps) with
//          warmup_from_zero; 1 without warm-up
//
// and with j = max(0, k - start), u = min(j / steps, 1), f = final_fraction:
//
//   kConstant   d = 1
//   kLinear     d = 1 - (1 - f) u
//   kCosine     d = f + (1 - f) (1 + cos(pi u)) / 2     (Loshchilov and Hutter,
//               SGDR, 2017, arXiv 1608.03983, eq. 5)
//   kStep       d = gamma^floor(u intervals): a drop at the end of each of
//               `intervals` equal parts of `steps`
//   kInverse    d = 1 / (1 + gamma j)
//
// Decay begins at `start`, by default at once: warm-up and decay then overlap,
// and only a run of `steps` updates sees the whole of the decay. With start =
// warmup_steps it begins after the warm-up. "Step" may be an epoch.
//
//   Schedule schedule = Schedule::Linear(4e-3, steps, /*final_fraction=*/0.05);
//   schedule.warmup_steps = 50;   // lr min((k + 1) / 50, 1) (1 - 0.95 k/steps)
//   SEPTET_RETURN_IF_ERROR(schedule.Validate());
//   for (int64_t k = 0; k < steps; ++k) {
//     ... adam.Step(params, grads, schedule(k)) ...
//   }
//
// Constant time; computed in float64. Keywords: cosine annealing, polynomial
// decay, optax.warmup_cosine_decay_schedule, CosineAnnealingLR, StepLR.
#ifndef SEPTET_CORE_OPTIM_SCHEDULE_H_
#define SEPTET_CORE_OPTIM_SCHEDULE_H_

#include <cstdint>

#include "absl/status/status.h"

namespace septet {

enum class ScheduleKind { kConstant, kLinear, kCosine, kStep, kInverse };

struct Schedule {
  ScheduleKind kind = ScheduleKind::kConstant;
  double lr = 1e-3;               // finite, >= 0
  int64_t steps = 1;              // of the decay; >= 1
  int64_t start = 0;              // of the decay; >= 0
  double final_fraction = 0;      // kLinear, kCosine: in [0, 1]
  double gamma = 0.5;             // kStep: in [0, 1]; kInverse: finite, >= 0
  int64_t intervals = 1;          // kStep: in [1, 2^31)
  int64_t warmup_steps = 0;       // >= 0
  bool warmup_from_zero = false;  // the first update has the rate `offset`
  double offset = 0;              // finite, >= 0

  static Schedule Constant(double lr);
  static Schedule Linear(double lr, int64_t steps, double final_fraction = 0);
  static Schedule Cosine(double lr, int64_t steps, double final_fraction = 0);
  static Schedule Step(double lr, int64_t steps, int64_t intervals,
                       double gamma);
  static Schedule Inverse(double lr, int64_t start, double gamma);

  // InvalidArgument that names the field, its value and its range.
  absl::Status Validate() const;

  // The rate of the update after `step` others; step >= 0. For a schedule that
  // Validate() accepts.
  double operator()(int64_t step) const;
};

}  // namespace septet

#endif  // SEPTET_CORE_OPTIM_SCHEDULE_H_
