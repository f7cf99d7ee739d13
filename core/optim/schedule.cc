// SPDX-License-Identifier: Apache-2.0
#include "septet/core/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "septet/core/base/check.h"

namespace septet {

absl::Status CosineSchedule::Validate() const {
  if (!(std::isfinite(lr) && lr >= 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("cosine schedule: lr is ", lr, ", want a finite lr >= 0"));
  }
  if (decay_steps < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "cosine schedule: decay_steps is ", decay_steps, ", want >= 1"));
  }
  return absl::OkStatus();
}

double CosineSchedule::operator()(int64_t step) const {
  SEPTET_CHECK_GE(step, 0);
  constexpr double kPi = 3.14159265358979323846;
  const double done = static_cast<double>(std::min(step, decay_steps)) /
                      static_cast<double>(decay_steps);
  return lr * 0.5 * (1 + std::cos(kPi * done));
}

}  // namespace septet
