// SPDX-License-Identifier: Apache-2.0
// Experiments that calculate nothing, for tests.
#ifndef SEPTET_CORE_EXPERIMENT_FAKE_TESTUTIL_H_
#define SEPTET_CORE_EXPERIMENT_FAKE_TESTUTIL_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "septet/core/experiment/experiment.h"

namespace septet {

// A check of "score" for the fakes: at least 1 at every preset.
inline Check FakeCheck() {
  Check check;
  check.metric = "score";
  check.label = "score, %";
  check.paper = "2";
  check.comparison = Comparison::kAtLeast;
  check.quick = check.standard = check.full = 1;
  return check;
}

// A valid experiment with FakeCheck, whose seeds return `status` or a score of
// 1 + seed. quick: 30 s, 1e9 FLOPs, 1 seed; standard: 300 s, 3e10 FLOPs, 3
// seeds; full: 3000 s, 5e11 FLOPs, 5 seeds.
inline Experiment FakeExperiment(std::string name, bool flagship = false,
                                 absl::Status status = absl::OkStatus()) {
  Experiment experiment;
  experiment.claim = "Claim of " + name + ".";
  experiment.source = "Source of " + name;
  experiment.name = std::move(name);
  experiment.checks = {FakeCheck()};
  experiment.flagship = flagship;
  experiment.quick = {30, 1e9, 1};
  experiment.standard = {300, 3e10, 3};
  experiment.full = {3000, 5e11, 5};
  experiment.run_seed =
      [status](const SeedContext& context) -> absl::StatusOr<SeedResult> {
    if (!status.ok()) return status;
    SeedResult result;
    result.metrics["score"] = 1 + static_cast<double>(context.seed);
    return result;
  };
  return experiment;
}

}  // namespace septet

#endif  // SEPTET_CORE_EXPERIMENT_FAKE_TESTUTIL_H_
