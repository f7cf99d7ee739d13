// SPDX-License-Identifier: Apache-2.0
// Conditions on the options of layers, with messages that name the layer, the
// field, its value and its range.
#ifndef SEPTET_CORE_NN_VALIDATE_H_
#define SEPTET_CORE_NN_VALIDATE_H_

#include <cmath>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace septet {

inline absl::Status RequireAtLeast(absl::string_view layer,
                                   absl::string_view field, int64_t value,
                                   int64_t least) {
  if (value >= least) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(layer, ": ", field, " is ", value, ", expected >= ", least));
}

// Of a drop-out probability.
inline absl::Status RequireProbability(absl::string_view layer,
                                       absl::string_view field, double value) {
  if (value >= 0 && value < 1) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(layer, ": ", field, " is ", value, ", expected [0, 1)"));
}

inline absl::Status RequireFiniteAtLeast(absl::string_view layer,
                                         absl::string_view field, double value,
                                         double least) {
  if (std::isfinite(value) && value >= least) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      layer, ": ", field, " is ", value, ", expected finite and >= ", least));
}

}  // namespace septet

#endif  // SEPTET_CORE_NN_VALIDATE_H_
