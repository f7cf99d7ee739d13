// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/interop.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/io/json_value.h"
#include "septet/core/io/safetensors.h"
#include "septet/core/nn/feed_forward.h"
#include "septet/core/nn/norm_layer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/ops/activation_kind.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/decay.h"
#include "septet/retention/gated_head_norm_kernels.h"
#include "septet/retention/positions.h"
#include "septet/retention/retention.h"
#include "septet/retention/retnet.h"

namespace septet {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using Tensors = std::map<std::string, Tensor>;

RetNetTensors ReadFile(const std::string& name) {
  RetNetTensors result;
  const absl::StatusOr<SafetensorsFile> file =
      SafetensorsFile::Open("retention/testdata/" + name + ".safetensors");
  EXPECT_THAT(file, IsOk());
  if (!file.ok()) return result;
  for (const std::string& tensor : file->names()) {
    result.tensors[tensor] = file->Get(tensor).value();
  }
  result.metadata = file->metadata();
  return result;
}

void ExpectSame(const Tensors& got, const Tensors& want) {
  for (const auto& [name, tensor] : want) {
    ASSERT_EQ(got.count(name), 1u) << name;
    ASSERT_EQ(got.at(name).dtype(), tensor.dtype()) << name;
    ASSERT_EQ(got.at(name).shape(), tensor.shape()) << name;
    const Tensor a = got.at(name).Contiguous().value();
    const Tensor b = tensor.Contiguous().value();
    EXPECT_EQ(std::memcmp(
                  a.raw_data(), b.raw_data(),
                  static_cast<size_t>(a.num_elements()) * DTypeSize(a.dtype())),
              0)
        << name;
  }
  EXPECT_EQ(got.size(), want.size());
}

// A model of such options, with parameters, as a checkpoint.
RetNetCheckpoint MakeCheckpoint(const RetNetOptions& options) {
  RetNetCheckpoint result;
  result.options = options;
  ParameterStore store;
  EXPECT_THAT(RetNet::Create(options, ParameterScope(&store, {3})), IsOk());
  result.parameters = store.Export();
  return result;
}

RetNetOptions SmallOptions() {
  RetNetOptions options = DefaultRetNetOptions(11, 8, 2, 2, 12);
  options.retention.score_norm = ScoreNorm::kTorchscale;
  options.retention.chunk_size = 512;
  return options;
}

RetNetOptions LegacyOptions() {
  RetNetOptions options = DefaultRetNetOptions(11, 8, 2, 2, 16);
  options.retention.score_norm = ScoreNorm::kTorchscaleLegacy;
  options.retention.head_norm = HeadNorm::kLayer;
  options.retention.bias = true;
  options.retention.chunk_size = 4;
  options.norm = NormKind::kLayer;
  options.norm_eps = 1e-5;
  options.ffn = FeedForwardKind::kMlp;
  options.ffn_bias = true;
  options.ffn_hidden_norm = NormKind::kLayer;
  options.activation = ActivationKind::kGelu;
  options.embedding_norm = true;
  options.embedding_scale = std::sqrt(8.0);
  return options;
}

class RoundTrip : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Files, RoundTrip,
                         ::testing::Values("ckpt_torchscale", "ckpt_syncdoth",
                                           "ckpt_fla"));

TEST_P(RoundTrip, KeepsEveryBitAndTheMetadata) {
  const RetNetTensors file = ReadFile(GetParam());
  SEPTET_ASSERT_OK_AND_ASSIGN(const RetNetCheckpoint checkpoint,
                              ImportRetNet(file.tensors, file.metadata));
  EXPECT_EQ("ckpt_" + std::string(RetNetFormatName(checkpoint.format)),
            GetParam());
  SEPTET_ASSERT_OK_AND_ASSIGN(const RetNetTensors out,
                              ExportRetNet(checkpoint));
  ExpectSame(out.tensors, file.tensors);
  EXPECT_EQ(out.metadata, file.metadata);
}

TEST_P(RoundTrip, KeepsOtherDTypes) {
  const RetNetTensors file = ReadFile(GetParam());
  for (const DType dtype : {DType::kF64, DType::kF16, DType::kBF16}) {
    Tensors tensors;
    for (const auto& [name, tensor] : file.tensors) {
      tensors[name] = tensor.To(dtype).value();
    }
    SEPTET_ASSERT_OK_AND_ASSIGN(const RetNetCheckpoint checkpoint,
                                ImportRetNet(tensors, file.metadata));
    SEPTET_ASSERT_OK_AND_ASSIGN(const RetNetTensors out,
                                ExportRetNet(checkpoint));
    ExpectSame(out.tensors, tensors);
  }
}

// Without any one of its tensors a file is refused by that tensor's name.
TEST_P(RoundTrip, NamesWhatIsMissing) {
  const RetNetTensors file = ReadFile(GetParam());
  for (const auto& [name, tensor] : file.tensors) {
    // What says the format, a tied head, or fewer features by its absence.
    if (name.find("embed") != std::string::npos || name.find("lm_head") == 0 ||
        name == "output_projection.weight") {
      continue;
    }
    Tensors tensors = file.tensors;
    tensors.erase(name);
    EXPECT_THAT(ImportRetNet(tensors, file.metadata),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AnyOf(HasSubstr("'" + name + "'"),
                               HasSubstr("as the tensors have"))))
        << name;
  }
}

// One of another shape, or of integers, is refused by its name.
TEST_P(RoundTrip, NamesWhatHasAnotherShape) {
  const RetNetTensors file = ReadFile(GetParam());
  for (const auto& [name, tensor] : file.tensors) {
    Tensors tensors = file.tensors;
    tensors[name] = Tensor::Zeros({3, 1, 2}, DType::kF32).value();
    EXPECT_THAT(ImportRetNet(tensors, file.metadata),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(name)));
    tensors[name] = Tensor::Zeros(tensor.shape(), DType::kI64).value();
    EXPECT_THAT(ImportRetNet(tensors, file.metadata),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(name)));
  }
}

TEST(ImportRetNetTest, ReadsWhatTheFilesSay) {
  const RetNetTensors file = ReadFile("ckpt_torchscale");
  SEPTET_ASSERT_OK_AND_ASSIGN(const RetNetCheckpoint c,
                              ImportRetNet(file.tensors, file.metadata));
  const RetNetOptions& o = c.options;
  EXPECT_EQ(o.vocab_size, 29);
  EXPECT_EQ(o.dim, 16);
  EXPECT_EQ(o.layers, 2);
  EXPECT_EQ(o.value_dim, 24);
  EXPECT_EQ(o.ffn_dim, 20);
  EXPECT_EQ(o.retention.heads, 2);
  EXPECT_EQ(o.activation, ActivationKind::kSwish);
  EXPECT_EQ(o.retention.score_norm, ScoreNorm::kTorchscale);
  EXPECT_FALSE(o.tied_head);
  // The file's buffers, rounded as they are, and their formulas.
  EXPECT_EQ(o.retention.decay.kind, DecayKind::kCustomLog);
  const std::vector<float> decay = c.decay.ToVector<float>();
  EXPECT_EQ(o.retention.decay.custom,
            std::vector<double>(decay.begin(), decay.end()));
  EXPECT_EQ(o.retention.frequencies.size(), 4u);
  EXPECT_EQ(static_cast<float>(o.retention.frequencies[3]),
            c.angle.ToVector<float>()[6]);
  RetNetImportOptions exact;
  exact.exact_decay = true;
  SEPTET_ASSERT_OK_AND_ASSIGN(const RetNetCheckpoint e,
                              ImportRetNet(file.tensors, file.metadata, exact));
  EXPECT_EQ(e.options.retention.decay.kind, DecayKind::kTorchscale);
  EXPECT_TRUE(e.options.retention.frequencies.empty());
  // The buffers are kept all the same.
  SEPTET_ASSERT_OK_AND_ASSIGN(const RetNetTensors out, ExportRetNet(e));
  ExpectSame(out.tensors, file.tensors);
}

TEST(ImportRetNetTest, ReadsFla) {
  const RetNetTensors file = ReadFile("ckpt_fla");
  SEPTET_ASSERT_OK_AND_ASSIGN(const RetNetCheckpoint c,
                              ImportRetNet(file.tensors, file.metadata));
  EXPECT_EQ(c.options.retention.rotary, RetNetRotary::kHalfRope);
  EXPECT_EQ(c.options.retention.score_norm, ScoreNorm::kNone);
  EXPECT_EQ(c.options.retention.head_norm, HeadNorm::kRmsAffine);
  EXPECT_EQ(c.options.value_dim, 32);
  // Under the name of a norm that is not fused.
  Tensors unfused;
  for (const auto& [name, tensor] : file.tensors) {
    std::string other = name;
    const size_t at = other.find("g_norm_swish_gate");
    if (at != std::string::npos) other.replace(at, 17, "g_norm");
    unfused[other] = tensor;
  }
  SEPTET_ASSERT_OK_AND_ASSIGN(const RetNetCheckpoint u,
                              ImportRetNet(unfused, file.metadata));
  EXPECT_FALSE(u.fused_head_norm);
  SEPTET_ASSERT_OK_AND_ASSIGN(const RetNetTensors out, ExportRetNet(u));
  ExpectSame(out.tensors, unfused);
}

TEST(ImportRetNetTest, ConvertsBetweenTorchscaleAndSyncdoth) {
  const RetNetTensors torchscale = ReadFile("ckpt_torchscale");
  const RetNetTensors syncdoth = ReadFile("ckpt_syncdoth");
  SEPTET_ASSERT_OK_AND_ASSIGN(
      RetNetCheckpoint c,
      ImportRetNet(torchscale.tensors, torchscale.metadata));
  c.format = RetNetFormat::kSyncdoth;
  SEPTET_ASSERT_OK_AND_ASSIGN(RetNetTensors out, ExportRetNet(c));
  ExpectSame(out.tensors, syncdoth.tensors);
  c.format = RetNetFormat::kTorchscale;
  c.prefix = "decoder.";
  SEPTET_ASSERT_OK_AND_ASSIGN(out, ExportRetNet(c));
  EXPECT_EQ(out.tensors.count("decoder.retnet_rel_pos.angle"), 1u);
  SEPTET_ASSERT_OK_AND_ASSIGN(const RetNetCheckpoint back,
                              ImportRetNet(out.tensors, out.metadata));
  EXPECT_EQ(back.prefix, "decoder.");
  ExpectSame(back.parameters, c.parameters);
}

TEST(ImportRetNetTest, LegacyModelsOfEachPlacementComeBack) {
  for (const RetNetPlacement placement :
       {RetNetPlacement::kPre, RetNetPlacement::kPost,
        RetNetPlacement::kDeepNorm, RetNetPlacement::kDeepNormPreNormQuirk}) {
    RetNetOptions options = LegacyOptions();
    options.placement = placement;
    const RetNetCheckpoint c = MakeCheckpoint(options);
    SEPTET_ASSERT_OK_AND_ASSIGN(const RetNetTensors out, ExportRetNet(c));
    EXPECT_EQ(out.tensors.count("layers.1.ffn.ffn_layernorm.bias"), 1u);
    SEPTET_ASSERT_OK_AND_ASSIGN(const RetNetCheckpoint back,
                                ImportRetNet(out.tensors, out.metadata));
    ExpectSame(back.parameters, c.parameters);
    EXPECT_EQ(back.options.placement, placement);
    EXPECT_EQ(back.options.retention.score_norm, ScoreNorm::kTorchscaleLegacy);
    EXPECT_EQ(back.options.retention.head_norm, HeadNorm::kLayer);
    EXPECT_EQ(back.options.retention.head_norm_eps, 1e-6);
    EXPECT_EQ(back.options.retention.chunk_size, 4);
    EXPECT_EQ(back.options.norm_eps, 1e-5);
    EXPECT_EQ(back.options.embedding_scale, options.embedding_scale);
    EXPECT_EQ(back.options.activation, ActivationKind::kGelu);
  }
}

TEST(ImportRetNetTest, TiedHeadsAreInTheFileOnceOrTwice) {
  RetNetOptions options = SmallOptions();
  options.tied_head = true;
  RetNetCheckpoint c = MakeCheckpoint(options);
  for (const RetNetFormat format :
       {RetNetFormat::kTorchscale, RetNetFormat::kSyncdoth}) {
    c.format = format;
    for (const bool twice : {false, true}) {
      c.stores_tied_head = twice;
      SEPTET_ASSERT_OK_AND_ASSIGN(RetNetTensors out, ExportRetNet(c));
      SEPTET_ASSERT_OK_AND_ASSIGN(const RetNetCheckpoint back,
                                  ImportRetNet(out.tensors, out.metadata));
      EXPECT_TRUE(back.options.tied_head);
      EXPECT_EQ(back.stores_tied_head, twice);
      if (!twice) continue;
      const std::string head = format == RetNetFormat::kTorchscale
                                   ? "output_projection.weight"
                                   : "lm_head.weight";
      out.tensors[head] = Tensor::Zeros({11, 8}, DType::kF32).value();
      EXPECT_THAT(ImportRetNet(out.tensors, out.metadata),
                  StatusIs(absl::StatusCode::kInvalidArgument,
                           HasSubstr("'" + head + "' differs from")));
    }
  }
}

// ln gamma of the desk model, rounded once.
TEST(ExportRetNetTest, MakesBuffersWhereThereAreNone) {
  RetNetCheckpoint c = MakeCheckpoint(SmallOptions());
  SEPTET_ASSERT_OK_AND_ASSIGN(RetNetTensors out, ExportRetNet(c));
  EXPECT_EQ(out.tensors.at("retnet_rel_pos.decay").ToVector<float>(),
            (std::vector<float>{static_cast<float>(std::log1p(-1.0 / 32)),
                                static_cast<float>(std::log1p(-1.0 / 64))}));
  EXPECT_EQ(out.tensors.at("retnet_rel_pos.angle").ToVector<float>(),
            (std::vector<float>{1, 1, 1e-4f, 1e-4f}));
  // Files without buffers are read by the formulas.
  out.tensors.erase("retnet_rel_pos.decay");
  EXPECT_THAT(ImportRetNet(out.tensors, out.metadata),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("'retnet_rel_pos.decay' is missing")));
  out.tensors.erase("retnet_rel_pos.angle");
  SEPTET_ASSERT_OK_AND_ASSIGN(const RetNetCheckpoint back,
                              ImportRetNet(out.tensors, out.metadata));
  EXPECT_EQ(back.options.retention.decay.kind, DecayKind::kTorchscale);
  SEPTET_ASSERT_OK_AND_ASSIGN(const RetNetTensors again, ExportRetNet(back));
  ExpectSame(again.tensors, out.tensors);
}

TEST(ImportRetNetTest, ForeignFilesAreRefused) {
  const Tensor x = Tensor::Zeros({2, 2}, DType::kF32).value();
  EXPECT_THAT(ImportRetNet({}, {}), StatusIs(absl::StatusCode::kInvalidArgument,
                                             HasSubstr("(fla) among 0")));
  EXPECT_THAT(ImportRetNet({{"wte.weight", x}}, {}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("the first of which is 'wte.weight'")));
  EXPECT_THAT(
      ImportRetNet({{"model.embed_tokens.weight", x},
                    {"model.layers.0.self_attn.q_proj.weight", x}},
                   {}),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("'model.layers.0.retention.v_proj.weight' is missing, "
                         "expected a matrix")));
}

TEST(ImportRetNetTest, UnsupportedFeaturesAreRefusedByName) {
  const Tensor x = Tensor::Zeros({2, 2}, DType::kF32).value();
  const RetNetTensors torchscale = ReadFile("ckpt_torchscale");
  const RetNetTensors fla = ReadFile("ckpt_fla");
  const auto expect_refused = [](RetNetTensors file, const std::string& key,
                                 const std::string& value) {
    file.metadata[key] = value;
    EXPECT_THAT(ImportRetNet(file.tensors, file.metadata),
                StatusIs(absl::StatusCode::kUnimplemented,
                         HasSubstr("metadata '" + key + "' is '" + value +
                                   "', which is not supported")));
  };
  expect_refused(torchscale, "multiway", "True");
  expect_refused(torchscale, "moe_freq", "2");
  expect_refused(torchscale, "no_output_layer", "true");
  expect_refused(fla, "use_short_conv", "True");
  expect_refused(fla, "feature_map", "relu");
  expect_refused(fla, "attn", "{...}");
  expect_refused(fla, "num_kv_heads", "1");
  expect_refused(fla, "expand_k", "0.5");
  for (const char* name :
       {"layers.0.moe_layer.gate.wg.weight", "layers.0.ffn.A.fc1.weight",
        "layers.0.ffn.B.fc1.weight", "layers.0.attn.q_conv1d.weight"}) {
    RetNetTensors file = torchscale;
    file.tensors[name] = x;
    EXPECT_THAT(ImportRetNet(file.tensors, file.metadata),
                StatusIs(absl::StatusCode::kUnimplemented, HasSubstr(name)));
  }
}

TEST(ImportRetNetTest, MetadataMustBeWholeAndAgree) {
  const RetNetTensors file = ReadFile("ckpt_torchscale");
  for (const char* key :
       {"activation_fn", "layernorm_eps", "no_scale_embedding"}) {
    std::map<std::string, std::string> metadata = file.metadata;
    metadata.erase(key);
    EXPECT_THAT(
        ImportRetNet(file.tensors, metadata),
        StatusIs(absl::StatusCode::kInvalidArgument,
                 HasSubstr("metadata '" + std::string(key) + "' is missing")));
  }
  const std::pair<const char*, const char*> kWrong[] = {
      {"activation_fn", "tanh"},
      {"layernorm_eps", "nan"},
      {"no_scale_embedding", "maybe"},
      {"decoder_layers", "3"},
      {"decoder_embed_dim", "17"},
      {"decoder_value_embed_dim", "x"},
      {"decoder_ffn_embed_dim", "1e3"},
      {"decoder_retention_heads", "4"},
      {"vocab_size", "30"},
      {"layernorm_embedding", "True"},
      {"recurrent_chunk_size", "many"},
      {"deepnorm", "?"}};
  for (const auto& [key, value] : kWrong) {
    std::map<std::string, std::string> metadata = file.metadata;
    metadata[key] = value;
    EXPECT_THAT(ImportRetNet(file.tensors, metadata),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("metadata '" + std::string(key) + "' is '" +
                                   value + "', expected")));
  }
  std::map<std::string, std::string> metadata = file.metadata;
  metadata["recurrent_chunk_size"] = "0";
  EXPECT_THAT(ImportRetNet(file.tensors, metadata),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("chunk_size is 0")));
}

TEST(ImportRetNetTest, UnknownTensorsGapsAndBuffersAreNamed) {
  const RetNetTensors file = ReadFile("ckpt_torchscale");
  const Tensor x = Tensor::Zeros({2, 2}, DType::kF32).value();
  const auto expect = [&](const std::string& name, const Tensor& tensor,
                          const std::string& message, bool exact = false) {
    Tensors tensors = file.tensors;
    tensors[name] = tensor;
    RetNetImportOptions options;
    options.exact_decay = exact;
    EXPECT_THAT(
        ImportRetNet(tensors, file.metadata, options),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
  };
  expect("more.weight", x, "unknown 1: 'more.weight'");
  expect("x.retnet_rel_pos.angle", x, "unknown 1: 'x.retnet_rel_pos.angle'");
  expect("layers.7.x", x, "of 'layers.7', expected layer 2 next");
  expect("retnet_rel_pos.decay",
         Tensor::FromValues<float>({2}, {-0.1f, 0.5f}).value(),
         "'retnet_rel_pos.decay' has 0.5 at 1");
  expect("retnet_rel_pos.decay",
         Tensor::FromValues<float>({2}, {-0.1f, -0.2f}).value(),
         "is of no known formula", /*exact=*/true);
  expect("retnet_rel_pos.decay", Tensor::Zeros({3}, DType::kF32).value(),
         "'decoder_retention_heads' is '2', expected 3");
  expect("retnet_rel_pos.angle",
         Tensor::FromValues<float>({8}, {1, 1, 2, 3, 0, 0, 0, 0}).value(),
         "'retnet_rel_pos.angle' has 2 and 3 at 2");
  expect("retnet_rel_pos.angle",
         Tensor::FromValues<float>({8}, {1, 1, 2, 2, 0, 0, 0, 0}).value(),
         "'retnet_rel_pos.angle' has 2 at 2, expected", /*exact=*/true);
}

// Logits of the model that a file is, in float64.
std::vector<double> LogitsOf(const RetNetCheckpoint& c) {
  ParameterStore store;
  const absl::StatusOr<RetNet> model =
      RetNet::Create(c.options, ParameterScope(&store, {0, DType::kF64}));
  EXPECT_THAT(model, IsOk());
  EXPECT_THAT(store.Import(c.parameters), IsOk());
  RetNetInput input;
  input.tokens =
      Tensor::FromValues<int64_t>({1, 6}, {1, 5, 2, 8, 3, 9}).value();
  input.form = RetentionForm::kParallel;
  const Var logits = model->Forward(store.Bind(), Pass(), input);
  EXPECT_THAT(logits.status(), IsOk());
  return logits.tensor().ToVector<double>();
}

double Farthest(const std::vector<double>& a, const std::vector<double>& b) {
  double result = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    result = std::max(result, std::abs(a[i] - b[i]));
  }
  return result;
}

// The file's rounded buffers are what is computed with, unless they are to be
// computed anew; other angles give another model.
TEST(ImportRetNetTest, BuffersAreComputedWith) {
  const RetNetTensors file = ReadFile("ckpt_torchscale");
  SEPTET_ASSERT_OK_AND_ASSIGN(const RetNetCheckpoint kept,
                              ImportRetNet(file.tensors, file.metadata));
  RetNetImportOptions anew;
  anew.exact_decay = true;
  SEPTET_ASSERT_OK_AND_ASSIGN(const RetNetCheckpoint exact,
                              ImportRetNet(file.tensors, file.metadata, anew));
  const double rounding = Farthest(LogitsOf(kept), LogitsOf(exact));
  EXPECT_GT(rounding, 1e-12);
  EXPECT_LT(rounding, 1e-6);
  Tensors tensors = file.tensors;
  tensors["retnet_rel_pos.angle"] =
      Tensor::FromValues<float>({8}, {2, 2, 1, 1, 0.5, 0.5, 0, 0}).value();
  SEPTET_ASSERT_OK_AND_ASSIGN(const RetNetCheckpoint other,
                              ImportRetNet(tensors, file.metadata));
  EXPECT_GT(Farthest(LogitsOf(other), LogitsOf(exact)), 1e-4);
}

TEST(ImportRetNetTest, FrequenciesAreChecked) {
  RetNetOptions options = SmallOptions();
  options.retention.frequencies = {1};
  EXPECT_THAT(options.Validate(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("there are 1 frequencies, expected 2")));
  options.retention.frequencies = {1, std::nan("")};
  EXPECT_THAT(options.Validate(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("frequencies[1] is nan, expected finite")));
  options.retention.frequencies = {1, 2};
  EXPECT_THAT(options.Validate(), IsOk());
  options.retention.rotary = RetNetRotary::kNone;
  EXPECT_THAT(options.Validate(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("there are 2 frequencies, expected 0")));
}

TEST(ImportRetNetTest, FlaMetadataMustAgree) {
  const RetNetTensors file = ReadFile("ckpt_fla");
  const std::pair<const char*, const char*> kWrong[] = {
      {"num_heads", "4"},           {"hidden_size", "32"},
      {"num_hidden_layers", "1"},   {"intermediate_size", "21"},
      {"expand_v", "1.5"},          {"norm_eps", "small"},
      {"hidden_act", "mish"},       {"use_output_gate", "False"},
      {"elementwise_affine", "no"}, {"elementwise_affine", "False"}};
  for (const auto& [key, value] : kWrong) {
    std::map<std::string, std::string> metadata = file.metadata;
    metadata[key] = value;
    EXPECT_THAT(ImportRetNet(file.tensors, metadata),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("metadata '" + std::string(key) + "' is '" +
                                   value + "', expected")));
  }
  // Without a gate and norm weights, heads are for the metadata to say.
  RetNetOptions options = SmallOptions();
  options.retention.score_norm = ScoreNorm::kNone;
  options.retention.rotary = RetNetRotary::kHalfRope;
  options.retention.gate = false;
  RetNetCheckpoint c = MakeCheckpoint(options);
  c.format = RetNetFormat::kFla;
  SEPTET_ASSERT_OK_AND_ASSIGN(RetNetTensors out, ExportRetNet(c));
  EXPECT_EQ(out.metadata["use_output_gate"], "False");
  EXPECT_EQ(out.metadata["expand_v"], "1.5");
  SEPTET_ASSERT_OK_AND_ASSIGN(const RetNetCheckpoint back,
                              ImportRetNet(out.tensors, out.metadata));
  ExpectSame(back.parameters, c.parameters);
  EXPECT_FALSE(back.options.retention.gate);
  EXPECT_EQ(back.options.retention.head_norm, HeadNorm::kRms);
  out.metadata.erase("num_heads");
  EXPECT_THAT(ImportRetNet(out.tensors, out.metadata),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("metadata 'num_heads' is missing")));
  out.metadata["num_heads"] = "3";
  EXPECT_THAT(ImportRetNet(out.tensors, out.metadata),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("heads is 3, expected a divisor of the width "
                                 "8")));
  out.metadata["num_heads"] = "0";
  EXPECT_THAT(ImportRetNet(out.tensors, out.metadata),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("heads is 0, expected a divisor")));
}

TEST(ImportRetNetTest, FewerOrNarrowerKeysAreRefused) {
  const RetNetTensors file = ReadFile("ckpt_fla");
  const std::string at = "model.layers.0.attn.";
  Tensors tensors = file.tensors;
  tensors[at + "k_proj.weight"] = Tensor::Zeros({8, 16}, DType::kF32).value();
  EXPECT_THAT(ImportRetNet(tensors, file.metadata),
              StatusIs(absl::StatusCode::kUnimplemented,
                       HasSubstr("num_kv_heads below num_heads")));
  tensors[at + "q_proj.weight"] = tensors[at + "k_proj.weight"];
  EXPECT_THAT(ImportRetNet(tensors, file.metadata),
              StatusIs(absl::StatusCode::kUnimplemented,
                       HasSubstr("expand_k other than 1")));
}

TEST(ImportRetNetTest, AHeadThatMetadataHasNotTiedMustBeThere) {
  RetNetTensors file = ReadFile("ckpt_torchscale");
  file.tensors.erase("output_projection.weight");
  SEPTET_ASSERT_OK_AND_ASSIGN(const RetNetCheckpoint tied,
                              ImportRetNet(file.tensors, file.metadata));
  EXPECT_TRUE(tied.options.tied_head);
  file.metadata["share_decoder_input_output_embed"] = "False";
  EXPECT_THAT(ImportRetNet(file.tensors, file.metadata),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("missing 1: 'output_projection.weight'")));
}

TEST(ExportRetNetTest, WhatAFormatCannotSayIsRefused) {
  const auto expect = [](const RetNetOptions& options, RetNetFormat format,
                         const std::string& message) {
    RetNetCheckpoint c = MakeCheckpoint(options);
    c.format = format;
    EXPECT_THAT(ExportRetNet(c), StatusIs(absl::StatusCode::kInvalidArgument,
                                          HasSubstr(message)));
  };
  RetNetOptions o = SmallOptions();
  expect(o, RetNetFormat::kFla, "option retention.rotary is another");
  o.retention.gate = false;
  expect(o, RetNetFormat::kTorchscale,
         "option retention.gate is false, expected true");
  o = SmallOptions();
  o.retention.score_norm = ScoreNorm::kPaper;
  expect(o, RetNetFormat::kSyncdoth, "option retention.score_norm");
  o = SmallOptions();
  o.embedding_scale = 3;
  expect(o, RetNetFormat::kTorchscale, "option embedding_scale is 3");
  o = SmallOptions();
  o.activation = ActivationKind::kTanh;
  expect(o, RetNetFormat::kTorchscale, "option activation is tanh");
  o = LegacyOptions();
  o.retention.head_norm_eps = 1e-5;
  expect(o, RetNetFormat::kTorchscale,
         "option retention.head_norm_eps is 1e-05, expected 1e-06");
  o = SmallOptions();
  o.retention.score_norm = ScoreNorm::kDecay;
  o.retention.learnable_decay = true;
  expect(o, RetNetFormat::kTorchscale, "option retention.learnable_decay");

  RetNetCheckpoint c = MakeCheckpoint(SmallOptions());
  c.parameters.erase("layers.1.ffn.fc2.weight");
  EXPECT_THAT(ExportRetNet(c),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("missing 1: 'layers.1.ffn.fc2.weight'")));
  c.parameters["layers.1.ffn.fc2.weight"] =
      Tensor::Zeros({2, 2}, DType::kF32).value();
  EXPECT_THAT(ExportRetNet(c), StatusIs(absl::StatusCode::kInvalidArgument,
                                        HasSubstr("expected floating numbers "
                                                  "of shape [12, 8]")));
}

TEST(RetNetConfigMetadataTest, FlattensAConfig) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const JsonValue json,
      JsonValue::Parse(R"({"hidden_act": "swish", "norm_eps": 1e-06,
                           "num_heads": 2, "use_short_conv": false,
                           "feature_map": null, "attn": {"layers": [1]},
                           "architectures": ["A"]})",
                       "config.json"));
  SEPTET_ASSERT_OK_AND_ASSIGN(const auto metadata, RetNetConfigMetadata(json));
  EXPECT_EQ(metadata,
            (std::map<std::string, std::string>{{"hidden_act", "swish"},
                                                {"norm_eps", "1e-06"},
                                                {"num_heads", "2"},
                                                {"use_short_conv", "False"},
                                                {"attn", "{...}"},
                                                {"architectures", "[...]"}}));
  SEPTET_ASSERT_OK_AND_ASSIGN(const JsonValue list,
                              JsonValue::Parse("[1]", "config.json"));
  EXPECT_THAT(
      RetNetConfigMetadata(list),
      StatusIs(absl::StatusCode::kDataLoss, HasSubstr("expected a config")));
}

}  // namespace
}  // namespace septet
