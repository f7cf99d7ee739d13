// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/rwkv.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/autograd/gradient_checker.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/nn/transformer.h"
#include "septet/core/ops/op_testutil.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/recurrent_model_testutil.h"
#include "septet/retention/recurrent_state.h"

namespace septet {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kVocab = 11;

RwkvOptions SmallOptions() {
  RwkvOptions options = Rwkv4Options(kVocab, /*dim=*/6, /*layers=*/2);
  options.ffn_dim = 10;
  return options;
}

Rwkv Make(const RwkvOptions& options, ParameterStore* store, DType dtype) {
  return Rwkv::Create(options, ParameterScope(store, {1, dtype})).value();
}

// RWKV-4 token by token with the sums as they are, in plain loops.
std::vector<TestVector> Reference(const RwkvOptions& o,
                                  const ParameterStore& store,
                                  const std::vector<int64_t>& tokens) {
  const auto d = static_cast<size_t>(o.dim);
  const auto norm = [&](const TestVector& x, const std::string& name) {
    const TestVector weight = ValuesOf(store, name + ".weight");
    const TestVector bias = ValuesOf(store, name + ".bias");
    double mean = 0, variance = 0;
    for (const double v : x) mean += v / static_cast<double>(d);
    for (const double v : x) {
      variance += (v - mean) * (v - mean) / static_cast<double>(d);
    }
    TestVector y(d);
    for (size_t i = 0; i < d; ++i) {
      y[i] = (x[i] - mean) / std::sqrt(variance + o.norm_eps) * weight[i] +
             bias[i];
    }
    return y;
  };
  const auto mixture = [&](const TestVector& x, const TestVector& before,
                           const TestVector& mix, size_t row) {
    TestVector y(d);
    for (size_t i = 0; i < d; ++i) {
      y[i] = x[i] * mix[row * d + i] + before[i] * (1 - mix[row * d + i]);
    }
    return y;
  };
  struct State {
    TestVector time, channel, numerator, denominator;
  };
  const TestVector none(d);
  std::vector<State> states(static_cast<size_t>(o.layers),
                            State{none, none, none, none});
  const TestVector table = ValuesOf(store, "embedding.weight");
  std::vector<TestVector> logits;
  for (const int64_t token : tokens) {
    const auto at = table.begin() + token * o.dim;
    TestVector x(at, at + o.dim);
    if (o.embedding_norm) x = norm(x, "embedding_norm");
    for (size_t layer = 0; layer < states.size(); ++layer) {
      State& state = states[layer];
      const std::string name = "layers." + std::to_string(layer) + ".";
      const auto weight = [&](const std::string& part) {
        return ValuesOf(store, name + part);
      };
      TestVector in = norm(x, name + "time_norm");
      const TestVector mix = weight("time.mix");
      const TestVector k =
          Times(mixture(in, state.time, mix, 0), weight("time.key.weight"));
      const TestVector v =
          Times(mixture(in, state.time, mix, 1), weight("time.value.weight"));
      const TestVector r = Times(mixture(in, state.time, mix, 2),
                                 weight("time.receptance.weight"));
      state.time = in;
      const TestVector decay = weight("time.decay");
      const TestVector bonus = weight("time.bonus");
      TestVector gated(d);
      for (size_t i = 0; i < d; ++i) {
        const double now = std::exp(bonus[i] + k[i]);
        gated[i] = TestSigmoid(r[i]) * (state.numerator[i] + now * v[i]) /
                   (state.denominator[i] + now);
        const double kept = std::exp(-std::exp(decay[i]));
        state.numerator[i] = kept * state.numerator[i] + std::exp(k[i]) * v[i];
        state.denominator[i] = kept * state.denominator[i] + std::exp(k[i]);
      }
      x = Plus(x, Times(gated, weight("time.out.weight")));
      in = norm(x, name + "channel_norm");
      if (o.ffn == RwkvFfn::kGlu) {
        TestVector hidden = Times(in, weight("ffn.fc1.weight"));
        const TestVector gate = Times(in, weight("ffn.gate.weight"));
        for (size_t i = 0; i < hidden.size(); ++i) {
          hidden[i] *= TestSigmoid(hidden[i]) * gate[i];
        }
        x = Plus(x, Times(hidden, weight("ffn.fc2.weight")));
        continue;
      }
      const TestVector channel_mix = weight("channel.mix");
      TestVector hidden = Times(mixture(in, state.channel, channel_mix, 0),
                                weight("channel.key.weight"));
      for (double& h : hidden) h = h > 0 ? h * h : 0;
      TestVector out = Times(hidden, weight("channel.value.weight"));
      const TestVector receptance =
          Times(mixture(in, state.channel, channel_mix, 1),
                weight("channel.receptance.weight"));
      for (size_t i = 0; i < d; ++i) out[i] *= TestSigmoid(receptance[i]);
      state.channel = in;
      x = Plus(x, out);
    }
    logits.push_back(TimesTransposed(
        norm(x, "final_norm"),
        ValuesOf(store, o.tied_head ? "embedding.weight" : "head.weight")));
  }
  return logits;
}

TEST(RwkvTest, MatchesTheModelWrittenDownOnceMore) {
  for (const RwkvFfn ffn : {RwkvFfn::kChannelMix, RwkvFfn::kGlu}) {
    for (const bool other : {false, true}) {
      RwkvOptions options = SmallOptions();
      options.ffn = ffn;
      options.tied_head = other;
      options.embedding_norm = !other;
      ParameterStore store;
      const Rwkv model = Make(options, &store, DType::kF64);
      Randomise(store, 0.9);
      const Tensor tokens = RandomTokens({1, 35}, kVocab);
      const Var logits = model.Forward(store.Bind(), Pass(), tokens);
      SEPTET_ASSERT_OK(logits);
      TestVector flat;
      for (const TestVector& row :
           Reference(options, store, tokens.ToVector<int64_t>())) {
        flat.insert(flat.end(), row.begin(), row.end());
      }
      ExpectNear(logits.tensor(),
                 *Tensor::FromValues<double>({1, 35, kVocab}, flat), 1e-12);
    }
  }
}

TEST(RwkvTest, FirstValues) {
  ParameterStore store;
  Make(Rwkv4Options(256, 64, 3), &store, DType::kF64);
  // Layer 1 of 3: a = 1/2, b = 2/3.
  const TestVector mix = ValuesOf(store, "layers.1.time.mix");
  const TestVector channel_mix = ValuesOf(store, "layers.1.channel.mix");
  const TestVector decay = ValuesOf(store, "layers.1.time.decay");
  const TestVector bonus = ValuesOf(store, "layers.1.time.bonus");
  ASSERT_EQ(mix.size(), 3 * 64);
  ASSERT_EQ(channel_mix.size(), 2 * 64);
  EXPECT_NEAR(mix[32], std::pow(0.5, 2.0 / 3), 1e-15);
  EXPECT_NEAR(mix[64 + 32], std::pow(0.5, 2.0 / 3) + 0.15, 1e-15);
  EXPECT_NEAR(mix[128 + 32], std::pow(0.5, 1.0 / 3), 1e-15);
  EXPECT_NEAR(channel_mix[32], std::pow(0.5, 2.0 / 3), 1e-15);
  EXPECT_EQ(channel_mix[64 + 32], channel_mix[32]);
  EXPECT_EQ(decay[0], -5);
  EXPECT_NEAR(decay[21], -5 + 8 * std::pow(1.0 / 3, 1.35), 1e-14);
  EXPECT_EQ(decay[63], 3);
  EXPECT_NEAR(bonus[0], std::log(0.3), 1e-15);
  EXPECT_NEAR(bonus[1], std::log(0.3) + 0.5, 1e-15);
  EXPECT_NEAR(bonus[2], std::log(0.3) - 0.5, 1e-15);
  // 13 d^2 weights a layer, embedding and head, and vectors.
  EXPECT_EQ(store.NumElements(),
            3 * (13 * 64 * 64 + (3 + 2 + 2 + 4) * 64) + 2 * 256 * 64 + 4 * 64);
  EXPECT_THAT(ValuesOf(store, "layers.0.time.out.weight"),
              ::testing::Each(0.0));
  for (const double x : ValuesOf(store, "embedding.weight")) {
    ASSERT_LE(std::abs(x), 1e-4);
  }
  // Vectors are no matter for weight decay.
  const std::vector<std::string> names = store.trained_names();
  const std::vector<bool> decays = store.trained_decay();
  for (size_t i = 0; i < names.size(); ++i) {
    const bool matrix = names[i].find("norm") == std::string::npos &&
                        names[i].find(".weight") != std::string::npos;
    EXPECT_EQ(decays[i], matrix) << names[i];
  }
}

TEST(RwkvTest, ThePresetHasATransformersNumberOfParameters) {
  for (const int64_t dim : {32, 64, 128}) {
    ParameterStore store;
    Make(RwkvPreset(256, dim, 4), &store, DType::kF32);
    ParameterStore other;
    SEPTET_ASSERT_OK(
        Transformer::Create(RotarySwiGluOptions(256, dim, 4, 2), nullptr,
                            ParameterScope(&other, {1, DType::kF32}))
            .status());
    const auto want = static_cast<double>(other.NumElements());
    EXPECT_NEAR(static_cast<double>(store.NumElements()), want, 0.02 * want);
  }
  EXPECT_EQ(RwkvPreset(256, 1, 1).ffn_dim, 16);
  EXPECT_EQ(RwkvPreset(256, 128, 1).ffn_dim, 432);
}

TEST(RwkvTest, Gradients) {
  for (const RwkvFfn ffn : {RwkvFfn::kChannelMix, RwkvFfn::kGlu}) {
    RwkvOptions options = Rwkv4Options(3, 3, 1);
    options.ffn_dim = 4;
    options.ffn = ffn;
    ParameterStore store;
    const Rwkv model = Make(options, &store, DType::kF64);
    Randomise(store, 0.9);
    const BoundParameters p = store.Bind();
    const Tensor tokens = RandomTokens({2, 4}, 3);
    GradientCheckOptions check;
    check.check_second_order = false;
    check.tolerance = 2e-7;
    SEPTET_EXPECT_OK(CheckGradients(
        [&](absl::Span<const Var> in) {
          return model.Forward(p.With(in), Pass(), tokens);
        },
        std::vector<Tensor>(store.trained().begin(), store.trained().end()),
        check));
  }
}

TEST(RwkvTest, PiecesGiveTheWhole) {
  for (const RwkvFfn ffn : {RwkvFfn::kChannelMix, RwkvFfn::kGlu}) {
    for (const DType dtype : {DType::kF64, DType::kF32}) {
      RwkvOptions options = SmallOptions();
      options.ffn = ffn;
      ParameterStore store;
      const Rwkv model = Make(options, &store, dtype);
      Randomise(store, 0.9);
      const double tolerance = dtype == DType::kF64 ? 1e-12 : 2e-5;
      ExpectPiecesGiveTheWhole(model, store, kVocab, dtype, tolerance);
      ExpectRaggedPrompts(model, store, kVocab, dtype, tolerance);
    }
  }
}

TEST(RwkvTest, StateIsFiveVectorsALayer) {
  ParameterStore store;
  const Rwkv model = Make(Rwkv4Options(kVocab, 32, 3), &store, DType::kF32);
  SEPTET_ASSERT_OK_AND_ASSIGN(const RecurrentState state,
                              model.MakeState(7, DType::kF32));
  EXPECT_EQ(state.bytes(), 7 * 3 * 5 * 32 * 4);
}

constexpr absl::string_view kText =
    "In the beginning there was nothing, which exploded.\n";

absl::StatusOr<LearningResult> Learn(double dropout) {
  RwkvOptions options = Rwkv4Options(128, 32, 2);
  options.time_dropout = dropout;
  options.channel_dropout = dropout;
  ParameterStore store;
  const Rwkv model = Make(options, &store, DType::kF32);
  return LearnASentence(model, &store, kText, 100, 1e-2);
}

TEST(RwkvTest, LearnsASentenceAndWritesIt) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const LearningResult result, Learn(0.02));
  EXPECT_GT(result.first_loss, 4.5);  // log 128 = 4.85
  EXPECT_LT(result.last_loss, 0.1);
  EXPECT_EQ(result.written, kText);
  for (const int threads : {2, 3}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    SEPTET_ASSERT_OK_AND_ASSIGN(const LearningResult other, Learn(0.02));
    EXPECT_EQ(other.parameters, result.parameters);
  }
  SEPTET_ASSERT_OK_AND_ASSIGN(const LearningResult without, Learn(0));
  EXPECT_NE(without.parameters, result.parameters);
}

TEST(RwkvTest, ExtendErrors) {
  ParameterStore store;
  const Rwkv model = Make(SmallOptions(), &store, DType::kF64);
  RwkvOptions options = SmallOptions();
  options.dim = 7;
  ParameterStore other_store;
  const Rwkv other = Make(options, &other_store, DType::kF64);
  SEPTET_ASSERT_OK_AND_ASSIGN(RecurrentState state,
                              other.MakeState(2, DType::kF64));
  ExpectExtendErrors(model, store, kVocab, DType::kF64, "rwkv", &state);
}

TEST(RwkvTest, OptionErrors) {
  const std::vector<std::pair<std::function<void(RwkvOptions&)>, const char*>>
      cases = {
          {[](auto& o) { o.vocab_size = 0; }, "vocab_size is 0, expected >= 1"},
          {[](auto& o) { o.dim = 0; }, "dim is 0, expected >= 1"},
          {[](auto& o) { o.layers = -1; }, "layers is -1, expected >= 0"},
          {[](auto& o) { o.ffn_dim = 0; }, "ffn_dim is 0, expected >= 1"},
          {[](auto& o) { o.norm_eps = std::nan(""); }, "norm_eps is nan"},
          {[](auto& o) { o.time_dropout = 1; },
           "time_dropout is 1, expected [0, 1)"},
          {[](auto& o) { o.channel_dropout = -0.5; },
           "channel_dropout is -0.5, expected [0, 1)"}};
  for (const auto& [change, text] : cases) {
    RwkvOptions options = SmallOptions();
    change(options);
    ParameterStore store;
    const absl::Status status =
        Rwkv::Create(options, ParameterScope(&store, {})).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr(std::string("rwkv: ") + text));
  }
}

}  // namespace
}  // namespace septet
