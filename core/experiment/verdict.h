// SPDX-License-Identifier: Apache-2.0
// What came of an experiment: each check with its value in every seed, the
// mean, the worst seed and whether the threshold is met.
//
//   const JudgedCheck judged =
//       JudgeCheck(check, Preset::kQuick, {91.2, 90.4});
//   judged.mean;     // 90.8
//   judged.worst;    // 90.4 where more is better
//   judged.outcome;  // kMet
#ifndef SEPTET_CORE_EXPERIMENT_VERDICT_H_
#define SEPTET_CORE_EXPERIMENT_VERDICT_H_

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "septet/core/experiment/experiment.h"

namespace septet {

enum class Outcome {
  kMet,
  kMissed,
  kAsFound,  // contested, or without a threshold at the preset
};

// "met", "missed", "as found".
std::string OutcomeName(Outcome outcome);

struct JudgedCheck {
  Check check;
  std::vector<double> by_seed;
  double mean = 0;
  // The least value of kAtLeast, the greatest of kAtMost, that farthest from
  // the threshold of kWithin, or from the mean where there is none. NaN if one
  // is.
  double worst = 0;
  Outcome outcome = Outcome::kAsFound;
};

// Judges the values of the seeds, of which there is at least one. NaN misses.
JudgedCheck JudgeCheck(const Check& check, Preset preset,
                       absl::Span<const double> by_seed);

}  // namespace septet

#endif  // SEPTET_CORE_EXPERIMENT_VERDICT_H_
