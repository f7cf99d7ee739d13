// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/experiments/memory_capacity.h"

#include <cmath>
#include <csignal>
#include <cstdint>
#include <limits>
#include <memory>
#include <numeric>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/signals.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/random/distributions.h"
#include "septet/core/random/stream.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/decay.h"

namespace septet {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

Tensor LogGamma(const std::vector<double>& values) {
  return Tensor::FromValues<double>({static_cast<int64_t>(values.size())},
                                    values)
      .value();
}

RecallOptions Options(int64_t key_dim, int64_t trials) {
  RecallOptions options;
  options.key_dim = key_dim;
  options.value_dim = 2 * key_dim;
  options.trials = trials;
  return options;
}

// One trial in double and in plain loops: the state from its definition, and
// the codeword of the largest inner product.
std::vector<double> PlainTrial(const RecallOptions& options, double gamma,
                               int64_t pairs) {
  const int64_t dk = options.key_dim, dv = options.value_dim;
  const int64_t c = options.codewords;
  const auto stream = [&](const char* name) {
    return RandomStream::Create(options.seed, name).value();
  };
  std::vector<float> keys(pairs * dk), codewords(c * dv);
  SEPTET_EXPECT_OK(FillUnitSphere(stream("retention/recall/keys"), dk,
                                  absl::MakeSpan(keys)));
  SEPTET_EXPECT_OK(FillUnitSphere(stream("retention/recall/codewords"), dv,
                                  absl::MakeSpan(codewords)));
  std::vector<double> state(dk * dv);
  std::vector<int64_t> tokens;
  for (int64_t j = 0; j < pairs; ++j) {
    tokens.push_back(
        stream("retention/recall/tokens").Below(j, static_cast<uint32_t>(c)));
    for (int64_t a = 0; a < dk; ++a) {
      for (int64_t b = 0; b < dv; ++b) {
        state[a * dv + b] = gamma * state[a * dv + b] +
                            keys[j * dk + a] * codewords[tokens[j] * dv + b];
      }
    }
  }
  std::vector<double> recalled(pairs);
  for (int64_t j = 0; j < pairs; ++j) {
    int64_t best = -1;
    double most = -std::numeric_limits<double>::infinity();
    for (int64_t w = 0; w < c; ++w) {
      double product = 0;
      for (int64_t a = 0; a < dk; ++a) {
        for (int64_t b = 0; b < dv; ++b) {
          product +=
              keys[j * dk + a] * state[a * dv + b] * codewords[w * dv + b];
        }
      }
      if (product > most) most = product, best = w;
    }
    recalled[pairs - 1 - j] = best == tokens[j] ? 1 : 0;
  }
  return recalled;
}

TEST(MemoryCapacityTest, IsTheDefinition) {
  RecallOptions options = Options(8, 1);
  options.codewords = 50;
  const std::vector<double> gammas = {1, 0.9, 0.5};
  const int64_t pairs = 21;  // some are recalled by each head, and some are not
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const auto by_delay,
      RecallByDelay(options, LogGamma({0, std::log(0.9), std::log(0.5)}),
                    pairs));
  ASSERT_THAT(by_delay, SizeIs(3));
  for (size_t head = 0; head < gammas.size(); ++head) {
    EXPECT_EQ(by_delay[head], PlainTrial(options, gammas[head], pairs)) << head;
    EXPECT_THAT(by_delay[head], testing::Contains(0)) << head;
    EXPECT_THAT(by_delay[head], testing::Contains(1)) << head;
  }
}

// The document's figures, whose own error is 0.01.
TEST(MemoryCapacityTest, AccuraciesOfTheDocument) {
  struct Cell {
    int64_t key_dim, pairs;
    double accuracy;
  };
  for (const Cell& cell : {Cell{8, 4, .947}, Cell{8, 16, .417},
                           Cell{16, 16, .952}, Cell{16, 64, .388}}) {
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const double share,
        RecallAccuracy(Options(cell.key_dim, 300), cell.pairs));
    EXPECT_NEAR(share, cell.accuracy, 0.03)
        << cell.key_dim << " " << cell.pairs;
  }
}

TEST(MemoryCapacityTest, OnePairIsAlwaysRecalledAndTooManyAreGuessed) {
  EXPECT_EQ(RecallAccuracy(Options(4, 50), 1).value(), 1);
  RecallOptions options = Options(1, 20);
  options.codewords = 2;
  SEPTET_ASSERT_OK_AND_ASSIGN(const double half, RecallAccuracy(options, 500));
  EXPECT_NEAR(half, 0.5, 0.15);
}

// Decay of a head changes nothing but the weights: none at all if each pair has
// the same.
TEST(MemoryCapacityTest, OldPairsAreForgottenFirst) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor log_gamma,
                              LogDecay({DecayKind::kTorchscale, 0, {}}, 3));
  SEPTET_ASSERT_OK_AND_ASSIGN(const auto by_delay,
                              RecallByDelay(Options(32, 20), log_gamma, 160));
  const auto mean = [&](int64_t head, int64_t begin, int64_t end) {
    return std::accumulate(by_delay[head].begin() + begin,
                           by_delay[head].begin() + end, 0.0) /
           static_cast<double>(end - begin);
  };
  EXPECT_GT(mean(0, 0, 16), 0.95);
  EXPECT_LT(mean(0, 100, 160), 0.1);
  // The slower the decay, the more of the old ones and the fewer of the new.
  EXPECT_GT(mean(2, 60, 100), mean(1, 60, 100));
  EXPECT_GT(mean(1, 60, 100), mean(0, 60, 100));
  EXPECT_LT(mean(2, 0, 16), mean(0, 0, 16));
}

TEST(MemoryCapacityTest, ThreadsChangeNothingAndSeedsDo) {
  RecallOptions options = Options(8, 40);
  const Tensor log_gamma = LogGamma({0, -0.05});
  SEPTET_ASSERT_OK_AND_ASSIGN(const auto want,
                              RecallByDelay(options, log_gamma, 20));
  ThreadPool pool(3);
  {
    ScopedThreadPool scope(&pool);
    SEPTET_ASSERT_OK_AND_ASSIGN(const auto got,
                                RecallByDelay(options, log_gamma, 20));
    EXPECT_EQ(got, want);
  }
  options.seed = 2;
  SEPTET_ASSERT_OK_AND_ASSIGN(const auto other,
                              RecallByDelay(options, log_gamma, 20));
  EXPECT_NE(other, want);
}

TEST(MemoryCapacityTest, Capacity) {
  const std::vector<int64_t> pairs = {4, 8, 16, 32};
  // Half way between 8 and 16 in the logarithm.
  EXPECT_NEAR(CapacityAt(0.95, pairs, {1, 0.97, 0.93, 0.5}), 8 * std::sqrt(2.0),
              1e-9);
  EXPECT_NEAR(CapacityAt(0.95, pairs, {1, 0.95, 0.9, 0.5}), 8, 1e-9);
  EXPECT_TRUE(std::isnan(CapacityAt(0.95, pairs, {1, 1, 1, 0.96})));
  EXPECT_TRUE(std::isnan(CapacityAt(0.95, pairs, {0.9, 0.8, 0.7, 0.6})));
}

TEST(MemoryCapacityTest, Horizon) {
  EXPECT_EQ(HorizonAt(0.95, {1, 1, 0.96, 0.94, 0.1}), 3);
  EXPECT_EQ(HorizonAt(0.95, {0.9, 0.5}), 0);
  EXPECT_EQ(HorizonAt(0.95, {1, 1}), 2);
  EXPECT_EQ(HorizonAt(0.95, {}), 0);
  // 1, 0.8, 1, ... is level with its mean, 0.96, up to the last of them.
  EXPECT_EQ(HorizonAt(0.95, {1, 0.8, 1, 1, 1, 0.5, 0.7}), 5);
  // A late 1 does not lift what is before it above the level.
  EXPECT_EQ(HorizonAt(0.95, {1, 0.5, 0.5, 1}), 1);
}

TEST(MemoryCapacityTest, ExpectedHorizon) {
  // gamma^2 = 1/2 and many pairs: E = 2. Of 16 pairs 2 / 16 = gamma^6.
  const double log_gamma = -0.5 * std::log(2.0);
  EXPECT_EQ(ExpectedHorizon(log_gamma, 16.001, 1000), 4);  // delays 0 to 3
  EXPECT_EQ(ExpectedHorizon(log_gamma, 15.999, 1000), 3);
  EXPECT_EQ(ExpectedHorizon(log_gamma, 1.9, 1000), 0);
  // E = 1 + 1/2 + 1/4, and all of the three are recalled.
  EXPECT_EQ(ExpectedHorizon(log_gamma, 100, 3), 3);
  EXPECT_EQ(ExpectedHorizon(0, 64, 64), 64);
  EXPECT_EQ(ExpectedHorizon(0, 100, 64), 64);
  EXPECT_EQ(ExpectedHorizon(-1e-300, 100, 64), 64);
  EXPECT_EQ(ExpectedHorizon(0, 64, 65), 0);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(ExpectedHorizon(log_gamma, nan, 10), 0);
}

TEST(MemoryCapacityTest, ReadsAsFarAsExpected) {
  // 64 pairs at 95 % without decay; gamma = 31/32: 22 of a long stream.
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor log_gamma,
                              LogDecay({DecayKind::kTorchscale, 0, {}}, 1));
  SEPTET_ASSERT_OK_AND_ASSIGN(const auto by_delay,
                              RecallByDelay(Options(32, 100), log_gamma, 150));
  const int64_t expected =
      ExpectedHorizon(log_gamma.data<double>()[0], 64, 150);
  EXPECT_EQ(expected, 22);
  EXPECT_NEAR(static_cast<double>(HorizonAt(0.95, by_delay[0])),
              static_cast<double>(expected), 7);
}

TEST(MemoryCapacityTest, StopsAfterASignal) {
  auto scope = std::make_unique<InterruptScope>();
  std::raise(SIGINT);
  EXPECT_THAT(RecallAccuracy(Options(4, 1), 2),
              StatusIs(absl::StatusCode::kCancelled, HasSubstr("recall")));
  // Another scope forgets the signal, for the tests that follow.
  scope.reset();
  scope = std::make_unique<InterruptScope>();
}

TEST(MemoryCapacityTest, Errors) {
  const auto code = absl::StatusCode::kInvalidArgument;
  const Tensor none = LogGamma({0});
  const auto with = [](int64_t RecallOptions::*field, int64_t value) {
    RecallOptions options = Options(4, 1);
    options.*field = value;
    return options;
  };
  EXPECT_THAT(RecallByDelay(with(&RecallOptions::key_dim, 0), none, 2),
              StatusIs(code, "recall: key_dim is 0, expected 1 to 65536"));
  EXPECT_THAT(
      RecallByDelay(with(&RecallOptions::value_dim, 65537), none, 2),
      StatusIs(code, "recall: value_dim is 65537, expected 1 to 65536"));
  EXPECT_THAT(RecallByDelay(with(&RecallOptions::codewords, 1), none, 2),
              StatusIs(code, "recall: codewords is 1, expected 2 to 65536"));
  EXPECT_THAT(RecallByDelay(with(&RecallOptions::trials, -1), none, 2),
              StatusIs(code, "recall: trials is -1, expected 1 to 1073741824"));
  EXPECT_THAT(
      RecallByDelay(Options(4, 1), LogGamma({0, 0}), int64_t{1} << 40),
      StatusIs(code, "recall: pairs is 1099511627776, expected 1 to 8388608"));
  EXPECT_THAT(RecallAccuracy(Options(4, 1), 0),
              StatusIs(code, HasSubstr("pairs is 0, expected 1 to")));
  EXPECT_THAT(RecallByDelay(Options(4, 1),
                            Tensor::Zeros(Shape({2}), DType::kF32).value(), 2),
              StatusIs(code, "recall: log_gamma is f32 [2], expected f64 [H]"));
  EXPECT_THAT(RecallByDelay(Options(4, 1), LogGamma({0.5}), 2),
              StatusIs(code, HasSubstr("log_gamma")));
}

}  // namespace
}  // namespace septet
