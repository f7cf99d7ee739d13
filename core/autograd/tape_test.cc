// SPDX-License-Identifier: Apache-2.0
#include "septet/core/autograd/tape.h"

#include <cmath>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/autograd/gradient_checker.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/ops/activation.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/layer_norm.h"
#include "septet/core/ops/matmul.h"
#include "septet/core/ops/op_testutil.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/tensor/allocator.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

const Op& CubeOp();

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Tensor Vector(std::vector<double> values) {
  return Tensor::FromValues<double>({static_cast<int64_t>(values.size())},
                                    values)
      .value();
}

TEST(TapeTest, ExampleOfTheHeader) {
  const Tensor x = RandomTensor({8, 3}, DType::kF64, 1);
  const Tensor y = RandomTensor({8, 1}, DType::kF64, 2);
  Tape tape;
  const Var w = tape.Watch(RandomTensor({3, 1}, DType::kF64, 3));
  const Var loss = Mean(Square(Sub(MatMul(x, w), y)));
  SEPTET_ASSERT_OK(loss);
  SEPTET_ASSERT_OK_AND_ASSIGN(std::vector<Tensor> grads, tape.Grad(loss, {w}));
  // 2/8 x^T (x w - y).
  const Var want =
      Scale(MatMul(x, Sub(MatMul(x, w.Detach()), y), {true, false}), 2.0 / 8);
  ExpectNear(grads[0], want.tensor(), 1e-14);
}

TEST(TapeTest, ContributionsAddUp) {
  Tape tape;
  const Var x = tape.Watch(Vector({3, -2}));
  Var y = x;
  for (int i = 0; i < 5; ++i) y = Add(y, Mul(x, x));
  const Var loss = Sum(y);
  SEPTET_ASSERT_OK_AND_ASSIGN(std::vector<Tensor> grads, tape.Grad(loss, {x}));
  EXPECT_THAT(grads[0].ToVector<double>(), ElementsAre(31, -19));
}

TEST(TapeTest, AccumulationDoesNotWriteIntoSharedTensors) {
  // add passes its cotangent to both inputs as one tensor.
  Tape tape;
  const Var a = tape.Watch(Vector({1, 2}));
  const Var b = tape.Watch(Vector({3, 4}));
  const Var s = Add(a, b);
  const Var loss = Sum(Add(Add(s, a), a));
  SEPTET_ASSERT_OK_AND_ASSIGN(std::vector<Tensor> grads,
                              tape.Grad(loss, {a, b, s}));
  EXPECT_THAT(grads[0].ToVector<double>(), ElementsAre(3, 3));
  EXPECT_THAT(grads[1].ToVector<double>(), ElementsAre(1, 1));
  EXPECT_THAT(grads[2].ToVector<double>(), ElementsAre(1, 1));
  // A second walk is not disturbed by the first.
  SEPTET_ASSERT_OK_AND_ASSIGN(std::vector<Tensor> again,
                              tape.Grad(loss, {a, b}));
  EXPECT_THAT(again[0].ToVector<double>(), ElementsAre(3, 3));
}

TEST(TapeTest, IndependentInputsHaveZeroGradient) {
  Tape tape;
  const Var x = tape.Watch(Vector({1, 2}));
  const Var unused = tape.Watch(Vector({1, 2, 3}));
  const Var constant = Sum(Var(Vector({5})));
  SEPTET_ASSERT_OK_AND_ASSIGN(std::vector<Tensor> grads,
                              tape.Grad(Sum(x), {unused, x}));
  EXPECT_THAT(grads[0].ToVector<double>(), ElementsAre(0, 0, 0));
  EXPECT_THAT(grads[1].ToVector<double>(), ElementsAre(1, 1));
  SEPTET_ASSERT_OK_AND_ASSIGN(grads, tape.Grad(constant, {x}));
  EXPECT_THAT(grads[0].ToVector<double>(), ElementsAre(0, 0));
}

TEST(TapeTest, DetachStopsTheGradient) {
  Tape tape;
  const Var x = tape.Watch(Vector({3}));
  SEPTET_ASSERT_OK_AND_ASSIGN(std::vector<Tensor> grads,
                              tape.Grad(Sum(Mul(x, x.Detach())), {x}));
  EXPECT_THAT(grads[0].ToVector<double>(), ElementsAre(3));
}

TEST(TapeTest, HigherDerivativesOfAComposition) {
  // d^3/dx^3 of x^4 is 24 x.
  Tape tape;
  const Var x = tape.Watch(Vector({1.5}));
  Var y = Square(Square(x));
  const Tensor one = Vector({1});
  for (int order = 0; order < 3; ++order) {
    SEPTET_ASSERT_OK_AND_ASSIGN(std::vector<Var> grads,
                                tape.GradVars({y}, {one}, {x}, true));
    y = grads[0];
  }
  EXPECT_NEAR(y.tensor().item<double>(), 24 * 1.5, 1e-12);
}

TEST(TapeTest, SecondOrderThroughFusedOpsWithSharedHistory) {
  // Both inputs of layer_norm depend on x: its composite must not walk their
  // history twice.
  SEPTET_EXPECT_OK(CheckGradients(
      [](absl::Span<const Var> in) {
        const Var h = Square(in[0]);
        return LayerNorm(h, Mean(h, {0}), Var(), 1e-3);
      },
      {RandomTensor({2, 4}, DType::kF64, 1, 0.5, 2)}, {1e-5, 2e-6}));
  SEPTET_EXPECT_OK(CheckGradients(
      [](absl::Span<const Var> in) {
        const Var h = Linear(in[0], in[1], in[2]);
        return Linear(Activation(ActivationKind::kGeluTanh, h), Square(in[1]),
                      Var());
      },
      {RandomTensor({2, 3}, DType::kF64, 1),
       RandomTensor({3, 3}, DType::kF64, 2), RandomTensor({3}, DType::kF64, 3)},
      {1e-5, 1e-6}));
}

TEST(TapeTest, JvpEqualsJacobianTimesTangent) {
  const Tensor x = RandomTensor({4}, DType::kF64, 1);
  const Tensor t = RandomTensor({4}, DType::kF64, 2);
  SEPTET_ASSERT_OK_AND_ASSIGN(
      std::vector<Tensor> got,
      Jvp(
          [](absl::Span<const Var> in) -> std::vector<Var> {
            return {Sin(in[0]), Sum(Square(in[0]))};
          },
          {x}, {t}));
  ExpectNear(got[0], Mul(Cos(x), t).tensor(), 1e-15);
  ExpectNear(got[1], Scale(Sum(Mul(x, t)), 2.0).tensor(), 1e-15);
}

TEST(TapeTest, JvpAddsUpOverRepeatedAndIntermediateInputs) {
  // The transpose of Grad: <Jvp(t), v> = <t, Vjp(v)>.
  Tape tape;
  const Var x = tape.Watch(Vector({3}));
  const Var y = Square(x);
  const Var z = Add(y, x);
  SEPTET_ASSERT_OK_AND_ASSIGN(
      std::vector<Tensor> got,
      tape.Jvp({z}, {x, y, x}, {Vector({1}), Vector({10}), Vector({2})}));
  EXPECT_EQ(got[0].item<double>(), 3 * 7 + 10);
  SEPTET_ASSERT_OK_AND_ASSIGN(std::vector<Tensor> grads,
                              tape.Grad(Sum(z), {x, y, x}));
  EXPECT_EQ(grads[0].item<double>() * 1 + grads[1].item<double>() * 10 +
                grads[2].item<double>() * 2,
            3 * 7 + 10);
}

TEST(TapeTest, IntegersStopDerivativesBothWays) {
  Tape tape;
  const Var x = tape.Watch(Vector({1.5}));
  const Var y = Cast(Cast(x, DType::kI64), DType::kF64);
  SEPTET_ASSERT_OK_AND_ASSIGN(std::vector<Tensor> forward,
                              tape.Jvp({y}, {x}, {Vector({2})}));
  EXPECT_EQ(forward[0].item<double>(), 0);
  SEPTET_ASSERT_OK_AND_ASSIGN(std::vector<Tensor> reverse,
                              tape.Grad(Sum(y), {x}));
  EXPECT_EQ(reverse[0].item<double>(), 0);
}

TEST(TapeTest, HalfPrecisionContributionsAddUp) {
  Tape tape;
  const Var x = tape.Watch(Vector({1, 2}).To(DType::kBF16).value());
  const Var y = Add(Cast(x, DType::kF32), Cast(x, DType::kF32));
  SEPTET_ASSERT_OK_AND_ASSIGN(std::vector<Tensor> grads,
                              tape.Grad(Sum(y), {x}));
  EXPECT_EQ(grads[0].dtype(), DType::kBF16);
  EXPECT_THAT(grads[0].ToVector<double>(), ElementsAre(2, 2));
}

TEST(TapeTest, OutputsNamedTwiceAddUp) {
  Tape tape;
  const Var x = tape.Watch(Vector({1, 2}));
  const Var y = Square(x);
  const Tensor seed = Vector({1, 1});
  SEPTET_ASSERT_OK_AND_ASSIGN(std::vector<Var> grads,
                              tape.GradVars({y, y}, {seed, seed}, {x}, false));
  EXPECT_THAT(grads[0].tensor().ToVector<double>(), ElementsAre(4, 8));
  EXPECT_THAT(seed.ToVector<double>(), ElementsAre(1, 1));
}

TEST(TapeTest, WithoutAGraphTheResultsAreConstants) {
  Tape tape;
  const Var a = tape.Watch(Vector({3}));
  const Var v = tape.Watch(Vector({1}));
  const Var y = Mul(a, a);
  SEPTET_ASSERT_OK_AND_ASSIGN(std::vector<Var> grads,
                              tape.GradVars({y}, {v}, {a}, false));
  EXPECT_EQ(grads[0].tape(), nullptr);
  EXPECT_EQ(grads[0].tensor().item<double>(), 6);
}

TEST(TapeTest, GradientsAreRowMajorAndTheirOwn) {
  Tape tape;
  const Var w = tape.Watch(RandomTensor({2, 3}, DType::kF64, 1));
  const Var u = tape.Watch(RandomTensor({2, 3}, DType::kF64, 2));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      std::vector<Tensor> grads,
      tape.Grad(Add(Sum(Square(Add(w, u))), Sum(w)), {w, u, w}));
  for (const Tensor& grad : grads) {
    EXPECT_TRUE(grad.IsContiguous());
    EXPECT_TRUE(grad.IsUnique());
  }
  SEPTET_ASSERT_OK_AND_ASSIGN(grads, tape.Grad(Sum(w), {w}));
  EXPECT_TRUE(grads[0].IsContiguous());
}

TEST(TapeTest, AVarOfATapeThatIsGoneIsKnownAsStale) {
  auto first = std::make_unique<Tape>();
  const Var stale = first->Watch(Vector({1}));
  first->~Tape();
  new (first.get()) Tape;  // a new tape at the same address
  EXPECT_THAT(Add(stale, stale), StatusIs(absl::StatusCode::kFailedPrecondition,
                                          HasSubstr("last Reset()")));
}

TEST(TapeTest, JvpDoesNotRunWhatTheOutputsDoNotNeed) {
  static const Op& op = RegisterOp([] {
    OpDef def;
    def.name = "test_without_derivative";
    def.infer = [](const InferArgs& args) {
      args.outputs[0] = {args.input(0).shape(), args.input(0).dtype()};
      return absl::OkStatus();
    };
    def.view = [](const Tensor& x, const Attrs&) -> absl::StatusOr<Tensor> {
      return x;
    };
    return def;
  }());
  Tape tape;
  const Var x = tape.Watch(Vector({2}));
  const Var y = Square(x);
  const Var other = Apply(op, {&x});
  SEPTET_ASSERT_OK_AND_ASSIGN(std::vector<Tensor> got,
                              tape.Jvp({y}, {x}, {Vector({1})}));
  EXPECT_EQ(got[0].item<double>(), 4);
  EXPECT_THAT(tape.Jvp({other}, {x}, {Vector({1})}),
              StatusIs(absl::StatusCode::kUnimplemented,
                       HasSubstr("no forward derivative")));
  EXPECT_THAT(tape.Grad(Sum(other), {x}),
              StatusIs(absl::StatusCode::kUnimplemented,
                       HasSubstr("has no derivative")));
}

TEST(TapeTest, MoreInputsThanAMaskHasBitsAreAnError) {
  const Var x = Vector({1});
  const std::vector<const Var*> inputs(65, &x);
  EXPECT_THAT(Apply(CubeOp(), inputs),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("65 inputs, at most 64")));
}

TEST(TapeTest, MissingValuesAreErrors) {
  Tape tape;
  const Var x = tape.Watch(Vector({1}));
  EXPECT_THAT(tape.GradVars({Var()}, {Vector({1})}, {x}, false),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("output 0 has no value")));
  EXPECT_THAT(tape.Jvp({x}, {x}, {Tensor()}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("tangent is not given")));
}

TEST(TapeTest, ErrorsNameWhatIsWrong) {
  Tape tape;
  const Var x = tape.Watch(Vector({1, 2}));
  EXPECT_THAT(tape.Grad(x, {x}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("the loss is f64 [2], expected one element")));
  const Var loss = Sum(x);
  EXPECT_THAT(tape.Grad(loss, {Var(Vector({1}))}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("wrt 0 is a constant")));
  const Var count = tape.Watch(Tensor::Zeros({2}, DType::kI64).value());
  EXPECT_THAT(tape.Grad(loss, {count}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("expected a floating dtype")));
  EXPECT_THAT(tape.GradVars({loss}, {Vector({1, 2})}, {x}, false),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("cotangent is f64 [2], expected f64 []")));
  EXPECT_THAT(tape.GradVars({loss}, {}, {x}, false),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("1 outputs, but 0 cotangents")));
  EXPECT_THAT(tape.Jvp({loss}, {x}, {Vector({1})}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("tangent is f64 [1], expected f64 [2]")));

  Tape other;
  const Var y = other.Watch(Vector({1, 2}));
  EXPECT_THAT(Add(x, y), StatusIs(absl::StatusCode::kInvalidArgument,
                                  HasSubstr("two different tapes")));
  EXPECT_THAT(other.Grad(loss, {y}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("belongs to another tape")));
  tape.Reset();
  EXPECT_THAT(Add(x, x), StatusIs(absl::StatusCode::kFailedPrecondition,
                                  HasSubstr("last Reset()")));
  EXPECT_THAT(tape.Grad(loss, {x}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("last Reset()")));
}

TEST(VarDeathTest, ReadingAnErrorAborts) {
  const Var failed = absl::InvalidArgumentError("no such thing");
  EXPECT_FALSE(failed.ok());
  EXPECT_DEATH((void)failed.tensor(), "no such thing");
}

// The values that no derivative reads are not kept.
TEST(TapeTest, ReleasesWhatNoDerivativeReads) {
  const Tensor x = RandomTensor({1 << 16}, DType::kF64, 1);
  const int64_t before = CpuAllocator().Stats().live_bytes;
  Tape tape;
  Var y = tape.Watch(x);
  for (int i = 0; i < 10; ++i) y = AddScalar(y, 1.0);
  const int64_t held = CpuAllocator().Stats().live_bytes - before;
  EXPECT_LT(held, 2 * (int64_t{8} << 16));
}

TEST(TapeTest, GradReleasesWhatTheWalkHasPassed) {
  const Tensor x = RandomTensor({1 << 16}, DType::kF64, 1);
  constexpr int64_t kBytes = int64_t{8} << 16;
  const int64_t before = CpuAllocator().Stats().live_bytes;
  Tape tape;
  const auto loss_of = [&](Var* leaf) {
    *leaf = tape.Watch(x);
    Var y = *leaf;
    for (int i = 0; i < 10; ++i) y = Square(y);  // keeps its input
    return Sum(y);
  };
  Var leaf;
  Var loss = loss_of(&leaf);
  std::vector<Tensor> kept = tape.Grad(loss, {leaf}).value();
  EXPECT_GE(CpuAllocator().Stats().live_bytes - before, 10 * kBytes);
  // The tape is as it was: the same again.
  EXPECT_EQ(tape.Grad(loss, {leaf}).value()[0].ToVector<double>(),
            kept[0].ToVector<double>());

  tape.Reset();
  loss = loss_of(&leaf);
  const std::vector<Tensor> released =
      tape.Grad(loss, {leaf}, {/*release=*/true}).value();
  EXPECT_EQ(released[0].ToVector<double>(), kept[0].ToVector<double>());
  kept.clear();
  EXPECT_LT(CpuAllocator().Stats().live_bytes - before, 2 * kBytes);

  constexpr char kMessage[] = "the tape has released its ops in Grad()";
  const auto refused = [&](const absl::Status& status) {
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition,
                                 HasSubstr(kMessage)));
  };
  refused(tape.Grad(loss, {leaf}).status());
  refused(tape.GradVars({loss}, {Var()}, {leaf}, true).status());
  refused(tape.Jvp({loss}, {leaf}, {x}).status());
  refused(Square(leaf).status());
  tape.Reset();
  loss = loss_of(&leaf);
  SEPTET_EXPECT_OK(tape.Grad(loss, {leaf}));
}

// A value that is asked for is kept, though the walk goes past it.
TEST(TapeTest, ReleaseKeepsWhatIsAskedFor) {
  Tape tape;
  const Var x = tape.Watch(Tensor::FromValues<double>({2}, {2, 3}).value());
  const Var y = Square(x);
  const Var loss = Sum(Square(y));
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> grads,
                              tape.Grad(loss, {x, y}, {/*release=*/true}));
  EXPECT_THAT(grads[0].ToVector<double>(), ElementsAre(32, 108));
  EXPECT_THAT(grads[1].ToVector<double>(), ElementsAre(8, 18));
}

// One training step of a small network; returns the loss.
double Step(Tape* tape, const std::vector<Tensor>& parameters, const Tensor& x,
            const Tensor& y) {
  tape->Reset();
  std::vector<Var> p;
  for (const Tensor& parameter : parameters)
    p.push_back(tape->Watch(parameter));
  Var h = Activation(ActivationKind::kGeluTanh, Linear(x, p[0], p[1]));
  h = LayerNorm(h, p[2], p[3], 1e-6);
  const Var loss = Mean(Square(Sub(Linear(h, p[4], Var()), y)));
  const std::vector<Tensor> grads = tape->Grad(loss, p).value();
  for (size_t i = 0; i < grads.size(); ++i) {
    SEPTET_EXPECT_OK(parameters[i].CopyFrom(
        Sub(parameters[i], Scale(grads[i], 0.05)).tensor()));
  }
  return loss.tensor().item<double>();
}

TEST(TapeTest, ASteadyStepTakesNoTensorMemoryFromTheSystem) {
  const Tensor x = RandomTensor({64, 20}, DType::kF32, 1);
  const Tensor y = RandomTensor({64, 1}, DType::kF32, 2);
  const std::vector<Tensor> parameters = {
      RandomTensor({20, 32}, DType::kF32, 3),
      RandomTensor({32}, DType::kF32, 4),
      RandomTensor({32}, DType::kF32, 5, 0.5, 1.5),
      RandomTensor({32}, DType::kF32, 6),
      RandomTensor({32, 1}, DType::kF32, 7)};
  Tape tape;
  double first = 0;
  for (int i = 0; i < 3; ++i) {
    const double loss = Step(&tape, parameters, x, y);
    if (i == 0) first = loss;
  }
  const int64_t before = CpuAllocator().Stats().system_allocations;
  const int64_t live = CpuAllocator().Stats().live_bytes;
  double last = 0;
  for (int i = 0; i < 50; ++i) last = Step(&tape, parameters, x, y);
  EXPECT_EQ(CpuAllocator().Stats().system_allocations, before);
  EXPECT_EQ(CpuAllocator().Stats().live_bytes, live);
  EXPECT_LT(last, first);
}

// --- The op protocol ------------------------------------------------------

// x^3 with a kernel for f64 alone and a derivative for the composite alone.
const Op& CubeOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "test_cube";
    def.infer = [](const InferArgs& args) {
      args.outputs[0] = {args.input(0).shape(), args.input(0).dtype()};
      return absl::OkStatus();
    };
    def.composite = [](CompositeArgs& args) {
      args.outputs[0] = Mul(args.inputs[0], Square(args.inputs[0]));
    };
    const Op& registered = RegisterOp(def);
    RegisterKernel("test_cube", DeviceType::kCpu, DType::kF64, "loop",
                   [](const KernelArgs& args) {
                     const double* x = args.input(0).data<double>();
                     double* y = args.outputs[0].mutable_data<double>();
                     for (int64_t i = 0; i < args.input(0).num_elements();
                          ++i) {
                       y[i] = x[i] * x[i] * x[i];
                     }
                     return absl::OkStatus();
                   });
    return registered;
  }();
  return op;
}

TEST(OpTest, KernelWhereThereIsOneElseComposite) {
  const Tensor x = Vector({2});
  DispatchTrace trace;
  const Var in64 = x;
  const Var in32 = x.To(DType::kF32).value();
  EXPECT_EQ(Apply(CubeOp(), {&in64}).tensor().item<double>(), 8);
  EXPECT_EQ(Apply(CubeOp(), {&in32}).tensor().item<double>(), 8);
  EXPECT_THAT(trace.lines(), ::testing::IsSupersetOf(
                                 {std::string("test_cube cpu/f64 loop"),
                                  std::string("test_cube cpu/f32 composite")}));
  EXPECT_EQ(CubeOp().LinkedKernels(), "cpu/f64");
  EXPECT_EQ(FindOp("test_cube"), &CubeOp());
  EXPECT_EQ(FindOp("no_such_op"), nullptr);
}

TEST(OpTest, DerivativesOfLastResortComeFromTheComposite) {
  SEPTET_EXPECT_OK(CheckGradients(
      [](absl::Span<const Var> in) { return Apply(CubeOp(), {&in[0]}); },
      {RandomTensor({5}, DType::kF64, 1)}));
}

TEST(OpTest, WithoutKernelAndCompositeTheErrorListsWhatIsLinked) {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "test_bare";
    def.infer = [](const InferArgs& args) {
      args.outputs[0] = {args.input(0).shape(), args.input(0).dtype()};
      return absl::OkStatus();
    };
    const Op& registered = RegisterOp(def);
    RegisterKernel("test_bare", DeviceType::kCpu, DType::kI32, "none",
                   [](const KernelArgs&) { return absl::OkStatus(); });
    return registered;
  }();
  const Var x = Vector({1});
  EXPECT_THAT(Apply(op, {&x}),
              StatusIs(absl::StatusCode::kUnimplemented,
                       HasSubstr("test_bare: no kernel for cpu/f64; linked: "
                                 "cpu/i32")));
}

TEST(OpDeathTest, RegisteringTwiceAborts) {
  OpDef def;
  def.name = "test_cube";
  def.infer = CubeOp().def().infer;
  EXPECT_DEATH(RegisterOp(def), "op test_cube is registered twice");
}

TEST(GradientCheckerTest, SeesWrongDerivatives) {
  // Detach hides half of the derivative.
  EXPECT_THAT(
      CheckGradients(
          [](absl::Span<const Var> in) { return Mul(in[0], in[0].Detach()); },
          {Vector({2})}),
      StatusIs(absl::StatusCode::kFailedPrecondition,
               HasSubstr("by element 0 of input 0 is 2, central "
                         "difference 4")));
  EXPECT_THAT(
      CheckGradients(
          [](absl::Span<const Var> in) { return Cast(in[0], DType::kF32); },
          {Vector({2})}),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("the output is f32 [1], expected f64")));
  EXPECT_THAT(CheckGradients([](absl::Span<const Var> in) { return in[0]; },
                             {Tensor::Zeros({1}, DType::kF32).value()}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("expected row-major f64")));
}

}  // namespace
}  // namespace septet
