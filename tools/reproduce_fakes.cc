// SPDX-License-Identifier: Apache-2.0
// Experiments for the test of reproduce: linked in, they are in its plan.
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "septet/core/base/file.h"
#include "septet/core/base/signals.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/experiment/experiment.h"
#include "septet/core/experiment/fake_testutil.h"
#include "septet/core/experiment/registry.h"

namespace septet {
namespace {

Experiment Printing() {
  Experiment experiment = FakeExperiment("retention/recall", true);
  experiment.run_seed = [](const SeedContext& context) {
    std::cout << "recall at " << PresetName(context.preset) << " of seed "
              << context.seed << std::endl;
    return SeedResult{{{"score", 1.0}}};
  };
  return experiment;
}

// Misses its threshold; contested, that is no failure.
Experiment Missing(const std::string& name, Acceptance acceptance) {
  Experiment experiment = FakeExperiment(name);
  experiment.checks[0].acceptance = acceptance;
  experiment.run_seed = [](const SeedContext&) {
    return SeedResult{{{"score", 0.5}}};
  };
  return experiment;
}

// Counts to four in a file of its folder, and measures the sum of what it
// counted. The signal of that number in SEPTET_FAKE_SIGNAL comes in the middle
// of seed 2.
Experiment Counting() {
  Experiment experiment = FakeExperiment("faults/counting", true);
  experiment.run_seed =
      [](const SeedContext& context) -> absl::StatusOr<SeedResult> {
    const std::string path = context.folder + "/count";
    int count = 0;
    if (context.resume) {
      const absl::StatusOr<std::string> text = ReadFileToString(path);
      if (text.ok() && !absl::SimpleAtoi(*text, &count)) {
        return absl::DataLossError(path);
      }
    }
    while (count < 4) {
      ++count;
      std::cout << "seed " << context.seed << " counts " << count << std::endl;
      SEPTET_RETURN_IF_ERROR(WriteFileAtomically(path, absl::StrCat(count)));
      const char* signal = std::getenv("SEPTET_FAKE_SIGNAL");
      int number = 0;
      if (context.seed == 2 && count == 2 && signal != nullptr &&
          absl::SimpleAtoi(signal, &number)) {
        std::raise(number);
      }
      if (InterruptRequested()) return InterruptedError("a fake was cut off");
    }
    return SeedResult{{{"score", 10.0 + static_cast<double>(context.seed)}}};
  };
  return experiment;
}

const ExperimentRegistration kRecall(Printing());
const ExperimentRegistration kCopy(FakeExperiment("retention/copy"));
const ExperimentRegistration kHopper(FakeExperiment("rl/offline/hopper", true));
const ExperimentRegistration kBroken(FakeExperiment(
    "rl/offline/broken", false, absl::DataLossError("no such weights")));
const ExperimentRegistration kMissed(Missing("rl/offline/missed",
                                             Acceptance::kGated));
const ExperimentRegistration kContested(Missing("rl/offline/contested",
                                                Acceptance::kContested));
const ExperimentRegistration kCounting(Counting());

}  // namespace
}  // namespace septet
