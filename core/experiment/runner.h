// SPDX-License-Identifier: Apache-2.0
// Runs the experiments of a plan, one after the other, and judges them.
//
//   InterruptScope interrupts;   // core/base/signals.h
//   RunOptions options;
//   options.out = ResolveUserPath("septet_runs/reproduce");
//   const std::vector<ExperimentResult> results =
//       RunPlan(plan, options, std::cerr);
//   std::cout << ResultsText(results) << ResultsJson(plan, results) << "\n";
//   return ResultsStatus(results);
//
//   OUT/<experiment>/<preset>/manifest.json     options, versions, machine
//                             seed_<n>/         what the run of a seed writes
//                             seed_<n>/result.json   the seed is done
//                             figures/          what summarize draws
//                             verdict.json, verdict.md, verdict.csv
//
// A seed that is done is not run again, one that was cut off is told to go on
// (SeedContext::resume). All seeds begin again, and a line says so, if the
// options are not those of the manifest; one does if its result.json is damaged
// or lacks a metric. Everything is written atomically: killed at any moment,
// the folder is good for the next run.
#ifndef SEPTET_CORE_EXPERIMENT_RUNNER_H_
#define SEPTET_CORE_EXPERIMENT_RUNNER_H_

#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "septet/core/experiment/plan.h"
#include "septet/core/experiment/verdict.h"

namespace septet {

struct RunOptions {
  std::string out;     // folder of the runs; made where it is missing
  bool fresh = false;  // remove what is there of the experiments in the plan
};

struct ExperimentResult {
  std::string name;
  std::string folder;              // OUT/<experiment>/<preset>
  absl::Status status;             // of running it; a missed check is no error
  double seconds = 0;              // wall time, now
  std::optional<Verdict> verdict;  // there if status is OK

  // It was run, and no check is missed.
  bool passed() const;
};

// Says in the plan which seeds are done in the folder `out`, and takes them off
// the ETA. What cannot be read is not done.
void CountFinishedSeeds(const std::string& out, Plan* plan);

// Runs each experiment in the order of the plan, its seeds from 1 on; goes on
// after one that fails. Prints lines to `progress` when something begins and
// ends, and warnings.
//
// After a signal, within an InterruptScope, nothing more is begun: the last
// result is then InterruptedError. The thread's pool serves the experiments
// (core/base/thread_pool.h).
std::vector<ExperimentResult> RunPlan(const Plan& plan,
                                      const RunOptions& options,
                                      std::ostream& progress);

// The tables of all verdicts and the paths of their figures, for people.
std::string ResultsText(const std::vector<ExperimentResult>& results);

// OK where all passed; InterruptedError if there was one; else the code of the
// first that could not be run, or FailedPrecondition where only checks are
// missed, with the names of both kinds.
absl::Status ResultsStatus(const std::vector<ExperimentResult>& results);

// One line of JSON: the preset, how many passed, failed (missed a check or
// could not be run) and were interrupted, and for each experiment its name,
// status code, verdict ("passed", "missed", "interrupted", "error") and
// seconds.
std::string ResultsJson(const Plan& plan,
                        const std::vector<ExperimentResult>& results);

}  // namespace septet

#endif  // SEPTET_CORE_EXPERIMENT_RUNNER_H_
