// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/experiment.h"

#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "septet/core/base/edit_distance.h"

namespace septet {
namespace {

bool IsNamePart(absl::string_view part) {
  if (part.empty() || !absl::ascii_islower(part[0])) return false;
  for (char c : part) {
    if (!absl::ascii_islower(c) && !absl::ascii_isdigit(c) && c != '_') {
      return false;
    }
  }
  return true;
}

bool IsName(absl::string_view name) {
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  for (absl::string_view part : parts) {
    if (!IsNamePart(part)) return false;
  }
  return parts.size() >= 2;
}

bool IsPositive(double value) { return std::isfinite(value) && value > 0; }

}  // namespace

const std::vector<Preset>& AllPresets() {
  static const auto* presets =
      new std::vector<Preset>{Preset::kQuick, Preset::kStandard, Preset::kFull};
  return *presets;
}

std::string PresetName(Preset preset) {
  switch (preset) {
    case Preset::kQuick:
      return "quick";
    case Preset::kStandard:
      return "standard";
    case Preset::kFull:
      return "full";
  }
  SEPTET_CHECK(false) << static_cast<int>(preset);
  return "";
}

absl::StatusOr<Preset> ParsePreset(absl::string_view name) {
  std::vector<std::string> names;
  for (Preset preset : AllPresets()) {
    names.push_back(PresetName(preset));
    if (names.back() == name) return preset;
  }
  const std::string nearest = NearestName(name, names);
  return absl::InvalidArgumentError(absl::StrCat(
      "no preset \"", name, "\"",
      nearest.empty() ? "" : absl::StrCat("; nearest is \"", nearest, "\""),
      " (there are: ", absl::StrJoin(names, ", "), ")"));
}

std::string AcceptanceName(Acceptance acceptance) {
  switch (acceptance) {
    case Acceptance::kGated:
      return "gated";
    case Acceptance::kContested:
      return "contested";
  }
  SEPTET_CHECK(false) << static_cast<int>(acceptance);
  return "";
}

const Effort& Experiment::EffortOf(Preset preset) const {
  switch (preset) {
    case Preset::kQuick:
      return quick;
    case Preset::kStandard:
      return standard;
    case Preset::kFull:
      return full;
  }
  SEPTET_CHECK(false) << static_cast<int>(preset);
  return quick;
}

std::string Experiment::Package() const {
  const size_t slash = name.rfind('/');
  return slash == std::string::npos ? "" : name.substr(0, slash);
}

absl::Status Experiment::Validate() const {
  std::vector<std::string> problems;
  const auto add = [&](absl::string_view problem) {
    problems.push_back(absl::StrCat("experiment \"", name, "\": ", problem));
  };
  if (!IsName(name)) {
    add("expected a name like \"package/experiment\", of a-z, 0-9 and _");
  }
  if (claim.empty()) add("has no claim");
  if (!run) add("has no run function");
  for (Preset preset : AllPresets()) {
    const Effort& effort = EffortOf(preset);
    const std::string at = absl::StrCat(" at ", PresetName(preset), ", got ");
    if (!IsPositive(effort.budget_seconds)) {
      add(absl::StrCat("expected budget_seconds above 0", at,
                       effort.budget_seconds));
    }
    if (!IsPositive(effort.flops)) {
      add(absl::StrCat("expected flops above 0", at, effort.flops));
    }
    if (effort.seeds < 1) {
      add(absl::StrCat("expected seeds of at least 1", at, effort.seeds));
    }
  }
  if (problems.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrJoin(problems, "\n"));
}

}  // namespace septet
