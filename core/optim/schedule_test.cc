// SPDX-License-Identifier: Apache-2.0
#include "septet/core/optim/schedule.h"

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

TEST(CosineScheduleTest, FallsFromLrToZero) {
  const CosineSchedule schedule{3e-4, 10};
  SEPTET_EXPECT_OK(schedule.Validate());
  EXPECT_EQ(schedule(0), 3e-4);
  EXPECT_NEAR(schedule(1), 0.00029265847744427303, 1e-18);
  EXPECT_NEAR(schedule(5), 1.5e-4, 1e-18);
  EXPECT_EQ(schedule(10), 0);
  EXPECT_EQ(schedule(11), 0);
  EXPECT_EQ(schedule(std::numeric_limits<int64_t>::max()), 0);
  for (int64_t k = 0; k < 10; ++k) EXPECT_GT(schedule(k), schedule(k + 1));
}

TEST(CosineScheduleTest, IsPointSymmetricAboutTheMiddle) {
  const CosineSchedule schedule{2.0, 7};
  for (int64_t k = 0; k <= 7; ++k) {
    EXPECT_NEAR(schedule(k) + schedule(7 - k), 2.0, 1e-15);
  }
}

TEST(CosineScheduleTest, OneStepIsAllOrNothing) {
  const CosineSchedule schedule{1.0, 1};
  EXPECT_EQ(schedule(0), 1);
  EXPECT_EQ(schedule(1), 0);
}

TEST(CosineScheduleTest, RefusesWhatIsOutOfRange) {
  EXPECT_THAT((CosineSchedule{-1e-3, 10}).Validate(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("lr is -0.001, want a finite lr >= 0")));
  EXPECT_THAT((CosineSchedule{std::nan(""), 10}).Validate(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("lr is")));
  EXPECT_THAT((CosineSchedule{1e-3, 0}).Validate(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("decay_steps is 0, want >= 1")));
}

}  // namespace
}  // namespace septet
