// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/log_sum_exp.h"

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
#include "septet/core/ops/reduce.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr double kInf = std::numeric_limits<double>::infinity();

TEST(LogSumExpTest, ValuesAndGradientsOverAxes) {
  const std::vector<std::vector<int64_t>> axes_list = {
      {}, {0}, {1}, {-1}, {0, 2}, {2, 1}, {0, 1, 2}};
  for (const std::vector<int64_t>& axes : axes_list) {
    for (const bool keep : {false, true}) {
      const Tensor x = RandomTensor({2, 3, 4}, DType::kF64, 1, -3, 3);
      const ReduceOptions options{keep};
      DispatchTrace trace;
      const Var y = LogSumExp(x, axes, options);
      SEPTET_ASSERT_OK(y);
      EXPECT_THAT(trace.lines(), Contains(HasSubstr("log_sum_exp cpu/f64")));
      const Var want = Log(Sum(Exp(x), axes, options));
      ExpectNear(y.tensor(), want.tensor(), 1e-14);
      SEPTET_EXPECT_OK(CheckGradients(
          [&](absl::Span<const Var> in) {
            return LogSumExp(in[0], axes, options);
          },
          {x}, {1e-5, 1e-6}));
      ScopedReference reference;
      ExpectNear(LogSumExp(x, axes, options).tensor(), want.tensor(), 1e-14);
    }
  }
}

TEST(LogSumExpTest, ManyLengths) {
  for (const int64_t n : {1, 2, 15, 16, 17, 63, 64, 65, 2049}) {
    const Tensor x = RandomTensor({3, n}, DType::kF32, 1, 95, 105);
    const std::vector<double> values = x.ToVector<double>();
    std::vector<double> want(3, 0.0);
    for (int64_t i = 0; i < 3 * n; ++i) want[i / n] += std::exp(values[i]);
    for (double& w : want) w = std::log(w);
    ExpectNear(LogSumExp(x, {1}).tensor(),
               Tensor::FromValues<double>({3}, want).value(), 3e-7);
  }
}

TEST(LogSumExpTest, InfinitiesAndNan) {
  const Tensor x = Tensor::FromValues<double>(
                       {4, 2}, {-kInf, -kInf, -kInf, 3, kInf, 0, NAN, 1})
                       .value();
  for (const bool reference : {false, true}) {
    std::unique_ptr<ScopedReference> scope;
    if (reference) scope = std::make_unique<ScopedReference>();
    const std::vector<double> y =
        LogSumExp(x, {-1}).tensor().ToVector<double>();
    EXPECT_EQ(y[0], -kInf);
    EXPECT_EQ(y[1], 3);
    EXPECT_EQ(y[2], kInf);
    EXPECT_TRUE(std::isnan(y[3]));
  }
  Tape tape;
  const Var v = tape.Watch(x.Slice(0, 0, 2).value());
  SEPTET_ASSERT_OK_AND_ASSIGN(
      std::vector<Var> grads,
      tape.GradVars({LogSumExp(v, {-1})},
                    {Tensor::Full({2}, 1, DType::kF64).value()}, {v}, false));
  EXPECT_THAT(grads[0].tensor().ToVector<double>(), ElementsAre(0, 0, 0, 1));
}

TEST(LogSumExpTest, BitsDoNotDependOnThreads) {
  const Tensor x = RandomTensor({500, 300}, DType::kF32, 1, -5, 5);
  const auto run = [&] { return LogSumExp(x, {1}).tensor().ToVector<float>(); };
  const std::vector<float> serial = run();
  ThreadPool pool(3);
  ScopedThreadPool scope(&pool);
  EXPECT_EQ(run(), serial);
}

TEST(LogSumExpTest, EmptyAndErrors) {
  EXPECT_EQ(LogSumExp(Tensor::Zeros({0, 3}, DType::kF32), {1}).shape(),
            Shape({0}));
  EXPECT_THAT(LogSumExp(Tensor::Zeros({3, 0}, DType::kF32), {1}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("log_sum_exp: x is f32 [3, 0]: nothing")));
  const Tensor x = RandomTensor({2, 3}, DType::kF32, 1);
  EXPECT_THAT(LogSumExp(x, {2}), StatusIs(absl::StatusCode::kInvalidArgument,
                                          HasSubstr("log_sum_exp of [2, 3]")));
  EXPECT_THAT(LogSumExp(x, {1, -1}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("name axis 1 twice")));
  EXPECT_THAT(LogSumExp(Tensor::Scalar(1, DType::kF32)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("log_sum_exp: x is f32 [], expected rank 1")));
  EXPECT_THAT(LogSumExp(Var()), StatusIs(absl::StatusCode::kInvalidArgument,
                                         HasSubstr("x is not given")));
}

}  // namespace
}  // namespace septet
