// SPDX-License-Identifier: Apache-2.0
// The options of the transformer, its position hook and its cache; values of
// other programs are in transformer_golden_test.
#include "septet/core/nn/transformer.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/autograd/gradient_checker.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/nn/feed_forward.h"
#include "septet/core/nn/initializer.h"
#include "septet/core/nn/kv_cache.h"
#include "septet/core/nn/multi_head_attention.h"
#include "septet/core/nn/norm_layer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/nn/position_encoding.h"
#include "septet/core/nn/rotary_positions.h"
#include "septet/core/ops/activation.h"
#include "septet/core/ops/activation_kind.h"
#include "septet/core/ops/attention.h"
#include "septet/core/ops/concat.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/index.h"
#include "septet/core/ops/layer_norm.h"
#include "septet/core/ops/loss.h"
#include "septet/core/ops/matmul.h"
#include "septet/core/ops/op_testutil.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/ops/rms_norm.h"
#include "septet/core/ops/rotary.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/random/stream.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

Tensor Tokens(const Shape& shape, int64_t vocab, uint32_t stream = 1) {
  const auto x =
      RandomTensor(shape, DType::kF64, stream, 0, static_cast<double>(vocab))
          .ToVector<double>();
  std::vector<int64_t> ids;
  for (const double v : x) ids.push_back(static_cast<int64_t>(v));
  return Tensor::FromValues<int64_t>(shape, ids).value();
}

std::unique_ptr<PositionEncoding> Rotation(int64_t rotary_dim) {
  RotaryPositionsOptions options;
  options.frequencies = RotaryFrequencies(rotary_dim).value();
  return std::make_unique<RotaryPositions>(options);
}

std::unique_ptr<PositionEncoding> Table(int64_t count) {
  LearnedPositionsOptions options;
  options.count = count;
  options.init = Initializer::Normal(0, 1);
  return std::make_unique<LearnedPositions>(options);
}

// A model, its parameters and what they were made from. Weights are larger than
// the presets' so that nothing vanishes.
struct Model {
  ParameterStore store;
  std::unique_ptr<Transformer> transformer;

  Model(TransformerOptions options, std::unique_ptr<PositionEncoding> position,
        DType dtype = DType::kF64) {
    absl::StatusOr<Transformer> made = Transformer::Create(
        options, std::move(position), ParameterScope(&store, {3, dtype}));
    SEPTET_EXPECT_OK(made);
    if (made.ok())
      transformer = std::make_unique<Transformer>(*std::move(made));
  }

  Var Value(const std::string& name) const {
    return store.tensor(store.Find(name).value());
  }
};

TransformerOptions Widened(TransformerOptions options) {
  TransformerInit& init = options.init;
  for (Initializer* field :
       {&init.embedding, &init.query, &init.key, &init.value,
        &init.attention_out, &init.fc1, &init.gate, &init.fc2, &init.head}) {
    *field = Initializer::Normal(0, 0.5);
  }
  init.bias = Initializer::Normal(0, 0.1);
  init.norm_weight = Initializer::Uniform(0.5, 1.5);
  init.norm_bias = Initializer::Normal(0, 0.1);
  return options;
}

// The kinds that differ in what a cache must keep.
std::vector<std::pair<std::string, std::function<Model(DType)>>> Models(
    int64_t vocab = 13, int64_t layers = 2) {
  return {
      {"rotary swiglu, grouped keys",
       [=](DType dtype) {
         TransformerOptions o =
             Widened(RotarySwiGluOptions(vocab, 8, layers, 4));
         o.kv_heads = 2;
         o.head_dim = 6;
         return Model(o, Rotation(4), dtype);
       }},
      {"gpt2",
       [=](DType dtype) {
         return Model(Widened(Gpt2Options(vocab, 8, layers, 2)), Table(16),
                      dtype);
       }},
      {"post-norm, no positions, separate",
       [=](DType dtype) {
         return Model(Widened(ContextualPositionOptions(vocab, 8, layers, 2,
                                                        NormPlacement::kPost)),
                      nullptr, dtype);
       }},
      {"deepnorm, one key head, bias, scale, embedding norm",
       [=](DType dtype) {
         TransformerOptions o = Widened(Gpt2Options(vocab, 8, layers, 4));
         o.placement = NormPlacement::kDeepNorm;
         o.kv_heads = 1;
         o.tied_head = false;
         o.head_bias = true;
         o.embedding_norm = true;
         o.embedding_scale = 2;
         o.attention_scale = 0.3;
         return Model(o, Table(16), dtype);
       }},
  };
}

// ---------------------------------------------------------------------------
// The model's formula, written with ops and names.

Var FullAttention(const Model& m, const std::string& at, const Var& x,
                  const TransformerOptions& o) {
  const int64_t batch = x.dim(0);
  const int64_t time = x.dim(1);
  const int64_t d = o.dim / o.heads;
  const Var qkv =
      Linear(x, m.Value(at + "qkv.weight"), m.Value(at + "qkv.bias"));
  std::vector<Var> heads;
  for (int part = 0; part < 3; ++part) {
    heads.push_back(Reshape(Slice(qkv, 2, part * o.dim, (part + 1) * o.dim),
                            {batch, time, o.heads, d}));
  }
  AttentionOptions options;
  options.layout = AttentionLayout::kBTHD;
  const Var y = Attention(heads[0], heads[1], heads[2], {}, options);
  return Linear(Reshape(y, {batch, time, o.dim}), m.Value(at + "out.weight"),
                m.Value(at + "out.bias"));
}

TEST(TransformerTest, PlacementsFollowTheirFormulas) {
  for (const NormPlacement placement :
       {NormPlacement::kPre, NormPlacement::kPost, NormPlacement::kDeepNorm}) {
    SCOPED_TRACE(static_cast<int>(placement));
    TransformerOptions o = Widened(Gpt2Options(7, 6, 2, 3));
    o.placement = placement;
    o.tied_head = false;
    o.embedding_scale = 1.5;
    o.embedding_norm = true;
    const Model m(o, nullptr);
    const auto norm = [&](const std::string& at, const Var& x) {
      return LayerNorm(x, m.Value(at + ".weight"), m.Value(at + ".bias"), 1e-5);
    };
    const Tensor tokens = Tokens({2, 5}, 7);
    Var x = Linear(OneHot(tokens, 7, DType::kF64), m.Value("embedding.weight"),
                   Var());
    x = norm("embedding_norm", Scale(x, 1.5));
    const double alpha =
        placement == NormPlacement::kDeepNorm ? std::pow(4, 0.25) : 1;
    for (int layer = 0; layer < 2; ++layer) {
      const std::string at = absl::StrCat("layers.", layer, ".");
      const auto branch = [&](const std::string& name,
                              const std::function<Var(const Var&)>& f) {
        if (placement == NormPlacement::kPre) {
          x = Add(x, f(norm(at + name, x)));
        } else {
          x = norm(at + name, Add(Scale(x, alpha), f(x)));
        }
      };
      branch("attn_norm", [&](const Var& in) {
        return FullAttention(m, at + "attn.", in, o);
      });
      branch("ffn_norm", [&](const Var& in) {
        const std::string ffn = at + "ffn.";
        return Linear(GeluTanh(Linear(in, m.Value(ffn + "fc1.weight"),
                                      m.Value(ffn + "fc1.bias"))),
                      m.Value(ffn + "fc2.weight"), m.Value(ffn + "fc2.bias"));
      });
    }
    if (placement == NormPlacement::kPre) x = norm("final_norm", x);
    const Var want = Linear(x, m.Value("head.weight"), Var(), {true});
    const Var got =
        m.transformer->Forward(m.store.Bind(), Pass(), {tokens, {}, {}});
    SEPTET_ASSERT_OK(got);
    ExpectNear(got.tensor(), want.tensor(), 1e-13);
    EXPECT_EQ(m.store.Find("final_norm.weight").ok(),
              placement == NormPlacement::kPre);
  }
}

TEST(TransformerTest, RotarySwiGluFollowsItsFormula) {
  TransformerOptions o = Widened(RotarySwiGluOptions(7, 8, 1, 2));
  const Model m(o, Rotation(4));
  const Tensor tokens = Tokens({1, 4}, 7);
  const auto rms = [&](const std::string& at, const Var& x) {
    return RmsNorm(x, m.Value(at + ".weight"), 1e-6);
  };
  Var x = Linear(OneHot(tokens, 7, DType::kF64), m.Value("embedding.weight"),
                 Var());
  const Var qkv = Linear(rms("layers.0.attn_norm", x),
                         m.Value("layers.0.attn.qkv.weight"), Var());
  std::vector<Var> heads;
  for (int part = 0; part < 3; ++part) {
    heads.push_back(
        Reshape(Slice(qkv, 2, part * 8, (part + 1) * 8), {1, 4, 2, 4}));
  }
  RotaryOptions rotary;
  rotary.time_axis = 1;
  const Tensor frequencies = RotaryFrequencies(4).value();
  AttentionOptions attention;
  attention.layout = AttentionLayout::kBTHD;
  const Var y =
      Attention(Rotary(heads[0], frequencies, rotary),
                Rotary(heads[1], frequencies, rotary), heads[2], {}, attention);
  x = Add(x, Linear(Reshape(y, {1, 4, 8}), m.Value("layers.0.attn.out.weight"),
                    Var()));
  const Var h = rms("layers.0.ffn_norm", x);
  x = Add(
      x, Linear(Mul(Swish(Linear(h, m.Value("layers.0.ffn.fc1.weight"), Var())),
                    Linear(h, m.Value("layers.0.ffn.gate.weight"), Var())),
                m.Value("layers.0.ffn.fc2.weight"), Var()));
  const Var want =
      Linear(rms("final_norm", x), m.Value("head.weight"), Var(), {true});
  const Var got =
      m.transformer->Forward(m.store.Bind(), Pass(), {tokens, {}, {}});
  SEPTET_ASSERT_OK(got);
  ExpectNear(got.tensor(), want.tensor(), 1e-13);
  EXPECT_EQ(m.store.trained().size(), 10u);
}

TEST(TransformerTest, FusedKernelsRun) {
  const Model m = Models()[0].second(DType::kF32);
  DispatchTrace trace;
  SEPTET_ASSERT_OK(m.transformer->Forward(m.store.Bind(), Pass(),
                                          {Tokens({2, 5}, 13), {}, {}}));
  for (const std::string& line : trace.lines()) {
    EXPECT_THAT(line, Not(HasSubstr("composite")));
  }
  EXPECT_THAT(trace.lines(), Contains(HasSubstr("attention cpu/f32")));
}

TEST(TransformerTest, OrderOfParametersAndDecay) {
  TransformerOptions o = Gpt2Options(7, 4, 1, 1);
  o.tied_head = false;
  o.head_bias = true;
  const Model m(o, Table(3));
  EXPECT_THAT(m.store.trained_names(),
              ElementsAre("embedding.weight", "position.weight",
                          "layers.0.attn_norm.weight",
                          "layers.0.attn_norm.bias", "layers.0.attn.qkv.weight",
                          "layers.0.attn.qkv.bias", "layers.0.attn.out.weight",
                          "layers.0.attn.out.bias", "layers.0.ffn_norm.weight",
                          "layers.0.ffn_norm.bias", "layers.0.ffn.fc1.weight",
                          "layers.0.ffn.fc1.bias", "layers.0.ffn.fc2.weight",
                          "layers.0.ffn.fc2.bias", "final_norm.weight",
                          "final_norm.bias", "head.weight", "head.bias"));
  const std::vector<bool> decay = m.store.trained_decay();
  for (size_t i = 0; i < decay.size(); ++i) {
    EXPECT_EQ(decay[i], m.store.trained()[i].rank() == 2)
        << m.store.trained_names()[i];
  }
}

// The sizes that cppo.md 7.3 and retnet.md 8 state.
TEST(TransformerTest, SizesOfTheDocuments) {
  TransformerOptions cppo = Gpt2Options(40, 64, 2, 4, 0.04);
  cppo.tied_head = false;
  cppo.activation = ActivationKind::kGelu;
  const Model policy(cppo, Table(26));
  // 115,329 less the value head, 64-128-1.
  EXPECT_EQ(policy.store.NumElements(), 115329 - (64 * 128 + 128 + 128 + 1));
  const TransformerOptions peer = RotarySwiGluOptions(256, 64, 2, 2);
  EXPECT_EQ(peer.ffn_dim, 160);
}

TEST(TransformerTest, FirstValuesOfThePresets) {
  const auto of = [](const TransformerOptions& o, const std::string& name) {
    const Model m(o, nullptr);
    return m.Value(name).tensor().ToVector<double>();
  };
  const auto normal = [](const std::string& name, int e) {
    return RandomStream::Create(3, "init/" + name).value().Normal(e);
  };
  const auto unit = [](const std::string& name, int e) {
    return 2 * RandomStream::Create(3, "init/" + name).value().Unit(e) - 1;
  };
  const TransformerOptions gpt2 = Gpt2Options(7, 8, 2, 2);
  std::string name = "layers.1.attn.out.weight";
  EXPECT_NEAR(of(gpt2, name)[5], 0.02 / 2 * normal(name, 5), 1e-17);
  name = "layers.0.attn.qkv.weight";
  EXPECT_NEAR(of(gpt2, name)[9], 0.02 * normal(name, 9), 1e-17);

  const TransformerOptions swiglu = RotarySwiGluOptions(7, 8, 2, 2);
  // q's own fans, 8 and 8, although the product has 24 outputs.
  EXPECT_NEAR(of(swiglu, name)[30],
              unit(name, 30) * std::exp2(-2.5) * std::sqrt(6.0 / 16), 1e-15);
  name = "layers.0.ffn.fc2.weight";
  EXPECT_NEAR(of(swiglu, name)[3], unit(name, 3) / std::sqrt(16.0), 1e-15);
  name = "head.weight";
  EXPECT_NEAR(of(swiglu, name)[3], normal(name, 3) / std::sqrt(8.0), 1e-15);

  name = "layers.1.ffn.fc2.weight";
  const double plain = unit(name, 4) / std::sqrt(32.0);
  EXPECT_NEAR(
      of(ContextualPositionOptions(7, 8, 2, 2, NormPlacement::kPost), name)[4],
      plain, 1e-15);
  EXPECT_NEAR(
      of(ContextualPositionOptions(7, 8, 2, 2, NormPlacement::kPre), name)[4],
      plain / 2, 1e-15);

  TransformerOptions deep = swiglu;
  deep.init = DeepNormInit(deep.init, 2);
  EXPECT_NEAR(of(deep, name)[4], of(swiglu, name)[4] / 2, 1e-16);
  name = "layers.1.ffn.gate.weight";
  EXPECT_EQ(of(deep, name), of(swiglu, name));
  // Of the joint weight v alone: columns 16 to 23.
  name = "layers.0.attn.qkv.weight";
  EXPECT_EQ(of(deep, name)[15], of(swiglu, name)[15]);
  EXPECT_NEAR(of(deep, name)[16], of(swiglu, name)[16] / 2, 1e-16);
}

TEST(TransformerTest, GradientsOfEveryParameter) {
  for (const auto& [name, make] : Models(/*vocab=*/5, /*layers=*/1)) {
    SCOPED_TRACE(name);
    const Model m = make(DType::kF64);
    const Tensor tokens = Tokens({2, 3}, 5);
    const Tensor targets = Tokens({2, 3}, 5, 2);
    const BoundParameters p = m.store.Bind();
    GradientCheckOptions options;
    options.tolerance = 1e-6;
    options.check_second_order = false;  // the ops' own tests have it
    options.check_jvp = false;
    SEPTET_EXPECT_OK(CheckGradients(
        [&](absl::Span<const Var> in) {
          return CrossEntropy(
              m.transformer->Forward(p.With(in), Pass(), {tokens, {}, {}}),
              targets);
        },
        {m.store.trained().begin(), m.store.trained().end()}, options));
  }
}

// A batch padded in front, as prompts are for generation: the mask hides the
// padding and positions count from the first token. Values and gradients are
// those of the row alone, with and without keep_self.
TEST(TransformerTest, LeftPaddingChangesNothing) {
  constexpr int64_t kTime = 6;
  constexpr int64_t kPadding = 3;
  const Tensor row = Tokens({1, kTime}, 13);
  const Tensor targets = Tokens({1, kTime}, 13, 9);
  std::vector<int64_t> tokens(kPadding, 5);
  std::vector<int64_t> positions(kPadding, 0);
  for (const int64_t id : row.ToVector<int64_t>()) {
    positions.push_back(static_cast<int64_t>(tokens.size()) - kPadding);
    tokens.push_back(id);
  }
  const Shape shape({1, kTime + kPadding});
  TransformerInput padded;
  padded.tokens = Tensor::FromValues<int64_t>(shape, tokens).value();
  padded.positions = Tensor::FromValues<int64_t>(shape, positions).value();
  const Tensor mask = Tensor::Full(shape, 1, DType::kBool).value();
  std::fill_n(mask.mutable_data<bool>(), kPadding, false);
  padded.mask.key_mask = mask;
  for (const auto& [name, make] : Models()) {
    SCOPED_TRACE(name);
    const Model m = make(DType::kF64);
    const auto run = [&](const TransformerInput& input) {
      Tape tape;
      const BoundParameters p = m.store.Watch(&tape);
      const Var all = m.transformer->Forward(p, Pass(), input);
      const Var logits = Slice(all, 1, all.dim(1) - kTime, all.dim(1));
      std::vector<Tensor> results =
          tape.Grad(CrossEntropy(logits, targets), p.trained()).value();
      results.push_back(logits.tensor().Contiguous().value());
      return results;
    };
    const std::vector<Tensor> want = run({row, {}, {}});
    for (const bool keep_self : {false, true}) {
      padded.mask.keep_self = keep_self;
      const std::vector<Tensor> got = run(padded);
      ASSERT_EQ(got.size(), want.size());
      for (size_t i = 0; i < want.size(); ++i) {
        ExpectNear(got[i], want[i], 1e-12);
      }
    }
  }
}

TEST(TransformerTest, DropoutInFivePlaces) {
  const Tensor tokens = Tokens({2, 5}, 13);
  double TransformerOptions::*const places[] = {
      &TransformerOptions::embedding_dropout,
      &TransformerOptions::attention_dropout,
      &TransformerOptions::attention_out_dropout,
      &TransformerOptions::ffn_hidden_dropout,
      &TransformerOptions::ffn_dropout};
  const TransformerOptions plain = Widened(Gpt2Options(13, 8, 2, 2));
  const auto run = [&](const Model& m, const Pass& pass) {
    return m.transformer->Forward(m.store.Bind(), pass, {tokens, {}, {}})
        .tensor()
        .ToVector<double>();
  };
  const auto without = run(Model(plain, nullptr), Pass::Training(5, 1));
  std::vector<std::vector<double>> seen = {without};
  for (const auto place : places) {
    TransformerOptions o = plain;
    o.*place = 0.3;
    const Model m(o, nullptr);
    EXPECT_EQ(run(m, Pass()), without);
    const auto dropped = run(m, Pass::Training(5, 1));
    EXPECT_EQ(run(m, Pass::Training(5, 1)), dropped);
    EXPECT_NE(run(m, Pass::Training(5, 2)), dropped);
    for (const auto& other : seen) EXPECT_NE(dropped, other);
    seen.push_back(dropped);
  }
  // The gradient goes through the same masks.
  TransformerOptions o = Widened(Gpt2Options(5, 4, 1, 2));
  for (const auto place : places) o.*place = 0.3;
  const Model m(o, nullptr);
  const Tensor few = Tokens({1, 3}, 5);
  GradientCheckOptions options;
  options.tolerance = 1e-6;
  options.check_second_order = false;
  options.check_jvp = false;
  const BoundParameters p = m.store.Bind();
  SEPTET_EXPECT_OK(CheckGradients(
      [&](absl::Span<const Var> in) {
        return CrossEntropy(
            m.transformer->Forward(p.With(in), Pass::Training(5, 1),
                                   {few, {}, {}}),
            few);
      },
      {m.store.trained().begin(), m.store.trained().end()}, options));
}

TEST(TransformerTest, ThreadsChangeNoBit) {
  const Model m = Models()[0].second(DType::kF32);
  const Tensor tokens = Tokens({3, 40}, 13);
  const auto run = [&] {
    Tape tape;
    const BoundParameters p = m.store.Watch(&tape);
    const Var loss = CrossEntropy(
        m.transformer->Forward(p, Pass::Training(1, 1), {tokens, {}, {}}),
        tokens);
    const std::vector<Tensor> grads = tape.Grad(loss, p.trained()).value();
    std::vector<std::vector<float>> result;
    for (const Tensor& g : grads) result.push_back(g.ToVector<float>());
    return result;
  };
  const auto one = run();
  for (const int threads : {2, 3}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    EXPECT_EQ(run(), one);
  }
}

// ---------------------------------------------------------------------------
// The cache.

Tensor Columns(const Tensor& x, int64_t begin, int64_t end) {
  return x.Slice(1, begin, end).value().Contiguous().value();
}

TEST(TransformerCacheTest, StepsGiveTheLogitsOfTheWhole) {
  for (const auto& [name, make] : Models()) {
    for (const DType dtype : {DType::kF64, DType::kF32}) {
      SCOPED_TRACE(name);
      const Model m = make(dtype);
      const Tensor tokens = Tokens({3, 9}, 13);
      const BoundParameters p = m.store.Bind();
      const Tensor whole =
          m.transformer->Forward(p, Pass(), {tokens, {}, {}}).tensor();
      const double tolerance = dtype == DType::kF64 ? 1e-13 : 2e-5;
      SEPTET_ASSERT_OK_AND_ASSIGN(KvCache cache,
                                  m.transformer->MakeCache(3, 9, dtype));
      // A prompt of 4, two tokens at once, then one by one.
      ExtendOptions all;
      all.all_logits = true;
      SEPTET_ASSERT_OK_AND_ASSIGN(
          Tensor logits,
          m.transformer->Extend(p, Columns(tokens, 0, 4), &cache, all));
      ExpectNear(logits, Columns(whole, 0, 4), tolerance);
      SEPTET_ASSERT_OK_AND_ASSIGN(
          logits, m.transformer->Extend(p, Columns(tokens, 4, 6), &cache));
      ExpectNear(logits, Columns(whole, 5, 6).Reshape({3, 13}).value(),
                 tolerance);
      for (int64_t t = 6; t < 9; ++t) {
        SEPTET_ASSERT_OK_AND_ASSIGN(
            logits,
            m.transformer->Extend(
                p, Columns(tokens, t, t + 1).Reshape({3}).value(), &cache));
        ExpectNear(logits, Columns(whole, t, t + 1).Reshape({3, 13}).value(),
                   tolerance);
      }
      EXPECT_EQ(cache.length(), 9);
      EXPECT_THAT(
          m.transformer->Extend(p, Columns(tokens, 0, 1), &cache),
          StatusIs(absl::StatusCode::kFailedPrecondition,
                   HasSubstr("kv cache is full: 9 of 9 slots are filled, 1 "
                             "more asked for")));
      // Back to the prompt, and on with other tokens.
      SEPTET_ASSERT_OK(cache.Truncate(4));
      SEPTET_ASSERT_OK_AND_ASSIGN(
          logits, m.transformer->Extend(p, Columns(tokens, 4, 9), &cache));
      ExpectNear(logits, Columns(whole, 8, 9).Reshape({3, 13}).value(),
                 tolerance);
    }
  }
}

TEST(TransformerCacheTest, RaggedPromptsAreThoseOfEachRowAlone) {
  for (const auto& [name, make] : Models()) {
    SCOPED_TRACE(name);
    const Model m = make(DType::kF64);
    const BoundParameters p = m.store.Bind();
    const Tensor tokens = Tokens({3, 5}, 13);
    const Tensor more = Tokens({3, 2}, 13, 9);
    const std::vector<int64_t> lengths = {2, 5, 1};
    SEPTET_ASSERT_OK_AND_ASSIGN(KvCache cache,
                                m.transformer->MakeCache(3, 8, DType::kF64));
    ExtendOptions ragged;
    ragged.lengths = Tensor::FromValues<int64_t>({3}, lengths).value();
    std::vector<Tensor> logits;
    SEPTET_ASSERT_OK_AND_ASSIGN(
        Tensor step, m.transformer->Extend(p, tokens, &cache, ragged));
    logits.push_back(step);
    EXPECT_TRUE(cache.has_padding());
    EXPECT_EQ(cache.padding(2), 4);
    for (int64_t t = 0; t < 2; ++t) {
      SEPTET_ASSERT_OK_AND_ASSIGN(
          step, m.transformer->Extend(p, Columns(more, t, t + 1), &cache));
      logits.push_back(step);
    }
    for (int64_t b = 0; b < 3; ++b) {
      SCOPED_TRACE(b);
      const auto row = [&](const Tensor& x, int64_t end) {
        return x.Slice(0, b, b + 1).value().Slice(1, 0, end).value();
      };
      const Tensor whole =
          Concat({Var(row(tokens, lengths[b])), Var(row(more, 2))}, 1).tensor();
      const Tensor want =
          m.transformer->Forward(p, Pass(), {whole, {}, {}}).tensor();
      for (int64_t t = 0; t < 3; ++t) {
        const int64_t at = lengths[b] - 1 + t;
        ExpectNear(logits[t].Slice(0, b, b + 1).value(),
                   Columns(want, at, at + 1).Reshape({1, 13}).value(), 1e-12);
      }
    }
    // Other lengths can begin only an empty cache.
    EXPECT_THAT(m.transformer->Extend(p, Columns(tokens, 0, 1), &cache,
                                      {ragged.lengths, false}),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("lengths[0] is 2, expected 1 to 1")));
    ragged.lengths = Tensor::FromValues<int64_t>({3}, {1, 1, 1}).value();
    EXPECT_THAT(
        m.transformer->Extend(p, Columns(tokens, 0, 1), &cache, ragged),
        StatusIs(absl::StatusCode::kFailedPrecondition,
                 HasSubstr("rows of several lengths only begin an empty "
                           "cache, 7 slots are filled")));
  }
}

TEST(TransformerCacheTest, RowsAreClonedAndSelected) {
  const Model m = Models()[0].second(DType::kF64);
  const BoundParameters p = m.store.Bind();
  const Tensor tokens = Tokens({3, 4}, 13);
  SEPTET_ASSERT_OK_AND_ASSIGN(KvCache cache,
                              m.transformer->MakeCache(3, 6, DType::kF64));
  ExtendOptions ragged;
  ragged.lengths = Tensor::FromValues<int64_t>({3}, {4, 2, 3}).value();
  SEPTET_ASSERT_OK(m.transformer->Extend(p, tokens, &cache, ragged));
  SEPTET_ASSERT_OK_AND_ASSIGN(KvCache clone, cache.Clone());
  SEPTET_ASSERT_OK_AND_ASSIGN(KvCache chosen, cache.Select({2, 0, 2, 1}));
  EXPECT_EQ(chosen.batch(), 4);
  EXPECT_EQ(chosen.padding(0), 1);
  const Tensor next = Tensor::FromValues<int64_t>({3}, {5, 6, 7}).value();
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor want,
                              m.transformer->Extend(p, next, &cache));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor same,
                              m.transformer->Extend(p, next, &clone));
  EXPECT_EQ(same.ToVector<double>(), want.ToVector<double>());
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Tensor got,
      m.transformer->Extend(
          p, Tensor::FromValues<int64_t>({4}, {7, 5, 7, 6}).value(), &chosen));
  const int64_t rows[] = {2, 0, 2, 1};
  for (int64_t i = 0; i < 4; ++i) {
    ExpectNear(got.Slice(0, i, i + 1).value(),
               want.Slice(0, rows[i], rows[i] + 1).value(), 1e-14);
  }
  EXPECT_EQ(cache.bytes(), 2 * 2 * (3 * 6 * 2 * 6) * 8);
  EXPECT_THAT(cache.Select({0, 3}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("rows[1] is 3, expected 0 to 2")));
  EXPECT_THAT(cache.Select({}), StatusIs(absl::StatusCode::kInvalidArgument,
                                         HasSubstr("batch is 0")));
  EXPECT_THAT(cache.Truncate(9),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("truncate to 9 slots, expected 0 to 5")));
  // Row 1 would have no token, and its next ones would be hidden as padding.
  EXPECT_THAT(cache.Truncate(2),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("truncate to 2 slots, but row 1 begins in "
                                 "slot 2, expected 0 or more than that")));
  EXPECT_EQ(cache.length(), 5);
  SEPTET_EXPECT_OK(cache.Truncate(3));
  SEPTET_EXPECT_OK(cache.Truncate(0));
  EXPECT_FALSE(cache.has_padding());
}

TEST(TransformerCacheTest, ErrorsLeaveTheCacheAsItWas) {
  const Model m = Models()[1].second(DType::kF64);
  const BoundParameters p = m.store.Bind();
  SEPTET_ASSERT_OK_AND_ASSIGN(KvCache cache,
                              m.transformer->MakeCache(2, 20, DType::kF64));
  const auto extend = [&](const Tensor& tokens,
                          const ExtendOptions& options = {}) {
    return m.transformer->Extend(p, tokens, &cache, options);
  };
  const auto invalid = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  const Tensor tokens = Tokens({2, 3}, 13);
  EXPECT_THAT(extend(Tokens({3, 3}, 13)),
              invalid("tokens are i64 [3, 3], expected [2, T] or [2]"));
  EXPECT_THAT(extend(Tensor()), invalid("tokens are not given"));
  EXPECT_THAT(extend(Tensor::Zeros({2, 3}, DType::kF32).value()),
              invalid("f32 [2, 3], expected i32 or i64"));
  EXPECT_THAT(extend(Tensor::Full({2, 3}, 13, DType::kI64).value()),
              invalid("13"));
  ExtendOptions ragged;
  ragged.lengths = Tensor::FromValues<int64_t>({2}, {3, 0}).value();
  EXPECT_THAT(extend(tokens, ragged),
              invalid("lengths[1] is 0, expected 1 to 3"));
  ragged.lengths = Tensor::Zeros({2}, DType::kI32).value();
  EXPECT_THAT(extend(tokens, ragged),
              invalid("lengths are i32 [2], expected i64 [2]"));
  ragged.lengths = Tensor::FromValues<int64_t>({2}, {3, 1}).value();
  EXPECT_THAT(extend(Tensor::Full({2, 3}, 13, DType::kI64).value(), ragged),
              invalid("13"));
  EXPECT_FALSE(cache.has_padding());
  EXPECT_EQ(cache.length(), 0);
  // The table has 16 positions.
  EXPECT_THAT(extend(Tokens({2, 17}, 13)),
              invalid("learned positions: position 16, expected 0 to 15"));
  Tape tape;
  EXPECT_THAT(m.transformer->Extend(m.store.Watch(&tape), tokens, &cache),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("parameters are on a tape")));
  KvCacheOptions other = cache.options();
  other.layers = 3;
  SEPTET_ASSERT_OK_AND_ASSIGN(KvCache wrong, KvCache::Create(other));
  EXPECT_THAT(m.transformer->Extend(p, tokens, &wrong),
              invalid("the cache has 3 layers of 2 heads of 4 and 0, expected "
                      "2 of 2 of 4 and 0"));
  other.layers = 2;
  other.extra_dim = 1;
  SEPTET_ASSERT_OK_AND_ASSIGN(KvCache gated, KvCache::Create(other));
  EXPECT_THAT(m.transformer->Extend(p, tokens, &gated),
              invalid("of 4 and 1, expected 2 of 2 of 4 and 0"));
  other.extra_dim = 0;
  SEPTET_ASSERT_OK_AND_ASSIGN(KvCache narrow,
                              m.transformer->MakeCache(2, 20, DType::kF32));
  EXPECT_THAT(m.transformer->Extend(p, tokens, &narrow),
              invalid("kv cache, layer 0: k is f64 [2, 3, 2, 4], expected f32 "
                      "[2, T, 2, 4]"));
  other.layers = 0;
  EXPECT_THAT(KvCache::Create(other), invalid("kv cache: layers is 0"));
  other.layers = 1;
  other.capacity = 0;
  EXPECT_THAT(KvCache::Create(other), invalid("kv cache: capacity is 0"));
  other.capacity = 1;
  other.kv_heads = 0;
  EXPECT_THAT(KvCache::Create(other), invalid("kv cache: kv_heads is 0"));
  other.kv_heads = 1;
  other.head_dim = 0;
  EXPECT_THAT(KvCache::Create(other), invalid("kv cache: head_dim is 0"));
  other.head_dim = 1;
  other.extra_dim = -1;
  EXPECT_THAT(KvCache::Create(other), invalid("kv cache: extra_dim is -1"));
  other.extra_dim = 0;
  other.dtype = DType::kI32;
  EXPECT_THAT(KvCache::Create(other), invalid("dtype is i32"));
  EXPECT_THAT(cache.SetPadding({1}), invalid("padding for 1 rows, expected 2"));
  EXPECT_THAT(cache.SetPadding({1, 21}),
              invalid("padding is 21, expected 0 to 20"));
}

// ---------------------------------------------------------------------------
// The hook.

// Gates keys by a second projection of the layer's input, and replaces the
// attention: the weight of key s is sigmoid(extra_s), the causal mean is taken.
class Gated : public PositionEncoding {
 public:
  absl::Status Declare(const PositionModel& model,
                       const ParameterScope& scope) override {
    model_ = model;
    for (int64_t i = 0; i < model.layers; ++i) {
      const auto w = scope.Sub(i).Parameter("gate", {model.dim, model.kv_heads},
                                            Initializer::Normal(0, 1));
      if (!w.ok()) return w.status();
      gates_.push_back(*w);
    }
    return absl::OkStatus();
  }

  Var Embed(const EmbeddingCall& call, const Var& x) const override {
    first_ = call.first;
    return Scale(x, 2);
  }

  int64_t ExtraDim() const override { return 1; }
  Var Extra(const AttentionCall& call, const Var& k) const override {
    return Reshape(Linear(*call.input, (*call.p)[gates_[call.layer]], Var()),
                   {k.dim(0), k.dim(1), k.dim(2), 1});
  }

  Var Attend(const AttentionCall& call, const Var& q, const Var& k,
             const Var& v, const Var& extra) const override {
    EXPECT_EQ(k.shape(), v.shape());
    EXPECT_EQ(call.first + q.dim(1), k.dim(1));
    EXPECT_EQ(call.options.layout, AttentionLayout::kBTHD);
    const Var gated = Mul(v, Sigmoid(extra));
    std::vector<Var> rows;
    for (int64_t t = 0; t < q.dim(1); ++t) {
      rows.push_back(Mean(Slice(gated, 1, 0, call.first + t + 1), {1}, {true}));
    }
    return Concat(rows, 1);
  }

  int64_t first() const { return first_; }

 private:
  PositionModel model_;
  std::vector<ParameterId> gates_;
  mutable int64_t first_ = -1;
};

TEST(PositionEncodingTest, HookReplacesAttentionAndKeepsExtras) {
  TransformerOptions o = Widened(Gpt2Options(13, 8, 2, 2));
  auto hook = std::make_unique<Gated>();
  const Gated* gated = hook.get();
  const Model m(o, std::move(hook));
  SEPTET_EXPECT_OK(m.store.Find("position.1.gate"));
  const Tensor tokens = Tokens({2, 6}, 13);
  const BoundParameters p = m.store.Bind();
  const Tensor whole =
      m.transformer->Forward(p, Pass(), {tokens, {}, {}}).tensor();
  EXPECT_EQ(gated->first(), 0);
  SEPTET_ASSERT_OK_AND_ASSIGN(KvCache cache,
                              m.transformer->MakeCache(2, 6, DType::kF64));
  EXPECT_EQ(cache.options().extra_dim, 1);
  SEPTET_ASSERT_OK(m.transformer->Extend(p, Columns(tokens, 0, 4), &cache));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Tensor logits,
      m.transformer->Extend(p, Columns(tokens, 4, 6), &cache));
  EXPECT_EQ(gated->first(), 4);
  ExpectNear(logits, Columns(whole, 5, 6).Reshape({2, 13}).value(), 1e-13);
  // Gradients reach the hook's parameters.
  Tape tape;
  const BoundParameters watched = m.store.Watch(&tape);
  const Var loss = CrossEntropy(
      m.transformer->Forward(watched, Pass(), {tokens, {}, {}}), tokens);
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> grads,
                              tape.Grad(loss, watched.trained()));
  const int gate = m.store.Find("position.1.gate").value().index();
  double sum = 0;
  for (const double g : grads[gate].ToVector<double>()) sum += std::abs(g);
  EXPECT_GT(sum, 1e-6);
}

TEST(PositionEncodingTest, LearnedPositionsTakeIdsOrCount) {
  const Model m(Widened(Gpt2Options(13, 8, 1, 2)), Table(8));
  const Tensor tokens = Tokens({2, 3}, 13);
  const BoundParameters p = m.store.Bind();
  const auto run = [&](const std::vector<int64_t>& positions) {
    TransformerInput input;
    input.tokens = tokens;
    if (!positions.empty()) {
      input.positions = Tensor::FromValues<int64_t>({2, 3}, positions).value();
    }
    return m.transformer->Forward(p, Pass(), input);
  };
  EXPECT_EQ(run({0, 1, 2, 0, 1, 2}).tensor().ToVector<double>(),
            run({}).tensor().ToVector<double>());
  EXPECT_NE(run({0, 1, 2, 1, 2, 3}).tensor().ToVector<double>(),
            run({}).tensor().ToVector<double>());
  EXPECT_THAT(run({0, 1, 2, 0, 1, 8}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("8")));
  TransformerInput input;
  input.tokens = tokens;
  input.positions = Tensor::Zeros({2, 2}, DType::kI64).value();
  EXPECT_THAT(m.transformer->Forward(p, Pass(), input),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("positions are i64 [2, 2], expected the shape "
                                 "of the tokens, [2, 3]")));
}

TEST(TransformerTest, Errors) {
  const auto invalid = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  const TransformerOptions good = Gpt2Options(7, 8, 1, 2);
  SEPTET_EXPECT_OK(good.Validate());
  const struct {
    std::function<void(TransformerOptions&)> spoil;
    const char* message;
  } cases[] = {
      {[](auto& o) { o.vocab_size = 0; }, "transformer: vocab_size is 0"},
      {[](auto& o) { o.dim = 0; }, "dim is 0, expected >= 1"},
      {[](auto& o) { o.layers = -1; }, "layers is -1, expected >= 0"},
      {[](auto& o) { o.heads = 0; }, "heads is 0, expected >= 1"},
      {[](auto& o) { o.heads = 3; },
       "heads is 3, expected a divisor of dim, 8"},
      {[](auto& o) { o.kv_heads = 3; },
       "kv_heads is 3, expected a divisor of heads, 2"},
      {[](auto& o) { o.kv_heads = -1; }, "kv_heads is -1"},
      {[](auto& o) { o.head_dim = -1; }, "head_dim is -1"},
      {[](auto& o) { o.head_dim = int64_t{1} << 61; },
       "heads is 2 and head_dim is 2305843009213693952, more channels than"},
      {[](auto& o) { o.ffn_dim = 0; }, "ffn_dim is 0"},
      {[](auto& o) { o.norm_eps = -1; }, "norm_eps is -1"},
      {[](auto& o) { o.residual_scale = -1; }, "residual_scale is -1"},
      {[](auto& o) {
         o.embedding_scale = std::numeric_limits<double>::infinity();
       },
       "embedding_scale is inf, expected finite"},
      {[](auto& o) {
         o.attention_scale = std::numeric_limits<double>::quiet_NaN();
       },
       "scale is nan, expected finite"},
      {[](auto& o) { o.head_bias = true; },
       "head_bias is true, expected false with tied_head"},
      {[](auto& o) { o.embedding_dropout = 1; },
       "embedding_dropout is 1, expected [0, 1)"},
      {[](auto& o) { o.attention_dropout = -1; }, "attention_dropout is -1"},
      {[](auto& o) { o.attention_out_dropout = 2; }, "dropout is 2"},
      {[](auto& o) { o.ffn_hidden_dropout = 2; }, "hidden_dropout is 2"},
      {[](auto& o) { o.ffn_dropout = 2; }, "dropout is 2"},
  };
  for (const auto& test : cases) {
    TransformerOptions o = good;
    test.spoil(o);
    EXPECT_THAT(o.Validate(), invalid(test.message));
    ParameterStore store;
    EXPECT_THAT(Transformer::Create(o, nullptr,
                                    ParameterScope(&store, {}).Sub("model")),
                invalid("model: transformer: "));
  }
  const auto create = [&](std::unique_ptr<PositionEncoding> position) {
    ParameterStore store;
    return Transformer::Create(good, std::move(position),
                               ParameterScope(&store, {}));
  };
  EXPECT_THAT(create(Table(0)),
              invalid("position: learned positions: count is 0"));
  EXPECT_THAT(create(Rotation(6)),
              invalid("frequencies are f64 [3], for 6 channels, but a head "
                      "has 4"));
  RotaryPositionsOptions rotary;
  EXPECT_THAT(rotary.Validate(), invalid("frequencies are not given"));
  rotary.frequencies = RotaryFrequencies(4).value();
  rotary.position_scale = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(rotary.Validate(), invalid("position_scale is nan"));

  const Model m(good, nullptr);
  const BoundParameters p = m.store.Bind();
  EXPECT_THAT(m.transformer->Forward(p, Pass(), {}),
              invalid("tokens are not given, expected [B, T]"));
  EXPECT_THAT(m.transformer->Forward(p, Pass(), {Tokens({3}, 7), {}, {}}),
              invalid("tokens are i64 [3], expected [B, T]"));
  EXPECT_THAT(
      m.transformer->Forward(
          p, Pass(), {Tensor::Full({1, 2}, 7, DType::kI64).value(), {}, {}}),
      invalid("7"));

  ParameterStore store;
  MultiHeadAttentionOptions attention;
  attention.dim = 4;
  attention.heads = 2;
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const MultiHeadAttention layer,
      MultiHeadAttention::Create(attention, ParameterScope(&store, {})));
  EXPECT_THAT(layer.Forward(store.Bind(), Pass(), {},
                            Tensor::Zeros({3, 4}, DType::kF32).value()),
              invalid("x is f32 [3, 4], expected [B, T, dim]"));
  EXPECT_THAT(layer.Forward(store.Bind(), Pass(), {}, Var()),
              invalid("x is not given"));
}

TEST(MultiHeadAttentionTest, JointAndSeparateAgreeAndNonCausalSeesAll) {
  const Tensor x = RandomTensor({2, 5, 8}, DType::kF64, 1);
  Tensor results[2];
  std::vector<double> first_rows[2];
  std::vector<double> last_rows[2];
  for (const bool causal : {true, false}) {
    for (const bool joint : {true, false}) {
      ParameterStore store;
      MultiHeadAttentionOptions options;
      options.dim = 8;
      options.heads = 4;
      options.kv_heads = 2;
      options.head_dim = 3;
      options.joint_qkv = joint;
      options.causal = causal;
      SEPTET_ASSERT_OK_AND_ASSIGN(
          const MultiHeadAttention layer,
          MultiHeadAttention::Create(options,
                                     ParameterScope(&store, {1, DType::kF64})));
      // The same numbers in both forms: a function of input and output.
      const auto fill = [&](const std::string& name, int64_t first) {
        for (const char* part : {".weight", ".bias"}) {
          const Tensor t = store.tensor(store.Find(name + part).value());
          const int64_t cols = t.dim(t.rank() - 1);
          for (int64_t i = 0; i < t.num_elements(); ++i) {
            t.mutable_data<double>()[i] =
                std::sin(0.7 * static_cast<double>(i / cols) +
                         1.3 * static_cast<double>(first + i % cols));
          }
        }
      };
      if (joint) {
        fill("qkv", 0);
      } else {
        fill("q", 0);
        fill("k", 12);
        fill("v", 18);
      }
      fill("out", 0);
      results[joint] = layer.Forward(store.Bind(), Pass(), {}, x).tensor();
    }
    ExpectNear(results[0], results[1], 1e-13);
    first_rows[causal] = Columns(results[0], 0, 1).ToVector<double>();
    last_rows[causal] = Columns(results[0], 4, 5).ToVector<double>();
  }
  // The first query sees all keys, the last one always did.
  EXPECT_NE(first_rows[0], first_rows[1]);
  for (size_t i = 0; i < last_rows[0].size(); ++i) {
    EXPECT_NEAR(last_rows[0][i], last_rows[1][i], 1e-13);
  }
}

}  // namespace
}  // namespace septet
