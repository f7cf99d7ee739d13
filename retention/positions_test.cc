// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/positions.h"

#include <cmath>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/ops/rotary_layout.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::Eq;

TEST(RetNetFrequenciesTest, BothEndsAreIncluded) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Tensor w,
      RetNetFrequencies(RetNetRotary::kInterleavedLinspace, 10));
  EXPECT_THAT(w.ToVector<double>(),
              ElementsAre(1, DoubleNear(1e-1, 1e-16), DoubleNear(1e-2, 1e-17),
                          DoubleNear(1e-3, 1e-18), DoubleNear(1e-4, 1e-19)));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Tensor one,
      RetNetFrequencies(RetNetRotary::kInterleavedLinspace, 2));
  EXPECT_THAT(one.ToVector<double>(), ElementsAre(1));
}

TEST(RetNetFrequenciesTest, OfRope) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor w,
                              RetNetFrequencies(RetNetRotary::kHalfRope, 8));
  EXPECT_THAT(w.ToVector<double>(),
              ElementsAre(1, DoubleNear(1e-1, 1e-16), DoubleNear(1e-2, 1e-17),
                          DoubleNear(1e-3, 1e-18)));
  EXPECT_EQ(RetNetLayout(RetNetRotary::kHalfRope), RotaryLayout::kHalf);
  EXPECT_EQ(RetNetLayout(RetNetRotary::kInterleavedLinspace),
            RotaryLayout::kInterleaved);
}

TEST(RetNetFrequenciesTest, NoneForAnyWidth) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor w,
                              RetNetFrequencies(RetNetRotary::kNone, 7));
  EXPECT_EQ(w.shape(), Shape({0}));
}

TEST(RetNetFrequenciesTest, Errors) {
  for (const RetNetRotary kind :
       {RetNetRotary::kInterleavedLinspace, RetNetRotary::kHalfRope}) {
    for (const int64_t width : {-2, 0, 1, 7}) {
      EXPECT_THAT(RetNetFrequencies(kind, width).status(),
                  StatusIs(absl::StatusCode::kInvalidArgument,
                           Eq(absl::StrCat(
                               "retnet: the width of a head's keys is ", width,
                               ", expected an even number >= 2 to rotate "
                               "pairs"))));
    }
  }
}

}  // namespace
}  // namespace septet
