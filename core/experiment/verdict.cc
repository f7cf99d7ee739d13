// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/verdict.h"

#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "septet/core/base/check.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/experiment/json_impl.h"
#include "septet/core/io/json_object.h"
#include "septet/core/io/json_value.h"
#include "septet/core/io/quote.h"

namespace septet {
namespace {

using ::septet::experiment_internal::GetAnyNumber;
using ::septet::experiment_internal::GetLine;
using ::septet::experiment_internal::SetAnyNumber;

// The one of `values` that has the name which the field holds.
template <typename Enum>
absl::StatusOr<Enum> GetEnum(const JsonValue& object, absl::string_view field,
                             const std::vector<Enum>& values,
                             std::string (*name_of)(Enum)) {
  SEPTET_ASSIGN_OR_RETURN(const JsonValue value, object.Get(field));
  SEPTET_ASSIGN_OR_RETURN(const std::string text, value.String());
  std::vector<std::string> names;
  for (Enum candidate : values) {
    names.push_back(name_of(candidate));
    if (names.back() == text) return candidate;
  }
  return absl::DataLossError(absl::StrCat(value.where(), " is ",
                                          QuoteName(text), ", expected one of ",
                                          absl::StrJoin(names, ", ")));
}

// By how much `value` is worse than one that is just good enough; greater is
// worse. Only differences of two such numbers mean something.
double Badness(const JudgedCheck& check, double centre, double value) {
  switch (check.comparison) {
    case Comparison::kAtLeast:
      return -value;
    case Comparison::kAtMost:
      return value;
    case Comparison::kWithin:
      return std::abs(value - centre);
  }
  SEPTET_CHECK(false) << static_cast<int>(check.comparison);
  return 0;
}

bool Meets(const JudgedCheck& check, double threshold, double value) {
  // Written so that NaN misses.
  switch (check.comparison) {
    case Comparison::kAtLeast:
      return value >= threshold;
    case Comparison::kAtMost:
      return value <= threshold;
    case Comparison::kWithin:
      return std::abs(value - threshold) <= check.tolerance;
  }
  SEPTET_CHECK(false) << static_cast<int>(check.comparison);
  return false;
}

}  // namespace

std::string OutcomeName(Outcome outcome) {
  switch (outcome) {
    case Outcome::kMet:
      return "met";
    case Outcome::kMissed:
      return "missed";
    case Outcome::kAsFound:
      return "as found";
  }
  SEPTET_CHECK(false) << static_cast<int>(outcome);
  return "";
}

namespace {

// Fills in what follows from the other fields.
void Judge(JudgedCheck* check) {
  double sum = 0;
  for (double value : check->by_seed) sum += value;
  check->mean = sum / static_cast<double>(check->by_seed.size());
  const double centre = check->threshold.value_or(check->mean);
  check->worst = check->by_seed[0];
  for (double value : check->by_seed) {
    if (std::isnan(value)) {
      check->worst = std::numeric_limits<double>::quiet_NaN();
      break;
    }
    if (Badness(*check, centre, value) >
        Badness(*check, centre, check->worst)) {
      check->worst = value;
    }
  }
  check->outcome = Outcome::kAsFound;
  if (check->threshold.has_value() && check->acceptance == Acceptance::kGated) {
    const double value =
        check->judged == Statistic::kMean ? check->mean : check->worst;
    check->outcome = Meets(*check, *check->threshold, value) ? Outcome::kMet
                                                             : Outcome::kMissed;
  }
}

// Whether a file says what follows from its other fields.
absl::Status ExpectNumber(const JsonValue& object, absl::string_view field,
                          double expected) {
  SEPTET_ASSIGN_OR_RETURN(const double found, GetAnyNumber(object, field));
  if (found == expected || (std::isnan(found) && std::isnan(expected))) {
    return absl::OkStatus();
  }
  return absl::DataLossError(absl::StrCat(object.Get(field)->where(), " is ",
                                          found, ", its seeds have ",
                                          expected));
}

absl::StatusOr<JudgedCheck> ParseCheck(const JsonValue& json,
                                       const std::vector<uint64_t>& seeds) {
  JudgedCheck check;
  SEPTET_ASSIGN_OR_RETURN(check.metric, GetLine(json, "metric"));
  SEPTET_ASSIGN_OR_RETURN(check.label, GetLine(json, "label"));
  SEPTET_ASSIGN_OR_RETURN(check.paper, GetLine(json, "paper"));
  SEPTET_ASSIGN_OR_RETURN(
      check.comparison,
      GetEnum<Comparison>(
          json, "comparison",
          {Comparison::kAtLeast, Comparison::kAtMost, Comparison::kWithin},
          &ComparisonName));
  SEPTET_ASSIGN_OR_RETURN(const JsonValue threshold, json.Get("threshold"));
  if (threshold.kind() != JsonValue::Kind::kNull) {
    SEPTET_ASSIGN_OR_RETURN(check.threshold, threshold.Number());
  }
  SEPTET_ASSIGN_OR_RETURN(check.tolerance, json.GetNumber("tolerance"));
  SEPTET_ASSIGN_OR_RETURN(
      check.judged,
      GetEnum<Statistic>(json, "judged", {Statistic::kMean, Statistic::kWorst},
                         &StatisticName));
  SEPTET_ASSIGN_OR_RETURN(
      check.acceptance,
      GetEnum<Acceptance>(json, "acceptance",
                          {Acceptance::kGated, Acceptance::kContested},
                          &AcceptanceName));
  SEPTET_ASSIGN_OR_RETURN(const JsonValue by_seed, json.Get("by_seed"));
  for (uint64_t seed : seeds) {
    SEPTET_ASSIGN_OR_RETURN(const double value,
                            GetAnyNumber(by_seed, absl::StrCat(seed)));
    check.by_seed.push_back(value);
  }
  if (by_seed.names().size() != seeds.size()) {
    return absl::DataLossError(absl::StrCat(
        by_seed.where(), " has ", by_seed.names().size(),
        " values, expected one for each of ", seeds.size(), " seeds"));
  }
  Judge(&check);
  SEPTET_RETURN_IF_ERROR(ExpectNumber(json, "mean", check.mean));
  SEPTET_RETURN_IF_ERROR(ExpectNumber(json, "worst", check.worst));
  SEPTET_ASSIGN_OR_RETURN(const JsonValue outcome, json.Get("verdict"));
  SEPTET_ASSIGN_OR_RETURN(const std::string name, outcome.String());
  if (name != OutcomeName(check.outcome)) {
    return absl::DataLossError(
        absl::StrCat(outcome.where(), " is ", QuoteName(name),
                     ", its seeds have '", OutcomeName(check.outcome), "'"));
  }
  return check;
}

// Whether `path` stays below the folder that it is relative to.
bool IsBelow(absl::string_view path) {
  for (absl::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty() || part == "." || part == "..") return false;
  }
  return path.find('\0') == absl::string_view::npos;
}

}  // namespace

JudgedCheck JudgeCheck(const Check& check, Preset preset,
                       absl::Span<const double> by_seed) {
  SEPTET_CHECK(!by_seed.empty());
  JudgedCheck judged;
  judged.metric = check.metric;
  judged.label = check.label;
  judged.paper = check.paper;
  judged.comparison = check.comparison;
  judged.threshold = check.ThresholdOf(preset);
  judged.tolerance = check.tolerance;
  judged.judged = check.judged;
  judged.acceptance = check.acceptance;
  judged.by_seed.assign(by_seed.begin(), by_seed.end());
  Judge(&judged);
  return judged;
}

bool Verdict::passed() const {
  for (const JudgedCheck& check : checks) {
    if (check.outcome == Outcome::kMissed) return false;
  }
  return true;
}

absl::StatusOr<std::string> VerdictJson(const Verdict& verdict) {
  JsonObject json;
  json.SetInteger("schema_version", kVerdictSchemaVersion);
  json.SetString("experiment", verdict.experiment);
  json.SetString("claim", verdict.claim);
  json.SetString("source", verdict.source);
  json.SetString("preset", PresetName(verdict.preset));
  const std::vector<int64_t> seeds(verdict.seeds.begin(), verdict.seeds.end());
  json.SetIntegers("seeds", seeds);
  std::vector<JsonObject> checks;
  for (const JudgedCheck& check : verdict.checks) {
    JsonObject item;
    item.SetString("metric", check.metric);
    item.SetString("label", check.label);
    item.SetString("paper", check.paper);
    item.SetString("comparison", ComparisonName(check.comparison));
    if (check.threshold.has_value()) {
      item.SetNumber("threshold", *check.threshold);
    } else {
      item.SetNull("threshold");
    }
    item.SetNumber("tolerance", check.tolerance);
    item.SetString("judged", StatisticName(check.judged));
    item.SetString("acceptance", AcceptanceName(check.acceptance));
    JsonObject by_seed;
    for (size_t i = 0; i < verdict.seeds.size(); ++i) {
      SetAnyNumber(&by_seed, absl::StrCat(verdict.seeds[i]), check.by_seed[i]);
    }
    item.SetObject("by_seed", by_seed);
    SetAnyNumber(&item, "mean", check.mean);
    SetAnyNumber(&item, "worst", check.worst);
    item.SetString("verdict", OutcomeName(check.outcome));
    checks.push_back(std::move(item));
  }
  json.SetObjects("checks", checks);
  json.SetNumber("seconds", verdict.seconds);
  JsonObject environment;
  for (const auto& [name, value] : verdict.environment) {
    environment.SetString(name, value);
  }
  json.SetObject("environment", environment);
  json.SetStrings("figures", verdict.figures);
  SEPTET_ASSIGN_OR_RETURN(const std::string text, json.Text());
  return experiment_internal::IndentJson(text);
}

namespace {

absl::StatusOr<Verdict> VerdictOf(const JsonValue& json) {
  SEPTET_RETURN_IF_ERROR(
      experiment_internal::CheckSchemaVersion(json, kVerdictSchemaVersion));
  Verdict verdict;
  SEPTET_ASSIGN_OR_RETURN(verdict.experiment, GetLine(json, "experiment"));
  SEPTET_ASSIGN_OR_RETURN(verdict.claim, GetLine(json, "claim"));
  SEPTET_ASSIGN_OR_RETURN(verdict.source, GetLine(json, "source"));
  SEPTET_ASSIGN_OR_RETURN(verdict.preset,
                          GetEnum(json, "preset", AllPresets(), &PresetName));
  SEPTET_ASSIGN_OR_RETURN(const JsonValue seeds, json.Get("seeds"));
  SEPTET_ASSIGN_OR_RETURN(const std::vector<int64_t> seed_list,
                          seeds.Integers());
  int64_t last = -1;
  for (int64_t seed : seed_list) {
    if (seed <= last) {
      return absl::DataLossError(
          absl::StrCat(seeds.where(), " has ", seed, " after ", last,
                       ", expected them to grow from 0 or more"));
    }
    last = seed;
    verdict.seeds.push_back(static_cast<uint64_t>(seed));
  }
  SEPTET_ASSIGN_OR_RETURN(const JsonValue checks, json.Get("checks"));
  SEPTET_ASSIGN_OR_RETURN(const std::vector<JsonValue> check_list,
                          checks.List());
  if (seed_list.empty() || check_list.empty()) {
    return absl::DataLossError(
        absl::StrCat((seed_list.empty() ? seeds : checks).where(),
                     " is empty, expected at least one"));
  }
  for (const JsonValue& item : check_list) {
    SEPTET_ASSIGN_OR_RETURN(JudgedCheck check, ParseCheck(item, verdict.seeds));
    verdict.checks.push_back(std::move(check));
  }
  SEPTET_ASSIGN_OR_RETURN(verdict.seconds, json.GetNumber("seconds"));
  SEPTET_ASSIGN_OR_RETURN(const JsonValue environment, json.Get("environment"));
  for (const std::string& name : environment.names()) {
    SEPTET_ASSIGN_OR_RETURN(const JsonValue value, environment.Get(name));
    SEPTET_ASSIGN_OR_RETURN(std::string text, value.String());
    // An unset variable is "".
    if (!text.empty()) {
      SEPTET_ASSIGN_OR_RETURN(text, GetLine(environment, name));
    }
    verdict.environment[name] = std::move(text);
  }
  SEPTET_ASSIGN_OR_RETURN(const JsonValue figures, json.Get("figures"));
  SEPTET_ASSIGN_OR_RETURN(verdict.figures, figures.Strings());
  for (const std::string& figure : verdict.figures) {
    if (!IsBelow(figure)) {
      return absl::DataLossError(
          absl::StrCat(figures.where(), " has ", QuoteName(figure),
                       ", expected a path below the folder"));
    }
  }
  return verdict;
}

}  // namespace

absl::StatusOr<Verdict> ParseVerdict(absl::string_view text,
                                     absl::string_view name) {
  SEPTET_ASSIGN_OR_RETURN(const JsonValue json, JsonValue::Parse(text, name));
  return experiment_internal::FieldsOf(VerdictOf(json));
}

absl::StatusOr<Verdict> ReadVerdict(absl::string_view path) {
  SEPTET_ASSIGN_OR_RETURN(const JsonValue json,
                          experiment_internal::ReadJsonFile(path));
  return experiment_internal::FieldsOf(VerdictOf(json));
}

}  // namespace septet
