// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/conv.h"

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/autograd/gradient_checker.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/image_layout.h"
#include "septet/core/ops/op_testutil.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

// The definition, channels first: x [N, C, H, W], w [O, C / groups, KH, KW].
Tensor DirectNchw(const Tensor& x, const Tensor& w, const Tensor& bias,
                  const Conv2dOptions& o) {
  const int64_t in = w.dim(1);
  const int64_t out = w.dim(0) / o.groups;
  const int64_t oh = (x.dim(2) + o.pad_top + o.pad_bottom -
                      o.dilation_h * (w.dim(2) - 1) - 1) /
                         o.stride_h +
                     1;
  const int64_t ow = (x.dim(3) + o.pad_left + o.pad_right -
                      o.dilation_w * (w.dim(3) - 1) - 1) /
                         o.stride_w +
                     1;
  Tensor y = Tensor::Zeros({x.dim(0), w.dim(0), oh, ow}, DType::kF64).value();
  const auto vx = x.ToVector<double>();
  const auto vw = w.ToVector<double>();
  const auto vb = bias.ToVector<double>();
  double* to = y.mutable_data<double>();
  for (int64_t n = 0; n < x.dim(0); ++n) {
    for (int64_t k = 0; k < w.dim(0); ++k) {
      for (int64_t i = 0; i < oh; ++i) {
        for (int64_t j = 0; j < ow; ++j, ++to) {
          *to = vb[k];
          for (int64_t c = 0; c < in; ++c) {
            for (int64_t a = 0; a < w.dim(2); ++a) {
              for (int64_t b = 0; b < w.dim(3); ++b) {
                const int64_t row =
                    i * o.stride_h - o.pad_top + a * o.dilation_h;
                const int64_t col =
                    j * o.stride_w - o.pad_left + b * o.dilation_w;
                if (row < 0 || row >= x.dim(2) || col < 0 || col >= x.dim(3)) {
                  continue;
                }
                const int64_t channel = k / out * in + c;
                *to +=
                    vx[((n * x.dim(1) + channel) * x.dim(2) + row) * x.dim(3) +
                       col] *
                    vw[((k * in + c) * w.dim(2) + a) * w.dim(3) + b];
              }
            }
          }
        }
      }
    }
  }
  return y;
}

std::vector<Conv2dOptions> AllOptions() {
  Conv2dOptions uneven;
  uneven.stride_h = 2;
  uneven.pad_top = 2;
  uneven.pad_right = 1;
  uneven.dilation_w = 2;
  return {Conv2dOptions{}, Conv2dOptions::Uniform(1, 1),
          Conv2dOptions::Uniform(2, 1, 2), Conv2dOptions::Uniform(3, 2, 4),
          uneven};
}

TEST(Conv2dTest, ValuesAgreeWithTheDefinitionChannelsFirst) {
  for (const Conv2dOptions& o : AllOptions()) {
    const Tensor x = RandomTensor({2, 4, 6, 7}, DType::kF64, 1);
    const Tensor w = RandomTensor({8, 4 / o.groups, 3, 2}, DType::kF64, 2);
    const Tensor bias = RandomTensor({8}, DType::kF64, 3);
    const Tensor want = ImportNchw(DirectNchw(x, w, bias, o)).value();
    const Tensor nhwc = ImportNchw(x).value();
    const Tensor ours = ImportOihw(w).value();
    DispatchTrace trace;
    const Var y = Conv2d(nhwc, ours, bias, o);
    SEPTET_ASSERT_OK(y);
    ExpectNear(y.tensor(), want, 1e-14);
    const Var f32 =
        Conv2d(nhwc.To(DType::kF32).value(), ours.To(DType::kF32).value(),
               bias.To(DType::kF32).value(), o);
    SEPTET_ASSERT_OK(f32);
    // 25 products of numbers below 1, and the rounding of the inputs.
    ExpectNear(f32.tensor(), want, 25 * 2e-7);
    EXPECT_THAT(trace.lines(), Contains("conv2d cpu/f64 highway"));
    EXPECT_THAT(trace.lines(), Contains("conv2d cpu/f32 highway"));
    // A view is as good as a copy.
    const Tensor view = x.Permute({0, 2, 3, 1}).value();
    ExpectNear(Conv2d(view, ours, bias, o).tensor(), want, 1e-14);
  }
}

TEST(Conv2dTest, Gradients) {
  for (const Conv2dOptions& o : AllOptions()) {
    const Tensor x = RandomTensor({2, 4, 5, 4}, DType::kF64, 1);
    const Tensor w = RandomTensor({3, 2, 4 / o.groups, 4}, DType::kF64, 2);
    const Tensor bias = RandomTensor({4}, DType::kF64, 3);
    SEPTET_EXPECT_OK(CheckGradients(
        [&](absl::Span<const Var> in) {
          return Conv2d(in[0], in[1], in[2], o);
        },
        {x, w, bias}));
  }
  // Without bias, and with an extent left over by the stride.
  SEPTET_EXPECT_OK(CheckGradients(
      [&](absl::Span<const Var> in) {
        return Conv2d(in[0], in[1], Var(), Conv2dOptions::Uniform(3, 0));
      },
      {RandomTensor({1, 6, 5, 2}, DType::kF64, 1),
       RandomTensor({2, 1, 2, 3}, DType::kF64, 2)}));
}

// Asked for together, the gradients of w and bias come from one pass over dy,
// and are those of each alone.
TEST(Conv2dTest, BiasGradientComesWithTheWeights) {
  for (const Conv2dOptions& o : AllOptions()) {
    Tape tape;
    const Var x = RandomTensor({2, 4, 5, 4}, DType::kF64, 1);
    const Var w =
        tape.Watch(RandomTensor({3, 2, 4 / o.groups, 4}, DType::kF64, 2));
    const Var bias = tape.Watch(RandomTensor({4}, DType::kF64, 3));
    const Var y = Conv2d(x, w, bias, o);
    SEPTET_ASSERT_OK(y);
    const Var g = RandomTensor(y.shape(), DType::kF64, 4);
    const auto grads = [&](std::vector<Var> of) {
      return tape.GradVars({y}, {g}, of, /*create_graph=*/true);
    };
    DispatchTrace trace;
    SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<Var> both, grads({w, bias}));
    EXPECT_THAT(trace.lines(),
                Contains("conv2d_weight_bias_grad cpu/f64 highway"));
    EXPECT_THAT(trace.lines(), Not(Contains(HasSubstr("sum"))));
    SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<Var> dw, grads({w}));
    SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<Var> dbias, grads({bias}));
    EXPECT_EQ(both[0].tensor().ToVector<double>(),
              dw[0].tensor().ToVector<double>());
    ExpectNear(both[1].tensor(), dbias[0].tensor(), 1e-14);
  }
}

// Derivatives of gradients of which one alone, or both, are used.
TEST(Conv2dTest, WeightAndBiasGradientsAreDifferentiable) {
  for (const int use : {1, 2, 3}) {
    const Conv2dOptions o = Conv2dOptions::Uniform(2, 1, 2);
    SEPTET_EXPECT_OK(CheckGradients(
        [&](absl::Span<const Var> in) -> Var {
          Tape own;
          Tape& tape = in[0].tape() != nullptr   ? *in[0].tape()
                       : in[1].tape() != nullptr ? *in[1].tape()
                                                 : own;
          const Var w = tape.Watch(RandomTensor({3, 2, 2, 6}, DType::kF64, 3));
          const Var bias = tape.Watch(RandomTensor({6}, DType::kF64, 4));
          const Var y = Conv2d(in[0], w, bias, o);
          const auto grads =
              tape.GradVars({y}, {in[1]}, {w, bias}, /*create_graph=*/true);
          if (!grads.ok()) return grads.status();
          if (use == 1) return (*grads)[0];
          if (use == 2) return (*grads)[1];
          return Add((*grads)[0], (*grads)[1]);
        },
        {RandomTensor({2, 4, 6, 4}, DType::kF64, 1),
         RandomTensor({2, 2, 4, 6}, DType::kF64, 2)}));
  }
}

TEST(Conv2dTest, WeightGradientIsDifferentiable) {
  const Conv2dOptions o = Conv2dOptions::Uniform(2, 1, 2);
  SEPTET_EXPECT_OK(CheckGradients(
      [&](absl::Span<const Var> in) {
        return Conv2dWeightGrad(in[0], in[1], 3, 2, o);
      },
      {RandomTensor({2, 4, 6, 4}, DType::kF64, 1),
       RandomTensor({2, 2, 4, 6}, DType::kF64, 2)}));
}

TEST(ConvTranspose2dTest, ScattersTheKernel) {
  // One pixel, stride 2: the kernel at its place.
  const Tensor w = RandomTensor({3, 2, 5, 1}, DType::kF64, 1);
  const Tensor one = Tensor::Full({1, 1, 1, 1}, 2.0, DType::kF64).value();
  const Var y = ConvTranspose2d(one, w, Var(), Conv2dOptions::Uniform(2, 0));
  SEPTET_ASSERT_OK(y);
  EXPECT_EQ(y.shape(), Shape({1, 3, 2, 5}));
  std::vector<double> want = w.ToVector<double>();
  for (double& v : want) v *= 2;
  EXPECT_EQ(y.tensor().ToVector<double>(), want);
  // (5 - 1) 2 - 2 + 2 + 1 + 1 rows.
  const Tensor x = RandomTensor({1, 5, 4, 1}, DType::kF64, 2);
  EXPECT_EQ(
      ConvTranspose2d(x, w, Var(), Conv2dOptions::Uniform(2, 1), 1, 0).shape(),
      Shape({1, 10, 6, 5}));
}

TEST(ConvTranspose2dTest, Gradients) {
  for (const int64_t groups : {1, 2}) {
    const Conv2dOptions o = Conv2dOptions::Uniform(2, 1, groups);
    const Tensor x = RandomTensor({2, 3, 2, 4}, DType::kF64, 1);
    const Tensor w = RandomTensor({3, 3, 2, 4}, DType::kF64, 2);
    const Tensor bias = RandomTensor({2 * groups}, DType::kF64, 3);
    SEPTET_EXPECT_OK(CheckGradients(
        [&](absl::Span<const Var> in) {
          return ConvTranspose2d(in[0], in[1], in[2], o, 1, 0);
        },
        {x, w, bias}));
  }
}

TEST(Conv2dTest, EmptyTensors) {
  const Tensor w = RandomTensor({3, 3, 2, 4}, DType::kF32, 1);
  EXPECT_EQ(Conv2d(Tensor::Zeros({0, 4, 4, 2}, DType::kF32).value(), w, Var())
                .shape(),
            Shape({0, 2, 2, 4}));
  const Tensor bias = RandomTensor({4}, DType::kF32, 2);
  EXPECT_EQ(Conv2d(Tensor::Zeros({1, 3, 3, 0}, DType::kF32).value(),
                   Tensor::Zeros({3, 3, 0, 4}, DType::kF32).value(), bias)
                .tensor()
                .ToVector<float>(),
            bias.ToVector<float>());
  EXPECT_THAT(
      Conv2d(Tensor::Zeros({1, 0, 3, 2}, DType::kF32).value(), w, Var()),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("the kernel's rows reach over 3")));
}

TEST(Conv2dTest, Errors) {
  const Tensor x = RandomTensor({2, 5, 5, 4}, DType::kF32, 1);
  const Tensor w = RandomTensor({3, 3, 4, 6}, DType::kF32, 2);
  const auto expect = [](const Var& got, const char* message) {
    EXPECT_THAT(
        got, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
  };
  expect(Conv2d(RandomTensor({5, 5, 4}, DType::kF32, 1), w, Var()),
         "conv2d: x is f32 [5, 5, 4], expected rank 4");
  expect(Conv2d(x, RandomTensor({3, 4, 6}, DType::kF32, 1), Var()),
         "conv2d: w is f32 [3, 4, 6], expected rank 4");
  expect(Conv2d(x, w.To(DType::kF64).value(), Var()), "dtypes differ");
  expect(Conv2d(Tensor::Zeros({2, 5, 5, 4}, DType::kI32).value(), w, Var()),
         "conv2d: x is i32 [2, 5, 5, 4], expected f32 or f64");
  expect(Conv2d(x, RandomTensor({3, 3, 3, 6}, DType::kF32, 1), Var()),
         "conv2d: w is f32 [3, 3, 3, 6], expected axis 2 to be 4");
  expect(Conv2d(x, w, RandomTensor({5}, DType::kF32, 1)),
         "conv2d: bias is f32 [5], expected axis 0 to be 6");
  expect(Conv2d(x, w, Var(), Conv2dOptions::Uniform(0, 1)),
         "stride_h is 0, expected at least 1");
  expect(Conv2d(x, w, Var(), Conv2dOptions::Uniform(1, -1)),
         "pad_top is -1, expected at least 0");
  expect(Conv2d(x, w, Var(), Conv2dOptions::Uniform(1, 1, 3)),
         "groups is 3, expected a divisor of 4 input and 6 output channels");
  expect(Conv2d(x, w, Var(), Conv2dOptions::Uniform(1, 0, 1, 3)),
         "conv2d: x is f32 [2, 5, 5, 4], w is f32 [3, 3, 4, 6]: the kernel's "
         "rows reach over 7 (3 with dilation 3), expected at most 5");
  expect(Conv2d(x, Tensor::Zeros({0, 3, 4, 6}, DType::kF32).value(), Var()),
         "kh is 0, expected at least 1");

  expect(ConvTranspose2d(x, w, Var()),
         "conv_transpose2d: w is f32 [3, 3, 4, 6], expected axis 3 to be 4");
  const Tensor wt = RandomTensor({3, 3, 6, 4}, DType::kF32, 2);
  expect(ConvTranspose2d(x, wt, Var(), Conv2dOptions::Uniform(2, 0), 2, 0),
         "output_padding_h is 2, expected at least 0 and below the stride, 2");
  expect(ConvTranspose2d(x, wt, Var(), Conv2dOptions::Uniform(2, 0), 0, -1),
         "output_padding_w is -1");
  expect(ConvTranspose2d(x, wt, Var(), Conv2dOptions::Uniform(1, 9)),
         "the result's extent along h would be -11, expected at least 1");
  expect(ConvTranspose2d(x, wt, RandomTensor({4}, DType::kF32, 1)),
         "bias is f32 [4], expected axis 0 to be 6");
  expect(ConvTranspose2d(x, wt, Var(), Conv2dOptions::Uniform(1, 0, 3)),
         "groups is 3, expected a divisor of the 4 channels of x");
  expect(ConvTranspose2d(x, wt, Var(),
                         Conv2dOptions::Uniform(int64_t{1} << 50, 0)),
         "stride_h is 1125899906842624, expected at most 2^31 - 1");

  expect(Conv2dWeightGrad(x, RandomTensor({2, 4, 3, 6}, DType::kF32, 1), 3, 3),
         "conv2d_weight_grad: dy is f32 [2, 4, 3, 6], expected axis 1 to be 3");
  expect(Conv2dWeightGrad(x, RandomTensor({2, 3, 3, 6}, DType::kF32, 1), -3, 3),
         "kh is -3, expected at least 1");
}

TEST(ImageLayoutTest, ThereAndBack) {
  const Tensor x = RandomTensor({2, 3, 4, 5}, DType::kF32, 1);
  using Function = absl::StatusOr<Tensor> (*)(const Tensor&);
  const struct {
    Function in;
    Function out;
    Shape shape;
  } kPairs[] = {{&ImportNchw, &ExportNchw, {2, 4, 5, 3}},
                {&ImportOihw, &ExportOihw, {4, 5, 3, 2}},
                {&ImportIohw, &ExportIohw, {4, 5, 3, 2}}};
  for (const auto& pair : kPairs) {
    SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor ours, pair.in(x));
    EXPECT_EQ(ours.shape(), pair.shape);
    EXPECT_TRUE(ours.IsContiguous());
    SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor back, pair.out(ours));
    EXPECT_EQ(back.ToVector<float>(), x.ToVector<float>());
  }
  // x[1, 2, 3, 4] is the last element of each.
  EXPECT_EQ(ImportNchw(x)->ToVector<float>()[((1 * 4 + 3) * 5 + 2) * 3 + 1],
            x.ToVector<float>()[((1 * 3 + 1) * 4 + 3) * 5 + 2]);
  EXPECT_EQ(ImportOihw(x)->ToVector<float>()[((3 * 5 + 2) * 3 + 1) * 2 + 0],
            x.ToVector<float>()[((0 * 3 + 1) * 4 + 3) * 5 + 2]);
}

TEST(ImageLayoutTest, Errors) {
  EXPECT_THAT(ImportNchw(RandomTensor({2, 3}, DType::kF32, 1)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("import_nchw: x is f32 [2, 3], expected rank "
                                 "4")));
  EXPECT_THAT(ExportOihw(Tensor()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("export_oihw: w is not given")));
}

}  // namespace
}  // namespace septet
