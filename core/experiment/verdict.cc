// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/verdict.h"

#include <cmath>
#include <limits>
#include <optional>

#include "septet/core/base/check.h"

namespace septet {
namespace {

// By how much `value` is worse than one that is just good enough; greater is
// worse. Only differences of two such numbers mean something.
double Badness(const Check& check, double centre, double value) {
  switch (check.comparison) {
    case Comparison::kAtLeast:
      return -value;
    case Comparison::kAtMost:
      return value;
    case Comparison::kWithin:
      return std::abs(value - centre);
  }
  SEPTET_CHECK(false) << static_cast<int>(check.comparison);
  return 0;
}

bool Meets(const Check& check, double threshold, double value) {
  // Written so that NaN misses.
  switch (check.comparison) {
    case Comparison::kAtLeast:
      return value >= threshold;
    case Comparison::kAtMost:
      return value <= threshold;
    case Comparison::kWithin:
      return std::abs(value - threshold) <= check.tolerance;
  }
  SEPTET_CHECK(false) << static_cast<int>(check.comparison);
  return false;
}

}  // namespace

std::string OutcomeName(Outcome outcome) {
  switch (outcome) {
    case Outcome::kMet:
      return "met";
    case Outcome::kMissed:
      return "missed";
    case Outcome::kAsFound:
      return "as found";
  }
  SEPTET_CHECK(false) << static_cast<int>(outcome);
  return "";
}

JudgedCheck JudgeCheck(const Check& check, Preset preset,
                       absl::Span<const double> by_seed) {
  SEPTET_CHECK(!by_seed.empty());
  JudgedCheck judged;
  judged.check = check;
  judged.by_seed.assign(by_seed.begin(), by_seed.end());
  double sum = 0;
  for (double value : by_seed) sum += value;
  judged.mean = sum / static_cast<double>(by_seed.size());
  const std::optional<double>& threshold = check.ThresholdOf(preset);
  const double centre = threshold.value_or(judged.mean);
  judged.worst = by_seed[0];
  for (double value : by_seed) {
    if (std::isnan(value)) {
      judged.worst = std::numeric_limits<double>::quiet_NaN();
      break;
    }
    if (Badness(check, centre, value) > Badness(check, centre, judged.worst)) {
      judged.worst = value;
    }
  }
  if (threshold.has_value() && check.acceptance == Acceptance::kGated) {
    const double value =
        check.judged == Statistic::kMean ? judged.mean : judged.worst;
    judged.outcome =
        Meets(check, *threshold, value) ? Outcome::kMet : Outcome::kMissed;
  }
  return judged;
}

}  // namespace septet
