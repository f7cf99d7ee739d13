// SPDX-License-Identifier: Apache-2.0
// Inputs of bench cases, and the comparison of their results.
//
//   std::vector<float> x = BenchValues<float>(1 << 20);      // in [-1, 1)
//   SEPTET_RETURN_IF_ERROR(CheckClose<float>("y", y, want, {1e-6, 1e-6}));
#ifndef SEPTET_CORE_BENCH_VALUES_H_
#define SEPTET_CORE_BENCH_VALUES_H_

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace septet {

// n numbers spread evenly over [low, high), neighbours far apart, the same each
// time; another `start` gives other numbers. T: float, double.
template <typename T>
std::vector<T> BenchValues(int64_t n, double low = -1, double high = 1,
                           int64_t start = 0) {
  std::vector<T> x(static_cast<size_t>(n));
  for (size_t i = 0; i < x.size(); ++i) {
    // Multiples of the golden section.
    const double u = static_cast<double>(static_cast<int64_t>(i) + start) *
                     0.6180339887498949;
    x[i] = static_cast<T>(low + (high - low) * (u - std::floor(u)));
  }
  return x;
}

struct CloseOptions {
  double absolute = 0;
  double relative = 0;  // to the expected value
};

// OK if abs(got - want) <= absolute + relative abs(want) for each element (NaN
// matches nothing); else Internal with the name, the worst place, both values
// and what was allowed. InvalidArgument if the lengths differ.
template <typename T>
absl::Status CheckClose(absl::string_view name, absl::Span<const T> got,
                        absl::Span<const T> want, const CloseOptions& options) {
  if (got.size() != want.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, " has ", got.size(), " elements, want ", want.size()));
  }
  size_t worst = got.size();
  double worst_excess = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double g = static_cast<double>(got[i]);
    const double w = static_cast<double>(want[i]);
    const double allowed = options.absolute + options.relative * std::abs(w);
    double excess = std::abs(g - w) - allowed;
    if (excess <= 0 || g == w) continue;
    if (std::isnan(excess)) excess = HUGE_VAL;
    if (worst == got.size() || excess > worst_excess) {
      worst = i;
      worst_excess = excess;
    }
  }
  if (worst == got.size()) return absl::OkStatus();
  const double w = static_cast<double>(want[worst]);
  return absl::InternalError(absl::StrCat(
      name, "[", worst, "] is ", got[worst], ", want ", want[worst], " +- ",
      options.absolute + options.relative * std::abs(w)));
}

}  // namespace septet

#endif  // SEPTET_CORE_BENCH_VALUES_H_
