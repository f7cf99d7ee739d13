// SPDX-License-Identifier: Apache-2.0
#include "septet/core/conformance/tolerance.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

Tensor Doubles(const std::vector<double>& values) {
  return *Tensor::FromValues<double>({static_cast<int64_t>(values.size())},
                                     values);
}
Tensor Ints(const std::vector<int64_t>& values) {
  return *Tensor::FromValues<int64_t>({static_cast<int64_t>(values.size())},
                                      values);
}

constexpr Tolerance kPerElement = {1e-3, 1e-2, Tolerance::Scale::kElement};
constexpr Tolerance kPerTensor = {1e-3, 1e-2, Tolerance::Scale::kTensor};

TEST(CompareTest, ElementScaleGrowsWithTheElement) {
  // Allowed: 0.011 at 1, 1.001 at 100.
  EXPECT_TRUE(
      Compare(Doubles({1.0109, 101}), Doubles({1, 100}), kPerElement).passed);
  EXPECT_FALSE(
      Compare(Doubles({1.0111, 100}), Doubles({1, 100}), kPerElement).passed);
  EXPECT_FALSE(
      Compare(Doubles({1, 101.002}), Doubles({1, 100}), kPerElement).passed);
}

TEST(CompareTest, TensorScaleIsTheLargestExpected) {
  // Allowed everywhere: 1.001.
  EXPECT_TRUE(
      Compare(Doubles({2, -101}), Doubles({1, -100}), kPerTensor).passed);
  EXPECT_FALSE(
      Compare(Doubles({2.01, -100}), Doubles({1, -100}), kPerTensor).passed);
  // What was computed does not widen it.
  EXPECT_FALSE(Compare(Doubles({1e9}), Doubles({1}), kPerTensor).passed);
}

TEST(CompareTest, MinScaleIsAFloor) {
  Tolerance tolerance = {0, 1e-2, Tolerance::Scale::kTensor};
  EXPECT_FALSE(Compare(Doubles({0.1}), Doubles({0}), tolerance).passed);
  tolerance.min_scale = 10;
  EXPECT_TRUE(Compare(Doubles({0.1}), Doubles({0}), tolerance).passed);
  EXPECT_FALSE(Compare(Doubles({0.11}), Doubles({0}), tolerance).passed);
}

TEST(CompareTest, ZeroTensorsHaveAnAbsoluteToleranceOfTheirOwn) {
  Tolerance tolerance = {0, 1e-2, Tolerance::Scale::kTensor};
  tolerance.absolute_if_zero = 1e-12;
  EXPECT_TRUE(Compare(Doubles({1e-12, 0}), Doubles({0, 0}), tolerance).passed);
  EXPECT_FALSE(Compare(Doubles({2e-12, 0}), Doubles({0, 0}), tolerance).passed);
  // It adds nothing where there is something to be relative to.
  EXPECT_FALSE(
      Compare(Doubles({1e-12 + 2e-14}), Doubles({1e-16}), tolerance).passed);
}

TEST(CompareTest, ReportsTheElementThatIsWorstAgainstItsTolerance) {
  // The error of the second is larger, that of the first worse.
  const Comparison result =
      Compare(Doubles({1.02, 100.5}), Doubles({1, 100}), kPerElement);
  EXPECT_FALSE(result.passed);
  EXPECT_THAT(result.index, ElementsAre(0));
  EXPECT_NEAR(result.error, 0.02, 1e-12);
  EXPECT_NEAR(result.allowed, 0.011, 1e-12);
  EXPECT_EQ(result.got, 1.02);
  EXPECT_EQ(result.want, 1);
  EXPECT_THAT(result.ToString(), HasSubstr("allowed at [0]: got 1.02, want 1"));
  EXPECT_EQ(Compare(Doubles({1}), Doubles({1}), kPerElement).ToString(),
            "error 0 of 0.011 allowed");
}

TEST(CompareTest, NamesTheIndexAlongEveryAxis) {
  const Tensor want = *Tensor::Zeros({2, 3, 4}, DType::kF64);
  const Tensor got = *Tensor::Zeros({2, 3, 4}, DType::kF64);
  got.mutable_data<double>()[1 * 12 + 2 * 4 + 3] = 1;
  EXPECT_THAT(Compare(got, want, {}).index, ElementsAre(1, 2, 3));
  const Tensor view = *got.Permute({2, 0, 1});
  EXPECT_THAT(Compare(view, *want.Permute({2, 0, 1}), {}).index,
              ElementsAre(3, 1, 2));
  const Tensor scalar = *Tensor::Scalar(1, DType::kF64);
  EXPECT_THAT(Compare(scalar, *Tensor::Scalar(0, DType::kF64), {}).ToString(),
              HasSubstr("at []: got 1, want 0"));
}

TEST(CompareTest, NonFiniteNumbersMustBeExpected) {
  const auto passes = [](double got, double want) {
    return Compare(Doubles({got, 5}), Doubles({want, 5}), kPerTensor).passed;
  };
  EXPECT_TRUE(passes(kNaN, kNaN));
  EXPECT_TRUE(passes(kInf, kInf));
  EXPECT_TRUE(passes(-kInf, -kInf));
  EXPECT_FALSE(passes(kNaN, 1));
  EXPECT_FALSE(passes(1, kNaN));
  EXPECT_FALSE(passes(kInf, -kInf));
  EXPECT_FALSE(passes(kInf, 1e308));
  EXPECT_FALSE(passes(1e308, kInf));
  EXPECT_FALSE(passes(kNaN, kInf));
  // An expected infinity does not make everything beside it right.
  EXPECT_FALSE(
      Compare(Doubles({kInf, 6}), Doubles({kInf, 5}), kPerTensor).passed);
  EXPECT_FALSE(
      Compare(Doubles({kInf, 6}), Doubles({kInf, 5}), kPerElement).passed);
}

TEST(CompareTest, ExactMeansExact) {
  EXPECT_TRUE(Compare(Doubles({1, -0.0}), Doubles({1, 0}), {}).passed);
  EXPECT_FALSE(
      Compare(Doubles({std::nextafter(1, 2)}), Doubles({1}), {}).passed);
}

TEST(CompareTest, IntegersAreEqualOrNot) {
  EXPECT_TRUE(Compare(Ints({1, -7}), Ints({1, -7}), kPerTensor).passed);
  const Comparison result =
      Compare(Ints({100000, 2}), Ints({100000, 3}), kPerTensor);
  EXPECT_FALSE(result.passed);
  EXPECT_THAT(result.index, ElementsAre(1));
  EXPECT_EQ(result.error, 1);
  // Neighbours that are the same double.
  constexpr int64_t kLarge = (int64_t{1} << 53) + 1;
  EXPECT_FALSE(Compare(Ints({kLarge}), Ints({kLarge - 1}), {}).passed);
  EXPECT_FALSE(Compare(Ints({std::numeric_limits<int64_t>::min()}),
                       Ints({std::numeric_limits<int64_t>::max()}), {})
                   .passed);
  const Tensor flags = *Tensor::FromValues<bool>({2}, {true, false});
  EXPECT_TRUE(Compare(flags, Ints({1, 0}), {}).passed);
}

TEST(CompareTest, ShapesAndKindsMustAgree) {
  EXPECT_THAT(
      Compare(Doubles({1}), *Doubles({1}).Reshape({1, 1}), {}).ToString(),
      "got f64 [1], want f64 [1, 1]");
  EXPECT_FALSE(Compare(Doubles({1}), *Doubles({1}).Reshape({}), {}).passed);
  EXPECT_THAT(Compare(Doubles({1}), Ints({1}), {}).problem,
              "got f64 [1], want i64 [1]");
  EXPECT_FALSE(Compare(Ints({1}), Doubles({1}), {}).passed);
  EXPECT_FALSE(Compare(Tensor(), Doubles({1}), {}).passed);
  const Tensor single = *Tensor::FromValues<float>({1}, {1.0f});
  EXPECT_TRUE(Compare(single, Doubles({1}), {}).passed);
}

TEST(CompareTest, EmptyTensorsAgree) {
  const Comparison result = Compare(Doubles({}), Doubles({}), {});
  EXPECT_TRUE(result.passed);
  EXPECT_THAT(result.index, IsEmpty());
}

}  // namespace
}  // namespace septet
