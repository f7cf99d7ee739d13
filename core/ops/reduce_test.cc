// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/reduce.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/autograd/gradient_checker.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/op_testutil.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::HasSubstr;

using Axes = std::vector<int64_t>;

const std::vector<Axes>& AllAxes() {
  static const auto* const list = new std::vector<Axes>{
      {}, {0}, {1}, {2}, {-1}, {0, 1}, {0, 2}, {1, -1}, {0, 1, 2}, {2, 0}};
  return *list;
}

// The reduction by definition, over [2, 3, 5]-like shapes.
std::vector<double> Oracle(const Tensor& x, const Axes& axes, bool maximum) {
  bool reduced[3] = {axes.empty(), axes.empty(), axes.empty()};
  for (int64_t axis : axes) reduced[axis < 0 ? axis + 3 : axis] = true;
  int64_t extent[3];
  int64_t size = 1;
  for (int i = 0; i < 3; ++i) {
    extent[i] = reduced[i] ? 1 : x.dim(i);
    size *= extent[i];
  }
  std::vector<double> result(
      size, maximum ? -std::numeric_limits<double>::infinity() : 0.0);
  const std::vector<double> values = x.ToVector<double>();
  size_t at = 0;
  for (int64_t i = 0; i < x.dim(0); ++i) {
    for (int64_t j = 0; j < x.dim(1); ++j) {
      for (int64_t k = 0; k < x.dim(2); ++k, ++at) {
        double& out =
            result[((reduced[0] ? 0 : i) * extent[1] + (reduced[1] ? 0 : j)) *
                       extent[2] +
                   (reduced[2] ? 0 : k)];
        out = maximum ? std::max(out, values[at]) : out + values[at];
      }
    }
  }
  return result;
}

TEST(ReduceTest, AgreesWithLoopsOverAllAxes) {
  for (const Shape& shape : {Shape{2, 3, 5}, Shape{1, 4, 1}, Shape{7, 1, 33}}) {
    const Tensor x = RandomTensor(shape, DType::kF64, 1);
    for (const Axes& axes : AllAxes()) {
      const std::vector<double> want = Oracle(x, axes, false);
      const std::vector<double> got = Sum(x, axes).tensor().ToVector<double>();
      ASSERT_EQ(got.size(), want.size());
      for (size_t i = 0; i < got.size(); ++i) {
        EXPECT_NEAR(got[i], want[i], 1e-13);
      }
      EXPECT_EQ(Max(x, axes).tensor().ToVector<double>(),
                Oracle(x, axes, true));
      const double count = static_cast<double>(x.num_elements()) / want.size();
      const std::vector<double> mean =
          Mean(x, axes, {/*keep_dims=*/true}).tensor().ToVector<double>();
      for (size_t i = 0; i < mean.size(); ++i) {
        EXPECT_NEAR(mean[i], want[i] / count, 1e-14);
      }
    }
  }
}

TEST(ReduceTest, ShapesWithAndWithoutKeptAxes) {
  const Tensor x = RandomTensor({2, 3, 5}, DType::kF32, 1);
  EXPECT_EQ(Sum(x).shape(), Shape());
  EXPECT_EQ(Sum(x, {1}).shape(), Shape({2, 5}));
  EXPECT_EQ(Sum(x, {-1, 0}, {true}).shape(), Shape({1, 3, 1}));
  EXPECT_EQ(Min(x, {1}, {true}).shape(), Shape({2, 1, 5}));
  EXPECT_EQ(Max(x).shape(), Shape());
}

TEST(ReduceTest, Gradients) {
  const Tensor x = RandomTensor({2, 3, 5}, DType::kF64, 1);
  for (const Axes& axes : AllAxes()) {
    for (int kind = 0; kind < 4; ++kind) {
      SCOPED_TRACE(kind);
      SEPTET_EXPECT_OK(CheckGradients(
          [&](absl::Span<const Var> in) {
            return kind == 0   ? Sum(in[0], axes)
                   : kind == 1 ? Mean(in[0], axes, {true})
                   : kind == 2 ? Max(in[0], axes)
                               : Min(in[0], axes, {true});
          },
          {x}));
    }
  }
}

TEST(ReduceTest, EqualMaximaShareTheGradient) {
  Tape tape;
  const Var x = tape.Watch(
      Tensor::FromValues<double>({2, 3}, {1, 4, 4, 7, 7, 7}).value());
  SEPTET_ASSERT_OK_AND_ASSIGN(std::vector<Tensor> grads,
                              tape.Grad(Sum(Max(x, {1})), {x}));
  EXPECT_EQ(grads[0].ToVector<double>(),
            (std::vector<double>{0, 0.5, 0.5, 1. / 3, 1. / 3, 1. / 3}));
}

TEST(ReduceTest, EmptyTensors) {
  const Tensor x = RandomTensor({2, 0, 3}, DType::kF64, 1);
  EXPECT_EQ(Sum(x, {1}).tensor().ToVector<double>(),
            std::vector<double>(6, 0.0));
  EXPECT_EQ(Sum(x).tensor().item<double>(), 0.0);
  EXPECT_THAT(Mean(x), StatusIs(absl::StatusCode::kInvalidArgument,
                                HasSubstr("no elements to average")));
  EXPECT_THAT(Max(x, {1}), StatusIs(absl::StatusCode::kInvalidArgument,
                                    HasSubstr("nothing to choose from")));
}

TEST(ReduceTest, Errors) {
  const Tensor x = RandomTensor({2, 3}, DType::kF32, 1);
  EXPECT_THAT(Sum(x, {2}), StatusIs(absl::StatusCode::kInvalidArgument,
                                    HasSubstr("axis 2 is not within [-2, 2)")));
  EXPECT_THAT(Sum(x, {0, -2}), StatusIs(absl::StatusCode::kInvalidArgument,
                                        HasSubstr("name axis 0 twice")));
  EXPECT_THAT(Max(x.To(DType::kI32).value()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("max: x is i32 [2, 3]")));
}

TEST(ReduceTest, BitsDoNotDependOnThreads) {
  const Tensor x = RandomTensor({500, 700}, DType::kF32, 1);
  const auto run = [&](Axes axes) {
    return Sum(x, axes).tensor().ToVector<float>();
  };
  const auto a = run({0});
  const auto b = run({1});
  const auto c = run({});
  ThreadPool pool(3);
  ScopedThreadPool scope(&pool);
  EXPECT_EQ(run({0}), a);
  EXPECT_EQ(run({1}), b);
  EXPECT_EQ(run({}), c);
}

TEST(ShapeOpsTest, ReshapePermuteBroadcast) {
  const Tensor x = RandomTensor({2, 3, 4}, DType::kF64, 1);
  SEPTET_EXPECT_OK(CheckGradients(
      [](absl::Span<const Var> in) {
        return Reshape(in[0], {4, -1});
      },
      {x}));
  SEPTET_EXPECT_OK(CheckGradients(
      [](absl::Span<const Var> in) {
        return Permute(in[0], {2, 0, -2});
      },
      {x}));
  SEPTET_EXPECT_OK(CheckGradients(
      [](absl::Span<const Var> in) {
        return Reshape(Transpose(in[0]), {6, 4});
      },
      {x}));
  SEPTET_EXPECT_OK(CheckGradients(
      [](absl::Span<const Var> in) {
        return BroadcastTo(in[0], Shape({3, 2, 4}));
      },
      {RandomTensor({2, 1}, DType::kF64, 2)}));
  SEPTET_EXPECT_OK(CheckGradients(
      [](absl::Span<const Var> in) {
        return SumTo(in[0], Shape({3, 1}));
      },
      {x}));
  EXPECT_EQ(Reshape(Permute(x, {1, 0, 2}), {24}).tensor().ToVector<double>(),
            x.Permute({1, 0, 2})->ToVector<double>());
}

TEST(ShapeOpsTest, Errors) {
  const Tensor x = RandomTensor({2, 3}, DType::kF64, 1);
  EXPECT_THAT(Reshape(x, {4, 2}), StatusIs(absl::StatusCode::kInvalidArgument,
                                           HasSubstr("[4, 2]")));
  EXPECT_THAT(Reshape(x, {1, 1, 1, 1, 1, 1, 1, 1, 6}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("reshape: 9 extents, at most 8")));
  EXPECT_THAT(Permute(x, {0, 0}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("[0, 0] is not a permutation")));
  EXPECT_THAT(BroadcastTo(x, Shape({3, 3})),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("[2, 3] does not broadcast to [3, 3]")));
  EXPECT_THAT(SumTo(x, Shape({2, 2})),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("[2, 2] does not broadcast to x")));
}

}  // namespace
}  // namespace septet
