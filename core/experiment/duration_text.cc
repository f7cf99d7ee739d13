// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/duration_text.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace septet {

namespace experiment_internal {

std::string DurationText(double seconds) {
  if (std::isnan(seconds)) return "? s";
  if (seconds < 9.95) return absl::StrFormat("%.1f s", seconds);
  // Far more than anything that is planned; keeps the conversion defined.
  const int64_t whole = std::llround(std::min(seconds, 1e12));
  if (whole < 60) return absl::StrCat(whole, " s");
  if (whole < 3600) return absl::StrCat(whole / 60, " min ", whole % 60, " s");
  return absl::StrCat(whole / 3600, " h ", whole / 60 % 60, " min");
}

}  // namespace experiment_internal
}  // namespace septet
