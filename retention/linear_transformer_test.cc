// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/linear_transformer.h"

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
#include "septet/retention/retention.h"

namespace septet {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kVocab = 11;

LinearTransformerOptions SmallOptions() {
  LinearTransformerOptions options =
      LinearTransformerPreset(kVocab, /*dim=*/8, /*layers=*/2, /*heads=*/2);
  options.chunk_size = 4;
  return options;
}

LinearTransformer Make(const LinearTransformerOptions& options,
                       ParameterStore* store, DType dtype) {
  return LinearTransformer::Create(options, ParameterScope(store, {1, dtype}))
      .value();
}

// The model of `options`, RMSNorm, SwiGLU and rotated features, once more.
std::vector<TestVector> Reference(const LinearTransformerOptions& o,
                                  const ParameterStore& store,
                                  const std::vector<int64_t>& tokens) {
  const auto d = static_cast<size_t>(o.dim);
  const auto heads = static_cast<size_t>(o.heads);
  const size_t width = d / heads;
  const auto norm = [&](const TestVector& x, const std::string& name) {
    const TestVector weight = ValuesOf(store, name + ".weight");
    double sum = 0;
    for (const double v : x) sum += v * v;
    TestVector y(x.size());
    for (size_t i = 0; i < x.size(); ++i) {
      y[i] = x[i] * weight[i] /
             std::sqrt(sum / static_cast<double>(x.size()) + o.norm_eps);
    }
    return y;
  };
  const auto phi = [](double x) { return x > 0 ? x + 1 : std::exp(x); };
  const TestVector table = ValuesOf(store, "embedding.weight");
  std::vector<TestVector> x;
  for (const int64_t token : tokens) {
    const auto at = table.begin() + token * o.dim;
    x.emplace_back(at, at + o.dim);
  }
  for (int64_t layer = 0; layer < o.layers; ++layer) {
    const std::string name = "layers." + std::to_string(layer) + ".";
    std::vector<TestVector> qkv;
    for (const TestVector& row : x) {
      qkv.push_back(Times(norm(row, name + "attn_norm"),
                          ValuesOf(store, name + "attn.qkv.weight")));
    }
    for (size_t t = 0; t < x.size(); ++t) {
      TestVector attended(d);
      for (size_t h = 0; h < heads; ++h) {
        // phi of a part of row s, at its distance from row t.
        const auto feature = [&](size_t part, size_t s, size_t i) {
          return phi(qkv[s][part * d + h * width + i]);
        };
        double sum = o.attention_eps;
        TestVector total(width);
        for (size_t s = 0; s <= t; ++s) {
          double plain = 0, rotated = 0;
          for (size_t i = 0; i < width; ++i) {
            plain += feature(0, t, i) * feature(1, s, i);
          }
          for (size_t i = 0; i < width; i += 2) {
            const double angle =
                static_cast<double>(t - s) *
                std::pow(o.rotary_base,
                         -static_cast<double>(i) / static_cast<double>(width));
            const double a = feature(0, t, i), b = feature(0, t, i + 1);
            const double u = feature(1, s, i), v = feature(1, s, i + 1);
            rotated += std::cos(angle) * (a * u + b * v) +
                       std::sin(angle) * (a * v - b * u);
          }
          sum += plain;
          for (size_t i = 0; i < width; ++i) {
            total[i] +=
                (o.rotary ? rotated : plain) * qkv[s][2 * d + h * width + i];
          }
        }
        for (size_t i = 0; i < width; ++i) {
          attended[h * width + i] = total[i] / sum;
        }
      }
      x[t] = Plus(x[t],
                  Times(attended, ValuesOf(store, name + "attn.out.weight")));
      const TestVector in = norm(x[t], name + "ffn_norm");
      TestVector hidden = Times(in, ValuesOf(store, name + "ffn.fc1.weight"));
      const TestVector gate =
          Times(in, ValuesOf(store, name + "ffn.gate.weight"));
      for (size_t i = 0; i < hidden.size(); ++i) {
        hidden[i] *= TestSigmoid(hidden[i]) * gate[i];
      }
      x[t] =
          Plus(x[t], Times(hidden, ValuesOf(store, name + "ffn.fc2.weight")));
    }
  }
  std::vector<TestVector> logits;
  for (const TestVector& row : x) {
    logits.push_back(TimesTransposed(
        norm(row, "final_norm"),
        ValuesOf(store, o.tied_head ? "embedding.weight" : "head.weight")));
  }
  return logits;
}

TEST(LinearTransformerTest, MatchesTheModelWrittenDownOnceMore) {
  for (const bool rotary : {true, false}) {
    for (const bool tied : {true, false}) {
      LinearTransformerOptions options = SmallOptions();
      options.rotary = rotary;
      options.tied_head = tied;
      ParameterStore store;
      const LinearTransformer model = Make(options, &store, DType::kF64);
      Randomise(store, 0.8);
      const Tensor tokens = RandomTokens({1, 11}, kVocab);
      const Var logits = model.Forward(store.Bind(), Pass(), tokens);
      SEPTET_ASSERT_OK(logits);
      const std::vector<TestVector> want =
          Reference(options, store, tokens.ToVector<int64_t>());
      TestVector flat;
      for (const TestVector& row : want) {
        flat.insert(flat.end(), row.begin(), row.end());
      }
      ExpectNear(logits.tensor(),
                 *Tensor::FromValues<double>({1, 11, kVocab}, flat), 1e-12);
    }
  }
}

// So that checkpoints and counts of the two can be compared.
TEST(LinearTransformerTest, ParametersAreTheTransformers) {
  ParameterStore store;
  Make(LinearTransformerPreset(256, 64, 3, 2), &store, DType::kF32);
  ParameterStore other;
  SEPTET_ASSERT_OK(Transformer::Create(RotarySwiGluOptions(256, 64, 3, 2),
                                       nullptr,
                                       ParameterScope(&other, {1, DType::kF32}))
                       .status());
  EXPECT_EQ(store.trained_names(), other.trained_names());
  EXPECT_EQ(store.trained_decay(), other.trained_decay());
  for (size_t i = 0; i < store.trained().size(); ++i) {
    EXPECT_EQ(store.trained()[i].ToVector<float>(),
              other.trained()[i].ToVector<float>())
        << store.trained_names()[i];
  }
}

TEST(LinearTransformerTest, Gradients) {
  for (const RetentionForm form :
       {RetentionForm::kChunkwise, RetentionForm::kParallel}) {
    LinearTransformerOptions options = LinearTransformerPreset(3, 4, 1, 2);
    options.ffn_dim = 3;
    options.form = form;
    options.chunk_size = 2;
    ParameterStore store;
    const LinearTransformer model = Make(options, &store, DType::kF64);
    Randomise(store, 0.8);
    const BoundParameters p = store.Bind();
    const Tensor tokens = RandomTokens({1, 5}, 3);
    GradientCheckOptions check;
    check.check_second_order = false;
    SEPTET_EXPECT_OK(CheckGradients(
        [&](absl::Span<const Var> in) {
          return model.Forward(p.With(in), Pass(), tokens);
        },
        std::vector<Tensor>(store.trained().begin(), store.trained().end()),
        check));
  }
}

TEST(LinearTransformerTest, PiecesGiveTheWhole) {
  for (const bool rotary : {true, false}) {
    for (const DType dtype : {DType::kF64, DType::kF32}) {
      LinearTransformerOptions options = SmallOptions();
      options.rotary = rotary;
      ParameterStore store;
      const LinearTransformer model = Make(options, &store, dtype);
      Randomise(store, 0.8);
      const double tolerance = dtype == DType::kF64 ? 1e-12 : 2e-5;
      ExpectPiecesGiveTheWhole(model, store, kVocab, dtype, tolerance);
      ExpectRaggedPrompts(model, store, kVocab, dtype, tolerance);
    }
  }
}

TEST(LinearTransformerTest, StateIsAMatrixAndAVectorAHead) {
  ParameterStore store;
  const LinearTransformer model =
      Make(LinearTransformerPreset(kVocab, 32, 3, 2), &store, DType::kF32);
  SEPTET_ASSERT_OK_AND_ASSIGN(const RecurrentState state,
                              model.MakeState(5, DType::kF32));
  EXPECT_EQ(state.bytes(), 5 * 3 * 2 * (16 * 16 + 16) * 4);
}

constexpr absl::string_view kText =
    "In the beginning there was nothing, which exploded.\n";

absl::StatusOr<LearningResult> Learn(double dropout) {
  LinearTransformerOptions options = LinearTransformerPreset(128, 32, 2, 2);
  options.attention_out_dropout = dropout;
  options.ffn_dropout = dropout;
  options.chunk_size = 16;
  ParameterStore store;
  const LinearTransformer model = Make(options, &store, DType::kF32);
  return LearnASentence(model, &store, kText, 100, 1e-2);
}

TEST(LinearTransformerTest, LearnsASentenceAndWritesIt) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const LearningResult result, Learn(0.05));
  EXPECT_GT(result.first_loss, 4.5);  // log 128 = 4.85
  EXPECT_LT(result.last_loss, 0.1);
  EXPECT_EQ(result.written, kText);
  for (const int threads : {2, 3}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    SEPTET_ASSERT_OK_AND_ASSIGN(const LearningResult other, Learn(0.05));
    EXPECT_EQ(other.parameters, result.parameters);
  }
  SEPTET_ASSERT_OK_AND_ASSIGN(const LearningResult without, Learn(0));
  EXPECT_NE(without.parameters, result.parameters);
}

TEST(LinearTransformerTest, ExtendErrors) {
  ParameterStore store;
  const LinearTransformer model = Make(SmallOptions(), &store, DType::kF64);
  LinearTransformerOptions options = SmallOptions();
  options.heads = 1;
  ParameterStore other_store;
  const LinearTransformer other = Make(options, &other_store, DType::kF64);
  SEPTET_ASSERT_OK_AND_ASSIGN(RecurrentState state,
                              other.MakeState(2, DType::kF64));
  ExpectExtendErrors(model, store, kVocab, DType::kF64, "linear transformer",
                     &state);
}

TEST(LinearTransformerTest, OptionErrors) {
  const std::vector<
      std::pair<std::function<void(LinearTransformerOptions&)>, const char*>>
      cases = {
          {[](auto& o) { o.vocab_size = 0; }, "vocab_size is 0, expected >= 1"},
          {[](auto& o) { o.dim = 0; }, "dim is 0, expected >= 1"},
          {[](auto& o) { o.layers = -1; }, "layers is -1, expected >= 0"},
          {[](auto& o) { o.heads = 0; }, "heads is 0, expected >= 1"},
          {[](auto& o) { o.ffn_dim = 0; }, "ffn_dim is 0, expected >= 1"},
          {[](auto& o) { o.chunk_size = 0; }, "chunk_size is 0, expected >= 1"},
          {[](auto& o) { o.heads = 3; },
           "dim is 8, expected a multiple of heads, 3"},
          {[](auto& o) { o.heads = 8; },
           "dim / heads is 1, expected even with rotary"},
          {[](auto& o) { o.norm_eps = -1; }, "norm_eps is -1"},
          {[](auto& o) { o.attention_eps = std::nan(""); },
           "attention_eps is nan"},
          {[](auto& o) { o.rotary_base = 0; },
           "rotary_base is 0, expected > 0"},
          {[](auto& o) { o.attention_out_dropout = 1; },
           "attention_out_dropout is 1, expected [0, 1)"},
          {[](auto& o) { o.ffn_dropout = -0.5; },
           "ffn_dropout is -0.5, expected [0, 1)"}};
  for (const auto& [change, text] : cases) {
    LinearTransformerOptions options = SmallOptions();
    change(options);
    ParameterStore store;
    const absl::Status status =
        LinearTransformer::Create(options, ParameterScope(&store, {})).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr(std::string("linear transformer: ") + text));
  }
}

}  // namespace
}  // namespace septet
