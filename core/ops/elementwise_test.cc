// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/elementwise.h"

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
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
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::HasSubstr;

struct Binary {
  std::string name;
  Var (*op)(const Var&, const Var&);
  std::function<double(double, double)> oracle;
};

const std::vector<Binary>& Binaries() {
  static const auto* const list = new std::vector<Binary>{
      {"add", &Add, [](double a, double b) { return a + b; }},
      {"sub", &Sub, [](double a, double b) { return a - b; }},
      {"mul", &Mul, [](double a, double b) { return a * b; }},
      {"div", &Div, [](double a, double b) { return a / b; }},
      {"maximum", &Maximum, [](double a, double b) { return std::fmax(a, b); }},
      {"minimum", &Minimum, [](double a, double b) { return std::fmin(a, b); }},
  };
  return *list;
}

struct Pair {
  Shape a;
  Shape b;
};
const std::vector<Pair>& BroadcastPairs() {
  static const auto* const list = new std::vector<Pair>{
      {{}, {}},           {{3}, {3}},          {{3}, {1}},
      {{2, 3}, {3}},      {{2, 3}, {2, 1}},    {{2, 1}, {1, 3}},
      {{}, {2, 3}},       {{2, 1, 3}, {4, 1}}, {{0, 3}, {3}},
      {{1, 17}, {17, 1}}, {{2, 2, 2}, {2}},
  };
  return *list;
}

// Element `index` of x under the broadcast shape.
double At(const Tensor& x, const Shape& shape, int64_t index) {
  const Tensor spread = x.BroadcastTo(shape).value();
  return spread.ToVector<double>()[index];
}

TEST(ElementwiseTest, BinaryAgreesWithScalarsUnderEveryBroadcast) {
  for (const Binary& binary : Binaries()) {
    for (const Pair& pair : BroadcastPairs()) {
      for (const DType dtype : {DType::kF32, DType::kF64}) {
        SCOPED_TRACE(binary.name + pair.a.ToString() + pair.b.ToString());
        const Tensor a = RandomTensor(pair.a, dtype, 1, 0.5, 2);
        const Tensor b = RandomTensor(pair.b, dtype, 2, 0.5, 2);
        const Var y = binary.op(a, b);
        SEPTET_ASSERT_OK(y);
        EXPECT_EQ(y.shape(), *BroadcastShapes(pair.a, pair.b));
        const std::vector<double> got = y.tensor().ToVector<double>();
        const double eps = dtype == DType::kF32 ? 1e-7 : 1e-16;
        for (size_t i = 0; i < got.size(); ++i) {
          const double want =
              binary.oracle(At(a, y.shape(), i), At(b, y.shape(), i));
          EXPECT_NEAR(got[i], want, 2 * eps * (1 + std::abs(want)));
        }
      }
    }
  }
}

TEST(ElementwiseTest, BinaryGradients) {
  for (const Binary& binary : Binaries()) {
    for (const Pair& pair : BroadcastPairs()) {
      SCOPED_TRACE(binary.name + pair.a.ToString() + pair.b.ToString());
      SEPTET_EXPECT_OK(CheckGradients(
          [&](absl::Span<const Var> in) { return binary.op(in[0], in[1]); },
          {RandomTensor(pair.a, DType::kF64, 1, 0.5, 2),
           RandomTensor(pair.b, DType::kF64, 2, 0.5, 2)}));
    }
  }
}

TEST(ElementwiseTest, StridedViewsNeedNoCopyAndAgree) {
  const Tensor a = RandomTensor({4, 6}, DType::kF64, 1);
  const Tensor b = RandomTensor({6, 4}, DType::kF64, 2);
  const Tensor view = b.Permute({1, 0})->Slice(1, 0, 6, 2).value();
  const Tensor half = a.Slice(1, 1, 6, 2).value();
  const Var strided = Mul(half, view);
  const Var packed = Mul(half.Clone().value(), view.Clone().value());
  SEPTET_ASSERT_OK(strided);
  EXPECT_EQ(strided.tensor().ToVector<double>(),
            packed.tensor().ToVector<double>());
}

TEST(ElementwiseTest, EqualOperandsShareTheGradientOfMaximum) {
  const Tensor x = Tensor::FromValues<double>({2}, {1.0, 3.0}).value();
  Tape tape;
  const Var a = tape.Watch(x);
  const Var b = tape.Watch(x.Clone().value());
  const Var y = Maximum(a, b);
  const Tensor one = Tensor::Full({2}, 1.0, DType::kF64).value();
  SEPTET_ASSERT_OK_AND_ASSIGN(std::vector<Var> grads,
                              tape.GradVars({y}, {one}, {a, b}, false));
  EXPECT_EQ(grads[0].tensor().ToVector<double>(),
            (std::vector<double>{0.5, 0.5}));
  EXPECT_EQ(grads[1].tensor().ToVector<double>(),
            (std::vector<double>{0.5, 0.5}));
}

TEST(ElementwiseTest, EqualInfinitiesShareTheGradientToo) {
  const double inf = std::numeric_limits<double>::infinity();
  Tape tape;
  const Var a = tape.Watch(Tensor::FromValues<double>({1}, {-inf}).value());
  const Var b = tape.Watch(Tensor::FromValues<double>({1}, {-inf}).value());
  const Tensor one = Tensor::Full({1}, 1.0, DType::kF64).value();
  SEPTET_ASSERT_OK_AND_ASSIGN(
      std::vector<Var> grads,
      tape.GradVars({Minimum(a, b)}, {one}, {a, b}, false));
  EXPECT_EQ(grads[0].tensor().item<double>(), 0.5);
  EXPECT_EQ(grads[1].tensor().item<double>(), 0.5);
}

struct Unary {
  std::string name;
  Var (*op)(const Var&);
  double (*oracle)(double);
  double lo;
  double hi;
};

const std::vector<Unary>& Unaries() {
  static const auto* const list = new std::vector<Unary>{
      {"neg", &Neg, [](double x) { return -x; }, -2, 2},
      {"abs", &Abs, [](double x) { return std::fabs(x); }, 0.2, 2},
      {"abs-", &Abs, [](double x) { return std::fabs(x); }, -2, -0.2},
      {"square", &Square, [](double x) { return x * x; }, -2, 2},
      {"sqrt", &Sqrt, [](double x) { return std::sqrt(x); }, 0.3, 3},
      {"rsqrt", &Rsqrt, [](double x) { return 1 / std::sqrt(x); }, 0.3, 3},
      {"reciprocal", &Reciprocal, [](double x) { return 1 / x; }, 0.5, 2},
      {"exp", &Exp, [](double x) { return std::exp(x); }, -3, 2},
      {"expm1", &Expm1, [](double x) { return std::expm1(x); }, -1, 1},
      {"log", &Log, [](double x) { return std::log(x); }, 0.3, 4},
      {"log1p", &Log1p, [](double x) { return std::log1p(x); }, -0.5, 2},
      {"sin", &Sin, [](double x) { return std::sin(x); }, -4, 4},
      {"cos", &Cos, [](double x) { return std::cos(x); }, -4, 4},
      {"tanh", &Tanh, [](double x) { return std::tanh(x); }, -3, 3},
      {"erf", &Erf, [](double x) { return std::erf(x); }, -2, 2},
      {"erfc", &Erfc, [](double x) { return std::erfc(x); }, -2, 2},
  };
  return *list;
}

TEST(ElementwiseTest, UnaryValuesAndGradients) {
  for (const Unary& unary : Unaries()) {
    SCOPED_TRACE(unary.name);
    const Tensor x = RandomTensor({3, 5}, DType::kF64, 1, unary.lo, unary.hi);
    for (const DType dtype : {DType::kF32, DType::kF64}) {
      const Tensor rounded = x.To(dtype).value();
      const Var y = unary.op(rounded);
      SEPTET_ASSERT_OK(y);
      EXPECT_EQ(y.dtype(), dtype);
      const std::vector<double> in = rounded.ToVector<double>();
      const std::vector<double> got = y.tensor().ToVector<double>();
      const double eps = dtype == DType::kF32 ? 5e-7 : 1e-15;
      for (size_t i = 0; i < in.size(); ++i) {
        const double want = unary.oracle(in[i]);
        EXPECT_NEAR(got[i], want, eps * (1 + std::abs(want))) << in[i];
      }
    }
    SEPTET_EXPECT_OK(CheckGradients(
        [&](absl::Span<const Var> in) { return unary.op(in[0]); }, {x},
        {/*step=*/1e-5, /*tolerance=*/1e-6}));
  }
}

TEST(ElementwiseTest, AffineAndSign) {
  const Tensor x = Tensor::FromValues<double>({3}, {-2, 0, 5}).value();
  EXPECT_EQ(Affine(x, 2.0, 1.0).tensor().ToVector<double>(),
            (std::vector<double>{-3, 1, 11}));
  EXPECT_EQ(Sign(x).tensor().ToVector<double>(),
            (std::vector<double>{-1, 0, 1}));
  SEPTET_EXPECT_OK(CheckGradients(
      [](absl::Span<const Var> in) { return Affine(in[0], -1.5, 0.25); }, {x}));
  EXPECT_THAT(Affine(x, NAN, 0.0), StatusIs(absl::StatusCode::kInvalidArgument,
                                            HasSubstr("affine: scale is nan")));
  EXPECT_THAT(Scale(x.To(DType::kF32).value(), 1e300),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("expected finite numbers of f32")));
}

TEST(ElementwiseTest, ComparisonsAndWhere) {
  const Tensor a = Tensor::FromValues<double>({3}, {1, 2, 3}).value();
  const Tensor b = Tensor::Scalar(2, DType::kF64).value();
  EXPECT_EQ(Less(a, b).tensor().ToVector<int32_t>(),
            (std::vector<int32_t>{1, 0, 0}));
  EXPECT_EQ(LessEqual(a, b).tensor().ToVector<int32_t>(),
            (std::vector<int32_t>{1, 1, 0}));
  EXPECT_EQ(Greater(a, b).tensor().ToVector<int32_t>(),
            (std::vector<int32_t>{0, 0, 1}));
  EXPECT_EQ(GreaterEqual(a, b).tensor().ToVector<int32_t>(),
            (std::vector<int32_t>{0, 1, 1}));
  EXPECT_EQ(Equal(a, b).tensor().ToVector<int32_t>(),
            (std::vector<int32_t>{0, 1, 0}));
  EXPECT_EQ(Equal(a, b).dtype(), DType::kBool);
  const Tensor condition =
      Tensor::FromValues<double>({2, 1}, {1, 0})->To(DType::kBool).value();
  EXPECT_EQ(Where(condition, a, b).tensor().ToVector<double>(),
            (std::vector<double>{1, 2, 3, 2, 2, 2}));
  SEPTET_EXPECT_OK(CheckGradients(
      [&](absl::Span<const Var> in) { return Where(condition, in[0], in[1]); },
      {a, b}));
}

TEST(ElementwiseTest, IntegersAddAndCompareOnly) {
  const Tensor a = Tensor::FromValues<int64_t>({2}, {5, -7}).value();
  EXPECT_EQ(Mul(a, a).tensor().ToVector<int64_t>(),
            (std::vector<int64_t>{25, 49}));
  EXPECT_THAT(Div(a, a),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("a is i64 [2], expected f32 or f64")));
  EXPECT_THAT(Exp(a), StatusIs(absl::StatusCode::kInvalidArgument,
                               HasSubstr("exp: x is i64 [2]")));
}

TEST(ElementwiseTest, CastConvertsAndItsGradientConvertsBack) {
  const Tensor x = Tensor::FromValues<float>({2}, {1.5f, -2.25f}).value();
  EXPECT_EQ(Cast(x, DType::kI32).tensor().ToVector<int32_t>(),
            (std::vector<int32_t>{1, -2}));
  Tape tape;
  const Var v = tape.Watch(x);
  const Var y = Square(Cast(v, DType::kF64));
  const Tensor one = Tensor::Full({2}, 1.0, DType::kF64).value();
  SEPTET_ASSERT_OK_AND_ASSIGN(std::vector<Var> grads,
                              tape.GradVars({y}, {one}, {v}, false));
  EXPECT_EQ(grads[0].dtype(), DType::kF32);
  EXPECT_EQ(grads[0].tensor().ToVector<float>(),
            (std::vector<float>{3.0f, -4.5f}));
}

TEST(ElementwiseTest, ErrorsNameBothOperands) {
  const Tensor a = RandomTensor({2, 3}, DType::kF32, 1);
  const Tensor b = RandomTensor({4}, DType::kF32, 2);
  const Tensor c = RandomTensor({3}, DType::kF64, 3);
  for (const Binary& binary : Binaries()) {
    EXPECT_THAT(
        binary.op(a, b),
        StatusIs(absl::StatusCode::kInvalidArgument,
                 HasSubstr(binary.name +
                           ": shapes [2, 3] and [4] do not broadcast")));
    EXPECT_THAT(binary.op(a, c),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("dtypes differ: a is f32 [2, 3], b is "
                                   "f64 [3]")));
    EXPECT_THAT(binary.op(a, Var()),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("b is not given")));
    EXPECT_THAT(binary.op(Var(), a),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("input 0 is not given")));
  }
  EXPECT_THAT(Where(a, a, a),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("condition is f32 [2, 3], expected bool")));
  // An error passes through a formula unchanged.
  EXPECT_THAT(Exp(Mul(Add(a, b), a)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       ::testing::StartsWith("add: ")));
}

TEST(ElementwiseTest, BitsDoNotDependOnThreads) {
  const Tensor a = RandomTensor({300, 1000}, DType::kF32, 1);
  const Tensor b = RandomTensor({300, 1}, DType::kF32, 2);
  const auto run = [&] {
    return Tanh(Add(Mul(a, b), a)).tensor().ToVector<float>();
  };
  const std::vector<float> serial = run();
  ThreadPool pool(3);
  ScopedThreadPool scope(&pool);
  EXPECT_EQ(run(), serial);
}

}  // namespace
}  // namespace septet
