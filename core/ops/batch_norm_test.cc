// SPDX-License-Identifier: Apache-2.0
// Batch normalisation, its bias-free form and the map of channels, against
// their formulas, their gradients, and their errors.
#include "septet/core/ops/batch_norm.h"

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
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
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/bias_free_batch_norm.h"
#include "septet/core/ops/channel_affine.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/op_testutil.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using Function = std::function<Var(absl::Span<const Var>)>;

// The fused op `name` by its kernel and by its composite; with gradients of
// sum(y y) as well.
void ExpectKernelMatchesComposite(const std::string& name, const Function& fn,
                                  const std::vector<Tensor>& inputs,
                                  double tolerance) {
  std::vector<Tensor> results[2];
  for (int reference = 0; reference < 2; ++reference) {
    DispatchTrace trace;
    Tape tape;
    std::vector<Var> vars;
    for (const Tensor& input : inputs) vars.push_back(tape.Watch(input));
    const auto run = [&] {
      const Var y = fn(vars);
      SEPTET_ASSERT_OK(y);
      results[reference].push_back(y.tensor());
      SEPTET_ASSERT_OK_AND_ASSIGN(std::vector<Tensor> grads,
                                  tape.Grad(Sum(Square(y)), vars));
      for (const Tensor& grad : grads) results[reference].push_back(grad);
    };
    if (reference == 0) {
      run();
    } else {
      ScopedReference scope;
      run();
    }
    const std::string dtype = inputs[0].dtype() == DType::kF32 ? "f32" : "f64";
    EXPECT_THAT(trace.lines(),
                Contains(name + " cpu/" + dtype +
                         (reference == 0 ? " highway" : " composite")));
  }
  ASSERT_EQ(results[0].size(), results[1].size());
  for (size_t i = 0; i < results[0].size(); ++i) {
    SCOPED_TRACE(i);
    ExpectNear(results[0][i], results[1][i], tolerance);
  }
}

Function Training(double eps) {
  return [eps](absl::Span<const Var> in) {
    return BatchNormTraining(in[0], in.size() > 1 ? in[1] : Var(),
                             in.size() > 2 ? in[2] : Var(), eps)
        .y;
  };
}
Function BiasFreeTraining(double eps) {
  return [eps](absl::Span<const Var> in) {
    return BiasFreeBatchNormTraining(in[0], in.size() > 1 ? in[1] : Var(), eps)
        .y;
  };
}

std::vector<Tensor> Inputs(const Shape& shape, DType dtype) {
  const int64_t c = shape.dim(shape.rank() - 1);
  return {RandomTensor(shape, dtype, 1, -1, 2),
          RandomTensor({c}, dtype, 2, 0.5, 1.5), RandomTensor({c}, dtype, 3)};
}

TEST(BatchNormTest, MatchesItsDefinition) {
  for (const DType dtype : {DType::kF64, DType::kF32}) {
    const double tolerance = dtype == DType::kF64 ? 1e-13 : 2e-5;
    for (const Shape& shape : {Shape({5, 3}), Shape({2, 3, 4, 7})}) {
      const std::vector<Tensor> in = Inputs(shape, dtype);
      const BatchNormResult result =
          BatchNormTraining(in[0], in[1], in[2], 1e-3);
      SEPTET_ASSERT_OK(result.y);
      const int64_t c = shape.dim(shape.rank() - 1);
      const int64_t m = shape.num_elements() / c;
      EXPECT_EQ(result.count, m);
      const auto x = in[0].ToVector<double>();
      const auto y = result.y.tensor().ToVector<double>();
      for (int64_t j = 0; j < c; ++j) {
        double mean = 0, variance = 0;
        for (int64_t r = 0; r < m; ++r) mean += x[r * c + j] / m;
        for (int64_t r = 0; r < m; ++r) {
          variance += (x[r * c + j] - mean) * (x[r * c + j] - mean) / m;
        }
        EXPECT_NEAR(result.mean.tensor().ToVector<double>()[j], mean,
                    tolerance);
        EXPECT_NEAR(result.variance.tensor().ToVector<double>()[j], variance,
                    tolerance);
        for (int64_t r = 0; r < m; ++r) {
          const double want = (x[r * c + j] - mean) /
                                  std::sqrt(variance + 1e-3) *
                                  in[1].ToVector<double>()[j] +
                              in[2].ToVector<double>()[j];
          ASSERT_NEAR(y[r * c + j], want, tolerance * 5);
        }
      }
      EXPECT_EQ(result.mean.tape(), nullptr);
    }
  }
}

TEST(BatchNormTest, KernelMatchesComposite) {
  for (const Shape& shape :
       {Shape({1, 1}), Shape({2, 1}), Shape({7, 5}), Shape({33, 17}),
        Shape({2, 5, 4, 3}), Shape({2, 17, 65}), Shape({70, 64})}) {
    SCOPED_TRACE(shape.ToString());
    ExpectKernelMatchesComposite("batch_norm", Training(1e-3),
                                 Inputs(shape, DType::kF64), 1e-11);
    ExpectKernelMatchesComposite("batch_norm", Training(0.1),
                                 Inputs(shape, DType::kF32), 1e-4);
    std::vector<Tensor> two = Inputs(shape, DType::kF64);
    two.pop_back();
    ExpectKernelMatchesComposite("bias_free_batch_norm", BiasFreeTraining(1e-3),
                                 two, 1e-11);
    two = Inputs(shape, DType::kF32);
    two.pop_back();
    ExpectKernelMatchesComposite("bias_free_batch_norm", BiasFreeTraining(0.1),
                                 two, 1e-4);
  }
}

TEST(BatchNormTest, Gradients) {
  const std::vector<Tensor> rows = Inputs({5, 3}, DType::kF64);
  const std::vector<Tensor> image = Inputs({2, 2, 2, 2}, DType::kF64);
  for (const auto& in : {rows, image}) {
    SEPTET_EXPECT_OK(CheckGradients(Training(1e-2), in));
    SEPTET_EXPECT_OK(CheckGradients(Training(1e-2), {in[0], in[1]}));
    SEPTET_EXPECT_OK(CheckGradients(Training(1e-2), {in[0]}));
    SEPTET_EXPECT_OK(CheckGradients(
        [](absl::Span<const Var> v) {
          return BatchNormTraining(v[0], Var(), v[1], 1e-2).y;
        },
        {in[0], in[2]}));
    SEPTET_EXPECT_OK(CheckGradients(BiasFreeTraining(1e-2), {in[0], in[1]}));
    SEPTET_EXPECT_OK(CheckGradients(BiasFreeTraining(1e-2), {in[0]}));
  }
}

TEST(BatchNormTest, GradientOfEachInputAlone) {
  const std::vector<Tensor> in = Inputs({6, 3}, DType::kF64);
  Tape all;
  const std::vector<Var> watched = {all.Watch(in[0]), all.Watch(in[1]),
                                    all.Watch(in[2])};
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const std::vector<Tensor> want,
      all.Grad(Sum(Square(Training(1e-2)(watched))), watched));
  for (size_t i = 0; i < 3; ++i) {
    Tape tape;
    std::vector<Var> vars(in.begin(), in.end());
    vars[i] = tape.Watch(in[i]);
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const std::vector<Tensor> got,
        tape.Grad(Sum(Square(Training(1e-2)(vars))), {vars[i]}));
    EXPECT_EQ(got[0].ToVector<double>(), want[i].ToVector<double>());
  }
}

TEST(BatchNormTest, EvaluationUsesTheStoredStatistics) {
  const std::vector<Tensor> in = Inputs({2, 3, 4}, DType::kF64);
  const Tensor mean = RandomTensor({4}, DType::kF64, 4);
  const Tensor variance = RandomTensor({4}, DType::kF64, 5, 0.5, 2);
  const Var y = BatchNormEvaluation(in[0], in[1], in[2], mean, variance, 1e-3);
  SEPTET_ASSERT_OK(y);
  const Var want =
      Add(Mul(Div(Sub(in[0], mean), Sqrt(AddScalar(variance, 1e-3))), in[1]),
          in[2]);
  ExpectNear(y.tensor(), want.tensor(), 1e-14);
  ExpectNear(
      BatchNormEvaluation(in[0], Var(), Var(), mean, variance, 1e-3).tensor(),
      Div(Sub(in[0], mean), Sqrt(AddScalar(variance, 1e-3))).tensor(), 1e-14);
  SEPTET_EXPECT_OK(CheckGradients(
      [&](absl::Span<const Var> v) {
        return BatchNormEvaluation(v[0], v[1], v[2], mean, variance, 1e-3);
      },
      in));
  // With the batch's own statistics it is the training form.
  const BatchNormResult batch = BatchNormTraining(in[0], in[1], in[2], 1e-3);
  ExpectNear(BatchNormEvaluation(in[0], in[1], in[2], batch.mean.tensor(),
                                 batch.variance.tensor(), 1e-3)
                 .tensor(),
             batch.y.tensor(), 1e-14);
  // No rows, no result.
  const Var none = BatchNormEvaluation(Tensor::Zeros({0, 4}, DType::kF64),
                                       in[1], in[2], mean, variance, 1e-3);
  SEPTET_ASSERT_OK(none);
  EXPECT_EQ(none.shape(), Shape({0, 4}));
}

// The gradients of sum(y^2) for an evaluation of v, after `update`.
std::vector<double> GradientsAfter(const std::vector<Tensor>& in,
                                   const Function& fn,
                                   const std::function<void()>& update) {
  Tape tape;
  std::vector<Var> watched;
  for (const Tensor& x : in) watched.push_back(tape.Watch(x));
  const Var y = Sum(Square(fn(watched)));
  update();
  std::vector<double> result;
  const absl::StatusOr<std::vector<Tensor>> grads = tape.Grad(y, watched);
  SEPTET_EXPECT_OK(grads);
  if (!grads.ok()) return result;
  for (const Tensor& grad : *grads) {
    const std::vector<double> values = grad.ToVector<double>();
    result.insert(result.end(), values.begin(), values.end());
  }
  return result;
}

TEST(BatchNormTest, UpdatesChangeNoGradientOfAnEarlierEvaluation) {
  const std::vector<Tensor> in = Inputs({5, 4}, DType::kF64);
  const Tensor mean = RandomTensor({4}, DType::kF64, 4);
  const Tensor variance = RandomTensor({4}, DType::kF64, 5, 0.5, 2);
  const Tensor sd = RandomTensor({4}, DType::kF64, 6, 0.5, 2);
  const Function plain = [&](absl::Span<const Var> v) {
    return BatchNormEvaluation(v[0], v[1], v[2], mean, variance, 1e-3);
  };
  const Function bias_free = [&](absl::Span<const Var> v) {
    return BiasFreeBatchNormEvaluation(v[0], v[1], sd);
  };
  const std::vector<Tensor> two = {in[0], in[1]};
  const std::vector<double> want = GradientsAfter(in, plain, [] {});
  const std::vector<double> want_two = GradientsAfter(two, bias_free, [] {});
  EXPECT_EQ(GradientsAfter(in, plain,
                           [&] {
                             SEPTET_EXPECT_OK(UpdateRunningStatistics(
                                 BatchNormTraining(in[0], in[1], in[2], 1e-3),
                                 0.5, mean, variance));
                           }),
            want);
  EXPECT_EQ(GradientsAfter(two, bias_free,
                           [&] {
                             SEPTET_EXPECT_OK(UpdateRunningDeviation(
                                 BiasFreeBatchNormTraining(in[0], in[1], 1e-3),
                                 0.5, sd));
                           }),
            want_two);
}

TEST(BatchNormTest, RunningStatisticsMoveByMomentum) {
  const Tensor x =
      Tensor::FromValues<double>({3, 2}, {1, 2, 3, 2, 8, 2}).value();
  const BatchNormResult batch = BatchNormTraining(x, Var(), Var(), 0.0);
  SEPTET_ASSERT_OK(batch.y);
  const Tensor mean = Tensor::FromValues<double>({2}, {10, -2}).value();
  const Tensor variance = Tensor::FromValues<double>({2}, {1, 4}).value();
  SEPTET_ASSERT_OK(UpdateRunningStatistics(batch, 0.25, mean, variance));
  // Mean 4 and 2; unbiased variance (9 + 1 + 16) / 2 = 13 and 0.
  EXPECT_THAT(mean.ToVector<double>(),
              ::testing::ElementsAre(0.75 * 10 + 0.25 * 4, -1.0));
  EXPECT_THAT(
      variance.ToVector<double>(),
      ::testing::Pointwise(::testing::DoubleEq(), {0.75 + 0.25 * 13, 3.0}));
}

TEST(BiasFreeBatchNormTest, MatchesItsDefinitionAndKeepsTheMean) {
  const Tensor x = Tensor::FromValues<double>({2, 2}, {1, 5, 3, 5}).value();
  const Tensor scale = Tensor::FromValues<double>({2}, {2, 1}).value();
  const BiasFreeBatchNormResult r = BiasFreeBatchNormTraining(x, scale, 0.25);
  SEPTET_ASSERT_OK(r.y);
  // Variances 1 and 0.
  const double sd = std::sqrt(1.25);
  EXPECT_THAT(r.sd.tensor().ToVector<double>(),
              ::testing::Pointwise(::testing::DoubleEq(), {sd, 0.5}));
  EXPECT_THAT(
      r.y.tensor().ToVector<double>(),
      ::testing::Pointwise(::testing::DoubleEq(), {2 / sd, 10., 6 / sd, 10.}));
  const Tensor running = Tensor::Full({2}, 1.0, DType::kF64).value();
  SEPTET_ASSERT_OK(UpdateRunningDeviation(r, 0.1, running));
  EXPECT_THAT(
      running.ToVector<double>(),
      ::testing::Pointwise(::testing::DoubleEq(), {0.9 + 0.1 * sd, 0.95}));
}

TEST(BiasFreeBatchNormTest, EvaluationIsHomogeneous) {
  const std::vector<Tensor> in = Inputs({2, 3, 4}, DType::kF64);
  const Tensor sd = RandomTensor({4}, DType::kF64, 4, 0.5, 2);
  const Function fn = [&](absl::Span<const Var> v) {
    return BiasFreeBatchNormEvaluation(v[0], v.size() > 1 ? v[1] : Var(), sd);
  };
  const std::vector<Var> vars = {in[0], in[1]};
  ExpectNear(fn(vars).tensor(), Div(Mul(in[0], in[1]), sd).tensor(), 1e-15);
  ExpectNear(fn({Scale(in[0], 4.0), in[1]}).tensor(),
             Scale(fn(vars), 4.0).tensor(), 0.0);
  SEPTET_EXPECT_OK(CheckGradients(fn, {in[0], in[1]}));
  SEPTET_EXPECT_OK(CheckGradients(fn, {in[0]}));
}

TEST(ChannelAffineTest, KernelMatchesCompositeAndGradients) {
  for (const Shape& shape : {Shape({1, 1}), Shape({9, 5}), Shape({2, 3, 70})}) {
    const int64_t c = shape.dim(shape.rank() - 1);
    const std::vector<Tensor> in = {
        RandomTensor(shape, DType::kF64, 1), RandomTensor({c}, DType::kF64, 2),
        RandomTensor({c}, DType::kF64, 3), RandomTensor({c}, DType::kF64, 4)};
    const Function all = [](absl::Span<const Var> v) {
      return ChannelAffine(v[0], v[1], v[2], v[3]);
    };
    const Function plain = [](absl::Span<const Var> v) {
      return ChannelAffine(v[0], Var(), v[1], Var());
    };
    ExpectKernelMatchesComposite("channel_affine", all, in, 1e-14);
    ExpectKernelMatchesComposite("channel_affine", plain, {in[0], in[2]},
                                 1e-14);
    if (c > 5) continue;
    SEPTET_EXPECT_OK(CheckGradients(all, in));
    SEPTET_EXPECT_OK(CheckGradients(plain, {in[0], in[2]}));
  }
}

TEST(BatchNormTest, ThreadsChangeNoBit) {
  const Shape shape = {4, 41, 31, 17};
  const std::vector<Tensor> in = Inputs(shape, DType::kF32);
  std::vector<std::vector<float>> first;
  for (const int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    std::vector<std::vector<float>> results;
    for (const bool bias_free : {false, true}) {
      Tape tape;
      std::vector<Var> vars = {tape.Watch(in[0]), tape.Watch(in[1])};
      if (!bias_free) vars.push_back(tape.Watch(in[2]));
      const Var y =
          bias_free ? BiasFreeTraining(1e-5)(vars) : Training(1e-5)(vars);
      SEPTET_ASSERT_OK_AND_ASSIGN(std::vector<Tensor> grads,
                                  tape.Grad(Sum(Square(y)), vars));
      results.push_back(y.tensor().ToVector<float>());
      for (const Tensor& grad : grads) {
        results.push_back(grad.ToVector<float>());
      }
    }
    if (threads == 1) first = results;
    EXPECT_EQ(results, first) << threads << " threads";
  }
}

TEST(BatchNormTest, StridedInputs) {
  const Tensor x = RandomTensor({6, 2, 5}, DType::kF64, 1);
  const Tensor view = x.Permute({1, 2, 0}).value();
  const Tensor copy = view.Contiguous().value();
  EXPECT_EQ(
      BatchNormTraining(view, Var(), Var(), 1e-5).y.tensor().ToVector<double>(),
      BatchNormTraining(copy, Var(), Var(), 1e-5)
          .y.tensor()
          .ToVector<double>());
}

TEST(BatchNormTest, Errors) {
  const auto invalid = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  const Tensor x = RandomTensor({4, 3}, DType::kF64, 1);
  const Tensor three = RandomTensor({3}, DType::kF64, 2, 1, 2);
  const Tensor four = RandomTensor({4}, DType::kF64, 2, 1, 2);
  const auto train = [&](const Var& a, const Var& scale, const Var& bias,
                         double eps) {
    return BatchNormTraining(a, scale, bias, eps).y;
  };
  EXPECT_THAT(train(Tensor::Zeros({4, 3}, DType::kI32), Var(), Var(), 1e-5),
              invalid("batch_norm: x is i32 [4, 3], expected f32 or f64"));
  EXPECT_THAT(train(three, Var(), Var(), 1e-5),
              invalid("batch_norm: x is f64 [3], expected rank 2 to 8"));
  EXPECT_THAT(train(Tensor::Zeros({0, 3}, DType::kF64), Var(), Var(), 1e-5),
              invalid("batch_norm: x is f64 [0, 3], expected at least one "
                      "element a channel"));
  EXPECT_THAT(train(Tensor::Zeros({3, 0}, DType::kF64), Var(), Var(), 1e-5),
              invalid("expected a last axis (channels) >= 1"));
  EXPECT_THAT(train(x, four, Var(), 1e-5),
              invalid("batch_norm: scale is f64 [4], expected axis 0 to be 3"));
  EXPECT_THAT(train(x, three, x, 1e-5),
              invalid("batch_norm: bias is f64 [4, 3], expected rank 1"));
  EXPECT_THAT(train(x, three.To(DType::kF32), Var(), 1e-5),
              invalid("batch_norm: dtypes differ"));
  EXPECT_THAT(train(x, Var(), Var(), -1.0),
              invalid("batch_norm: eps is -1, expected a finite number >= 0"));
  EXPECT_THAT(train(x, Var(), Var(), std::nan("")), invalid("eps is nan"));
  EXPECT_THAT(train(absl::NotFoundError("gone"), Var(), Var(), 1e-5),
              StatusIs(absl::StatusCode::kNotFound, "gone"));

  EXPECT_THAT(BatchNormEvaluation(x, four, Var(), three, three, 1e-5),
              invalid("batch_norm_evaluation: scale is f64 [4]"));
  EXPECT_THAT(BatchNormEvaluation(x, Var(), Var(), four, three, 1e-5),
              invalid("batch_norm_evaluation: running_mean is f64 [4], "
                      "expected axis 0 to be 3"));
  EXPECT_THAT(BatchNormEvaluation(x, Var(), Var(), three, Tensor(), 1e-5),
              invalid("running_variance is not given"));
  EXPECT_THAT(BatchNormEvaluation(x, Var(), Var(), three, three, -1),
              invalid("batch_norm_evaluation: eps is -1"));

  const BatchNormResult good = BatchNormTraining(x, Var(), Var(), 1e-5);
  const std::vector<double> before = three.ToVector<double>();
  EXPECT_THAT(UpdateRunningStatistics(good, 1.5, three, three),
              invalid("momentum is 1.5, expected 0 <= momentum <= 1"));
  EXPECT_THAT(UpdateRunningStatistics(good, 0.5, three, four),
              invalid("running_variance is f64 [4], expected f64 [3]"));
  EXPECT_THAT(UpdateRunningStatistics(good, 0.5, four, three),
              invalid("running_mean is f64 [4], expected f64 [3]"));
  EXPECT_THAT(
      UpdateRunningStatistics(
          BatchNormTraining(x.Slice(0, 0, 1), Var(), Var(), 1e-5), 0.5, three,
          three),
      invalid("the batch has 1 elements a channel, expected at least 2"));
  EXPECT_THAT(
      UpdateRunningStatistics(BatchNormTraining(three, Var(), Var(), 1e-5), 0.5,
                              three, three),
      invalid("batch_norm: x is f64 [3]"));
  double fixed[3] = {1, 1, 1};
  const Tensor read_only =
      Tensor::FromExternal(fixed, {3}, DType::kF64, true, nullptr).value();
  EXPECT_THAT(UpdateRunningStatistics(good, 0.5, three, read_only),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("running_variance is read-only")));
  EXPECT_EQ(three.ToVector<double>(), before);
}

TEST(BiasFreeBatchNormTest, Errors) {
  const auto invalid = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  const Tensor x = RandomTensor({4, 3}, DType::kF64, 1);
  const Tensor three = RandomTensor({3}, DType::kF64, 2, 1, 2);
  const Tensor four = RandomTensor({4}, DType::kF64, 2, 1, 2);
  EXPECT_THAT(BiasFreeBatchNormTraining(x, four, 1e-5).y,
              invalid("bias_free_batch_norm: scale is f64 [4], expected axis 0 "
                      "to be 3"));
  EXPECT_THAT(BiasFreeBatchNormTraining(three, Var(), 1e-5).y,
              invalid("bias_free_batch_norm: x is f64 [3], expected rank 2"));
  EXPECT_THAT(
      BiasFreeBatchNormTraining(Tensor::Zeros({0, 3}, DType::kF32), Var(), 0).y,
      invalid("expected at least one element a channel"));
  EXPECT_THAT(BiasFreeBatchNormTraining(x, Var(),
                                        std::numeric_limits<double>::infinity())
                  .y,
              invalid("eps is inf"));
  EXPECT_THAT(BiasFreeBatchNormEvaluation(x, Var(), four),
              invalid("bias_free_batch_norm_evaluation: running_sd is f64 [4], "
                      "expected axis 0 to be 3"));
  EXPECT_THAT(BiasFreeBatchNormEvaluation(x, x, three),
              invalid("scale is f64 [4, 3], expected rank 1"));
  EXPECT_THAT(UpdateRunningDeviation(BiasFreeBatchNormTraining(x, Var(), 1e-5),
                                     -0.5, three),
              invalid("update_running_deviation: momentum is -0.5"));
  EXPECT_THAT(
      UpdateRunningDeviation(BiasFreeBatchNormTraining(x, Var(), 1e-5), 0.5, x),
      invalid("running_sd is f64 [4, 3], expected f64 [3]"));
  EXPECT_THAT(ChannelAffine(x, Var(), four, Var()),
              invalid("channel_affine: multiplier is f64 [4]"));
  EXPECT_THAT(ChannelAffine(x, Var(), Var(), Var()),
              invalid("channel_affine: multiplier is not given"));
  EXPECT_THAT(ChannelAffine(x, four, three, Var()),
              invalid("channel_affine: shift is f64 [4]"));
  EXPECT_THAT(ChannelAffine(x, Var(), three, four),
              invalid("channel_affine: bias is f64 [4]"));
}

}  // namespace
}  // namespace septet
