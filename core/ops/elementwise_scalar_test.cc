// SPDX-License-Identifier: Apache-2.0
// Clip, Pow, Lerp.
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/autograd/gradient_checker.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/op_testutil.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr double kInf = std::numeric_limits<double>::infinity();

TEST(ClipTest, ValuesInManyShapes) {
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    for (const int64_t n : {0, 1, 7, 16, 17, 2047, 2049}) {
      const Tensor x = RandomTensor({n}, dtype, 1, -2, 2);
      const Var y = Clip(x, -0.5, 1.25);
      SEPTET_ASSERT_OK(y);
      const std::vector<double> in = x.ToVector<double>();
      const std::vector<double> got = y.tensor().ToVector<double>();
      for (size_t i = 0; i < in.size(); ++i) {
        ASSERT_EQ(got[i], std::fmin(std::fmax(in[i], -0.5), 1.25));
      }
      ScopedReference reference;
      EXPECT_EQ(Clip(x, -0.5, 1.25).tensor().ToVector<double>(), got);
    }
  }
}

TEST(ClipTest, DerivativeIsOneOnTheClosedInterval) {
  const Tensor x =
      Tensor::FromValues<double>({7}, {-1, -0.5, 0, 2, 3, NAN, kInf}).value();
  for (const bool reference : {false, true}) {
    std::unique_ptr<ScopedReference> scope;
    if (reference) scope = std::make_unique<ScopedReference>();
    Tape tape;
    const Var v = tape.Watch(x);
    const Var y = Clip(v, -0.5, 2);
    EXPECT_TRUE(std::isnan(y.tensor().ToVector<double>()[5]));
    EXPECT_EQ(y.tensor().ToVector<double>()[6], 2);
    const Tensor g = Tensor::Full({7}, 3, DType::kF64).value();
    SEPTET_ASSERT_OK_AND_ASSIGN(std::vector<Var> grads,
                                tape.GradVars({y}, {g}, {v}, false));
    std::vector<double> dx = grads[0].tensor().ToVector<double>();
    if (reference) dx[5] = 0;  // the formula lets NaN pass
    EXPECT_THAT(dx, ElementsAre(0, 3, 3, 3, 0, 0, 0));
  }
}

TEST(ClipTest, OneSidedGradientsAndErrors) {
  const Tensor x = RandomTensor({3, 5}, DType::kF64, 1, -2, 2);
  for (const double lo : {-kInf, -0.7}) {
    for (const double hi : {0.6, kInf}) {
      SEPTET_EXPECT_OK(CheckGradients(
          [&](absl::Span<const Var> in) { return Square(Clip(in[0], lo, hi)); },
          {x}, {1e-6, 1e-6}));
    }
  }
  EXPECT_THAT(Clip(x, 1, 0.5),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("clip: lo is 1 and hi 0.5, expected lo <= "
                                 "hi")));
  EXPECT_THAT(Clip(x, NAN, 0), StatusIs(absl::StatusCode::kInvalidArgument,
                                        HasSubstr("clip: lo is nan")));
  EXPECT_THAT(Clip(Tensor::Zeros({1}, DType::kI64), 0, 1),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("clip: x is i64 [1]")));
}

TEST(PowTest, ValuesAndGradients) {
  for (const double p : {0.0, 1.0, 2.0, 3.0, 5.0, 7.0, 16.0, 17.0, -1.0, -2.0,
                         -3.0, 0.5, -0.5, 1.5, 2.25}) {
    SCOPED_TRACE(p);
    for (const DType dtype : {DType::kF32, DType::kF64}) {
      const Tensor x = RandomTensor({33}, dtype, 1, 0.3, 2);
      const Var y = Pow(x, p);
      SEPTET_ASSERT_OK(y);
      const std::vector<double> in = x.ToVector<double>();
      const std::vector<double> got = y.tensor().ToVector<double>();
      for (size_t i = 0; i < in.size(); ++i) {
        const double want = std::pow(in[i], p);
        // Errors of products grow with the exponent.
        const double eps = dtype == DType::kF32 ? 6e-8 : 2e-16;
        EXPECT_NEAR(got[i], want, 20 * eps * want);
      }
    }
    SEPTET_EXPECT_OK(CheckGradients(
        [&](absl::Span<const Var> in) { return Pow(in[0], p); },
        {RandomTensor({5}, DType::kF64, 2, 0.5, 1.5)}, {1e-5, 1e-5}));
  }
  // Negative bases, and the derivative at 0.
  EXPECT_THAT(Pow(Tensor::FromValues<double>({3}, {-2, 0, 2}), 3)
                  .tensor()
                  .ToVector<double>(),
              ElementsAre(-8, 0, 8));
  for (const double p : {0.0, 1.0, 2.0}) {
    Tape tape;
    const Var x = tape.Watch(Tensor::Zeros({1}, DType::kF64).value());
    SEPTET_ASSERT_OK_AND_ASSIGN(
        std::vector<Var> grads,
        tape.GradVars({Pow(x, p)}, {Tensor::Full({1}, 1, DType::kF64).value()},
                      {x}, false));
    const double got =
        grads[0].defined() ? grads[0].tensor().item<double>() : 0.0;
    EXPECT_EQ(got, p == 1 ? 1 : 0);
  }
  EXPECT_THAT(Pow(Tensor::Zeros({1}, DType::kF32), kInf),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("pow: exponent is inf")));
  EXPECT_THAT(Pow(Tensor::Zeros({1}, DType::kBool), 2),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("pow: x is bool [1]")));
}

TEST(LerpTest, EndsAreExactAndErrorsNamed) {
  const Tensor a = Tensor::FromValues<double>({2}, {0.1, 1e20}).value();
  const Tensor b = Tensor::FromValues<double>({1}, {0.7}).value();
  EXPECT_THAT(Lerp(a, b, 0).tensor().ToVector<double>(),
              ElementsAre(0.1, 1e20));
  EXPECT_THAT(Lerp(a, b, 1).tensor().ToVector<double>(), ElementsAre(0.7, 0.7));
  EXPECT_NEAR(Lerp(a, b, 0.25).tensor().ToVector<double>()[0], 0.25, 1e-16);
  for (const double weight : {0.3, 0.8}) {
    SEPTET_EXPECT_OK(CheckGradients(
        [&](absl::Span<const Var> in) {
          return Square(Lerp(in[0], in[1], weight));
        },
        {RandomTensor({2, 3}, DType::kF64, 1),
         RandomTensor({3}, DType::kF64, 2)},
        {1e-5, 1e-6}));
  }
  EXPECT_THAT(Lerp(a, b, NAN), StatusIs(absl::StatusCode::kInvalidArgument,
                                        HasSubstr("lerp: weight is nan")));
}

TEST(ElementwiseScalarTest, BitsDoNotDependOnThreads) {
  const Tensor x = RandomTensor({200000}, DType::kF32, 1, 0.5, 2);
  const auto run = [&] {
    Tape tape;
    const Var v = tape.Watch(x);
    const Var y = Pow(Clip(v, 0.7, 1.8), 1.5);
    std::vector<float> bits = y.tensor().ToVector<float>();
    const Tensor dx = tape.GradVars({y}, {x}, {v}, false).value()[0].tensor();
    for (const float g : dx.ToVector<float>()) bits.push_back(g);
    return bits;
  };
  const std::vector<float> serial = run();
  ThreadPool pool(3);
  ScopedThreadPool scope(&pool);
  EXPECT_EQ(run(), serial);
}

}  // namespace
}  // namespace septet
