// SPDX-License-Identifier: Apache-2.0
#include "septet/core/conformance/family.h"

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/check.h"
#include "septet/core/base/edit_distance.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/conformance/tolerance.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

// Filled during static initialisation, read afterwards.
std::map<std::string, Family>& Registry() {
  static auto* registry = new std::map<std::string, Family>;
  return *registry;
}

}  // namespace

absl::Status CaseRun::Expect(absl::string_view name, const Var& got,
                             const std::optional<Tolerance>& tolerance) {
  return ExpectOf(file_, name, got, tolerance);
}

absl::Status CaseRun::ExpectOf(Case* other, absl::string_view name,
                               const Var& got,
                               const std::optional<Tolerance>& tolerance) {
  SEPTET_RETURN_IF_ERROR(got.status()) << name;
  SEPTET_ASSIGN_OR_RETURN(const Tensor want, other->Stored(name));
  results_.push_back(
      {std::string(name), want.DebugString(),
       Compare(got.tensor(), want, tolerance.value_or(tolerance_))});
  return absl::OkStatus();
}

absl::Status CaseRun::ExpectBound(absl::string_view name, double error,
                                  double allowed) {
  SEPTET_ASSIGN_OR_RETURN(const Tensor want, file_->Stored(name));
  Comparison comparison;
  comparison.passed = error <= allowed;
  comparison.error = error;
  comparison.allowed = allowed;
  if (!comparison.passed) {
    comparison.problem =
        absl::StrCat("error ", error, " of ", allowed, " allowed");
  }
  results_.push_back({std::string(name), want.DebugString(), comparison});
  return absl::OkStatus();
}

bool RegisterFamily(Family family) {
  SEPTET_CHECK(family.run != nullptr) << family.name;
  std::string name = family.name;
  const bool added =
      Registry().emplace(std::move(name), std::move(family)).second;
  SEPTET_CHECK(added) << "two conformance families of one name";
  return true;
}

absl::StatusOr<const Family*> FindFamily(absl::string_view name) {
  const auto it = Registry().find(std::string(name));
  if (it != Registry().end()) return &it->second;
  const std::vector<std::string> names = FamilyNames();
  const std::string nearest = NearestName(name, names);
  return absl::NotFoundError(absl::StrCat(
      "unknown family \"", name, "\"",
      nearest.empty() ? "" : absl::StrCat("; the nearest is \"", nearest, "\""),
      " (there are: ", absl::StrJoin(names, ", "), ")"));
}

std::vector<std::string> FamilyNames() {
  std::vector<std::string> names;
  for (const auto& [name, family] : Registry()) names.push_back(name);
  return names;
}

}  // namespace septet
