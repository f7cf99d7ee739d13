// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/runner.h"

#include <chrono>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "google/protobuf/message.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/config/setter.h"
#include "septet/core/config/text.h"
#include "septet/core/experiment/experiment.h"

namespace septet {
namespace {

absl::Status RunOne(const PlannedExperiment& planned, Preset preset) {
  const Experiment& experiment = *planned.experiment;
  ExperimentContext context;
  context.preset = preset;
  context.seeds = planned.seeds;
  std::unique_ptr<google::protobuf::Message> options;
  if (experiment.make_options) {
    options = experiment.make_options(preset);
    SEPTET_RETURN_IF_ERROR(ValidateOptions(*options)) << "options";
    FillDefaults(options.get());
    context.options = options.get();
  }
  return experiment.run(context);
}

}  // namespace

std::vector<ExperimentResult> RunPlan(const Plan& plan,
                                      std::ostream& progress) {
  std::vector<ExperimentResult> results;
  for (const PlannedExperiment& planned : plan.experiments) {
    ExperimentResult result;
    result.name = planned.experiment->name;
    progress << absl::StrCat("[", results.size() + 1, "/",
                             plan.experiments.size(), "] ", result.name)
             << std::endl;
    const auto start = std::chrono::steady_clock::now();
    result.status = RunOne(planned, plan.preset);
    result.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
            .count();
    progress << result.name << ": " << result.status.ToString()
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
    if (!result.status.ok()) failed.push_back(result.name);
  }
  if (first.ok()) return first;
  return absl::Status(
      first.code(),
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
    if (!result.status.ok()) ++failed;
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
