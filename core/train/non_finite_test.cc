// SPDX-License-Identifier: Apache-2.0
#include "septet/core/train/non_finite.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

Tensor Make(std::vector<float> values) {
  return Tensor::FromValues<float>({1, static_cast<int64_t>(values.size())},
                                   values)
      .value();
}

TEST(NonFiniteTest, NamesTheFirstElement) {
  EXPECT_EQ(NonFiniteText(Make({1, -2})), "");
  EXPECT_EQ(NonFiniteText(Make({})), "");
  EXPECT_EQ(NonFiniteText(Tensor()), "");
  EXPECT_EQ(NonFiniteText(Tensor::Full({2}, 1, DType::kI64).value()), "");
  EXPECT_EQ(NonFiniteText(Make({1, -kInfinity, std::nanf(""), 2})),
            "f32 [1, 4], 2 of 4 elements are not finite, [0, 1] is -inf");
  EXPECT_EQ(NonFiniteText(Tensor::Scalar(std::nan(""), DType::kF64).value()),
            "f64 [], 1 of 1 elements is not finite, [] is nan");
  EXPECT_EQ(NonFiniteText(Tensor::Full({2}, kInfinity, DType::kBF16).value()),
            "bf16 [2], 2 of 2 elements are not finite, [0] is inf");
}

TEST(NonFiniteTest, ReportsWhatWasFirst) {
  Tape tape;
  const Var x = tape.Watch(Make({0, 4}));
  NonFiniteFinder finder;
  {
    ScopedOpObserver scope(&finder);
    Square(x);
  }
  EXPECT_EQ(finder.Report(true), "");
  {
    ScopedOpObserver scope(&finder);
    Exp(Log(x));
  }
  // Infinite and harmless: exp(-inf) is 0.
  EXPECT_EQ(finder.Report(false), "");
  EXPECT_EQ(finder.Report(true),
            "the result of op 1 (log): f32 [1, 2], 1 of 2 elements is not "
            "finite, [0, 0] is -inf; its inputs are finite");
  {
    ScopedOpObserver scope(&finder);
    Sub(Log(x), Log(x));
    Sqrt(Sub(Log(x), Log(x)));
  }
  EXPECT_EQ(finder.Report(false),
            "the result of op 1 (log): f32 [1, 2], 1 of 2 elements is not "
            "finite, [0, 0] is -inf; its inputs are finite; then the result "
            "of op 5 (sub): f32 [1, 2], 1 of 2 elements is not finite, [0, 0] "
            "is nan; its inputs are no NaN, but have infinities");
}

}  // namespace
}  // namespace septet
