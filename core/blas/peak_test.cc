// SPDX-License-Identifier: Apache-2.0
#include "septet/core/blas/peak.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

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
  for (const double both :
       {PeakCopyBandwidth(1 << 16), PeakUpdateBandwidth(1 << 16)}) {
    EXPECT_GT(both, 1e8);
    EXPECT_LT(both, 1e13);
  }
}

TEST(PeakTest, LoopsDoWhatTheyCount) {
  // Lanes of a power of two, 12 chains, two operations.
  const double flops = MultiplyAddLoop<float>(10);
  EXPECT_EQ(std::fmod(flops, 240), 0);
  EXPECT_GE(flops, 240);
  EXPECT_EQ(MultiplyAddLoop<float>(20), 2 * flops);
  EXPECT_LE(MultiplyAddLoop<double>(10), flops);
  for (const int64_t n : {1, 31, 32, 33, 64, 1000}) {
    // Aligned on the stack, too, but not under every sanitizer.
    const auto x = LoopBuffer(1024), y = LoopBuffer(1024);
    const auto z = LoopBuffer(1024), w = LoopBuffer(1024);
    for (int i = 0; i < 1024; ++i) x[i] = static_cast<float>(i);
    CopyLoop(n, x.get(), y.get());
    StreamingCopyLoop(n, x.get(), z.get());
    StreamingCopyFourLoop(n, x.get(), w.get());
    for (int i = 0; i < 1024; ++i) {
      EXPECT_EQ(y[i], i < n ? x[i] : 1.0f);
      EXPECT_EQ(z[i], i < n ? x[i] : 1.0f);
      EXPECT_EQ(w[i], i < n ? x[i] : 1.0f);
    }
  }
  for (const int64_t n : {1, 31, 32, 33, 64, 127, 1000}) {
    std::vector<float> x(1024, 1.0f);
    std::fill_n(x.begin() + n, 1024 - n, 100.0f);
    EXPECT_EQ(ReadLoop(n, x.data()), n);
    EXPECT_EQ(ReadAheadLoop(n, x.data()), n);
    EXPECT_EQ(ReadFourLoop(n, x.data()), n);
    UpdateLoop(n, 3, x.data());
    UpdateFourLoop(n, 2, x.data());
    for (int i = 0; i < 1024; ++i) EXPECT_EQ(x[i], i < n ? 6 : 100) << n;
  }
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
