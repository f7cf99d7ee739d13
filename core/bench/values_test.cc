// SPDX-License-Identifier: Apache-2.0
#include "septet/core/bench/values.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"

namespace septet {
namespace {

using ::testing::HasSubstr;

TEST(BenchValuesTest, SpreadOverTheRangeAndAlwaysTheSame) {
  const auto x = BenchValues<double>(1000, -2, 3);
  EXPECT_EQ(x, BenchValues<double>(1000, -2, 3));
  EXPECT_NE(x, BenchValues<double>(1000, -2, 3, /*start=*/7));
  double sum = 0;
  for (const double value : x) {
    EXPECT_GE(value, -2);
    EXPECT_LT(value, 3);
    sum += value;
  }
  EXPECT_NEAR(sum / 1000, 0.5, 0.01);
  EXPECT_LT(*std::min_element(x.begin(), x.end()), -1.99);
  EXPECT_GT(*std::max_element(x.begin(), x.end()), 2.99);
}

TEST(CheckCloseTest, NamesTheWorstPlace) {
  const std::vector<float> want = {1, 2, 4};
  SEPTET_EXPECT_OK(CheckClose<float>("y", want, want, {}));
  SEPTET_EXPECT_OK(CheckClose<float>("y", {1.5, 2, 4.5}, want, {0.5, 0}));
  SEPTET_EXPECT_OK(CheckClose<float>("y", {1.25, 2.5, 5}, want, {0, 0.25}));
  EXPECT_THAT(CheckClose<float>("y", {1.5, 3, 4}, want, {0.25, 0}),
              StatusIs(absl::StatusCode::kInternal,
                       HasSubstr("y[1] is 3, want 2 +- 0.25")));
  EXPECT_THAT(CheckClose<float>("y", {9, 2, std::nanf("")}, want, {1, 1}),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("y[2] is nan")));
  EXPECT_THAT(CheckClose<float>("y", {1, 2}, want, {1, 1}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("y has 2 elements, want 3")));
}

}  // namespace
}  // namespace septet
