// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/batch_norm_kernels.h"

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

// One element a vector, a vector's width and its neighbours, primes, and more
// columns than are handled side by side or at a time; rows below, at and above
// a block.
const std::vector<int64_t>& TestColumns() {
  static const auto* columns = new std::vector<int64_t>{
      1, 2, 3, 7, 15, 16, 17, 31, 33, 63, 64, 65, 100, 515};
  return *columns;
}
const std::vector<int64_t>& TestRows() {
  static const auto* rows =
      new std::vector<int64_t>{1, 2, 3, 5, 31, 32, 33, 64, 67, 200};
  return *rows;
}

template <typename T>
class BatchNormKernelsTest : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(BatchNormKernelsTest, Types);

template <typename T>
void ExpectClose(T got, long double want, long double magnitude) {
  const long double eps = std::numeric_limits<T>::epsilon();
  ASSERT_LE(std::abs(static_cast<long double>(got) - want),
            32 * eps * (magnitude + std::abs(want)))
      << "got " << got << ", want " << static_cast<double>(want);
}

TYPED_TEST(BatchNormKernelsTest, StatisticsMatchTheirDefinition) {
  using T = TypeParam;
  TestRandom random(1);
  for (const int64_t rows : TestRows()) {
    for (const int64_t c : TestColumns()) {
      if (rows * c > 20000) continue;
      SCOPED_TRACE(testing::Message() << rows << " x " << c);
      GuardedArray<T> x(rows * c);
      // Means far from 0, as large as a hundred deviations.
      for (int64_t i = 0; i < rows * c; ++i) {
        x[i] = static_cast<T>(random.Uniform(-1, 1) + 100 * (i % c % 3 - 1));
      }
      std::vector<T> first_mean, first_m2;
      ForEachTarget([&] {
        GuardedArray<T> mean(c), m2(c);
        BatchNormStatistics(rows, c, x.data(), mean.data(), m2.data());
        ASSERT_TRUE(mean.GuardsAreIntact() && m2.GuardsAreIntact());
        for (int64_t j = 0; j < c; ++j) {
          long double sum = 0, squares = 0;
          for (int64_t r = 0; r < rows; ++r) sum += x[r * c + j];
          const long double want = sum / rows;
          for (int64_t r = 0; r < rows; ++r) {
            const long double d = x[r * c + j] - want;
            squares += d * d;
          }
          ExpectClose(mean[j], want, 1.0L);  // elements are up to 1 or so
          // Means of blocks known to eps each enter through the squares of
          // their differences: sum(n_b |delta| |mean| eps) at most, which is
          // bounded so by Cauchy's inequality.
          ExpectClose(m2[j], squares,
                      std::abs(want) * std::sqrt(rows * squares));
        }
        // The same bits on every target.
        if (first_mean.empty()) {
          first_mean = mean.ToVector();
          first_m2 = m2.ToVector();
        }
        for (int64_t j = 0; j < c; ++j) {
          ASSERT_TRUE(SameBits(mean[j], first_mean[j]));
          ASSERT_TRUE(SameBits(m2[j], first_m2[j]));
        }
      });
    }
  }
}

TYPED_TEST(BatchNormKernelsTest, ConstantColumnsHaveNoVariance) {
  using T = TypeParam;
  for (const int64_t rows : {1, 3, 24, 33, 1000}) {
    for (const int64_t c : {1, 3, 65}) {
      const std::vector<T> x(rows * c, T(10001.1));
      std::vector<T> mean(c), m2(c);
      BatchNormStatistics(rows, c, x.data(), mean.data(), m2.data());
      for (int64_t j = 0; j < c; ++j) {
        const T eps = std::numeric_limits<T>::epsilon();
        EXPECT_LE(std::abs(mean[j] - x[0]), 2 * eps * x[0]);
        // Below the square of the mean's own rounding.
        EXPECT_LE(m2[j] / rows, eps * x[0] * eps * x[0]);
      }
    }
  }
}

TYPED_TEST(BatchNormKernelsTest, NotANumberStaysInItsColumn) {
  using T = TypeParam;
  const int64_t rows = 40, c = 20;
  std::vector<T> x(rows * c, T(1)), mean(c), m2(c);
  x[7 * c + 3] = std::numeric_limits<T>::quiet_NaN();
  ForEachTarget([&] {
    BatchNormStatistics(rows, c, x.data(), mean.data(), m2.data());
    for (int64_t j = 0; j < c; ++j) {
      EXPECT_EQ(std::isnan(mean[j]), j == 3);
      EXPECT_EQ(std::isnan(m2[j]), j == 3);
    }
  });
}

TYPED_TEST(BatchNormKernelsTest, MergedHalvesAreTheWhole) {
  using T = TypeParam;
  TestRandom random(2);
  const int64_t c = 5, n_a = 37, n_b = 91;
  GuardedArray<T> x((n_a + n_b) * c);
  x.FillUniform(&random, 3, 5);
  std::vector<T> mean_a(c), m2_a(c), mean_b(c), m2_b(c), mean(c), m2(c);
  BatchNormStatistics(n_a, c, x.data(), mean_a.data(), m2_a.data());
  BatchNormStatistics(n_b, c, x.data() + n_a * c, mean_b.data(), m2_b.data());
  BatchNormMerge(c, n_a, mean_a.data(), m2_a.data(), n_b, mean_b.data(),
                 m2_b.data());
  BatchNormStatistics(n_a + n_b, c, x.data(), mean.data(), m2.data());
  for (int64_t j = 0; j < c; ++j) {
    ExpectClose(mean_a[j], mean[j], 0.0L);
    ExpectClose(m2_a[j], m2[j], 0.0L);
  }
}

TYPED_TEST(BatchNormKernelsTest, ApplyMatchesItsDefinition) {
  using T = TypeParam;
  TestRandom random(3);
  for (const int64_t rows : TestRows()) {
    for (const int64_t c : TestColumns()) {
      if (rows * c > 20000) continue;
      SCOPED_TRACE(testing::Message() << rows << " x " << c);
      GuardedArray<T> x(rows * c, 3), shift(c), multiplier(c), bias(c);
      for (auto* array : {&x, &shift, &multiplier, &bias}) {
        array->FillUniform(&random, -2, 2);
      }
      for (int which = 0; which < 8; ++which) {
        const bool has_shift = which & 1, has_bias = which & 2;
        const StoreMode mode =
            which & 4 ? StoreMode::kStreaming : StoreMode::kCached;
        ForEachTarget([&] {
          GuardedArray<T> y(rows * c);
          BatchNormApply(rows, c, x.data(), has_shift ? shift.data() : nullptr,
                         multiplier.data(), has_bias ? bias.data() : nullptr,
                         y.data(), mode);
          ASSERT_TRUE(y.GuardsAreIntact());
          for (int64_t i = 0; i < rows * c; ++i) {
            const int64_t j = i % c;
            T want = has_shift ? x[i] - shift[j] : x[i];
            want = want * multiplier[j];
            volatile T rounded = want;  // no fused multiply-add
            want = rounded;
            if (has_bias) want = want + bias[j];
            ASSERT_EQ(y[i], want);
          }
        });
      }
      // In place.
      GuardedArray<T> y(rows * c, 3), z(rows * c);
      std::copy(x.data(), x.data() + rows * c, y.data());
      BatchNormApply(rows, c, x.data(), shift.data(), multiplier.data(),
                     bias.data(), z.data());
      BatchNormApply(rows, c, y.data(), shift.data(), multiplier.data(),
                     bias.data(), y.data());
      ASSERT_EQ(y.ToVector(), z.ToVector());
    }
  }
}

TYPED_TEST(BatchNormKernelsTest, BackwardMatchesItsDefinition) {
  using T = TypeParam;
  TestRandom random(4);
  for (const int64_t rows : TestRows()) {
    for (const int64_t c : TestColumns()) {
      if (rows * c > 20000) continue;
      SCOPED_TRACE(testing::Message() << rows << " x " << c);
      GuardedArray<T> x(rows * c, 3), dy(rows * c, 2);
      GuardedArray<T> mean(c), p(c), q(c), dy_mean(c);
      for (auto* array : {&x, &dy, &mean, &p, &q, &dy_mean}) {
        array->FillUniform(&random, -2, 2);
      }
      for (const bool with_mean : {false, true}) {
        std::vector<T> first;
        ForEachTarget([&] {
          GuardedArray<T> sum_dy(c), sum_dy_x(c), dx(rows * c);
          BatchNormBackwardSums(rows, c, x.data(),
                                with_mean ? mean.data() : nullptr, dy.data(),
                                sum_dy.data(), sum_dy_x.data());
          BatchNormBackwardApply(
              rows, c, x.data(), mean.data(), dy.data(), p.data(),
              with_mean ? dy_mean.data() : nullptr, q.data(), dx.data(),
              with_mean ? StoreMode::kStreaming : StoreMode::kCached);
          ASSERT_TRUE(sum_dy.GuardsAreIntact() && sum_dy_x.GuardsAreIntact() &&
                      dx.GuardsAreIntact());
          for (int64_t j = 0; j < c; ++j) {
            long double s = 0, sx = 0, magnitude = 0, magnitude_x = 0;
            for (int64_t r = 0; r < rows; ++r) {
              const long double g = dy[r * c + j];
              const long double v =
                  static_cast<long double>(x[r * c + j]) -
                  (with_mean ? static_cast<long double>(mean[j]) : 0.0L);
              s += g;
              sx += g * v;
              magnitude += std::abs(g);
              magnitude_x += std::abs(g * v);
              const T got = dx[r * c + j];
              const long double want =
                  p[j] * (g - (with_mean ? static_cast<long double>(dy_mean[j])
                                         : 0.0L)) -
                  q[j] * (static_cast<long double>(x[r * c + j]) - mean[j]);
              ExpectClose(got, want, 16.0L);
            }
            ExpectClose(sum_dy[j], s, magnitude);
            ExpectClose(sum_dy_x[j], sx, magnitude_x);
          }
          if (first.empty()) first = sum_dy_x.ToVector();
          for (int64_t j = 0; j < c; ++j) {
            ASSERT_TRUE(SameBits(sum_dy_x[j], first[j]));
          }
        });
      }
    }
  }
}

}  // namespace
}  // namespace septet
