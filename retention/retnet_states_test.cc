// SPDX-License-Identifier: Apache-2.0
// What is carried from one call to the next, over all options and both dtypes:
// states of segments, their gradients, caches; and what cannot be.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/autograd/gradient_checker.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/nn/feed_forward.h"
#include "septet/core/nn/norm_layer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/ops/activation_kind.h"
#include "septet/core/ops/concat.h"
#include "septet/core/ops/op_testutil.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/decay.h"
#include "septet/retention/decode_cache.h"
#include "septet/retention/gated_head_norm_kernels.h"
#include "septet/retention/positions.h"
#include "septet/retention/retention.h"
#include "septet/retention/retnet.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::HasSubstr;

constexpr int64_t kVocab = 11;

Tensor Integers(const Shape& shape, const std::vector<int64_t>& values) {
  return Tensor::FromValues<int64_t>(shape, values).value();
}

std::vector<int64_t> RandomTokens(int64_t count, uint32_t stream) {
  std::vector<int64_t> tokens;
  for (const double x : RandomTensor({count}, DType::kF64, stream, 0, kVocab)
                            .ToVector<double>()) {
    tokens.push_back(static_cast<int64_t>(x));
  }
  return tokens;
}

// A model and its parameters, which are all random: first values of 0 or 1
// would hide what stands behind them.
struct Model {
  ParameterStore store;
  RetNet net;

  Model(const RetNetOptions& options, DType dtype) {
    absl::StatusOr<RetNet> made =
        RetNet::Create(options, ParameterScope(&store, {1, dtype}));
    SEPTET_EXPECT_OK(made);
    if (made.ok()) net = *std::move(made);
    uint32_t stream = 50;
    for (const Tensor& x : store.trained()) {
      SEPTET_EXPECT_OK(
          x.CopyFrom(RandomTensor(x.shape(), dtype, stream++, -0.6, 0.7)));
    }
  }
};

RetNetOptions Small(int64_t dim = 12, int64_t layers = 2, int64_t heads = 2) {
  RetNetOptions options =
      DefaultRetNetOptions(kVocab, dim, layers, heads, heads * 5);
  options.ffn_dim = 7;
  options.retention.chunk_size = 4;
  return options;
}

struct Kind {
  std::string name;
  RetNetOptions options;
};

// Between them every option but dropout and the norms of torchscale.
std::vector<Kind> Kinds() {
  std::vector<Kind> kinds = {{"default", Small()}};
  RetNetOptions paper = Small();
  paper.retention.score_norm = ScoreNorm::kPaper;
  paper.retention.head_norm = HeadNorm::kLayer;
  paper.retention.decay.kind = DecayKind::kLinspace;
  paper.norm = NormKind::kLayer;
  paper.norm_eps = 1e-5;
  paper.ffn = FeedForwardKind::kMlp;
  paper.activation = ActivationKind::kGelu;
  paper.embedding_norm = true;
  paper.embedding_scale = 2;
  kinds.push_back({"paper", paper});
  RetNetOptions deep = Small();
  deep.placement = RetNetPlacement::kDeepNorm;
  deep.retention.bias = true;
  deep.retention.head_norm = HeadNorm::kRmsAffine;
  deep.retention.rotary = RetNetRotary::kHalfRope;
  deep.retention.score_norm = ScoreNorm::kNone;
  deep.retention.learnable_decay = true;
  deep.ffn_bias = true;
  deep.ffn_hidden_norm = NormKind::kLayer;
  deep.tied_head = true;
  kinds.push_back({"deepnorm, learned decay", deep});
  RetNetOptions bare = Small(9, 1, 3);  // keys of 3, which is odd
  bare.placement = RetNetPlacement::kPost;
  bare.retention.rotary = RetNetRotary::kNone;
  bare.retention.gate = false;
  bare.retention.head_norm = HeadNorm::kNone;
  bare.retention.decay.kind = DecayKind::kNone;
  kinds.push_back({"post-norm, no gate, norm, rotation or decay", bare});
  RetNetOptions quirk = Small();
  quirk.placement = RetNetPlacement::kDeepNormPreNormQuirk;
  quirk.retention.decay.kind = DecayKind::kFixed;
  kinds.push_back({"deepnorm that is pre-norm", quirk});
  RetNetOptions none = Small();
  none.layers = 0;
  kinds.push_back({"no layers", none});
  return kinds;
}

Tensor Logits(const Model& m, const RetNetInput& input) {
  const Var logits = m.net.Forward(m.store.Bind(), Pass(), input);
  SEPTET_EXPECT_OK(logits.status());
  return logits.ok() ? logits.tensor() : Tensor();
}

TEST(RetNetStatesTest, FormsAgree) {
  for (const DType dtype : {DType::kF64, DType::kF32}) {
    for (const Kind& kind : Kinds()) {
      SCOPED_TRACE(kind.name);
      const Model m(kind.options, dtype);
      RetNetInput input;
      input.tokens = Integers({2, 13}, RandomTokens(26, 1));
      input.form = RetentionForm::kRecurrent;
      const Tensor want = Logits(m, input);
      ASSERT_EQ(want.shape(), Shape({2, 13, kVocab}));
      for (const RetentionForm form :
           {RetentionForm::kAuto, RetentionForm::kParallel,
            RetentionForm::kChunkwise}) {
        input.form = form;
        ExpectNear(Logits(m, input), want, dtype == DType::kF64 ? 1e-11 : 2e-5);
      }
      // And causal: later tokens change nothing.
      std::vector<int64_t> others = RandomTokens(26, 1);
      for (const size_t at : {12, 25}) others[at] = (others[at] + 1) % kVocab;
      input.tokens = Integers({2, 13}, others);
      const Tensor changed = Logits(m, input);
      input.tokens = Integers({2, 13}, RandomTokens(26, 1));
      EXPECT_EQ(changed.Slice(1, 0, 12)->ToVector<double>(),
                Logits(m, input).Slice(1, 0, 12)->ToVector<double>());
      EXPECT_NE(changed.ToVector<double>(), want.ToVector<double>());
    }
  }
}

// In two pieces, the second from the state behind the first.
TEST(RetNetStatesTest, SegmentsAgree) {
  for (const Kind& kind : Kinds()) {
    SCOPED_TRACE(kind.name);
    const Model m(kind.options, DType::kF64);
    const std::vector<int64_t> tokens = RandomTokens(26, 1);
    const Tensor all = Integers({2, 13}, tokens);
    RetNetInput input;
    input.tokens = all;
    const Tensor want = Logits(m, input);
    for (const int64_t split : {1, 4, 7, 12}) {
      std::vector<RetentionState> state;
      std::vector<Var> parts;
      for (const auto& [begin, end] :
           {std::pair<int64_t, int64_t>{0, split}, {split, 13}}) {
        const std::vector<RetentionState> before = state;
        RetNetInput part;
        part.tokens = *all.Slice(1, begin, end);
        part.state = before;
        part.final_state = &state;
        parts.push_back(Logits(m, part));
      }
      ExpectNear(Concat(parts, 1).tensor(), want, 1e-11);
      ASSERT_EQ(static_cast<int64_t>(state.size()), kind.options.layers);
      for (const RetentionState& s : state) {
        EXPECT_THAT(s.position, ElementsAre(13, 13));
      }
    }
  }
}

// A state may be written over the one that was read.
TEST(RetNetStatesTest, StatesInPlace) {
  const Model m(Small(), DType::kF64);
  const Tensor all = Integers({1, 9}, RandomTokens(9, 1));
  RetNetInput whole;
  whole.tokens = all;
  std::vector<RetentionState> state;
  Tensor last;
  for (int64_t t = 0; t < 9; ++t) {
    RetNetInput part;
    part.tokens = *all.Slice(1, t, t + 1);
    part.state = state;
    part.final_state = &state;
    last = Logits(m, part);
  }
  ExpectNear(last, *Logits(m, whole).Slice(1, 8, 9), 1e-11);
}

// Prompts of different lengths, then tokens one by one, are the forward pass.
TEST(RetNetStatesTest, DecodingIsTheForwardPass) {
  for (const DType dtype : {DType::kF64, DType::kF32}) {
    std::vector<Kind> kinds = Kinds();
    // Their recurrent form is what Prefill and DecodeStep compute.
    kinds.push_back({"torchscale", Small()});
    kinds.back().options.retention.score_norm = ScoreNorm::kTorchscale;
    for (const Kind& kind : kinds) {
      SCOPED_TRACE(kind.name);
      const double tolerance = dtype == DType::kF64 ? 1e-11 : 2e-5;
      const Model m(kind.options, dtype);
      const BoundParameters p = m.store.Bind();
      const std::vector<std::vector<int64_t>> all = {
          RandomTokens(15, 1), RandomTokens(6, 2), RandomTokens(10, 3)};
      const std::vector<int64_t> lengths = {10, 1, 5};
      std::vector<std::vector<int64_t>> prompts;
      std::vector<Tensor> want;
      for (size_t i = 0; i < 3; ++i) {
        prompts.emplace_back(all[i].begin(), all[i].begin() + lengths[i]);
        RetNetInput input;
        const int64_t length = static_cast<int64_t>(all[i].size());
        input.tokens = Integers({1, length}, all[i]);
        input.form = RetentionForm::kRecurrent;
        want.push_back(*Logits(m, input).Reshape({length, kVocab}));
      }
      SEPTET_ASSERT_OK_AND_ASSIGN(RetNetPrefill read,
                                  m.net.Prefill(p, prompts));
      ASSERT_EQ(read.logits.shape(), Shape({3, kVocab}));
      const int64_t bytes = read.cache.bytes();
      Tensor logits = read.logits;
      for (int64_t step = 0;; ++step) {
        std::vector<int64_t> next;
        for (int64_t i = 0; i < 3; ++i) {
          const size_t at = static_cast<size_t>(i);
          const int64_t last = lengths[at] - 1 + step;
          EXPECT_EQ(read.cache.positions()[at], last + 1);
          ExpectNear(*logits.Slice(0, i, i + 1),
                     *want[at].Slice(0, last, last + 1), tolerance);
          if (step < 5) next.push_back(all[at][static_cast<size_t>(last + 1)]);
        }
        if (step == 5) break;
        SEPTET_ASSERT_OK_AND_ASSIGN(
            logits, m.net.DecodeStep(p, Integers({3}, next), &read.cache));
      }
      EXPECT_EQ(read.cache.bytes(), bytes);
    }
  }
}

TEST(RetNetStatesTest, CachesCanBeBranchedAndJoined) {
  const Model m(Kinds()[1].options, DType::kF64);  // with key sums
  const BoundParameters p = m.store.Bind();
  SEPTET_ASSERT_OK_AND_ASSIGN(RetNetPrefill read,
                              m.net.Prefill(p, {{1, 2, 3}, {4, 5}}));
  SEPTET_ASSERT_OK_AND_ASSIGN(DecodeCache beams, read.cache.Select({1, 0, 1}));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Tensor branched,
      m.net.DecodeStep(p, Integers({3}, {6, 7, 8}), &beams));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Tensor want,
      m.net.DecodeStep(p, Integers({2}, {7, 8}), &read.cache));
  ExpectNear(*branched.Slice(0, 1, 3), want, 1e-13);
  EXPECT_THAT(beams.positions(), ElementsAre(3, 4, 3));
  SEPTET_ASSERT_OK_AND_ASSIGN(DecodeCache fresh,
                              m.net.MakeCache(1, DType::kF64));
  SEPTET_ASSERT_OK(fresh.Append(read.cache));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Tensor joined,
      m.net.DecodeStep(p, Integers({3}, {1, 2, 3}), &fresh));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Tensor apart,
      m.net.DecodeStep(p, Integers({2}, {2, 3}), &read.cache));
  ExpectNear(*joined.Slice(0, 1, 3), apart, 1e-13);
  RetNetInput first;
  first.tokens = Integers({1, 1}, {1});
  ExpectNear(*joined.Slice(0, 0, 1), *Logits(m, first).Reshape({1, kVocab}),
             1e-13);
}

// Truncated backpropagation: states behind a segment may be detached.
TEST(RetNetStatesTest, GradientsGoThroughStatesUnlessDetached) {
  const Model m(Small(), DType::kF64);
  const Tensor all = Integers({1, 8}, RandomTokens(8, 1));
  const Tensor targets = Integers({1, 8}, RandomTokens(8, 2));
  std::vector<std::vector<Tensor>> results;
  for (const int way : {0, 1, 2}) {  // at once, in segments, detached
    Tape tape;
    const BoundParameters p = m.store.Watch(&tape);
    std::vector<RetentionState> state;
    RetNetInput first, second;
    first.tokens = *all.Slice(1, 0, 5);
    first.final_state = &state;
    Var loss;
    if (way == 0) {
      RetNetInput whole;
      whole.tokens = all;
      std::vector<int64_t> counted = targets.ToVector<int64_t>();
      std::fill_n(counted.begin(), 5, -100);
      loss = m.net.Loss(p, Pass(), whole, Integers({1, 8}, counted));
    } else {
      SEPTET_ASSERT_OK(m.net.Forward(p, Pass(), first).status());
      for (RetentionState& s : state) {
        if (way == 2) s.s = s.s.Detach();
      }
      second.tokens = *all.Slice(1, 5, 8);
      second.state = state;
      loss = m.net.Loss(p, Pass(), second, *targets.Slice(1, 5, 8));
    }
    SEPTET_ASSERT_OK_AND_ASSIGN(std::vector<Tensor> grads,
                                tape.Grad(loss, p.trained()));
    results.push_back(std::move(grads));
  }
  double change = 0;
  for (size_t i = 0; i < results[0].size(); ++i) {
    ExpectNear(results[1][i], results[0][i], 1e-11);
    const std::vector<double> a = results[0][i].ToVector<double>();
    const std::vector<double> b = results[2][i].ToVector<double>();
    for (size_t j = 0; j < a.size(); ++j) {
      change = std::max(change, std::abs(a[j] - b[j]));
    }
  }
  EXPECT_GT(change, 1e-3);
}

TEST(RetNetStatesTest, SameBitsForAnyNumberOfThreads) {
  const Model m(Small(), DType::kF32);
  RetNetInput input;
  input.tokens = Integers({3, 40}, RandomTokens(120, 1));
  std::vector<std::vector<std::vector<float>>> results;
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    Tape tape;
    const BoundParameters p = m.store.Watch(&tape);
    const Var loss = m.net.Loss(p, Pass::Training(1, 1), input, input.tokens);
    SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> grads,
                                tape.Grad(loss, p.trained()));
    results.emplace_back();
    for (const Tensor& x : grads) results.back().push_back(x.ToVector<float>());
    results.back().push_back(loss.tensor().ToVector<float>());
  }
  EXPECT_EQ(results[0], results[1]);
}

// The gammas that learning begins with are those that are asked for.
TEST(RetNetStatesTest, LearnedDecaysBeginWhereTheOthersStay) {
  RetNetOptions options = Small(32, 1, 8);
  ParameterStore fixed_store, learned_store;
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const RetNet fixed,
      RetNet::Create(options, ParameterScope(&fixed_store, {1, DType::kF64})));
  options.retention.learnable_decay = true;
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const RetNet learned,
      RetNet::Create(options,
                     ParameterScope(&learned_store, {1, DType::kF64})));
  const Tensor want = fixed.retention(0).LogGamma(fixed_store.Bind()).tensor();
  const Tensor got =
      learned.retention(0).LogGamma(learned_store.Bind()).tensor();
  ASSERT_EQ(got.dtype(), DType::kF64);
  for (size_t h = 0; h < 8; ++h) {
    EXPECT_NEAR(got.ToVector<double>()[h] / want.ToVector<double>()[h], 1,
                1e-13);
  }
}

// Far from the beginning there are still differences of positions alone.
TEST(RetNetStatesTest, SequencesThatBeginFarAway) {
  RetNetOptions options = Small();
  options.retention.score_norm = ScoreNorm::kNone;
  const Model m(options, DType::kF64);
  RetNetInput input;
  input.tokens = Integers({1, 6}, RandomTokens(6, 1));
  const Tensor near = Logits(m, input);
  std::vector<RetentionState> state(2);
  for (RetentionState& s : state) s.position = {1000000};
  input.state = state;
  ExpectNear(Logits(m, input), near, 1e-8);
}

// Of torchscale's forms only the recurrent one has states.
TEST(RetNetStatesTest, AutoWithTorchscaleAndStates) {
  RetNetOptions options = Small();
  options.retention.score_norm = ScoreNorm::kTorchscale;
  const Model m(options, DType::kF64);
  for (const bool training : {false, true}) {
    const Pass pass = training ? Pass::Training(1, 1) : Pass();
    RetNetInput input;
    input.tokens = Integers({1, 12}, RandomTokens(12, 1));
    std::vector<RetentionState> state;
    input.final_state = &state;
    const Var got = m.net.Forward(m.store.Bind(), pass, input);
    SEPTET_ASSERT_OK(got.status());
    input.final_state = nullptr;
    input.form = RetentionForm::kRecurrent;
    EXPECT_EQ(got.tensor().ToVector<double>(),
              Logits(m, input).ToVector<double>());
    EXPECT_THAT(state[1].position, ElementsAre(12));
  }
}

class RetNetStatesErrorTest : public ::testing::Test {
 protected:
  void ExpectForward(const RetNetInput& input, const std::string& message) {
    EXPECT_THAT(
        m_.net.Forward(m_.store.Bind(), Pass(), input).status(),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
  }

  Model m_{Small(), DType::kF32};
};

TEST_F(RetNetStatesErrorTest, Offsets) {
  RetNetInput input;
  input.tokens = Integers({3}, {1, 2, 3});
  input.cu_seqlens = Integers({4}, {0, 2, 1, 3});
  ExpectForward(input,
                "retnet: cu_seqlens goes from 0 to 3, expected 0 to the 3 "
                "tokens, without a descent");
  input.cu_seqlens = RandomTensor({2}, DType::kF32, 1);
  ExpectForward(input, "retnet: cu_seqlens is f32 [2], expected i64");
  input.cu_seqlens = {};
  input.tokens = Integers({1, 0}, {});
  ExpectForward(input, "no rows and no state");
  input.tokens = RandomTensor({1, 2}, DType::kF32, 1);
  ExpectForward(input, "f32 [1, 2]");
}

TEST_F(RetNetStatesErrorTest, States) {
  RetNetInput input;
  input.tokens = Integers({2, 2}, {1, 2, 3, 4});
  std::vector<RetentionState> state(1);
  input.state = state;
  ExpectForward(input,
                "retnet: there are 1 states, expected one for each of 2 "
                "layers");
  state.resize(2);
  input.state = state;
  state[0].position = state[1].position = {1};
  ExpectForward(input,
                "retnet: the states have 1 positions, expected the same 2 in "
                "all layers");
  state[0].position = {1, 1};
  ExpectForward(input, "expected the same 2 in all layers");
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  state[0].position = state[1].position = {0, kMost};
  ExpectForward(input,
                "retnet: a state is at position 9223372036854775807, expected "
                "0 to 9007199254740992");
  state[0].position = state[1].position = {0, -1};
  ExpectForward(input, "retnet: a state is at position -1, expected 0 to");
  state[0].position = state[1].position = {3, 3};
  state[0].s = *Tensor::Zeros({2, 2, 6, 4}, DType::kF32);
  ExpectForward(input, "expected [2, 2, 6, 5]");
}

TEST_F(RetNetStatesErrorTest, Losses) {
  RetNetInput input;
  input.tokens = Integers({1, 2}, {1, 2});
  const BoundParameters p = m_.store.Bind();
  for (const double z : {-1.0, std::nan("")}) {
    EXPECT_THAT(m_.net.Loss(p, Pass(), input, input.tokens, {-100, z}).status(),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("expected a finite number >= 0")));
  }
  for (const double z : {0.0, 1.0}) {
    EXPECT_THAT(
        m_.net.Loss(p, Pass(), input, Integers({1, 3}, {1, 2, 3}), {-100, z})
            .status(),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("[1, 3]")));
    EXPECT_THAT(
        m_.net.Loss(p, Pass(), input, Tensor(), {-100, z}).status(),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not given")));
    EXPECT_THAT(m_.net.Loss(p, Pass(), {}, input.tokens, {-100, z}).status(),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("tokens are not given")));
  }
}

TEST_F(RetNetStatesErrorTest, WhatIsNotFiniteIsNamed) {
  const auto expect = [&](const std::string& name, const std::string& prefill,
                          const std::string& step) {
    const Model m(Small(), DType::kF32);
    SEPTET_ASSERT_OK_AND_ASSIGN(const ParameterId id, m.store.Find(name));
    SEPTET_ASSERT_OK(m.store.tensor(id).CopyFrom(
        *Tensor::Full(m.store.tensor(id).shape(),
                      std::numeric_limits<double>::quiet_NaN(), DType::kF32)));
    const BoundParameters p = m.store.Bind();
    EXPECT_THAT(m.net.Prefill(p, {{1, 2}}),
                StatusIs(absl::StatusCode::kInternal, Eq(prefill)));
    SEPTET_ASSERT_OK_AND_ASSIGN(DecodeCache cache,
                                m.net.MakeCache(1, DType::kF32));
    EXPECT_THAT(m.net.DecodeStep(p, Integers({1}, {1}), &cache),
                StatusIs(absl::StatusCode::kInternal, Eq(step)));
  };
  expect("layers.1.retention.k.weight",
         "retnet: the state of layer 1 is not finite",
         "retnet: the output of layer 1 is not finite");
  expect("layers.0.ffn.fc2.weight",
         "retnet: the state of layer 1 is not finite",
         "retnet: the output of layer 0 is not finite");
  expect("head.weight", "retnet: the logits are not finite",
         "retnet: the logits are not finite");
}

}  // namespace
}  // namespace septet
