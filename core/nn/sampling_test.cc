// SPDX-License-Identifier: Apache-2.0
#include "septet/core/nn/sampling.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/program_testutil.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/io/safetensors.h"
#include "septet/core/random/stream.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Tensor Row(const std::vector<double>& x) {
  return Tensor::FromValues<double>({1, static_cast<int64_t>(x.size())}, x)
      .value();
}

std::vector<double> Probabilities(const std::vector<double>& logits,
                                  const SamplingOptions& options,
                                  const std::vector<int64_t>& history = {}) {
  Tensor past;
  if (!history.empty()) {
    past = Tensor::FromValues<int64_t>(
               {1, static_cast<int64_t>(history.size())}, history)
               .value();
  }
  const auto p = SamplingProbabilities(Row(logits), past, options);
  SEPTET_EXPECT_OK(p);
  return p->ToVector<double>();
}

TEST(SamplingTest, Golden) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const SafetensorsFile file,
      SafetensorsFile::Open(
          Runfile("core/nn/testdata/retnet/sampling.safetensors")));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor logits, file.Get("logits"));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor columns, file.Get("options"));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor want, file.Get("probs"));
  for (int64_t row = 0; row < logits.dim(0); ++row) {
    SCOPED_TRACE(row);
    SamplingOptions options;
    const double* o = columns.data<double>() + row * 3;
    options.temperature = o[0];
    options.top_k = static_cast<int64_t>(o[1]);
    options.top_p = o[2];
    SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor one,
                                logits.Slice(0, row, row + 1));
    SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor p,
                                SamplingProbabilities(one, {}, options));
    for (int64_t id = 0; id < logits.dim(1); ++id) {
      EXPECT_NEAR(p.data<double>()[id],
                  want.data<double>()[row * logits.dim(1) + id], 1e-10)
          << id;
    }
  }
}

TEST(SamplingTest, PlainIsSoftmax) {
  const std::vector<double> p = Probabilities({0, std::log(3), -kInfinity}, {});
  EXPECT_THAT(
      p, ElementsAre(DoubleNear(0.25, 1e-15), DoubleNear(0.75, 1e-15), 0.0));
}

TEST(SamplingTest, TemperatureZeroIsTheFirstOfTheLargest) {
  SamplingOptions options;
  options.temperature = 0;
  EXPECT_THAT(Probabilities({1, 5, 5, 2}, options), ElementsAre(0, 1, 0, 0));
  // And next to nothing is nearly that, without overflow.
  options.temperature = 1e-300;
  EXPECT_THAT(Probabilities({1, 5, 4}, options), ElementsAre(0, 1, 0));
}

TEST(SamplingTest, TopKTakesTheLowerIdOfEqualOnes) {
  SamplingOptions options;
  options.top_k = 2;
  EXPECT_THAT(Probabilities({1, 3, 1, 1}, options),
              ElementsAre(DoubleNear(1 / (1 + std::exp(2)), 1e-15),
                          DoubleNear(1 / (1 + std::exp(-2)), 1e-15), 0, 0));
  options.top_k = 7;  // more than there are
  EXPECT_EQ(Probabilities({1, 3}, options), Probabilities({1, 3}, {}));
}

TEST(SamplingTest, TopPKeepsWhatIsBeforeTheShare) {
  // 0.5, 0.3, 0.2 in another order.
  const std::vector<double> logits = {std::log(0.2), std::log(0.5),
                                      std::log(0.3)};
  SamplingOptions options;
  options.top_p = 0.6;
  EXPECT_THAT(
      Probabilities(logits, options),
      ElementsAre(0, DoubleNear(0.625, 1e-15), DoubleNear(0.375, 1e-15)));
  for (const double top_p : {0.0, 0.4}) {
    options.top_p = top_p;
    EXPECT_THAT(Probabilities(logits, options), ElementsAre(0, 1, 0));
  }
}

TEST(SamplingTest, RepetitionPenaltyMakesBothSignsLessLikely) {
  SamplingOptions options;
  options.repetition_penalty = 2;
  options.temperature = 0.5;
  // 4 becomes 2, -1 becomes -2, once however often they were there.
  EXPECT_EQ(Probabilities({4, -1, 1}, options, {0, 1, 0, 0}),
            Probabilities({2, -2, 1}, [] {
              SamplingOptions plain;
              plain.temperature = 0.5;
              return plain;
            }()));
}

TEST(SamplingTest, PenaltiesFarFromOneStayNumbers) {
  SamplingOptions options;
  options.repetition_penalty = 1e-320;
  // 2 and 3 would become infinity.
  for (const double temperature : {0.0, 0.5, 1.0}) {
    options.temperature = temperature;
    EXPECT_THAT(Probabilities({1, 2, -kInfinity}, options, {1, 2}),
                ElementsAre(0, 1, 0));
  }
  EXPECT_THAT(Probabilities({1, 2, 3}, options, {1, 2}),
              ElementsAre(0, 0.5, 0.5));
  // And -1e300 -infinity, for every token.
  options.repetition_penalty = 1e300;
  EXPECT_THAT(Probabilities({-1e300, -1e300}, options, {0, 1}),
              ElementsAre(0.5, 0.5));
}

TEST(SamplingTest, DrawsByTheCumulativeRule) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const RandomStream stream,
                              RandomStream::Create(7, "test/sampling"));
  // 0.25 and 0.75, and one that cannot be, first, between and last.
  const std::vector<double> row = {-kInfinity, 0, -kInfinity, std::log(3),
                                   -kInfinity};
  int threes = 0;
  constexpr int kDraws = 4000;
  for (int64_t i = 0; i < kDraws; ++i) {
    SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor token,
                                SampleTokens(Row(row), {}, {}, stream, {i}));
    EXPECT_EQ(token.item<int64_t>(), stream.Unit(i) < 0.25 ? 1 : 3);
    threes += token.item<int64_t>() == 3;
  }
  // Within five standard deviations.
  EXPECT_NEAR(threes, 0.75 * kDraws, 5 * std::sqrt(kDraws * 0.25 * 0.75));
}

TEST(SamplingTest, RowsAreIndependent) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const RandomStream stream,
                              RandomStream::Create(7, "test/sampling"));
  const Tensor logits =
      Tensor::FromValues<float>({2, 3}, {0, 1, 2, 2, 0, 1}).value();
  const Tensor history = Tensor::FromValues<int64_t>({2, 1}, {2, 0}).value();
  SamplingOptions options;
  options.repetition_penalty = 1.5;
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Tensor both,
      SampleTokens(logits, history, options, stream, {11, 12}));
  for (int64_t row : {0, 1}) {
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const Tensor one, SampleTokens(logits.Slice(0, row, row + 1).value(),
                                       history.Slice(0, row, row + 1).value(),
                                       options, stream, {11 + row}));
    EXPECT_EQ(one.item<int64_t>(), both.data<int64_t>()[row]);
  }
}

// The definition: a stable sort of the whole row.
std::vector<double> ByDefinition(const std::vector<double>& logits,
                                 const SamplingOptions& options) {
  const size_t vocab = logits.size();
  std::vector<size_t> order(vocab);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  size_t kept = vocab;
  if (options.top_k > 0) {
    kept = std::min(vocab, static_cast<size_t>(options.top_k));
  }
  std::vector<double> p(vocab, 0);
  const auto normalize = [&p] {
    const double sum = std::accumulate(p.begin(), p.end(), 0.0);
    for (double& value : p) value /= sum;
  };
  for (size_t i = 0; i < kept; ++i) {
    p[order[i]] =
        std::exp((logits[order[i]] - logits[order[0]]) / options.temperature);
  }
  normalize();
  if (options.top_p == 1) return p;
  double before = 0;
  for (size_t i = 0; i < kept; ++i) {
    const double own = p[order[i]];
    if (i > 0 && before >= options.top_p) p[order[i]] = 0;
    before += own;
  }
  normalize();
  return p;
}

// Rows with many ties and some tokens that are removed.
TEST(SamplingTest, AsDefined) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const RandomStream stream,
                              RandomStream::Create(3, "test/sampling"));
  uint64_t element = 0;
  for (const int64_t vocab : {1, 2, 7, 64, 257}) {
    for (int i = 0; i < 60; ++i) {
      std::vector<double> logits(static_cast<size_t>(vocab));
      const uint32_t values = i % 3 == 0 ? 4 : 1000;
      for (double& logit : logits) {
        const uint32_t value = stream.Below(element++, values);
        logit = value == 3 ? -kInfinity : value * 5.0 / values;
      }
      logits[stream.Below(element++, static_cast<uint32_t>(vocab))] = 1;
      SamplingOptions options;
      options.temperature = 0.25 + stream.Unit(element++);
      if (i % 2 == 0) {
        options.top_k =
            stream.Below(element++, static_cast<uint32_t>(vocab) + 2);
      }
      if (i % 5 != 0) options.top_p = stream.Unit(element++);
      EXPECT_EQ(Probabilities(logits, options), ByDefinition(logits, options))
          << "V " << vocab << " top_k " << options.top_k << " top_p "
          << options.top_p;
    }
  }
}

TEST(SamplingTest, LogProbabilitiesAreThoseOfTheDistribution) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const RandomStream stream,
                              RandomStream::Create(7, "test/sampling"));
  const Tensor logits =
      Tensor::FromValues<float>({2, 4}, {0, 1, 2, 3, 3, 0, 1, -1}).value();
  SamplingOptions options;
  options.top_k = 3;
  options.temperature = 2;
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor p,
                              SamplingProbabilities(logits, {}, options));
  for (int64_t i = 0; i < 20; ++i) {
    Tensor logs;
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const Tensor tokens,
        SampleTokens(logits, {}, options, stream, {i, 100 + i}, &logs));
    for (int64_t row : {0, 1}) {
      const int64_t token = tokens.data<int64_t>()[row];
      EXPECT_EQ(logs.data<double>()[row],
                std::log(p.data<double>()[4 * row + token]));
    }
  }
}

TEST(SamplingTest, Errors) {
  const auto refused = [](const absl::Status& status, const char* message) {
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument,
                                 HasSubstr(message)));
  };
  const auto of = [](SamplingOptions options) { return options.Validate(); };
  refused(of({-1, 0, 1, 1}), "temperature is -1");
  refused(of({NAN, 0, 1, 1}), "temperature is nan");
  refused(of({1, -1, 1, 1}), "top_k is -1");
  refused(of({1, 0, 1.5, 1}), "top_p is 1.5, expected a number in [0, 1]");
  refused(of({1, 0, NAN, 1}), "top_p is nan");
  refused(of({1, 0, 1, 0}), "repetition_penalty is 0");
  refused(of({1, 0, 1, kInfinity}), "repetition_penalty is inf");

  const auto logits = [&](const Tensor& x, const char* message) {
    refused(SamplingProbabilities(x, {}, {}).status(), message);
  };
  logits(Tensor(), "logits are not given");
  logits(Tensor::Zeros({3}, DType::kF32).value(), "logits are f32 [3]");
  logits(Tensor::Zeros({1, 0}, DType::kF32).value(), "with V >= 1");
  logits(Tensor::Zeros({1, 3}, DType::kI64).value(), "expected f32 or f64");
  logits(Row({0, NAN}), "logits[0, 1] is nan");
  logits(Row({kInfinity, 0}), "logits[0, 0] is inf");
  logits(Row({-kInfinity, -kInfinity}), "all logits of row 0 are -infinity");

  SamplingOptions penalty;
  penalty.repetition_penalty = 2;
  const auto history = [&](const Tensor& x, const char* message) {
    refused(SamplingProbabilities(Row({0, 1}), x, penalty).status(), message);
  };
  history(Tensor::Zeros({2, 1}, DType::kI64).value(),
          "history is i64 [2, 1], expected i64 [1, T]");
  history(Tensor::Zeros({1, 1}, DType::kI32).value(), "history is i32 [1, 1]");
  history(Tensor::FromValues<int64_t>({1, 2}, {1, 2}).value(),
          "history[0, 1] is 2, expected 0 to 1");

  const RandomStream stream = RandomStream::Create(1, "test/sampling").value();
  refused(SampleTokens(Row({0, 1}), {}, {}, stream, {1, 2}).status(),
          "2 elements, expected 1");
  refused(SampleTokens(Row({0, 1}), {}, {}, stream, {-1}).status(),
          "elements[0] is -1");
}

}  // namespace
}  // namespace septet
