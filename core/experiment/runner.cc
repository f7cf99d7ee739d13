// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/runner.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "google/protobuf/message.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/config/setter.h"
#include "septet/core/config/text.h"
#include "septet/core/experiment/experiment.h"

namespace septet {
namespace {

absl::Status RunOne(const PlannedExperiment& planned, Preset preset,
                    const RunOptions& run, std::ostream& progress,
                    ExperimentResult* result) {
  const Experiment& experiment = *planned.experiment;
  std::unique_ptr<google::protobuf::Message> options;
  if (experiment.make_options) {
    options = experiment.make_options(preset);
    SEPTET_RETURN_IF_ERROR(ValidateOptions(*options)) << "options";
    FillDefaults(options.get());
  }
  SummaryContext summary;
  summary.preset = preset;
  summary.options = options.get();
  summary.folder =
      absl::StrCat(run.out, "/", experiment.name, "/", PresetName(preset));
  for (int i = 0; i < planned.seeds; ++i) {
    SeedContext context;
    context.preset = preset;
    context.seed = static_cast<uint64_t>(i) + 1;
    context.options = options.get();
    context.folder = absl::StrCat(summary.folder, "/seed_", context.seed);
    context.progress = &progress;
    SEPTET_RETURN_IF_ERROR(MakeDirectories(context.folder));
    SEPTET_ASSIGN_OR_RETURN(SeedResult seed, experiment.run_seed(context));
    summary.seeds.push_back(context.seed);
    summary.folders.push_back(context.folder);
    summary.results.push_back(std::move(seed));
  }
  for (const Check& check : experiment.checks) {
    std::vector<double> by_seed;
    for (const SeedResult& seed : summary.results) {
      const auto found = seed.metrics.find(check.metric);
      if (found == seed.metrics.end()) {
        return absl::InternalError(
            absl::StrCat(experiment.name, " measured no \"", check.metric,
                         "\", which it declares a check of"));
      }
      by_seed.push_back(found->second);
    }
    result->checks.push_back(JudgeCheck(check, preset, by_seed));
  }
  if (!experiment.summarize) return absl::OkStatus();
  SEPTET_RETURN_IF_ERROR(MakeDirectories(summary.folder + "/figures"));
  return experiment.summarize(summary);
}

}  // namespace

bool ExperimentResult::passed() const {
  if (!status.ok()) return false;
  for (const JudgedCheck& judged : checks) {
    if (judged.outcome == Outcome::kMissed) return false;
  }
  return true;
}

std::vector<ExperimentResult> RunPlan(const Plan& plan,
                                      const RunOptions& options,
                                      std::ostream& progress) {
  std::vector<ExperimentResult> results;
  for (const PlannedExperiment& planned : plan.experiments) {
    ExperimentResult result;
    result.name = planned.experiment->name;
    progress << absl::StrCat("[", results.size() + 1, "/",
                             plan.experiments.size(), "] ", result.name)
             << std::endl;
    const auto start = std::chrono::steady_clock::now();
    result.status = RunOne(planned, plan.preset, options, progress, &result);
    result.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
            .count();
    progress << result.name << ": "
             << (result.status.ok() ? result.passed() ? "passed" : "missed"
                                    : result.status.ToString())
             << absl::StrFormat(" (%.1f s)", result.seconds) << std::endl;
    results.push_back(result);
  }
  return results;
}

absl::Status ResultsStatus(const std::vector<ExperimentResult>& results) {
  std::vector<std::string> failed;
  absl::Status first;
  for (const ExperimentResult& result : results) {
    first.Update(result.status);
    if (!result.passed()) failed.push_back(result.name);
  }
  if (failed.empty()) return absl::OkStatus();
  return absl::Status(
      first.ok() ? absl::StatusCode::kFailedPrecondition : first.code(),
      absl::StrCat(failed.size(), " of ", results.size(),
                   results.size() == 1 ? " experiment" : " experiments",
                   " failed: ", absl::StrJoin(failed, ", ")));
}

std::string ResultsJson(const Plan& plan,
                        const std::vector<ExperimentResult>& results) {
  // Names and codes consist of letters, digits, "_" and "/": nothing to escape.
  size_t failed = 0;
  std::vector<std::string> items;
  for (const ExperimentResult& result : results) {
    if (!result.passed()) ++failed;
    items.push_back(absl::StrFormat(
        R"({"name":"%s","status":"%s","seconds":%.3f})", result.name,
        absl::StatusCodeToString(result.status.code()), result.seconds));
  }
  return absl::StrCat(R"({"preset":")", PresetName(plan.preset),
                      R"(","passed":)", results.size() - failed,
                      R"(,"failed":)", failed, R"(,"experiments":[)",
                      absl::StrJoin(items, ","), "]}");
}

}  // namespace septet
