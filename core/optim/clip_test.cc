// SPDX-License-Identifier: Apache-2.0
#include "septet/core/optim/clip.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/kernel_testutil.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::HasSubstr;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
const double kNan = std::numeric_limits<double>::quiet_NaN();
const double kInfinity = std::numeric_limits<double>::infinity();

template <typename T>
Tensor Uniform(const Shape& shape, TestRandom* random) {
  std::vector<T> values(shape.num_elements());
  for (T& x : values) x = static_cast<T>(random->Uniform(-1, 1));
  return *Tensor::FromValues<T>(shape, values);
}

// Of both dtypes, one empty, one over several blocks.
std::vector<Tensor> Gradients() {
  TestRandom random(3);
  return {Uniform<float>({3, 5}, &random), Uniform<double>({0, 4}, &random),
          Uniform<double>({40000}, &random), Uniform<float>({}, &random),
          Uniform<float>({17, 1021}, &random)};
}

std::vector<double> Values(const std::vector<Tensor>& tensors) {
  std::vector<double> all;
  for (const Tensor& tensor : tensors) {
    const auto values = tensor.ToVector<double>();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

double NaiveNorm(const std::vector<Tensor>& tensors) {
  long double sum = 0;
  for (const double x : Values(tensors)) sum += static_cast<long double>(x) * x;
  return static_cast<double>(std::sqrt(sum));
}

TEST(GlobalNormTest, AgreesWithThePlainSumForAllSizes) {
  TestRandom random(1);
  for (const int64_t n : TestSizes()) {
    for (const Tensor& g :
         {Uniform<float>({n}, &random), Uniform<double>({n}, &random)}) {
      SEPTET_ASSERT_OK_AND_ASSIGN(const double norm, GlobalNorm({g}));
      EXPECT_NEAR(norm, NaiveNorm({g}), 1e-14 * (1 + norm)) << n;
    }
  }
  SEPTET_ASSERT_OK_AND_ASSIGN(const double norm, GlobalNorm(Gradients()));
  EXPECT_NEAR(norm, NaiveNorm(Gradients()), 1e-12);
  EXPECT_EQ(*GlobalNorm({}), 0);
}

TEST(GlobalNormTest, SinglesDoNotOverflow) {
  const Tensor g = *Tensor::Full({4}, 1e30, DType::kF32);
  EXPECT_NEAR(*GlobalNorm({g}), 2e30, 1e24);
}

TEST(ClipGradNormTest, ScalesAllToTheNormByPyTorchsRule) {
  const std::vector<Tensor> grads = Gradients();
  const std::vector<double> before = Values(grads);
  const double want = NaiveNorm(grads);
  SEPTET_ASSERT_OK_AND_ASSIGN(const double norm, ClipGradNorm(grads, {2.5}));
  EXPECT_NEAR(norm, want, 1e-12);
  const std::vector<double> after = Values(grads);
  for (size_t i = 0; i < before.size(); ++i) {
    // Of singles, the factor and the product are rounded.
    EXPECT_NEAR(after[i], before[i] * 2.5 / (want + 1e-6), 1.5e-7 * 0.03);
  }
  EXPECT_NEAR(*GlobalNorm(grads), 2.5, 1e-6);
}

TEST(ClipGradNormTest, SmallGradientsAreLeftAlone) {
  const std::vector<Tensor> grads = Gradients();
  const std::vector<double> before = Values(grads);
  const double norm = NaiveNorm(grads);
  EXPECT_NEAR(*ClipGradNorm(grads, {norm * 1.001}), norm, 1e-12);
  EXPECT_EQ(Values(grads), before);
  // 1e-6 is added to the norm: at the bound itself it is scaled a little.
  EXPECT_NEAR(*ClipGradNorm(grads, {norm}), norm, 1e-12);
  EXPECT_NE(Values(grads), before);
}

TEST(ClipGradNormTest, ZeroBoundAndZeroGradients) {
  const Tensor g = *Tensor::Full({3}, 2, DType::kF64);
  EXPECT_NEAR(*ClipGradNorm({g}, {0}), std::sqrt(12), 1e-15);
  EXPECT_EQ(g.ToVector<double>(), (std::vector<double>{0, 0, 0}));
  EXPECT_EQ(*ClipGradNorm({g}, {1}), 0);
  EXPECT_EQ(g.ToVector<double>(), (std::vector<double>{0, 0, 0}));
}

TEST(ClipGradNormTest, WithANormThatIsNotFiniteNothingChanges) {
  for (const double bad : {kNan, kInfinity}) {
    const Tensor g = *Tensor::FromValues<double>({3}, {5, bad, 7});
    SEPTET_ASSERT_OK_AND_ASSIGN(const double norm, ClipGradNorm({g}, {1}));
    EXPECT_FALSE(std::isfinite(norm));
    EXPECT_EQ(g.ToVector<double>()[0], 5);
    EXPECT_EQ(g.ToVector<double>()[2], 7);
  }
}

TEST(ClipGradNormTest, BitsDependNeitherOnThreadsNorOnInstructionSet) {
  const auto run = [] {
    std::vector<Tensor> grads = Gradients();
    std::vector<double> all = {*ClipGradNorm(grads, {1.5})};
    const std::vector<double> values = Values(grads);
    all.insert(all.end(), values.begin(), values.end());
    return all;
  };
  const std::vector<double> expected = run();
  for (const int threads : {2, 3}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    EXPECT_EQ(run(), expected);
  }
  ForEachTarget([&] { EXPECT_EQ(run(), expected); });
}

TEST(ClipGradValueTest, LimitsEachElementAndKeepsNan) {
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    const Tensor g = *(*Tensor::FromValues<double>(
                           {7}, {-3, -0.5, -0.25, 0, 0.5, kInfinity, kNan}))
                          .To(dtype);
    SEPTET_ASSERT_OK(ClipGradValue({g}, {0.5}));
    const std::vector<double> got = g.ToVector<double>();
    const std::vector<double> want = {-0.5, -0.5, -0.25, 0, 0.5, 0.5};
    for (size_t i = 0; i < want.size(); ++i) EXPECT_EQ(got[i], want[i]) << i;
    EXPECT_TRUE(std::isnan(got[6]));
  }
  std::vector<Tensor> grads = Gradients();
  SEPTET_ASSERT_OK(ClipGradValue(grads, {0.25}));
  const std::vector<double> before = Values(Gradients());
  const std::vector<double> after = Values(grads);
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(after[i], std::fmin(std::fmax(before[i], -0.25), 0.25));
  }
}

TEST(ClipTest, ErrorsNameWhatIsWrong) {
  const Tensor good = *Tensor::Full({2}, 3, DType::kF32);
  const Tensor half = *Tensor::Zeros({2}, DType::kF16);
  const Tensor columns = *(*Tensor::Zeros({2, 3}, DType::kF32)).Permute({1, 0});
  EXPECT_THAT(ClipGradNorm({good}, {-1}),
              StatusIs(kInvalid, HasSubstr("clip_grad_norm: max_norm is -1, "
                                           "expected a finite value >= 0")));
  EXPECT_THAT(ClipGradNorm({good}, {kNan}),
              StatusIs(kInvalid, HasSubstr("max_norm is nan")));
  EXPECT_THAT(ClipGradNorm({good, half}, {1}),
              StatusIs(kInvalid, HasSubstr("clip_grad_norm: gradient 1 is f16 "
                                           "[2], expected dtype f32 or f64")));
  EXPECT_THAT(ClipGradNorm({good, Tensor()}, {1}),
              StatusIs(kInvalid, HasSubstr("gradient 1 has no elements")));
  EXPECT_THAT(GlobalNorm({columns}),
              StatusIs(kInvalid, HasSubstr("global_norm: gradient 0 (f32 [3, "
                                           "2]) is not contiguous")));
  EXPECT_THAT(ClipGradValue({good}, {kInfinity}),
              StatusIs(kInvalid, HasSubstr("clip_grad_value: max_value is inf, "
                                           "expected a finite value >= 0")));
  const float mapped[2] = {4, 3};
  const Tensor read_only = *Tensor::FromExternal(mapped, {2}, DType::kF32,
                                                 /*read_only=*/true, nullptr);
  EXPECT_THAT(ClipGradNorm({good, read_only}, {1}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("gradient 1 (f32 [2]) is read-only")));
  EXPECT_THAT(ClipGradValue({good, read_only}, {1}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("gradient 1 (f32 [2]) is read-only")));
  EXPECT_EQ(*GlobalNorm({read_only}), 5);
  EXPECT_EQ(good.ToVector<float>()[0], 3);
}

}  // namespace
}  // namespace septet
