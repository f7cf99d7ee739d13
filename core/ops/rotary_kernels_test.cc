// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/rotary_kernels.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "septet/core/ops/kernel_testutil.h"
#include "septet/core/ops/rotary_layout.h"
#include "septet/core/ops/store_mode.h"

namespace septet {
namespace {

constexpr RotaryLayout kLayouts[] = {RotaryLayout::kInterleaved,
                                     RotaryLayout::kHalf};

template <typename T>
class RotaryKernelsTest : public ::testing::Test {};
using FloatTypes = ::testing::Types<float, double>;
TYPED_TEST_SUITE(RotaryKernelsTest, FloatTypes);

// Where the elements of pair i stand.
void PairAt(RotaryLayout layout, int64_t pairs, int64_t i, int64_t* a,
            int64_t* b) {
  *a = layout == RotaryLayout::kHalf ? i : 2 * i;
  *b = layout == RotaryLayout::kHalf ? i + pairs : 2 * i + 1;
}

TYPED_TEST(RotaryKernelsTest, TableHoldsCosinesAndSinesOfDoubleAngles) {
  using T = TypeParam;
  const int64_t begin = 2, end = 9, pairs = 21;
  std::vector<double> frequencies;
  for (int64_t i = 0; i < pairs; ++i) {
    frequencies.push_back(std::pow(10.0, -0.3 * static_cast<double>(i)));
  }
  ForEachTarget([&] {
    for (const RotaryLayout layout : kLayouts) {
      const int64_t width = RotaryTableWidth(layout, pairs);
      // The last offset is beyond what vectors reduce by themselves.
      for (const double offset : {0.0, -3.0, 4095.5, 3e7}) {
        for (const bool inverse : {false, true}) {
          GuardedArray<T> cos((end - begin) * width),
              sin((end - begin) * width);
          RotaryTable(layout, begin, end, pairs, frequencies.data(), offset,
                      0.25, inverse, cos.data(), sin.data());
          ASSERT_TRUE(cos.GuardsAreIntact() && sin.GuardsAreIntact());
          for (int64_t t = begin; t < end; ++t) {
            const T* cosines = cos.data() + (t - begin) * width;
            const T* sines = sin.data() + (t - begin) * width;
            for (int64_t i = 0; i < pairs; ++i) {
              const double angle = (offset + static_cast<double>(t)) * 0.25 *
                                   frequencies[static_cast<size_t>(i)];
              const auto c = std::cos(static_cast<long double>(angle));
              const auto s = std::sin(static_cast<long double>(angle)) *
                             (inverse ? -1 : 1);
              const double tolerance = 2 * std::numeric_limits<T>::epsilon();
              if (layout == RotaryLayout::kHalf) {
                ASSERT_NEAR(cosines[i], c, tolerance);
                ASSERT_NEAR(sines[i], s, tolerance);
              } else {
                ASSERT_NEAR(cosines[2 * i], c, tolerance);
                ASSERT_EQ(cosines[2 * i + 1], cosines[2 * i]);
                ASSERT_NEAR(sines[2 * i + 1], s, tolerance);
                ASSERT_EQ(sines[2 * i], -sines[2 * i + 1]);
              }
            }
          }
        }
      }
    }
  });
}

TYPED_TEST(RotaryKernelsTest, RowsAreRotatedByTheirTimeWithEqualBits) {
  using T = TypeParam;
  const int64_t times = 3;
  const double frequency = 0.7;
  ForEachTarget([&] {
    TestRandom random(61);
    for (const RotaryLayout layout : kLayouts) {
      for (const int64_t pairs : {0, 1, 3, 4, 7, 8, 9, 16, 17, 40}) {
        const std::vector<double> frequencies(static_cast<size_t>(pairs),
                                              frequency);
        for (const int64_t rest : {0, 1, 16, 19}) {
          const int64_t width = 2 * pairs + rest;
          for (const int64_t inner : {1, 2}) {
            GuardedArray<T> x(times * inner * width, 1),
                cos(times * RotaryTableWidth(layout, pairs)), sin(cos.size());
            x.FillUniform(&random, -1, 1);
            RotaryTable(layout, 0, times, pairs, frequencies.data(), 1.0, 1.0,
                        false, cos.data(), sin.data());
            for (const int64_t misalign : {0, 1, 2}) {
              for (const StoreMode mode :
                   {StoreMode::kCached, StoreMode::kStreaming}) {
                GuardedArray<T> y(x.size(), misalign);
                RotaryRows(layout, times, inner, width, pairs, x.data(),
                           cos.data(), sin.data(), y.data(), mode);
                ASSERT_TRUE(y.GuardsAreIntact());
                for (int64_t row = 0; row < times * inner; ++row) {
                  const T* from = x.data() + row * width;
                  const T* to = y.data() + row * width;
                  const double angle =
                      frequency * static_cast<double>(1 + row / inner);
                  const T c = static_cast<T>(std::cos(angle));
                  const T s = static_cast<T>(std::sin(angle));
                  const T tolerance = 4 * std::numeric_limits<T>::epsilon();
                  for (int64_t i = 0; i < pairs; ++i) {
                    int64_t a, b;
                    PairAt(layout, pairs, i, &a, &b);
                    ASSERT_NEAR(to[a], from[a] * c - from[b] * s, tolerance);
                    ASSERT_NEAR(to[b], from[a] * s + from[b] * c, tolerance);
                  }
                  for (int64_t i = 2 * pairs; i < width; ++i) {
                    ASSERT_EQ(to[i], from[i]);
                  }
                }
                GuardedArray<T> plain(x.size());
                RotaryRows(layout, times, inner, width, pairs, x.data(),
                           cos.data(), sin.data(), plain.data());
                ASSERT_EQ(y.ToVector(), plain.ToVector());
              }
            }
          }
        }
      }
    }
  });
}

}  // namespace
}  // namespace septet
