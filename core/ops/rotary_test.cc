// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/rotary.h"

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
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
#include "septet/core/ops/concat.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/op_testutil.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/ops/rotary_layout.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using Function = std::function<Var(absl::Span<const Var>)>;

constexpr RotaryLayout kLayouts[] = {RotaryLayout::kInterleaved,
                                     RotaryLayout::kHalf};

TEST(RotaryTest, ValuesByDefinition) {
  // [B, T, H, D]: time is axis 1, the last element passes through.
  const Tensor x = RandomTensor({2, 3, 2, 5}, DType::kF64, 1);
  const Tensor w = Tensor::FromValues<double>({2}, {1.0, 0.01}).value();
  for (const RotaryLayout layout : kLayouts) {
    const Var y = Rotary(x, w, {layout, 1, 7, 0.5});
    SEPTET_ASSERT_OK(y);
    std::vector<double> want = x.ToVector<double>();
    for (int64_t row = 0; row < 12; ++row) {
      const auto t = static_cast<double>(row / 2 % 3);
      for (int64_t i = 0; i < 2; ++i) {
        const double angle = (7 + t) * 0.5 * (i == 0 ? 1.0 : 0.01);
        const bool half = layout == RotaryLayout::kHalf;
        double& a = want[row * 5 + (half ? i : 2 * i)];
        double& b = want[row * 5 + (half ? i + 2 : 2 * i + 1)];
        const double before = a;
        a = a * std::cos(angle) - b * std::sin(angle);
        b = before * std::sin(angle) + b * std::cos(angle);
      }
    }
    ExpectNear(y.tensor(),
               Tensor::FromValues<double>({2, 3, 2, 5}, want).value(), 1e-15);
  }
}

TEST(RotaryTest, KernelMatchesFormulaAndGradients) {
  for (const RotaryLayout layout : kLayouts) {
    for (const int64_t pairs : {0, 1, 3, 8, 17}) {
      const Tensor w = RandomTensor({pairs}, DType::kF64, 1, 0.1, 1.0);
      for (const int time_axis : {-2, 1, 0}) {
        const RotaryOptions options{layout, time_axis, 3, 0.7};
        const Function fn = [&](absl::Span<const Var> in) {
          return Rotary(in[0], w, options);
        };
        for (const Shape& shape :
             {Shape({2, 3, 2, 2 * pairs}), Shape({3, 2, 2, 2 * pairs + 3})}) {
          const Tensor x = RandomTensor(shape, DType::kF64, 2);
          for (const DType dtype : {DType::kF64, DType::kF32}) {
            const Tensor input = x.To(dtype).value();
            DispatchTrace trace;
            const Var fused = Rotary(input, w, options);
            SEPTET_ASSERT_OK(fused);
            EXPECT_THAT(trace.lines(), Contains(HasSubstr("highway")));
            ScopedReference reference;
            const Var formula = Rotary(input, w, options);
            SEPTET_ASSERT_OK(formula);
            ExpectNear(fused.tensor(), formula.tensor(),
                       dtype == DType::kF64 ? 1e-15 : 4e-7);
          }
          if (pairs > 3) continue;
          SEPTET_EXPECT_OK(CheckGradients(fn, {x}));
        }
      }
    }
  }
}

TEST(RotaryTest, SomeRowsAreRotatedAndTheOthersCopied) {
  const Tensor w = RandomTensor({3}, DType::kF64, 1, 0.1, 1.0);
  for (const RotaryLayout layout : kLayouts) {
    for (const int64_t rows : {0, 1, 3, 5}) {
      RotaryOptions options{layout, -3, 2, 0.7, rows};
      const Tensor x = RandomTensor({2, 4, 5, 7}, DType::kF64, 2);
      const Var y = Rotary(x, w, options);
      SEPTET_ASSERT_OK(y);
      options.rows = -1;
      const Var all = Rotary(x, w, options);
      EXPECT_EQ(Slice(y, 2, 0, rows).tensor().ToVector<double>(),
                Slice(all, 2, 0, rows).tensor().ToVector<double>());
      EXPECT_EQ(Slice(y, 2, rows, 5).tensor().ToVector<double>(),
                Slice(x, 2, rows, 5).tensor().ToVector<double>());
      options.rows = rows;
      SEPTET_EXPECT_OK(CheckGradients(
          [&](absl::Span<const Var> in) { return Rotary(in[0], w, options); },
          {x}));
      ScopedReference reference;
      ExpectNear(Rotary(x, w, options).tensor(), y.tensor(), 1e-15);
    }
  }
  const auto error = [&](const RotaryOptions& options) {
    return Rotary(RandomTensor({4, 5, 7}, DType::kF64, 2), w, options).status();
  };
  const RotaryLayout half = RotaryLayout::kHalf;
  EXPECT_THAT(error({half, -3, 0, 1, 6}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("rows is 6, expected -1 to 5")));
  EXPECT_THAT(error({half, -3, 0, 1, -2}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("rows is -2, expected -1 to 5")));
  EXPECT_THAT(error({half, -2, 0, 1, 2}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("rows is 2, expected -1 with time_axis -2")));
}

TEST(RotaryTest, ScoresDependOnTheDifferenceOfTimesAlone) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor w, RotaryFrequencies(8));
  for (const RotaryLayout layout : kLayouts) {
    // One query and one key, repeated at every time.
    const Var q =
        BroadcastTo(RandomTensor({1, 8}, DType::kF64, 1), Shape({9, 8}));
    const Var k =
        BroadcastTo(RandomTensor({1, 8}, DType::kF64, 2), Shape({9, 8}));
    const auto scores = [&](double q_offset, double k_offset) {
      return Sum(Mul(Rotary(q, w, {layout, -2, q_offset, 1}),
                     Rotary(k, w, {layout, -2, k_offset, 1})),
                 {-1})
          .tensor();
    };
    ExpectNear(scores(3, 0), scores(1003, 1000), 1e-12);
    for (const double s : scores(3, 0).ToVector<double>()) {
      EXPECT_NEAR(s, scores(3, 0).ToVector<double>()[0], 1e-14);
    }
  }
}

TEST(RotaryTest, OffsetsContinueASequence) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor w, RotaryFrequencies(6));
  const Tensor x = RandomTensor({2, 7, 8}, DType::kF32, 1);
  const Var whole = Rotary(x, w);
  for (int64_t t = 0; t < 7; ++t) {
    const Var one = Rotary(x.Slice(1, t, t + 1).value(), w,
                           {.offset = static_cast<double>(t)});
    EXPECT_EQ(one.tensor().ToVector<float>(),
              whole.tensor().Slice(1, t, t + 1)->ToVector<float>());
  }
}

TEST(RotaryTest, RowsWithTimesOfTheirOwn) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor w, RotaryFrequencies(6));
  const Tensor times =
      Tensor::FromValues<int64_t>({3}, {5, 0, 1000000}).value();
  for (const RotaryLayout layout : kLayouts) {
    const RotaryOptions options{layout, -3, 2};
    for (const DType dtype : {DType::kF32, DType::kF64}) {
      const Tensor x = RandomTensor({2, 3, 2, 7}, dtype, 1);
      const Var y = Rotary(x, w, options, times);
      SEPTET_ASSERT_OK(y);
      for (int64_t t = 0; t < 3; ++t) {
        RotaryOptions one = options;
        one.offset += static_cast<double>(times.data<int64_t>()[t]);
        EXPECT_EQ(y.tensor().Slice(1, t, t + 1)->ToVector<double>(),
                  Rotary(x.Slice(1, t, t + 1).value(), w, one)
                      .tensor()
                      .ToVector<double>());
      }
      ScopedReference reference;
      ExpectNear(y.tensor(), Rotary(x, w, options, times).tensor(),
                 dtype == DType::kF64 ? 1e-9 : 1e-6);
    }
    SEPTET_EXPECT_OK(CheckGradients(
        [&](absl::Span<const Var> in) {
          return Rotary(in[0], w, options, times);
        },
        {RandomTensor({1, 3, 1, 6}, DType::kF64, 1)}));
  }
}

TEST(RotaryTest, FloatAnglesAreNotRounded) {
  // At time 1e6 a float angle would be off by 0.03.
  const Tensor w = Tensor::FromValues<double>({1}, {0.7123456789}).value();
  const Tensor x = Tensor::FromValues<float>({1, 2}, {1, 0}).value();
  const auto y = Rotary(x, w, {.offset = 1e6}).tensor().ToVector<float>();
  EXPECT_NEAR(y[0], std::cos(0.7123456789e6), 1e-7);
  EXPECT_NEAR(y[1], std::sin(0.7123456789e6), 1e-7);
}

TEST(RotaryTest, ThreadsChangeNoBit) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor w, RotaryFrequencies(62));
  const Tensor x = RandomTensor({3, 5, 301, 64}, DType::kF32, 1);
  for (const RotaryLayout layout : kLayouts) {
    for (const int time_axis : {2, 1}) {
      std::vector<float> first;
      for (const int threads : {1, 2, 3}) {
        ThreadPool pool(threads);
        ScopedThreadPool scope(&pool);
        const auto y =
            Rotary(x, w, {layout, time_axis}).tensor().ToVector<float>();
        if (first.empty()) first = y;
        EXPECT_TRUE(y == first) << threads << " threads";
      }
    }
  }
}

TEST(RotaryTest, Frequencies) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor plain, RotaryFrequencies(8));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Tensor scaled,
      RotaryFrequencies(8,
                        {.base = 500, .linear_scale = 4.0, .ntk_factor = 2.0}));
  for (int64_t i = 0; i < 4; ++i) {
    EXPECT_NEAR(plain.data<double>()[i], std::pow(10.0, -double(i)), 1e-16);
    EXPECT_NEAR(scaled.data<double>()[i],
                std::pow(500 * std::pow(2.0, 8.0 / 6), -double(i) / 4) / 4,
                1e-16);
  }
  // The lowest frequency is divided by the factor, by construction.
  EXPECT_NEAR(scaled.data<double>()[3] * 2 * 4, std::pow(500.0, -0.75), 1e-16);
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor two,
                              RotaryFrequencies(2, {.ntk_factor = 8}));
  EXPECT_EQ(two.ToVector<double>(), std::vector<double>{1});
}

TEST(RotaryTest, EmptyTensorsAndErrors) {
  const Tensor w = RandomTensor({2}, DType::kF64, 1);
  for (const Shape& shape : {Shape({0, 3, 4}), Shape({2, 0, 4})}) {
    SEPTET_EXPECT_OK(CheckGradients(
        [&](absl::Span<const Var> in) { return Rotary(in[0], w); },
        {Tensor::Zeros(shape, DType::kF64).value()}));
  }
  const auto expect = [](const Var& y, const char* message) {
    EXPECT_THAT(
        y, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
  };
  const Tensor x = RandomTensor({3, 4}, DType::kF32, 1);
  for (const int axis : {-1, 1, -3, 2}) {
    expect(Rotary(x, w, {.time_axis = axis}),
           "expected an axis of x, f32 [3, 4], other than the last");
  }
  expect(Rotary(x, RandomTensor({3}, DType::kF64, 1)),
         "rotary: frequencies is f64 [3], expected at most 2, a pair each, for "
         "the last axis of x, f32 [3, 4]");
  expect(Rotary(x, RandomTensor({2}, DType::kF32, 1)),
         "frequencies is f32 [2], expected f64");
  expect(Rotary(x, RandomTensor({1, 2}, DType::kF64, 1)),
         "frequencies is f64 [1, 2], expected rank 1");
  expect(Rotary(x, Tensor()), "frequencies is not given");
  const double nan = std::numeric_limits<double>::quiet_NaN();
  expect(Rotary(x, Tensor::FromValues<double>({2}, {1, nan}).value()),
         "frequencies[1] is nan, expected a finite number");
  expect(Rotary(x, w, {.offset = HUGE_VAL}),
         "offset is inf, expected a finite number");
  expect(Rotary(x, w, {.position_scale = nan}),
         "position_scale is nan, expected a finite number");
  expect(Rotary(RandomTensor({4}, DType::kF32, 1), w), "expected rank 2 to 8");
  expect(Rotary(Tensor::Zeros({3, 4}, DType::kI32).value(), w),
         "x is i32 [3, 4], expected f32 or f64");
  expect(Rotary(x, w, {}, RandomTensor({3}, DType::kF32, 1)),
         "times is f32 [3], expected i64");
  expect(Rotary(x, w, {}, Tensor::FromValues<int64_t>({2}, {1, 2}).value()),
         "times is i64 [2], expected axis 0 to be 3 (the time axis of x)");
  for (const int64_t dim : {0, 3, -2}) {
    expect(RotaryFrequencies(dim), "expected an even number >= 2");
  }
  expect(RotaryFrequencies(4, {.base = 0}),
         "base is 0, expected a finite number > 0");
  expect(RotaryFrequencies(4, {.linear_scale = -1}), "linear_scale is -1");
  expect(RotaryFrequencies(4, {.ntk_factor = nan}), "ntk_factor is nan");
}

}  // namespace
}  // namespace septet
