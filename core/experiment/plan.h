// SPDX-License-Identifier: Apache-2.0
// Which experiments are run, how long that may take, and whether what they
// declare keeps within the budgets of this project.
//
//   PlanRequest request;
//   request.names = {"retention"};
//   SEPTET_ASSIGN_OR_RETURN(
//       Plan plan, MakePlan(ExperimentRegistry::Global(), request,
//                           MeasureFlopRate(/*threads=*/2)));
//   std::fputs(PlanText(plan).c_str(), stdout);
#ifndef SEPTET_CORE_EXPERIMENT_PLAN_H_
#define SEPTET_CORE_EXPERIMENT_PLAN_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "septet/core/experiment/experiment.h"
#include "septet/core/experiment/registry.h"

namespace septet {

// What a user asks for.
struct PlanRequest {
  std::vector<std::string> names;  // packages and experiments
  Preset preset = Preset::kQuick;
  bool all = false;  // every experiment; then no names
  int seeds = 0;     // of each experiment; 0: its own number at the preset
};

struct PlannedExperiment {
  const Experiment* experiment = nullptr;
  int seeds = 1;
  int seeds_done = 0;  // of them, by earlier runs; see runner.h
  // Declared FLOPs, scaled to the seeds that are to be run, over the rate.
  double eta_seconds = 0;
  double budget_seconds = 0;  // as declared at the preset
};

struct Plan {
  Preset preset = Preset::kQuick;
  int registered = 0;  // experiments that the registry has
  double flops_per_second = 0;
  std::vector<PlannedExperiment> experiments;  // by name, each once

  double EtaSeconds() const;
  double BudgetSeconds() const;
};

// The plan for `request`: with names what they select, with `all` everything,
// else the flagship experiments.
//   flops_per_second: of this machine, > 0; see flop_rate.h.
// Errors: InvalidArgument for names together with `all`, negative seeds, or a
// bad rate; NotFound with a line for each unknown name.
absl::StatusOr<Plan> MakePlan(const ExperimentRegistry& registry,
                              const PlanRequest& request,
                              double flops_per_second);

// The plan for people: totals, then a line for each experiment.
std::string PlanText(const Plan& plan);

// Names, claims and budgets of the experiments, for people.
std::string ListText(const std::vector<const Experiment*>& experiments);

// OK where what is declared keeps to what this project promises:
//   quick      at most 60 s an experiment and 5 min a package,
//   standard   at most 30 min a package,
//   flagships  at least one for each package, at quick at most 10 min together,
//   seeds      at least 3 at standard for what has a gated check there.
// Call it in a test of each program that links experiments.
// Errors: FailedPrecondition with a line for each package or experiment.
absl::Status ValidateBudgets(const ExperimentRegistry& registry);

}  // namespace septet

#endif  // SEPTET_CORE_EXPERIMENT_PLAN_H_
