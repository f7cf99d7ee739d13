// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/softmax_kernels.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "septet/core/ops/kernel_testutil.h"
#include "septet/core/ops/store_mode.h"

namespace septet {
namespace {

// Log-probabilities of a row, in long double.
template <typename T>
std::vector<long double> LogSoftmaxOfRow(int64_t n, const T* x) {
  long double max = -std::numeric_limits<long double>::infinity();
  for (int64_t i = 0; i < n; ++i) {
    max = std::max(max, static_cast<long double>(x[i]));
  }
  long double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += std::exp(x[i] - max);
  std::vector<long double> y;
  for (int64_t i = 0; i < n; ++i) y.push_back(x[i] - max - std::log(sum));
  return y;
}

template <typename T>
class SoftmaxTest : public ::testing::Test {};
using FloatTypes = ::testing::Types<float, double>;
TYPED_TEST_SUITE(SoftmaxTest, FloatTypes);

TYPED_TEST(SoftmaxTest, ForwardAndBackwardAgainstLongDouble) {
  using T = TypeParam;
  const long double eps = std::numeric_limits<T>::epsilon();
  std::vector<int64_t> sizes = TestSizes();
  sizes.push_back(5000);
  ForEachTarget([&] {
    TestRandom random(31);
    for (int64_t n : sizes) {
      for (double spread : {1.0, 30.0}) {
        const int64_t rows = n > 500 ? 1 : 3;
        const int64_t size = rows * n;
        GuardedArray<T> x(size, n % 3), y(size, 1), log_y(size, 2), dy(size),
            dx(size, 1), log_dx(size);
        x.FillUniform(&random, -spread, spread);
        dy.FillUniform(&random, -1, 1);
        SoftmaxForward(rows, n, x.data(), y.data());
        LogSoftmaxForward(rows, n, x.data(), log_y.data());
        SoftmaxBackward(rows, n, y.data(), dy.data(), dx.data());
        LogSoftmaxBackward(rows, n, log_y.data(), dy.data(), log_dx.data());
        ASSERT_TRUE(y.GuardsAreIntact() && log_y.GuardsAreIntact() &&
                    dx.GuardsAreIntact() && log_dx.GuardsAreIntact());
        for (int64_t r = 0; r < rows; ++r) {
          const auto want = LogSoftmaxOfRow(n, x.data() + r * n);
          long double dot = 0, sum = 0;
          for (int64_t i = 0; i < n; ++i) {
            const long double g = dy[r * n + i];
            dot += std::exp(want[static_cast<size_t>(i)]) * g;
            sum += g;
          }
          for (int64_t i = 0; i < n; ++i) {
            const int64_t at = r * n + i;
            const long double log_p = want[static_cast<size_t>(i)];
            const long double p = std::exp(log_p);
            // x - max is rounded, by at most spread eps; the sum by its tree.
            const long double relative = (2 * spread + 30) * eps;
            ASSERT_NEAR(y[at], p, relative * p + 1e-44L) << "n " << n;
            ASSERT_NEAR(log_y[at], log_p, relative + eps * std::abs(log_p))
                << "n " << n;
            ASSERT_NEAR(dx[at], p * (dy[at] - dot), 2 * relative * p + 1e-43L);
            // The sum of dy: n terms of at most 1.
            ASSERT_NEAR(log_dx[at], dy[at] - p * sum,
                        eps + p * (relative * std::abs(sum) +
                                   48 * eps * static_cast<long double>(n)));
          }
        }
        // In place.
        SoftmaxBackward(rows, n, y.data(), dy.data(), dy.data());
        ASSERT_EQ(dy.ToVector(), dx.ToVector());
        SoftmaxForward(rows, n, x.data(), x.data());
        ASSERT_EQ(x.ToVector(), y.ToVector());
      }
    }
  });
}

TYPED_TEST(SoftmaxTest, LargeArgumentsAndMasks) {
  using T = TypeParam;
  const T inf = std::numeric_limits<T>::infinity();
  ForEachTarget([&] {
    for (int64_t n : {4, 20, 70}) {
      std::vector<T> x(static_cast<size_t>(n),
                       std::numeric_limits<T>::lowest());
      std::vector<T> y(x.size());
      x[0] = std::numeric_limits<T>::max() / 2;
      SoftmaxForward(1, n, x.data(), y.data());
      EXPECT_EQ(y[0], T{1});
      EXPECT_EQ(y[1], T{0});
      // Masked elements.
      std::fill(x.begin(), x.end(), -inf);
      x[1] = x[2] = T{3};
      SoftmaxForward(1, n, x.data(), y.data());
      EXPECT_EQ(y[0], T{0});
      EXPECT_EQ(y[1], static_cast<T>(0.5));
      LogSoftmaxForward(1, n, x.data(), y.data());
      EXPECT_EQ(y[0], -inf);
      EXPECT_EQ(y[2], static_cast<T>(std::log(static_cast<T>(0.5))));
      // Rows without a softmax.
      for (T bad : {-inf, inf, std::numeric_limits<T>::quiet_NaN()}) {
        std::fill(x.begin(), x.end(), bad == -inf ? -inf : T{0});
        x.back() = bad;
        SoftmaxForward(1, n, x.data(), y.data());
        for (T v : y) EXPECT_TRUE(std::isnan(v)) << v;
        LogSoftmaxForward(1, n, x.data(), y.data());
        for (T v : y) EXPECT_TRUE(std::isnan(v)) << v;
      }
    }
  });
}

TYPED_TEST(SoftmaxTest, StreamingStoresChangeNoBit) {
  using T = TypeParam;
  // Rows with scratch memory, and one too long for it.
  std::vector<int64_t> sizes = TestSizes();
  sizes.push_back(10000);
  ForEachTarget([&] {
    TestRandom random(33);
    for (int64_t n : sizes) {
      const int64_t rows = n > 5000 ? 2 : 5;
      GuardedArray<T> x(rows * n), dy(rows * n);
      x.FillUniform(&random, -5, 5);
      dy.FillUniform(&random, -1, 1);
      std::vector<std::vector<T>> first;
      for (const StoreMode mode : {StoreMode::kCached, StoreMode::kStreaming}) {
        for (const int64_t misalign : {0, 1, 5}) {
          GuardedArray<T> y(rows * n, misalign), dx(rows * n, misalign),
              log_y(rows * n, misalign), log_dx(rows * n, misalign);
          SoftmaxForward(rows, n, x.data(), y.data(), mode);
          SoftmaxBackward(rows, n, y.data(), dy.data(), dx.data(), mode);
          LogSoftmaxForward(rows, n, x.data(), log_y.data(), mode);
          LogSoftmaxBackward(rows, n, log_y.data(), dy.data(), log_dx.data(),
                             mode);
          ASSERT_TRUE(y.GuardsAreIntact() && log_y.GuardsAreIntact() &&
                      dx.GuardsAreIntact() && log_dx.GuardsAreIntact());
          const std::vector<std::vector<T>> all = {
              y.ToVector(), dx.ToVector(), log_y.ToVector(), log_dx.ToVector()};
          if (first.empty()) first = all;
          ASSERT_TRUE(all == first) << n << " " << misalign;
        }
      }
      // In place, and each row by itself.
      for (const StoreMode mode : {StoreMode::kCached, StoreMode::kStreaming}) {
        for (const int64_t together : {rows, int64_t{1}}) {
          GuardedArray<T> y(rows * n), log_y(rows * n);
          for (int64_t i = 0; i < rows * n; ++i) y[i] = log_y[i] = x[i];
          for (int64_t r = 0; r < rows; r += together) {
            T* const row = y.data() + r * n;
            T* const log_row = log_y.data() + r * n;
            SoftmaxForward(together, n, row, row, mode);
            LogSoftmaxForward(together, n, log_row, log_row, mode);
          }
          ASSERT_TRUE(y.GuardsAreIntact() && log_y.GuardsAreIntact());
          ASSERT_TRUE(y.ToVector() == first[0]) << n << " " << together;
          ASSERT_TRUE(log_y.ToVector() == first[2]) << n << " " << together;
        }
      }
    }
  });
}

TYPED_TEST(SoftmaxTest, StreamedRowsThatHaveNoSoftmaxBecomeNaN) {
  using T = TypeParam;
  const T inf = std::numeric_limits<T>::infinity();
  const T nan = std::numeric_limits<T>::quiet_NaN();
  ForEachTarget([&] {
    for (const StoreMode mode : {StoreMode::kCached, StoreMode::kStreaming}) {
      const int64_t n = 32;
      alignas(64) T x[4 * n], y[4 * n];
      for (int64_t i = 0; i < 4 * n; ++i) x[i] = static_cast<T>(i % n);
      x[5] = nan;
      x[n + 7] = inf;
      for (int64_t i = 2 * n; i < 3 * n; ++i) x[i] = -inf;
      SoftmaxForward(4, n, x, y, mode);
      for (int64_t i = 0; i < 3 * n; ++i) ASSERT_TRUE(std::isnan(y[i])) << i;
      for (int64_t i = 3 * n; i < 4 * n; ++i) ASSERT_GT(y[i], T{0});
    }
  });
}

TYPED_TEST(SoftmaxTest, EqualBitsOnTargetsThatFuse) {
  using T = TypeParam;
  // Down to probabilities that are subnormal or 0.
  const double spread = sizeof(T) == 4 ? 110 : 760;
  for (const int64_t n : {1, 7, 16, 17, 32, 33, 40, 63, 64, 65, 300}) {
    std::vector<T> first;
    ForEachTarget([&] {
      if (!TargetFusesMultiplyAdd()) return;
      TestRandom random(35);
      const int64_t rows = 20;
      GuardedArray<T> x(rows * n), y(rows * n);
      x.FillUniform(&random, -spread, 0);
      SoftmaxForward(rows, n, x.data(), y.data());
      if (first.empty()) first = y.ToVector();
      EXPECT_EQ(y.ToVector(), first) << n;
    });
  }
}

TEST(SoftmaxGradientTest, CentralDifferences) {
  TestRandom random(32);
  const int64_t n = 13;
  GuardedArray<double> x(n), dy(n), y(n), dx(n), high(n), low(n);
  x.FillUniform(&random, -2, 2);
  dy.FillUniform(&random, -1, 1);
  for (bool log_softmax : {false, true}) {
    const auto forward = [&](double* out) {
      if (log_softmax) {
        LogSoftmaxForward(1, n, x.data(), out);
      } else {
        SoftmaxForward(1, n, x.data(), out);
      }
    };
    forward(y.data());
    if (log_softmax) {
      LogSoftmaxBackward(1, n, y.data(), dy.data(), dx.data());
    } else {
      SoftmaxBackward(1, n, y.data(), dy.data(), dx.data());
    }
    for (int64_t i = 0; i < n; ++i) {
      const double h = 1e-5, value = x[i];
      x[i] = value + h;
      forward(high.data());
      x[i] = value - h;
      forward(low.data());
      x[i] = value;
      double want = 0;
      for (int64_t j = 0; j < n; ++j) {
        want += dy[j] * (high[j] - low[j]) / (2 * h);
      }
      EXPECT_NEAR(dx[i], want, 1e-9) << log_softmax << " " << i;
    }
  }
}

}  // namespace
}  // namespace septet
