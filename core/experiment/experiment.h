// SPDX-License-Identifier: Apache-2.0
// What an experiment is: a claim of a paper, what it costs to try it at three
// sizes, and the function that tries it.
//
//   Experiment Recall() {
//     Experiment experiment;
//     experiment.name = "retention/recall";
//     experiment.claim = "Retention recalls as softmax attention does.";
//     experiment.acceptance = Acceptance::kGated;
//     experiment.flagship = true;
//     experiment.quick = {/*budget_seconds=*/40, /*flops=*/3e11, /*seeds=*/1};
//     experiment.standard = {600, 9e12, 3};
//     experiment.full = {7200, 2e14, 5};
//     experiment.make_options = [](Preset preset) {
//       auto options = std::make_unique<RecallOptions>();
//       if (preset == Preset::kQuick) options->set_steps(200);
//       return options;
//     };
//     experiment.run = [](const ExperimentContext& context) {
//       return RunRecall(context.OptionsAs<RecallOptions>(), context.seeds);
//     };
//     return experiment;
//   }
//
// registry.h makes programs know of it, plan.h decides what is run, runner.h
// runs. Keywords: reproduction, preset, budget, acceptance.
#ifndef SEPTET_CORE_EXPERIMENT_EXPERIMENT_H_
#define SEPTET_CORE_EXPERIMENT_EXPERIMENT_H_

#include <functional>
#include <memory>
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

// What follows when a claim is not met.
enum class Acceptance {
  kGated,      // a failure of the program that runs it
  kContested,  // reported as found
};

// "gated", "contested".
std::string AcceptanceName(Acceptance acceptance);

// What an experiment declares that it takes at one preset.
struct Effort {
  double budget_seconds = 0;  // most it may take on 2 cores, > 0
  double flops = 0;           // floating-point operations of `seeds` seeds, > 0
  int seeds = 1;              // seeds it runs unless told otherwise, >= 1
};

// What a run is told.
struct ExperimentContext {
  Preset preset = Preset::kQuick;
  int seeds = 1;  // to run, >= 1
  // Valid and complete; null where the experiment makes none.
  const google::protobuf::Message* options = nullptr;

  // The options as the message that make_options returns; aborts for another.
  template <typename Options>
  const Options& OptionsAs() const {
    const auto* cast = dynamic_cast<const Options*>(options);
    SEPTET_CHECK(cast != nullptr) << Options::descriptor()->full_name();
    return *cast;
  }
};

struct Experiment {
  // "package/experiment", where package may have several parts ("rl/offline");
  // each part is [a-z][a-z0-9_]*.
  std::string name;
  std::string claim;  // one sentence
  Acceptance acceptance = Acceptance::kGated;
  bool flagship = false;  // stands for its package where nothing is asked for
  Effort quick, standard, full;
  // The options at a preset; may be left empty.
  std::function<std::unique_ptr<google::protobuf::Message>(Preset)>
      make_options;
  // Errors: it could not be run, or a gated claim is not met.
  std::function<absl::Status(const ExperimentContext&)> run;

  const Effort& EffortOf(Preset preset) const;

  // All of the name before the last slash.
  std::string Package() const;

  // OK where all of the above holds. Errors: InvalidArgument with a line for
  // each thing that does not.
  absl::Status Validate() const;
};

}  // namespace septet

#endif  // SEPTET_CORE_EXPERIMENT_EXPERIMENT_H_
