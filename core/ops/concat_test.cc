// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/concat.h"

#include <cstdint>
#include <functional>
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
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/op_testutil.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Tensor Count(const Shape& shape, DType dtype = DType::kF64) {
  std::vector<double> values(shape.num_elements());
  for (size_t i = 0; i < values.size(); ++i) values[i] = i + 1;
  return Tensor::FromValues<double>(shape, values)->To(dtype).value();
}

// Gradients of the square, so that second derivatives are not zero.
void ExpectGradients(const std::function<Var(absl::Span<const Var>)>& fn,
                     const std::vector<Tensor>& inputs) {
  SEPTET_EXPECT_OK(
      CheckGradients([&](absl::Span<const Var> in) { return Square(fn(in)); },
                     inputs, {1e-5, 1e-6}));
}

TEST(ConcatTest, EveryAxisAndDType) {
  for (const DType dtype : kAllDTypes) {
    for (const int64_t axis : {0, 1, 2, -1}) {
      const int resolved = static_cast<int>(axis < 0 ? axis + 3 : axis);
      std::vector<Var> parts;
      int64_t extent = 0;
      for (const int64_t n : {2, 0, 1, 5}) {
        Shape shape({3, 2, 4});
        parts.push_back(
            RandomTensor(shape.WithDim(resolved, n), dtype, 10 + n, 0, 2));
        extent += n;
      }
      const Var y = Concat(parts, axis);
      SEPTET_ASSERT_OK(y);
      EXPECT_EQ(y.shape(), Shape({3, 2, 4}).WithDim(resolved, extent));
      int64_t begin = 0;
      for (const Var& part : parts) {
        const int64_t end = begin + part.dim(resolved);
        EXPECT_EQ(y.tensor().Slice(axis, begin, end)->ToVector<double>(),
                  part.tensor().ToVector<double>());
        begin = end;
      }
    }
  }
}

TEST(ConcatTest, Gradients) {
  for (const int64_t axis : {0, 1}) {
    ExpectGradients(
        [&](absl::Span<const Var> in) {
          return Concat({in[0], in[1], in[0]}, axis);
        },
        {RandomTensor({2, 3}, DType::kF64, 1),
         RandomTensor({2, 3}, DType::kF64, 2)});
  }
}

TEST(ConcatTest, StridedPartsAndMoreThanAnOpHasInputs) {
  const Tensor x = Count({130, 4});
  std::vector<Var> rows;
  std::vector<Var> columns;
  for (int64_t i = 0; i < 130; ++i) rows.push_back(Slice(x, 0, i, i + 1));
  for (int64_t i = 0; i < 4; ++i) columns.push_back(Slice(x, 1, i, i + 1));
  EXPECT_EQ(Concat(rows, 0).tensor().ToVector<double>(), x.ToVector<double>());
  EXPECT_EQ(Concat(columns, 1).tensor().ToVector<double>(),
            x.ToVector<double>());
}

TEST(ConcatTest, BitsDoNotDependOnThreads) {
  const Tensor a = RandomTensor({300, 1200}, DType::kF32, 1);
  const Tensor b = RandomTensor({300, 20}, DType::kF32, 2);
  const auto run = [&] {
    std::vector<float> bits;
    const std::vector<std::function<Var(const Var&)>> functions = {
        [&](const Var& v) {
          return Concat({v, b, v}, 1);
        },
        [&](const Var& v) {
          return Concat({v, v}, 0);
        },
        [&](const Var& v) { return Slice(v, 1, 3, 1199, 2); },
        [&](const Var& v) {
          return Pad(v, {1, 2}, {3, 4});
        },
        [&](const Var& v) { return Flip(v, 1); },
    };
    for (const auto& fn : functions) {
      Tape tape;
      const Var v = tape.Watch(a);
      const Var y = fn(v);
      for (const float u : y.tensor().ToVector<float>()) bits.push_back(u);
      const std::vector<Var> grads =
          tape.GradVars({y}, {y.Detach()}, {v}, false).value();
      for (const float u : grads[0].tensor().ToVector<float>()) {
        bits.push_back(u);
      }
    }
    return bits;
  };
  const std::vector<float> serial = run();
  for (const int threads : {2, 3}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    EXPECT_EQ(run(), serial);
  }
}

TEST(ConcatTest, Errors) {
  const Tensor x = RandomTensor({2, 3}, DType::kF32, 1);
  EXPECT_THAT(Concat({}, 0), StatusIs(absl::StatusCode::kInvalidArgument,
                                      HasSubstr("concat: no parts")));
  EXPECT_THAT(Concat({x, RandomTensor({2, 4}, DType::kF32, 1)}, 0),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("concat: part 1 is f32 [2, 4], expected the "
                                 "shape of part 0, [2, 3], but for axis 0")));
  EXPECT_THAT(
      Concat({x, RandomTensor({2, 3}, DType::kF64, 1)}, 0),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("dtypes differ")));
  EXPECT_THAT(Concat({x, x}, 2), StatusIs(absl::StatusCode::kInvalidArgument,
                                          HasSubstr("concat: axis of part 0")));
  EXPECT_THAT(Concat({x, Var()}, 0),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("concat: part 1 is not given")));
  EXPECT_THAT(Concat({Var(), x}, 0),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("concat: input 0 is not given")));
  EXPECT_THAT(Concat({Tensor::Scalar(1, DType::kF32).value()}, 0),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("expected rank 1 to 8")));
  const Tensor tall = Tensor::Zeros({int64_t{1} << 62, 0}, DType::kF32).value();
  EXPECT_THAT(Concat({tall, tall}, 0),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("more elements along axis 0")));
  // Parts are counted from the first, however many.
  std::vector<Var> many(200, x);
  many[150] = RandomTensor({2, 4}, DType::kF32, 1);
  EXPECT_THAT(Concat(many, 0), StatusIs(absl::StatusCode::kInvalidArgument,
                                        HasSubstr("part 150 is f32 [2, 4]")));
  many[150] = Var();
  EXPECT_THAT(Concat(many, 0),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("concat: part 150 is not given")));
}

TEST(StackTest, ValuesGradientsAndErrors) {
  const Tensor a = Count({2});
  const Tensor b = Count({2});
  EXPECT_EQ(Stack({a, b, a}, 0).shape(), Shape({3, 2}));
  EXPECT_THAT(Stack({a, b}, -1).tensor().ToVector<double>(),
              ElementsAre(1, 1, 2, 2));
  const Tensor one = Tensor::Scalar(1, DType::kF64).value();
  EXPECT_THAT(Stack({one, one}, 0).tensor().ToVector<double>(),
              ElementsAre(1, 1));
  ExpectGradients(
      [](absl::Span<const Var> in) {
        return Stack({in[0], in[1]}, 1);
      },
      {RandomTensor({3}, DType::kF64, 1), RandomTensor({3}, DType::kF64, 2)});
  EXPECT_THAT(Stack({a, Count({3})}, 0),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("stack: part 1 is f64 [3], expected the shape "
                                 "of part 0, [2]")));
  EXPECT_THAT(Stack({a, b}, 2), StatusIs(absl::StatusCode::kInvalidArgument,
                                         HasSubstr("stack: unsqueeze")));
  EXPECT_THAT(Stack({}, 0), StatusIs(absl::StatusCode::kInvalidArgument,
                                     HasSubstr("stack: no parts")));
}

TEST(SliceTest, IsAViewWithGradients) {
  const Tensor x = RandomTensor({4, 7}, DType::kF64, 1);
  for (const int64_t step : {1, 2, 3, 9}) {
    for (const int64_t begin : {0, 2, 7}) {
      SCOPED_TRACE(step);
      const Var y = Slice(x, 1, begin, 7, step);
      SEPTET_ASSERT_OK(y);
      EXPECT_TRUE(y.tensor().SharesStorageWith(x));
      ExpectGradients(
          [&](absl::Span<const Var> in) {
            return Slice(in[0], -1, begin, 7, step);
          },
          {x});
      ExpectGradients(
          [&](absl::Span<const Var> in) {
            return Slice(in[0], 0, begin / 2, 4, step);
          },
          {x});
    }
  }
  EXPECT_THAT(Slice(x, 1, 3, 8), StatusIs(absl::StatusCode::kInvalidArgument,
                                          HasSubstr("slice: [3, 8)")));
  EXPECT_THAT(Slice(x, 1, 0, 3, 0), StatusIs(absl::StatusCode::kInvalidArgument,
                                             HasSubstr("in steps of 0")));
  EXPECT_THAT(Slice(x, 2, 0, 1), StatusIs(absl::StatusCode::kInvalidArgument,
                                          HasSubstr("slice of [4, 7]")));
  EXPECT_THAT(Slice(Var(), 0, 0, 1),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("slice: input 0 is not given")));
}

TEST(SplitTest, ViewsWithOneGradient) {
  const Tensor x = Count({2, 6});
  const std::vector<Var> parts = Split(x, {1, 3, 0, 2}, 1);
  ASSERT_EQ(parts.size(), 4u);
  EXPECT_THAT(parts[1].tensor().ToVector<double>(),
              ElementsAre(2, 3, 4, 8, 9, 10));
  EXPECT_EQ(parts[2].shape(), Shape({2, 0}));
  for (const Var& part : parts) {
    EXPECT_TRUE(part.tensor().SharesStorageWith(x));
  }
  // The third part is not used: its gradient is zero.
  ExpectGradients(
      [](absl::Span<const Var> in) {
        const std::vector<Var> thirds = Chunk(in[0], 3, -1);
        return Mul(thirds[0], thirds[1]);
      },
      {RandomTensor({2, 6}, DType::kF64, 1)});
  // More parts than share a gradient.
  ExpectGradients(
      [](absl::Span<const Var> in) {
        const std::vector<Var> twelve = Chunk(in[0], 12, 0);
        return Mul(Add(twelve[0], twelve[5]), twelve[11]);
      },
      {RandomTensor({12}, DType::kF64, 1)});
}

TEST(SplitTest, Errors) {
  const Tensor x = Count({2, 6});
  for (const std::vector<int64_t>& sizes :
       std::vector<std::vector<int64_t>>{{1, 2}, {7, -1}, {3, 4}, {}}) {
    const std::vector<Var> parts = Split(x, sizes, 1);
    ASSERT_EQ(parts.size(), std::max<size_t>(1, sizes.size()));
    for (const Var& part : parts) {
      EXPECT_THAT(part, StatusIs(absl::StatusCode::kInvalidArgument,
                                 HasSubstr("expected 6 in all (axis 1 of x, "
                                           "f64 [2, 6])")));
    }
  }
  EXPECT_THAT(Chunk(x, 4, 1)[0],
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("chunk: 4 parts of axis 1 of x, f64 [2, 6], "
                                 "expected a divisor of 6")));
  EXPECT_THAT(Chunk(x, 0, 1)[0], StatusIs(absl::StatusCode::kInvalidArgument,
                                          HasSubstr("chunk: 0 parts")));
  EXPECT_THAT(Split(x, {6}, 2)[0],
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("split: axis of x, f64 [2, 6]")));
  EXPECT_THAT(Split(Var(), {6}, 0)[0],
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("split: x is not given")));
}

// The source of element i of an axis of n elements, or -1.
int64_t Source(PadMode mode, int64_t i, int64_t n) {
  switch (mode) {
    case PadMode::kReflect:
      return i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i;
    case PadMode::kEdge:
      return i < 0 ? 0 : i >= n ? n - 1 : i;
    case PadMode::kCircular:
      return (i + n) % n;
    default:
      return i < 0 || i >= n ? -1 : i;
  }
}

TEST(PadTest, EveryModeByDefinition) {
  const int64_t before[3] = {1, 2, 0};
  const int64_t after[3] = {0, 1, 3};
  const Tensor x = Count({2, 3, 4});
  for (const PadMode mode : {PadMode::kConstant, PadMode::kReflect,
                             PadMode::kEdge, PadMode::kCircular}) {
    SCOPED_TRACE(static_cast<int>(mode));
    const Var y = Pad(x, before, after, {mode, -5});
    SEPTET_ASSERT_OK(y);
    ASSERT_EQ(y.shape(), Shape({3, 6, 7}));
    const std::vector<double> got = y.tensor().ToVector<double>();
    for (int64_t e = 0; e < 3 * 6 * 7; ++e) {
      const int64_t i = Source(mode, e / 42 - 1, 2);
      const int64_t j = Source(mode, e / 7 % 6 - 2, 3);
      const int64_t k = Source(mode, e % 7, 4);
      const bool inside = i >= 0 && j >= 0 && k >= 0;
      ASSERT_EQ(got[e], inside ? (i * 3 + j) * 4 + k + 1 : -5) << e;
    }
    ExpectGradients(
        [&](absl::Span<const Var> in) {
          return Pad(in[0], before, after, {mode, 2});
        },
        {RandomTensor({2, 3, 4}, DType::kF64, 1)});
  }
}

TEST(PadTest, LeadingAxesAloneDTypesAndEmptyTensors) {
  for (const DType dtype : kAllDTypes) {
    const Var y =
        Pad(Count({2, 2}, dtype), {1, 0}, {0, 0}, {PadMode::kConstant, 1});
    SEPTET_ASSERT_OK(y);
    const std::vector<double> got = y.tensor().ToVector<double>();
    EXPECT_EQ(got[0], 1);
    EXPECT_EQ(got[2], 1);
    EXPECT_EQ(got[5], dtype == DType::kBool ? 1 : 4);
  }
  EXPECT_THAT(Pad(Tensor::Zeros({0, 1}, DType::kF32).value(), {1, 0}, {1, 1},
                  {PadMode::kConstant, 3})
                  .tensor()
                  .ToVector<double>(),
              ElementsAre(3, 3, 3, 3));
  EXPECT_THAT(Pad(Tensor::Zeros({2, 0}, DType::kF32).value(), {0, 2}, {0, 0},
                  {PadMode::kConstant, 3})
                  .tensor()
                  .ToVector<double>(),
              ElementsAre(3, 3, 3, 3));
  const Tensor scalar = Tensor::Scalar(2, DType::kF32).value();
  EXPECT_EQ(Pad(scalar, {}, {}).tensor().item<float>(), 2);
}

TEST(PadTest, Errors) {
  const Tensor x = Count({2, 3});
  EXPECT_THAT(Pad(x, {1}, {0, 0}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("pad: before has 1 numbers, after 2, expected "
                                 "one an axis of x, f64 [2, 3]")));
  EXPECT_THAT(Pad(x, {0, -1}, {0, 0}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("pad: -1 before and 0 after axis 1 of x")));
  EXPECT_THAT(Pad(x, {2, 0}, {0, 0}, {PadMode::kReflect}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("expected 0 to 1")));
  EXPECT_THAT(Pad(x, {0, 0}, {0, 4}, {PadMode::kCircular}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("expected 0 to 3")));
  EXPECT_THAT(
      Pad(Tensor::Zeros({0}, DType::kF32).value(), {1}, {0}, {PadMode::kEdge}),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("expected 0 to 0")));
  EXPECT_THAT(Pad(Var(), {}, {}), StatusIs(absl::StatusCode::kInvalidArgument,
                                           HasSubstr("pad: x is not given")));
}

TEST(RearrangeTest, FlipRollTileRepeat) {
  const Tensor x = Count({2, 3});
  EXPECT_THAT(Flip(x, 1).tensor().ToVector<double>(),
              ElementsAre(3, 2, 1, 6, 5, 4));
  EXPECT_THAT(Flip(x, 0).tensor().ToVector<double>(),
              ElementsAre(4, 5, 6, 1, 2, 3));
  EXPECT_THAT(Roll(x, 1, 1).tensor().ToVector<double>(),
              ElementsAre(3, 1, 2, 6, 4, 5));
  EXPECT_THAT(Roll(x, -1, -4).tensor().ToVector<double>(),
              ElementsAre(2, 3, 1, 5, 6, 4));
  EXPECT_THAT(Tile(x, 1, 2).tensor().ToVector<double>(),
              ElementsAre(1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6));
  EXPECT_THAT(Repeat(x, 1, 2).tensor().ToVector<double>(),
              ElementsAre(1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6));
  EXPECT_EQ(Tile(x, 0, 0).shape(), Shape({0, 3}));
  const Tensor none = Tensor::Zeros({4, 0, 3}, DType::kF32).value();
  EXPECT_EQ(Tile(none, 1, int64_t{1} << 62).shape(), Shape({4, 0, 3}));
  EXPECT_EQ(Repeat(none, 1, int64_t{1} << 62).shape(), Shape({4, 0, 3}));
  EXPECT_EQ(Flip(Tensor::Zeros({2, 0}, DType::kF32).value(), 1).shape(),
            Shape({2, 0}));
  EXPECT_EQ(Roll(Tensor::Zeros({2, 0}, DType::kF32).value(), 1, 3).shape(),
            Shape({2, 0}));
  for (const int64_t axis : {0, 1, 2}) {
    ExpectGradients(
        [&](absl::Span<const Var> in) {
          return Concat({Flip(in[0], axis), Roll(in[0], axis, 2),
                         Tile(in[0], axis, 2), Repeat(in[0], axis, 3)},
                        axis);
        },
        {RandomTensor({2, 3, 2}, DType::kF64, 1)});
  }
}

TEST(RearrangeTest, SqueezeAndUnsqueeze) {
  const Tensor x = Count({2, 1, 3});
  EXPECT_EQ(Squeeze(x, 1).shape(), Shape({2, 3}));
  EXPECT_EQ(Squeeze(x, -2).shape(), Shape({2, 3}));
  EXPECT_EQ(Unsqueeze(x, -1).shape(), Shape({2, 1, 3, 1}));
  EXPECT_EQ(Unsqueeze(x, 0).shape(), Shape({1, 2, 1, 3}));
  EXPECT_TRUE(Unsqueeze(x, 1).tensor().SharesStorageWith(x));
  ExpectGradients(
      [](absl::Span<const Var> in) { return Unsqueeze(Squeeze(in[0], 1), 2); },
      {RandomTensor({2, 1, 3}, DType::kF64, 1)});
  EXPECT_THAT(Squeeze(x, 0), StatusIs(absl::StatusCode::kInvalidArgument,
                                      HasSubstr("squeeze: x is f64 [2, 1, 3], "
                                                "expected axis 0 to be 1")));
  EXPECT_THAT(Unsqueeze(x, 4),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("unsqueeze: axis beside those of x")));
  EXPECT_THAT(
      Unsqueeze(Tensor::Zeros({1, 1, 1, 1, 1, 1, 1, 1}, DType::kF32).value(),
                0),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("expected rank 0 to 7")));
}

TEST(RearrangeTest, Errors) {
  const Tensor x = Count({2, 3});
  EXPECT_THAT(Flip(x, 2), StatusIs(absl::StatusCode::kInvalidArgument,
                                   HasSubstr("flip: axis of x, f64 [2, 3]")));
  EXPECT_THAT(Roll(Var(), 0, 1), StatusIs(absl::StatusCode::kInvalidArgument,
                                          HasSubstr("roll: x is not given")));
  EXPECT_THAT(Tile(x, 0, -1), StatusIs(absl::StatusCode::kInvalidArgument,
                                       HasSubstr("tile: times is -1")));
  EXPECT_THAT(
      Repeat(x, 0, int64_t{1} << 62),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("repeat: ")));
  EXPECT_THAT(
      Repeat(x, 0, (int64_t{1} << 62) - 1),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("repeat: ")));
}

}  // namespace
}  // namespace septet
