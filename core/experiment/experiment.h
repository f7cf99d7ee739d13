// SPDX-License-Identifier: Apache-2.0
// What an experiment is: a claim of a paper, what is measured to judge it, what
// it costs to try it at three sizes, and the function that tries it for one
// seed.
//
//   Experiment Recall() {
//     Experiment experiment;
//     experiment.name = "retention/recall";
//     experiment.claim = "Retention recalls as softmax attention does.";
//     experiment.source = "Sun et al. 2023, arXiv 2307.08621, section 3.4";
//     Check accuracy;
//     accuracy.metric = "accuracy";
//     accuracy.label = "accuracy, %";
//     accuracy.paper = "98";
//     accuracy.comparison = Comparison::kAtLeast;
//     accuracy.quick = 90;
//     accuracy.standard = 95;
//     experiment.checks = {accuracy};
//     experiment.flagship = true;
//     experiment.quick = {/*budget_seconds=*/40, /*flops=*/3e11, /*seeds=*/1};
//     experiment.standard = {600, 9e12, 3};
//     experiment.full = {7200, 2e14, 5};
//     experiment.make_options = [](Preset preset) {
//       auto options = std::make_unique<RecallOptions>();
//       if (preset == Preset::kQuick) options->set_steps(200);
//       return options;
//     };
//     experiment.run_seed = [](const SeedContext& context) {
//       return RunRecall(context.OptionsAs<RecallOptions>(), context.seed,
//                        context.folder, context.resume);
//     };
//     experiment.summarize = [](const SummaryContext& context) {
//       return DrawCurves(context.folders, context.folder + "/figures");
//     };
//     return experiment;
//   }
//
// registry.h makes programs know of it, plan.h decides what is run, runner.h
// runs it: that is where seeds, resuming, judging and the files are.
// Keywords: reproduction, preset, budget, acceptance, seed, verdict.
#ifndef SEPTET_CORE_EXPERIMENT_EXPERIMENT_H_
#define SEPTET_CORE_EXPERIMENT_EXPERIMENT_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"
#include "septet/core/base/check.h"

namespace septet {

// How large an experiment is run.
enum class Preset { kQuick, kStandard, kFull };

// All presets, smallest first.
const std::vector<Preset>& AllPresets();

// "quick", "standard", "full".
std::string PresetName(Preset preset);

// The preset of that name. Errors: InvalidArgument with the nearest name.
absl::StatusOr<Preset> ParsePreset(absl::string_view name);

// What follows when a threshold is missed.
enum class Acceptance {
  kGated,      // a failure of the program that runs the experiment
  kContested,  // nothing: the value is reported as found
};

// "gated", "contested".
std::string AcceptanceName(Acceptance acceptance);

// How a measured value meets its threshold.
enum class Comparison {
  kAtLeast,  // value >= threshold
  kAtMost,   // value <= threshold
  kWithin,   // |value - threshold| <= tolerance
};

// "at least", "at most", "within".
std::string ComparisonName(Comparison comparison);

// Which value is compared.
enum class Statistic {
  kMean,   // the mean over the seeds
  kWorst,  // the value of the worst seed
};

// "mean", "worst".
std::string StatisticName(Statistic statistic);

// One line of the table "paper, measured, threshold, verdict".
struct Check {
  std::string metric;  // which of SeedResult::metrics
  std::string label;   // what it is, for people, with its unit; one line
  // What the paper says, as text ("98.3", "27 x"); "-" where it says nothing.
  std::string paper = "-";
  Comparison comparison = Comparison::kAtLeast;
  // Thresholds at the presets; without one the value is reported as found.
  std::optional<double> quick, standard, full;
  double tolerance = 0;  // of kWithin, >= 0
  Statistic judged = Statistic::kMean;
  Acceptance acceptance = Acceptance::kGated;

  const std::optional<double>& ThresholdOf(Preset preset) const;
};

// What an experiment declares that it takes at one preset.
struct Effort {
  double budget_seconds = 0;  // most it may take on 2 cores, > 0
  double flops = 0;           // floating-point operations of `seeds` seeds, > 0
  int seeds = 1;              // seeds it runs unless told otherwise, >= 1
};

namespace experiment_internal {
template <typename Options>
const Options& OptionsCast(const google::protobuf::Message* options) {
  const auto* cast = dynamic_cast<const Options*>(options);
  SEPTET_CHECK(cast != nullptr) << Options::descriptor()->full_name();
  return *cast;
}
}  // namespace experiment_internal

// What the run of one seed is told.
struct SeedContext {
  Preset preset = Preset::kQuick;
  uint64_t seed = 1;  // 1, 2, ...
  // Valid and complete; null where the experiment makes none.
  const google::protobuf::Message* options = nullptr;
  // The seed's own folder. It exists, and is empty unless `resume`. The frame
  // writes only result.json there, at the end, so that it can be a RunFolder
  // (core/train/run_folder.h) opened with {/*resume=*/context.resume}.
  std::string folder;
  // An earlier run of the same seed with the same options has been cut off
  // there; go on with what it left, or begin again.
  bool resume = false;
  std::ostream* progress = nullptr;  // for people; never null in a run

  // The options as the message that make_options returns; aborts for another.
  template <typename Options>
  const Options& OptionsAs() const {
    return experiment_internal::OptionsCast<Options>(options);
  }
};

// What one seed measured: a number for each metric, among them those of all
// checks. NaN is a value, and misses every threshold. Curves stay in files of
// the seed's folder.
struct SeedResult {
  std::map<std::string, double> metrics;
};

// What is told when all seeds are done. The vectors are parallel.
struct SummaryContext {
  Preset preset = Preset::kQuick;
  std::vector<uint64_t> seeds;
  std::vector<std::string> folders;  // of the seeds
  std::vector<SeedResult> results;
  const google::protobuf::Message* options = nullptr;  // as in SeedContext
  // Of the experiment at the preset. Figures go to folder/figures, which
  // exists and is empty.
  std::string folder;

  template <typename Options>
  const Options& OptionsAs() const {
    return experiment_internal::OptionsCast<Options>(options);
  }
};

struct Experiment {
  // "package/experiment", where package may have several parts ("rl/offline");
  // each part is [a-z][a-z0-9_]*.
  std::string name;
  std::string claim;          // one sentence
  std::string source;         // whose claim: paper and section; "this project"
  std::vector<Check> checks;  // at least one, in the order of the table
  bool flagship = false;  // stands for its package where nothing is asked for
  Effort quick, standard, full;
  // The options at a preset; may be left empty. A seed is begun again if they
  // change, so everything that decides on the result belongs into them.
  std::function<std::unique_ptr<google::protobuf::Message>(Preset)>
      make_options;
  // Measures one seed. Whether claims are met is not its matter. Errors: it
  // could not be run; InterruptedError (core/base/signals.h) after a signal.
  std::function<absl::StatusOr<SeedResult>(const SeedContext&)> run_seed;
  // Draws figures of all seeds; may be left empty. Runs each time the
  // experiment is asked for, also if all seeds were done before.
  std::function<absl::Status(const SummaryContext&)> summarize;

  const Effort& EffortOf(Preset preset) const;

  // kGated if a check is, so that the experiment can fail.
  Acceptance StrictestAcceptance() const;

  // All of the name before the last slash.
  std::string Package() const;

  // OK where all of the above holds. Errors: InvalidArgument with a line for
  // each thing that does not.
  absl::Status Validate() const;
};

}  // namespace septet

#endif  // SEPTET_CORE_EXPERIMENT_EXPERIMENT_H_
