// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/score.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/retention.h"
#include "septet/retention/retnet.h"

namespace septet {
namespace {

using ::testing::HasSubstr;

using Tokens = std::vector<int64_t>;
constexpr int64_t kVocab = 19;

struct Model {
  explicit Model(ScoreNorm norm = ScoreNorm::kDecay, int64_t layers = 2) {
    RetNetOptions options = DefaultRetNetOptions(kVocab, 16, layers, 2);
    options.retention.score_norm = norm;
    options.retention.chunk_size = 4;
    net = RetNet::Create(options, ParameterScope(&store, {3, DType::kF64}))
              .value();
    p = store.Bind();
  }
  ParameterStore store;
  RetNet net;
  BoundParameters p;
};

Tokens Text(size_t size) {
  Tokens tokens;
  for (size_t t = 0; t < size; ++t) {
    tokens.push_back(static_cast<int64_t>((t * t * 7 + t / 3 + 5) % kVocab));
  }
  return tokens;
}

Tensor Ids(const Tokens& tokens) {
  return *Tensor::FromValues<int64_t>(
      Shape({static_cast<int64_t>(tokens.size())}), tokens);
}

// -ln p of each token but the first, and whether it is the likeliest, from the
// logits of all tokens and nothing else.
struct Reference {
  std::vector<double> losses;
  std::vector<bool> greedy;
};
Reference Whole(const Model& model, const Tokens& tokens) {
  RetNetInput input;
  input.tokens = *Ids(tokens).Reshape({1, static_cast<int64_t>(tokens.size())});
  // The one form that torchscale's norms have states in.
  input.form = RetentionForm::kRecurrent;
  const Var logits = model.net.Forward(model.p, Pass(), input);
  SEPTET_EXPECT_OK(logits);
  Reference result;
  for (size_t t = 0; t + 1 < tokens.size(); ++t) {
    const double* row = logits.tensor().data<double>() + t * kVocab;
    double sum = 0;
    for (int64_t v = 0; v < kVocab; ++v) sum += std::exp(row[v]);
    const int64_t next = tokens[t + 1];
    result.losses.push_back(std::log(sum) - row[next]);
    result.greedy.push_back(std::max_element(row, row + kVocab) - row == next);
  }
  return result;
}

void ExpectLosses(const Model& model, const Tokens& tokens,
                  const TokenLossOptions& options,
                  const std::vector<double>& want) {
  const auto got = TokenLosses(model.net, model.p, Ids(tokens), options);
  SEPTET_ASSERT_OK(got);
  ASSERT_EQ(got->shape(), Shape({static_cast<int64_t>(want.size())}));
  ASSERT_EQ(got->dtype(), DType::kF64);
  for (size_t t = 0; t < want.size(); ++t) {
    EXPECT_NEAR(got->data<double>()[t], want[t], 1e-11) << t;
  }
}

class ScoreTest : public ::testing::TestWithParam<ScoreNorm> {};
INSTANTIATE_TEST_SUITE_P(ScoreNorms, ScoreTest,
                         ::testing::Values(ScoreNorm::kNone, ScoreNorm::kDecay,
                                           ScoreNorm::kPaper,
                                           ScoreNorm::kTorchscale,
                                           ScoreNorm::kTorchscaleLegacy));

TEST_P(ScoreTest, CarriedSegmentsGiveTheLossesOfTheWhole) {
  const Model model(GetParam());
  for (const size_t size : {2, 3, 41}) {
    const Tokens tokens = Text(size);
    const std::vector<double> want = Whole(model, tokens).losses;
    for (const int64_t segment :
         {int64_t{1}, int64_t{7}, int64_t{20}, int64_t{40}, int64_t{512},
          std::numeric_limits<int64_t>::max()}) {
      SCOPED_TRACE(segment);
      TokenLossOptions options;
      options.segment = segment;
      ExpectLosses(model, tokens, options, want);
    }
  }
}

TEST_P(ScoreTest, StridedSegmentsSeeWhatIsInThem) {
  const Model model(GetParam());
  const Tokens tokens = Text(41);
  const int64_t count = 40;
  for (const auto& [segment, stride] :
       {std::pair<int64_t, int64_t>{8, 3}, {8, 8}, {5, 1}, {40, 10}, {64, 2}}) {
    SCOPED_TRACE(segment);
    // Of each token, from the first segment that has it.
    std::vector<double> want(count, -1);
    for (int64_t begin = 0; begin < count; begin += stride) {
      const int64_t end = std::min(begin + segment, count);
      const std::vector<double> part =
          Whole(model, Tokens(tokens.begin() + begin, tokens.begin() + end + 1))
              .losses;
      for (int64_t t = begin; t < end; ++t) {
        double& loss = want[static_cast<size_t>(t)];
        if (loss < 0) loss = part[static_cast<size_t>(t - begin)];
      }
    }
    for (const int64_t rows : {1, 3, 100}) {
      TokenLossOptions options;
      options.segment = segment;
      options.stride = stride;
      options.rows = rows;
      ExpectLosses(model, tokens, options, want);
    }
  }
}

TEST_P(ScoreTest, ContinuationsAreThoseOfTheWholeText) {
  const Model model(GetParam());
  for (const size_t size : {1, 2, 13}) {
    const Tokens context = Text(size);
    std::vector<Tokens> continuations = {
        {3}, {4, 5, 6, 7}, {8, 8}, {0, 18, 9, 1, 2, 3, 4, 5, 6}};
    // And the likeliest one.
    Tokens text = context;
    for (int i = 0; i < 5; ++i) {
      text.push_back(0);
      while (!Whole(model, text).greedy.back()) ++text.back();
    }
    continuations.emplace_back(text.begin() + static_cast<int64_t>(size),
                               text.end());
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const std::vector<ContinuationScore> scores,
        ScoreContinuations(model.net, model.p, context, continuations));
    ASSERT_EQ(scores.size(), continuations.size());
    for (size_t i = 0; i < scores.size(); ++i) {
      SCOPED_TRACE(i);
      Tokens all = context;
      all.insert(all.end(), continuations[i].begin(), continuations[i].end());
      const Reference whole = Whole(model, all);
      double want = 0;
      bool greedy = true;
      for (size_t t = size - 1; t + 1 < all.size(); ++t) {
        want -= whole.losses[t];
        greedy = greedy && whole.greedy[t];
      }
      EXPECT_NEAR(scores[i].log_probability, want, 1e-10);
      EXPECT_EQ(scores[i].tokens,
                static_cast<int64_t>(continuations[i].size()));
      EXPECT_DOUBLE_EQ(scores[i].mean(),
                       scores[i].log_probability /
                           static_cast<double>(continuations[i].size()));
      EXPECT_EQ(scores[i].greedy, greedy);
    }
    EXPECT_TRUE(scores.back().greedy);
    EXPECT_FALSE(scores[1].greedy && scores[3].greedy);
  }
}

TEST(ScoreTest, ContinuationsOfOneTokenAddUpToOne) {
  const Model model;
  std::vector<Tokens> all;
  for (int64_t token = 0; token < kVocab; ++token) all.push_back({token});
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const std::vector<ContinuationScore> scores,
      ScoreContinuations(model.net, model.p, Text(6), all));
  double sum = 0;
  int greedy = 0;
  for (const ContinuationScore& score : scores) {
    sum += std::exp(score.log_probability);
    greedy += score.greedy;
  }
  EXPECT_NEAR(sum, 1, 1e-12);
  EXPECT_EQ(greedy, 1);
}

TEST(ScoreTest, AModelWithoutLayers) {
  const Model model(ScoreNorm::kDecay, 0);
  TokenLossOptions options;
  options.segment = 4;
  const Tokens tokens = Text(11);
  ExpectLosses(model, tokens, options, Whole(model, tokens).losses);
  SEPTET_EXPECT_OK(
      ScoreContinuations(model.net, model.p, {1}, {{2, 3}, {4}}).status());
}

TEST(ScoreTest, TokensOf32Bits) {
  const Model model;
  const Tokens tokens = Text(9);
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor narrow, Ids(tokens).To(DType::kI32));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor got,
                              TokenLosses(model.net, model.p, narrow, {}));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor want,
                              TokenLosses(model.net, model.p, Ids(tokens), {}));
  EXPECT_EQ(got.ToVector<double>(), want.ToVector<double>());
}

TEST(ScoreTest, LossErrors) {
  const Model model;
  const auto expect = [&](const Tensor& tokens, const TokenLossOptions& options,
                          const std::string& message) {
    EXPECT_THAT(TokenLosses(model.net, model.p, tokens, options),
                StatusIs(absl::StatusCode::kInvalidArgument, message));
  };
  TokenLossOptions options;
  options.segment = 0;
  expect(Ids({1, 2}), options, "score: segment is 0, expected >= 1");
  options = {};
  options.rows = 0;
  expect(Ids({1, 2}), options, "score: rows is 0, expected >= 1");
  options = {};
  options.stride = 513;
  expect(Ids({1, 2}), options,
         "score: stride is 513, expected 0 to segment, 512");
  options.stride = -1;
  expect(Ids({1, 2}), options,
         "score: stride is -1, expected 0 to segment, 512");
  expect({}, {},
         "score: tokens are not given, expected i32 or i64 [T], of at least "
         "two");
  expect(Ids({1}), {},
         "score: tokens are i64 [1], expected i32 or i64 [T], of at least two");
  expect(*Ids({1, 2}).Reshape({1, 2}), {},
         "score: tokens are i64 [1, 2], expected i32 or i64 [T], of at least "
         "two");
  expect(*Ids({1, 2}).To(DType::kF32), {},
         "score: tokens are f32 [2], expected i32 or i64 [T], of at least two");
  expect(Ids({1, 2, kVocab}), {},
         "score: tokens[2] is 19, expected a token in 0 to 18");
  expect(Ids({-1, 2}), {},
         "score: tokens[0] is -1, expected a token in 0 to 18");
}

TEST(ScoreTest, ContinuationErrors) {
  const Model model;
  const auto expect = [&](const Tokens& context,
                          const std::vector<Tokens>& continuations,
                          const std::string& message) {
    EXPECT_THAT(ScoreContinuations(model.net, model.p, context, continuations),
                StatusIs(absl::StatusCode::kInvalidArgument, message));
  };
  expect({}, {{1}}, "score: the context is empty, expected at least one token");
  expect({1, 19}, {{1}},
         "score: context[1] is 19, expected a token in 0 to 18");
  expect({1}, {}, "score: there are no continuations, expected at least one");
  expect({1}, {{1}, {}},
         "score: continuations[1] is empty, expected at least one token");
  expect({1}, {{1}, {2, -3}},
         "score: continuations[1][1] is -3, expected a token in 0 to 18");
}

TEST(ScoreTest, ModelErrors) {
  const Model model;
  Tape tape;
  const BoundParameters watched = model.store.Watch(&tape);
  constexpr char kTape[] =
      "score: parameters are on a tape, but nothing is differentiated";
  EXPECT_THAT(TokenLosses(model.net, watched, Ids({1, 2}), {}),
              StatusIs(absl::StatusCode::kFailedPrecondition, kTape));
  EXPECT_THAT(ScoreContinuations(model.net, watched, {1}, {{1}}),
              StatusIs(absl::StatusCode::kFailedPrecondition, kTape));
  // A token whose vector is not a number.
  SEPTET_ASSERT_OK_AND_ASSIGN(const ParameterId embedding,
                              model.store.Find("embedding.weight"));
  Tensor weight = model.store.tensor(embedding);
  weight.mutable_data<double>()[5 * 16] = std::nan("");
  TokenLossOptions options;
  options.segment = 2;
  EXPECT_THAT(TokenLosses(model.net, model.p, Ids({1, 2, 3, 5, 4, 1}), options),
              StatusIs(absl::StatusCode::kInternal,
                       "score: the loss of tokens[4] is not a number"));
  EXPECT_THAT(ScoreContinuations(model.net, model.p, {1}, {{2, 3}, {5, 4, 1}}),
              StatusIs(absl::StatusCode::kInternal,
                       HasSubstr("the loss of continuations[1][1] is not")));
}

}  // namespace
}  // namespace septet
