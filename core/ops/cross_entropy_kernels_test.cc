// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/cross_entropy_kernels.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "septet/core/ops/kernel_testutil.h"
#include "septet/core/ops/store_mode.h"

namespace septet {
namespace {

constexpr int64_t kIgnored = -7;

template <typename T>
void ExpectDefinition() {
  TestRandom random(1);
  const double eps = std::numeric_limits<T>::epsilon();
  for (const int64_t n : TestSizes()) {
    if (n == 0) continue;
    for (const double smoothing : {0.0, 0.1}) {
      constexpr int64_t kRows = 4;
      GuardedArray<T> x(kRows * n);
      x.FillUniform(&random, -8, 8);
      const std::vector<int64_t> classes = {random.Below(n), kIgnored, n - 1,
                                            0};
      GuardedArray<T> loss(kRows), max(kRows), sum(kRows), dx(kRows * n);
      const std::vector<T> g = {T(2), T(3), T(-1), T(0.5)};
      CrossEntropyForward(kRows, n, x.data(), classes.data(), kIgnored,
                          static_cast<T>(smoothing), loss.data(), max.data(),
                          sum.data());
      CrossEntropyBackward(kRows, n, x.data(), classes.data(), kIgnored,
                           static_cast<T>(smoothing), max.data(), sum.data(),
                           g.data(), 1, dx.data());
      for (const auto* array : {&loss, &max, &sum, &dx}) {
        EXPECT_TRUE(array->GuardsAreIntact());
      }
      for (int64_t r = 0; r < kRows; ++r) {
        if (classes[r] == kIgnored) {
          EXPECT_EQ(loss[r], 0);
          for (int64_t i = 0; i < n; ++i) EXPECT_EQ(dx[r * n + i], 0);
          continue;
        }
        long double z = 0;
        for (int64_t i = 0; i < n; ++i) {
          z += std::exp(static_cast<long double>(x[r * n + i]));
        }
        long double want = 0;
        for (int64_t i = 0; i < n; ++i) {
          const long double e = static_cast<T>(smoothing);
          const long double q = e / n + (i == classes[r] ? 1 - e : 0);
          const long double v = x[r * n + i];
          want -= q * (v - std::log(z));
          // The exponential has some ULP, the sum its tree's error; numbers
          // are at most 1 in size before the factor.
          EXPECT_NEAR(dx[r * n + i], g[r] * (std::exp(v) / z - q),
                      30 * eps * std::abs(g[r]))
              << r << ", " << i << " of " << n;
        }
        // Terms of at most 16 in size.
        EXPECT_NEAR(loss[r], want, 16 * 6 * eps) << r << " of " << n;
      }
      // In place, and one factor for all.
      GuardedArray<T> copy(kRows * n), same(kRows * n);
      std::copy_n(x.data(), kRows * n, copy.data());
      CrossEntropyBackward(kRows, n, copy.data(), classes.data(), kIgnored,
                           static_cast<T>(smoothing), max.data(), sum.data(),
                           g.data(), 0, copy.data());
      CrossEntropyBackward(kRows, n, x.data(), classes.data(), kIgnored,
                           static_cast<T>(smoothing), max.data(), sum.data(),
                           g.data(), 0, same.data());
      EXPECT_EQ(copy.ToVector(), same.ToVector());
      // Past the caches, from any place in a line: the same bits.
      GuardedArray<T> streamed(kRows * n, 3);
      CrossEntropyBackward(kRows, n, x.data(), classes.data(), kIgnored,
                           static_cast<T>(smoothing), max.data(), sum.data(),
                           g.data(), 0, streamed.data(), StoreMode::kStreaming);
      EXPECT_TRUE(streamed.GuardsAreIntact());
      EXPECT_EQ(streamed.ToVector(), same.ToVector());
      // Without classes: maxima and sums alone.
      GuardedArray<T> max2(kRows), sum2(kRows);
      CrossEntropyForward(kRows, n, x.data(), nullptr, 0, T(0),
                          static_cast<T*>(nullptr), max2.data(), sum2.data());
      for (const int64_t r : {0, 2, 3}) {
        EXPECT_EQ(max2[r], max[r]);
        EXPECT_EQ(sum2[r], sum[r]);
      }
      EXPECT_EQ(max2[1], *std::max_element(x.data() + n, x.data() + 2 * n));
    }
  }
}

TEST(CrossEntropyKernelsTest, AgreeWithTheDefinitionOnEveryTarget) {
  ForEachTarget([] {
    ExpectDefinition<float>();
    ExpectDefinition<double>();
  });
}

}  // namespace
}  // namespace septet
