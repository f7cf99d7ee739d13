// SPDX-License-Identifier: Apache-2.0
#include "septet/core/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"

namespace septet {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kFar = std::numeric_limits<int64_t>::max();

TEST(ScheduleTest, ConstantStays) {
  const Schedule schedule = Schedule::Constant(7e-5);
  SEPTET_EXPECT_OK(schedule.Validate());
  for (const int64_t k : {int64_t{0}, int64_t{1}, int64_t{1000}, kFar}) {
    EXPECT_EQ(schedule(k), 7e-5);
  }
}

TEST(ScheduleTest, CosineFallsFromLrToZero) {
  const Schedule schedule = Schedule::Cosine(3e-4, 10);
  SEPTET_EXPECT_OK(schedule.Validate());
  EXPECT_EQ(schedule(0), 3e-4);
  EXPECT_NEAR(schedule(1), 0.00029265847744427303, 1e-18);
  EXPECT_NEAR(schedule(5), 1.5e-4, 1e-18);
  EXPECT_EQ(schedule(10), 0);
  EXPECT_EQ(schedule(11), 0);
  EXPECT_EQ(schedule(kFar), 0);
  for (int64_t k = 0; k < 10; ++k) EXPECT_GT(schedule(k), schedule(k + 1));
}

TEST(ScheduleTest, CosineIsPointSymmetricAboutTheMiddle) {
  const Schedule schedule = Schedule::Cosine(2.0, 7);
  for (int64_t k = 0; k <= 7; ++k) {
    EXPECT_NEAR(schedule(k) + schedule(7 - k), 2.0, 1e-15);
  }
}

TEST(ScheduleTest, OneStepIsAllOrNothing) {
  for (const Schedule& schedule :
       {Schedule::Cosine(1.0, 1), Schedule::Linear(1.0, 1)}) {
    EXPECT_EQ(schedule(0), 1);
    EXPECT_EQ(schedule(1), 0);
  }
}

TEST(ScheduleTest, FinalFractionIsWhereTheDecayEnds) {
  for (const Schedule& schedule :
       {Schedule::Cosine(2.0, 8, 0.1), Schedule::Linear(2.0, 8, 0.1)}) {
    EXPECT_EQ(schedule(0), 2.0);
    EXPECT_NEAR(schedule(4), 1.1, 1e-15);
    EXPECT_NEAR(schedule(8), 0.2, 1e-15);
    EXPECT_NEAR(schedule(kFar), 0.2, 1e-15);
  }
}

// retention: lr min((i + 1) / 50, 1) (1 - 0.95 i / N).
TEST(ScheduleTest, OverlappingWarmUpAndLinearDecay) {
  const int64_t n = 300;
  Schedule schedule = Schedule::Linear(4e-3, n, 0.05);
  schedule.warmup_steps = 50;
  SEPTET_EXPECT_OK(schedule.Validate());
  for (int64_t i = 0; i < n; ++i) {
    const double x = static_cast<double>(i);
    EXPECT_NEAR(schedule(i),
                4e-3 * std::min((x + 1) / 50, 1.0) * (1 - 0.95 * x / n), 1e-17);
  }
}

// rlhf: 2e-3 min(1, t / 50) (1 - t / 600) + 1e-5.
TEST(ScheduleTest, WarmUpFromZeroAndAnOffset) {
  Schedule schedule = Schedule::Linear(2e-3, 600);
  schedule.warmup_steps = 50;
  schedule.warmup_from_zero = true;
  schedule.offset = 1e-5;
  SEPTET_EXPECT_OK(schedule.Validate());
  EXPECT_EQ(schedule(0), 1e-5);
  for (int64_t t = 0; t < 600; ++t) {
    const double x = static_cast<double>(t);
    EXPECT_NEAR(schedule(t),
                2e-3 * std::min(1.0, x / 50) * (1 - x / 600) + 1e-5, 1e-17);
  }
  EXPECT_EQ(schedule(600), 1e-5);
}

TEST(ScheduleTest, DecayMayBeginAfterTheWarmUp) {
  Schedule schedule = Schedule::Cosine(1.0, 10);
  schedule.warmup_steps = schedule.start = 4;
  EXPECT_EQ(schedule(0), 0.25);
  EXPECT_EQ(schedule(3), 1);
  EXPECT_EQ(schedule(4), 1);
  EXPECT_NEAR(schedule(9), 0.5, 1e-15);
  EXPECT_EQ(schedule(14), 0);
}

// gahb: halved at epochs 100, 200, ..., 900 of 1000; and 2^-floor(6 t / T).
TEST(ScheduleTest, StepsFallAtTheEndOfEachInterval) {
  const Schedule halved = Schedule::Step(1e-3, 1000, 10, 0.5);
  SEPTET_EXPECT_OK(halved.Validate());
  EXPECT_EQ(halved(0), 1e-3);
  EXPECT_EQ(halved(99), 1e-3);
  EXPECT_EQ(halved(100), 0.5e-3);
  EXPECT_EQ(halved(899), 1e-3 / 256);
  EXPECT_EQ(halved(900), 1e-3 / 512);
  EXPECT_EQ(halved(999), 1e-3 / 512);
  for (const int64_t total : {6, 7, 100, 1501}) {
    const Schedule schedule = Schedule::Step(3e-3, total, 6, 0.5);
    for (int64_t t = 0; t < total; ++t) {
      EXPECT_NEAR(schedule(t),
                  3e-3 * std::pow(2.0, -std::floor(static_cast<double>(6 * t) /
                                                   static_cast<double>(total))),
                  1e-17)
          << t << " of " << total;
    }
  }
  // No product overflows.
  const Schedule longest =
      Schedule::Step(1.0, kFar, std::numeric_limits<int32_t>::max(), 0.5);
  EXPECT_EQ(longest(0), 1);
  EXPECT_EQ(longest(kFar / 4), 0);
}

// nat: lr / (1 + gamma max(e - t0, 0)).
TEST(ScheduleTest, InverseDecaysFromItsStart) {
  const Schedule schedule = Schedule::Inverse(0.1, 20, 0.3);
  SEPTET_EXPECT_OK(schedule.Validate());
  EXPECT_EQ(schedule(20), 0.1);
  EXPECT_NEAR(schedule(21), 0.1 / 1.3, 1e-17);
  EXPECT_NEAR(schedule(99), 0.1 / (1 + 0.3 * 79), 1e-17);
}

TEST(ScheduleTest, RefusesWhatIsOutOfRange) {
  const auto error = [](const Schedule& schedule) {
    return schedule.Validate();
  };
  const auto is = [](const char* text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  EXPECT_THAT(error(Schedule::Constant(-1e-3)),
              is("schedule: lr is -0.001, expected a finite lr >= 0"));
  EXPECT_THAT(error(Schedule::Constant(std::nan(""))), is("lr is nan"));
  EXPECT_THAT(error(Schedule::Cosine(1e-3, 0)), is("steps is 0, expected"));
  EXPECT_THAT(error(Schedule::Linear(1e-3, 5, 1.5)),
              is("final_fraction is 1.5, expected 0 <= final_fraction <= 1"));
  EXPECT_THAT(error(Schedule::Step(1, 5, 0, 0.5)),
              is("intervals is 0, expected"));
  EXPECT_THAT(error(Schedule::Step(1, 5, int64_t{1} << 31, 0.5)),
              is("intervals is 2147483648, expected"));
  EXPECT_THAT(error(Schedule::Step(1, 5, 2, 1.5)),
              is("gamma is 1.5, expected gamma <= 1"));
  EXPECT_THAT(error(Schedule::Inverse(1, 0, -1)), is("gamma is -1, expected"));
  EXPECT_THAT(error(Schedule::Inverse(1, -2, 1)), is("start is -2, expected"));
  Schedule schedule;
  schedule.warmup_steps = -1;
  EXPECT_THAT(error(schedule), is("warmup_steps is -1, expected"));
  schedule = {};
  schedule.offset = -1;
  EXPECT_THAT(error(schedule), is("offset is -1, expected"));
}

}  // namespace
}  // namespace septet
