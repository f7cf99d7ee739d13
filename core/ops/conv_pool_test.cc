// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/conv_pool.h"

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
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

struct Case {
  Shape x;
  Shape w;
  bool bias = true;
  Conv2dOptions conv;
  PoolWindowOptions windows;
};

// One channel and many, odd ones, windows that leave rows and columns over, are
// one pixel, lie across or along, or are the whole image; strides, dilation,
// groups, depthwise; bands of rows of one image and of several images.
std::vector<Case> Cases() {
  const Conv2dOptions same = Conv2dOptions::Uniform(1, 1);
  Conv2dOptions uneven;
  uneven.stride_h = 2;
  uneven.dilation_w = 2;
  uneven.pad_left = 3;
  uneven.pad_bottom = 1;
  return {
      {{3, 28, 28, 1}, {3, 3, 1, 32}, true, same, {2, 2}},
      {{2, 14, 14, 32}, {3, 3, 32, 64}, true, same, {2, 2}},
      {{1, 9, 7, 3}, {3, 3, 3, 17}, true, same, {2, 2}},
      {{2, 9, 11, 2}, {3, 3, 2, 5}, false, same, {3, 2}},
      {{2, 5, 6, 2}, {1, 1, 2, 40}, true, {}, {2, 3}},
      {{2, 5, 5, 3}, {3, 3, 3, 8}, true, same, {1, 1}},
      {{2, 6, 6, 3}, {3, 3, 3, 33}, true, {}, {4, 4}},
      {{2, 11, 12, 4}, {3, 3, 4, 6}, true, uneven, {2, 3}},
      {{2, 8, 8, 6},
       {3, 3, 2, 9},
       true,
       Conv2dOptions::Uniform(1, 1, 3),
       {2, 2}},
      {{2, 8, 8, 7},
       {3, 3, 1, 7},
       true,
       Conv2dOptions::Uniform(1, 1, 7),
       {2, 2}},
      {{1, 70, 70, 2}, {3, 3, 2, 70}, true, same, {3, 3}},
      {{1, 40, 9, 1},
       {5, 5, 1, 16},
       true,
       Conv2dOptions::Uniform(1, 2),
       {2, 2}},
      {{0, 8, 8, 2}, {3, 3, 2, 4}, true, same, {2, 2}},
      {{2, 8, 8, 0}, {3, 3, 0, 4}, true, same, {2, 2}},
  };
}

// y, then the gradients of x, w and bias for a random gradient of y.
std::vector<Tensor> RunCase(const Case& c, DType dtype) {
  const Tensor x = RandomTensor(c.x, dtype, 1);
  const Tensor w = RandomTensor(c.w, dtype, 2);
  const Tensor bias = RandomTensor({c.w[3]}, dtype, 3);
  Tape tape;
  const Var wx = tape.Watch(x), ww = tape.Watch(w), wb = tape.Watch(bias);
  const Var y =
      Conv2dMaxPoolRelu(wx, ww, c.bias ? wb : Var(), c.conv, c.windows);
  EXPECT_TRUE(y.ok()) << y.status();
  if (!y.ok()) return {};
  const auto grads =
      tape.GradVars({y}, {RandomTensor(y.shape(), dtype, 4)}, {wx, ww, wb},
                    /*create_graph=*/false);
  EXPECT_TRUE(grads.ok()) << grads.status();
  std::vector<Tensor> result = {y.tensor()};
  for (const Var& grad : *grads) result.push_back(grad.tensor());
  return result;
}

TEST(ConvPoolTest, IsConvolutionMaximumRelu) {
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    int number = 0;
    for (const Case& c : Cases()) {
      SCOPED_TRACE(number++);
      const std::vector<Tensor> fused = RunCase(c, dtype);
      std::vector<Tensor> composite;
      {
        const ScopedReference reference;
        composite = RunCase(c, dtype);
      }
      ASSERT_EQ(fused.size(), 4);
      ASSERT_EQ(composite.size(), 4);
      // A pixel's sum runs in one order, whatever the band.
      EXPECT_EQ(fused[0].ToVector<double>(), composite[0].ToVector<double>());
      // Sums over pixels in other orders, of products below 1.
      const double eps = dtype == DType::kF32 ? 6e-8 : 1.2e-16;
      const double terms =
          static_cast<double>(c.x[0] * c.x[1] * c.x[2] + 9 * c.w[3]);
      for (size_t i = 1; i < 4; ++i) {
        ExpectNear(fused[i], composite[i], 8 * eps * terms);
      }
    }
  }
}

TEST(ConvPoolTest, TheFirstOfEqualValuesWinsAndNothingBelowZero) {
  // Windows (1 5 / 5 0), (-1 -2 / -3 -4), and a column left over.
  const Tensor x = Tensor::FromValues<float>({1, 2, 5, 1}, {1, 5, -1, -2, 9,  //
                                                            5, 0, -3, -4, 9})
                       .value();
  Tape tape;
  const Var watched = tape.Watch(x);
  DispatchTrace trace;
  const Var y = Conv2dMaxPoolRelu(
      watched, Tensor::Full({1, 1, 1, 1}, 1, DType::kF32).value(), Var());
  SEPTET_ASSERT_OK(y);
  EXPECT_THAT(y.tensor().ToVector<float>(), ElementsAre(5, 0));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const std::vector<Var> grads,
      tape.GradVars({y}, {Tensor::FromValues<float>({1, 1, 2, 1}, {3, 7})},
                    {watched}, /*create_graph=*/false));
  EXPECT_THAT(grads[0].tensor().ToVector<float>(),
              ElementsAre(0, 3, 0, 0, 0, 0, 0, 0, 0, 0));
  EXPECT_THAT(trace.lines(), Contains("conv2d_max_pool_relu cpu/f32 highway"));
  EXPECT_THAT(trace.lines(), Not(Contains(HasSubstr("composite"))));
}

TEST(ConvPoolTest, ANaNStays) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const bool fused : {true, false}) {
    Tape tape;
    const Var x = tape.Watch(
        Tensor::FromValues<float>({1, 2, 2, 1}, {1, nan, 2, 3}).value());
    const Tensor w = Tensor::Full({1, 1, 1, 1}, 1, DType::kF32).value();
    std::vector<float> y, dx;
    const auto run = [&] {
      const Var result = Conv2dMaxPoolRelu(x, w, Var());
      y = result.tensor().ToVector<float>();
      dx = (*tape.GradVars({result},
                           {Tensor::Full({1, 1, 1, 1}, 1, DType::kF32).value()},
                           {x}, false))[0]
               .tensor()
               .ToVector<float>();
    };
    if (fused) {
      run();
    } else {
      const ScopedReference reference;
      run();
    }
    EXPECT_TRUE(y[0] != y[0]);
    EXPECT_THAT(dx, ElementsAre(0, 1, 0, 0)) << fused;
  }
}

TEST(ConvPoolTest, Gradients) {
  const auto fn = [](absl::Span<const Var> in) {
    return Conv2dMaxPoolRelu(in[0], in[1], in[2], Conv2dOptions::Uniform(1, 1),
                             {2, 3});
  };
  SEPTET_EXPECT_OK(
      CheckGradients(fn, {RandomTensor({2, 5, 6, 2}, DType::kF64, 1),
                          RandomTensor({3, 3, 2, 3}, DType::kF64, 2),
                          RandomTensor({3}, DType::kF64, 3)}));
}

TEST(ConvPoolTest, BitsDoNotDependOnThreads) {
  for (const Case& c : Cases()) {
    const std::vector<Tensor> serial = RunCase(c, DType::kF32);
    for (const int threads : {2, 3}) {
      ThreadPool pool(threads);
      const ScopedThreadPool scope(&pool);
      const std::vector<Tensor> parallel = RunCase(c, DType::kF32);
      for (size_t i = 0; i < serial.size(); ++i) {
        ASSERT_EQ(serial[i].ToVector<float>(), parallel[i].ToVector<float>());
      }
    }
  }
}

TEST(ConvPoolTest, Errors) {
  const Tensor x = RandomTensor({2, 5, 5, 3}, DType::kF32, 1);
  const Tensor w = RandomTensor({3, 3, 3, 4}, DType::kF32, 2);
  const auto expect = [](const Var& got, const char* message) {
    EXPECT_THAT(
        got, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
  };
  expect(Conv2dMaxPoolRelu(RandomTensor({5, 5, 3}, DType::kF32, 1), w, Var()),
         "conv2d_max_pool_relu: x is f32 [5, 5, 3], expected rank 4");
  expect(
      Conv2dMaxPoolRelu(x, RandomTensor({3, 3, 2, 4}, DType::kF32, 2), Var()),
      "w is f32 [3, 3, 2, 4]");
  expect(Conv2dMaxPoolRelu(x, w, RandomTensor({3}, DType::kF32, 2)),
         "bias is f32 [3]");
  expect(
      Conv2dMaxPoolRelu(x, RandomTensor({3, 3, 3, 4}, DType::kF64, 2), Var()),
      "w is f64 [3, 3, 3, 4]");
  expect(Conv2dMaxPoolRelu(x, w, Var(), {}, {4, 1}),
         "h of the windows is 4, expected 1 to 3, what the convolution has");
  expect(Conv2dMaxPoolRelu(x, w, Var(), {}, {1, 0}),
         "w of the windows is 0, expected 1 to 3");
  expect(Conv2dMaxPoolRelu(RandomTensor({1, 20, 20, 1}, DType::kF32, 1),
                           RandomTensor({1, 1, 1, 1}, DType::kF32, 2), Var(),
                           {}, {16, 16}),
         "windows are 16 x 16, expected at most 255 pixels");
  expect(Conv2dMaxPoolRelu(x, w, Var(), Conv2dOptions::Uniform(0, 1)),
         "stride_h is 0, expected at least 1");
}

}  // namespace
}  // namespace septet
