// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/runner.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <system_error>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "google/protobuf/message.h"
#include "septet/core/base/file.h"
#include "septet/core/base/signals.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/config/setter.h"
#include "septet/core/config/text.h"
#include "septet/core/experiment/duration_text.h"
#include "septet/core/experiment/experiment.h"
#include "septet/core/experiment/seed_record.h"
#include "septet/core/experiment/verdict_table.h"
#include "septet/core/train/run_folder.h"

namespace septet {
namespace {

constexpr char kFigures[] = "figures";

std::string FolderOf(const std::string& out, const Experiment& experiment,
                     Preset preset) {
  return absl::StrCat(out, "/", experiment.name, "/", PresetName(preset));
}

std::string SeedFolder(const std::string& folder, uint64_t seed) {
  return absl::StrCat(folder, "/seed_", seed);
}

std::string RecordPath(const std::string& seed_folder) {
  return seed_folder + "/result.json";
}

// The options at the preset, complete; null where there are none.
absl::StatusOr<std::unique_ptr<google::protobuf::Message>> MakeOptions(
    const Experiment& experiment, Preset preset) {
  std::unique_ptr<google::protobuf::Message> options;
  if (!experiment.make_options) return options;
  options = experiment.make_options(preset);
  if (options == nullptr) {
    return absl::InternalError(absl::StrCat(
        "options: make_options gave none at ", PresetName(preset)));
  }
  SEPTET_RETURN_IF_ERROR(ValidateOptions(*options)) << "options";
  FillDefaults(options.get());
  return options;
}

// The first metric that a check needs and the result lacks; "" where it has
// all.
std::string MissingMetric(const Experiment& experiment,
                          const SeedResult& result) {
  for (const Check& check : experiment.checks) {
    if (result.metrics.count(check.metric) == 0) return check.metric;
  }
  return "";
}

// The record of a seed that needs not be run again. NotFound: the seed is not
// done. Other errors say why it has to begin again.
absl::StatusOr<SeedRecord> FinishedSeed(const Experiment& experiment,
                                        const std::string& fingerprint,
                                        const std::string& path,
                                        uint64_t seed) {
  SEPTET_ASSIGN_OR_RETURN(SeedRecord record, ReadSeedRecord(path));
  if (record.fingerprint != fingerprint || record.seed != seed) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, ": is of seed ", record.seed, " of run ", record.fingerprint,
        ", expected seed ", seed, " of run ", fingerprint));
  }
  const std::string missing = MissingMetric(experiment, record.result);
  if (!missing.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": has no metric \"", missing, "\""));
  }
  return record;
}

absl::Status RemoveAll(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (!error) return absl::OkStatus();
  return absl::ErrnoToStatus(error.value(), absl::StrCat("remove ", path));
}

// The files below FOLDER/figures, with paths from the folder.
absl::StatusOr<std::vector<std::string>> ListFigures(
    const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/", kFigures);
  std::vector<std::string> figures;
  std::error_code error;
  std::filesystem::recursive_directory_iterator entry(path, error);
  for (; !error && entry != std::filesystem::recursive_directory_iterator();
       entry.increment(error)) {
    if (!entry->is_regular_file(error)) continue;
    figures.push_back(entry->path().lexically_relative(folder).string());
  }
  if (error) {
    return absl::ErrnoToStatus(error.value(),
                               absl::StrCat("read directory ", path));
  }
  std::sort(figures.begin(), figures.end());
  return figures;
}

// Opens the folder of an experiment at a preset: to go on where the run is the
// same, else to begin again.
absl::StatusOr<RunFolder> OpenFolder(const std::string& folder,
                                     const Manifest& manifest, bool fresh,
                                     std::ostream& progress) {
  RunFolderOptions open;
  open.fresh = fresh;
  open.resume = !fresh;
  if (!fresh) {
    const std::string path = folder + "/manifest.json";
    const absl::StatusOr<std::string> text = ReadFileToString(path);
    if (text.ok()) {
      SEPTET_ASSIGN_OR_RETURN(const std::vector<std::string> differences,
                              ManifestDifferences(*text, manifest),
                              _ << "to begin again give --fresh: " << path);
      if (!differences.empty()) {
        progress << "  another run is there, all seeds begin again: "
                 << absl::StrJoin(differences, "; ") << std::endl;
        open.fresh = true;
        open.resume = false;
      }
    } else if (!absl::IsNotFound(text.status())) {
      return text.status();
    }
  }
  return RunFolder::Open(folder, manifest, open, &progress);
}

absl::Status Interrupted() {
  return InterruptedError(
      "what is finished is kept, and the same command goes on from there, "
      "without --fresh if that was given");
}

// One seed, run or taken from an earlier run.
absl::StatusOr<SeedRecord> RunSeed(const Experiment& experiment,
                                   const std::string& fingerprint,
                                   const std::string& git,
                                   SeedContext context) {
  std::ostream& progress = *context.progress;
  const std::string path = RecordPath(context.folder);
  absl::StatusOr<SeedRecord> record =
      FinishedSeed(experiment, fingerprint, path, context.seed);
  if (record.ok()) {
    progress << "  seed " << context.seed << ": was done before in "
             << DurationText(record->seconds);
    if (record->git != git) {
      progress << ", by revision " << record->git << " (this is " << git
               << "; --fresh runs it again)";
    }
    progress << std::endl;
    return record;
  }
  if (InterruptRequested()) return Interrupted();
  if (!absl::IsNotFound(record.status())) {
    progress << "  warning: seed " << context.seed
             << " begins again: " << record.status().message() << std::endl;
    SEPTET_RETURN_IF_ERROR(RemoveAll(context.folder));
  }
  SEPTET_RETURN_IF_ERROR(MakeDirectories(context.folder));
  std::error_code error;
  context.resume = !std::filesystem::is_empty(context.folder, error);
  progress << "  seed " << context.seed
           << (context.resume ? ": goes on" : ": begins") << std::endl;
  const auto start = std::chrono::steady_clock::now();
  absl::StatusOr<SeedResult> result = experiment.run_seed(context);
  if (!result.ok() && InterruptExitCode(result.status()) != 0) {
    return Interrupted();
  }
  // A signal ends the run whatever else has happened, but a full disk, say, is
  // why the next one will not go on where this one was.
  if (!result.ok() && InterruptRequested()) {
    progress << "  warning: seed " << context.seed << ": " << result.status()
             << std::endl;
    return Interrupted();
  }
  // Such errors come again each time; the other seeds are worth keeping.
  if (context.resume && (absl::IsDataLoss(result.status()) ||
                         absl::IsFailedPrecondition(result.status()))) {
    progress << "  to begin seed " << context.seed << " again remove "
             << context.folder << std::endl;
  }
  SEPTET_RETURN_IF_ERROR(result.status()) << "seed " << context.seed;
  const std::string missing = MissingMetric(experiment, *result);
  if (!missing.empty()) {
    return absl::InternalError(
        absl::StrCat("seed ", context.seed, ": measured no \"", missing,
                     "\", which a check of ", experiment.name, " needs"));
  }
  record = SeedRecord();
  record->fingerprint = fingerprint;
  record->seed = context.seed;
  record->git = git;
  record->seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count();
  record->result = *std::move(result);
  SEPTET_RETURN_IF_ERROR(WriteSeedRecord(path, *record));
  progress << "  seed " << context.seed << ": done in "
           << DurationText(record->seconds) << std::endl;
  return record;
}

absl::Status RunOne(const PlannedExperiment& planned, Preset preset, bool fresh,
                    std::ostream& progress, ExperimentResult* result) {
  const Experiment& experiment = *planned.experiment;
  SEPTET_ASSIGN_OR_RETURN(const auto options, MakeOptions(experiment, preset));
  const std::string fingerprint =
      RunFingerprint(experiment, preset, options.get());
  Manifest manifest;
  manifest.tool = "reproduce";
  manifest.options = options.get();
  manifest.facts = {{"experiment", experiment.name},
                    {"preset", PresetName(preset)}};
  // Locked until it goes out of scope.
  SEPTET_ASSIGN_OR_RETURN(
      const RunFolder folder,
      OpenFolder(result->folder, manifest, fresh, progress));

  Verdict verdict;
  verdict.experiment = experiment.name;
  verdict.claim = experiment.claim;
  verdict.source = experiment.source;
  verdict.preset = preset;
  verdict.environment = RunEnvironment();
  SummaryContext summary;
  summary.preset = preset;
  summary.options = options.get();
  summary.folder = folder.path();
  for (int i = 0; i < planned.seeds; ++i) {
    SeedContext context;
    context.preset = preset;
    context.seed = static_cast<uint64_t>(i) + 1;
    context.options = options.get();
    context.folder = SeedFolder(folder.path(), context.seed);
    context.progress = &progress;
    SEPTET_ASSIGN_OR_RETURN(
        SeedRecord record,
        RunSeed(experiment, fingerprint, verdict.environment["git"], context));
    verdict.seeds.push_back(context.seed);
    verdict.seconds += record.seconds;
    summary.seeds.push_back(context.seed);
    summary.folders.push_back(context.folder);
    summary.results.push_back(std::move(record.result));
  }
  for (const Check& check : experiment.checks) {
    std::vector<double> by_seed;
    for (const SeedResult& seed : summary.results) {
      by_seed.push_back(seed.metrics.at(check.metric));
    }
    verdict.checks.push_back(JudgeCheck(check, preset, by_seed));
  }
  if (experiment.summarize) {
    SEPTET_RETURN_IF_ERROR(RemoveAll(folder.Path(kFigures)));
    SEPTET_RETURN_IF_ERROR(MakeDirectories(folder.Path(kFigures)));
    SEPTET_RETURN_IF_ERROR(experiment.summarize(summary)) << "summary";
    SEPTET_ASSIGN_OR_RETURN(verdict.figures, ListFigures(folder.path()));
  }
  SEPTET_ASSIGN_OR_RETURN(const std::string json, VerdictJson(verdict));
  SEPTET_RETURN_IF_ERROR(
      WriteFileAtomically(folder.Path("verdict.md"), VerdictMarkdown(verdict)));
  SEPTET_RETURN_IF_ERROR(
      WriteFileAtomically(folder.Path("verdict.csv"), VerdictCsv(verdict)));
  SEPTET_RETURN_IF_ERROR(
      WriteFileAtomically(folder.Path("verdict.json"), json));
  result->verdict = std::move(verdict);
  return absl::OkStatus();
}

// "passed", "missed", "interrupted", "error".
std::string OutcomeOf(const ExperimentResult& result) {
  if (InterruptExitCode(result.status) != 0) return "interrupted";
  if (!result.status.ok()) return "error";
  return result.passed() ? "passed" : "missed";
}

}  // namespace

bool ExperimentResult::passed() const {
  return status.ok() && verdict.has_value() && verdict->passed();
}

void CountFinishedSeeds(const std::string& out, Plan* plan) {
  for (PlannedExperiment& planned : plan->experiments) {
    const Experiment& experiment = *planned.experiment;
    const auto options = MakeOptions(experiment, plan->preset);
    if (!options.ok()) continue;
    const std::string fingerprint =
        RunFingerprint(experiment, plan->preset, options->get());
    const std::string folder = FolderOf(out, experiment, plan->preset);
    planned.seeds_done = 0;
    for (int i = 0; i < planned.seeds; ++i) {
      const uint64_t seed = static_cast<uint64_t>(i) + 1;
      const std::string path = RecordPath(SeedFolder(folder, seed));
      if (FinishedSeed(experiment, fingerprint, path, seed).ok()) {
        ++planned.seeds_done;
      }
    }
    planned.eta_seconds *=
        static_cast<double>(planned.seeds - planned.seeds_done) / planned.seeds;
  }
}

std::vector<ExperimentResult> RunPlan(const Plan& plan,
                                      const RunOptions& options,
                                      std::ostream& progress) {
  std::vector<ExperimentResult> results;
  for (const PlannedExperiment& planned : plan.experiments) {
    ExperimentResult result;
    result.name = planned.experiment->name;
    result.folder = FolderOf(options.out, *planned.experiment, plan.preset);
    progress << absl::StrCat("[", results.size() + 1, "/",
                             plan.experiments.size(), "] ", result.name)
             << std::endl;
    const auto start = std::chrono::steady_clock::now();
    result.status =
        RunOne(planned, plan.preset, options.fresh, progress, &result);
    result.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
            .count();
    progress << result.name << ": "
             << (OutcomeOf(result) == "error" ? result.status.ToString()
                                              : OutcomeOf(result))
             << " (" << DurationText(result.seconds);
    // Those of all the seeds that it has at the preset.
    if (result.seconds > planned.budget_seconds &&
        planned.seeds <= planned.experiment->EffortOf(plan.preset).seeds) {
      progress << ", above its budget of "
               << DurationText(planned.budget_seconds);
    }
    progress << ")" << std::endl;
    results.push_back(std::move(result));
    if (InterruptExitCode(results.back().status) != 0) break;
  }
  return results;
}

std::string ResultsText(const std::vector<ExperimentResult>& results) {
  std::string text;
  for (const ExperimentResult& result : results) {
    if (!result.verdict.has_value()) continue;
    absl::StrAppend(&text, "\n", VerdictText(*result.verdict),
                    "  folder: ", result.folder, "\n");
    for (const std::string& figure : result.verdict->figures) {
      absl::StrAppend(&text, "  figure: ", result.folder, "/", figure, "\n");
    }
  }
  if (!text.empty()) text += '\n';
  return text;
}

absl::Status ResultsStatus(const std::vector<ExperimentResult>& results) {
  std::vector<std::string> missed, broken;
  absl::Status first;
  for (const ExperimentResult& result : results) {
    if (InterruptExitCode(result.status) != 0) return result.status;
    first.Update(result.status);
    if (!result.status.ok()) {
      broken.push_back(result.name);
    } else if (!result.passed()) {
      missed.push_back(result.name);
    }
  }
  std::vector<std::string> lines;
  const auto add = [&](const std::vector<std::string>& names,
                       absl::string_view what) {
    if (names.empty()) return;
    lines.push_back(
        absl::StrCat(names.size(), " of ", results.size(),
                     results.size() == 1 ? " experiment " : " experiments ",
                     what, ": ", absl::StrJoin(names, ", ")));
  };
  add(missed, "missed a gated check");
  add(broken, "could not be run");
  if (lines.empty()) return absl::OkStatus();
  return absl::Status(
      first.ok() ? absl::StatusCode::kFailedPrecondition : first.code(),
      absl::StrJoin(lines, "; "));
}

std::string ResultsJson(const Plan& plan,
                        const std::vector<ExperimentResult>& results) {
  // Names and codes consist of letters, digits, "_" and "/": nothing to escape.
  size_t passed = 0, interrupted = 0;
  std::vector<std::string> items;
  for (const ExperimentResult& result : results) {
    if (result.passed()) ++passed;
    if (InterruptExitCode(result.status) != 0) ++interrupted;
    items.push_back(absl::StrFormat(
        R"({"name":"%s","status":"%s","verdict":"%s","seconds":%.3f})",
        result.name, absl::StatusCodeToString(result.status.code()),
        OutcomeOf(result), result.seconds));
  }
  return absl::StrCat(R"({"preset":")", PresetName(plan.preset),
                      R"(","passed":)", passed, R"(,"failed":)",
                      results.size() - passed - interrupted,
                      R"(,"interrupted":)", interrupted, R"(,"experiments":[)",
                      absl::StrJoin(items, ","), "]}");
}

}  // namespace septet
