// SPDX-License-Identifier: Apache-2.0
#include "septet/core/plot/series.h"

#include <cmath>
#include <limits>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(SeedBandTest, MinMax) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Series band, SeedBand("a", {10, 20}, {{1, 2}, {3, 2}, {5, 8}}));
  EXPECT_EQ(band.label, "a");
  EXPECT_THAT(band.x, ElementsAre(10, 20));
  EXPECT_THAT(band.y, ElementsAre(3, 4));
  EXPECT_THAT(band.low, ElementsAre(1, 2));
  EXPECT_THAT(band.high, ElementsAre(5, 8));
}

TEST(SeedBandTest, StandardDeviationAndError) {
  const std::vector<std::vector<double>> curves = {{2}, {4}, {4}, {6}};
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Series deviation,
      SeedBand("a", {0}, curves, Band::kStandardDeviation));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Series error,
                              SeedBand("a", {0}, curves, Band::kStandardError));
  const double s = std::sqrt(8.0 / 3);
  EXPECT_DOUBLE_EQ(deviation.low[0], 4 - s);
  EXPECT_DOUBLE_EQ(deviation.high[0], 4 + s);
  EXPECT_DOUBLE_EQ(error.low[0], 4 - s / 2);
  EXPECT_DOUBLE_EQ(error.high[0], 4 + s / 2);
}

TEST(SeedBandTest, EqualCurvesHaveTheirValueAsMean) {
  const std::vector<double> curve = {0.1, 1e308, -3e-310};
  SEPTET_ASSERT_OK_AND_ASSIGN(const Series band,
                              SeedBand("", {0, 1, 2}, {curve, curve, curve}));
  EXPECT_EQ(band.y, curve);
  EXPECT_EQ(band.low, curve);
  EXPECT_EQ(band.high, curve);
}

TEST(SeedBandTest, ASeedThatDivergedIsAGap) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const Series band,
                              SeedBand("", {0, 1}, {{1, kNan}, {2, 3}}));
  EXPECT_EQ(band.y[0], 1.5);
  EXPECT_TRUE(std::isnan(band.y[1]));
  EXPECT_TRUE(std::isnan(band.low[1]));
  EXPECT_TRUE(std::isnan(band.high[1]));
}

TEST(SeedBandTest, OneCurveHasNoBand) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const Series band,
                              SeedBand("", {0, 1}, {{1, 2}}));
  EXPECT_THAT(band.y, ElementsAre(1, 2));
  EXPECT_THAT(band.low, IsEmpty());
  EXPECT_THAT(band.high, IsEmpty());
}

TEST(SeedBandTest, Errors) {
  EXPECT_THAT(SeedBand("a", {0}, {}),
              StatusIs(kInvalid, HasSubstr("seed band 'a': no curve")));
  EXPECT_THAT(
      SeedBand("a", {0, 1}, {{1, 2}, {1}}),
      StatusIs(kInvalid, HasSubstr("'a': curve 1 has 1 values, want 2")));
}

TEST(MatrixTest, FromTensor) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Tensor tensor,
      Tensor::FromValues<float>({2, 3}, {1, 2, 3, 4, 5, 6}));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor turned, tensor.Permute({1, 0}));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Matrix matrix, Matrix::FromTensor(turned));
  EXPECT_EQ(matrix.rows, 3);
  EXPECT_EQ(matrix.columns, 2);
  EXPECT_THAT(matrix.values, ElementsAre(1, 4, 2, 5, 3, 6));
  EXPECT_THAT(Matrix::FromTensor(tensor.Reshape({6}).value()),
              StatusIs(kInvalid, HasSubstr("want 2 axes")));
  EXPECT_THAT(Matrix::FromTensor(Tensor()),
              StatusIs(kInvalid, HasSubstr("undefined")));
}

}  // namespace
}  // namespace septet
