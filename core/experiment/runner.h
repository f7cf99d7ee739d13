// SPDX-License-Identifier: Apache-2.0
// Runs the experiments of a plan, one after the other, and judges them.
//
//   RunOptions options;
//   options.out = ResolveUserPath("septet_runs/reproduce");
//   const std::vector<ExperimentResult> results =
//       RunPlan(plan, options, std::cerr);
//   std::cout << ResultsJson(plan, results) << "\n";
//   return ResultsStatus(results);
#ifndef SEPTET_CORE_EXPERIMENT_RUNNER_H_
#define SEPTET_CORE_EXPERIMENT_RUNNER_H_

#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "septet/core/experiment/plan.h"
#include "septet/core/experiment/verdict.h"

namespace septet {

struct RunOptions {
  std::string out;  // folder of the runs; made where it is missing
};

struct ExperimentResult {
  std::string name;
  absl::Status status;              // of running it; a missed check is none
  double seconds = 0;               // wall time
  std::vector<JudgedCheck> checks;  // empty after an error

  // It was run, and no gated check is missed.
  bool passed() const;
};

// Runs each experiment in the order of the plan, its seeds from 1 on, each in
// the folder OUT/<experiment>/<preset>/seed_<n>; goes on after one that fails.
// Prints lines to `progress` when one begins and when it ends.
std::vector<ExperimentResult> RunPlan(const Plan& plan,
                                      const RunOptions& options,
                                      std::ostream& progress);

// OK where all passed; else the code of the first that could not be run, or
// FailedPrecondition where only checks are missed, and the names of all that
// did not pass.
absl::Status ResultsStatus(const std::vector<ExperimentResult>& results);

// One line of JSON: the preset, how many passed and failed, and for each
// experiment its name, status code and seconds.
std::string ResultsJson(const Plan& plan,
                        const std::vector<ExperimentResult>& results);

}  // namespace septet

#endif  // SEPTET_CORE_EXPERIMENT_RUNNER_H_
