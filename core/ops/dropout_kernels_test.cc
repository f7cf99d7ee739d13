// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/dropout_kernels.h"

#include <cstdint>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "septet/core/ops/kernel_testutil.h"

namespace septet {
namespace {

template <typename T>
void ExpectKept() {
  TestRandom random(1);
  for (const int64_t n : TestSizes()) {
    for (const uint32_t threshold :
         {1u, 2u, 0x7fffffffu, 0x80000000u, 0x80000001u, 0xffffffffu}) {
      GuardedArray<uint32_t> words(n);
      for (int64_t i = 0; i < n; ++i) {
        // Also the neighbours of the threshold, and both ends.
        const uint32_t special[] = {threshold - 1, threshold, threshold + 1, 0,
                                    0xffffffffu};
        words[i] =
            i % 7 < 5 ? special[i % 7] : static_cast<uint32_t>(random.Next());
      }
      GuardedArray<T> x(n), y(n);
      x.FillUniform(&random, -2, 2);
      if (n > 0) x[0] = std::numeric_limits<T>::quiet_NaN();
      DropoutKernel(n, words.data(), threshold, T(1.25), x.data(), y.data());
      EXPECT_TRUE(y.GuardsAreIntact());
      for (int64_t i = 0; i < n; ++i) {
        const T want = words[i] >= threshold ? T(1.25) * x[i] : T(0);
        ASSERT_TRUE(SameBits(y[i], want) || want != want) << i << " of " << n;
      }
      DropoutKernel(n, words.data(), threshold, T(1.25), x.data(), x.data());
      for (int64_t i = 0; i < n; ++i) ASSERT_TRUE(SameBits(x[i], y[i]));
    }
  }
}

TEST(DropoutKernelsTest, KeepWordsFromTheThresholdOnEveryTarget) {
  ForEachTarget([] {
    ExpectKept<float>();
    ExpectKept<double>();
  });
}

}  // namespace
}  // namespace septet
