// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/model_options.h"

#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/nn/feed_forward.h"
#include "septet/core/nn/initializer.h"
#include "septet/core/nn/norm_layer.h"
#include "septet/core/ops/activation_kind.h"
#include "septet/retention/decay.h"
#include "septet/retention/gated_head_norm_kernels.h"
#include "septet/retention/positions.h"
#include "septet/retention/retention.h"

namespace septet {
namespace {

DecayKind DecayOf(RetNetDecayNames::Kind kind) {
  switch (kind) {
    case RetNetDecayNames::torchscale:
      return DecayKind::kTorchscale;
    case RetNetDecayNames::linspace:
      return DecayKind::kLinspace;
    case RetNetDecayNames::fixed:
      return DecayKind::kFixed;
    case RetNetDecayNames::none:
      return DecayKind::kNone;
    case RetNetDecayNames::custom:
      return DecayKind::kCustom;
  }
  return DecayKind::kTorchscale;
}

ScoreNorm ScoreNormOf(RetNetScoreNormNames::Kind kind) {
  switch (kind) {
    case RetNetScoreNormNames::none:
      return ScoreNorm::kNone;
    case RetNetScoreNormNames::decay:
      return ScoreNorm::kDecay;
    case RetNetScoreNormNames::paper:
      return ScoreNorm::kPaper;
    case RetNetScoreNormNames::torchscale:
      return ScoreNorm::kTorchscale;
    case RetNetScoreNormNames::torchscale_legacy:
      return ScoreNorm::kTorchscaleLegacy;
  }
  return ScoreNorm::kDecay;
}

HeadNorm HeadNormOf(RetNetGroupNormNames::Kind kind) {
  switch (kind) {
    case RetNetGroupNormNames::rms:
      return HeadNorm::kRms;
    case RetNetGroupNormNames::rms_affine:
      return HeadNorm::kRmsAffine;
    case RetNetGroupNormNames::layer:
      return HeadNorm::kLayer;
    case RetNetGroupNormNames::none:
      return HeadNorm::kNone;
  }
  return HeadNorm::kRms;
}

RetNetRotary RotaryOf(RetNetRotaryNames::Kind kind) {
  switch (kind) {
    case RetNetRotaryNames::interleaved_linspace:
      return RetNetRotary::kInterleavedLinspace;
    case RetNetRotaryNames::half_rope:
      return RetNetRotary::kHalfRope;
    case RetNetRotaryNames::none:
      return RetNetRotary::kNone;
  }
  return RetNetRotary::kInterleavedLinspace;
}

RetNetPlacement PlacementOf(RetNetResidualNames::Kind kind) {
  switch (kind) {
    case RetNetResidualNames::prenorm:
      return RetNetPlacement::kPre;
    case RetNetResidualNames::deepnorm:
      return RetNetPlacement::kDeepNorm;
    case RetNetResidualNames::deepnorm_prenorm_quirk:
      return RetNetPlacement::kDeepNormPreNormQuirk;
    case RetNetResidualNames::postnorm:
      return RetNetPlacement::kPost;
  }
  return RetNetPlacement::kPre;
}

ActivationKind ActivationOf(RetNetActivationNames::Kind kind) {
  switch (kind) {
    case RetNetActivationNames::swish:
      return ActivationKind::kSwish;
    case RetNetActivationNames::gelu:
      return ActivationKind::kGelu;
    case RetNetActivationNames::relu:
      return ActivationKind::kRelu;
  }
  return ActivationKind::kSwish;
}

int64_t ValueDim(const RetNetModelOptions& m) {
  if (m.value_dim() > 0) return m.value_dim();
  if (!m.gate()) return m.dim();
  return m.ffn() == RetNetFfnNames::mlp ? int64_t{2} * m.dim()
                                        : FeedForwardWidth(m.dim(), 5, 3, 16);
}

int64_t FfnDim(const RetNetModelOptions& m) {
  if (m.ffn_dim() > 0) return m.ffn_dim();
  // Without a gate the network has what the gate and the wider values had.
  if (m.ffn() == RetNetFfnNames::mlp) {
    return (m.gate() ? int64_t{2} : int64_t{4}) * m.dim();
  }
  return FeedForwardWidth(m.dim(), m.gate() ? 5 : 8, 3, 16);
}

struct Preset {
  const char* name;
  int32_t dim;
  int32_t layers;
  int32_t heads;
  int32_t value_dim;
  bool paper;
};
constexpr Preset kPresets[] = {
    {"desk", 64, 2, 2, 96, false},        {"base", 512, 6, 2, 864, false},
    {"medium", 1024, 16, 4, 1728, false}, {"xl", 2048, 24, 8, 3456, false},
    {"3b", 2560, 32, 10, 4280, false},    {"7b", 4096, 32, 16, 6912, false},
    {"13b", 5120, 40, 20, 8560, false},   {"65b", 8192, 64, 32, 13824, false},
    {"1.3b", 2048, 24, 8, 4096, true},    {"2.7b", 2560, 32, 10, 5120, true},
    {"6.7b", 4096, 32, 16, 8192, true},
};

}  // namespace

absl::StatusOr<RetNetOptions> RetNetOptionsOf(
    const RetNetModelOptions& message) {
  const RetNetModelOptions& m = message;
  RetNetOptions options;
  options.vocab_size = m.vocab_size();
  options.dim = m.dim();
  options.layers = m.layers();
  if (m.dim() < 1 || m.layers() < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("model: dim is ", m.dim(), " and layers is ", m.layers(),
                     ", expected at least 1"));
  }
  options.value_dim = ValueDim(m);
  options.ffn_dim = FfnDim(m);
  MultiScaleRetentionOptions& retention = options.retention;
  retention.heads = m.heads();
  retention.score_norm = ScoreNormOf(m.score_norm());
  retention.chunk_size = m.chunk_size();
  retention.rotary = RotaryOf(m.rotary());
  retention.decay.kind = DecayOf(m.decay());
  retention.decay.fixed = m.fixed_gamma();
  retention.decay.custom.assign(m.gammas().begin(), m.gammas().end());
  if (m.decay() != RetNetDecayNames::custom && m.gammas_size() > 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("model.gammas has ", m.gammas_size(),
                     " values, expected none but with model.decay=custom"));
  }
  retention.learnable_decay = m.learnable_decay();
  retention.head_norm = HeadNormOf(m.group_norm());
  retention.head_norm_eps =
      m.group_norm_eps() > 0 ? m.group_norm_eps() : m.norm_eps();
  retention.gate = m.gate();
  retention.bias = m.biases();
  retention.dropout = m.dropout();
  options.placement = PlacementOf(m.residual());
  options.norm =
      m.norm() == RetNetNormNames::layer ? NormKind::kLayer : NormKind::kRms;
  options.norm_eps = m.norm_eps();
  options.ffn = m.ffn() == RetNetFfnNames::mlp ? FeedForwardKind::kMlp
                                               : FeedForwardKind::kGlu;
  options.activation = ActivationOf(m.activation());
  options.ffn_bias = m.biases();
  if (m.subln()) options.ffn_hidden_norm = NormKind::kLayer;
  options.embedding_norm = m.embedding_norm();
  const double root = std::sqrt(static_cast<double>(m.dim()));
  if (m.scale_embedding()) options.embedding_scale = root;
  options.tied_head = m.tied();
  options.embedding_dropout = m.dropout();
  options.ffn_dropout = m.dropout();
  RetNetInit& init = options.init;
  init.embedding = init.head = Initializer::Normal(0, 1 / root);
  double scale = 1;
  if (m.residual() == RetNetResidualNames::deepnorm ||
      m.residual() == RetNetResidualNames::deepnorm_prenorm_quirk) {
    scale *= DeepNormScale(m.layers());
  }
  if (m.subln()) scale *= SubLnScale(m.layers());
  if (scale != 1) {
    for (Initializer* field :
         {&init.value, &init.retention_out, &init.fc1, &init.fc2}) {
      *field = field->Scaled(scale);
    }
  }
  SEPTET_RETURN_IF_ERROR(options.Validate()) << "model";
  return options;
}

absl::StatusOr<RetNetModelOptions> RetNetPreset(absl::string_view name) {
  for (const Preset& preset : kPresets) {
    if (name != preset.name) continue;
    RetNetModelOptions m;
    m.set_dim(preset.dim);
    m.set_layers(preset.layers);
    m.set_heads(preset.heads);
    m.set_value_dim(preset.value_dim);
    m.set_ffn_dim(preset.value_dim);
    if (preset.dim / preset.heads >= 256) m.set_chunk_size(256);
    // torchscale's fairseq presets.
    m.set_scale_embedding(preset.dim > 64 && !preset.paper);
    if (preset.paper) {
      m.set_decay(RetNetDecayNames::linspace);
      m.set_ffn(RetNetFfnNames::mlp);
      m.set_activation(RetNetActivationNames::gelu);
      m.set_norm(RetNetNormNames::layer);
      m.set_norm_eps(1e-5);
      m.set_group_norm(RetNetGroupNormNames::layer);
      m.set_chunk_size(512);
      m.set_dropout(0.1);
    }
    return m;
  }
  return absl::NotFoundError(
      absl::StrCat("there is no preset '", name, "', expected one of ",
                   absl::StrJoin(RetNetPresetNames(), ", ")));
}

std::vector<std::string> RetNetPresetNames() {
  std::vector<std::string> names;
  for (const Preset& preset : kPresets) names.push_back(preset.name);
  return names;
}

absl::StatusOr<RetNetParameterCount> NumRetNetParameters(
    const RetNetModelOptions& message) {
  SEPTET_ASSIGN_OR_RETURN(const RetNetOptions o, RetNetOptionsOf(message));
  const auto linear = [](int64_t in, int64_t out, bool bias) {
    return in * out + (bias ? out : 0);
  };
  const auto norm = [](int64_t size, NormKind kind) {
    return kind == NormKind::kLayer ? 2 * size : size;
  };
  const MultiScaleRetentionOptions& r = o.retention;
  int64_t layer = 2 * linear(o.dim, o.dim, r.bias) +
                  (r.gate ? 2 : 1) * linear(o.dim, o.value_dim, r.bias) +
                  linear(o.value_dim, o.dim, r.bias);
  if (r.head_norm == HeadNorm::kRmsAffine) layer += o.value_dim / r.heads;
  if (r.learnable_decay) layer += r.heads;
  layer += (o.ffn == FeedForwardKind::kGlu ? 2 : 1) *
               linear(o.dim, o.ffn_dim, o.ffn_bias) +
           linear(o.ffn_dim, o.dim, o.ffn_bias);
  if (o.ffn_hidden_norm != NormKind::kNone) {
    layer += norm(o.ffn_dim, o.ffn_hidden_norm);
  }
  layer += 2 * norm(o.dim, o.norm);
  RetNetParameterCount count;
  count.layers = o.layers * layer;
  if (o.placement == RetNetPlacement::kPre ||
      o.placement == RetNetPlacement::kDeepNormPreNormQuirk) {
    count.layers += norm(o.dim, o.norm);
  }
  count.embeddings = (o.tied_head ? 1 : 2) * o.vocab_size * o.dim;
  if (o.embedding_norm) count.embeddings += norm(o.dim, o.norm);
  return count;
}

}  // namespace septet
