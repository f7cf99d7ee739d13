// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/layer_norm_kernels.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "septet/core/ops/kernel_testutil.h"
#include "septet/core/ops/reduce_kernels.h"

namespace septet {
namespace {

template <typename T>
class LayerNormTest : public ::testing::Test {};
using FloatTypes = ::testing::Types<float, double>;
TYPED_TEST_SUITE(LayerNormTest, FloatTypes);

TYPED_TEST(LayerNormTest, AgainstLongDoubleAtAllSizes) {
  using T = TypeParam;
  const long double eps = std::numeric_limits<T>::epsilon();
  const T ln_eps = static_cast<T>(1e-5);
  ForEachTarget([&] {
    TestRandom random(41);
    for (int64_t n : TestSizes()) {
      if (n == 0) continue;
      const int64_t rows = n < 20 ? 70 : 3;
      for (int parameters = 0; parameters < 4; ++parameters) {
        GuardedArray<T> x(rows * n, n % 3), y(rows * n, 1), scale(n, 2),
            bias(n), mean(rows), rstd(rows), dy(rows * n), dx(rows * n, 2),
            dscale(n), dbias(n, 1);
        GuardedArray<T> workspace(LayerNormBackwardWorkspace(rows, n));
        x.FillUniform(&random, 1, 3);
        scale.FillUniform(&random, -2, 2);
        bias.FillUniform(&random, -2, 2);
        dy.FillUniform(&random, -1, 1);
        dscale.FillUniform(&random, -1, 1);
        dbias.FillUniform(&random, -1, 1);
        const std::vector<T> dscale0 = dscale.ToVector();
        const std::vector<T> dbias0 = dbias.ToVector();
        const T* pscale = parameters % 2 == 1 ? scale.data() : nullptr;
        const T* pbias = parameters / 2 == 1 ? bias.data() : nullptr;
        LayerNormForward(rows, n, x.data(), pscale, pbias, ln_eps, y.data(),
                         mean.data(), rstd.data());
        LayerNormBackward(rows, n, x.data(), pscale, mean.data(), rstd.data(),
                          dy.data(), dx.data(), dscale.data(), dbias.data(),
                          workspace.data());
        ASSERT_TRUE(y.GuardsAreIntact() && mean.GuardsAreIntact() &&
                    rstd.GuardsAreIntact() && dx.GuardsAreIntact() &&
                    dscale.GuardsAreIntact() && dbias.GuardsAreIntact() &&
                    workspace.GuardsAreIntact());
        const auto count = static_cast<size_t>(n);
        std::vector<long double> want_dscale(dscale0.begin(), dscale0.end());
        std::vector<long double> want_dbias(dbias0.begin(), dbias0.end());
        for (int64_t r = 0; r < rows; ++r) {
          const T* row = x.data() + r * n;
          long double m = 0, variance = 0;
          for (int64_t i = 0; i < n; ++i) m += row[i];
          m /= n;
          for (int64_t i = 0; i < n; ++i) {
            variance += (row[i] - m) * (row[i] - m);
          }
          variance /= n;
          const long double s = 1 / std::sqrt(variance + ln_eps);
          std::vector<long double> u(count), g(count);
          long double sum_g = 0, sum_gu = 0;
          for (size_t i = 0; i < count; ++i) {
            const int64_t at = static_cast<int64_t>(i);
            u[i] = (row[i] - m) * s;
            g[i] = dy[r * n + at] * (pscale ? scale[at] : T{1});
            sum_g += g[i];
            sum_gu += g[i] * u[i];
            want_dscale[i] += dy[r * n + at] * u[i];
            want_dbias[i] += dy[r * n + at];
          }
          // The mean is about 2 and off by a few eps; u by that times rstd.
          const long double du = (60 * s + 60) * eps;
          ASSERT_NEAR(mean[r], m, 30 * eps);
          ASSERT_NEAR(rstd[r], s, 60 * eps * s * (1 + s));
          for (size_t i = 0; i < count; ++i) {
            const int64_t at = static_cast<int64_t>(i);
            const long double want =
                u[i] * (pscale ? scale[at] : T{1}) + (pbias ? bias[at] : T{0});
            ASSERT_NEAR(y[r * n + at], want,
                        2 * du * (1 + std::abs(u[i])) + 4 * eps);
            const long double want_dx =
                s * (g[i] - sum_g / n - u[i] * (sum_gu / n));
            ASSERT_NEAR(
                dx[r * n + at], want_dx,
                s * 4 * du * (1 + std::abs(u[i])) * (1 + std::abs(u[i])))
                << "n " << n;
          }
        }
        for (size_t i = 0; i < count; ++i) {
          const int64_t at = static_cast<int64_t>(i);
          // rows terms of at most sqrt(n), each off by du.
          const long double tolerance =
              rows * 400 * eps * (2 + std::sqrt(static_cast<long double>(n)));
          ASSERT_NEAR(dscale[at], want_dscale[i], tolerance * 20);
          ASSERT_NEAR(dbias[at], want_dbias[i], tolerance);
        }
        // The tree over the rows is that of ColumnSumKernel.
        std::vector<T> column_sum = dbias0;
        ColumnSumKernel(rows, n, dy.data(), column_sum.data());
        ASSERT_EQ(dbias.ToVector(), column_sum);
        // In place, and without gradients of parameters.
        LayerNormBackward(rows, n, x.data(), pscale, mean.data(), rstd.data(),
                          dy.data(), dy.data(), static_cast<T*>(nullptr),
                          static_cast<T*>(nullptr), static_cast<T*>(nullptr));
        ASSERT_EQ(dy.ToVector(), dx.ToVector());
        LayerNormForward(rows, n, x.data(), pscale, pbias, ln_eps, x.data(),
                         mean.data(), rstd.data());
        ASSERT_EQ(x.ToVector(), y.ToVector());
      }
    }
  });
}

TYPED_TEST(LayerNormTest, EqualBitsOnEveryTarget) {
  using T = TypeParam;
  TestRandom random(42);
  const int64_t rows = 100, n = 77;
  std::vector<T> x(rows * n), dy(rows * n), scale(n), bias(n);
  for (std::vector<T>* v : {&x, &dy, &scale, &bias}) {
    for (T& e : *v) e = static_cast<T>(random.Uniform(-1, 1));
  }
  std::vector<std::vector<T>> first;
  ForEachTarget([&] {
    std::vector<T> y(x.size()), mean(rows), rstd(rows), dx(x.size()), dscale(n),
        dbias(n), workspace(LayerNormBackwardWorkspace(rows, n));
    LayerNormForward(rows, n, x.data(), scale.data(), bias.data(), T{0},
                     y.data(), mean.data(), rstd.data());
    LayerNormBackward(rows, n, x.data(), scale.data(), mean.data(), rstd.data(),
                      dy.data(), dx.data(), dscale.data(), dbias.data(),
                      workspace.data());
    const std::vector<std::vector<T>> all = {y, mean, rstd, dx, dscale, dbias};
    if (first.empty()) first = all;
    EXPECT_EQ(all, first);
  });
}

TYPED_TEST(LayerNormTest, LargeMeanDoesNotCancelTheVariance) {
  using T = TypeParam;
  // A one-pass variance would lose all digits here.
  const T offset = static_cast<T>(4096);
  std::vector<T> x = {offset - 1, offset + 1, offset - 1, offset + 1};
  T y[4], mean, rstd;
  LayerNormForward(1, 4, x.data(), static_cast<const T*>(nullptr),
                   static_cast<const T*>(nullptr), T{0}, y, &mean, &rstd);
  EXPECT_EQ(mean, offset);
  EXPECT_EQ(rstd, T{1});
  EXPECT_EQ(y[0], T{-1});
  EXPECT_EQ(y[1], T{1});
}

TEST(LayerNormGradientTest, CentralDifferences) {
  TestRandom random(43);
  const int64_t rows = 3, n = 7;
  const double eps = 1e-3;
  GuardedArray<double> x(rows * n), scale(n), bias(n), dy(rows * n),
      y(rows * n), mean(rows), rstd(rows), dx(rows * n), dscale(n), dbias(n),
      workspace(LayerNormBackwardWorkspace(rows, n));
  x.FillUniform(&random, -2, 2);
  scale.FillUniform(&random, -2, 2);
  bias.FillUniform(&random, -2, 2);
  dy.FillUniform(&random, -1, 1);
  for (int64_t i = 0; i < n; ++i) dscale[i] = dbias[i] = 0;
  const auto loss = [&] {
    LayerNormForward(rows, n, x.data(), scale.data(), bias.data(), eps,
                     y.data(), mean.data(), rstd.data());
    double total = 0;
    for (int64_t i = 0; i < rows * n; ++i) total += y[i] * dy[i];
    return total;
  };
  loss();
  LayerNormBackward(rows, n, x.data(), scale.data(), mean.data(), rstd.data(),
                    dy.data(), dx.data(), dscale.data(), dbias.data(),
                    workspace.data());
  const auto check = [&](GuardedArray<double>* value,
                         const GuardedArray<double>& gradient) {
    for (int64_t i = 0; i < value->size(); ++i) {
      const double h = 1e-5, before = (*value)[i];
      (*value)[i] = before + h;
      const double high = loss();
      (*value)[i] = before - h;
      const double low = loss();
      (*value)[i] = before;
      EXPECT_NEAR(gradient[i], (high - low) / (2 * h), 1e-8);
    }
  };
  check(&x, dx);
  check(&scale, dscale);
  check(&bias, dbias);
}

}  // namespace
}  // namespace septet
