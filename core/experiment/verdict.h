// SPDX-License-Identifier: Apache-2.0
// What came of an experiment: each check with its value in every seed, the
// mean, the worst seed and whether the threshold is met; and verdict.json,
// which keeps it.
//
//   const JudgedCheck judged =
//       JudgeCheck(check, Preset::kQuick, {91.2, 90.4});
//   judged.mean;     // 90.8
//   judged.worst;    // 90.4 where more is better
//   judged.outcome;  // kMet
//
//   SEPTET_ASSIGN_OR_RETURN(Verdict verdict, ReadVerdict("verdict.json"));
//   std::cout << VerdictText(verdict);    // verdict_table.h
#ifndef SEPTET_CORE_EXPERIMENT_VERDICT_H_
#define SEPTET_CORE_EXPERIMENT_VERDICT_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
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

// A check at one preset, with what was measured. The first fields are those of
// Check.
struct JudgedCheck {
  std::string metric, label, paper;
  Comparison comparison = Comparison::kAtLeast;
  std::optional<double> threshold;  // at the preset
  double tolerance = 0;
  Statistic judged = Statistic::kMean;
  Acceptance acceptance = Acceptance::kGated;

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

// What verdict.json holds.
struct Verdict {
  std::string experiment, claim, source;
  Preset preset = Preset::kQuick;
  std::vector<uint64_t> seeds;
  std::vector<JudgedCheck> checks;  // by_seed is parallel to seeds
  double seconds = 0;               // wall time of all seeds
  // Revision, versions and machine: RunEnvironment() of core/train.
  std::map<std::string, std::string> environment;
  std::vector<std::string> figures;  // paths below the folder, sorted

  // No check is missed.
  bool passed() const;
};

// The version that is written, and the only one that is read.
inline constexpr int kVerdictSchemaVersion = 1;

// `verdict` as JSON, indented, with a line feed at the end. Errors:
// InvalidArgument for text that is not UTF-8.
absl::StatusOr<std::string> VerdictJson(const Verdict& verdict);

// The verdict in the text of a file; `name` stands for the path in messages.
// Mean, worst seed and outcome are calculated again and must be those of the
// file. Errors: FailedPrecondition for another schema version; DataLoss, with
// the field, what was expected and what was found.
absl::StatusOr<Verdict> ParseVerdict(absl::string_view text,
                                     absl::string_view name);

// ParseVerdict of the file at `path`. Errors: also those of core/base/file.h.
absl::StatusOr<Verdict> ReadVerdict(absl::string_view path);

}  // namespace septet

#endif  // SEPTET_CORE_EXPERIMENT_VERDICT_H_
