// SPDX-License-Identifier: Apache-2.0
// Losses of numbers against their definitions, central differences, and their
// errors. Losses of classes: cross_entropy_test.cc.
#include "septet/core/ops/loss.h"

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
#include "septet/core/ops/softmax.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::HasSubstr;

constexpr double kInf = std::numeric_limits<double>::infinity();

// A loss of two tensors of one shape, and its term of two numbers.
struct Pair {
  std::string name;
  std::string second;
  std::function<Var(const Var&, const Var&, LossReduction)> loss;
  std::function<double(double, double)> term;
};

double HuberTerm(double r, double delta) {
  r = std::abs(r);
  return r <= delta ? r * r / 2 : delta * (r - delta / 2);
}

const std::vector<Pair>& Pairs() {
  static const auto* const pairs = new std::vector<Pair>{
      {"mse", "target", &Mse,
       [](double a, double b) { return (a - b) * (a - b); }},
      {"l1", "target", &L1, [](double a, double b) { return std::abs(a - b); }},
      {"huber", "target",
       [](const Var& a, const Var& b, LossReduction reduction) {
         return Huber(a, b, 0.7, reduction);
       },
       [](double a, double b) { return HuberTerm(a - b, 0.7); }},
      {"smooth_l1", "target",
       [](const Var& a, const Var& b, LossReduction reduction) {
         return SmoothL1(a, b, 0.25, reduction);
       },
       [](double a, double b) { return HuberTerm(a - b, 0.25) / 0.25; }},
      {"bce_with_logits", "targets",
       [](const Var& a, const Var& b, LossReduction reduction) {
         return BceWithLogits(a, b, Var(), reduction);
       },
       [](double x, double t) {
         return t * std::log1p(std::exp(-x)) +
                (1 - t) * std::log1p(std::exp(x));
       }},
  };
  return *pairs;
}

TEST(LossTest, TermsReductionsAndGradients) {
  for (const Pair& pair : Pairs()) {
    SCOPED_TRACE(pair.name);
    for (const DType dtype : {DType::kF32, DType::kF64}) {
      const Tensor a = RandomTensor({3, 5}, dtype, 1, -2, 2);
      const Tensor b = RandomTensor({3, 5}, dtype, 2, 0, 1);
      const std::vector<double> va = a.ToVector<double>();
      const std::vector<double> vb = b.ToVector<double>();
      std::vector<double> want;
      double sum = 0;
      for (size_t i = 0; i < va.size(); ++i) {
        want.push_back(pair.term(va[i], vb[i]));
        sum += want.back();
      }
      const double tolerance = dtype == DType::kF32 ? 3e-6 : 1e-14;
      ExpectNear(pair.loss(a, b, LossReduction::kNone).tensor(),
                 Tensor::FromValues<double>({3, 5}, want).value(), tolerance);
      ExpectNear(pair.loss(a, b, LossReduction::kSum).tensor(),
                 Tensor::Scalar(sum, DType::kF64).value(), tolerance);
      ExpectNear(pair.loss(a, b, LossReduction::kMean).tensor(),
                 Tensor::Scalar(sum / 15, DType::kF64).value(), tolerance);
    }
    for (const LossReduction reduction :
         {LossReduction::kMean, LossReduction::kNone}) {
      SEPTET_EXPECT_OK(CheckGradients(
          [&](absl::Span<const Var> in) {
            return pair.loss(in[0], in[1], reduction);
          },
          {RandomTensor({2, 3}, DType::kF64, 3, -2, 2),
           RandomTensor({2, 3}, DType::kF64, 4, 0, 1)},
          {1e-5, 1e-6}));
    }
  }
}

TEST(LossTest, OfNothingIsZero) {
  const Tensor none = Tensor::Zeros({0, 3}, DType::kF32).value();
  for (const Pair& pair : Pairs()) {
    EXPECT_EQ(
        pair.loss(none, none, LossReduction::kMean).tensor().item<float>(), 0);
  }
}

TEST(LossTest, ErrorsOfPairs) {
  const Tensor a = RandomTensor({2, 3}, DType::kF32, 1);
  for (const Pair& pair : Pairs()) {
    EXPECT_THAT(
        pair.loss(a, RandomTensor({3}, DType::kF32, 1), LossReduction::kMean),
        StatusIs(absl::StatusCode::kInvalidArgument,
                 HasSubstr(pair.name + ": " + pair.second +
                           " is f32 [3], expected the shape of ")));
    EXPECT_THAT(
        pair.loss(a, RandomTensor({2, 3}, DType::kF64, 1), LossReduction::kSum),
        StatusIs(absl::StatusCode::kInvalidArgument,
                 HasSubstr(pair.name + ": dtypes differ")));
    EXPECT_THAT(pair.loss(a, Var(), LossReduction::kMean),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr(pair.second + " is not given")));
    EXPECT_THAT(
        pair.loss(Tensor::Zeros({1}, DType::kI32),
                  Tensor::Zeros({1}, DType::kI32), LossReduction::kMean),
        StatusIs(absl::StatusCode::kInvalidArgument,
                 HasSubstr("is i32 [1], expected f32 or f64")));
  }
  for (const double width : {0.0, -1.0, kInf, std::nan("")}) {
    EXPECT_THAT(Huber(a, a, width), StatusIs(absl::StatusCode::kInvalidArgument,
                                             HasSubstr("huber: delta is ")));
    EXPECT_THAT(SmoothL1(a, a, width),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("smooth_l1: beta is ")));
  }
}

TEST(BceTest, IsAccurateForLargeLogits) {
  const Tensor x =
      Tensor::FromValues<double>({4}, {-50, 50, -1e6, 1e6}).value();
  const Tensor t = Tensor::FromValues<double>({4}, {0, 1, 1, 0}).value();
  const std::vector<double> got =
      BceWithLogits(x, t, Var(), LossReduction::kNone)
          .tensor()
          .ToVector<double>();
  EXPECT_NEAR(got[0], std::exp(-50.0), 1e-15 * std::exp(-50.0));
  EXPECT_NEAR(got[1], std::exp(-50.0), 1e-15 * std::exp(-50.0));
  EXPECT_EQ(got[2], 1e6);
  EXPECT_EQ(got[3], 1e6);
}

TEST(BceTest, PositiveWeight) {
  const Tensor x = RandomTensor({2, 3}, DType::kF64, 1, -2, 2);
  const Tensor t = RandomTensor({2, 3}, DType::kF64, 2, 0, 1);
  const Tensor w = RandomTensor({3}, DType::kF64, 3, 0.5, 4);
  std::vector<double> want;
  for (int i = 0; i < 6; ++i) {
    const double xi = x.ToVector<double>()[i];
    const double ti = t.ToVector<double>()[i];
    want.push_back(w.ToVector<double>()[i % 3] * ti *
                       std::log1p(std::exp(-xi)) +
                   (1 - ti) * std::log1p(std::exp(xi)));
  }
  ExpectNear(BceWithLogits(x, t, w, LossReduction::kNone).tensor(),
             Tensor::FromValues<double>({2, 3}, want).value(), 1e-14);
  SEPTET_EXPECT_OK(CheckGradients(
      [](absl::Span<const Var> in) {
        return BceWithLogits(in[0], in[1], in[2]);
      },
      {x, t, w}, {1e-5, 1e-6}));
  EXPECT_THAT(BceWithLogits(x, t, RandomTensor({2}, DType::kF64, 3)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("bce_with_logits: positive_weight is f64 [2], "
                                 "which does not broadcast to logits")));
  EXPECT_THAT(
      BceWithLogits(x, t, RandomTensor({3}, DType::kF32, 3)),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("dtypes differ")));
}

TEST(KlDivTest, OfDistributions) {
  const Tensor p =
      Softmax(RandomTensor({4, 5}, DType::kF64, 1, -2, 2)).tensor();
  const Tensor log_q =
      LogSoftmax(RandomTensor({4, 5}, DType::kF64, 2, -2, 2)).tensor();
  const Tensor log_p =
      LogSoftmax(RandomTensor({4, 5}, DType::kF64, 1, -2, 2)).tensor();
  std::vector<double> want(4, 0.0);
  for (int i = 0; i < 20; ++i) {
    const double pi = p.ToVector<double>()[i];
    want[i / 5] += pi * (std::log(pi) - log_q.ToVector<double>()[i]);
  }
  const Tensor rows = Tensor::FromValues<double>({4}, want).value();
  ExpectNear(KlDiv(log_q, p, LossReduction::kNone).tensor(), rows, 1e-14);
  ExpectNear(KlDivOfLogs(log_q, log_p, LossReduction::kNone).tensor(), rows,
             1e-14);
  EXPECT_NEAR(KlDiv(log_q, p).tensor().item<double>(),
              (want[0] + want[1] + want[2] + want[3]) / 4, 1e-14);
  // Of a distribution and itself.
  EXPECT_NEAR(KlDivOfLogs(log_p, log_p).tensor().item<double>(), 0, 1e-15);
  SEPTET_EXPECT_OK(CheckGradients(
      [](absl::Span<const Var> in) { return KlDiv(in[0], in[1]); }, {log_q, p},
      {1e-6, 1e-6}));
  SEPTET_EXPECT_OK(CheckGradients(
      [](absl::Span<const Var> in) { return KlDivOfLogs(in[0], in[1]); },
      {log_q, log_p}, {1e-5, 1e-6}));
}

TEST(KlDivTest, AbsentClassesAddNothingAndHaveFiniteGradients) {
  const Tensor log_q =
      Tensor::FromValues<double>({1, 3}, {std::log(0.5), std::log(0.5), -kInf})
          .value();
  const Tensor p = Tensor::FromValues<double>({1, 3}, {1, 0, 0}).value();
  const Tensor log_p =
      Tensor::FromValues<double>({1, 3}, {0, -kInf, -kInf}).value();
  for (const bool logs : {false, true}) {
    Tape tape;
    const Var q = tape.Watch(log_q);
    const Var second = tape.Watch(logs ? log_p : p);
    const Var loss = logs ? KlDivOfLogs(q, second) : KlDiv(q, second);
    EXPECT_NEAR(loss.tensor().item<double>(), std::log(2.0), 1e-15);
    SEPTET_ASSERT_OK_AND_ASSIGN(std::vector<Tensor> grads,
                                tape.Grad(loss, {q, second}));
    for (const Tensor& grad : grads) {
      for (const double g : grad.ToVector<double>()) {
        EXPECT_TRUE(std::isfinite(g));
      }
    }
  }
  // A class that q does not know, but p has.
  EXPECT_EQ(KlDiv(log_q, Tensor::FromValues<double>({1, 3}, {0, 0, 1}))
                .tensor()
                .item<double>(),
            kInf);
  EXPECT_THAT(
      KlDiv(Tensor::Scalar(0, DType::kF32), Tensor::Scalar(1, DType::kF32)),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("kl_div: log_q is f32 [], expected rank 1")));
  EXPECT_THAT(KlDivOfLogs(log_q, RandomTensor({3}, DType::kF64, 1)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("kl_div_of_logs: log_p is f64 [3]")));
}

TEST(GaussianNllTest, ValuesGradientsAndErrors) {
  const Tensor mean = RandomTensor({2, 3}, DType::kF64, 1);
  const Tensor log_variance = RandomTensor({3}, DType::kF64, 2, -2, 1);
  const Tensor target = RandomTensor({2, 3}, DType::kF64, 3);
  std::vector<double> want;
  for (int i = 0; i < 6; ++i) {
    const double v = std::exp(log_variance.ToVector<double>()[i % 3]);
    const double r = target.ToVector<double>()[i] - mean.ToVector<double>()[i];
    want.push_back(-std::log(std::exp(-r * r / (2 * v)) /
                             std::sqrt(2 * std::acos(-1.0) * v)));
  }
  ExpectNear(
      GaussianNll(mean, log_variance, target, LossReduction::kNone).tensor(),
      Tensor::FromValues<double>({2, 3}, want).value(), 1e-14);
  SEPTET_EXPECT_OK(CheckGradients(
      [](absl::Span<const Var> in) { return GaussianNll(in[0], in[1], in[2]); },
      {mean, log_variance, target}, {1e-5, 1e-6}));
  EXPECT_THAT(GaussianNll(mean, RandomTensor({2}, DType::kF64, 1), target),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("gaussian_nll: log_variance is f64 [2], which "
                                 "does not broadcast to mean, [2, 3]")));
  EXPECT_THAT(GaussianNll(mean, log_variance, log_variance),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("gaussian_nll: target is f64 [3], expected "
                                 "the shape of mean, [2, 3]")));
}

TEST(LossTest, BitsDoNotDependOnThreads) {
  const Tensor a = RandomTensor({300, 500}, DType::kF32, 1, -2, 2);
  const Tensor b = RandomTensor({300, 500}, DType::kF32, 2, 0, 1);
  const auto run = [&] {
    std::vector<float> bits;
    for (const Pair& pair : Pairs()) {
      Tape tape;
      const Var x = tape.Watch(a);
      const Var loss = pair.loss(x, b, LossReduction::kMean);
      bits.push_back(loss.tensor().item<float>());
      for (const float g : tape.Grad(loss, {x}).value()[0].ToVector<float>()) {
        bits.push_back(g);
      }
    }
    return bits;
  };
  const std::vector<float> serial = run();
  ThreadPool pool(3);
  ScopedThreadPool scope(&pool);
  EXPECT_EQ(run(), serial);
}

}  // namespace
}  // namespace septet
