// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/retnet.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/autograd/gradient_checker.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/ops/concat.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/index.h"
#include "septet/core/ops/op_testutil.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/decay.h"
#include "septet/retention/decode_cache.h"
#include "septet/retention/gated_head_norm_kernels.h"
#include "septet/retention/positions.h"
#include "septet/retention/retention.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::HasSubstr;

constexpr int64_t kVocab = 11;

std::vector<int64_t> SomeTokens(int64_t n, int64_t seed = 0) {
  std::vector<int64_t> tokens;
  for (int64_t i = 0; i < n; ++i) tokens.push_back((i * i + 3 * i + seed) % 11);
  return tokens;
}
Tensor Ids(std::vector<int64_t> ids, std::vector<int64_t> dims = {}) {
  if (dims.empty()) dims = {static_cast<int64_t>(ids.size())};
  return *Tensor::FromValues<int64_t>(Shape(dims), ids);
}

struct Model {
  ParameterStore store;
  RetNet net;

  BoundParameters Bind() const { return store.Bind(); }
};

RetNetOptions SmallOptions() {
  RetNetOptions options = DefaultRetNetOptions(kVocab, 8, 2, 2, 12);
  options.retention.chunk_size = 4;
  return options;
}

Model MakeModel(const RetNetOptions& options, DType dtype = DType::kF64) {
  Model model;
  absl::StatusOr<RetNet> net =
      RetNet::Create(options, ParameterScope(&model.store, {1, dtype}));
  SEPTET_EXPECT_OK(net);
  model.net = *std::move(net);
  return model;
}

std::vector<RetNetOptions> Variants() {
  std::vector<RetNetOptions> variants;
  for (const ScoreNorm norm :
       {ScoreNorm::kNone, ScoreNorm::kDecay, ScoreNorm::kPaper}) {
    variants.push_back(SmallOptions());
    variants.back().retention.score_norm = norm;
  }
  RetNetOptions& affine = variants[0];
  affine.retention.rotary = RetNetRotary::kHalfRope;
  affine.retention.head_norm = HeadNorm::kRmsAffine;
  affine.embedding_norm = true;
  RetNetOptions& learned = variants[1];
  learned.retention.learnable_decay = true;
  learned.retention.rotary = RetNetRotary::kNone;
  learned.tied_head = true;
  RetNetOptions& deep = variants[2];
  deep.placement = RetNetPlacement::kDeepNorm;
  deep.retention.gate = false;
  return variants;
}

TEST(RetNetTest, FormsAgree) {
  for (const RetNetOptions& options : Variants()) {
    const Model model = MakeModel(options);
    RetNetInput input;
    input.tokens = Ids(SomeTokens(26), {2, 13});
    input.form = RetentionForm::kRecurrent;
    const Var want = model.net.Forward(model.Bind(), Pass(), input);
    SEPTET_ASSERT_OK(want.status());
    EXPECT_EQ(want.shape(), Shape({2, 13, kVocab}));
    for (const RetentionForm form :
         {RetentionForm::kParallel, RetentionForm::kChunkwise,
          RetentionForm::kAuto}) {
      input.form = form;
      const Var got = model.net.Forward(model.Bind(), Pass(), input);
      SEPTET_ASSERT_OK(got.status());
      ExpectNear(got.tensor(), want.tensor(), 1e-10);
    }
  }
}

TEST(RetNetTest, PackedSequencesAreApart) {
  for (const RetNetOptions& options : Variants()) {
    const Model model = MakeModel(options);
    const std::vector<std::vector<int64_t>> texts = {
        SomeTokens(5), SomeTokens(1, 2), SomeTokens(9, 4)};
    RetNetInput packed;
    std::vector<int64_t> all;
    std::vector<Var> parts;
    for (const std::vector<int64_t>& text : texts) {
      all.insert(all.end(), text.begin(), text.end());
      RetNetInput one;
      one.tokens = Ids(text, {1, static_cast<int64_t>(text.size())});
      parts.push_back(Squeeze(model.net.Forward(model.Bind(), Pass(), one), 0));
    }
    packed.tokens = Ids(all);
    packed.cu_seqlens = Ids({0, 5, 6, 15});
    const Var got = model.net.Forward(model.Bind(), Pass(), packed);
    SEPTET_ASSERT_OK(got.status());
    ExpectNear(got.tensor(), Concat(parts, 0).tensor(), 1e-10);
  }
}

// Prompts of every length, then a token at a time, and again from a state that
// a segment before has left.
// Padding on either side, which may hold anything, changes nothing; nor does a
// row of padding alone.
TEST(RetNetTest, PaddingIsTakenOut) {
  constexpr int64_t kRows = 4, kTime = 9;
  const std::vector<std::pair<int64_t, int64_t>> spans = {
      {0, 5}, {4, 9}, {3, 3}, {2, 8}};
  std::vector<int64_t> tokens, targets, packed_tokens, packed_targets;
  std::vector<int64_t> offsets = {0};
  Tensor mask = *Tensor::Zeros({kRows, kTime}, DType::kBool);
  for (int64_t b = 0; b < kRows; ++b) {
    const auto [begin, end] = spans[static_cast<size_t>(b)];
    const std::vector<int64_t> text = SomeTokens(kTime + 1, b);
    for (int64_t t = 0; t < kTime; ++t) {
      const bool real = t >= begin && t < end;
      mask.mutable_data<bool>()[b * kTime + t] = real;
      const size_t at = static_cast<size_t>(t);
      tokens.push_back(real ? text[at] : -7);
      targets.push_back(real ? text[at + 1] : 99);
      if (!real) continue;
      packed_tokens.push_back(text[at]);
      packed_targets.push_back(text[at + 1]);
    }
    offsets.push_back(static_cast<int64_t>(packed_tokens.size()));
  }
  for (const RetNetOptions& options : Variants()) {
    const Model model = MakeModel(options);
    std::vector<RetentionState> want_state, got_state, before;
    RetNetInput first;  // what the rows have read already
    first.tokens = Ids(SomeTokens(3 * kRows, 5), {kRows, 3});
    first.final_state = &before;
    SEPTET_ASSERT_OK(model.net.Forward(model.Bind(), Pass(), first).status());
    RetNetInput packed, padded;
    packed.tokens = Ids(packed_tokens);
    packed.cu_seqlens = Ids(offsets);
    packed.state = before;
    packed.final_state = &want_state;
    padded.tokens = Ids(tokens, {kRows, kTime});
    padded.mask = mask;
    padded.state = before;
    padded.final_state = &got_state;
    const auto expect_rows = [&](const Var& got, const Var& want) {
      SEPTET_ASSERT_OK(got);
      SEPTET_ASSERT_OK(want);
      const int64_t width = want.dim(1);
      ASSERT_EQ(got.shape(), Shape({kRows, kTime, width}));
      const double* next = want.tensor().data<double>();
      const double* x = got.tensor().data<double>();
      for (int64_t i = 0; i < kRows * kTime; ++i) {
        for (int64_t j = 0; j < width; ++j, ++x) {
          ASSERT_EQ(*x, mask.data<bool>()[i] ? *next++ : 0) << i;
        }
      }
    };
    expect_rows(model.net.Forward(model.Bind(), Pass(), padded),
                model.net.Forward(model.Bind(), Pass(), packed));
    for (size_t layer = 0; layer < want_state.size(); ++layer) {
      EXPECT_EQ(got_state[layer].position, want_state[layer].position);
      ExpectNear(got_state[layer].s.tensor(), want_state[layer].s.tensor(), 0);
    }
    EXPECT_THAT(got_state[0].position, ElementsAre(8, 8, 3, 9));
    expect_rows(model.net.Hidden(model.Bind(), Pass(), padded),
                model.net.Hidden(model.Bind(), Pass(), packed));
    const Tensor vectors =
        RandomTensor({kRows, kTime, 8}, DType::kF64, 3, -1, 1);
    std::vector<int64_t> real;
    for (int64_t i = 0; i < kRows * kTime; ++i) {
      if (mask.data<bool>()[i]) real.push_back(i);
    }
    const Var some =
        IndexSelect(*vectors.Reshape({kRows * kTime, 8}), 0, Ids(real));
    expect_rows(model.net.HiddenOf(model.Bind(), Pass(), vectors, padded),
                model.net.HiddenOf(model.Bind(), Pass(), some, packed));
    // The loss is the mean of the targets that are there.
    RetNetLossOptions loss;
    loss.z_loss = 0.25;
    Tape tape;
    const BoundParameters p = model.store.Watch(&tape);
    const Var want =
        model.net.Loss(p, Pass(), packed, Ids(packed_targets), loss);
    const Var got =
        model.net.Loss(p, Pass(), padded, Ids(targets, {kRows, kTime}), loss);
    SEPTET_ASSERT_OK(want);
    SEPTET_ASSERT_OK(got);
    EXPECT_EQ(got.tensor().item<double>(), want.tensor().item<double>());
    SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> want_grads,
                                tape.Grad(want, p.trained()));
    SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> got_grads,
                                tape.Grad(got, p.trained()));
    for (size_t i = 0; i < want_grads.size(); ++i) {
      ExpectNear(got_grads[i], want_grads[i], 0);
    }
    // And so is the gradient through what has been filled up with zeros.
    const Var logits = model.net.Forward(p, Pass(), padded);
    SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> filled,
                                tape.Grad(Sum(Square(logits)), p.trained()));
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const std::vector<Tensor> plain,
        tape.Grad(Sum(Square(model.net.Forward(p, Pass(), packed))),
                  p.trained()));
    for (size_t i = 0; i < plain.size(); ++i) {
      ExpectNear(filled[i], plain[i], 1e-12);
    }
  }
}

TEST(RetNetTest, MaskErrors) {
  const Model model = MakeModel(SmallOptions());
  const auto expect = [&](const RetNetInput& input, const std::string& text) {
    const Tensor targets = Ids(SomeTokens(6), {2, 3});
    for (const Var& result :
         {model.net.Forward(model.Bind(), Pass(), input),
          model.net.Hidden(model.Bind(), Pass(), input),
          model.net.Loss(model.Bind(), Pass(), input, targets),
          model.net.HiddenOf(model.Bind(), Pass(),
                             *Tensor::Zeros({2, 3, 8}, DType::kF64), input)}) {
      EXPECT_THAT(result, StatusIs(absl::StatusCode::kInvalidArgument,
                                   HasSubstr(text)));
    }
  };
  RetNetInput input;
  input.tokens = Ids(SomeTokens(6), {2, 3});
  input.mask = *Tensor::Zeros({2, 3}, DType::kBool);
  expect(input, "retnet: mask is false everywhere, expected a token");
  input.mask = *Tensor::Zeros({3, 2}, DType::kBool);
  expect(input,
         "retnet: mask is bool [3, 2], expected bool [B, T], as tokens are [2, "
         "3]");
  input.mask = *Tensor::Zeros({2, 3}, DType::kI64);
  expect(input,
         "retnet: mask is i64 [2, 3], expected bool [B, T], as tokens are [2, "
         "3]");
  input.cu_seqlens = Ids({0, 3, 6});
  expect(input, "retnet: there are mask and cu_seqlens, expected one");
  input.cu_seqlens = {};
  input.mask = *Tensor::Zeros({2, 3}, DType::kBool);
  input.mask.mutable_data<bool>()[4] = true;
  EXPECT_THAT(model.net.Loss(model.Bind(), Pass(), input, Ids(SomeTokens(6))),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "retnet: targets are i64 [6], expected the shape of "
                       "tokens, [2, 3]"));
  EXPECT_THAT(model.net.Loss(model.Bind(), Pass(), input, {}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("targets are not given")));
}

TEST(RetNetTest, PrefillAndDecodingContinueTheText) {
  for (const RetNetOptions& options : Variants()) {
    const Model model = MakeModel(options);
    const BoundParameters p = model.Bind();
    const std::vector<int64_t> text = SomeTokens(14);
    RetNetInput whole;
    whole.tokens = Ids(text, {1, 14});
    std::vector<RetentionState> end;
    whole.final_state = &end;
    const Var want = model.net.Forward(p, Pass(), whole);
    SEPTET_ASSERT_OK(want.status());
    const auto expect_row = [&](const Tensor& logits, int64_t row, int64_t t) {
      ExpectNear(*logits.Slice(0, row, row + 1)->Reshape({kVocab}),
                 *want.tensor().Slice(1, t, t + 1)->Reshape({kVocab}), 1e-10);
    };
    for (int64_t split = 1; split < 14; ++split) {
      // Two rows at different places in the text.
      const int64_t second = 14 - split;
      SEPTET_ASSERT_OK_AND_ASSIGN(
          RetNetPrefill prompt,
          model.net.Prefill(p, {{text.begin(), text.begin() + split},
                                {text.begin(), text.begin() + second}}));
      EXPECT_THAT(prompt.cache.positions(),
                  testing::ElementsAre(split, second));
      Tensor logits = prompt.logits;
      for (int64_t t = 0;; ++t) {
        expect_row(logits, 0, split + t - 1);
        expect_row(logits, 1, second + t - 1);
        if (std::max(split, second) + t >= 14) break;
        const Tensor next = Ids({text[static_cast<size_t>(split + t)],
                                 text[static_cast<size_t>(second + t)]});
        SEPTET_ASSERT_OK_AND_ASSIGN(
            logits, model.net.DecodeStep(p, next, &prompt.cache));
      }
      // In two segments.
      RetNetInput part;
      std::vector<RetentionState> state;
      std::vector<Var> logits_of_parts;
      part.tokens = Ids({text.begin(), text.begin() + split}, {1, split});
      part.final_state = &state;
      logits_of_parts.push_back(model.net.Forward(p, Pass(), part));
      const std::vector<RetentionState> carried = state;
      part.tokens = Ids({text.begin() + split, text.end()}, {1, 14 - split});
      part.state = carried;
      logits_of_parts.push_back(model.net.Forward(p, Pass(), part));
      ExpectNear(Concat(logits_of_parts, 1).tensor(), want.tensor(), 1e-10);
      ExpectNear(state[1].s.tensor(), end[1].s.tensor(), 1e-10);
    }
  }
}

TEST(RetNetTest, LayersAreShownToTheObserver) {
  const Model model = MakeModel(SmallOptions());
  const BoundParameters p = model.Bind();
  std::vector<RetNetLayerView> views;
  RetNetInput input;
  input.tokens = Ids(SomeTokens(10), {2, 5});
  input.observer = [&](const RetNetLayerView& view) { views.push_back(view); };
  const Var want = model.net.Forward(p, Pass(), input);
  SEPTET_ASSERT_OK(want.status());
  ASSERT_THAT(views, testing::SizeIs(2));
  for (int64_t layer = 0; layer < 2; ++layer) {
    const RetNetLayerView& view = views[static_cast<size_t>(layer)];
    EXPECT_EQ(view.layer, layer);
    EXPECT_EQ(view.out.shape(), Shape({2, 5, 8}));
    const RetentionView& core = view.retention;
    EXPECT_EQ(core.q.shape(), Shape({2, 5, 2, 4}));
    const Var out = Retention(core.q, core.k, core.v, core.log_gamma, {}).out;
    SEPTET_ASSERT_OK(out.status());
    ExpectNear(core.out.tensor(), out.tensor(), 1e-12);
  }
  // Steps give the last layer what the whole pass gives.
  SEPTET_ASSERT_OK_AND_ASSIGN(DecodeCache cache,
                              model.net.MakeCache(2, DType::kF64));
  std::vector<RetNetLayerView> steps;
  const Tensor first = *input.tokens.Slice(1, 0, 1)->Contiguous();
  SEPTET_ASSERT_OK(model.net
                       .DecodeStep(p, *first.Reshape({2}), &cache,
                                   [&](const RetNetLayerView& view) {
                                     steps.push_back(view);
                                   })
                       .status());
  ASSERT_THAT(steps, testing::SizeIs(2));
  for (size_t layer = 0; layer < 2; ++layer) {
    EXPECT_EQ(steps[layer].layer, views[layer].layer);
    ExpectNear(steps[layer].out.tensor(),
               *views[layer].out.tensor().Slice(1, 0, 1)->Contiguous()->Reshape(
                   {2, 8}),
               1e-12);
  }
  // Chunks of another size than the options'.
  input.form = RetentionForm::kChunkwise;
  for (const int64_t chunk_size : {1, 3, 100}) {
    input.chunk_size = chunk_size;
    const Var got = model.net.Forward(p, Pass(), input);
    SEPTET_ASSERT_OK(got.status());
    ExpectNear(got.tensor(), want.tensor(), 1e-10);
  }
  input.chunk_size = -1;
  EXPECT_THAT(model.net.Forward(p, Pass(), input).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("chunk_size is -1")));
}

TEST(RetNetTest, Gradients) {
  for (RetNetOptions options : Variants()) {
    // Of kPaper the divisor is a constant in the gradient alone.
    if (options.retention.score_norm == ScoreNorm::kPaper) continue;
    options.dim = 4;
    options.value_dim = 4;
    options.ffn_dim = 3;
    options.layers = 1;
    options.vocab_size = 5;
    const Model model = MakeModel(options);
    const BoundParameters p = model.Bind();
    RetNetInput input;
    input.tokens = Ids({1, 0, 4, 2, 1, 3}, {1, 6});
    const Tensor targets = Ids({0, 4, 2, -100, 3, 1}, {1, 6});
    RetNetLossOptions loss;
    loss.z_loss = 0.3;
    GradientCheckOptions check;
    check.check_second_order = false;
    check.tolerance = 1e-6;
    std::vector<Tensor> values(model.store.trained().begin(),
                               model.store.trained().end());
    SEPTET_EXPECT_OK(CheckGradients(
        [&](absl::Span<const Var> in) {
          return model.net.Loss(p.With(in), Pass(), input, targets, loss);
        },
        values, check));
  }
}

TEST(RetNetTest, LossIsTheMeanOfTheTargetsThatCount) {
  const Model model = MakeModel(SmallOptions());
  RetNetInput input;
  input.tokens = Ids(SomeTokens(4), {1, 4});
  const std::vector<double> logits =
      model.net.Forward(model.Bind(), Pass(), input)
          .tensor()
          .ToVector<double>();
  double loss = 0, square = 0;
  for (const int64_t t : {0, 2}) {
    double sum = 0;
    for (int64_t v = 0; v < kVocab; ++v) {
      sum += std::exp(logits[static_cast<size_t>(t * kVocab + v)]);
    }
    loss += std::log(sum) - logits[static_cast<size_t>(t * kVocab + 7)];
    square += std::log(sum) * std::log(sum);
  }
  const Tensor targets = Ids({7, -1, 7, -1}, {1, 4});
  RetNetLossOptions options;
  options.ignore_index = -1;
  const auto item = [](const Var& x) { return x.tensor().item<double>(); };
  EXPECT_NEAR(
      item(model.net.Loss(model.Bind(), Pass(), input, targets, options)),
      loss / 2, 1e-12);
  options.z_loss = 0.25;
  EXPECT_NEAR(
      item(model.net.Loss(model.Bind(), Pass(), input, targets, options)),
      loss / 2 + 0.25 * square / 2, 1e-12);
}

TEST(RetNetTest, VectorsInThePlaceOfEmbeddings) {
  const Model model = MakeModel(SmallOptions());
  const BoundParameters p = model.Bind();
  RetNetInput input;
  input.tokens = Ids(SomeTokens(6), {2, 3});
  const Var vectors = Embedding(p[model.net.embedding()], input.tokens);
  ExpectNear(model.net.HiddenOf(p, Pass(), vectors, input).tensor(),
             model.net.Hidden(p, Pass(), input).tensor(), 0);
}

TEST(RetNetTest, DropoutIsAFunctionOfTheStep) {
  RetNetOptions options = SmallOptions();
  options.retention.dropout = options.ffn_dropout = 0.5;
  options.embedding_dropout = 0.5;
  const Model model = MakeModel(options);
  RetNetInput input;
  input.tokens = Ids(SomeTokens(6), {1, 6});
  const auto logits = [&](const Pass& pass) {
    return model.net.Forward(model.Bind(), pass, input)
        .tensor()
        .ToVector<double>();
  };
  EXPECT_EQ(logits(Pass::Training(1, 3)), logits(Pass::Training(1, 3)));
  EXPECT_NE(logits(Pass::Training(1, 3)), logits(Pass::Training(1, 4)));
  EXPECT_NE(logits(Pass::Training(1, 3)), logits(Pass()));
}

TEST(RetNetTest, ParameterCounts) {
  // The desk models of the specification: 123200 parameters.
  ParameterStore desk;
  SEPTET_ASSERT_OK(RetNet::Create(DefaultRetNetOptions(256, 64, 2, 2),
                                  ParameterScope(&desk, {1}))
                       .status());
  EXPECT_EQ(desk.NumElements(), 123200);
}

TEST(RetNetTest, OptionErrors) {
  const auto expect = [](const RetNetOptions& options,
                         const std::string& message) {
    ParameterStore store;
    EXPECT_THAT(
        RetNet::Create(options, ParameterScope(&store, {1})),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
  };
  RetNetOptions options = SmallOptions();
  options.retention.heads = 3;
  expect(options,
         "multi-scale retention: heads is 3, expected a divisor of dim, which "
         "is 8");
  options.retention.heads = 8;
  expect(options, "heads is 8, expected a divisor of value_dim, which is 12");
  options.value_dim = 16;
  expect(options,
         "the width of a head's keys is 1, expected an even number >= 2 to "
         "rotate pairs");
  options = SmallOptions();
  options.retention.decay.kind = DecayKind::kFixed;
  options.retention.decay.fixed = 1.5;
  expect(options, "decay: fixed is 1.5, expected a gamma in (0, 1]");
  options.retention.decay.fixed = 1;
  options.retention.learnable_decay = true;
  expect(options,
         "gamma of head 0 is 1, expected less than 1 where it is learned");
  options = SmallOptions();
  options.retention.learnable_decay = true;
  options.retention.score_norm = ScoreNorm::kTorchscale;
  expect(options, "expected false with the score norms of torchscale");
  options = SmallOptions();
  options.retention.chunk_size = 0;
  expect(options, "chunk_size is 0, expected >= 1");
  options = SmallOptions();
  options.embedding_scale = std::nan("");
  expect(options, "retnet: embedding_scale is nan, expected finite");
  options = SmallOptions();
  options.vocab_size = 0;
  expect(options, "retnet: vocab_size is 0, expected >= 1");
}

TEST(RetNetTest, InputErrors) {
  const Model model = MakeModel(SmallOptions());
  const BoundParameters p = model.Bind();
  const auto expect = [&](const RetNetInput& input,
                          const std::string& message) {
    EXPECT_THAT(
        model.net.Forward(p, Pass(), input).status(),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
  };
  RetNetInput input;
  expect(input, "retnet: tokens are not given");
  input.tokens = Ids({1, 2});
  expect(input, "retnet: tokens are [2], expected [B, T]");
  input.cu_seqlens = Ids({0, 1});
  expect(input,
         "retnet: cu_seqlens goes from 0 to 1, expected 0 to the 2 tokens, "
         "without a descent");
  input.cu_seqlens = Ids({2});
  expect(input, "retnet: cu_seqlens is i64 [1], expected i64 [N + 1]");
  input.cu_seqlens = Tensor();
  input.tokens = Ids({1, kVocab}, {1, 2});
  expect(input, "11");
  input.tokens = Ids({1, 2}, {1, 2});
  std::vector<RetentionState> state(1);
  input.state = state;
  expect(input, "there are 1 states, expected one for each of 2 layers");
  state.resize(2);
  state[1].position = {3};
  input.state = state;
  expect(input,
         "the states have 1 positions, expected the same 1 in all layers");
}

TEST(RetNetTest, DecodingErrors) {
  const Model model = MakeModel(SmallOptions());
  const BoundParameters p = model.Bind();
  const auto invalid = [](const std::string& message) {
    return StatusIs(absl::StatusCode::kInvalidArgument, Eq(message));
  };
  EXPECT_THAT(model.net.Prefill(p, {}),
              invalid("retnet: there are no prompts, expected at least one"));
  EXPECT_THAT(model.net.Prefill(p, {{1}, {}}),
              invalid("retnet: prompts[1] is empty, expected at least one "
                      "token"));
  EXPECT_THAT(model.net.Prefill(p, {{1, -1}}),
              invalid("retnet: prompts[0][1] is -1, expected a token in 0 to "
                      "10"));
  SEPTET_ASSERT_OK_AND_ASSIGN(RetNetPrefill prompt,
                              model.net.Prefill(p, {{1, 2}}));
  EXPECT_THAT(model.net.DecodeStep(p, Ids({1, 2}), &prompt.cache),
              invalid("retnet: tokens are i64 [2], expected [1], one for each "
                      "row of the cache"));
  EXPECT_THAT(model.net.DecodeStep(p, Ids({kVocab}), &prompt.cache),
              StatusIs(absl::StatusCode::kInvalidArgument, testing::_));
  Tape tape;
  EXPECT_THAT(
      model.net.DecodeStep(model.store.Watch(&tape), Ids({1}), &prompt.cache),
      StatusIs(absl::StatusCode::kFailedPrecondition,
               HasSubstr("parameters are on a tape")));
  RetNetOptions other = SmallOptions();
  other.layers = 1;
  SEPTET_ASSERT_OK_AND_ASSIGN(DecodeCache cache,
                              MakeModel(other).net.MakeCache(1, DType::kF64));
  EXPECT_THAT(model.net.DecodeStep(p, Ids({1}), &cache),
              invalid("retnet: the cache has 1 layers of 2 heads of 4 by 6 "
                      "f64, expected 2 of 2 of 4 by 6 f64"));
  EXPECT_THAT(prompt.cache.positions(), testing::ElementsAre(2));
  // A weight that is not a number is found where it shows first.
  SEPTET_ASSERT_OK_AND_ASSIGN(const ParameterId id,
                              model.store.Find("layers.1.ffn.fc2.weight"));
  model.store.tensor(id).mutable_data<double>()[0] = std::nan("");
  EXPECT_THAT(model.net.DecodeStep(p, Ids({1}), &prompt.cache),
              StatusIs(absl::StatusCode::kInternal,
                       Eq("retnet: the output of layer 1 is not finite")));
}

}  // namespace
}  // namespace septet
