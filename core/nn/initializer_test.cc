// SPDX-License-Identifier: Apache-2.0
#include "septet/core/nn/initializer.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/random/philox.h"
#include "septet/core/random/stream.h"
#include "septet/core/random/variates.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::HasSubstr;

constexpr FanMode kFanModes[] = {FanMode::kIn, FanMode::kOut,
                                 FanMode::kAverage};

std::vector<double> Values(const Initializer& init, const Shape& shape,
                           const Fans& fans = {}, DType dtype = DType::kF64,
                           const std::string& name = "init/test") {
  const RandomStream stream = RandomStream::Create(5, name).value();
  const Tensor x = Tensor::Full(shape, -77, dtype).value();
  SEPTET_EXPECT_OK(init.Fill(stream, fans, x));
  return x.ToVector<double>();
}

double MeanOf(const std::vector<double>& x) {
  double sum = 0;
  for (const double v : x) sum += v;
  return sum / static_cast<double>(x.size());
}

double StdOf(const std::vector<double>& x) {
  const double mean = MeanOf(x);
  double sum = 0;
  for (const double v : x) sum += (v - mean) * (v - mean);
  return std::sqrt(sum / static_cast<double>(x.size()));
}

const RandomStream& Stream() {
  static const RandomStream stream =
      RandomStream::Create(5, "init/test").value();
  return stream;
}

TEST(InitializerTest, ConstantsAndScale) {
  EXPECT_EQ(Values(Initializer::Zeros(), {3}), std::vector<double>(3, 0.0));
  EXPECT_EQ(Values(Initializer::Ones(), {2, 2}), std::vector<double>(4, 1.0));
  EXPECT_EQ(Values(Initializer::Constant(3).Scaled(0.5).Scaled(0.5), {1}),
            std::vector<double>(1, 0.75));
}

// Each number is what its definition makes of the element's words.
TEST(InitializerTest, BitsAreThoseOfTheStream) {
  const int64_t n = 37;
  const Fans fans{8, 24};
  const auto uniform = Values(Initializer::Uniform(-0.5, 2), {n});
  const auto normal = Values(Initializer::Normal(1, 0.25), {n});
  const auto clamped =
      Values(Initializer::ClampedNormal(0, 1, -0.25, 0.5), {n});
  const auto fan_in = Values(Initializer::FanInUniform(), {n}, fans);
  const auto xavier = Values(Initializer::XavierUniform(2), {n}, fans);
  const auto kaiming = Values(Initializer::KaimingNormal(), {n}, fans);
  const auto student =
      Values(Initializer::VarianceScaling(1, FanMode::kIn,
                                          VarianceDistribution::kStudentT2),
             {n}, fans);
  const auto laplace =
      Values(Initializer::VarianceScaling(1, FanMode::kIn,
                                          VarianceDistribution::kLaplace),
             {n}, fans);
  for (int64_t i = 0; i < n; ++i) {
    SCOPED_TRACE(i);
    const double u = Stream().Unit(i);
    const double z = Stream().Normal(i);
    EXPECT_EQ(uniform[i], -0.5 + 2.5 * u);
    EXPECT_EQ(normal[i], 1 + 0.25 * z);
    EXPECT_EQ(clamped[i], std::min(std::max(z, -0.25), 0.5));
    EXPECT_EQ(fan_in[i], (2 * u - 1) * (1 / std::sqrt(8.0)));
    EXPECT_NEAR(xavier[i], (2 * u - 1) * 2 * std::sqrt(6.0 / 32), 1e-15);
    EXPECT_NEAR(kaiming[i], z * std::sqrt(2.0 / 8), 2e-15);
    const PhiloxBlock words = Stream().Element(i);
    const double v = (words[0] + 0.5) * 0x1p-32;
    EXPECT_NEAR(student[i], (2 * v - 1) / std::sqrt(2 * v * (1 - v) * 8),
                1e-14 * (1 + std::abs(student[i])));
    const double sign = words[1] >= 0x80000000u ? 1 : -1;
    EXPECT_NEAR(laplace[i], -sign * std::log((words[0] + 1.0) * 0x1p-32) / 4,
                1e-14);
  }
}

// The numbers of one seed, so that a change of any bit is seen; an independent
// implementation in another language has the same to 2e-16.
TEST(InitializerTest, CheckVector) {
  const auto scaling = [](VarianceDistribution distribution) {
    return Initializer::VarianceScaling(1, FanMode::kAverage, distribution);
  };
  const struct {
    Initializer init;
    double want[3];
  } cases[] = {
      {Initializer::Uniform(-1, 2),
       {0x1.2775735p-1, -0x1.406765d8p-1, 0x1.dce84c4p-6}},
      {Initializer::Normal(0, 0.02),
       {0x1.43690bcdd8f86p-6, -0x1.28063463c9191p-5, 0x1.72b2f265c112fp-7}},
      {Initializer::TruncatedNormal(0, 1, -0.5, 0.5),
       {-0x1.dea9dbf338f52p-9, -0x1.8fab511bfe29ap-2, -0x1.e658427f44d4fp-3}},
      {Initializer::FanInUniform(),
       {0x1.a4e4cep-6, -0x1.8044ee9p-2, -0x1.41765228p-3}},
      {scaling(VarianceDistribution::kUniform),
       {0x1.01be65e159358p-5, -0x1.d6a1be6a4eabep-2, -0x1.89b58c28a076ep-3}},
      {scaling(VarianceDistribution::kNormal),
       {0x1.655241bc57b6fp-2, -0x1.47104c51e0c08p-1, 0x1.9991838ad5a71p-3}},
      {scaling(VarianceDistribution::kTruncatedNormal),
       {0x1.9638417e50ae3p-2, -0x1.73d248be9d625p-1, 0x1.d19de13c61058p-3}},
      {scaling(VarianceDistribution::kStudentT2),
       {0x1.a5734d95eeddbp-6, -0x1.22be1a7f5c16p-1, -0x1.52941274b5657p-3}},
      {scaling(VarianceDistribution::kLaplace),
       {0x1.493d2e1ed19b5p-3, 0x1.0a702515fffdp-1, -0x1.11e6430101809p-2}},
      {scaling(VarianceDistribution::kBall),
       {0x1.447b2a42111a7p-2, -0x1.29011c8890b4bp-1, 0x1.73ed25ad3abf6p-3}}};
  for (const auto& test : cases) {
    SCOPED_TRACE(test.init.ToString());
    const auto got = Values(test.init, {3}, {4, 12});
    for (int i = 0; i < 3; ++i) EXPECT_EQ(got[i], test.want[i]);
  }
}

TEST(InitializerTest, FloatsAreTheDoublesRounded) {
  for (const Initializer& init :
       {Initializer::Uniform(-1, 3), Initializer::Normal(0.1, 2),
        Initializer::TruncatedNormal(0, 1, -1, 2), Initializer::FanInUniform(),
        Initializer::XavierUniform(0.3), Initializer::KaimingNormal(),
        Initializer::Orthogonal(1.5).Scaled(0.7)}) {
    SCOPED_TRACE(init.ToString());
    const auto d = Values(init, {17, 13}, {13, 17});
    const auto f = Values(init, {17, 13}, {13, 17}, DType::kF32);
    for (size_t i = 0; i < d.size(); ++i) {
      ASSERT_EQ(static_cast<float>(d[i]), static_cast<float>(f[i])) << i;
    }
  }
}

TEST(InitializerTest, TruncatedNormalIsTheNormalWhereThatIsWithin) {
  const int64_t n = 4000;
  const auto normal = Values(Initializer::Normal(1, 2), {n});
  const auto truncated = Values(Initializer::TruncatedNormal(1, 2, -1, 4), {n});
  int64_t redrawn = 0;
  for (int64_t i = 0; i < n; ++i) {
    EXPECT_GE(truncated[i], -1);
    EXPECT_LE(truncated[i], 4);
    if (normal[i] >= -1 && normal[i] <= 4) {
      EXPECT_EQ(truncated[i], normal[i]);
    } else {
      ++redrawn;
    }
  }
  // P(z < -1) + P(z > 1.5) = 0.2255; the standard deviation of the count is 26.
  EXPECT_NEAR(redrawn, 902, 4 * 26);
  // Mean (phi(-1) - phi(1.5)) / 0.7745 in units of 2, and 1.
  EXPECT_NEAR(MeanOf(truncated), 1 + 2 * (0.24197 - 0.12952) / 0.77454,
              4 * 1.3 / std::sqrt(n));
}

TEST(InitializerTest, MomentsOfEveryDistribution) {
  // 4 standard errors of mean and deviation, fourth moments taken generously.
  const int64_t n = 40000;
  const Fans fans{50, 150};
  for (const FanMode fan : kFanModes) {
    const double count = fan == FanMode::kIn    ? 50
                         : fan == FanMode::kOut ? 150
                                                : 100;
    const double std = 1.5 / std::sqrt(count);
    for (const VarianceDistribution distribution :
         {VarianceDistribution::kUniform, VarianceDistribution::kNormal,
          VarianceDistribution::kTruncatedNormal,
          VarianceDistribution::kLaplace, VarianceDistribution::kBall}) {
      const auto init = Initializer::VarianceScaling(1.5, fan, distribution);
      SCOPED_TRACE(init.ToString());
      const auto x = Values(init, {n}, fans);
      EXPECT_NEAR(MeanOf(x), 0, 4 * std / std::sqrt(n));
      EXPECT_NEAR(StdOf(x), std, 4 * 1.2 * std / std::sqrt(n));
    }
    // The quartiles of Student's t with 2 degrees of freedom are +-0.8165.
    auto t = Values(Initializer::VarianceScaling(
                        1.5, fan, VarianceDistribution::kStudentT2),
                    {n}, fans);
    std::sort(t.begin(), t.end());
    EXPECT_NEAR(t[n / 4], -0.81650 * std, 0.03 * std);
    EXPECT_NEAR(t[n / 2], 0, 0.03 * std);
    EXPECT_NEAR(t[3 * n / 4], 0.81650 * std, 0.03 * std);
    EXPECT_GT(t[n - 1], 20 * std);
  }
}

TEST(InitializerTest, UniformsStayWithinTheirLimit) {
  const Fans fans{9, 27};
  const auto x = Values(Initializer::XavierUniform(), {20000}, fans);
  const double limit = std::sqrt(6.0 / 36);
  EXPECT_LE(*std::max_element(x.begin(), x.end()), limit);
  EXPECT_GE(*std::min_element(x.begin(), x.end()), -limit);
  EXPECT_GT(*std::max_element(x.begin(), x.end()), 0.999 * limit);
  EXPECT_LT(*std::min_element(x.begin(), x.end()), -0.999 * limit);
}

TEST(InitializerTest, BallFillsItsRadius) {
  // In the ball of radius R in n dimensions, |x| / R is the n-th root of a
  // uniform number; n = 2 at 2,000 seeds: the mean is 2/3.
  double sum = 0;
  const double radius = 2 / std::sqrt(4.0) * std::sqrt(4.0);
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    const RandomStream stream = RandomStream::Create(seed, "init/ball").value();
    const Tensor x = Tensor::Zeros({2}, DType::kF64).value();
    SEPTET_ASSERT_OK(Initializer::VarianceScaling(2, FanMode::kIn,
                                                  VarianceDistribution::kBall)
                         .Fill(stream, {4, 1}, x));
    const auto v = x.ToVector<double>();
    const double r = std::hypot(v[0], v[1]);
    ASSERT_LE(r, radius * (1 + 1e-12));
    sum += r / radius;
  }
  EXPECT_NEAR(sum / 2000, 2.0 / 3, 4 * 0.2357 / std::sqrt(2000));
}

TEST(InitializerTest, OrthogonalRowsOrColumns) {
  for (const auto& [rows, cols] : std::vector<std::pair<int64_t, int64_t>>{
           {5, 5}, {12, 5}, {5, 12}, {1, 7}, {7, 1}, {64, 33}}) {
    SCOPED_TRACE(rows);
    const auto q = Values(Initializer::Orthogonal(2), {rows, cols});
    const bool columns = rows >= cols;
    const int64_t count = std::min(rows, cols);
    const auto at = [&](int64_t vector, int64_t k) {
      return columns ? q[k * cols + vector] : q[vector * cols + k];
    };
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t j = 0; j < count; ++j) {
        double dot = 0;
        for (int64_t k = 0; k < std::max(rows, cols); ++k) {
          dot += at(i, k) * at(j, k);
        }
        EXPECT_NEAR(dot, i == j ? 4 : 0, 1e-13);
      }
    }
    // R = Q^T A has a positive diagonal: the first vector is A's, scaled, and
    // each has a positive product with A's own.
    const auto a = Values(Initializer::Normal(0, 1), {rows, cols});
    for (int64_t i = 0; i < count; ++i) {
      double dot = 0;
      for (int64_t k = 0; k < std::max(rows, cols); ++k) {
        dot += at(i, k) * (columns ? a[k * cols + i] : a[i * cols + k]);
      }
      EXPECT_GT(dot, 0);
    }
  }
  // All axes but the last are rows.
  EXPECT_EQ(Values(Initializer::Orthogonal(), {2, 3, 4}),
            Values(Initializer::Orthogonal(), {6, 4}));
}

TEST(InitializerTest, ThreadsChangeNoBit) {
  for (const Initializer& init :
       {Initializer::Normal(0, 1), Initializer::TruncatedNormal(0, 1, -1, 1),
        Initializer::VarianceScaling(1, FanMode::kIn,
                                     VarianceDistribution::kLaplace)}) {
    SCOPED_TRACE(init.ToString());
    const auto one = Values(init, {50001}, {3, 3}, DType::kF32);
    for (const int threads : {2, 3}) {
      ThreadPool pool(threads);
      ScopedThreadPool scope(&pool);
      EXPECT_EQ(Values(init, {50001}, {3, 3}, DType::kF32), one);
    }
  }
}

TEST(InitializerTest, GainsOfTheLiterature) {
  EXPECT_DOUBLE_EQ(LeakyReluGain(0), std::sqrt(2.0));
  EXPECT_DOUBLE_EQ(LeakyReluGain(std::sqrt(5.0)), std::sqrt(1.0 / 3));
  EXPECT_DOUBLE_EQ(ResidualScale(12), 1 / std::sqrt(24.0));
  EXPECT_DOUBLE_EQ(DeepNormAlpha(8), 2.0);
  EXPECT_DOUBLE_EQ(DeepNormScale(2), 0.5);
  EXPECT_DOUBLE_EQ(SubLnScale(3), std::sqrt(std::log(6.0)));
}

TEST(InitializerTest, EmptyTensorsAreFilled) {
  EXPECT_TRUE(Values(Initializer::Orthogonal(), {0, 4}).empty());
  EXPECT_TRUE(Values(Initializer::Normal(0, 1), {0}).empty());
}

TEST(InitializerTest, Errors) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const struct {
    Initializer init;
    const char* message;
  } cases[] = {
      {Initializer::Constant(nan), "value is nan, expected finite"},
      {Initializer::Uniform(1, 0), "lo is 1 and hi is 0, expected lo <= hi"},
      {Initializer::Normal(0, -1), "std is -1, expected finite and >= 0"},
      {Initializer::Normal(nan, 1), "mean is nan, expected finite"},
      {Initializer::TruncatedNormal(0, 1, 5, 6),
       "[lo, hi] is [5, 6], which holds 2.8"},
      {Initializer::TruncatedNormal(0, 0, 1, 2), "which holds 0 of"},
      {Initializer::ClampedNormal(0, 1, 2, -2), "lo is 2 and hi is -2"},
      {Initializer::XavierUniform(-1), "gain is -1, expected finite and >= 0"},
      {Initializer::Ones().Scaled(nan), "scale is nan, expected finite"},
  };
  for (const auto& test : cases) {
    EXPECT_THAT(
        test.init.Validate(),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(test.message)));
    EXPECT_THAT(test.init.Fill(Stream(), {1, 1},
                               Tensor::Zeros({2}, DType::kF32).value()),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("stream 'init/test': initializer: ")));
  }
  const Tensor x = Tensor::Zeros({4}, DType::kF32).value();
  EXPECT_THAT(Initializer::FanInUniform().Fill(Stream(), {0, 3}, x),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("stream 'init/test': fan_in_uniform(): fan_in "
                                 "is 0, fan_out is 3, expected >= 1")));
  EXPECT_THAT(
      Initializer::XavierUniform().Fill(Stream(), {3, 0}, x),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("fan_out is 0")));
  EXPECT_THAT(Initializer::Orthogonal().Fill(Stream(), {}, x),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("f32 [4], expected rank >= 2")));
  EXPECT_THAT(Initializer::Ones().Fill(Stream(), {},
                                       Tensor::Zeros({4}, DType::kI32).value()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("i32 [4], expected contiguous f32 or f64")));
  EXPECT_THAT(Initializer::Ones().Fill(Stream(), {}, Tensor()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("the tensor is undefined")));
  const float memory[2] = {1, 2};
  EXPECT_THAT(
      Initializer::Ones().Fill(Stream(), {},
                               Tensor::FromExternal(memory, {2}, DType::kF32,
                                                    /*read_only=*/true, nullptr)
                                   .value()),
      StatusIs(absl::StatusCode::kFailedPrecondition,
               HasSubstr("stream 'init/test': the tensor is "
                         "read-only")));
}

}  // namespace
}  // namespace septet
