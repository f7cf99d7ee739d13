// SPDX-License-Identifier: Apache-2.0
// Fused ops against their formulas, their gradients, and their errors.
#include <cmath>
#include <cstdint>
#include <functional>
#include <optional>
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
#include "septet/core/ops/activation.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/layer_norm.h"
#include "septet/core/ops/matmul.h"
#include "septet/core/ops/op_testutil.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/ops/softmax.h"
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
  Var fused;
  {
    DispatchTrace trace;
    fused = fn(vars);
    SEPTET_ASSERT_OK(fused);
    EXPECT_THAT(trace.lines(), Contains(::testing::AnyOf(
                                   HasSubstr(name + " cpu/f64 highway"),
                                   HasSubstr(name + " cpu/f32 highway"),
                                   HasSubstr(name + " cpu/f64 core/blas"),
                                   HasSubstr(name + " cpu/f32 core/blas"))));
  }
  Var formula;
  {
    ScopedReference reference;
    DispatchTrace trace;
    formula = fn(vars);
    SEPTET_ASSERT_OK(formula);
    EXPECT_THAT(trace.lines(), Contains(HasSubstr(name + " cpu/")));
    EXPECT_THAT(trace.lines(), Contains(HasSubstr("composite")));
  }
  ExpectNear(fused.tensor(), formula.tensor(), tolerance);
}

TEST(ActivationTest, KernelMatchesFormulaAndGradients) {
  for (const ActivationKind kind : kAllActivationKinds) {
    SCOPED_TRACE(std::string(ActivationName(kind)));
    const Function fn = [&](absl::Span<const Var> in) {
      return Activation(kind, in[0]);
    };
    // Without points near the kink at 0, which have no central difference.
    const Tensor left = RandomTensor({3, 7}, DType::kF64, 1, -4.0, -0.1);
    const Tensor right = RandomTensor({3, 7}, DType::kF64, 2, 0.1, 4.0);
    for (const Tensor& x : {left, right}) {
      ExpectKernelMatchesComposite("activation", fn, {x}, 1e-14);
      ExpectKernelMatchesComposite("activation", fn,
                                   {x.To(DType::kF32).value()}, 2e-6);
      SEPTET_EXPECT_OK(CheckGradients(fn, {x}, {1e-5, 1e-7}));
    }
  }
}

TEST(ActivationTest, FormulaAndKernelAgreeOnTheDerivativeAtZero) {
  for (const ActivationKind kind : kAllActivationKinds) {
    SCOPED_TRACE(std::string(ActivationName(kind)));
    double slopes[2];
    for (int reference = 0; reference < 2; ++reference) {
      std::optional<ScopedReference> scope;
      if (reference == 1) scope.emplace();
      Tape tape;
      const Var x = tape.Watch(Tensor::Zeros({1}, DType::kF64).value());
      SEPTET_ASSERT_OK_AND_ASSIGN(std::vector<Tensor> grads,
                                  tape.Grad(Activation(kind, x), {x}));
      slopes[reference] = grads[0].item<double>();
    }
    EXPECT_NEAR(slopes[0], slopes[1], 1e-15);
  }
}

TEST(ActivationTest, SmoothFunctionsHaveTheirSecondDerivativeAtZero) {
  const Tensor zero = Tensor::Zeros({2}, DType::kF64).value();
  for (const ActivationKind kind :
       {ActivationKind::kGelu, ActivationKind::kGeluTanh,
        ActivationKind::kSwish, ActivationKind::kSoftplus,
        ActivationKind::kSigmoid, ActivationKind::kTanh,
        ActivationKind::kGaussian, ActivationKind::kSin}) {
    SCOPED_TRACE(std::string(ActivationName(kind)));
    SEPTET_EXPECT_OK(CheckGradients(
        [&](absl::Span<const Var> in) { return Activation(kind, in[0]); },
        {zero}, {1e-5, 1e-6}));
  }
}

TEST(ActivationTest, NamesParseAndOthersNameTheNearest) {
  SEPTET_ASSERT_OK_AND_ASSIGN(ActivationKind kind, ParseActivation("swish"));
  EXPECT_EQ(kind, ActivationKind::kSwish);
  EXPECT_THAT(ParseActivation("gleu"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("unknown activation 'gleu'; the nearest is "
                                 "'gelu'")));
  EXPECT_THAT(Relu(Tensor::Zeros({2}, DType::kI32).value()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("activation: x is i32 [2], expected f32 or "
                                 "f64")));
}

TEST(SoftmaxTest, KernelMatchesFormulaAndGradients) {
  for (const bool log : {false, true}) {
    for (const int64_t axis : {-1, 0, 1}) {
      SCOPED_TRACE(axis);
      const Function fn = [&](absl::Span<const Var> in) {
        return log ? LogSoftmax(in[0], axis) : Softmax(in[0], axis);
      };
      const Tensor x = RandomTensor({2, 3, 5}, DType::kF64, 1, -3, 3);
      ExpectKernelMatchesComposite(log ? "log_softmax" : "softmax", fn, {x},
                                   1e-14);
      SEPTET_EXPECT_OK(CheckGradients(fn, {x}));
    }
  }
}

TEST(SoftmaxTest, RowsSumToOneAndShiftsChangeNothing) {
  const Tensor x = RandomTensor({17, 33}, DType::kF32, 1, -50, 50);
  const Var y = Softmax(x);
  for (const double sum : Sum(y, {-1}).tensor().ToVector<double>()) {
    EXPECT_NEAR(sum, 1.0, 1e-6);
  }
  ExpectNear(Softmax(AddScalar(x, 64.0)).tensor(), y.tensor(), 5e-6);
  // exp(1000) overflows; the result does not.
  EXPECT_EQ(Softmax(Tensor::FromValues<double>({2}, {1000, 1000}).value())
                .tensor()
                .ToVector<double>(),
            (std::vector<double>{0.5, 0.5}));
}

TEST(SoftmaxTest, EmptyRowsHaveEmptyDerivatives) {
  SEPTET_EXPECT_OK(
      CheckGradients([](absl::Span<const Var> in) { return Softmax(in[0]); },
                     {Tensor::Zeros({3, 0}, DType::kF64).value()}));
}

TEST(SoftmaxTest, Errors) {
  const Tensor x = RandomTensor({2, 3}, DType::kF32, 1);
  EXPECT_THAT(Softmax(x, 2),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("softmax of x, f32 [2, 3]: axis 2")));
  EXPECT_THAT(LogSoftmax(Tensor::Scalar(1, DType::kF32).value()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("expected rank 1 to 8")));
}

TEST(LayerNormTest, KernelMatchesFormulaAndGradients) {
  const Tensor x = RandomTensor({2, 3, 6}, DType::kF64, 1, -2, 2);
  const Tensor scale = RandomTensor({6}, DType::kF64, 2, 0.5, 1.5);
  const Tensor bias = RandomTensor({6}, DType::kF64, 3);
  struct Case {
    const char* name;
    std::vector<Tensor> inputs;
    Function fn;
  };
  const std::vector<Case> cases = {
      {"both",
       {x, scale, bias},
       [](absl::Span<const Var> in) {
         return LayerNorm(in[0], in[1], in[2], 1e-5);
       }},
      {"scale",
       {x, scale},
       [](absl::Span<const Var> in) {
         return LayerNorm(in[0], in[1], Var(), 1e-6);
       }},
      {"bias",
       {x, bias},
       [](absl::Span<const Var> in) {
         return LayerNorm(in[0], Var(), in[1], 1e-5);
       }},
      {"plain",
       {x},
       [](absl::Span<const Var> in) {
         return LayerNorm(in[0], Var(), Var(), 0.0);
       }},
  };
  for (const Case& test : cases) {
    SCOPED_TRACE(test.name);
    ExpectKernelMatchesComposite("layer_norm", test.fn, test.inputs, 1e-13);
    SEPTET_EXPECT_OK(CheckGradients(test.fn, test.inputs, {1e-5, 5e-7}));
  }
}

TEST(LayerNormTest, RowsHaveMeanZeroAndVarianceOne) {
  const Tensor x = RandomTensor({5, 64}, DType::kF32, 1, 100, 101);
  const Var y = LayerNorm(x, Var(), Var(), 0.0);
  // The mean, about 100, is rounded by at most 100 eps / 2, and multiplied by
  // 1 / sigma, about 3.5; rounding each difference adds as much again.
  const double tolerance = 100.0 * 1.2e-7 * 3.5;
  for (const double mean : Mean(y, {-1}).tensor().ToVector<double>()) {
    EXPECT_NEAR(mean, 0.0, tolerance);
  }
  for (const double v : Mean(Square(y), {-1}).tensor().ToVector<double>()) {
    EXPECT_NEAR(v, 1.0, 1e-5);
  }
}

TEST(LayerNormTest, Errors) {
  const Tensor x = RandomTensor({2, 3}, DType::kF32, 1);
  EXPECT_THAT(LayerNorm(x, RandomTensor({4}, DType::kF32, 2), Var(), 1e-5),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("layer_norm: scale is f32 [4], expected axis "
                                 "0 to be 3")));
  EXPECT_THAT(LayerNorm(x, Var(), RandomTensor({3}, DType::kF64, 2), 1e-5),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("bias is f64 [3]")));
  EXPECT_THAT(
      LayerNorm(x, Var(), Var(), -1.0),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("eps is -1")));
  EXPECT_THAT(
      LayerNorm(Tensor::Zeros({2, 0}, DType::kF32).value(), Var(), Var(), 1e-5),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("expected a last axis >= 1")));
}

// a times b by definition.
Tensor Product(const Tensor& a, const Tensor& b) {
  Tensor c = Tensor::Zeros({a.dim(0), b.dim(1)}, DType::kF64).value();
  const auto va = a.ToVector<double>();
  const auto vb = b.ToVector<double>();
  for (int64_t i = 0; i < a.dim(0); ++i) {
    for (int64_t j = 0; j < b.dim(1); ++j) {
      for (int64_t k = 0; k < a.dim(1); ++k) {
        c.mutable_data<double>()[i * b.dim(1) + j] +=
            va[i * a.dim(1) + k] * vb[k * b.dim(1) + j];
      }
    }
  }
  return c;
}

TEST(MatMulTest, ValuesAndGradientsForEveryTransposition) {
  for (int t = 0; t < 4; ++t) {
    SCOPED_TRACE(t);
    const MatMulOptions options{(t & 1) != 0, (t & 2) != 0};
    const Tensor a = RandomTensor(
        options.transpose_a ? Shape{3, 2} : Shape{2, 3}, DType::kF64, 1);
    const Tensor b = RandomTensor(
        options.transpose_b ? Shape{4, 3} : Shape{3, 4}, DType::kF64, 2);
    const Tensor pa = options.transpose_a ? a.Permute({1, 0}).value() : a;
    const Tensor pb = options.transpose_b ? b.Permute({1, 0}).value() : b;
    ExpectNear(MatMul(a, b, options).tensor(), Product(pa, pb), 1e-14);
    // Transposed views, and views that need a copy.
    ExpectNear(MatMul(pa, pb).tensor(), Product(pa, pb), 1e-14);
    SEPTET_EXPECT_OK(CheckGradients(
        [&](absl::Span<const Var> in) { return MatMul(in[0], in[1], options); },
        {a, b}));
  }
  const Tensor wide = RandomTensor({4, 6}, DType::kF64, 3);
  const Tensor strided = wide.Slice(1, 0, 6, 2).value();
  const Tensor repeated =
      RandomTensor({1, 2}, DType::kF64, 4).BroadcastTo({3, 2}).value();
  ExpectNear(MatMul(strided, repeated).tensor(), Product(strided, repeated),
             1e-14);
}

TEST(MatMulTest, LeadingAxesAndEmptyExtents) {
  const Tensor a = RandomTensor({2, 3, 4}, DType::kF64, 1);
  const Tensor b = RandomTensor({4, 5}, DType::kF64, 2);
  const Var y = MatMul(a, b);
  EXPECT_EQ(y.shape(), Shape({2, 3, 5}));
  ExpectNear(y.tensor().Reshape({6, 5}).value(),
             Product(a.Reshape({6, 4}).value(), b), 1e-14);
  EXPECT_EQ(MatMul(RandomTensor({4}, DType::kF64, 1), b).shape(), Shape({5}));
  EXPECT_EQ(MatMul(RandomTensor({2, 0}, DType::kF64, 1),
                   RandomTensor({0, 3}, DType::kF64, 1))
                .tensor()
                .ToVector<double>(),
            std::vector<double>(6, 0.0));
  EXPECT_EQ(MatMul(RandomTensor({0, 4}, DType::kF64, 1), b).shape(),
            Shape({0, 5}));
}

TEST(MatMulTest, ShapesThatOverflowAreErrors) {
  const Tensor tall = Tensor::Zeros({int64_t{1} << 40, 0}, DType::kF32).value();
  const Tensor wide = Tensor::Zeros({0, int64_t{1} << 40}, DType::kF32).value();
  EXPECT_THAT(MatMul(tall, wide),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("more elements than fit")));
  EXPECT_THAT(Linear(tall, wide, Var()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("more elements than fit")));
  const Tensor empty =
      Tensor::Zeros({0, int64_t{1} << 60, 1}, DType::kF32).value();
  EXPECT_FALSE(MatMul(empty, Tensor::Zeros({1, 8}, DType::kF32).value()).ok());
}

TEST(MatMulTest, Errors) {
  const Tensor a = RandomTensor({2, 3}, DType::kF32, 1);
  const Tensor b = RandomTensor({4, 5}, DType::kF32, 2);
  EXPECT_THAT(MatMul(a, b),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("matmul: a is f32 [2, 3], b is f32 [4, 5]: 3 "
                                 "columns against 4 rows")));
  EXPECT_THAT(
      MatMul(a, b.To(DType::kF64).value()),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("dtypes differ")));
  EXPECT_THAT(MatMul(Tensor::Scalar(1, DType::kF32).value(), b),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("expected rank 1 to 8")));
}

TEST(LinearTest, KernelMatchesFormulaAndGradients) {
  for (const bool out_in : {false, true}) {
    for (const bool with_bias : {false, true}) {
      const LinearOptions options{out_in};
      std::vector<Tensor> inputs = {
          RandomTensor({2, 2, 3}, DType::kF64, 1),
          RandomTensor(out_in ? Shape{4, 3} : Shape{3, 4}, DType::kF64, 2)};
      if (with_bias) inputs.push_back(RandomTensor({4}, DType::kF64, 3));
      const Function fn = [&](absl::Span<const Var> in) {
        return Linear(in[0], in[1], with_bias ? in[2] : Var(), options);
      };
      ExpectKernelMatchesComposite("linear", fn, inputs, 1e-14);
      SEPTET_EXPECT_OK(CheckGradients(fn, inputs));
    }
  }
}

TEST(LinearTest, Errors) {
  const Tensor x = RandomTensor({2, 3}, DType::kF32, 1);
  const Tensor w = RandomTensor({3, 4}, DType::kF32, 2);
  EXPECT_THAT(Linear(x, RandomTensor({5, 4}, DType::kF32, 2), Var()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("linear: w is f32 [5, 4], expected axis 0 to "
                                 "be 3")));
  EXPECT_THAT(Linear(x, w, RandomTensor({3}, DType::kF32, 3)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("b is f32 [3], expected axis 0 to be 4")));
}

}  // namespace
}  // namespace septet
