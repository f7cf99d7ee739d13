// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/dropout.h"

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
#include "septet/core/random/philox.h"
#include "septet/core/random/variates.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

constexpr PhiloxKey kKey = {17, 42};

TEST(DropoutTest, FollowsTheRuleForEveryLengthAndOffset) {
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    for (const int64_t n :
         {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33, 1023, 1024, 1025, 3000}) {
      for (const uint64_t offset :
           {uint64_t{0}, uint64_t{1}, uint64_t{6}, uint64_t{4095},
            ~uint64_t{0} - 2, ~uint64_t{0} - 1000}) {
        SCOPED_TRACE(n);
        const double p = 0.3;
        const Tensor x = RandomTensor({n}, dtype, 1, 1, 2);
        DispatchTrace trace;
        const Var y = Dropout(x, p, kKey, offset);
        SEPTET_ASSERT_OK(y);
        EXPECT_THAT(trace.lines(), Contains(HasSubstr("dropout cpu/")));
        const std::vector<double> in = x.ToVector<double>();
        const std::vector<double> got = y.tensor().ToVector<double>();
        for (int64_t i = 0; i < n; ++i) {
          const uint64_t e = offset + static_cast<uint64_t>(i);
          const bool keep =
              UnitFromWord(PhiloxElement(kKey, e / 4)[e % 4]) >= p;
          const double want =
              !keep ? 0
              : dtype == DType::kF64
                  ? in[i] * (1 / (1 - p))
                  : static_cast<float>(in[i]) * static_cast<float>(1 / (1 - p));
          ASSERT_EQ(got[i], want) << i << " from " << offset;
        }
        ScopedReference reference;
        EXPECT_EQ(Dropout(x, p, kKey, offset).tensor().ToVector<double>(), got);
      }
    }
  }
}

TEST(DropoutTest, CutsOfABatchAreThePartsOfTheWhole) {
  const Tensor x = RandomTensor({7, 9}, DType::kF32, 1, 1, 2);
  const std::vector<double> whole =
      Dropout(x, 0.5, kKey).tensor().ToVector<double>();
  std::vector<double> parts;
  for (int64_t r = 0; r < 7; ++r) {
    for (const double v : Dropout(x.Slice(0, r, r + 1), 0.5, kKey, 9 * r)
                              .tensor()
                              .ToVector<double>()) {
      parts.push_back(v);
    }
  }
  EXPECT_EQ(parts, whole);
}

TEST(DropoutTest, ZeroIsTheInputAndOneIsNothing) {
  const double inf = std::numeric_limits<double>::infinity();
  const Tensor x = Tensor::FromValues<double>({4}, {1, NAN, inf, -2}).value();
  EXPECT_TRUE(Dropout(x, 0, kKey).tensor().SharesStorageWith(x));
  // Just below 1, where no word is large enough.
  for (const double p : {1.0, 1 - 0x1p-40}) {
    EXPECT_EQ(Dropout(x, p, kKey).tensor().ToVector<double>(),
              std::vector<double>(4, 0.0));
    ScopedReference reference;
    EXPECT_EQ(Dropout(x, p, kKey).tensor().ToVector<double>(),
              std::vector<double>(4, 0.0));
  }
  // Dropped elements are 0, whatever they were.
  const Tensor bad = Tensor::Full({1000}, NAN, DType::kF32).value();
  int zeros = 0;
  for (const float v : Dropout(bad, 0.5, kKey).tensor().ToVector<float>()) {
    zeros += v == 0;
  }
  EXPECT_GT(zeros, 400);
}

TEST(DropoutTest, KeepsTheExpectedShareAndTheMean) {
  const int64_t n = 100000;
  const Tensor x = Tensor::Full({n}, 1.0, DType::kF32).value();
  for (const double p : {0.1, 0.5, 0.9}) {
    double kept = 0;
    double sum = 0;
    for (const float v : Dropout(x, p, kKey).tensor().ToVector<float>()) {
      kept += v != 0;
      sum += v;
    }
    // Five standard deviations of a binomial share.
    const double deviation = 5 * std::sqrt(p * (1 - p) / n);
    EXPECT_NEAR(kept / n, 1 - p, deviation);
    EXPECT_NEAR(sum / n, 1, deviation / (1 - p) + 1e-6);
  }
  EXPECT_NE(Dropout(x, 0.5, {1, 2}).tensor().ToVector<float>(),
            Dropout(x, 0.5, {1, 3}).tensor().ToVector<float>());
}

TEST(DropoutTest, Gradients) {
  SEPTET_EXPECT_OK(CheckGradients(
      [](absl::Span<const Var> in) { return Dropout(in[0], 0.4, kKey, 3); },
      {RandomTensor({3, 5}, DType::kF64, 1)}));
  SEPTET_EXPECT_OK(CheckGradients(
      [](absl::Span<const Var> in) {
        return Dropout(Dropout(in[0], 0.4, kKey), 1.0, kKey);
      },
      {RandomTensor({3}, DType::kF64, 1)}));
}

TEST(DropoutTest, BitsDoNotDependOnThreads) {
  const Tensor x = RandomTensor({200000}, DType::kF32, 1);
  const auto run = [&] {
    Tape tape;
    const Var v = tape.Watch(x);
    const Var y = Dropout(v, 0.3, kKey, 5);
    std::vector<float> bits = y.tensor().ToVector<float>();
    const Tensor dx = tape.GradVars({y}, {x}, {v}, false).value()[0].tensor();
    for (const float g : dx.ToVector<float>()) bits.push_back(g);
    return bits;
  };
  const std::vector<float> serial = run();
  for (const int threads : {2, 3}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    EXPECT_EQ(run(), serial);
  }
}

TEST(DropoutTest, Errors) {
  const Tensor x = RandomTensor({2}, DType::kF32, 1);
  for (const double p : {-0.1, 1.1, std::nan("")}) {
    EXPECT_THAT(Dropout(x, p, kKey),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("dropout: p is ")));
  }
  for (const double p : {0.0, 0.5}) {
    EXPECT_THAT(Dropout(Tensor::Zeros({2}, DType::kI32), p, kKey),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("dropout: x is i32 [2], expected f32 or "
                                   "f64")));
    EXPECT_THAT(Dropout(Var(), p, kKey),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("dropout: input 0 is not given")));
  }
}

}  // namespace
}  // namespace septet
