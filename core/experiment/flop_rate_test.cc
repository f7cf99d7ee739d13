// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/flop_rate.h"

#include "gtest/gtest.h"

namespace septet {
namespace {

// From a sanitizer on a slow machine to beyond one core of any processor.
TEST(FlopRateTest, IsThatOfAMachine) {
  for (int threads : {1, 8}) {
    const double rate = MeasureFlopRate(threads);
    EXPECT_GT(rate, threads * 1e6);
    EXPECT_LT(rate, threads * 1e12);
  }
}

}  // namespace
}  // namespace septet
