// SPDX-License-Identifier: Apache-2.0
#include "septet/core/autograd/checkpoint.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/autograd/gradient_checker.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/activation.h"
#include "septet/core/ops/dropout.h"
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

using ::testing::HasSubstr;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
using Inputs = absl::Span<const Var>;
using Fn = std::function<Var(Inputs)>;

// Checkpoint, or the plain call that it must equal.
Var Call(bool checkpoint, const Fn& fn, const std::vector<Var>& inputs) {
  return checkpoint ? Checkpoint(fn, inputs) : fn(inputs);
}

void ExpectSameBits(const Tensor& a, const Tensor& b) {
  ASSERT_EQ(a.shape(), b.shape());
  ASSERT_EQ(a.dtype(), b.dtype());
  const Tensor x = *a.Contiguous(), y = *b.Contiguous();
  const size_t bytes = static_cast<size_t>(x.num_elements()) *
                       (x.dtype() == DType::kF32 ? 4 : 8);
  const void* px = x.dtype() == DType::kF32
                       ? static_cast<const void*>(x.data<float>())
                       : x.data<double>();
  const void* py = y.dtype() == DType::kF32
                       ? static_cast<const void*>(y.data<float>())
                       : y.data<double>();
  EXPECT_EQ(std::memcmp(px, py, bytes), 0);
}

void ExpectSameBits(const std::vector<Tensor>& a,
                    const std::vector<Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    SCOPED_TRACE(i);
    ExpectSameBits(a[i], b[i]);
  }
}

// x + dropout(gelu(norm(x) w1)) w2 with w1 used twice: several contributions to
// x, to w1 and to the scale.
Var Block(Inputs in, uint32_t key) {
  const Var &x = in[0], &w1 = in[1], &w2 = in[2], &scale = in[3];
  const Var h = Activation(ActivationKind::kGelu,
                           MatMul(LayerNorm(x, scale, Var(), 1e-5), w1));
  const Var dropped = Dropout(h, 0.5, {key, 5});
  return Add(x, Add(MatMul(dropped, w2), MatMul(x, w1)));
}

// Three blocks that share w1 and the scale, with further uses of both and of x
// outside, before and after.
struct Model {
  DType dtype = DType::kF32;
  bool checkpoint = false;

  std::vector<Tensor> Parameters() const {
    return {RandomTensor({7, 5}, dtype, 1), RandomTensor({5, 5}, dtype, 2),
            RandomTensor({5, 5}, dtype, 3), RandomTensor({5}, dtype, 4)};
  }
  Var Loss(Inputs p) const {
    Var x = Mul(p[0], p[3]);
    for (uint32_t key = 0; key < 3; ++key) {
      x = Call(checkpoint, [key](Inputs in) { return Block(in, key); },
               {x, p[1], p[2], p[3]});
      x = Add(x, p[0]);
    }
    return Mean(Square(Add(MatMul(x, p[1]), Mul(x, p[3]))));
  }
};

std::vector<Tensor> Gradients(const Model& model) {
  Tape tape;
  std::vector<Var> p;
  for (const Tensor& t : model.Parameters()) p.push_back(tape.Watch(t));
  const Var loss = model.Loss(p);
  SEPTET_EXPECT_OK(loss.status());
  auto grads = tape.Grad(loss, p);
  SEPTET_EXPECT_OK(grads.status());
  std::vector<Tensor> result = {loss.tensor()};
  for (const Tensor& grad : *grads) result.push_back(grad);
  return result;
}

TEST(CheckpointTest, GradientsHaveTheSameBitsAsWithout) {
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    const std::vector<Tensor> want = Gradients({dtype, false});
    ExpectSameBits(Gradients({dtype, true}), want);
    for (const int threads : {2, 3}) {
      ThreadPool pool(threads);
      ScopedThreadPool scope(&pool);
      ExpectSameBits(Gradients({dtype, true}), want);
    }
  }
}

TEST(CheckpointTest, ForwardDerivativesHaveTheSameBitsAsWithout) {
  const auto run = [](bool checkpoint) {
    const Model model{DType::kF64, checkpoint};
    std::vector<Tensor> tangents;
    for (const Tensor& t : model.Parameters()) {
      tangents.push_back(RandomTensor(t.shape(), t.dtype(), 9));
    }
    return *Jvp([&](Inputs p) { return std::vector<Var>{model.Loss(p)}; },
                model.Parameters(), tangents);
  };
  ExpectSameBits(run(true), run(false));
}

TEST(CheckpointTest, DerivativesAgreeWithDifferences) {
  // Small weights: the third derivatives are what differences are off by.
  const auto small = [](const Shape& shape, uint32_t stream) {
    return RandomTensor(shape, DType::kF64, stream, -0.3, 0.3);
  };
  const Fn block = [](Inputs in) {
    return Add(in[0], MatMul(Gelu(MatMul(in[0], in[1])), in[1]));
  };
  SEPTET_EXPECT_OK(CheckGradients(
      [&](Inputs in) {
        const Var x = Checkpoint(block, {Mul(in[0], in[0]), in[1]});
        return Mul(Checkpoint(block, {x, in[1]}), in[0]);
      },
      {small({2, 3}, 1), small({3, 3}, 2)}));
}

// With create_graph and a second walk.
std::vector<Tensor> SecondOrder(bool checkpoint) {
  const Model model{DType::kF64, checkpoint};
  Tape tape;
  std::vector<Var> p;
  for (const Tensor& t : model.Parameters()) p.push_back(tape.Watch(t));
  const Var loss = model.Loss(p);
  const auto grads =
      tape.GradVars({loss}, {Var(*Tensor::Full({}, 1, DType::kF64))}, p,
                    /*create_graph=*/true);
  SEPTET_EXPECT_OK(grads.status());
  Var sum = Sum(Square((*grads)[0]));
  for (size_t i = 1; i < grads->size(); ++i) {
    sum = Add(sum, Sum(Square((*grads)[i])));
  }
  auto second = tape.Grad(sum, p);
  SEPTET_EXPECT_OK(second.status());
  std::vector<Tensor> result;
  for (const Var& grad : *grads) result.push_back(grad.tensor());
  for (const Tensor& grad : *second) result.push_back(grad);
  return result;
}

TEST(CheckpointTest, HigherDerivativesGoThroughRecomputation) {
  const std::vector<Tensor> with = SecondOrder(true);
  const std::vector<Tensor> without = SecondOrder(false);
  ASSERT_EQ(with.size(), 8u);
  for (size_t i = 0; i < 4; ++i) ExpectSameBits(with[i], without[i]);
  // The graphs of the gradients differ in where they share values.
  for (size_t i = 4; i < 8; ++i) ExpectNear(with[i], without[i], 1e-13);
}

TEST(CheckpointTest, NestsWithTheSameBits) {
  const auto run = [](bool checkpoint, bool inner_too) {
    Tape tape;
    const Var x = tape.Watch(RandomTensor({4, 5}, DType::kF32, 1));
    const Var w = tape.Watch(RandomTensor({5, 5}, DType::kF32, 2));
    const Fn step = [](Inputs in) {
      return Add(in[0], Tanh(MatMul(in[0], in[1])));
    };
    const Fn two = [&](Inputs in) {
      const Var half = Call(checkpoint && inner_too, step, {in[0], in[1]});
      return Call(checkpoint && inner_too, step, {half, in[1]});
    };
    Var y = Call(checkpoint, two, {x, w});
    y = Call(checkpoint, two, {Mul(y, x), w});
    return *tape.Grad(Mean(Square(Add(y, MatMul(x, w)))), {x, w});
  };
  const std::vector<Tensor> want = run(false, false);
  ExpectSameBits(run(true, false), want);
  ExpectSameBits(run(true, true), want);
}

TEST(CheckpointTest, NestedSecondOrder) {
  const Fn inner = [](Inputs in) { return Mul(Tanh(in[0]), in[1]); };
  const Fn outer = [&](Inputs in) {
    return Square(Checkpoint(inner, {Exp(in[0]), in[1]}));
  };
  SEPTET_EXPECT_OK(CheckGradients(
      [&](Inputs in) {
        return Checkpoint(outer, {in[0], in[1]});
      },
      {RandomTensor({3}, DType::kF64, 1), RandomTensor({3}, DType::kF64, 2)}));
}

TEST(CheckpointTest, SeveralOutputsUnusedOnesAndIntegers) {
  const CheckpointFn fn = [](Inputs in) {
    return std::vector<Var>{Mul(in[0], in[1]), Exp(in[0]),
                            Var(*Tensor::Full({2}, 3, DType::kI64)),
                            Sin(in[1])};
  };
  const auto run = [&](bool checkpoint) {
    Tape tape;
    const Var x = tape.Watch(RandomTensor({6}, DType::kF64, 1));
    const Var y = tape.Watch(RandomTensor({6}, DType::kF64, 2));
    const std::vector<Var> out =
        checkpoint ? Checkpoint(fn, {x, y}) : fn(std::vector<Var>{x, y});
    EXPECT_EQ(out.size(), 4u);
    EXPECT_EQ(out[2].tensor().ToVector<int64_t>(),
              (std::vector<int64_t>{3, 3}));
    // The last output is not used.
    return *tape.Grad(Sum(Mul(out[0], Add(out[1], out[0]))), {x, y});
  };
  ExpectSameBits(run(true), run(false));
}

TEST(CheckpointTest, ValuesNamedTwiceAndInputsThatAreNotNeeded) {
  // The same value in two places, a constant, and an input left out.
  const Fn fn = [](Inputs in) {
    EXPECT_FALSE(in[3].defined());
    return Add(Mul(in[0], in[2]), Add(Mul(in[1], in[1]), Exp(in[0])));
  };
  const auto run = [&](bool checkpoint) {
    Tape tape;
    const Var x = tape.Watch(RandomTensor({6}, DType::kF32, 1));
    const Var unused = tape.Watch(RandomTensor({6}, DType::kF32, 2));
    const Var c(RandomTensor({6}, DType::kF32, 3));
    const Var y = Call(checkpoint, fn, {x, x, c, Var(), unused});
    return *tape.Grad(Sum(Mul(Add(y, x), x)), {x, unused});
  };
  const std::vector<Tensor> with = run(true);
  ExpectSameBits(with, run(false));
  EXPECT_EQ(with[1].ToVector<float>(), std::vector<float>(6, 0.0f));
}

TEST(CheckpointTest, RunsOnceAndOnceMoreAWalk) {
  int runs = 0;
  const Fn fn = [&runs](Inputs in) {
    ++runs;
    return Square(in[0]);
  };
  Tape tape;
  const Var x = tape.Watch(RandomTensor({3}, DType::kF64, 1));
  const int64_t before = tape.num_ops();
  const Var y = Checkpoint(fn, {x});
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(tape.num_ops(), before + 1);
  const Var loss = Sum(y);
  SEPTET_ASSERT_OK(tape.Grad(loss, {x}));
  EXPECT_EQ(runs, 2);
  SEPTET_ASSERT_OK(tape.Grad(loss, {x}));
  EXPECT_EQ(runs, 3);
  // Of constants it is a plain call.
  EXPECT_EQ(Checkpoint(fn, {x.Detach()}).tape(), nullptr);
  EXPECT_EQ(runs, 4);
}

TEST(CheckpointTest, TheTapeKeepsTheFunctionUntilReset) {
  auto token = std::make_shared<int>(0);
  Tape tape;
  for (int repeat = 0; repeat < 2; ++repeat) {
    Var loss;
    const Var x = tape.Watch(RandomTensor({3}, DType::kF64, 1));
    {
      const Fn fn = [token](Inputs in) { return Square(in[0]); };
      loss = Sum(Checkpoint(fn, {x}));
    }
    EXPECT_EQ(token.use_count(), 2);
    SEPTET_EXPECT_OK(tape.Grad(loss, {x}).status());
    EXPECT_EQ(token.use_count(), 2);
    tape.Reset();
    EXPECT_EQ(token.use_count(), 1);
  }
}

// The most that a forward and backward pass hold, over what is live before.
int64_t PeakBytes(bool checkpoint) {
  constexpr int kBlocks = 24;
  const int64_t before = CpuAllocator().Stats().live_bytes;
  Tape tape;
  const Var w = tape.Watch(RandomTensor({64, 64}, DType::kF32, 1));
  const Var x0 = tape.Watch(RandomTensor({256, 64}, DType::kF32, 2));
  Var x = x0;
  for (int i = 0; i < kBlocks; ++i) {
    x = Call(checkpoint,
             [](Inputs in) {
               Var h = in[0];
               for (int k = 0; k < 4; ++k) h = Tanh(MatMul(h, in[1]));
               return Add(in[0], h);
             },
             {x, w});
  }
  const auto grads = tape.Grad(Mean(Square(x)), {w, x0});
  SEPTET_EXPECT_OK(grads.status());
  return CpuAllocator().Stats().peak_live_bytes - before;
}

TEST(CheckpointTest, TakesLessMemory) {
  // The peak of the process only grows: the smaller first.
  const int64_t with = PeakBytes(true);
  const int64_t without = PeakBytes(false);
  // Without: the input of each of 24 blocks, which is the output of the one
  // before, and its four activations. With: the inputs, and what one block
  // takes on the way back.
  const int64_t activation = 256 * 64 * 4;
  EXPECT_GT(without, 24 * 5 * activation);
  EXPECT_LT(with, (24 + 24) * activation);
  EXPECT_LT(3 * with, without);
}

TEST(CheckpointTest, ErrorsNameWhatIsWrong) {
  Tape tape, other;
  const Var x = tape.Watch(RandomTensor({3}, DType::kF64, 1));
  const Var y = other.Watch(RandomTensor({3}, DType::kF64, 2));
  const Fn add = [](Inputs in) { return Add(in[0], in[1]); };
  EXPECT_THAT(Checkpoint(add, {x, y}).status(),
              StatusIs(kInvalid, HasSubstr("checkpoint: input 1: the value "
                                           "belongs to another tape")));
  const Fn captures = [x](Inputs in) { return Mul(in[0], x); };
  EXPECT_THAT(
      Checkpoint(captures, {tape.Watch(RandomTensor({3}, DType::kF64, 3))})
          .status(),
      StatusIs(kInvalid, HasSubstr("output 0 depends on a value of a tape that "
                                   "is not among the inputs")));
  const Fn nothing = [](Inputs) { return Var(); };
  EXPECT_THAT(Checkpoint(nothing, {x}).status(),
              StatusIs(kInvalid, HasSubstr("output 0 has no value")));
  const Fn first = [](Inputs in) { return in[0]; };
  EXPECT_THAT(
      Checkpoint(first, std::vector<Var>(65, x)).status(),
      StatusIs(kInvalid, HasSubstr("checkpoint: 65 inputs, at most 64")));
  const CheckpointFn many = [](Inputs in) {
    return std::vector<Var>(65, in[0]);
  };
  const std::vector<Var> outputs = Checkpoint(many, {x});
  ASSERT_EQ(outputs.size(), 65u);
  EXPECT_THAT(outputs[64].status(),
              StatusIs(kInvalid, HasSubstr("65 outputs, at most 64")));
  // Errors of the inputs and of fn come out as they are.
  EXPECT_THAT(Checkpoint(add, {x, absl::DataLossError("torn")}).status(),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("torn")));
  EXPECT_THAT(
      Checkpoint(add, {x, tape.Watch(RandomTensor({4}, DType::kF64, 1))})
          .status(),
      StatusIs(kInvalid, HasSubstr("add")));
  tape.Reset();
  EXPECT_THAT(Checkpoint(first, {x}).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("checkpoint: input 0: the value is older")));
}

TEST(CheckpointTest, AFunctionThatChangesIsAnError) {
  Tape tape;
  const Var x = tape.Watch(RandomTensor({3}, DType::kF64, 1));
  int runs = 0;
  const Fn grows = [&runs](Inputs in) {
    return ++runs == 1 ? Square(in[0]) : Sum(in[0]);
  };
  EXPECT_THAT(tape.Grad(Sum(Checkpoint(grows, {x})), {x}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("output 0 is f64 [] when fn runs again, and "
                                 "was f64 [3]")));
  runs = 0;
  const CheckpointFn more = [&runs](Inputs in) {
    return std::vector<Var>(static_cast<size_t>(++runs), Square(in[0]));
  };
  const std::vector<Var> outputs = Checkpoint(more, {x});
  EXPECT_THAT(tape.Grad(Sum(outputs[0]), {x}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("fn gives 2 outputs when it runs again, and "
                                 "gave 1")));
  // The tape is as good as before.
  const Fn square = [](Inputs in) { return Square(in[0]); };
  SEPTET_ASSERT_OK_AND_ASSIGN(const auto grads,
                              tape.Grad(Sum(Checkpoint(square, {x})), {x}));
  ExpectNear(grads[0], Scale(x.Detach(), 2).tensor(), 1e-15);
}

}  // namespace
}  // namespace septet
