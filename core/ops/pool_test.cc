// SPDX-License-Identifier: Apache-2.0
// Pooling and resizing: values by their definitions, gradients, errors.
#include "septet/core/ops/pool.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
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
#include "septet/core/ops/op_testutil.h"
#include "septet/core/ops/upsample.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Numbers at least 0.01 apart, so that central differences cross no tie.
Tensor Distinct(const Shape& shape, DType dtype) {
  Tensor x = Tensor::Empty(shape, DType::kF64).value();
  const int64_t n = shape.num_elements();
  for (int64_t i = 0; i < n; ++i) {
    // All different, because n is prime to 37.
    x.mutable_data<double>()[i] = 0.01 * static_cast<double>(i * 37 % n);
  }
  return x.To(dtype).value();
}

Pool2dOptions Uneven() {
  Pool2dOptions o;
  o.kernel_h = 3;
  o.kernel_w = 2;
  o.stride_h = 2;
  o.stride_w = 1;
  o.pad_h = 1;
  o.ceil_mode = true;
  return o;
}

TEST(MaxPool2dTest, ValuesPlacesAndGradient) {
  const Tensor x = Tensor::FromValues<double>({1, 3, 4, 1}, {1, 5, 2, 0,   //
                                                             3, 5, 8, -1,  //
                                                             0, 0, 4, 4})
                       .value();
  Tape tape;
  const Var watched = tape.Watch(x);
  const MaxPooled pooled =
      MaxPool2d(watched, Pool2dOptions::Uniform(2, 2, 0, true));
  SEPTET_ASSERT_OK(pooled.y);
  EXPECT_EQ(pooled.y.shape(), Shape({1, 2, 2, 1}));
  EXPECT_THAT(pooled.y.tensor().ToVector<double>(), ElementsAre(5, 8, 0, 4));
  EXPECT_THAT(pooled.argmax.tensor().ToVector<int64_t>(),
              ElementsAre(1, 6, 8, 10));
  EXPECT_EQ(pooled.argmax.tape(), nullptr);
  const Tensor g =
      Tensor::FromValues<double>({1, 2, 2, 1}, {1, 2, 3, 4}).value();
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const std::vector<Var> grads,
      tape.GradVars({pooled.y}, {g}, {watched}, /*create_graph=*/false));
  EXPECT_THAT(grads[0].tensor().ToVector<double>(),
              ElementsAre(0, 1, 0, 0, 0, 0, 2, 0, 3, 0, 4, 0));
}

TEST(MaxPool2dTest, Gradients) {
  for (const Pool2dOptions& o :
       {Pool2dOptions::Uniform(2, 2), Pool2dOptions::Uniform(3, 2, 1),
        Pool2dOptions::Uniform(2, 1), Uneven()}) {
    SEPTET_EXPECT_OK(CheckGradients(
        [&](absl::Span<const Var> in) { return MaxPool2d(in[0], o).y; },
        {Distinct({2, 4, 5, 2}, DType::kF64)}));
  }
}

TEST(AvgPool2dTest, ValuesAndGradients) {
  for (const bool include_pad : {false, true}) {
    for (Pool2dOptions o :
         {Pool2dOptions::Uniform(2, 2), Pool2dOptions::Uniform(3, 2, 1),
          Pool2dOptions::Uniform(3, 2, 1, true), Uneven()}) {
      o.count_include_pad = include_pad;
      const auto fn = [&](absl::Span<const Var> in) {
        return AvgPool2d(in[0], o);
      };
      SEPTET_EXPECT_OK(
          CheckGradients(fn, {RandomTensor({2, 4, 5, 3}, DType::kF64, 1)}));
      // The average of a constant is that constant, unless zeros count.
      const Tensor ones = Tensor::Full({1, 4, 5, 3}, 1, DType::kF64).value();
      const Var average = fn({Var(ones)});
      if (!include_pad) {
        EXPECT_EQ(average.tensor().ToVector<double>(),
                  std::vector<double>(average.tensor().num_elements(), 1.0));
      } else if (o.pad_h > 0) {
        EXPECT_LT(average.tensor().ToVector<double>()[0], 1.0);
      }
    }
  }
  DispatchTrace trace;
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    const Tensor x =
        Tensor::FromValues<double>({1, 2, 2, 1}, {1, 2, 3, 4}).value();
    EXPECT_THAT(AvgPool2d(x.To(dtype).value(), Pool2dOptions::Uniform(2, 1, 1))
                    .tensor()
                    .ToVector<double>(),
                ElementsAre(0.25, 0.75, 0.5, 1, 2.5, 1.5, 0.75, 1.75, 1));
    MaxPool2d(x.To(dtype).value(), Pool2dOptions::Uniform(2, 1));
  }
  for (const char* line :
       {"avg_pool2d cpu/f32 highway", "avg_pool2d cpu/f64 highway",
        "max_pool2d cpu/f32 highway", "max_pool2d cpu/f64 highway"}) {
    EXPECT_THAT(trace.lines(), Contains(line));
  }
}

// The kernels against what other ops make of the same windows: strides that
// leave pixels out, windows that overlap, reach over the padding, and are the
// image; ties; infinities; images and channels that are not there.
TEST(PoolTest, KernelsAgreeWithTheComposites) {
  const std::vector<Pool2dOptions> all = {Pool2dOptions::Uniform(1, 1),
                                          Pool2dOptions::Uniform(2, 2),
                                          Pool2dOptions::Uniform(1, 3),
                                          Pool2dOptions::Uniform(3, 2, 1),
                                          Pool2dOptions::Uniform(3, 2, 2),
                                          Pool2dOptions::Uniform(3, 2, 1, true),
                                          Pool2dOptions::Uniform(2, 3, 1, true),
                                          Uneven()};
  for (Pool2dOptions o : all) {
    for (const DType dtype : {DType::kF32, DType::kF64}) {
      for (const Shape& shape :
           {Shape({1, 3, 3, 1}), Shape({2, 5, 4, 17}), Shape({1, 7, 11, 3}),
            Shape({0, 4, 4, 2}), Shape({2, 4, 5, 0})}) {
        // Few values: ties; minus infinity is what the padding holds.
        std::vector<double> values =
            RandomTensor(shape, DType::kF64, 1, -2, 3).ToVector<double>();
        for (double& value : values) {
          value = std::floor(value);
          if (value == -2) value = -std::numeric_limits<double>::infinity();
        }
        const Tensor x =
            Tensor::FromValues<double>(shape, values).value().To(dtype).value();
        const MaxPooled kernel = MaxPool2d(x, o);
        SEPTET_ASSERT_OK(kernel.y);
        DispatchTrace trace;
        const ScopedReference reference;
        const MaxPooled composite = MaxPool2d(x, o);
        SEPTET_ASSERT_OK(composite.y);
        EXPECT_EQ(kernel.y.tensor().ToVector<double>(),
                  composite.y.tensor().ToVector<double>());
        EXPECT_EQ(kernel.argmax.tensor().ToVector<int64_t>(),
                  composite.argmax.tensor().ToVector<int64_t>());
        EXPECT_THAT(trace.lines(), Contains(HasSubstr("composite")));
      }
      for (const bool include_pad : {false, true}) {
        o.count_include_pad = include_pad;
        const Tensor x = RandomTensor({2, 5, 4, 17}, dtype, 1);
        const Var kernel = AvgPool2d(x, o);
        SEPTET_ASSERT_OK(kernel);
        const ScopedReference reference;
        const Var composite = AvgPool2d(x, o);
        SEPTET_ASSERT_OK(composite);
        // Sums of at most 9 numbers below 1.
        ExpectNear(kernel.tensor(), composite.tensor(),
                   dtype == DType::kF32 ? 9 * 6e-8 : 9 * 1.2e-16);
      }
    }
  }
}

// The composites differentiate as the ops do.
TEST(PoolTest, GradientsOfTheComposites) {
  const ScopedReference reference;
  SEPTET_EXPECT_OK(CheckGradients(
      [&](absl::Span<const Var> in) { return MaxPool2d(in[0], Uneven()).y; },
      {Distinct({1, 4, 5, 2}, DType::kF64)}));
  SEPTET_EXPECT_OK(CheckGradients(
      [&](absl::Span<const Var> in) { return AvgPool2d(in[0], Uneven()); },
      {RandomTensor({1, 4, 5, 2}, DType::kF64, 1)}));
}

TEST(GlobalAvgPool2dTest, MeanOfEachChannel) {
  const Tensor x = RandomTensor({2, 3, 5, 4}, DType::kF64, 1);
  const Var y = GlobalAvgPool2d(x);
  ASSERT_EQ(y.shape(), Shape({2, 4}));
  const auto values = x.ToVector<double>();
  std::vector<double> want(8);
  for (int64_t i = 0; i < 120; ++i) want[i / 60 * 4 + i % 4] += values[i] / 15;
  ExpectNear(y.tensor(), Tensor::FromValues<double>({2, 4}, want).value(),
             1e-15);
  SEPTET_EXPECT_OK(CheckGradients(
      [](absl::Span<const Var> in) { return GlobalAvgPool2d(in[0]); }, {x}));
}

TEST(PoolTest, Errors) {
  const Tensor x = RandomTensor({2, 5, 5, 3}, DType::kF32, 1);
  const auto expect = [](const Var& got, const char* message) {
    EXPECT_THAT(
        got, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
  };
  expect(MaxPool2d(RandomTensor({5, 5, 3}, DType::kF32, 1),
                   Pool2dOptions::Uniform(2, 2))
             .y,
         "max_pool2d: x is f32 [5, 5, 3], expected rank 4");
  expect(MaxPool2d(x, Pool2dOptions::Uniform(-2, 2)).argmax,
         "kh is -2, expected at least 1");
  expect(MaxPool2d(x, Pool2dOptions::Uniform(6, 2)).y,
         "max_pool2d: x is f32 [2, 5, 5, 3]: kh is 6, expected at most 5");
  expect(MaxPool2d(Tensor::Zeros({1, 0, 2, 1}, DType::kF32).value(),
                   Pool2dOptions::Uniform(2, 2))
             .y,
         "h is 0, expected at least 1");
  expect(AvgPool2d(x, Pool2dOptions::Uniform(2, 2, 2)),
         "avg_pool2d: x is f32 [2, 5, 5, 3]: pad_h is 2, expected below 2");
  expect(AvgPool2d(Tensor::Zeros({2, 5, 5, 3}, DType::kI64).value(),
                   Pool2dOptions::Uniform(2, 2)),
         "avg_pool2d: x is i64 [2, 5, 5, 3], expected f32 or f64");
  expect(AvgPool2d(x, Pool2dOptions::Uniform(2, 0)),
         "stride_h is 0, expected at least 1");
  expect(GlobalAvgPool2d(Tensor::Zeros({1, 0, 2, 1}, DType::kF32).value()),
         "global_avg_pool2d: x is f32 [1, 0, 2, 1], expected images of at "
         "least one pixel");
  expect(GlobalAvgPool2d(RandomTensor({2, 3}, DType::kF32, 1)),
         "global_avg_pool2d: x is f32 [2, 3], expected rank 4");
  EXPECT_EQ(MaxPool2d(Tensor::Zeros({0, 4, 4, 3}, DType::kF32).value(),
                      Pool2dOptions::Uniform(2, 2))
                .y.shape(),
            Shape({0, 2, 2, 3}));
}

// ------------------------------------------------------------------ resizing

// One axis by the definition: the value of a row of numbers at output place i.
double At(const std::vector<double>& row, int64_t i, int64_t out,
          const ResizeOptions& o) {
  const int64_t in = static_cast<int64_t>(row.size());
  if (o.mode == ResizeMode::kNearest) {
    return row[static_cast<size_t>(
        std::floor(static_cast<double>(i * in) / static_cast<double>(out)))];
  }
  const double at =
      o.align_corners
          ? (out == 1 ? 0.0 : static_cast<double>(i * (in - 1)) / (out - 1.0))
          : std::max(0.0, (i + 0.5) * in / out - 0.5);
  const size_t low = static_cast<size_t>(at);
  const size_t high = std::min(low + 1, row.size() - 1);
  return row[low] * (1 - (at - low)) + row[high] * (at - low);
}

TEST(Resize2dTest, ValuesByDefinitionAndGradients) {
  for (const ResizeOptions& o :
       {ResizeOptions{}, ResizeOptions{ResizeMode::kBilinear, false},
        ResizeOptions{ResizeMode::kBilinear, true}}) {
    for (const Shape& size :
         {Shape{6, 8}, Shape{1, 1}, Shape{3, 4}, Shape{2, 7}, Shape{5, 3}}) {
      const Tensor x = RandomTensor({2, 3, 4, 5}, DType::kF64, 1);
      const Var y = Resize2d(x, size[0], size[1], o);
      SEPTET_ASSERT_OK(y);
      const auto values = x.ToVector<double>();
      Tensor want =
          Tensor::Empty({2, size[0], size[1], 5}, DType::kF64).value();
      double* to = want.mutable_data<double>();
      for (int64_t n = 0; n < 2; ++n) {
        for (int64_t i = 0; i < size[0]; ++i) {
          for (int64_t j = 0; j < size[1]; ++j) {
            for (int64_t c = 0; c < 5; ++c) {
              std::vector<double> column;
              for (int64_t h = 0; h < 3; ++h) {
                std::vector<double> row;
                for (int64_t w = 0; w < 4; ++w) {
                  row.push_back(values[((n * 3 + h) * 4 + w) * 5 + c]);
                }
                column.push_back(At(row, j, size[1], o));
              }
              *to++ = At(column, i, size[0], o);
            }
          }
        }
      }
      ExpectNear(y.tensor(), want, 1e-14);
      ExpectNear(
          Resize2d(x.To(DType::kF32).value(), size[0], size[1], o).tensor(),
          want, 1e-6);
      SEPTET_EXPECT_OK(CheckGradients(
          [&](absl::Span<const Var> in) {
            return Resize2d(in[0], size[0], size[1], o);
          },
          {RandomTensor({1, 3, 4, 2}, DType::kF64, 2)}));
    }
  }
}

TEST(Resize2dTest, FactorsRepeatPixelsAndKeepConstants) {
  const Tensor x =
      Tensor::FromValues<float>({1, 1, 2, 2}, {1, 2, 3, 4}).value();
  const Var y = Upsample2d(x, 2, 3);
  EXPECT_EQ(y.shape(), Shape({1, 2, 6, 2}));
  EXPECT_THAT(y.tensor().ToVector<float>(),
              ElementsAre(1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4,  //
                          1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4));
  const Tensor ones = Tensor::Full({1, 3, 3, 17}, 1, DType::kF32).value();
  for (const bool align : {false, true}) {
    for (const float v : Upsample2d(ones, 3, 2, {ResizeMode::kBilinear, align})
                             .tensor()
                             .ToVector<float>()) {
      EXPECT_NEAR(v, 1, 3e-7);
    }
  }
}

TEST(Resize2dTest, BitsDoNotDependOnThreads) {
  const Tensor x = RandomTensor({3, 40, 41, 19}, DType::kF32, 1);
  const ResizeOptions o{ResizeMode::kBilinear};
  const auto run = [&] {
    Tape tape;
    const Var watched = tape.Watch(x);
    const Var y = Resize2d(watched, 70, 50, o);
    const Tensor g = RandomTensor({3, 70, 50, 19}, DType::kF32, 2);
    std::vector<float> result = y.tensor().ToVector<float>();
    const std::vector<float> grad =
        (*tape.GradVars({y}, {g}, {watched}, false))[0]
            .tensor()
            .ToVector<float>();
    result.insert(result.end(), grad.begin(), grad.end());
    return result;
  };
  const std::vector<float> serial = run();
  ThreadPool pool(3);
  ScopedThreadPool scope(&pool);
  EXPECT_EQ(run(), serial);
}

// Whatever the size that is asked for: a table of its length would not fit.
TEST(Resize2dTest, NothingOfAHugeSize) {
  const int64_t most = (int64_t{1} << 31) - 1;
  const Var y = Resize2d(Tensor::Zeros({0, 1, 2, 3}, DType::kF32).value(), most,
                         2, {ResizeMode::kBilinear});
  SEPTET_ASSERT_OK(y);
  EXPECT_EQ(y.shape(), Shape({0, most, 2, 3}));
}

TEST(Resize2dTest, Errors) {
  const Tensor x = RandomTensor({2, 3, 4, 5}, DType::kF32, 1);
  const auto expect = [](const Var& got, const char* message) {
    EXPECT_THAT(
        got, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
  };
  expect(Resize2d(x, 0, 3), "resize2d: out_h is 0, expected at least 1");
  expect(Resize2d(x, 3, -1), "resize2d: out_w is -1, expected at least 1");
  expect(Upsample2d(x, 2, 0), "upsample2d: factor_w is 0, expected at least 1");
  expect(Upsample2d(x, int64_t{1} << 31, 1),
         "upsample2d: factor_h is 2147483648");
  expect(Upsample2d(x, (int64_t{1} << 31) - 1, 1), "resize2d: out_h is");
  expect(Resize2d(RandomTensor({3, 4, 5}, DType::kF32, 1), 2, 2),
         "resize2d: x is f32 [3, 4, 5], expected rank 4");
  expect(Resize2d(Tensor::Zeros({2, 3, 0, 5}, DType::kF32).value(), 2, 2),
         "expected images of at least one pixel");
  expect(Resize2d(Tensor::Zeros({2, 3, 1, 5}, DType::kU8).value(), 2, 2),
         "expected f32 or f64");
  expect(Resize2d(x, 2, 2, {ResizeMode::kNearest, true}),
         "align_corners is true, expected false with nearest neighbours");
  EXPECT_EQ(
      Resize2d(Tensor::Zeros({0, 3, 2, 5}, DType::kF32).value(), 4, 4).shape(),
      Shape({0, 4, 4, 5}));
}

}  // namespace
}  // namespace septet
