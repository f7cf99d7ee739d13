// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/retnet_session.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/ops/index.h"
#include "septet/core/optim/adam.h"
#include "septet/core/optim/clip.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"
#include "septet/core/text/byte_tokenizer.h"
#include "septet/retention/decode_cache.h"
#include "septet/retention/generate.h"
#include "septet/retention/retention.h"
#include "septet/retention/retnet.h"

namespace septet {
namespace {

using ::testing::HasSubstr;

using Tokens = std::vector<int64_t>;
constexpr int64_t kVocab = 23;

struct Model {
  explicit Model(ScoreNorm norm = ScoreNorm::kDecay,
                 DType dtype = DType::kF64) {
    RetNetOptions options = DefaultRetNetOptions(kVocab, 16, 2, 2);
    options.retention.score_norm = norm;
    options.retention.chunk_size = 4;
    net = RetNet::Create(options, ParameterScope(&store, {3, dtype})).value();
    p = store.Bind();
  }
  ParameterStore store;
  RetNet net;
  BoundParameters p;
};

class RetNetSessionTest : public ::testing::TestWithParam<ScoreNorm> {};
INSTANTIATE_TEST_SUITE_P(ScoreNorms, RetNetSessionTest,
                         ::testing::Values(ScoreNorm::kNone, ScoreNorm::kDecay,
                                           ScoreNorm::kPaper,
                                           ScoreNorm::kTorchscale,
                                           ScoreNorm::kTorchscaleLegacy));

// Prompts of several lengths, each continued by what the whole text gives.
TEST_P(RetNetSessionTest, WritesWhatTheWholeTextGives) {
  const Model model(GetParam());
  const std::vector<Tokens> prompts = {
      {1}, {5, 4, 3, 2, 1, 0, 22, 21, 9}, {7, 7, 8}};
  GenerationOptions options;
  options.max_new = 12;
  options.sampling.temperature = 0;
  RetNetSession session(&model.net, &model.p);
  SEPTET_ASSERT_OK_AND_ASSIGN(const GenerationResult result,
                              Generate(&session, prompts, options));
  for (size_t r = 0; r < prompts.size(); ++r) {
    SCOPED_TRACE(r);
    Tokens text = prompts[r];
    text.insert(text.end(), result.rows[r].tokens.begin(),
                result.rows[r].tokens.end());
    const auto time = static_cast<int64_t>(text.size());
    RetNetInput input;
    input.tokens = *Tensor::FromValues<int64_t>({1, time}, text);
    input.form = RetentionForm::kRecurrent;
    const Var best = ArgMax(model.net.Forward(model.p, Pass(), input));
    SEPTET_ASSERT_OK(best);
    const Tokens want = best.tensor().ToVector<int64_t>();
    const size_t first = prompts[r].size();
    ASSERT_EQ(text.size(), first + 12);
    for (size_t t = first; t < text.size(); ++t) {
      EXPECT_EQ(text[t], want[t - 1]) << t;
    }
    // The last token is written, not read.
    EXPECT_EQ(session.cache().positions()[r], time - 1);
  }
}

TEST(RetNetSessionTest, RowsThatEndLeaveTheOthersAsTheyAre) {
  const Model model;
  const std::vector<Tokens> prompts = {{1, 2, 3}, {4}, {5, 6}, {7}};
  GenerationOptions options;
  options.max_new = 30;
  RetNetSession session(&model.net, &model.p);
  SEPTET_ASSERT_OK_AND_ASSIGN(const GenerationResult all,
                              Generate(&session, prompts, options));
  options.stop_tokens = {all.rows[0].tokens[4], all.rows[2].tokens[2]};
  SEPTET_ASSERT_OK_AND_ASSIGN(const GenerationResult some,
                              Generate(&session, prompts, options));
  EXPECT_LE(some.rows[0].tokens.size(), 5u);
  EXPECT_LE(some.rows[2].tokens.size(), 3u);
  for (size_t r = 0; r < prompts.size(); ++r) {
    const Tokens& whole = all.rows[r].tokens;
    const Tokens& row = some.rows[r].tokens;
    EXPECT_EQ(row, Tokens(whole.begin(),
                          whole.begin() + static_cast<int64_t>(row.size())));
  }
}

// A prompt is read once, kept as tensors, and branched from.
TEST(RetNetSessionTest, BranchesFromAPromptThatWasKept) {
  for (const ScoreNorm norm : {ScoreNorm::kDecay, ScoreNorm::kPaper}) {
    const Model model(norm);
    const Tokens prompt = {9, 8, 7, 6, 5, 4};
    GenerationOptions options;
    options.max_new = 20;
    options.continuations = 3;
    RetNetSession whole(&model.net, &model.p);
    SEPTET_ASSERT_OK_AND_ASSIGN(const GenerationResult want,
                                Generate(&whole, {prompt}, options));
    SEPTET_ASSERT_OK_AND_ASSIGN(const RetNetPrefill read,
                                model.net.Prefill(model.p, {prompt}));
    SEPTET_ASSERT_OK_AND_ASSIGN(DecodeCache cache,
                                DecodeCache::Import(read.cache.Export()));
    RetNetSession session(&model.net, &model.p, std::move(cache));
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const GenerationResult got,
        ContinueGeneration(&session, read.logits, {prompt}, options));
    ASSERT_EQ(got.rows.size(), 3u);
    for (size_t r = 0; r < 3; ++r) {
      EXPECT_EQ(got.rows[r].tokens, want.rows[r].tokens) << r;
    }
    EXPECT_NE(got.rows[0].tokens, got.rows[1].tokens);
    // What was kept is as it was.
    EXPECT_EQ(read.cache.positions()[0], 6);
  }
}

TEST(RetNetSessionTest, RecitesWhatItHasLearned) {
  constexpr absl::string_view kText = "pack my box with five dozen jugs.\n";
  ParameterStore store;
  const RetNetOptions net_options = DefaultRetNetOptions(128, 32, 1, 2);
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const RetNet net,
      RetNet::Create(net_options, ParameterScope(&store, {1})));
  const Tokens ids(kText.begin(), kText.end());
  const auto time = static_cast<int64_t>(ids.size()) - 1;
  RetNetInput input;
  input.tokens = *Tensor::FromValues<int64_t>(
      {1, time}, Tokens(ids.begin(), ids.end() - 1));
  const Tensor targets = *Tensor::FromValues<int64_t>(
      {1, time}, Tokens(ids.begin() + 1, ids.end()));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      Adam adam, Adam::Create({}, store.trained(), store.trained_decay()));
  Tape tape;
  BoundParameters p;
  for (uint64_t step = 0; step < 60; ++step) {
    tape.Reset();
    store.Watch(&tape, &p);
    const Var loss = net.Loss(p, Pass::Training(1, step), input, targets);
    SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> grads,
                                tape.Grad(loss, p.trained()));
    SEPTET_ASSERT_OK(ClipGradNorm(grads, {1.0}));
    SEPTET_ASSERT_OK(adam.Step(store.trained(), grads, 1e-2));
  }
  store.Bind(&p);
  const ByteTokenizer tokenizer;
  GenerationOptions options;
  options.max_new = 100;
  options.sampling.temperature = 0;
  options.tokenizer = &tokenizer;
  options.stop_strings = {".\n"};
  RetNetSession session(&net, &p);
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const GenerationResult result,
      Generate(&session, {Tokens(ids.begin(), ids.begin() + 4)}, options));
  EXPECT_EQ(result.rows[0].text, " my box with five dozen jugs");
  EXPECT_EQ(result.rows[0].end, GenerationEnd::kStopString);
}

TEST(RetNetSessionTest, ErrorsOfTheModel) {
  const Model model(ScoreNorm::kDecay, DType::kF32);
  RetNetSession session(&model.net, &model.p);
  EXPECT_THAT(Generate(&session, {{1}, {kVocab}}, {}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "generate: prompts[1][0] is 23, expected a token in 0 "
                       "to 22"));
  // A cache of no rows has nothing to go on from.
  RetNetSession fresh(&model.net, &model.p);
  EXPECT_THAT(fresh.Step(*Tensor::FromValues<int64_t>({1}, {1})),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("expected [0], one for each row")));
  EXPECT_THAT(fresh.Select({0}), StatusIs(absl::StatusCode::kInvalidArgument,
                                          HasSubstr("rows[0] is 0")));
  Tape tape;
  const BoundParameters watched = model.store.Watch(&tape);
  RetNetSession training(&model.net, &watched);
  EXPECT_THAT(Generate(&training, {{1}}, {}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("parameters are on a tape")));
}

}  // namespace
}  // namespace septet
