// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/retention.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/decay.h"

namespace {

// Two rows of one head with gamma 1/2, by hand.
TEST(RetentionTest, ComputesInAllForms) {
  using septet::Shape;
  using septet::Tensor;
  septet::DecayOptions decay;
  decay.kind = septet::DecayKind::kFixed;
  decay.fixed = 0.5;
  const Tensor log_gamma = septet::LogDecay(decay, /*heads=*/1).value();
  const auto rows = [](std::vector<double> values) {
    return Tensor::FromValues<double>(Shape({1, 2, 1, 1}), values).value();
  };
  const Tensor q = rows({2, 3}), k = rows({5, 7}), v = rows({11, 13});
  for (const septet::RetentionForm form :
       {septet::RetentionForm::kParallel, septet::RetentionForm::kChunkwise,
        septet::RetentionForm::kRecurrent}) {
    septet::RetentionOptions options;
    options.form = form;
    options.score_norm = septet::ScoreNorm::kNone;
    const septet::Var out = septet::Retention(q, k, v, log_gamma, options).out;
    ASSERT_TRUE(out.ok()) << out.status().ToString();
    const std::vector<double> o = out.tensor().ToVector<double>();
    EXPECT_DOUBLE_EQ(o[0], 2 * 5 * 11);
    EXPECT_DOUBLE_EQ(o[1], 3 * (0.5 * 5 * 11 + 7 * 13));
  }
}

}  // namespace
