// SPDX-License-Identifier: Apache-2.0
#include "septet/core/blas/peak.h"

#include "gtest/gtest.h"

namespace septet {
namespace {

TEST(PeakTest, RatesArePlausible) {
  // Any machine since 2005, and none in sight.
  const double f32 = PeakFlops<float>();
  const double f64 = PeakFlops<double>();
  EXPECT_GT(f32, 1e8);
  EXPECT_LT(f32, 1e13);
  EXPECT_GT(f64, 1e8);
  EXPECT_LT(f64, 1e13);
  const double bandwidth = PeakReadBandwidth(1 << 16);
  EXPECT_GT(bandwidth, 1e8);
  EXPECT_LT(bandwidth, 1e13);
}

TEST(PeakTest, ThreadTimeGrowsWithWork) {
  const double begin = ThreadCpuSeconds();
  PeakFlops<float>();
  const double spent = ThreadCpuSeconds() - begin;
  EXPECT_GT(spent, 5e-3);  // five slices of 2 ms
  EXPECT_LT(spent, 5);
}

}  // namespace
}  // namespace septet
