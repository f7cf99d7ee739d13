// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/parity.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/retention.h"
#include "septet/retention/retnet.h"

namespace septet {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::Lt;
using ::testing::SizeIs;

constexpr int64_t kVocab = 11;

struct Model {
  ParameterStore store;
  RetNet net;
};

Model MakeModel(DType dtype, ScoreNorm norm = ScoreNorm::kDecay) {
  RetNetOptions options = DefaultRetNetOptions(kVocab, 8, 2, 2, 12);
  options.retention.score_norm = norm;
  Model model;
  absl::StatusOr<RetNet> net =
      RetNet::Create(options, ParameterScope(&model.store, {1, dtype}));
  SEPTET_EXPECT_OK(net);
  model.net = *std::move(net);
  return model;
}

Tensor SomeTokens(int64_t batch = 2, int64_t time = 19) {
  return *RandomTokens(/*seed=*/3, batch, time, kVocab);
}

const ParityRow* Find(const ParityReport& report, const std::string& form,
                      ParityQuantity quantity) {
  for (const ParityRow& row : report.rows) {
    if (row.form == form && row.quantity == quantity) return &row;
  }
  return nullptr;
}

TEST(ParityTest, FormsAreEqual) {
  for (const DType dtype : {DType::kF64, DType::kF32}) {
    for (const ScoreNorm norm :
         {ScoreNorm::kNone, ScoreNorm::kDecay, ScoreNorm::kPaper}) {
      const Model model = MakeModel(dtype, norm);
      ParityOptions options;
      options.chunk_sizes = {1, 7, 64};
      options.splits = {0, 1, 7, 18};
      SEPTET_ASSERT_OK_AND_ASSIGN(
          const ParityReport report,
          CompareForms(model.net, model.store, SomeTokens(), options));
      EXPECT_TRUE(report.Met()) << report.ToString();
      // Four forms with all quantities, steps of the core without gradients
      // and two kinds of steps of the model.
      EXPECT_THAT(report.rows, SizeIs(4 * 7 + 2 + 2 * 3));
      EXPECT_EQ(report.Worst(ParityQuantity::kArgmax), 1);
      // They are not the same computation.
      for (const ParityQuantity quantity :
           {ParityQuantity::kCoreOutput, ParityQuantity::kCoreState,
            ParityQuantity::kCoreGradient, ParityQuantity::kLayerOutput,
            ParityQuantity::kLogits, ParityQuantity::kGradient}) {
        EXPECT_GT(report.Worst(quantity), 0) << ParityQuantityName(quantity);
        const ParityRow* const row = Find(report, "chunks of 7", quantity);
        ASSERT_NE(row, nullptr);
        const size_t columns = quantity == ParityQuantity::kLogits     ? 0
                               : quantity == ParityQuantity::kGradient ? 3
                                                                       : 2;
        EXPECT_THAT(row->by_layer, SizeIs(columns));
        EXPECT_THAT(row->by_layer, Each(AllOf(Ge(0), Lt(1e-4))));
      }
      const ParityTolerances tolerances = ParityTolerances::Of(dtype);
      EXPECT_EQ(
          Find(report, "recurrent", ParityQuantity::kCoreState)->tolerance,
          tolerances.core);
      EXPECT_EQ(
          Find(report, "prefill, steps", ParityQuantity::kLogits)->tolerance,
          tolerances.logits);
    }
  }
}

// Those of torchscale are not, beyond the first row of all.
TEST(ParityTest, FormsThatDifferAreFoundOut) {
  const Model model = MakeModel(DType::kF64, ScoreNorm::kTorchscale);
  ParityOptions options;
  options.chunk_sizes = {4};
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const ParityReport report,
      CompareForms(model.net, model.store, SomeTokens(), options));
  EXPECT_FALSE(report.Met());
  for (const ParityQuantity quantity :
       {ParityQuantity::kCoreOutput, ParityQuantity::kCoreGradient,
        ParityQuantity::kLayerOutput, ParityQuantity::kLogits,
        ParityQuantity::kGradient}) {
    const ParityRow* const row = Find(report, "chunks of 4", quantity);
    ASSERT_NE(row, nullptr);
    EXPECT_FALSE(row->Met()) << ParityQuantityName(quantity);
    EXPECT_GT(row->worst, 1e-6);
  }
  EXPECT_EQ(Find(report, "chunks of 4", ParityQuantity::kCoreState), nullptr);
  EXPECT_THAT(report.ToString(), HasSubstr("BEYOND"));
  EXPECT_THAT(report.ToString(), HasSubstr(" beyond tolerance\n"));
}

TEST(ParityTest, GradientsAndStepsCanBeLeftOut) {
  const Model model = MakeModel(DType::kF32);
  ParityOptions options;
  options.chunk_sizes = {};
  options.splits = {};
  options.gradients = false;
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const ParityReport report,
      CompareForms(model.net, model.store, *SomeTokens(1, 5).To(DType::kI32),
                   options));
  for (const ParityRow& row : report.rows) EXPECT_EQ(row.form, "recurrent");
  EXPECT_THAT(report.rows, SizeIs(5));
  EXPECT_TRUE(std::isnan(report.Worst(ParityQuantity::kGradient)));
}

TEST(ParityTest, Report) {
  ParityReport report;
  report.dtype = DType::kF64;
  report.batch = 1;
  report.time = 9;
  report.layers = 2;
  report.rows = {
      {"recurrent", ParityQuantity::kCoreOutput, {1e-13, 3e-13}, 3e-13, 1e-12},
      {"steps", ParityQuantity::kArgmax, {}, 0.9995, 0.999}};
  EXPECT_TRUE(report.Met());
  EXPECT_EQ(report.ToString(),
            "f64, 1 x 9 tokens: largest difference from the parallel form, of "
            "the largest value\n"
            "form            what                 worst  tolerance  layer 0  "
            "layer 1   others\n"
            "recurrent       core output        3.0e-13    1.0e-12  1.0e-13  "
            "3.0e-13\n"
            "steps           same argmax        99.95 %    99.90 %\n"
            "all 2 within tolerance\n");
  report.rows[1].worst = 0.998;
  EXPECT_FALSE(report.Met());
  report.rows[1].worst = 1;
  report.rows[0].worst = std::numeric_limits<double>::quiet_NaN();
  EXPECT_FALSE(report.Met());
  EXPECT_TRUE(std::isnan(report.Worst(ParityQuantity::kCoreOutput)));
  EXPECT_THAT(report.ToString(), HasSubstr("1 of 2 beyond tolerance\n"));
}

TEST(ParityTest, RandomTokensAreOfTheVocabulary) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor tokens, RandomTokens(1, 3, 40, 5));
  EXPECT_EQ(tokens.shape(), Shape({3, 40}));
  std::vector<int> seen(5);
  for (const int64_t token : tokens.ToVector<int64_t>()) {
    ++seen.at(static_cast<size_t>(token));
  }
  EXPECT_THAT(seen, Each(Ge(1)));
  EXPECT_THAT(RandomTokens(1, 1, 0, 5).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("time is 0, expected 1 to 2^32 - 1")));
}

TEST(ParityTest, GreedyTextsAreEqual) {
  const Model model = MakeModel(DType::kF64);
  GreedyParityOptions options;
  options.length = 20;
  options.chunk_sizes = {1, 7};
  SEPTET_ASSERT_OK_AND_ASSIGN(
      GreedyParity greedy, CompareGreedyTexts(model.net, model.store,
                                              {{1, 2, 3}, {9, 0, 4}}, options));
  EXPECT_TRUE(greedy.Met());
  EXPECT_THAT(greedy.texts, Each(SizeIs(20)));
  EXPECT_THAT(greedy.decided, ElementsAre(20, 20));
  ASSERT_THAT(greedy.rows, SizeIs(4));
  EXPECT_EQ(greedy.rows[0].form, "parallel");
  EXPECT_EQ(greedy.rows[1].form, "chunks of 1");
  EXPECT_EQ(greedy.rows[3].form, "recurrent");
  for (const GreedyParityRow& row : greedy.rows) {
    EXPECT_THAT(row.agreed, ElementsAre(20, 20)) << row.form;
  }
  // One that leaves the text before the tie misses that many.
  greedy.rows[2].agreed[1] = 12;
  EXPECT_FALSE(greedy.Met());
  EXPECT_EQ(greedy.Missing(), 8);
  greedy.decided[1] = 12;
  EXPECT_TRUE(greedy.Met());
}

// Nothing is decided where all logits are ties.
TEST(ParityTest, TiesEndGreedyTexts) {
  const Model model = MakeModel(DType::kF32);
  GreedyParityOptions options;
  options.length = 3;
  options.tie = 1e6;
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const GreedyParity greedy,
      CompareGreedyTexts(model.net, model.store, {{1}}, options));
  EXPECT_THAT(greedy.decided, ElementsAre(0));
  EXPECT_TRUE(greedy.Met());
}

TEST(ParityTest, Errors) {
  const Model model = MakeModel(DType::kF32);
  const Tensor tokens = SomeTokens();
  const auto expect_invalid = [&](const ParityOptions& options,
                                  const Tensor& given,
                                  const std::string& text) {
    EXPECT_THAT(CompareForms(model.net, model.store, given, options).status(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text)));
  };
  ParityOptions options;
  expect_invalid(options, Tensor(), "tokens are not given");
  expect_invalid(options, *tokens.To(DType::kF32),
                 "tokens are f32 [2, 19], expected i32 or i64 [B, T]");
  expect_invalid(options, *Tensor::FromValues<int64_t>({1, 2}, {4, 11}),
                 "tokens[0, 1] is 11, expected 0 to 10");
  options.splits = {3, 19};
  expect_invalid(options, tokens, "splits[1] is 19, expected 0 to 18");
  options.splits = {};
  options.chunk_sizes = {0};
  expect_invalid(options, tokens, "chunk_sizes[0] is 0, expected at least 1");
  EXPECT_THAT(CompareForms(model.net, ParameterStore(), tokens).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("store has no parameters")));
  ParameterStore other;
  RetNetOptions wider = model.net.options();
  wider.dim = 12;
  SEPTET_ASSERT_OK(
      RetNet::Create(wider, ParameterScope(&other, {1, DType::kF32})).status());
  EXPECT_THAT(CompareForms(model.net, other, tokens).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("store has embedding.weight, f32 [11, 12], "
                                 "expected embedding.weight, f32 [11, 8], of "
                                 "the model")));

  ParameterStore deeper;
  wider = model.net.options();
  wider.layers = 3;
  SEPTET_ASSERT_OK(
      RetNet::Create(wider, ParameterScope(&deeper, {1, DType::kF32}))
          .status());
  EXPECT_THAT(CompareForms(model.net, deeper, tokens).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("store has 33 parameters, expected the 23")));

  const auto expect_greedy =
      [&](const std::vector<std::vector<int64_t>>& prompts,
          const GreedyParityOptions& greedy, const std::string& text) {
        EXPECT_THAT(
            CompareGreedyTexts(model.net, model.store, prompts, greedy)
                .status(),
            StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text)));
      };
  GreedyParityOptions greedy;
  greedy.length = 0;
  expect_greedy({{1}}, greedy, "length is 0, expected at least 1");
  greedy.length = 2;
  expect_greedy({{1}, {1, 2}}, greedy,
                "prompts have 1 and 2 tokens, expected equally many");
  expect_greedy({}, greedy, "there are no prompts");
  expect_greedy({{11}}, greedy, "prompts[0][0] is 11");
  greedy.tie = -1;
  expect_greedy({{1}}, greedy, "tie is -1, expected a finite number >= 0");
  greedy.tie = 0;
  greedy.chunk_sizes = {4, -2};
  expect_greedy({{1}}, greedy, "chunk_sizes[1] is -2");
}

}  // namespace
}  // namespace septet
