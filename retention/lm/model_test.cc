// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/lm/model.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/nn/kv_cache.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/nn/transformer.h"
#include "septet/core/ops/index.h"
#include "septet/core/ops/op_testutil.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/extend_session.h"
#include "septet/retention/generate.h"
#include "septet/retention/linear_transformer.h"
#include "septet/retention/lm/options.pb.h"
#include "septet/retention/model_options.pb.h"
#include "septet/retention/recurrent_state.h"
#include "septet/retention/retention.h"
#include "septet/retention/retnet_session.h"
#include "septet/retention/rwkv.h"

namespace septet {
namespace {

using ::testing::HasSubstr;
using Kind = RetentionLmKindNames;

constexpr Kind::Kind kKinds[] = {Kind::retnet, Kind::transformer,
                                 Kind::linear_transformer, Kind::rwkv};

RetentionLmOptions Small(Kind::Kind kind) {
  RetentionLmOptions options;
  options.set_kind(kind);
  RetNetModelOptions* model = options.mutable_model();
  model->set_vocab_size(19);
  model->set_dim(32);
  model->set_layers(2);
  return options;
}

std::unique_ptr<RetentionLm> Make(const RetentionLmOptions& options) {
  auto model = RetentionLm::Create(options, 1);
  SEPTET_EXPECT_OK(model);
  return *std::move(model);
}

// All kinds, and what changes the parameters of each.
std::vector<RetentionLmOptions> Variants() {
  std::vector<RetentionLmOptions> all;
  for (const Kind::Kind kind : kKinds) {
    all.push_back(Small(kind));
    all.push_back(Small(kind));
    all.back().mutable_model()->set_tied(true);
    all.push_back(Small(kind));
    all.back().mutable_model()->set_ffn_dim(40);
    if (kind != Kind::rwkv) {
      all.push_back(Small(kind));
      all.back().mutable_model()->set_heads(4);
      all.back().mutable_model()->set_rotary(RetNetRotaryNames::none);
    }
  }
  all.push_back(Small(Kind::rwkv));
  all.back().set_rwkv_ffn(RwkvFfnNames::glu);
  all.push_back(Small(Kind::rwkv));
  all.back().set_rwkv_ffn(RwkvFfnNames::glu);
  all.back().mutable_model()->set_ffn_dim(40);
  all.push_back(Small(Kind::retnet));
  all.back().mutable_model()->set_score_norm(RetNetScoreNormNames::paper);
  all.back().mutable_model()->set_learnable_decay(true);
  return all;
}

TEST(RetentionLmTest, ParametersAreCountedWithoutTheModel) {
  for (const RetentionLmOptions& options : Variants()) {
    SCOPED_TRACE(options.ShortDebugString());
    EXPECT_EQ(NumRetentionLmParameters(options).value_or(-1),
              Make(options)->parameters().NumElements());
  }
}

// All kinds have about 12 d^2 weights a layer.
TEST(RetentionLmTest, KindsAreOfOneSize) {
  for (const Kind::Kind kind : kKinds) {
    RetentionLmOptions options;  // retnet.md 8
    options.set_kind(kind);
    SEPTET_ASSERT_OK_AND_ASSIGN(const int64_t count,
                                NumRetentionLmParameters(options));
    EXPECT_NEAR(count, 123200, 6000) << RetentionLmKindName(kind);
  }
  EXPECT_EQ(NumRetentionLmParameters(RetentionLmOptions()).value_or(-1),
            123200);
}

template <class Model, class State>
int64_t BytesOf(const GenerationSession& session) {
  const auto* extend =
      dynamic_cast<const ExtendSession<Model, State>*>(&session);
  return extend == nullptr ? -1 : extend->state()->bytes();
}

TEST(RetentionLmTest, StateBytesAreThoseOfSessions) {
  for (const RetentionLmOptions& options : Variants()) {
    SCOPED_TRACE(options.ShortDebugString());
    const auto model = Make(options);
    const BoundParameters p = model->parameters().Bind();
    const auto session = model->NewSession(&p, /*capacity=*/7);
    SEPTET_ASSERT_OK(session->Begin({{1, 2, 3}}));
    int64_t bytes = -1;
    switch (options.kind()) {
      case Kind::retnet:
        bytes = dynamic_cast<RetNetSession&>(*session).cache().bytes();
        break;
      case Kind::transformer:
        bytes = BytesOf<Transformer, KvCache>(*session);
        break;
      case Kind::linear_transformer:
        bytes = BytesOf<LinearTransformer, RecurrentState>(*session);
        break;
      case Kind::rwkv:
        bytes = BytesOf<Rwkv, RecurrentState>(*session);
        break;
    }
    EXPECT_EQ(RetentionLmStateBytes(options, 7).value_or(-2), bytes);
  }
}

TEST(RetentionLmTest, SessionsWriteWhatLogitsSay) {
  for (const Kind::Kind kind : kKinds) {
    SCOPED_TRACE(RetentionLmKindName(kind));
    const auto model = Make(Small(kind));
    uint32_t stream = 1;
    for (const Tensor& x : model->parameters().trained()) {
      SEPTET_ASSERT_OK(x.CopyFrom(
          RandomTensor(x.shape(), DType::kF32, stream++, -0.5, 0.5)));
    }
    const BoundParameters p = model->parameters().Bind();
    const auto session = model->NewSession(&p, 16);
    EXPECT_EQ(session->vocab_size(), 19);
    GenerationOptions options;
    options.max_new = 12;
    options.sampling.temperature = 0;
    SEPTET_ASSERT_OK_AND_ASSIGN(const GenerationResult result,
                                Generate(session.get(), {{3, 1, 4}}, options));
    std::vector<int64_t> text = {3, 1, 4};
    text.insert(text.end(), result.rows[0].tokens.begin(),
                result.rows[0].tokens.end());
    SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor ids,
                                Tensor::FromValues<int64_t>({1, 15}, text));
    const Var best = ArgMax(model->Logits(p, Pass(), ids));
    SEPTET_ASSERT_OK(best);
    const std::vector<int64_t> want = best.tensor().ToVector<int64_t>();
    for (size_t t = 3; t < text.size(); ++t) EXPECT_EQ(text[t], want[t - 1]);
  }
}

TEST(RetentionLmTest, FormsAreOfRetentionAlone) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Tensor ids,
      Tensor::FromValues<int64_t>({1, 8}, {1, 2, 3, 4, 5, 6, 7, 8}));
  const auto retnet = Make(Small(Kind::retnet));
  const BoundParameters p = retnet->parameters().Bind();
  const Var want = retnet->Logits(p, Pass(), ids);
  for (const RetentionForm form :
       {RetentionForm::kParallel, RetentionForm::kChunkwise,
        RetentionForm::kRecurrent}) {
    const Var got = retnet->Logits(p, Pass(), ids, form);
    SEPTET_ASSERT_OK(got);
    const std::vector<double> a = want.tensor().ToVector<double>();
    const std::vector<double> b = got.tensor().ToVector<double>();
    for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-5);
  }
  EXPECT_EQ(Make(Small(Kind::rwkv))->retnet(), nullptr);
  const auto rwkv = Make(Small(Kind::rwkv));
  EXPECT_THAT(rwkv->Logits(rwkv->parameters().Bind(), Pass(), ids,
                           RetentionForm::kParallel)
                  .status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "form: expected auto with kind=rwkv"));
}

TEST(RetentionLmTest, PresetsLieBelowWhatIsSet) {
  RetentionLmOptions options;
  options.mutable_model()->set_layers(3);
  SEPTET_ASSERT_OK_AND_ASSIGN(RetNetModelOptions model,
                              WithPreset(options, "1.3b"));
  EXPECT_EQ(model.layers(), 3);
  EXPECT_EQ(model.dim(), 2048);
  EXPECT_EQ(model.decay(), RetNetDecayNames::linspace);
  // What is wide in RetNet is not what is wide in others.
  for (const Kind::Kind kind :
       {Kind::transformer, Kind::linear_transformer, Kind::rwkv}) {
    options.set_kind(kind);
    SEPTET_ASSERT_OK_AND_ASSIGN(*options.mutable_model(),
                                WithPreset(options, "xl"));
    EXPECT_EQ(options.model().dim(), 2048);
    EXPECT_EQ(options.model().ffn_dim(), 0);
    SEPTET_EXPECT_OK(NumRetentionLmParameters(options));
    options.clear_model();
  }
  SEPTET_ASSERT_OK_AND_ASSIGN(model, WithPreset(options, ""));
  EXPECT_FALSE(model.has_dim());
  EXPECT_THAT(WithPreset(options, "xxl"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("'xxl'")));
}

TEST(RetentionLmTest, Errors) {
  const auto expect = [](const RetentionLmOptions& options,
                         const char* message) {
    const auto is =
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message));
    EXPECT_THAT(RetentionLm::Create(options, 1), is);
    EXPECT_THAT(NumRetentionLmParameters(options), is);
    EXPECT_THAT(RetentionLmStateBytes(options, 1), is);
  };
  RetentionLmOptions options = Small(Kind::retnet);
  options.mutable_model()->set_heads(3);
  expect(options, "heads is 3");
  options = Small(Kind::transformer);
  options.mutable_model()->set_heads(3);
  expect(options, "model.heads is 3, expected a divisor of model.dim, 32");
  options.mutable_model()->set_heads(32);
  expect(options, "model.heads is 32, expected heads of an even width");
  options.mutable_model()->set_heads(0);
  expect(options, "model.heads is 0, expected at least 1");
  options = Small(Kind::linear_transformer);
  options.mutable_model()->set_rotary(RetNetRotaryNames::half_rope);
  expect(options, "model.rotary is half_rope");
  options = Small(Kind::transformer);
  options.mutable_model()->set_decay(RetNetDecayNames::fixed);
  expect(options,
         "model.decay is fixed, expected torchscale with kind=transformer, "
         "which has no such option");
  options = Small(Kind::rwkv);
  options.mutable_model()->add_gammas(0.5);
  expect(options, "model.gammas has 1 values, expected none with kind=rwkv");
  options = Small(Kind::rwkv);
  options.mutable_model()->set_dim(0);
  expect(options, "model.dim is 0, expected at least 1");
  options = Small(Kind::rwkv);
  options.mutable_model()->set_layers(-1);
  expect(options, "layers is -1");
  options = Small(Kind::retnet);
  options.set_rwkv_ffn(RwkvFfnNames::glu);
  expect(options, "rwkv_ffn is glu, expected channel_mix with kind=retnet");
}

}  // namespace
}  // namespace septet
