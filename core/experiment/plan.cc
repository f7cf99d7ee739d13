// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/plan.h"

#include <cmath>
#include <cstddef>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "septet/core/experiment/duration_text.h"
#include "septet/core/experiment/flop_rate.h"
#include "septet/core/experiment/text_table.h"

namespace septet {
namespace {

constexpr double kQuickExperimentSeconds = 60;
constexpr double kQuickPackageSeconds = 5 * 60;
constexpr double kStandardPackageSeconds = 30 * 60;
constexpr double kFlagshipSeconds = 10 * 60;
constexpr int kGatedSeeds = 3;

std::string Count(size_t count, absl::string_view noun) {
  return absl::StrCat(count, " ", noun, count == 1 ? "" : "s");
}

}  // namespace

double Plan::EtaSeconds() const {
  double sum = 0;
  for (const PlannedExperiment& planned : experiments) {
    sum += planned.eta_seconds;
  }
  return sum;
}

double Plan::BudgetSeconds() const {
  double sum = 0;
  for (const PlannedExperiment& planned : experiments) {
    sum += planned.budget_seconds;
  }
  return sum;
}

absl::StatusOr<Plan> MakePlan(const ExperimentRegistry& registry,
                              const PlanRequest& request,
                              double flops_per_second) {
  if (request.all && !request.names.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected names or everything, got both: all and \"",
                     absl::StrJoin(request.names, "\", \""), "\""));
  }
  if (request.seeds < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected seeds of at least 0, got ", request.seeds));
  }
  if (!(std::isfinite(flops_per_second) && flops_per_second > 0)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "expected flops_per_second above 0, got ", flops_per_second));
  }
  const std::vector<const Experiment*> all = registry.All();
  std::map<std::string, const Experiment*> chosen;
  std::vector<std::string> problems;
  for (const std::string& name : request.names) {
    const auto selected = registry.Select(name);
    if (!selected.ok()) {
      problems.emplace_back(selected.status().message());
      continue;
    }
    for (const Experiment* experiment : *selected) {
      chosen[experiment->name] = experiment;
    }
  }
  if (!problems.empty()) {
    return absl::NotFoundError(absl::StrJoin(problems, "\n"));
  }
  if (request.names.empty()) {
    for (const Experiment* experiment : all) {
      if (request.all || experiment->flagship) {
        chosen[experiment->name] = experiment;
      }
    }
  }
  Plan plan;
  plan.preset = request.preset;
  plan.registered = static_cast<int>(all.size());
  plan.flops_per_second = flops_per_second;
  for (const auto& entry : chosen) {
    const Effort& effort = entry.second->EffortOf(request.preset);
    PlannedExperiment planned;
    planned.experiment = entry.second;
    planned.seeds = request.seeds > 0 ? request.seeds : effort.seeds;
    planned.eta_seconds =
        effort.flops / effort.seeds * planned.seeds / flops_per_second;
    planned.budget_seconds = effort.budget_seconds;
    plan.experiments.push_back(planned);
  }
  return plan;
}

std::string PlanText(const Plan& plan) {
  std::string text = absl::StrCat(
      "Plan: ", Count(plan.experiments.size(), "experiment"), " at preset ",
      PresetName(plan.preset), ", ETA ", DurationText(plan.EtaSeconds()),
      " at ", absl::StrFormat("%.2f", plan.flops_per_second * 1e-9),
      " GFLOP/s (", absl::StrFormat("%.0f", 100 * kExpectedEfficiency),
      "% of the peak), budget ", DurationText(plan.BudgetSeconds()), ".\n");
  if (plan.experiments.empty()) {
    return absl::StrCat(
        text,
        plan.registered == 0
            ? "No experiments are registered in this program, so there is "
              "nothing to run.\n"
            : "No package has a flagship experiment: name what to run, or "
              "give --all.\n");
  }
  TableRows rows = {{"experiment", "kind", "seeds", "ETA", "budget", "claim"}};
  for (const PlannedExperiment& planned : plan.experiments) {
    rows.push_back(
        {planned.experiment->name,
         AcceptanceName(planned.experiment->StrictestAcceptance()),
         planned.seeds_done > 0
             ? absl::StrCat(planned.seeds, " (", planned.seeds_done, " done)")
             : absl::StrCat(planned.seeds),
         DurationText(planned.eta_seconds),
         DurationText(planned.budget_seconds), planned.experiment->claim});
  }
  return text + AlignedTable(rows);
}

std::string ListText(const std::vector<const Experiment*>& experiments) {
  if (experiments.empty()) {
    return "No experiments are registered in this program.\n";
  }
  TableRows rows = {
      {"experiment", "kind", "quick", "standard", "full", "claim"}};
  for (const Experiment* experiment : experiments) {
    std::string kind = AcceptanceName(experiment->StrictestAcceptance());
    if (experiment->flagship) kind += ", flagship";
    rows.push_back(
        {experiment->name, kind, DurationText(experiment->quick.budget_seconds),
         DurationText(experiment->standard.budget_seconds),
         DurationText(experiment->full.budget_seconds), experiment->claim});
  }
  return AlignedTable(rows);
}

absl::Status ValidateBudgets(const ExperimentRegistry& registry) {
  struct Sum {
    double quick = 0;
    double standard = 0;
    int flagships = 0;
  };
  std::map<std::string, Sum> packages;
  double flagship_seconds = 0;
  std::vector<std::string> problems;
  const auto check = [&](absl::string_view what, double seconds, double most) {
    if (seconds <= most) return;
    problems.push_back(absl::StrCat(what, ": expected a budget of at most ",
                                    most, " s, got ", seconds, " s"));
  };
  for (const Experiment* experiment : registry.All()) {
    Sum& sum = packages[experiment->Package()];
    sum.quick += experiment->quick.budget_seconds;
    sum.standard += experiment->standard.budget_seconds;
    if (experiment->flagship) {
      ++sum.flagships;
      flagship_seconds += experiment->quick.budget_seconds;
    }
    check(absl::StrCat(experiment->name, " at quick"),
          experiment->quick.budget_seconds, kQuickExperimentSeconds);
  }
  for (const Experiment* experiment : registry.All()) {
    for (const Check& checked : experiment->checks) {
      if (checked.acceptance != Acceptance::kGated ||
          !checked.standard.has_value() ||
          experiment->standard.seeds >= kGatedSeeds) {
        continue;
      }
      problems.push_back(
          absl::StrCat(experiment->name, " at standard: expected at least ",
                       kGatedSeeds, " seeds for the gated \"", checked.label,
                       "\", got ", experiment->standard.seeds));
    }
  }
  for (const auto& entry : packages) {
    check(absl::StrCat("package ", entry.first, " at quick"),
          entry.second.quick, kQuickPackageSeconds);
    check(absl::StrCat("package ", entry.first, " at standard"),
          entry.second.standard, kStandardPackageSeconds);
    if (entry.second.flagships == 0) {
      problems.push_back(
          absl::StrCat("package ", entry.first,
                       ": expected at least 1 flagship experiment, got none"));
    }
  }
  check("all flagships at quick", flagship_seconds, kFlagshipSeconds);
  if (problems.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrJoin(problems, "\n"));
}

}  // namespace septet
