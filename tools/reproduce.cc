// SPDX-License-Identifier: Apache-2.0
// Runs the experiments behind the claims of the papers: prints its plan, runs
// it, and prints the table "paper, measured, threshold, verdict". A summary, a
// line of JSON, is the last line of standard output; progress goes to standard
// error. What was finished by an earlier run is not run again.
//
//   bazel run //tools:reproduce
//   bazel run //tools:reproduce -- retention --preset=standard --seeds=5
#include <algorithm>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "septet/core/base/file.h"
#include "septet/core/base/signals.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/config/command_line.h"
#include "septet/core/experiment/experiment.h"
#include "septet/core/experiment/flop_rate.h"
#include "septet/core/experiment/plan.h"
#include "septet/core/experiment/registry.h"
#include "septet/core/experiment/runner.h"
#include "septet/tools/reproduce_flags.pb.h"

namespace septet {
namespace {

absl::Status Reproduce(const ReproduceFlags& flags,
                       const std::vector<std::string>& names) {
  if (flags.out().empty()) {
    return UsageError("--out: expected a folder, got \"\"");
  }
  const ExperimentRegistry& registry = ExperimentRegistry::Global();
  PlanRequest request;
  request.names = names;
  // A list without names is of everything.
  request.all = flags.all() || (flags.list() && names.empty());
  request.seeds = flags.seeds();
  SEPTET_ASSIGN_OR_RETURN(
      request.preset, ParsePreset(ReproduceFlags::Preset_Name(flags.preset())));
  int threads = flags.threads();
  if (threads == 0) {
    threads =
        std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  }
  // A list has no ETA.
  const double rate = flags.list() ? 1 : MeasureFlopRate(threads);
  absl::StatusOr<Plan> plan = MakePlan(registry, request, rate);
  // Whatever is wrong with a plan, the command line asked for it.
  if (!plan.ok()) return UsageError(plan.status().message());
  if (flags.list()) {
    std::vector<const Experiment*> listed;
    for (const PlannedExperiment& planned : plan->experiments) {
      listed.push_back(planned.experiment);
    }
    std::cout << ListText(listed) << std::flush;
    return absl::OkStatus();
  }
  RunOptions run;
  run.out = ResolveUserPath(flags.out());
  run.fresh = flags.fresh();
  if (!run.fresh) CountFinishedSeeds(run.out, &*plan);
  std::cout << PlanText(*plan) << std::flush;
  SEPTET_ASSIGN_OR_RETURN(const std::unique_ptr<ThreadPool> pool,
                          ThreadPool::Create(threads));
  const ScopedThreadPool use_pool(pool.get());
  const InterruptScope interrupts;
  const std::vector<ExperimentResult> results = RunPlan(*plan, run, std::cerr);
  std::cout << ResultsText(results) << ResultsJson(*plan, results) << std::endl;
  return ResultsStatus(results);
}

}  // namespace
}  // namespace septet

int main(int argc, char** argv) {
  septet::ReproduceFlags flags;
  septet::ToolSpec tool;
  tool.name = "reproduce";
  tool.summary =
      "Runs the experiments behind the claims of the papers. Without a name: "
      "the "
      "flagship\nexperiment of each package. What an earlier run has finished "
      "is not run again.";
  tool.arguments = "[PACKAGE|EXPERIMENT]...";
  tool.flags = &flags;
  return septet::RunTool(tool, argc, argv,
                         [&](const std::vector<std::string>& names) {
                           return septet::Reproduce(flags, names);
                         });
}
