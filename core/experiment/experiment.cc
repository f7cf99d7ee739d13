// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/experiment.h"

#include <cmath>
#include <cstddef>
#include <set>

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

// Whether `text` can stand in a cell of a table and in a message.
bool IsLine(absl::string_view text) {
  for (char c : text) {
    if (absl::ascii_iscntrl(c)) return false;
  }
  return !text.empty();
}

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

std::string ComparisonName(Comparison comparison) {
  switch (comparison) {
    case Comparison::kAtLeast:
      return "at least";
    case Comparison::kAtMost:
      return "at most";
    case Comparison::kWithin:
      return "within";
  }
  SEPTET_CHECK(false) << static_cast<int>(comparison);
  return "";
}

std::string StatisticName(Statistic statistic) {
  switch (statistic) {
    case Statistic::kMean:
      return "mean";
    case Statistic::kWorst:
      return "worst";
  }
  SEPTET_CHECK(false) << static_cast<int>(statistic);
  return "";
}

const std::optional<double>& Check::ThresholdOf(Preset preset) const {
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

Acceptance Experiment::StrictestAcceptance() const {
  for (const Check& check : checks) {
    if (check.acceptance == Acceptance::kGated) return Acceptance::kGated;
  }
  return Acceptance::kContested;
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
  if (!IsLine(claim)) add("expected a claim of one line");
  if (!IsLine(source)) add("expected a source of one line");
  if (!run_seed) add("has no run_seed function");
  if (checks.empty()) add("has no checks");
  std::set<std::string> labels;
  for (size_t i = 0; i < checks.size(); ++i) {
    const Check& check = checks[i];
    const std::string which = absl::StrCat("check ", i);
    if (!IsLine(check.metric)) {
      add(absl::StrCat(which, ": expected a metric of one line"));
    }
    if (!IsLine(check.label)) {
      add(absl::StrCat(which, ": expected a label of one line"));
    } else if (!labels.insert(check.label).second) {
      add(absl::StrCat(which, ": label \"", check.label, "\" is there twice"));
    }
    if (!IsLine(check.paper)) {
      add(absl::StrCat(which, ": expected what the paper says, or \"-\""));
    }
    if (!(std::isfinite(check.tolerance) && check.tolerance >= 0)) {
      add(absl::StrCat(which, ": expected a tolerance of at least 0, got ",
                       check.tolerance));
    } else if (check.tolerance > 0 && check.comparison != Comparison::kWithin) {
      add(absl::StrCat(which, ": has a tolerance, but is not kWithin"));
    }
    for (Preset preset : AllPresets()) {
      const std::optional<double>& threshold = check.ThresholdOf(preset);
      if (threshold.has_value() && !std::isfinite(*threshold)) {
        add(absl::StrCat(which, ": expected a finite threshold at ",
                         PresetName(preset), ", got ", *threshold));
      }
    }
  }
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
