// SPDX-License-Identifier: Apache-2.0
// RMSNorm and GroupNorm against their formulas, their gradients, what they
// leave unchanged, threads, and their errors.
#include <cstdint>
#include <functional>
#include <string>
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
#include "septet/core/ops/group_norm.h"
#include "septet/core/ops/layer_norm.h"
#include "septet/core/ops/op_testutil.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/ops/rms_norm.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using Function = std::function<Var(absl::Span<const Var>)>;

// The fused op `name` on these inputs, by its kernel and by its composite.
void ExpectKernelMatchesComposite(const std::string& name, const Function& fn,
                                  const std::vector<Tensor>& inputs,
                                  double tolerance) {
  const std::vector<Var> vars(inputs.begin(), inputs.end());
  DispatchTrace trace;
  const Var fused = fn(vars);
  SEPTET_ASSERT_OK(fused);
  EXPECT_THAT(trace.lines(), Contains(HasSubstr(name + " cpu/")));
  EXPECT_THAT(trace.lines(), Contains(HasSubstr("highway")));
  ScopedReference reference;
  DispatchTrace reference_trace;
  const Var formula = fn(vars);
  SEPTET_ASSERT_OK(formula);
  EXPECT_THAT(reference_trace.lines(), Contains(HasSubstr("composite")));
  ExpectNear(fused.tensor(), formula.tensor(), tolerance);
}

Tensor ToF32(const Tensor& x) { return x.To(DType::kF32).value(); }

TEST(RmsNormTest, KernelMatchesFormulaAndGradients) {
  for (const int64_t n : {1, 2, 7, 8, 9, 16, 17, 33}) {
    SCOPED_TRACE(n);
    const Tensor x = RandomTensor({2, 3, n}, DType::kF64, 1, 0.3, 2);
    const Tensor scale = RandomTensor({n}, DType::kF64, 2, 0.5, 1.5);
    const Function scaled = [](absl::Span<const Var> in) {
      return RmsNorm(in[0], in[1], 1e-5);
    };
    const Function plain = [](absl::Span<const Var> in) {
      return RmsNorm(in[0], Var(), 0.1);
    };
    ExpectKernelMatchesComposite("rms_norm", scaled, {x, scale}, 1e-14);
    ExpectKernelMatchesComposite("rms_norm", plain, {x}, 1e-14);
    ExpectKernelMatchesComposite("rms_norm", scaled, {ToF32(x), ToF32(scale)},
                                 2e-6);
    if (n > 9) continue;
    SEPTET_EXPECT_OK(CheckGradients(scaled, {x, scale}, {1e-5, 5e-7}));
    SEPTET_EXPECT_OK(CheckGradients(plain, {x}, {1e-5, 5e-7}));
  }
}

TEST(RmsNormTest, RowsHaveMeanSquareOneAndScaleDropsOut) {
  const Tensor x = RandomTensor({5, 64}, DType::kF64, 1, -3, 4);
  const Var y = RmsNorm(x, Var(), 0.0);
  for (const double v : Mean(Square(y), {-1}).tensor().ToVector<double>()) {
    EXPECT_NEAR(v, 1.0, 1e-14);
  }
  ExpectNear(RmsNorm(Scale(x, -1024), Var(), 0.0).tensor(), Neg(y).tensor(), 0);
}

TEST(RmsNormTest, EmptyRowsAndErrors) {
  const Tensor x = RandomTensor({2, 3}, DType::kF32, 1);
  const Tensor scale = RandomTensor({4}, DType::kF64, 2);
  SEPTET_EXPECT_OK(CheckGradients(
      [](absl::Span<const Var> in) { return RmsNorm(in[0], in[1], 1e-5); },
      {Tensor::Zeros({0, 4}, DType::kF64).value(), scale}));
  EXPECT_THAT(RmsNorm(x, RandomTensor({4}, DType::kF32, 2), 1e-5),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("rms_norm: scale is f32 [4], expected axis 0 "
                                 "to be 3 (the last axis of x)")));
  EXPECT_THAT(RmsNorm(x, scale, 1e-5),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("dtypes differ: x is f32 [2, 3], scale is "
                                 "f64 [4]")));
  EXPECT_THAT(RmsNorm(x, RandomTensor({3, 1}, DType::kF32, 2), 1e-5),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("scale is f32 [3, 1], expected rank 1")));
  EXPECT_THAT(RmsNorm(x, Var(), -1.0),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("eps is -1, expected a finite number >= 0")));
  EXPECT_THAT(RmsNorm(Tensor::Zeros({2, 0}, DType::kF32).value(), Var(), 0),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("expected a last axis >= 1")));
  EXPECT_THAT(RmsNorm(Tensor::Zeros({2}, DType::kI32).value(), Var(), 0),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("x is i32 [2], expected f32 or f64")));
  EXPECT_THAT(RmsNorm(Tensor::Scalar(1, DType::kF32).value(), Var(), 0),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("expected rank 1 to 8")));
}

TEST(GroupNormTest, KernelMatchesFormulaAndGradients) {
  struct Case {
    Shape shape;
    int64_t groups;
    bool gradients;
  };
  const std::vector<Case> cases = {
      {{3, 6}, 2, true},       {{2, 3, 4}, 2, true}, {{1, 2, 3, 6}, 3, true},
      {{2, 5, 3}, 1, true},    {{2, 4, 3}, 3, true}, {{2, 9, 17, 5}, 5, false},
      {{2, 70, 64}, 4, false}, {{33, 48}, 3, false}, {{1, 3, 2, 129}, 3, false},
      {{4, 1, 1}, 1, false}};
  for (const Case& test : cases) {
    SCOPED_TRACE(test.shape.ToString());
    const int64_t channels = test.shape.dim(test.shape.rank() - 1);
    const Tensor x = RandomTensor(test.shape, DType::kF64, 1, -2, 2);
    const Tensor scale = RandomTensor({channels}, DType::kF64, 2, 0.5, 1.5);
    const Tensor bias = RandomTensor({channels}, DType::kF64, 3);
    const Function both = [&](absl::Span<const Var> in) {
      return GroupNorm(in[0], test.groups, in[1], in[2], 1e-2);
    };
    const Function plain = [&](absl::Span<const Var> in) {
      return GroupNorm(in[0], test.groups, Var(), Var(), 1e-2);
    };
    const Function with_bias = [&](absl::Span<const Var> in) {
      return GroupNorm(in[0], test.groups, Var(), in[1], 1e-2);
    };
    ExpectKernelMatchesComposite("group_norm", both, {x, scale, bias}, 2e-14);
    ExpectKernelMatchesComposite("group_norm", plain, {x}, 2e-14);
    ExpectKernelMatchesComposite("group_norm", both,
                                 {ToF32(x), ToF32(scale), ToF32(bias)}, 4e-6);
    if (!test.gradients) continue;
    SEPTET_EXPECT_OK(CheckGradients(both, {x, scale, bias}, {1e-5, 5e-7}));
    SEPTET_EXPECT_OK(CheckGradients(plain, {x}, {1e-5, 5e-7}));
    SEPTET_EXPECT_OK(CheckGradients(with_bias, {x, bias}, {1e-5, 5e-7}));
  }
}

TEST(GroupNormTest, IsLayerNormPerHeadAndOverAllForOneGroup) {
  const Tensor x = RandomTensor({10, 24}, DType::kF64, 1, 1, 3);
  const Var heads = Reshape(x, {10, 4, 6});
  ExpectNear(GroupNorm(x, 4, Var(), Var(), 1e-6).tensor(),
             Reshape(LayerNorm(heads, Var(), Var(), 1e-6), {10, 24}).tensor(),
             0);
  const Tensor image = RandomTensor({2, 5, 3, 6}, DType::kF64, 2, 1, 3);
  ExpectNear(GroupNorm(image, 1, Var(), Var(), 1e-6).tensor(),
             Reshape(LayerNorm(Reshape(image, {2, 90}), Var(), Var(), 1e-6),
                     {2, 5, 3, 6})
                 .tensor(),
             1e-14);
}

TEST(GroupNormTest, EmptyBatchesAndErrors) {
  const Tensor x = RandomTensor({2, 3, 6}, DType::kF32, 1);
  SEPTET_EXPECT_OK(CheckGradients(
      [](absl::Span<const Var> in) {
        return GroupNorm(in[0], 2, in[1], Var(), 1e-5);
      },
      {Tensor::Zeros({0, 3, 4}, DType::kF64).value(),
       RandomTensor({4}, DType::kF64, 2)}));
  for (const int64_t groups : {0, -1, 4, 12}) {
    EXPECT_THAT(
        GroupNorm(x, groups, Var(), Var(), 1e-5),
        StatusIs(absl::StatusCode::kInvalidArgument,
                 HasSubstr("group_norm: groups is " + std::to_string(groups) +
                           ", expected a divisor of the 6 channels of x, f32 "
                           "[2, 3, 6]")));
  }
  EXPECT_THAT(GroupNorm(x, 2, RandomTensor({2}, DType::kF32, 2), Var(), 1e-5),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("scale is f32 [2], expected axis 0 to be 6")));
  EXPECT_THAT(GroupNorm(x, 2, Var(), RandomTensor({6}, DType::kF64, 2), 1e-5),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("bias is f64 [6]")));
  EXPECT_THAT(
      GroupNorm(x, 2, Var(), Var(), -0.5),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("eps is -0.5")));
  EXPECT_THAT(GroupNorm(Tensor::Zeros({2, 0, 6}, DType::kF32).value(), 2, Var(),
                        Var(), 1e-5),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("expected axes from 1 on >= 1")));
  EXPECT_THAT(GroupNorm(RandomTensor({6}, DType::kF32, 2), 2, Var(), Var(), 0),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("expected rank 2 to 8")));
  EXPECT_THAT(
      GroupNorm(Tensor::Zeros({2, 6}, DType::kI64).value(), 2, Var(), Var(), 0),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("x is i64 [2, 6], expected f32 or f64")));
}

TEST(NormTest, ThreadsChangeNoBit) {
  // Several blocks forward and backward, of rows that are not all whole.
  const Tensor x = RandomTensor({1100, 1, 603}, DType::kF32, 1, -1, 2);
  const Tensor scale = RandomTensor({603}, DType::kF32, 2);
  const Tensor bias = RandomTensor({603}, DType::kF32, 3);
  const std::vector<Function> functions = {
      [](absl::Span<const Var> in) {
        return LayerNorm(in[0], in[1], in[2], 1e-5);
      },
      [](absl::Span<const Var> in) { return RmsNorm(in[0], in[1], 1e-5); },
      [](absl::Span<const Var> in) {
        return GroupNorm(in[0], 9, in[1], in[2], 1e-5);
      },
      [](absl::Span<const Var> in) {
        return GroupNorm(Reshape(in[0], {220, 5, 603}), 9, in[1], in[2], 1e-5);
      }};
  for (const Function& fn : functions) {
    std::vector<std::vector<float>> first;
    for (const int threads : {1, 2, 3}) {
      ThreadPool pool(threads);
      ScopedThreadPool scope(&pool);
      Tape tape;
      const std::vector<Var> in = {tape.Watch(x), tape.Watch(scale),
                                   tape.Watch(bias)};
      const Var y = fn(in);
      SEPTET_ASSERT_OK_AND_ASSIGN(std::vector<Tensor> grads,
                                  tape.Grad(Sum(Square(y)), in));
      std::vector<std::vector<float>> all = {y.tensor().ToVector<float>()};
      for (const Tensor& grad : grads) all.push_back(grad.ToVector<float>());
      if (first.empty()) first = all;
      EXPECT_TRUE(all == first) << threads << " threads";
    }
  }
}

}  // namespace
}  // namespace septet
