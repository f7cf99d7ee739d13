// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/extend_session.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/nn/kv_cache.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/nn/rotary_positions.h"
#include "septet/core/nn/transformer.h"
#include "septet/core/ops/index.h"
#include "septet/core/ops/op_testutil.h"
#include "septet/core/ops/rotary.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/generate.h"
#include "septet/retention/linear_transformer.h"
#include "septet/retention/recurrent_state.h"
#include "septet/retention/rwkv.h"

namespace septet {
namespace {

using ::testing::HasSubstr;

using Tokens = std::vector<int64_t>;
constexpr int64_t kVocab = 23;

// First values of zeros would make all texts the same.
void Randomise(const ParameterStore& store) {
  uint32_t stream = 100;
  for (const Tensor& x : store.trained()) {
    SEPTET_ASSERT_OK(
        x.CopyFrom(RandomTensor(x.shape(), x.dtype(), stream++, -0.5, 0.5)));
  }
}

Var Logits(const Transformer& model, const BoundParameters& p,
           const Tensor& tokens) {
  return model.Forward(p, Pass(), {tokens, {}, {}});
}
template <class Model>
Var Logits(const Model& model, const BoundParameters& p, const Tensor& tokens) {
  return model.Forward(p, Pass(), tokens);
}

// Prompts of several lengths, one of which ends before the others: each is
// continued by what the whole text gives.
template <class Model, class State>
void ExpectWholeTexts(const Model& model, const ParameterStore& store,
                      ExtendSession<Model, State>& session) {
  const BoundParameters p = store.Bind();
  const std::vector<Tokens> prompts = {
      {1}, {5, 4, 3, 2, 1, 0, 22, 21, 9}, {7, 7, 8}};
  GenerationOptions options;
  options.max_new = 12;
  options.sampling.temperature = 0;
  options.stream = [](const GenerationPiece& piece) { return piece.row != 1; };
  SEPTET_ASSERT_OK_AND_ASSIGN(const GenerationResult result,
                              Generate(&session, prompts, options));
  for (size_t r = 0; r < prompts.size(); ++r) {
    SCOPED_TRACE(r);
    Tokens text = prompts[r];
    text.insert(text.end(), result.rows[r].tokens.begin(),
                result.rows[r].tokens.end());
    const size_t first = prompts[r].size();
    ASSERT_EQ(text.size(), first + (r == 1 ? 1 : 12));
    const Var best =
        ArgMax(Logits(model, p,
                      *Tensor::FromValues<int64_t>(
                          {1, static_cast<int64_t>(text.size())}, text)));
    SEPTET_ASSERT_OK(best);
    const Tokens want = best.tensor().ToVector<int64_t>();
    for (size_t t = first; t < text.size(); ++t) {
      EXPECT_EQ(text[t], want[t - 1]) << t;
    }
  }
  EXPECT_EQ(session.state()->batch(), 2);
  // Prompts of one length, continued twice.
  options = {};
  options.max_new = 5;
  options.continuations = 2;
  SEPTET_ASSERT_OK_AND_ASSIGN(const GenerationResult equal,
                              Generate(&session, {{1, 2}, {3, 4}}, options));
  EXPECT_EQ(equal.rows.size(), 4u);
  EXPECT_EQ(session.state()->batch(), 4);
}

struct RotaryTransformer {
  RotaryTransformer() {
    RotaryPositionsOptions positions;
    positions.frequencies = RotaryFrequencies(8).value();
    model = std::make_unique<Transformer>(
        Transformer::Create(RotarySwiGluOptions(kVocab, 16, 2, 2),
                            std::make_unique<RotaryPositions>(positions),
                            ParameterScope(&store, {3, DType::kF64}))
            .value());
    Randomise(store);
    p = store.Bind();
  }
  ExtendSession<Transformer, KvCache> Session(int64_t capacity) {
    return {model.get(), &p, [this, capacity](int64_t rows) {
              return model->MakeCache(rows, capacity, DType::kF64);
            }};
  }
  ParameterStore store;
  std::unique_ptr<Transformer> model;
  BoundParameters p;
};

TEST(ExtendSessionTest, TransformerWritesWhatTheWholeTextGives) {
  RotaryTransformer transformer;
  auto session = transformer.Session(32);
  ExpectWholeTexts(*transformer.model, transformer.store, session);
}

TEST(ExtendSessionTest, LinearTransformerWritesWhatTheWholeTextGives) {
  ParameterStore store;
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const LinearTransformer model,
      LinearTransformer::Create(LinearTransformerPreset(kVocab, 16, 2, 2),
                                ParameterScope(&store, {3, DType::kF64})));
  Randomise(store);
  const BoundParameters p = store.Bind();
  ExtendSession<LinearTransformer, RecurrentState> session(
      &model, &p,
      [&](int64_t rows) { return model.MakeState(rows, DType::kF64); });
  ExpectWholeTexts(model, store, session);
}

TEST(ExtendSessionTest, RwkvWritesWhatTheWholeTextGives) {
  ParameterStore store;
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Rwkv model, Rwkv::Create(Rwkv4Options(kVocab, 16, 2),
                                     ParameterScope(&store, {3, DType::kF64})));
  Randomise(store);
  const BoundParameters p = store.Bind();
  ExtendSession<Rwkv, RecurrentState> session(&model, &p, [&](int64_t rows) {
    return model.MakeState(rows, DType::kF64);
  });
  ExpectWholeTexts(model, store, session);
}

TEST(ExtendSessionTest, Errors) {
  RotaryTransformer transformer;
  auto session = transformer.Session(6);
  EXPECT_EQ(session.state(), nullptr);
  constexpr char kBegin[] =
      "session: no prompt has been read, expected Begin() first";
  EXPECT_THAT(session.Step(*Tensor::FromValues<int64_t>({1}, {1})),
              StatusIs(absl::StatusCode::kFailedPrecondition, kBegin));
  EXPECT_THAT(session.Select({0}),
              StatusIs(absl::StatusCode::kFailedPrecondition, kBegin));
  // The cache is full behind six tokens; the seventh is written, not read.
  GenerationOptions options;
  options.max_new = 4;
  SEPTET_EXPECT_OK(Generate(&session, {{1, 2, 3}}, options));
  options.max_new = 5;
  EXPECT_THAT(Generate(&session, {{1, 2, 3}}, options),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("generate: token 3: ")));
  auto none = transformer.Session(0);
  EXPECT_THAT(
      Generate(&none, {{1}}, options),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("capacity is 0")));
}

}  // namespace
}  // namespace septet
