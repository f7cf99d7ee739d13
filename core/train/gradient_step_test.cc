// SPDX-License-Identifier: Apache-2.0
#include "septet/core/train/gradient_step.h"

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/nn/batch_norm_layer.h"
#include "septet/core/nn/linear_layer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/optim/adam.h"
#include "septet/core/optim/clip.h"
#include "septet/core/optim/ema.h"
#include "septet/core/optim/schedule.h"
#include "septet/core/optim/sgd.h"
#include "septet/core/tensor/allocator.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"
#include "septet/core/train/checkpoint.h"

namespace septet {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

constexpr int64_t kRows = 12;
constexpr int64_t kIn = 5;
constexpr int64_t kHidden = 7;

// A net with batch norm (if asked for), and rows to fit.
struct Net {
  explicit Net(DType dtype, bool with_norm = false) : dtype(dtype) {
    const ParameterScope scope(&store, {/*seed=*/3, dtype});
    LinearLayerOptions linear;
    linear.in = kIn;
    linear.out = kHidden;
    first = LinearLayer::Create(linear, scope.Sub("first")).value();
    if (with_norm) {
      BatchNormLayerOptions options;
      options.channels = kHidden;
      norm = BatchNormLayer::Create(options, scope.Sub("norm")).value();
    }
    linear.in = kHidden;
    linear.out = 1;
    second = LinearLayer::Create(linear, scope.Sub("second")).value();
    has_norm = with_norm;
  }

  // Numbers between -1 and 1 that look like no pattern.
  Tensor Rows(int64_t step, int64_t begin, int64_t end) const {
    std::vector<double> values;
    for (int64_t i = begin * kIn; i < end * kIn; ++i) {
      values.push_back(std::sin(12.9898 * static_cast<double>(i + 1) +
                                78.233 * static_cast<double>(step)));
    }
    return Tensor::FromValues<double>({end - begin, kIn}, values)
        ->To(dtype)
        .value();
  }

  Var Loss(const BoundParameters& p, const Tensor& x) const {
    Var h = first.Forward(p, Var(x));
    if (has_norm) h = norm.Forward(p, Pass::Training(1, 0), h);
    const Var y = second.Forward(p, Tanh(h));
    return Mean(Square(Sub(y, Mean(Var(x), {1}, {/*keep_dims=*/true}))));
  }

  std::vector<double> Values() const {
    std::vector<double> values;
    for (const auto list : {store.trained(), store.buffers()}) {
      for (const Tensor& tensor : list) {
        for (const double x : tensor.ToVector<double>()) values.push_back(x);
      }
    }
    return values;
  }

  DType dtype;
  ParameterStore store;
  LinearLayer first;
  BatchNormLayer norm;
  LinearLayer second;
  bool has_norm = false;
};

GradientStepOptions Options() {
  GradientStepOptions options;
  options.schedule = Schedule::Cosine(0.05, 20);
  return options;
}

GradientStep Make(Net* net, const GradientStepOptions& options) {
  absl::StatusOr<GradientStep> step =
      GradientStep::Create(&net->store, options);
  EXPECT_THAT(step, IsOk());
  return *std::move(step);
}

TEST(GradientStepTest, IsTheStepWrittenOut) {
  Net net(DType::kF32, true);
  Net twin(DType::kF32, true);
  GradientStepOptions options = Options();
  options.optimizer = AdamOptions{0, 0.9, 0.99, 1e-8, 0.1};
  options.max_grad_norm = 0.1;
  options.ema_tau = 0.25;
  GradientStep step = Make(&net, options);
  Adam adam = Adam::Create(std::get<AdamOptions>(options.optimizer),
                           twin.store.trained(), twin.store.trained_decay())
                  .value();
  ParameterStore average = twin.store.Clone().value();
  Tape tape;
  BoundParameters p;
  for (int64_t i = 0; i < 6; ++i) {
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const GradientStepResult result,
        step.Run(i, [&](const BoundParameters& bound, int micro_batch) {
          EXPECT_EQ(micro_batch, 0);
          return net.Loss(bound, net.Rows(i, 0, kRows));
        }));
    tape.Reset();
    twin.store.Watch(&tape, &p);
    const Var loss = twin.Loss(p, twin.Rows(i, 0, kRows));
    SEPTET_ASSERT_OK_AND_ASSIGN(auto grads, tape.Grad(loss, p.trained()));
    SEPTET_ASSERT_OK_AND_ASSIGN(const double norm, ClipGradNorm(grads, {0.1}));
    SEPTET_ASSERT_OK(
        adam.Step(twin.store.trained(), grads, options.schedule(i)));
    SEPTET_ASSERT_OK(
        UpdateEma(twin.store.trained(), {0.25}, average.trained()));
    EXPECT_EQ(result.loss, loss.tensor().item<double>());
    EXPECT_EQ(result.grad_norm, norm);
    EXPECT_GT(norm, 0.1);
    EXPECT_EQ(result.lr, options.schedule(i));
  }
  EXPECT_THAT(net.Values(), ElementsAreArray(twin.Values()));
  ASSERT_NE(step.ema(), nullptr);
  for (size_t i = 0; i < average.trained().size(); ++i) {
    EXPECT_THAT(step.ema()->trained()[i].ToVector<float>(),
                ElementsAreArray(average.trained()[i].ToVector<float>()));
  }
  for (size_t i = 0; i < net.store.buffers().size(); ++i) {
    EXPECT_THAT(step.ema()->buffers()[i].ToVector<float>(),
                ElementsAreArray(net.store.buffers()[i].ToVector<float>()));
  }
}

// Cuts are the rows at which micro-batches end.
void ExpectLikeOneBatch(const std::vector<int64_t>& cuts,
                        const GradientStepOptions& base) {
  Net whole(DType::kF64);
  Net parts(DType::kF64);
  GradientStep whole_step = Make(&whole, base);
  GradientStepOptions options = base;
  options.micro_batches = static_cast<int>(cuts.size());
  GradientStep parts_step = Make(&parts, options);
  for (int64_t i = 0; i < 10; ++i) {
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const GradientStepResult one,
        whole_step.Run(i, [&](const BoundParameters& p, int) {
          return whole.Loss(p, whole.Rows(i, 0, kRows));
        }));
    int calls = 0;
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const GradientStepResult many,
        parts_step.Run(i, [&](const BoundParameters& p, int micro_batch) {
          EXPECT_EQ(micro_batch, calls++);
          const int64_t begin = micro_batch == 0 ? 0 : cuts[micro_batch - 1];
          const int64_t end = cuts[micro_batch];
          return MicroBatchLoss(parts.Loss(p, parts.Rows(i, begin, end)),
                                static_cast<double>(end - begin));
        }));
    EXPECT_EQ(calls, static_cast<int>(cuts.size()));
    // Sums of a dozen terms of size one.
    EXPECT_NEAR(one.loss, many.loss, 1e-14);
    EXPECT_NEAR(one.grad_norm, many.grad_norm, 1e-14);
  }
  const std::vector<double> a = whole.Values();
  const std::vector<double> b = parts.Values();
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-12) << i;
}

TEST(GradientStepTest, MicroBatchesAreOneBatch) {
  GradientStepOptions options = Options();
  SgdOptions sgd;
  sgd.momentum = 0.9;
  options.optimizer = sgd;
  ExpectLikeOneBatch({6, 12}, options);
  ExpectLikeOneBatch({3, 6, 9, 12}, options);
  // Of unequal sizes, by weight; with clipping, by Adam.
  options.max_grad_norm = 0.05;
  ExpectLikeOneBatch({1, 6, 12}, options);
  // Adam's quotients of small gradients magnify rounding: a large eps.
  AdamOptions adam;
  adam.eps = 1e-2;
  options.optimizer = adam;
  ExpectLikeOneBatch({5, 10, 12}, options);
}

TEST(GradientStepTest, RestoredItGoesOnWithTheSameBits) {
  GradientStepOptions options = Options();
  options.ema_tau = 0.1;
  options.micro_batches = 2;
  for (const bool use_sgd : {false, true}) {
    if (use_sgd) {
      SgdOptions sgd;
      sgd.momentum = 0.9;
      options.optimizer = sgd;
    }
    const auto run = [&](Net* net, GradientStep* step, int64_t i) {
      SEPTET_ASSERT_OK(step->Run(i, [&](const BoundParameters& p,
                                        int micro_batch) {
        return net->Loss(p, net->Rows(i, 6 * micro_batch, 6 * micro_batch + 6));
      }));
    };
    Net net(DType::kF32, true);
    GradientStep step = Make(&net, options);
    for (int64_t i = 0; i < 4; ++i) run(&net, &step, i);
    Checkpoint checkpoint;
    SEPTET_ASSERT_OK(step.Save(&checkpoint, "net."));
    const std::string dir =
        absl::StrCat(::testing::TempDir(), "/gradient_step", use_sgd);
    SEPTET_ASSERT_OK(SaveCheckpoint(dir, checkpoint, 1));
    for (int64_t i = 4; i < 8; ++i) run(&net, &step, i);

    Net again(DType::kF32, true);
    GradientStep resumed = Make(&again, options);
    SEPTET_ASSERT_OK_AND_ASSIGN(const Checkpoint loaded,
                                LoadLatestCheckpoint(dir));
    EXPECT_THAT(
        resumed.Restore(loaded),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("step")));
    SEPTET_ASSERT_OK(resumed.Restore(loaded, "net."));
    for (int64_t i = 4; i < 8; ++i) run(&again, &resumed, i);
    EXPECT_THAT(again.Values(), ElementsAreArray(net.Values()));
    for (size_t i = 0; i < net.store.trained().size(); ++i) {
      EXPECT_THAT(resumed.ema()->trained()[i].ToVector<float>(),
                  ElementsAreArray(step.ema()->trained()[i].ToVector<float>()));
    }
  }
}

TEST(GradientStepTest, ASteadyStepTakesNothingFromTheSystem) {
  GradientStepOptions options = Options();
  options.micro_batches = 2;
  options.max_grad_norm = 1;
  options.ema_tau = 0.1;
  Net net(DType::kF32, true);
  GradientStep step = Make(&net, options);
  int64_t allocations = 0;
  for (int64_t i = 0; i < 8; ++i) {
    if (i == 3) allocations = CpuAllocator().Stats().system_allocations;
    SEPTET_ASSERT_OK(step.Run(i, [&](const BoundParameters& p, int) {
      return net.Loss(p, net.Rows(i, 0, 6));
    }));
  }
  EXPECT_EQ(CpuAllocator().Stats().system_allocations, allocations);
}

// ---- what is not finite ----

using LossFn = std::function<Var(const BoundParameters&)>;

// The message of a step that fails, after which nothing has changed.
std::string Failure(Net* net, const LossFn& loss, int micro_batches = 1) {
  GradientStepOptions options = Options();
  options.micro_batches = micro_batches;
  options.max_grad_norm = 1;
  options.ema_tau = 0.5;
  GradientStep step = Make(net, options);
  const std::vector<double> before = net->Values();
  Checkpoint state;
  EXPECT_THAT(step.Save(&state), IsOk());
  std::map<std::string, std::vector<double>> values;
  for (const auto& [name, tensor] : state.tensors) {
    values[name] = tensor.ToVector<double>();
  }
  const absl::StatusOr<GradientStepResult> result =
      step.Run(7, [&](const BoundParameters& p, int) { return loss(p); });
  EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition)
      << result.status();
  for (const auto& [name, tensor] : state.tensors) {
    const std::vector<double> after = tensor.ToVector<double>();
    for (size_t i = 0; i < after.size(); ++i) {
      EXPECT_TRUE(after[i] == values[name][i] ||
                  (std::isnan(after[i]) && std::isnan(values[name][i])))
          << name << " " << i;
    }
  }
  return std::string(result.status().message());
}

TEST(GradientStepTest, ABadParameterIsNamed) {
  Net net(DType::kF32);
  net.store.trained()[2].mutable_data<float>()[3] =
      std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(
      Failure(&net,
              [&](const BoundParameters& p) {
                return net.Loss(p, net.Rows(0, 0, 4));
              }),
      AllOf(HasSubstr("step 7: the loss is nan; the first tensor that is not "
                      "finite is the parameter 'second.weight', before the "
                      "step: f32 [7, 1], 1 of 7 elements is not finite, "
                      "[3, 0] is nan"),
            HasSubstr("Nothing was updated")));
}

TEST(GradientStepTest, ABadBatchIsNamed) {
  Net net(DType::kF32, true);
  const Tensor x = net.Rows(0, 0, 4);
  x.mutable_data<float>()[2 * kIn + 1] =
      std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(
      Failure(
          &net, [&](const BoundParameters& p) { return net.Loss(p, x); }, 2),
      HasSubstr("is input 0 of op 0 (linear), which no op has computed (a "
                "batch or a constant): f32 [4, 5], 1 of 20 elements is not "
                "finite, [2, 1] is nan"));
}

TEST(GradientStepTest, TheFirstBadOpIsNamed) {
  Net net(DType::kF64);
  const Tensor x = net.Rows(0, 0, 4);
  // The logarithm of negative numbers.
  EXPECT_THAT(
      Failure(&net,
              [&](const BoundParameters& p) {
                return Mean(Log(net.second.Forward(
                    p, Tanh(net.first.Forward(p, Mul(Var(x), Var(x)))))));
              }),
      AllOf(HasSubstr("the loss is nan"), HasSubstr("the result of op"),
            HasSubstr("(log)"), HasSubstr("its inputs are finite")));
  // An overflow, then the difference of two infinities.
  EXPECT_THAT(
      Failure(&net,
              [&](const BoundParameters& p) {
                const Var h = net.first.Forward(p, Var(x));
                const Var big = Exp(
                    Add(Square(h), Var(*Tensor::Full({1}, 1e3, DType::kF64))));
                return Mean(Sub(big, big));
              }),
      AllOf(HasSubstr("(exp)"), HasSubstr("is inf"), HasSubstr("; then "),
            HasSubstr("(sub)"), HasSubstr("no NaN, but have infinities")));
  // An infinite loss without any NaN.
  EXPECT_THAT(
      Failure(&net,
              [&](const BoundParameters& p) {
                const Var h = net.first.Forward(p, Var(x));
                return Mean(Exp(
                    Add(Square(h), Var(*Tensor::Full({1}, 1e3, DType::kF64)))));
              }),
      AllOf(HasSubstr("the loss is inf"), HasSubstr("(exp)")));
}

TEST(GradientStepTest, AnInfinityThatIsMeantIsNotBlamed) {
  Net net(DType::kF64);
  const Tensor x = net.Rows(0, 0, 4);
  // exp of -inf is 0: a mask. Then 0 / 0.
  const std::string text = Failure(&net, [&](const BoundParameters& p) {
    const Var h = net.first.Forward(p, Var(x));
    const Var mask(*Tensor::Full({1}, -std::numeric_limits<double>::infinity(),
                                 DType::kF64));
    const Var zero = Exp(Add(h, mask));
    return Mean(Div(zero, zero));
  });
  EXPECT_THAT(text, AllOf(HasSubstr("(div)"), HasSubstr("inputs are finite")));
  EXPECT_THAT(text, Not(HasSubstr("(add)")));
}

TEST(GradientStepTest, ABadGradientIsNamed) {
  Net net(DType::kF64);
  // sqrt has no derivative at 0.
  const Tensor zeros = Tensor::Zeros({4, kIn}, DType::kF64).value();
  for (const Tensor& tensor : net.store.trained()) {
    SEPTET_ASSERT_OK(
        tensor.CopyFrom(Tensor::Zeros(tensor.shape(), DType::kF64).value()));
  }
  EXPECT_THAT(Failure(&net,
                      [&](const BoundParameters& p) {
                        return Mean(Sqrt(net.first.Forward(p, Var(zeros))));
                      }),
              AllOf(HasSubstr("step 7: the gradient is not finite; the first "
                              "tensor that is not finite is on the way back, "
                              "the gradient of input 0 of op 1 (sqrt)"),
                    HasSubstr("the first such gradient of a parameter is that "
                              "of 'first.")));
}

TEST(GradientStepTest, ANormThatOverflowsSaysSo) {
  Net net(DType::kF64);
  const Tensor x = net.Rows(0, 0, 4);
  EXPECT_THAT(
      Failure(&net,
              [&](const BoundParameters& p) {
                return Mean(Mul(net.first.Forward(p, Var(x)),
                                Var(*Tensor::Full({1}, 1e200, DType::kF64))));
              }),
      HasSubstr("every tensor is finite when the step is run again: "
                "the norm overflows"));
}

TEST(GradientStepTest, ABadLossIsAnError) {
  Net net(DType::kF32);
  GradientStep step = Make(&net, Options());
  const std::vector<double> before = net.Values();
  const Tensor x = net.Rows(0, 0, 4);
  const auto invalid = [&](GradientStep::LossFn loss, const std::string& text) {
    EXPECT_THAT(step.Run(0, loss),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text)));
  };
  invalid([&](const BoundParameters&, int) { return Var(); },
          "the loss of micro-batch 0 is nothing");
  invalid([&](const BoundParameters&, int) { return Mean(Var(x)); },
          "is f32 [], which no parameter takes part in; expected");
  invalid([&](const BoundParameters& p,
              int) { return net.first.Forward(p, Var(x)); },
          "is f32 [4, 7]; expected one floating element");
  invalid([&](const BoundParameters& p,
              int) { return MicroBatchLoss(net.Loss(p, x), 0); },
          "the weight of micro-batch 0 is 0, expected a finite number > 0");
  invalid(
      [&](const BoundParameters& p, int) {
        return net.first.Forward(p, Var(net.Rows(0, 0, 1).Slice(1, 0, 2)));
      },
      "linear");
  EXPECT_THAT(net.Values(), ElementsAreArray(before));
}

TEST(GradientStepTest, OptionsAreChecked) {
  Net net(DType::kF32);
  const auto invalid = [&](const GradientStepOptions& options,
                           const std::string& text) {
    EXPECT_THAT(GradientStep::Create(&net.store, options).status(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text)));
  };
  GradientStepOptions options = Options();
  options.max_grad_norm = -1;
  invalid(options, "max_grad_norm is -1, expected a finite number >= 0");
  options = Options();
  options.micro_batches = 0;
  invalid(options, "micro_batches is 0, expected at least 1");
  options = Options();
  options.ema_tau = 1.5;
  invalid(options, "ema_tau is 1.5, expected 0 to 1");
  options = Options();
  options.schedule.lr = -1;
  invalid(options, "lr");
  options = Options();
  options.optimizer = AdamOptions{1e-3, 2};
  invalid(options, "beta1");
}

}  // namespace
}  // namespace septet
