// SPDX-License-Identifier: Apache-2.0
// What a BenchLimit amounts to on this machine at this moment.
//
//   LimitMeter meter(limit, /*threads=*/1);
//   const double seconds = meter.Measure();      // now, in a few milliseconds
#ifndef SEPTET_CORE_BENCH_LIMIT_METER_H_
#define SEPTET_CORE_BENCH_LIMIT_METER_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "septet/core/bench/case.h"

namespace septet {

// Seconds of the calling thread's CPU time for one thread, of wall time for
// more, since some moment.
double BenchClock(int threads);

// Calls that take about `seconds` together, at least one.
int64_t CalibrateCalls(const std::function<void()>& call, double seconds,
                       int threads);

class LimitMeter {
 public:
  // Allocates the working sets and runs each loop for some milliseconds. A
  // limit without parts stands for a fixed number of f32 multiply-adds. Loops
  // of several threads run in the current pool, which has that many.
  LimitMeter(const BenchLimit& limit, int threads);

  // Seconds that the limit takes, by one run of each loop.
  double Measure() const;

 private:
  // One amount, and loops that do a part of it; the fastest counts.
  struct Loop {
    std::function<void()> pass;
    int64_t passes = 1;
  };
  struct Part {
    double passes_wanted = 0;  // the amount in passes
    std::vector<Loop> loops;
  };

  void Add(double passes_wanted, std::vector<std::function<void()>> passes);
  double Seconds(const Loop& loop) const;  // a pass
  template <typename T>
  void AddFlops(double flops);
  template <typename T>
  void AddCalls(const BenchLimit::Calls& calls);
  void AddRead(double bytes);
  void AddCopy(double bytes);
  void AddUpdate(double bytes);

  const int threads_;
  std::vector<Part> parts_;
};

}  // namespace septet

#endif  // SEPTET_CORE_BENCH_LIMIT_METER_H_
