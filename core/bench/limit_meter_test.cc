// SPDX-License-Identifier: Apache-2.0
#include "septet/core/bench/limit_meter.h"

#include <cmath>
#include <cstdint>

#include "gtest/gtest.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/bench/case.h"

namespace septet {
namespace {

TEST(BenchClockTest, OneThreadCountsItsOwnTimeOnly) {
  const double cpu = BenchClock(1), wall = BenchClock(2);
  while (BenchClock(2) < wall + 1e-3) {
  }
  EXPECT_GT(BenchClock(1), cpu);
  EXPECT_GE(BenchClock(2) - wall, 1e-3);
}

TEST(CalibrateCallsTest, GoesByTheTimeOfACall) {
  int64_t called = 0;
  const auto quick = [&] { ++called; };
  EXPECT_GT(CalibrateCalls(quick, 1e-4, 1), 100);
  EXPECT_GT(called, 100);
  called = 0;
  const auto slow = [&] {
    ++called;
    const double begin = BenchClock(1);
    while (BenchClock(1) < begin + 2e-3) {
    }
  };
  EXPECT_EQ(CalibrateCalls(slow, 1e-4, 1), 1);
  EXPECT_EQ(called, 2);
}

// Plausible rates of one thread, any machine: a part that was left out, or
// counted in wrong units, would be off by more.
TEST(LimitMeterTest, EachPartHasAPlausibleRate) {
  const double kAmount = 1e9;
  const auto seconds = [](const BenchLimit& limit) {
    return LimitMeter(limit, 1).Measure();
  };
  for (const BenchLimit& limit :
       {BenchLimit::F32Flops(kAmount), BenchLimit::F64Flops(kAmount)}) {
    EXPECT_GT(seconds(limit), kAmount / 1e13);
    EXPECT_LT(seconds(limit), kAmount / 1e8);
  }
  const double kBytes = 1 << 16;
  for (const BenchLimit& limit :
       {BenchLimit::CopiedBytes(kBytes), BenchLimit::ReadBytes(kBytes),
        BenchLimit::UpdatedBytes(kBytes)}) {
    EXPECT_GT(seconds(limit), kBytes / 1e13);
    EXPECT_LT(seconds(limit), kBytes / 1e8);
  }
  for (const BenchFunction function :
       {BenchFunction::kExp, BenchFunction::kExpm1, BenchFunction::kLog,
        BenchFunction::kLog1p, BenchFunction::kSin, BenchFunction::kTanh,
        BenchFunction::kErf}) {
    BenchLimit f32, f64;
    f32.Call<float>(function, kAmount);
    f64.Call<double>(function, kAmount);
    for (const BenchLimit& limit : {f32, f64}) {
      EXPECT_GT(seconds(limit), kAmount / 1e12);
      EXPECT_LT(seconds(limit), kAmount / 1e6);
    }
  }
}

TEST(LimitMeterTest, PartsAddUpAndGrowWithTheAmount) {
  BenchLimit small;
  small.f32_flops = 1e9;
  BenchLimit large = small;
  large.f64_flops = 1e11;
  EXPECT_GT(LimitMeter(large, 1).Measure(),
            10 * LimitMeter(small, 1).Measure());
}

TEST(LimitMeterTest, SeveralThreadsAreMeasuredTogether) {
  ThreadPool pool(2);
  const ScopedThreadPool scope(&pool);
  BenchLimit limit;
  limit.f32_flops = 1e9;
  limit.copied_bytes = limit.read_bytes = limit.updated_bytes = 1 << 16;
  limit.Call<float>(BenchFunction::kExp, 1e5);
  const double seconds = LimitMeter(limit, 2).Measure();
  EXPECT_GT(seconds, 1e-5);
  EXPECT_LT(seconds, 100);
}

}  // namespace
}  // namespace septet
