// SPDX-License-Identifier: Apache-2.0
// RMSNorm and GroupNorm against their formulas in long double; all three
// normalisations with streaming stores and on every target.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "septet/core/ops/group_norm_kernels.h"
#include "septet/core/ops/kernel_testutil.h"
#include "septet/core/ops/layer_norm_kernels.h"
#include "septet/core/ops/reduce_kernels.h"
#include "septet/core/ops/rms_norm_kernels.h"
#include "septet/core/ops/store_mode.h"

namespace septet {
namespace {

template <typename T>
class NormKernelsTest : public ::testing::Test {};
using FloatTypes = ::testing::Types<float, double>;
TYPED_TEST_SUITE(NormKernelsTest, FloatTypes);

template <typename T>
constexpr const T* kNone = nullptr;

TYPED_TEST(NormKernelsTest, RmsNormAgainstLongDoubleAtAllSizes) {
  using T = TypeParam;
  const long double eps = std::numeric_limits<T>::epsilon();
  const T norm_eps = static_cast<T>(1e-5);
  ForEachTarget([&] {
    TestRandom random(51);
    for (int64_t n : TestSizes()) {
      if (n == 0) continue;
      const int64_t rows = n < 20 ? 70 : 3;
      for (const bool with_scale : {false, true}) {
        GuardedArray<T> x(rows * n, n % 3), y(rows * n), scale(n, 2),
            rstd(rows), dy(rows * n), dx(rows * n, 2), dscale(n),
            workspace(RmsNormBackwardWorkspace(rows, n));
        x.FillUniform(&random, -2, 3);
        scale.FillUniform(&random, -2, 2);
        dy.FillUniform(&random, -1, 1);
        dscale.FillUniform(&random, -1, 1);
        const std::vector<T> dscale0 = dscale.ToVector();
        const T* pscale = with_scale ? scale.data() : nullptr;
        RmsNormForward(rows, n, x.data(), pscale, norm_eps, y.data(),
                       rstd.data());
        RmsNormBackward(rows, n, x.data(), pscale, rstd.data(), dy.data(),
                        dx.data(), dscale.data(), workspace.data());
        ASSERT_TRUE(y.GuardsAreIntact() && rstd.GuardsAreIntact() &&
                    dx.GuardsAreIntact() && dscale.GuardsAreIntact() &&
                    workspace.GuardsAreIntact());
        std::vector<long double> want_dscale(dscale0.begin(), dscale0.end());
        for (int64_t r = 0; r < rows; ++r) {
          long double squares = 0, sum_gu = 0;
          for (int64_t i = 0; i < n; ++i) {
            squares += static_cast<long double>(x[r * n + i]) * x[r * n + i];
          }
          const long double s = 1 / std::sqrt(squares / n + norm_eps);
          for (int64_t i = 0; i < n; ++i) {
            const long double u = x[r * n + i] * s;
            sum_gu += dy[r * n + i] * (with_scale ? scale[i] : T{1}) * u;
            want_dscale[static_cast<size_t>(i)] += dy[r * n + i] * u;
          }
          // A sum of squares is off by 38 eps / 2 of itself at most.
          ASSERT_NEAR(rstd[r], s, 15 * eps * s);
          for (int64_t i = 0; i < n; ++i) {
            const long double u = x[r * n + i] * s;
            const long double a = with_scale ? scale[i] : T{1};
            ASSERT_NEAR(y[r * n + i], u * a, 17 * eps * std::abs(u * a));
            // |g u| <= 2 |u|, whose mean is at most 2.
            ASSERT_NEAR(dx[r * n + i], s * (dy[r * n + i] * a - u * sum_gu / n),
                        s * 100 * eps * (1 + std::abs(u)));
          }
        }
        for (int64_t i = 0; i < n; ++i) {
          ASSERT_NEAR(dscale[i], want_dscale[static_cast<size_t>(i)],
                      rows * 60 * eps * std::sqrt(static_cast<double>(n)));
        }
        // In place, and without the gradient of scale.
        RmsNormBackward(rows, n, x.data(), pscale, rstd.data(), dy.data(),
                        dy.data(), static_cast<T*>(nullptr),
                        static_cast<T*>(nullptr));
        ASSERT_EQ(dy.ToVector(), dx.ToVector());
        RmsNormForward(rows, n, x.data(), pscale, norm_eps, x.data(),
                       rstd.data());
        ASSERT_EQ(x.ToVector(), y.ToVector());
      }
    }
  });
}

const GroupNormShape kShapes[] = {
    {3, 1, 1, 1},   {70, 1, 12, 3},  {2, 1, 64, 4},  {5, 2, 3, 3},
    {2, 7, 5, 1},   {1, 45, 6, 2},   {2, 130, 3, 1}, {1, 9, 130, 13},
    {2, 33, 64, 8}, {1, 70, 17, 17}, {3, 4, 256, 2}, {1, 1000, 1, 1},
    {0, 3, 4, 2}};

TYPED_TEST(NormKernelsTest, GroupNormAgainstLongDouble) {
  using T = TypeParam;
  const long double eps = std::numeric_limits<T>::epsilon();
  const T norm_eps = static_cast<T>(1e-5);
  ForEachTarget([&] {
    TestRandom random(52);
    for (const GroupNormShape& shape : kShapes) {
      const int64_t channels = shape.channels, positions = shape.positions;
      const int64_t per_group = channels / shape.groups;
      const int64_t size = positions * channels;
      const int64_t n = shape.samples * size;
      const auto m = static_cast<long double>(positions * per_group);
      const int64_t statistics = shape.samples * shape.groups;
      for (int parameters = 0; parameters < 4; ++parameters) {
        GuardedArray<T> x(n, 1), y(n, 2), scale(channels), bias(channels, 2),
            mean(statistics), rstd(statistics), dy(n), dx(n),
            workspace(GroupNormWorkspace(shape));
        GuardedArray<double> totals(GroupNormTotals(shape)),
            dparameters(2 * channels);
        x.FillUniform(&random, 1, 3);
        scale.FillUniform(&random, -2, 2);
        bias.FillUniform(&random, -2, 2);
        dy.FillUniform(&random, -1, 1);
        dparameters.FillUniform(&random, -1, 1);
        const std::vector<double> dparameters0 = dparameters.ToVector();
        const T* pscale = parameters % 2 == 1 ? scale.data() : nullptr;
        const T* pbias = parameters / 2 == 1 ? bias.data() : nullptr;
        GroupNormForward(shape, x.data(), pscale, pbias, norm_eps, y.data(),
                         mean.data(), rstd.data(), workspace.data(),
                         totals.data());
        GroupNormBackward(shape, x.data(), pscale, mean.data(), rstd.data(),
                          dy.data(), dx.data(), dparameters.data(),
                          workspace.data(), totals.data());
        ASSERT_TRUE(y.GuardsAreIntact() && mean.GuardsAreIntact() &&
                    rstd.GuardsAreIntact() && dx.GuardsAreIntact() &&
                    workspace.GuardsAreIntact() && totals.GuardsAreIntact() &&
                    dparameters.GuardsAreIntact());
        std::vector<long double> want(dparameters0.begin(), dparameters0.end());
        for (int64_t s = 0; s < shape.samples; ++s) {
          for (int64_t g = 0; g < shape.groups; ++g) {
            // The elements of the group.
            std::vector<int64_t> at, channel;
            for (int64_t p = 0; p < positions; ++p) {
              for (int64_t k = 0; k < per_group; ++k) {
                channel.push_back(g * per_group + k);
                at.push_back(s * size + p * channels + channel.back());
              }
            }
            long double mu = 0, variance = 0, sum_g = 0, sum_gu = 0;
            for (const int64_t i : at) mu += x[i] / m;
            for (const int64_t i : at) {
              variance += (x[i] - mu) * (x[i] - mu) / m;
            }
            const long double r = 1 / std::sqrt(variance + norm_eps);
            const long double du = (80 * r + 60) * eps;
            ASSERT_NEAR(mean[s * shape.groups + g], mu, 40 * eps);
            ASSERT_NEAR(rstd[s * shape.groups + g], r, 60 * eps * r * (1 + r));
            for (size_t k = 0; k < at.size(); ++k) {
              const int64_t i = at[k], c = channel[k];
              const long double u = (x[i] - mu) * r;
              const long double a = pscale ? scale[c] : T{1};
              ASSERT_NEAR(y[i], u * a + (pbias ? bias[c] : T{0}),
                          2 * du * (1 + std::abs(u)) + 4 * eps);
              sum_g += dy[i] * a;
              sum_gu += dy[i] * a * u;
              want[static_cast<size_t>(c)] += dy[i] * u;
              want[static_cast<size_t>(channels + c)] += dy[i];
            }
            for (size_t k = 0; k < at.size(); ++k) {
              const int64_t i = at[k];
              const long double u = (x[i] - mu) * r;
              const long double a = pscale ? scale[channel[k]] : T{1};
              ASSERT_NEAR(dx[i], r * (dy[i] * a - sum_g / m - u * sum_gu / m),
                          r * 4 * du * (1 + std::abs(u)) * (1 + std::abs(u)));
            }
          }
        }
        for (size_t c = 0; c < want.size(); ++c) {
          // A term is at most sqrt(m), and off by some eps of the sum's 32.
          ASSERT_NEAR(
              dparameters[static_cast<int64_t>(c)], want[c],
              eps * (1 + 400 * shape.samples * positions * std::sqrt(m)));
        }
        // In place, and without the gradients of the parameters.
        GroupNormBackward(shape, x.data(), pscale, mean.data(), rstd.data(),
                          dy.data(), dy.data(), nullptr, workspace.data(),
                          totals.data());
        ASSERT_EQ(dy.ToVector(), dx.ToVector());
        GroupNormForward(shape, x.data(), pscale, pbias, norm_eps, x.data(),
                         mean.data(), rstd.data(), workspace.data(),
                         totals.data());
        ASSERT_EQ(x.ToVector(), y.ToVector());
      }
    }
  });
}

TYPED_TEST(NormKernelsTest, OneGroupAtOnePositionIsLayerNorm) {
  using T = TypeParam;
  TestRandom random(53);
  const int64_t rows = 40, n = 37;
  GuardedArray<T> x(rows * n), scale(n), bias(n), y(rows * n), mean(rows),
      rstd(rows), y2(rows * n), mean2(rows), rstd2(rows);
  x.FillUniform(&random, -1, 2);
  scale.FillUniform(&random, -1, 2);
  bias.FillUniform(&random, -1, 2);
  GroupNormForward({rows, 1, n, 1}, x.data(), scale.data(), bias.data(), T{0},
                   y.data(), mean.data(), rstd.data(), static_cast<T*>(nullptr),
                   nullptr);
  LayerNormForward(rows, n, x.data(), scale.data(), bias.data(), T{0},
                   y2.data(), mean2.data(), rstd2.data());
  EXPECT_EQ(y.ToVector(), y2.ToVector());
  EXPECT_EQ(mean.ToVector(), mean2.ToVector());
  EXPECT_EQ(rstd.ToVector(), rstd2.ToVector());
}

// All outputs of all three, rows [rows, n], outputs `misalign` elements after
// an aligned address.
template <typename T>
std::vector<std::vector<T>> RunAll(int64_t rows, int64_t n, int64_t misalign,
                                   StoreMode mode) {
  TestRandom random(54);
  GuardedArray<T> x(rows * n), dy(rows * n), scale(n), bias(n);
  for (auto* v : {&x, &dy, &scale, &bias}) v->FillUniform(&random, -1, 2);
  const T eps = static_cast<T>(1e-5);
  std::vector<std::vector<T>> all;
  const auto keep = [&all](const GuardedArray<T>& v) {
    EXPECT_TRUE(v.GuardsAreIntact());
    all.push_back(v.ToVector());
  };
  GuardedArray<T> y(rows * n, misalign), dx(rows * n, misalign), mean(rows),
      rstd(rows), dscale(n), dbias(n),
      workspace(LayerNormBackwardWorkspace(rows, n));
  for (int64_t i = 0; i < n; ++i) dscale[i] = dbias[i] = 0;
  LayerNormForward(rows, n, x.data(), scale.data(), bias.data(), eps, y.data(),
                   mean.data(), rstd.data(), mode);
  LayerNormBackward(rows, n, x.data(), scale.data(), mean.data(), rstd.data(),
                    dy.data(), dx.data(), dscale.data(), dbias.data(),
                    workspace.data(), mode);
  for (const auto* v : {&y, &dx, &mean, &rstd, &dscale, &dbias}) keep(*v);
  for (int64_t i = 0; i < n; ++i) dscale[i] = 0;
  RmsNormForward(rows, n, x.data(), scale.data(), eps, y.data(), rstd.data(),
                 mode);
  RmsNormBackward(rows, n, x.data(), kNone<T>, rstd.data(), dy.data(),
                  dx.data(), dscale.data(), workspace.data(), mode);
  for (const auto* v : {&y, &dx, &rstd, &dscale}) keep(*v);
  const GroupNormShape shape{1, rows, n, 1};
  GuardedArray<T> group_workspace(GroupNormWorkspace(shape));
  GuardedArray<double> totals(GroupNormTotals(shape)), dparameters(2 * n);
  for (int64_t i = 0; i < 2 * n; ++i) dparameters[i] = 0;
  GroupNormForward(shape, x.data(), scale.data(), bias.data(), eps, y.data(),
                   mean.data(), rstd.data(), group_workspace.data(),
                   totals.data(), mode);
  GroupNormBackward(shape, x.data(), scale.data(), mean.data(), rstd.data(),
                    dy.data(), dx.data(), dparameters.data(),
                    group_workspace.data(), totals.data(), mode);
  for (const auto* v : {&y, &dx}) keep(*v);
  all.emplace_back();
  for (const double v : dparameters.ToVector()) {
    all.back().push_back(static_cast<T>(v));
  }
  return all;
}

TYPED_TEST(NormKernelsTest, StreamingStoresChangeNoBit) {
  using T = TypeParam;
  ForEachTarget([&] {
    for (int64_t n : TestSizes()) {
      if (n == 0) continue;
      for (const int64_t misalign : {0, 1, 5}) {
        ASSERT_EQ(RunAll<T>(5, n, misalign, StoreMode::kStreaming),
                  RunAll<T>(5, n, 0, StoreMode::kCached))
            << n << " " << misalign;
      }
    }
  });
}

TYPED_TEST(NormKernelsTest, EqualBitsOnEveryTarget) {
  using T = TypeParam;
  // Rows that fit in registers somewhere, and longer ones.
  for (const int64_t n : {1, 7, 16, 17, 32, 33, 40, 63, 64, 65, 77}) {
    std::vector<std::vector<T>> first;
    ForEachTarget([&] {
      const auto all = RunAll<T>(100, n, 1, StoreMode::kCached);
      if (first.empty()) first = all;
      EXPECT_EQ(all, first) << n;
    });
  }
}

TYPED_TEST(NormKernelsTest, RowsOfNegativeZerosHaveEqualBits) {
  using T = TypeParam;
  const int64_t n = 20;
  const std::vector<T> x(n, T{-0.0});
  ForEachTarget([&] {
    T y[n], mean, rstd;
    LayerNormForward(1, n, x.data(), kNone<T>, kNone<T>, T{1}, y, &mean, &rstd);
    EXPECT_TRUE(SameBits(mean, T{0}));
    for (const T v : y) EXPECT_TRUE(SameBits(v, T{-0.0}));
  });
}

}  // namespace
}  // namespace septet
