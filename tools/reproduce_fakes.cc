// SPDX-License-Identifier: Apache-2.0
// Experiments for the test of reproduce: linked in, they are in its plan.
#include <iostream>

#include "absl/status/status.h"
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

const ExperimentRegistration kRecall(Printing());
const ExperimentRegistration kCopy(FakeExperiment("retention/copy"));
const ExperimentRegistration kHopper(FakeExperiment("rl/offline/hopper", true));
const ExperimentRegistration kBroken(FakeExperiment(
    "rl/offline/broken", false, absl::DataLossError("no such weights")));

}  // namespace
}  // namespace septet
