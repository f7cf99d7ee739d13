// SPDX-License-Identifier: Apache-2.0
// Losses of classes against their definition in long double, their composites,
// central differences, and their errors.
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
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
#include "septet/core/ops/loss.h"
#include "septet/core/ops/op_testutil.h"
#include "septet/core/ops/softmax.h"
#include "septet/core/random/philox.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr LossReduction kReductions[] = {
    LossReduction::kMean, LossReduction::kSum, LossReduction::kNone};
constexpr double kInf = std::numeric_limits<double>::infinity();

// Classes below n; every fifth row has `ignored`.
Tensor RandomTargets(const Shape& shape, int64_t n, int64_t ignored = -100) {
  Tensor ids = Tensor::Empty(shape, DType::kI64).value();
  for (int64_t i = 0; i < ids.num_elements(); ++i) {
    ids.mutable_data<int64_t>()[i] =
        i % 5 == 3
            ? ignored
            : Philox4x32({3, 7}, {static_cast<uint32_t>(i), 0, 0, 0})[0] % n;
  }
  return ids;
}

// By definition, in long double.
std::vector<double> Oracle(const Tensor& logits, const Tensor& targets,
                           const CrossEntropyOptions& options) {
  const std::vector<double> x = logits.ToVector<double>();
  const std::vector<int64_t> t = targets.ToVector<int64_t>();
  const auto n = static_cast<size_t>(logits.dim(logits.rank() - 1));
  std::vector<double> rows;
  long double total = 0;
  int64_t counted = 0;
  for (size_t r = 0; r < t.size(); ++r) {
    long double loss = 0;
    if (t[r] != options.ignore_index) {
      long double max = x[r * n];
      for (size_t j = 1; j < n; ++j)
        max = std::max<long double>(max, x[r * n + j]);
      long double sum = 0;
      for (size_t j = 0; j < n; ++j) sum += std::exp(x[r * n + j] - max);
      for (size_t j = 0; j < n; ++j) {
        const long double q =
            options.label_smoothing / n +
            (static_cast<int64_t>(j) == t[r] ? 1 - options.label_smoothing : 0);
        if (q != 0) loss -= q * (x[r * n + j] - max - std::log(sum));
      }
      ++counted;
    }
    rows.push_back(static_cast<double>(loss));
    total += loss;
  }
  if (options.reduction == LossReduction::kNone) return rows;
  if (options.reduction == LossReduction::kMean && counted > 0) {
    total /= counted;
  }
  return {static_cast<double>(total)};
}

TEST(CrossEntropyTest, AgreesWithTheDefinitionInManyShapes) {
  for (const int64_t v : {1, 2, 3, 7, 15, 16, 17, 63, 64, 65, 257, 2049}) {
    for (const double smoothing : {0.0, 0.1, 1.0}) {
      for (const LossReduction reduction : kReductions) {
        SCOPED_TRACE(v);
        const CrossEntropyOptions options{reduction, -100, smoothing};
        const Tensor targets = RandomTargets({3, 2}, v);
        for (const DType dtype : {DType::kF32, DType::kF64}) {
          const Tensor logits = RandomTensor({3, 2, v}, dtype, 1, -5, 5);
          DispatchTrace trace;
          const Var loss = CrossEntropy(logits, targets, options);
          SEPTET_ASSERT_OK(loss);
          EXPECT_THAT(trace.lines(), Contains(HasSubstr("cross_entropy cpu/")));
          EXPECT_THAT(trace.lines(), Contains(HasSubstr("highway")));
          EXPECT_EQ(loss.shape(), reduction == LossReduction::kNone
                                      ? targets.shape()
                                      : Shape());
          const std::vector<double> want = Oracle(logits, targets, options);
          // A few roundings of numbers of at most 10 + log V, six rows.
          ExpectNear(loss.tensor(),
                     Tensor::FromValues<double>(loss.shape(), want).value(),
                     dtype == DType::kF32 ? 5e-6 : 1e-14);
          const Var again =
              CrossEntropy(logits, targets.To(DType::kI32), options);
          EXPECT_EQ(again.tensor().ToVector<double>(),
                    loss.tensor().ToVector<double>());
        }
      }
    }
  }
}

TEST(CrossEntropyTest, KernelMatchesComposite) {
  for (const int64_t v : {1, 5, 33}) {
    for (const double smoothing : {0.0, 0.2, 1.0}) {
      for (const LossReduction reduction : kReductions) {
        const CrossEntropyOptions options{reduction, 2, smoothing};
        const Tensor logits = RandomTensor({7, v}, DType::kF64, 1, -5, 5);
        const Tensor targets = RandomTargets({7}, v, 2);
        const auto gradient = [&](std::vector<double>* loss) {
          Tape tape;
          const Var x = tape.Watch(logits);
          const Var y = CrossEntropy(x, targets, options);
          *loss = y.tensor().ToVector<double>();
          const Tensor g = RandomTensor(y.shape(), DType::kF64, 4);
          return tape.GradVars({y}, {g}, {x}, false).value()[0].tensor();
        };
        std::vector<double> fused;
        std::vector<double> formula;
        const Tensor dx = gradient(&fused);
        ScopedReference reference;
        ExpectNear(dx, gradient(&formula), 1e-14);
        for (size_t i = 0; i < fused.size(); ++i) {
          EXPECT_NEAR(fused[i], formula[i], 1e-13);
        }
      }
    }
  }
}

TEST(CrossEntropyTest, Gradients) {
  for (const double smoothing : {0.0, 0.3}) {
    for (const LossReduction reduction : kReductions) {
      const CrossEntropyOptions options{reduction, -1, smoothing};
      const Tensor targets = RandomTargets({2, 3}, 4, -1);
      SEPTET_EXPECT_OK(CheckGradients(
          [&](absl::Span<const Var> in) {
            return CrossEntropy(in[0], targets, options);
          },
          {RandomTensor({2, 3, 4}, DType::kF64, 1, -2, 2)}, {1e-5, 1e-6}));
    }
  }
}

Tensor GradOf(const Tensor& logits, const Tensor& targets,
              const CrossEntropyOptions& options = {}) {
  Tape tape;
  const Var x = tape.Watch(logits);
  return tape.Grad(CrossEntropy(x, targets, options), {x}).value()[0];
}

TEST(CrossEntropyTest, HugeAndInfiniteLogits) {
  const Tensor zero = Tensor::Zeros({1}, DType::kI64).value();
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    const auto loss = [&](std::vector<double> row) {
      const auto n = static_cast<int64_t>(row.size());
      const Tensor x =
          Tensor::FromValues<double>({1, n}, row)->To(dtype).value();
      for (const double g : GradOf(x, zero).ToVector<double>()) {
        EXPECT_FALSE(std::isnan(g)) << row[1];
      }
      return CrossEntropy(x, zero).tensor().ToVector<double>()[0];
    };
    const double eps = dtype == DType::kF32 ? 1e-7 : 1e-15;
    EXPECT_EQ(loss({1e30, 0}), 0);
    EXPECT_NEAR(loss({0, 1e30}), 1e30, 1e30 * eps);
    // An offset does no harm: log 2.
    EXPECT_NEAR(loss({1e6, 1e6}), std::log(2.0), 2 * eps);
    EXPECT_EQ(loss({0, -kInf}), 0);
    EXPECT_EQ(loss({-kInf, 0}), kInf);
    EXPECT_NEAR(loss({0, -kInf, 0}), std::log(2.0), 2 * eps);
    // One class: no loss, no gradient.
    EXPECT_EQ(
        CrossEntropy(Tensor::FromValues<double>({1, 1}, {5})->To(dtype), zero)
            .tensor()
            .ToVector<double>()[0],
        0);
  }
  const Tensor none =
      Tensor::FromValues<double>({1, 2}, {-kInf, -kInf}).value();
  EXPECT_TRUE(std::isnan(CrossEntropy(none, zero).tensor().item<double>()));
}

TEST(CrossEntropyTest, AllIgnoredIsZeroWithoutGradient) {
  const Tensor logits =
      Tensor::FromValues<double>({2, 2}, {1, NAN, 3, 4}).value();
  const Tensor targets = Tensor::FromValues<int64_t>({2}, {-100, -100}).value();
  for (const LossReduction reduction :
       {LossReduction::kMean, LossReduction::kSum}) {
    EXPECT_EQ(
        CrossEntropy(logits, targets, {reduction}).tensor().item<double>(), 0);
    EXPECT_THAT(GradOf(logits, targets, {reduction}).ToVector<double>(),
                ElementsAre(0, 0, 0, 0));
  }
  // Nothing at all, too.
  const Tensor empty = Tensor::Zeros({0, 3}, DType::kF64).value();
  const Tensor no_targets = Tensor::Zeros({0}, DType::kI64).value();
  EXPECT_EQ(CrossEntropy(empty, no_targets).tensor().item<double>(), 0);
  EXPECT_EQ(GradOf(empty, no_targets).shape(), Shape({0, 3}));
}

TEST(CrossEntropyTest, GradientRowsSumToZero) {
  const Tensor logits = RandomTensor({9, 50}, DType::kF64, 1, -9, 9);
  const Tensor targets = RandomTargets({9}, 50);
  const std::vector<double> dx =
      GradOf(logits, targets, {LossReduction::kSum, -100, 0.1})
          .ToVector<double>();
  for (int r = 0; r < 9; ++r) {
    double sum = 0;
    for (int j = 0; j < 50; ++j) sum += dx[r * 50 + j];
    EXPECT_NEAR(sum, 0, 1e-14);
  }
}

TEST(CrossEntropyTest, BitsDoNotDependOnThreads) {
  const Tensor logits = RandomTensor({900, 257}, DType::kF32, 1, -9, 9);
  const Tensor targets = RandomTargets({900}, 257);
  const auto run = [&] {
    std::vector<float> bits = GradOf(logits, targets).ToVector<float>();
    bits.push_back(CrossEntropy(logits, targets).tensor().item<float>());
    return bits;
  };
  const std::vector<float> serial = run();
  for (const int threads : {2, 3}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    EXPECT_EQ(run(), serial);
  }
}

TEST(CrossEntropyTest, Errors) {
  const Tensor logits = RandomTensor({2, 3}, DType::kF32, 1);
  const auto targets = [](std::vector<int64_t> values) {
    const auto n = static_cast<int64_t>(values.size());
    return Tensor::FromValues<int64_t>({n}, values).value();
  };
  EXPECT_THAT(CrossEntropy(logits, targets({0, 3})),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("cross_entropy: targets[1] is 3, expected 0 "
                                 "<= targets < 3 (classes) or -100")));
  EXPECT_THAT(CrossEntropy(logits, targets({-1, 0})),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("targets[0] is -1")));
  EXPECT_THAT(CrossEntropy(logits, targets({0, 0, 0})),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("targets is i64 [3], expected the shape of "
                                 "logits without its last axis, f32 [2, 3]")));
  EXPECT_THAT(CrossEntropy(logits, RandomTensor({2}, DType::kF32, 1)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("targets is f32 [2], expected i32 or i64")));
  EXPECT_THAT(CrossEntropy(Tensor::Zeros({2, 0}, DType::kF32), targets({0, 0})),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("expected a last axis >= 1")));
  EXPECT_THAT(CrossEntropy(targets({0}), targets({0})),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("logits is i64 [1], expected f32 or f64")));
  for (const double smoothing : {-0.1, 1.5, std::nan("")}) {
    EXPECT_THAT(CrossEntropy(logits, targets({0, 0}),
                             {LossReduction::kMean, -100, smoothing}),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("label_smoothing is ")));
  }
  EXPECT_THAT(CrossEntropy(logits, Var()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("targets is not given")));
}

TEST(NllTest, OfLogSoftmaxIsCrossEntropy) {
  for (const LossReduction reduction : kReductions) {
    const Tensor logits = RandomTensor({6, 5}, DType::kF64, 1, -3, 3);
    const Tensor targets = RandomTargets({6}, 5);
    ExpectNear(Nll(LogSoftmax(logits), targets, {reduction}).tensor(),
               CrossEntropy(logits, targets, {reduction}).tensor(), 1e-14);
    SEPTET_EXPECT_OK(CheckGradients(
        [&](absl::Span<const Var> in) {
          return Nll(LogSoftmax(in[0]), targets, {reduction});
        },
        {logits}, {1e-5, 1e-6}));
  }
  EXPECT_THAT(Nll(RandomTensor({1, 2}, DType::kF32, 1),
                  Tensor::FromValues<int64_t>({1}, {2})),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("nll: targets[0] is 2")));
  EXPECT_THAT(Nll(RandomTensor({1, 2}, DType::kF32, 1),
                  Tensor::FromValues<int64_t>({2}, {0, 1})),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("nll: targets is i64 [2]")));
}

}  // namespace
}  // namespace septet
