// SPDX-License-Identifier: Apache-2.0
// Times bench cases beside the limit of the machine.
//
//   for (const BenchCase* c : BenchCases()) {
//     const BenchResult result = RunBenchCase(*c, {});
//     std::puts(result.ToString().c_str());
//   }
//
// A round is the limit's loops, the kernel, and the limit's loops again, a few
// milliseconds each, so that frequency, other load and the neighbours of a
// virtual machine meet both alike; the share of the limit is the median over
// the rounds of what the limit takes over what the kernel takes. One thread
// counts its own CPU time; several threads count wall time, and the limit's
// loops run on as many. Each is run once, untimed, before it is timed, so that
// the caches hold what it leaves in them.
//
// A bar is judged only where the limit held still: if its loops (those of the
// peak of f32 for a case without limit) spread by more than kMaxLimitSpread
// over the rounds, the verdict is refused.
#ifndef SEPTET_CORE_BENCH_RUNNER_H_
#define SEPTET_CORE_BENCH_RUNNER_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/bench/case.h"

namespace septet {

// Of the limit over the rounds, without the lowest and the highest tenth of
// them: highest less lowest, over the median.
constexpr double kMaxLimitSpread = 0.1;

enum class BenchVerdict {
  kMet,
  kMissed,
  kRefused,   // there is a bar, and the limit did not hold still
  kReported,  // there is no bar, or it is not for this machine or thread count
  kWrong      // the result was wrong, and nothing was timed
};
absl::string_view BenchVerdictName(BenchVerdict verdict);

// What one round measured, in seconds a call.
struct BenchRound {
  double seconds = 0;
  // What the limit allows; for a case without limit, a fixed number of
  // multiply-adds in f32.
  double limit_seconds = 0;
};

struct BenchResult {
  std::string name;
  int threads = 1;
  absl::Status status;  // not OK: what `prepare` found to be wrong
  // Medians over the rounds.
  double seconds = 0;         // a call
  double limit_seconds = 0;   // 0: no limit
  double of_limit = 0;        // of limit_seconds / seconds; 0: no limit
  double ns_per_element = 0;  // 0: no elements
  double limit_spread = 0;
  BenchVerdict verdict = BenchVerdict::kReported;

  // As the table of //tools:bench has them: "2.36 ms", "113.7 GFLOP/s",
  // ">= 90 %", ...; "-" for what there is not.
  std::string time;
  std::string achieved;
  std::string limit;
  std::string bar;

  // A row of the table, without a line feed; TableHeader() is its head.
  std::string ToString() const;
  static std::string TableHeader();
  // One line: {"name":"gemm/f32/512x512x512","threads":1,"seconds":...}.
  std::string ToJson() const;
};

struct BenchOptions {
  // 0: as each case says. Otherwise for all cases; bars are then not judged
  // where the case says another number.
  int threads = 0;
  int rounds = 15;  // >= 5
  // Whether bars are judged on this machine.
  bool judge = true;
};

// Runs the case: `prepare`, then the rounds.
BenchResult RunBenchCase(const BenchCase& bench_case,
                         const BenchOptions& options);

// What RunBenchCase makes of its rounds, of which there is at least one.
BenchResult JudgeBenchCase(const BenchCase& bench_case,
                           const BenchOptions& options,
                           absl::Span<const BenchRound> rounds);

}  // namespace septet

#endif  // SEPTET_CORE_BENCH_RUNNER_H_
