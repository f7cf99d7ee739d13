// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/registry.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "septet/core/base/check.h"
#include "septet/core/base/edit_distance.h"
#include "septet/core/base/status_macros.h"

namespace septet {

ExperimentRegistry& ExperimentRegistry::Global() {
  static auto* registry = new ExperimentRegistry;
  return *registry;
}

absl::Status ExperimentRegistry::Add(Experiment experiment) {
  SEPTET_RETURN_IF_ERROR(experiment.Validate());
  const std::string name = experiment.name;
  if (!experiments_.emplace(name, std::move(experiment)).second) {
    return absl::AlreadyExistsError(
        absl::StrCat("experiment \"", name, "\" is registered twice"));
  }
  return absl::OkStatus();
}

std::vector<const Experiment*> ExperimentRegistry::All() const {
  std::vector<const Experiment*> all;
  for (const auto& entry : experiments_) all.push_back(&entry.second);
  return all;
}

std::vector<std::string> ExperimentRegistry::Packages() const {
  std::set<std::string> packages;
  for (const auto& entry : experiments_) {
    packages.insert(entry.second.Package());
  }
  return {packages.begin(), packages.end()};
}

absl::StatusOr<std::vector<const Experiment*>> ExperimentRegistry::Select(
    absl::string_view name) const {
  const std::string below = absl::StrCat(name, "/");
  std::vector<const Experiment*> selected;
  for (const auto& entry : experiments_) {
    if (entry.first == name || absl::StartsWith(entry.first, below)) {
      selected.push_back(&entry.second);
    }
  }
  if (!selected.empty()) return selected;
  const std::vector<std::string> packages = Packages();
  std::vector<std::string> names = packages;
  for (const auto& entry : experiments_) names.push_back(entry.first);
  std::string nearest = NearestName(name, names);
  // The name of an experiment without that of its package.
  for (const auto& entry : experiments_) {
    if (absl::EndsWith(entry.first, absl::StrCat("/", name))) {
      nearest = entry.first;
      break;
    }
  }
  return absl::NotFoundError(absl::StrCat(
      "no package or experiment \"", name, "\"",
      nearest.empty() ? "" : absl::StrCat("; nearest is \"", nearest, "\""),
      packages.empty()
          ? " (none is registered)"
          : absl::StrCat(" (packages: ", absl::StrJoin(packages, ", "), ")")));
}

ExperimentRegistration::ExperimentRegistration(Experiment experiment) {
  const absl::Status status =
      ExperimentRegistry::Global().Add(std::move(experiment));
  SEPTET_CHECK(status.ok()) << status.message();
}

}  // namespace septet
