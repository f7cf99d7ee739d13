// SPDX-License-Identifier: Apache-2.0
#include "septet/core/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/check.h"

namespace septet {
namespace {

Schedule OfKind(ScheduleKind kind, double lr, int64_t steps) {
  Schedule schedule;
  schedule.kind = kind;
  schedule.lr = lr;
  schedule.steps = steps;
  return schedule;
}

template <typename T>
absl::Status OutOfRange(absl::string_view field, T value,
                        absl::string_view range) {
  return absl::InvalidArgumentError(
      absl::StrCat("schedule: ", field, " is ", value, ", expected ", range));
}

bool IsRate(double x) { return std::isfinite(x) && x >= 0; }

}  // namespace

Schedule Schedule::Constant(double lr) {
  return OfKind(ScheduleKind::kConstant, lr, 1);
}

Schedule Schedule::Linear(double lr, int64_t steps, double final_fraction) {
  Schedule schedule = OfKind(ScheduleKind::kLinear, lr, steps);
  schedule.final_fraction = final_fraction;
  return schedule;
}

Schedule Schedule::Cosine(double lr, int64_t steps, double final_fraction) {
  Schedule schedule = OfKind(ScheduleKind::kCosine, lr, steps);
  schedule.final_fraction = final_fraction;
  return schedule;
}

Schedule Schedule::Step(double lr, int64_t steps, int64_t intervals,
                        double gamma) {
  Schedule schedule = OfKind(ScheduleKind::kStep, lr, steps);
  schedule.intervals = intervals;
  schedule.gamma = gamma;
  return schedule;
}

Schedule Schedule::Inverse(double lr, int64_t start, double gamma) {
  Schedule schedule = OfKind(ScheduleKind::kInverse, lr, 1);
  schedule.start = start;
  schedule.gamma = gamma;
  return schedule;
}

absl::Status Schedule::Validate() const {
  if (!IsRate(lr)) return OutOfRange("lr", lr, "a finite lr >= 0");
  if (!IsRate(offset)) {
    return OutOfRange("offset", offset, "a finite offset >= 0");
  }
  if (steps < 1) return OutOfRange("steps", steps, "steps >= 1");
  if (start < 0) return OutOfRange("start", start, "start >= 0");
  if (warmup_steps < 0) {
    return OutOfRange("warmup_steps", warmup_steps, "warmup_steps >= 0");
  }
  if (!(final_fraction >= 0 && final_fraction <= 1)) {
    return OutOfRange("final_fraction", final_fraction,
                      "0 <= final_fraction <= 1");
  }
  if (intervals < 1 || intervals > std::numeric_limits<int32_t>::max()) {
    return OutOfRange("intervals", intervals, "1 <= intervals < 2^31");
  }
  if (!IsRate(gamma)) return OutOfRange("gamma", gamma, "a finite gamma >= 0");
  if (kind == ScheduleKind::kStep && gamma > 1) {
    return OutOfRange("gamma", gamma, "gamma <= 1 for steps");
  }
  return absl::OkStatus();
}

double Schedule::operator()(int64_t step) const {
  SEPTET_CHECK_GE(step, 0);
  constexpr double kPi = 3.14159265358979323846;
  const int64_t after = std::max<int64_t>(0, step - start);
  const int64_t done = std::min(after, steps);
  const double part = static_cast<double>(done) / static_cast<double>(steps);
  double decay = 1;
  switch (kind) {
    case ScheduleKind::kConstant:
      break;
    case ScheduleKind::kLinear:
      decay = 1 - (1 - final_fraction) * part;
      break;
    case ScheduleKind::kCosine:
      decay = final_fraction +
              (1 - final_fraction) * (0.5 * (1 + std::cos(kPi * part)));
      break;
    case ScheduleKind::kStep: {
      // floor(done intervals / steps) without a product that overflows.
      const int64_t drops =
          done / steps * intervals +
          static_cast<int64_t>(static_cast<__int128>(done % steps) * intervals /
                               steps);
      decay = std::pow(gamma, static_cast<double>(drops));
      break;
    }
    case ScheduleKind::kInverse:
      decay = 1 / (1 + gamma * static_cast<double>(after));
      break;
  }
  double warmup = 1;
  if (step < warmup_steps) {
    warmup = (static_cast<double>(step) + (warmup_from_zero ? 0 : 1)) /
             static_cast<double>(warmup_steps);
  }
  return lr * warmup * decay + offset;
}

}  // namespace septet
