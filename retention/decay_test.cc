// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/decay.h"

#include <cmath>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::Eq;

std::vector<double> Gammas(const DecayOptions& options, int64_t heads) {
  const absl::StatusOr<Tensor> log_gamma = LogDecay(options, heads);
  SEPTET_EXPECT_OK(log_gamma);
  std::vector<double> gammas;
  for (int64_t i = 0; i < heads; ++i) {
    gammas.push_back(std::exp(log_gamma->data<double>()[i]));
  }
  return gammas;
}

TEST(LogDecayTest, Kinds) {
  DecayOptions options;
  std::vector<double> gammas = Gammas(options, 3);
  EXPECT_DOUBLE_EQ(gammas[0], 31.0 / 32);
  EXPECT_DOUBLE_EQ(gammas[2], 127.0 / 128);
  options.kind = DecayKind::kLinspace;
  gammas = Gammas(options, 3);
  EXPECT_DOUBLE_EQ(gammas[0], 31.0 / 32);
  EXPECT_DOUBLE_EQ(gammas[1], 127.0 / 128);
  EXPECT_DOUBLE_EQ(gammas[2], 511.0 / 512);
  EXPECT_DOUBLE_EQ(Gammas(options, 1)[0], 31.0 / 32);
  options.kind = DecayKind::kFixed;
  EXPECT_DOUBLE_EQ(Gammas(options, 2)[1], 127.0 / 128);
  options.kind = DecayKind::kNone;
  EXPECT_EQ(Gammas(options, 2)[1], 1);
  options.kind = DecayKind::kCustom;
  options.custom = {0.25, 1};
  EXPECT_DOUBLE_EQ(Gammas(options, 2)[0], 0.25);
}

TEST(LogDecayTest, CustomLogarithmsAreKeptAsTheyAre) {
  DecayOptions options;
  options.kind = DecayKind::kCustomLog;
  options.custom = {-1e-30, 0};
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor log_gamma, LogDecay(options, 2));
  EXPECT_EQ(log_gamma.ToVector<double>(), options.custom);
  options.custom[1] = 0.5;
  EXPECT_THAT(LogDecay(options, 2),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       Eq("decay: custom[1] is 0.5, expected the logarithm of "
                          "a gamma in (0, 1]")));
}

TEST(LogDecayTest, LateHeadsStillDecay) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor log_gamma, LogDecay({}, 40));
  EXPECT_NEAR(log_gamma.data<double>()[39], -std::exp2(-44.0), 1e-26);
}

TEST(LogDecayTest, Errors) {
  const auto refused = [](const DecayOptions& options, int64_t heads,
                          const char* message) {
    EXPECT_THAT(LogDecay(options, heads),
                StatusIs(absl::StatusCode::kInvalidArgument, Eq(message)));
  };
  refused({}, 0, "decay: heads is 0, expected at least 1");
  refused({DecayKind::kFixed, 0, {}}, 1,
          "decay: fixed is 0, expected a gamma in (0, 1]");
  refused({DecayKind::kFixed, std::nan(""), {}}, 1,
          "decay: fixed is nan, expected a gamma in (0, 1]");
  DecayOptions custom;
  custom.kind = DecayKind::kCustom;
  refused(custom, 2,
          "decay: custom has 0 values, expected one for each of 2 heads");
  custom.custom = {0.5, 1.5};
  refused(custom, 2, "decay: custom[1] is 1.5, expected a gamma in (0, 1]");
}

TEST(DecayRowSumTest, IsTheSumToTheLastDigits) {
  for (const double gamma : {0.1, 31.0 / 32, 1 - std::exp2(-30), 1.0}) {
    const double log_gamma = std::log(gamma);
    long double sum = 0, term = 1;
    for (int64_t n = 0; n < 3000; ++n) {
      sum += term;
      term *= std::exp(static_cast<long double>(log_gamma));
      ASSERT_NEAR(DecayRowSum(log_gamma, n), static_cast<double>(sum),
                  4e-16 * static_cast<double>(sum) + 1e-15)
          << gamma << " " << n;
    }
  }
}

TEST(DecayRowSumTest, SlopeIsTheDerivativeToTheLastDigits) {
  for (const double gamma : {0.01, 0.3, 0.5, 31.0 / 32, 511.0 / 512, 1 - 1e-6,
                             1 - std::exp2(-30), 1 - std::exp2(-50), 1.0}) {
    const double log_gamma = std::log(gamma);
    long double sum = 0, derivative = 0;
    for (int64_t n = 0; n < 3000; ++n) {
      const long double term = std::exp(static_cast<long double>(log_gamma) *
                                        static_cast<long double>(n));
      sum += term;
      derivative += term * static_cast<long double>(n);
      const double want = static_cast<double>(derivative / sum);
      ASSERT_NEAR(DecayRowSumSlope(log_gamma, n), want, 4e-15 * (1 + want))
          << gamma << " " << n;
    }
  }
}

TEST(DecayRowSumTest, FarAway) {
  // All of the sum: 1 / (1 - gamma), and gamma / (1 - gamma).
  const double log_gamma = std::log(0.75);
  for (const int64_t n : {int64_t{1000}, int64_t{1} << 53}) {
    EXPECT_DOUBLE_EQ(DecayRowSum(log_gamma, n), 4);
    EXPECT_DOUBLE_EQ(DecayRowSumSlope(log_gamma, n), 3);
  }
  EXPECT_EQ(DecayRowSum(-1e300, 5), 1);
  EXPECT_EQ(DecayRowSumSlope(-1e300, 5), 0);
  EXPECT_EQ(DecayRowSumSlope(-1e300, 0), 0);
}

TEST(HalfLifeTest, AsTheSpecificationSays) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor log_gamma, LogDecay({}, 8));
  EXPECT_NEAR(HalfLife(log_gamma.data<double>()[0]), 21.8, 0.05);
  EXPECT_NEAR(HalfLife(log_gamma.data<double>()[2]), 88.4, 0.05);
  EXPECT_NEAR(HalfLife(log_gamma.data<double>()[7]), 2839, 0.5);
  EXPECT_EQ(HalfLife(0), HUGE_VAL);
}

}  // namespace
}  // namespace septet
