// SPDX-License-Identifier: Apache-2.0
// Runs the experiments of a plan, one after the other.
//
//   const std::vector<ExperimentResult> results = RunPlan(plan, std::cerr);
//   std::cout << ResultsJson(plan, results) << "\n";
//   return ResultsStatus(results);
#ifndef SEPTET_CORE_EXPERIMENT_RUNNER_H_
#define SEPTET_CORE_EXPERIMENT_RUNNER_H_

#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "septet/core/experiment/plan.h"

namespace septet {

struct ExperimentResult {
  std::string name;
  absl::Status status;
  double seconds = 0;  // wall time
};

// Calls the run function of each experiment in the order of the plan, with its
// options checked and made complete; goes on after one that fails. Prints a
// line to `progress` when one begins and when it ends.
std::vector<ExperimentResult> RunPlan(const Plan& plan, std::ostream& progress);

// OK where all are; else the code of the first that failed, and the names of
// all that did.
absl::Status ResultsStatus(const std::vector<ExperimentResult>& results);

// One line of JSON: the preset, how many passed and failed, and for each
// experiment its name, status code and seconds.
std::string ResultsJson(const Plan& plan,
                        const std::vector<ExperimentResult>& results);

}  // namespace septet

#endif  // SEPTET_CORE_EXPERIMENT_RUNNER_H_
