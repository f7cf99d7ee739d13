// SPDX-License-Identifier: Apache-2.0
// The experiments that a program knows.
//
//   // recall.cc, in a target with alwayslink = True
//   const ExperimentRegistration kRecall(Recall());
//
// Order is by name, whatever the order of linking.
#ifndef SEPTET_CORE_EXPERIMENT_REGISTRY_H_
#define SEPTET_CORE_EXPERIMENT_REGISTRY_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/experiment/experiment.h"

namespace septet {

// Experiments by name. Written before main() by one thread, read afterwards.
class ExperimentRegistry {
 public:
  // The registry of ExperimentRegistration.
  static ExperimentRegistry& Global();

  // Errors: those of Experiment::Validate; AlreadyExists.
  absl::Status Add(Experiment experiment);

  // All, in the order of their names. Pointers stay valid.
  std::vector<const Experiment*> All() const;

  // The names of the packages that have experiments, sorted.
  std::vector<std::string> Packages() const;

  // The experiment of that name, or all of the package of that name and of
  // those below it ("rl" has those of "rl/offline"), in the order of their
  // names. Errors: NotFound with the nearest name and all packages.
  absl::StatusOr<std::vector<const Experiment*>> Select(
      absl::string_view name) const;

 private:
  std::map<std::string, Experiment> experiments_;
};

// Adds to the global registry; aborts on an error.
class ExperimentRegistration {
 public:
  explicit ExperimentRegistration(Experiment experiment);
};

}  // namespace septet

#endif  // SEPTET_CORE_EXPERIMENT_REGISTRY_H_
