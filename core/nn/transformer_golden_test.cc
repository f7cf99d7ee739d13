// SPDX-License-Identifier: Apache-2.0
// One Transformer against three independent ones: values and gradients of the
// decoder of the authors of CoPE, of an untrained GPT-2 that generates, and of
// a GPT-2 with a value head on left-padded rows (testdata/README.md).
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "gtest/gtest.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/io/safetensors.h"
#include "septet/core/nn/import.h"
#include "septet/core/nn/initializer.h"
#include "septet/core/nn/kv_cache.h"
#include "septet/core/nn/mlp.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/nn/position_encoding.h"
#include "septet/core/nn/transformer.h"
#include "septet/core/nn/transformer_import.h"
#include "septet/core/ops/activation.h"
#include "septet/core/ops/concat.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/index.h"
#include "septet/core/ops/loss.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/ops/softmax.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using TensorMap = std::map<std::string, Tensor>;

SafetensorsFile OpenGolden(absl::string_view name) {
  return SafetensorsFile::Open(absl::StrCat("core/nn/testdata/", name)).value();
}

// The file's tensors below `prefix`, without it.
TensorMap Below(const SafetensorsFile& file, absl::string_view prefix) {
  TensorMap result;
  for (const std::string& name : file.names()) {
    absl::string_view rest = name;
    if (absl::ConsumePrefix(&rest, prefix)) {
      result[std::string(rest)] = file.Get(name).value();
    }
  }
  return result;
}

int64_t Int(const SafetensorsFile& file, const std::string& key) {
  return std::stoll(file.metadata().at(key));
}

// The largest |got - want|; both in double.
double MaxDifference(const Tensor& got, const Tensor& want) {
  EXPECT_EQ(got.shape(), want.shape());
  const auto g = got.ToVector<double>();
  const auto w = want.ToVector<double>();
  double worst = 0;
  for (size_t i = 0; i < std::min(g.size(), w.size()); ++i) {
    const double d = std::abs(g[i] - w[i]);
    worst = d > worst || std::isnan(d) ? d : worst;
  }
  return worst;
}

double MaxAbs(const Tensor& x) {
  double result = 0;
  for (const double v : x.ToVector<double>()) {
    result = std::max(result, std::abs(v));
  }
  return result;
}

// A bool tensor: true where the integers are `value`.
Tensor Where(const Tensor& x, int64_t value) {
  Tensor result = Tensor::Empty(x.shape(), DType::kBool).value();
  const auto values = x.ToVector<int64_t>();
  for (size_t i = 0; i < values.size(); ++i) {
    result.mutable_data<bool>()[i] = values[i] == value;
  }
  return result;
}

// ---------------------------------------------------------------------------
// cope: post-norm, tied, learned positions, right padding. max|got - want| <=
// tolerance max(max|want|, 0.01 G), G the largest of all gradients.

TransformerNames CopeNames() {
  TransformerNames names;
  names.embedding = "embed_toks.weight";
  names.position_table = "abs_pos_emb";
  names.attention_norm = "core.layers.{}.attn_norm";
  names.query = "core.layers.{}.attn.proj_query";
  names.key = "core.layers.{}.attn.proj_key";
  names.value = "core.layers.{}.attn.proj_val";
  names.attention_out = "core.layers.{}.attn.proj_out";
  names.ffn_norm = "core.layers.{}.ff_norm";
  names.fc1 = "core.layers.{}.ff.fc1";
  names.fc2 = "core.layers.{}.ff.fc2";
  names.final_norm = "out_norm";
  names.out_in = true;
  return names;
}

class CopeTest
    : public ::testing::TestWithParam<std::tuple<DType, /*joint*/ bool>> {};

TEST_P(CopeTest, DecoderMatches) {
  const auto [dtype, joint] = GetParam();
  const double tolerance = dtype == DType::kF64 ? 1e-10 : 2e-5;
  const SafetensorsFile file =
      OpenGolden("cope/model_abs_postnorm.safetensors");
  TransformerOptions options = ContextualPositionOptions(
      Int(file, "vocab"), Int(file, "hidden"), Int(file, "nlayers"),
      Int(file, "nheads"), NormPlacement::kPost);
  options.ffn_dim = Int(file, "ff");
  options.tied_head = true;
  options.joint_qkv = joint;
  LearnedPositionsOptions positions;
  positions.count = Int(file, "block_size");
  ParameterStore store;
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Transformer model,
      Transformer::Create(options,
                          std::make_unique<LearnedPositions>(positions),
                          ParameterScope(&store, {0, dtype})));
  // Their table has an axis of extent 1 in front.
  const auto ours = [&](absl::string_view prefix) {
    TensorMap theirs = Below(file, prefix);
    Tensor& table = theirs["abs_pos_emb"];
    table = table.Reshape({table.dim(1), table.dim(2)}).value();
    return ConvertTensors(theirs, TransformerSources(options, CopeNames()));
  };
  SEPTET_ASSERT_OK_AND_ASSIGN(const TensorMap params, ours("param."));
  SEPTET_ASSERT_OK(store.Import(params));

  const Tensor pad = file.Get("pad_mask").value();
  const Tensor targets = file.Get("y").value().Clone().value();
  for (int64_t i = 0; i < pad.num_elements(); ++i) {
    if (pad.data<int64_t>()[i] == 1) targets.mutable_data<int64_t>()[i] = -100;
  }
  TransformerInput input;
  input.tokens = file.Get("x").value();
  input.mask.key_mask = Where(pad, 0);
  input.mask.keep_self = true;
  Tape tape;
  const BoundParameters p = store.Watch(&tape);
  const Var logits = model.Forward(p, Pass::Training(0, 0), input);
  CrossEntropyOptions sum;
  sum.reduction = LossReduction::kSum;
  const Var loss = Scale(CrossEntropy(logits, targets, sum),
                         1.0 / static_cast<double>(pad.dim(0)));
  SEPTET_ASSERT_OK(loss);
  const Tensor want = file.Get("logprobs").value();
  EXPECT_LE(MaxDifference(LogSoftmax(logits).tensor(), want),
            tolerance * MaxAbs(want));
  const double want_loss = file.Get("loss").value().ToVector<double>()[0];
  EXPECT_NEAR(loss.tensor().item<double>(), want_loss, tolerance * want_loss);

  SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> grads,
                              tape.Grad(loss, p.trained()));
  SEPTET_ASSERT_OK_AND_ASSIGN(const TensorMap want_grads, ours("grad."));
  ASSERT_EQ(want_grads.size(), grads.size());
  double largest = 0;
  for (const auto& [name, grad] : want_grads) {
    largest = std::max(largest, MaxAbs(grad));
  }
  for (size_t i = 0; i < grads.size(); ++i) {
    const std::string name = store.trained_names()[i];
    const Tensor& g = want_grads.at(name);
    EXPECT_LE(MaxDifference(grads[i], g),
              tolerance * std::max(MaxAbs(g), 0.01 * largest))
        << name;
  }
}

INSTANTIATE_TEST_SUITE_P(All, CopeTest,
                         ::testing::Combine(::testing::Values(DType::kF64,
                                                              DType::kF32),
                                            ::testing::Bool()));

// ---------------------------------------------------------------------------
// redshift: pre-norm, GPT-2 names, greedy decoding. |got - want| <= 1e-9 +
// 1e-9 |want| in float64, 1e-4 + 1e-4 max|want| in float32.

class RedshiftTest
    : public ::testing::TestWithParam<std::tuple<const char*, DType>> {};

TEST_P(RedshiftTest, GreedyDecodingMatches) {
  const auto& [name, dtype] = GetParam();
  const SafetensorsFile file = OpenGolden(name);
  const auto& metadata = file.metadata();
  TransformerOptions options =
      Gpt2Options(Int(file, "vocab"), Int(file, "d_model"), Int(file, "layers"),
                  Int(file, "heads"));
  SEPTET_ASSERT_OK_AND_ASSIGN(options.activation,
                              ParseActivation(metadata.at("activation")));
  options.tied_head = metadata.at("tied") == "1";
  options.init.norm_weight =
      Initializer::Constant(std::stod(metadata.at("ln_gamma")));
  LearnedPositionsOptions positions;
  positions.count = Int(file, "steps");
  ParameterStore store;
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Transformer model,
      Transformer::Create(options,
                          std::make_unique<LearnedPositions>(positions),
                          ParameterScope(&store, {0, dtype})));
  TransformerNames names = Gpt2Names();
  names.embedding = "wte";
  names.position_table = "wpe";
  names.head_weight = "lm_head";
  names.qkv = "h{}.attn.c_attn";
  names.attention_out = "h{}.attn.c_proj";
  names.fc1 = "h{}.mlp.c_fc";
  names.fc2 = "h{}.mlp.c_proj";
  names.optional_norms = true;
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const TensorMap params,
      ConvertTensors(Below(file, ""), TransformerSources(options, names),
                     {"prompt", "generated", "logits", "lz"}));
  ParameterImportOptions import;
  import.allow_missing = true;  // gains and offsets of norms
  SEPTET_ASSERT_OK(store.Import(params, import));

  const Tensor prompt = file.Get("prompt").value();
  const Tensor generated = file.Get("generated").value();
  const Tensor want = file.Get("logits").value();
  const int64_t batch = want.dim(0);
  const int64_t steps = want.dim(1);
  const double tolerance = dtype == DType::kF64 ? 1e-9 : 1e-4;
  // The lesser bound of the two in float64: without |want|.
  const double bound =
      dtype == DType::kF64 ? tolerance : tolerance * (1 + MaxAbs(want));
  // Token by token, with the cache.
  const BoundParameters p = store.Bind();
  SEPTET_ASSERT_OK_AND_ASSIGN(KvCache cache,
                              model.MakeCache(batch, steps, dtype));
  Tensor token = prompt;
  for (int64_t t = 0; t < steps; ++t) {
    SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor logits,
                                model.Extend(p, token, &cache));
    const Tensor want_t = want.Slice(1, t, t + 1)
                              .value()
                              .Contiguous()
                              .value()
                              .Reshape({batch, want.dim(2)})
                              .value();
    ASSERT_LE(MaxDifference(logits, want_t), bound) << "step " << t;
    token = ArgMax(logits).tensor();
    ASSERT_EQ(token.ToVector<int64_t>(),
              generated.Slice(1, t, t + 1).value().ToVector<int64_t>());
  }
  // All at once.
  std::vector<int64_t> tokens;
  for (int64_t b = 0; b < batch; ++b) {
    tokens.push_back(prompt.data<int64_t>()[b]);
    for (int64_t t = 0; t + 1 < steps; ++t) {
      tokens.push_back(generated.data<int64_t>()[b * steps + t]);
    }
  }
  const Var logits = model.Forward(
      p, Pass(),
      {Tensor::FromValues<int64_t>({batch, steps}, tokens).value(), {}, {}});
  SEPTET_ASSERT_OK(logits);
  EXPECT_LE(MaxDifference(logits.tensor(), want), bound);
}

INSTANTIATE_TEST_SUITE_P(
    All, RedshiftTest,
    ::testing::Combine(
        ::testing::Values("redshift/gpt_gelu_tied.safetensors",
                          "redshift/gpt_tanh_gamma4_untied.safetensors"),
        ::testing::Values(DType::kF64, DType::kF32)));

// ---------------------------------------------------------------------------
// cppo: pre-norm, Hugging Face names, left padding with positions of its own, a
// value head. The loss is linear in log-probabilities and values to first
// order, so that its gradient is that of their sum with the slopes that
// cppo.md 3.5 and 3.6 give.

struct Slopes {
  Tensor logprobs;  // [B, T]
  Tensor values;
};

Slopes CppoSlopes(const SafetensorsFile& file) {
  const auto get = [&](const std::string& name) {
    return file.Get(name).value().ToVector<double>();
  };
  const auto option = [&](const std::string& name) {
    return std::stod(file.metadata().at(name));
  };
  const auto logp = get("logprobs"), old_logp = get("old_logprobs"),
             previous = get("prev_logprobs"), v = get("response_values"),
             old_v = get("old_values"), advantages = get("advantages"),
             returns = get("returns"), alpha = get("alpha"), beta = get("beta"),
             lengths = get("response_lengths");
  const int64_t batch = static_cast<int64_t>(lengths.size());
  const int64_t time = static_cast<int64_t>(logp.size()) / batch;
  double sum = 0, alpha_sum = 0, beta_sum = 0;
  for (int64_t b = 0; b < batch; ++b) {
    sum += lengths[b];
    alpha_sum += alpha[b] * lengths[b];
    beta_sum += beta[b] * lengths[b];
  }
  std::vector<double> dlogp(logp.size()), dv(logp.size());
  const double eps = option("cliprange");
  const double eps_v = option("cliprange_value");
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t t = 0; t < static_cast<int64_t>(lengths[b]); ++t) {
      const int64_t i = b * time + t;
      const double ratio = std::exp(logp[i] - old_logp[i]);
      const double a = advantages[i];
      const bool clipped =
          (a > 0 && ratio > 1 + eps) || (a < 0 && ratio < 1 - eps);
      if (!clipped) dlogp[i] -= alpha[b] * a * ratio / alpha_sum;
      dlogp[i] +=
          option("reg_coef") * 2 * beta[b] * (logp[i] - previous[i]) / beta_sum;
      const double v_clipped =
          std::min(std::max(v[i], old_v[i] - eps_v), old_v[i] + eps_v);
      const double plain = v[i] - returns[i];
      const double other = v_clipped - returns[i];
      double slope = 0;
      if (v_clipped == v[i] || plain * plain > other * other) slope = plain;
      dv[i] = option("vf_coef") * slope / sum;
    }
  }
  const Shape shape({batch, time});
  return {Tensor::FromValues<double>(shape, dlogp).value(),
          Tensor::FromValues<double>(shape, dv).value()};
}

class CppoTest : public ::testing::TestWithParam<DType> {};

TEST_P(CppoTest, StepOfGpt2WithValueHeadMatches) {
  const DType dtype = GetParam();
  const bool f64 = dtype == DType::kF64;
  const SafetensorsFile file = OpenGolden("cppo/gpt2_step.safetensors");
  const TransformerOptions options =
      Gpt2Options(Int(file, "vocab"), Int(file, "n_embd"), Int(file, "n_layer"),
                  Int(file, "n_head"));
  LearnedPositionsOptions positions;
  positions.count = Int(file, "n_ctx");
  ParameterStore store;
  const ParameterScope scope(&store, {0, dtype});
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Transformer model,
      Transformer::Create(
          options, std::make_unique<LearnedPositions>(positions), scope));
  MlpOptions head;
  head.in = options.dim;
  head.hidden = {2 * options.dim};
  head.out = 1;
  SEPTET_ASSERT_OK_AND_ASSIGN(const Mlp value_head,
                              Mlp::Create(head, scope.Sub("v_head")));
  const auto ours = [&](absl::string_view prefix) {
    std::vector<TensorSource> sources =
        TransformerSources(options, Gpt2Names());
    sources.push_back({"v_head.0.weight", {"v_head.0.weight"}, true});
    sources.push_back({"v_head.0.bias", {"v_head.0.bias"}});
    sources.push_back({"v_head.1.weight", {"v_head.2.weight"}, true});
    sources.push_back({"v_head.1.bias", {"v_head.2.bias"}});
    return ConvertTensors(Below(file, prefix), sources, Gpt2IgnoredTensors());
  };
  SEPTET_ASSERT_OK_AND_ASSIGN(const TensorMap params, ours("param."));
  SEPTET_ASSERT_OK(store.Import(params));

  const Tensor attended = file.Get("attention_mask").value();
  const int64_t batch = attended.dim(0);
  const int64_t width = attended.dim(1);
  TransformerInput input;
  input.tokens = file.Get("input_ids").value();
  input.mask.key_mask = Where(attended, 1);
  input.mask.keep_self = true;
  input.positions = Tensor::Empty(attended.shape(), DType::kI64).value();
  for (int64_t b = 0; b < batch; ++b) {
    int64_t position = -1;
    for (int64_t t = 0; t < width; ++t) {
      position += attended.data<int64_t>()[b * width + t];
      input.positions.mutable_data<int64_t>()[b * width + t] =
          std::max<int64_t>(position, 0);
    }
  }
  Tape tape;
  const BoundParameters p = store.Watch(&tape);
  const Pass pass = Pass::Training(0, 0);
  const Var hidden = model.Hidden(p, pass, input);
  const Var logits = model.Logits(p, hidden);
  const Var values =
      Reshape(value_head.Forward(p, pass, hidden), {batch, width});
  SEPTET_ASSERT_OK(logits);
  SEPTET_ASSERT_OK(values);

  const auto near = [&](const Tensor& got, const Tensor& want,
                        const std::string& what, double f32 = 2e-5) {
    const auto g = got.ToVector<double>();
    const auto w = want.ToVector<double>();
    ASSERT_EQ(g.size(), w.size()) << what;
    for (size_t i = 0; i < g.size(); ++i) {
      ASSERT_NEAR(g[i], w[i],
                  f64 ? 1e-10 * std::abs(w[i]) + 1e-12
                      : f32 * std::abs(w[i]) + 0.1 * f32)
          << what << ", element " << i;
    }
  };
  // Rows at pads are written as 0 there.
  const Var keep = Cast(Var(Where(attended, 1)), dtype);
  near(Mul(logits, Reshape(keep, {batch, width, 1})).tensor(),
       file.Get("logits").value(), "logits");
  near(Mul(values, keep).tensor(), file.Get("values").value(), "values");

  const int64_t query = Int(file, "query_len");
  const Tensor response =
      input.tokens.Slice(1, query, width).value().Contiguous().value();
  const Var scored = LogSoftmax(Slice(logits, 1, query - 1, width - 1));
  const Var logprobs = Reshape(
      Gather(scored, 2, Reshape(Var(response), {batch, width - query, 1})),
      {batch, width - query});
  const Var response_values = Slice(values, 1, query - 1, width - 1);
  const Tensor lengths = file.Get("response_lengths").value();
  Tensor valid = Tensor::Zeros(logprobs.shape(), dtype).value();
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t t = 0; t < lengths.data<int64_t>()[b]; ++t) {
      const int64_t i = b * valid.dim(1) + t;
      if (f64) {
        valid.mutable_data<double>()[i] = 1;
      } else {
        valid.mutable_data<float>()[i] = 1;
      }
    }
  }
  const auto masked = [&](const Tensor& x) {
    return Mul(Var(x.To(dtype).value()), valid).tensor();
  };
  near(masked(logprobs.tensor()), masked(file.Get("logprobs").value()),
       "logprobs");
  near(masked(response_values.tensor()),
       masked(file.Get("response_values").value()), "response_values");

  const Slopes slopes = CppoSlopes(file);
  const Var total =
      Add(Sum(Mul(logprobs, Var(slopes.logprobs.To(dtype).value()))),
          Sum(Mul(response_values, Var(slopes.values.To(dtype).value()))));
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<Tensor> grads,
                              tape.Grad(total, p.trained()));
  SEPTET_ASSERT_OK_AND_ASSIGN(const TensorMap want, ours("grad."));
  ASSERT_EQ(want.size(), grads.size());
  for (size_t i = 0; i < grads.size(); ++i) {
    const std::string name = store.trained_names()[i];
    near(grads[i], want.at(name), name, 2e-4);
  }
}

INSTANTIATE_TEST_SUITE_P(All, CppoTest,
                         ::testing::Values(DType::kF64, DType::kF32));

}  // namespace
}  // namespace septet
