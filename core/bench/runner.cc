// SPDX-License-Identifier: Apache-2.0
#include "septet/core/bench/runner.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "nlohmann/json.hpp"
#include "septet/core/base/check.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/bench/case.h"
#include "septet/core/bench/limit_meter.h"

namespace septet {
namespace {

// Of the kernel, each round.
constexpr double kKernelSeconds = 3e-3;

// The middle one, or the mean of the middle two.
double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half]
                                : (values[half - 1] + values[half]) / 2;
}

double Spread(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t cut = values.size() / 10;
  return (values[values.size() - 1 - cut] - values[cut]) / Median(values);
}

std::string TimeText(double seconds) {
  if (seconds >= 1) return absl::StrFormat("%.3g s", seconds);
  if (seconds >= 1e-3) return absl::StrFormat("%.3g ms", seconds * 1e3);
  if (seconds >= 1e-6) return absl::StrFormat("%.3g us", seconds * 1e6);
  return absl::StrFormat("%.3g ns", seconds * 1e9);
}

// The amount in `seconds` as a rate, where the limit is of one kind; otherwise
// the time an element, or that of a call.
std::string RateText(const BenchCase& c, double seconds) {
  const BenchLimit& limit = c.limit;
  const double flops = limit.f32_flops + limit.f64_flops;
  const double bytes =
      limit.copied_bytes + limit.read_bytes + limit.updated_bytes;
  const bool calls = !limit.f32_calls.empty() || !limit.f64_calls.empty();
  if (flops > 0 && bytes == 0 && !calls) {
    return absl::StrFormat("%.1f GFLOP/s", flops / seconds * 1e-9);
  }
  if (bytes > 0 && flops == 0 && !calls) {
    return absl::StrFormat("%.1f GB/s", bytes / seconds * 1e-9);
  }
  if (c.elements > 0) {
    return absl::StrFormat("%.3g ns/element", seconds / c.elements * 1e9);
  }
  return TimeText(seconds);
}

std::string BarText(const BenchCase& c) {
  std::vector<std::string> bars;
  if (c.at_least > 0) {
    bars.push_back(absl::StrFormat(">= %g %%", c.at_least * 100));
  }
  if (c.at_most_ns > 0) {
    bars.push_back(absl::StrFormat("<= %g ns/element", c.at_most_ns));
  }
  return bars.empty() ? "-" : absl::StrJoin(bars, ", ");
}

int Threads(const BenchCase& c, const BenchOptions& options) {
  return options.threads > 0 ? options.threads : c.threads;
}

constexpr char kRow[] = "%-48s %7s %9s  %-16s %-16s %7s  %-16s %s";

}  // namespace

absl::string_view BenchVerdictName(BenchVerdict verdict) {
  switch (verdict) {
    case BenchVerdict::kMet:
      return "met";
    case BenchVerdict::kMissed:
      return "missed";
    case BenchVerdict::kRefused:
      return "refused";
    case BenchVerdict::kReported:
      return "reported";
    case BenchVerdict::kWrong:
      return "wrong";
  }
  SEPTET_CHECK(false);
  return "";
}

std::string BenchResult::TableHeader() {
  return absl::StrFormat(kRow, "case", "threads", "time", "achieved", "limit",
                         "share", "bar", "verdict");
}

std::string BenchResult::ToString() const {
  if (!status.ok()) {
    return absl::StrFormat(
        kRow, name, absl::StrCat(threads), "-", "-", "-", "-", bar,
        absl::StrCat(BenchVerdictName(verdict), ": ", status.ToString()));
  }
  std::string last(BenchVerdictName(verdict));
  if (verdict == BenchVerdict::kRefused) {
    absl::StrAppendFormat(&last, ": the limit spreads by %.0f %%",
                          limit_spread * 100);
  }
  return absl::StrFormat(
      kRow, name, absl::StrCat(threads), time, achieved, limit,
      of_limit > 0 ? absl::StrFormat("%.1f %%", of_limit * 100) : "-", bar,
      last);
}

std::string BenchResult::ToJson() const {
  nlohmann::ordered_json json;
  json["name"] = name;
  json["threads"] = threads;
  json["verdict"] = std::string(BenchVerdictName(verdict));
  if (!status.ok()) {
    json["error"] = status.ToString();
  } else {
    json["seconds"] = seconds;
    if (limit_seconds > 0) {
      json["limit_seconds"] = limit_seconds;
      json["of_limit"] = of_limit;
    }
    if (ns_per_element > 0) json["ns_per_element"] = ns_per_element;
    json["limit_spread"] = limit_spread;
    json["achieved"] = achieved;
    json["limit"] = limit;
    json["bar"] = bar;
  }
  // Names and messages may hold any bytes.
  return json.dump(-1, ' ', false,
                   nlohmann::ordered_json::error_handler_t::replace);
}

BenchResult JudgeBenchCase(const BenchCase& c, const BenchOptions& options,
                           absl::Span<const BenchRound> rounds) {
  SEPTET_CHECK(!rounds.empty());
  std::vector<double> seconds, limits, ratios;
  for (const BenchRound& round : rounds) {
    seconds.push_back(round.seconds);
    limits.push_back(round.limit_seconds);
    ratios.push_back(round.limit_seconds / round.seconds);
  }
  const bool has_limit = c.limit.defined();
  BenchResult result;
  result.name = c.name;
  result.threads = Threads(c, options);
  result.seconds = Median(seconds);
  result.limit_spread = Spread(limits);
  if (has_limit) {
    result.limit_seconds = Median(limits);
    result.of_limit = Median(ratios);
  }
  if (c.elements > 0) result.ns_per_element = result.seconds / c.elements * 1e9;

  const bool met = (c.at_least == 0 || result.of_limit >= c.at_least) &&
                   (c.at_most_ns == 0 || result.ns_per_element <= c.at_most_ns);
  if ((c.at_least == 0 && c.at_most_ns == 0) || !options.judge ||
      result.threads != c.threads) {
    result.verdict = BenchVerdict::kReported;
  } else if (!(result.limit_spread <= kMaxLimitSpread)) {
    result.verdict = BenchVerdict::kRefused;
  } else {
    result.verdict = met ? BenchVerdict::kMet : BenchVerdict::kMissed;
  }
  result.time = TimeText(result.seconds);
  result.achieved = RateText(c, result.seconds);
  result.limit = has_limit ? RateText(c, result.limit_seconds) : "-";
  result.bar = BarText(c);
  return result;
}

BenchResult RunBenchCase(const BenchCase& c, const BenchOptions& options) {
  SEPTET_CHECK_GE(options.rounds, 5);
  const int threads = Threads(c, options);
  std::optional<ThreadPool> pool;
  if (threads > 1) pool.emplace(threads);
  const ScopedThreadPool scope(pool ? &*pool : nullptr);
  // The time of threads that a library started would be counted nowhere.
  const ScopedSingleThreadedLibraries single;

  absl::StatusOr<BenchKernel> kernel = c.prepare();
  if (!kernel.ok()) {
    BenchResult result;
    result.name = c.name;
    result.threads = threads;
    result.status = kernel.status();
    result.verdict = BenchVerdict::kWrong;
    result.bar = BarText(c);
    return result;
  }
  const LimitMeter meter(c.limit, threads);
  const int64_t calls = CalibrateCalls(*kernel, kKernelSeconds, threads);
  std::vector<BenchRound> rounds;
  for (int i = 0; i < options.rounds; ++i) {
    BenchRound round;
    const double before = meter.Measure();
    (*kernel)();
    const double begin = BenchClock(threads);
    for (int64_t call = 0; call < calls; ++call) (*kernel)();
    round.seconds = (BenchClock(threads) - begin) / static_cast<double>(calls);
    const double after = meter.Measure();
    round.limit_seconds = (before + after) / 2;
    rounds.push_back(round);
  }
  return JudgeBenchCase(c, options, rounds);
}

}  // namespace septet
