// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/verdict_table.h"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "septet/core/experiment/duration_text.h"
#include "septet/core/experiment/experiment.h"

namespace septet {
namespace {

constexpr int kMostDigits = 17;  // of a double

// With that many significant digits, and without an exponent where that stays
// short.
std::string NumberText(double value, int digits) {
  if (std::isnan(value)) return "NaN";
  const double size = std::abs(value);
  if (std::isfinite(value) && size >= std::pow(10, digits) && size < 1e9) {
    return absl::StrFormat("%.0f", value);
  }
  return absl::StrFormat("%.*g", digits, value);
}

// Digits for a row: as many as it takes to tell the judged value from the
// threshold.
int DigitsOf(const JudgedCheck& check) {
  int digits = 4;
  if (!check.threshold.has_value()) return digits;
  const double value =
      check.judged == Statistic::kMean ? check.mean : check.worst;
  std::vector<double> borders = {*check.threshold};
  if (check.comparison == Comparison::kWithin) {
    borders = {*check.threshold - check.tolerance,
               *check.threshold + check.tolerance};
  }
  for (double border : borders) {
    while (digits < kMostDigits && value != border &&
           NumberText(value, digits) == NumberText(border, digits)) {
      ++digits;
    }
  }
  return digits;
}

std::string ThresholdText(const JudgedCheck& check) {
  if (!check.threshold.has_value()) return "-";
  // Thresholds are written by people: all digits that they have.
  const std::string number = absl::StrCat(*check.threshold);
  std::string text;
  switch (check.comparison) {
    case Comparison::kAtLeast:
      text = absl::StrCat("≥ ", number);
      break;
    case Comparison::kAtMost:
      text = absl::StrCat("≤ ", number);
      break;
    case Comparison::kWithin:
      text = absl::StrCat(number, " ± ", check.tolerance);
      break;
  }
  if (check.judged == Statistic::kWorst) text += ", worst seed";
  return text;
}

// The shortest text that reads as the same double.
std::string ExactText(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value);
  return std::string(buffer, end.ptr);
}

std::string SeedsText(const std::vector<uint64_t>& seeds) {
  if (seeds.size() == 1) return absl::StrCat("seed ", seeds[0]);
  if (seeds.back() - seeds.front() + 1 == seeds.size()) {
    return absl::StrCat("seeds ", seeds.front(), " to ", seeds.back());
  }
  return absl::StrCat("seeds ", absl::StrJoin(seeds, ", "));
}

}  // namespace

TableRows VerdictRows(const Verdict& verdict) {
  TableRows rows = {{"check", "paper", "measured (mean)", "worst seed",
                     "threshold", "verdict"}};
  for (const JudgedCheck& check : verdict.checks) {
    const int digits = DigitsOf(check);
    rows.push_back({check.label, check.paper, NumberText(check.mean, digits),
                    NumberText(check.worst, digits), ThresholdText(check),
                    OutcomeName(check.outcome)});
  }
  return rows;
}

std::string VerdictSummary(const Verdict& verdict) {
  std::string text =
      absl::StrCat(PresetName(verdict.preset), ", ", SeedsText(verdict.seeds),
                   ", ", DurationText(verdict.seconds));
  const auto cpu = verdict.environment.find("cpu");
  if (cpu != verdict.environment.end()) {
    absl::StrAppend(&text, " on ", cpu->second);
  }
  const auto git = verdict.environment.find("git");
  if (git != verdict.environment.end()) {
    absl::StrAppend(&text, ", revision ", git->second);
  }
  return text;
}

std::string VerdictText(const Verdict& verdict) {
  return absl::StrCat(verdict.experiment, ": ", verdict.claim, " (",
                      verdict.source, ")\n", AlignedTable(VerdictRows(verdict)),
                      "  ", VerdictSummary(verdict), "\n");
}

std::string VerdictMarkdown(const Verdict& verdict) {
  return absl::StrCat(MarkdownTable(VerdictRows(verdict)), "\n",
                      MarkdownText(absl::StrCat(verdict.experiment, " at ",
                                                VerdictSummary(verdict))),
                      ".\n");
}

std::string VerdictCsv(const Verdict& verdict) {
  TableRows rows = {{"experiment", "preset", "metric", "check", "paper", "mean",
                     "worst", "comparison", "threshold", "tolerance", "judged",
                     "acceptance", "verdict"}};
  for (uint64_t seed : verdict.seeds) {
    rows[0].push_back(absl::StrCat("seed_", seed));
  }
  for (const JudgedCheck& check : verdict.checks) {
    rows.push_back(
        {verdict.experiment, PresetName(verdict.preset), check.metric,
         check.label, check.paper, ExactText(check.mean),
         ExactText(check.worst), ComparisonName(check.comparison),
         check.threshold.has_value() ? ExactText(*check.threshold) : "",
         ExactText(check.tolerance), StatisticName(check.judged),
         AcceptanceName(check.acceptance), OutcomeName(check.outcome)});
    for (double value : check.by_seed) rows.back().push_back(ExactText(value));
  }
  return CsvTable(rows);
}

}  // namespace septet
