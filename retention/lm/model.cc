// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/lm/model.h"

#include <algorithm>
#include <initializer_list>
#include <type_traits>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/text_format.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/config/text.h"
#include "septet/core/nn/feed_forward.h"
#include "septet/core/nn/kv_cache.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/position_encoding.h"
#include "septet/core/nn/rotary_positions.h"
#include "septet/core/ops/loss.h"
#include "septet/core/tensor/dtype.h"
#include "septet/retention/extend_session.h"
#include "septet/retention/model_options.h"
#include "septet/retention/positions.h"
#include "septet/retention/recurrent_state.h"
#include "septet/retention/retnet_session.h"

namespace septet {
namespace {

constexpr int64_t kFloatBytes = 4;

// Of a gated network, by default with about 8 d^2 weights.
int64_t GatedWidth(const RetNetModelOptions& m) {
  return m.ffn_dim() > 0 ? m.ffn_dim() : FeedForwardWidth(m.dim(), 8, 3, 16);
}

// Refuses what a kind does not have and the user has asked for.
absl::Status CheckTaken(const RetNetModelOptions& model, absl::string_view kind,
                        std::initializer_list<absl::string_view> taken) {
  const RetNetModelOptions have = CompleteOptions(model);
  const RetNetModelOptions defaults = CompleteOptions(RetNetModelOptions());
  const google::protobuf::Descriptor* type = RetNetModelOptions::descriptor();
  const auto print = [](const RetNetModelOptions& from,
                        const google::protobuf::FieldDescriptor* field) {
    std::string text;
    google::protobuf::TextFormat::PrintFieldValueToString(from, field, -1,
                                                          &text);
    return text;
  };
  for (int i = 0; i < type->field_count(); ++i) {
    const google::protobuf::FieldDescriptor* field = type->field(i);
    const std::string& name = field->name();
    if (std::find(taken.begin(), taken.end(), name) != taken.end()) continue;
    if (field->is_repeated()) {
      const int count = have.GetReflection()->FieldSize(have, field);
      if (count == 0) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("model.", name, " has ", count,
                       " values, expected none with kind=", kind));
    }
    const std::string value = print(have, field);
    const std::string expected = print(defaults, field);
    if (value == expected) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("model.", name, " is ", value, ", expected ", expected,
                     " with kind=", kind, ", which has no such option"));
  }
  return absl::OkStatus();
}

absl::Status CheckAtLeastOne(absl::string_view name, int64_t value) {
  if (value >= 1) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("model.", name, " is ", value, ", expected at least 1"));
}

absl::Status CheckSizes(const RetNetModelOptions& m) {
  SEPTET_RETURN_IF_ERROR(CheckAtLeastOne("vocab_size", m.vocab_size()));
  SEPTET_RETURN_IF_ERROR(CheckAtLeastOne("dim", m.dim()));
  SEPTET_RETURN_IF_ERROR(CheckAtLeastOne("layers", m.layers()));
  SEPTET_RETURN_IF_ERROR(CheckAtLeastOne("heads", m.heads()));
  if (m.dim() % m.heads() != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("model.heads is ", m.heads(),
                     ", expected a divisor of model.dim, ", m.dim()));
  }
  if (m.rotary() != RetNetRotaryNames::none && m.dim() / m.heads() % 2 != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "model.heads is ", m.heads(), ", expected heads of an even width for ",
        "model.rotary, not ", m.dim() / m.heads()));
  }
  return absl::OkStatus();
}

absl::StatusOr<TransformerOptions> TransformerOptionsOf(
    const RetNetModelOptions& m) {
  SEPTET_RETURN_IF_ERROR(
      CheckTaken(m, "transformer",
                 {"vocab_size", "dim", "layers", "heads", "ffn_dim", "rotary",
                  "norm_eps", "tied", "dropout"}));
  SEPTET_RETURN_IF_ERROR(CheckSizes(m));
  TransformerOptions options =
      RotarySwiGluOptions(m.vocab_size(), m.dim(), m.layers(), m.heads());
  options.ffn_dim = GatedWidth(m);
  options.norm_eps = m.norm_eps();
  options.tied_head = m.tied();
  options.embedding_dropout = m.dropout();
  options.attention_out_dropout = m.dropout();
  options.ffn_dropout = m.dropout();
  SEPTET_RETURN_IF_ERROR(options.Validate()) << "model";
  return options;
}

absl::StatusOr<LinearTransformerOptions> LinearTransformerOptionsOf(
    const RetNetModelOptions& m) {
  SEPTET_RETURN_IF_ERROR(
      CheckTaken(m, "linear_transformer",
                 {"vocab_size", "dim", "layers", "heads", "ffn_dim", "rotary",
                  "norm_eps", "tied", "dropout", "chunk_size"}));
  SEPTET_RETURN_IF_ERROR(CheckSizes(m));
  if (m.rotary() == RetNetRotaryNames::half_rope) {
    return absl::InvalidArgumentError(
        "model.rotary is half_rope, expected interleaved_linspace (rotated "
        "features) or none with kind=linear_transformer");
  }
  LinearTransformerOptions options =
      LinearTransformerPreset(m.vocab_size(), m.dim(), m.layers(), m.heads());
  options.ffn_dim = GatedWidth(m);
  options.norm_eps = m.norm_eps();
  options.tied_head = m.tied();
  options.rotary = m.rotary() != RetNetRotaryNames::none;
  options.chunk_size = m.chunk_size();
  options.attention_out_dropout = m.dropout();
  options.ffn_dropout = m.dropout();
  SEPTET_RETURN_IF_ERROR(options.Validate()) << "model";
  return options;
}

absl::StatusOr<RwkvOptions> RwkvOptionsOf(const RetNetModelOptions& m,
                                          RwkvFfnNames::Kind ffn) {
  SEPTET_RETURN_IF_ERROR(CheckTaken(
      m, "rwkv",
      {"vocab_size", "dim", "layers", "ffn_dim", "tied", "dropout"}));
  SEPTET_RETURN_IF_ERROR(CheckAtLeastOne("dim", m.dim()));
  RwkvOptions options = RwkvPreset(m.vocab_size(), m.dim(), m.layers());
  if (ffn == RwkvFfnNames::glu) {
    options.ffn = RwkvFfn::kGlu;
    options.ffn_dim = GatedWidth(m);
  }
  if (m.ffn_dim() > 0) options.ffn_dim = m.ffn_dim();
  options.tied_head = m.tied();
  options.time_dropout = m.dropout();
  options.channel_dropout = m.dropout();
  SEPTET_RETURN_IF_ERROR(options.Validate()) << "model";
  return options;
}

absl::Status CheckRwkvFfn(const RetentionLmOptions& options) {
  if (options.kind() == RetentionLmKindNames::rwkv ||
      options.rwkv_ffn() == RwkvFfnNames::channel_mix) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("rwkv_ffn is glu, expected channel_mix with kind=",
                   RetentionLmKindName(options.kind())));
}

absl::StatusOr<std::unique_ptr<PositionEncoding>> PositionsOf(
    const RetNetModelOptions& m) {
  if (m.rotary() == RetNetRotaryNames::none) return nullptr;
  const RetNetRotary kind = m.rotary() == RetNetRotaryNames::half_rope
                                ? RetNetRotary::kHalfRope
                                : RetNetRotary::kInterleavedLinspace;
  RotaryPositionsOptions rotary;
  rotary.layout = RetNetLayout(kind);
  SEPTET_ASSIGN_OR_RETURN(rotary.frequencies,
                          RetNetFrequencies(kind, m.dim() / m.heads()));
  return std::make_unique<RotaryPositions>(rotary);
}

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

}  // namespace

std::string RetentionLmKindName(RetentionLmKindNames::Kind kind) {
  return RetentionLmKindNames::Kind_Name(kind);
}

absl::StatusOr<std::unique_ptr<RetentionLm>> RetentionLm::Create(
    const RetentionLmOptions& options, uint64_t seed) {
  SEPTET_RETURN_IF_ERROR(CheckRwkvFfn(options));
  auto model = absl::WrapUnique(new RetentionLm(options));
  const ParameterScope scope(&model->parameters_, {seed, DType::kF32});
  const RetNetModelOptions& m = options.model();
  switch (options.kind()) {
    case RetentionLmKindNames::retnet: {
      SEPTET_ASSIGN_OR_RETURN(const RetNetOptions retnet, RetNetOptionsOf(m));
      SEPTET_ASSIGN_OR_RETURN(RetNet network, RetNet::Create(retnet, scope));
      model->network_ = std::move(network);
      break;
    }
    case RetentionLmKindNames::transformer: {
      SEPTET_ASSIGN_OR_RETURN(const TransformerOptions transformer,
                              TransformerOptionsOf(m));
      SEPTET_ASSIGN_OR_RETURN(std::unique_ptr<PositionEncoding> positions,
                              PositionsOf(m));
      SEPTET_ASSIGN_OR_RETURN(
          Transformer network,
          Transformer::Create(transformer, std::move(positions), scope));
      model->network_ = std::move(network);
      break;
    }
    case RetentionLmKindNames::linear_transformer: {
      SEPTET_ASSIGN_OR_RETURN(const LinearTransformerOptions linear,
                              LinearTransformerOptionsOf(m));
      SEPTET_ASSIGN_OR_RETURN(LinearTransformer network,
                              LinearTransformer::Create(linear, scope));
      model->network_ = std::move(network);
      break;
    }
    case RetentionLmKindNames::rwkv: {
      SEPTET_ASSIGN_OR_RETURN(const RwkvOptions rwkv,
                              RwkvOptionsOf(m, options.rwkv_ffn()));
      SEPTET_ASSIGN_OR_RETURN(Rwkv network, Rwkv::Create(rwkv, scope));
      model->network_ = std::move(network);
      break;
    }
  }
  return model;
}

Var RetentionLm::Logits(const BoundParameters& p, const Pass& pass,
                        const Tensor& tokens, RetentionForm form) const {
  if (form != RetentionForm::kAuto && retnet() == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("form: expected auto with kind=",
                     RetentionLmKindName(options_.kind())));
  }
  return std::visit(
      Overloaded{[](const std::monostate&) {
                   return Var(absl::InternalError("model: no network"));
                 },
                 [&](const RetNet& network) {
                   RetNetInput input;
                   input.tokens = tokens;
                   input.form = form;
                   return network.Forward(p, pass, input);
                 },
                 [&](const Transformer& network) {
                   return network.Forward(p, pass, {tokens, {}, {}});
                 },
                 [&](const auto& network) {
                   return network.Forward(p, pass, tokens);
                 }},
      network_);
}

Var RetentionLm::Loss(const BoundParameters& p, const Pass& pass,
                      const Tensor& tokens, const Tensor& targets) const {
  return CrossEntropy(Logits(p, pass, tokens), targets);
}

std::unique_ptr<GenerationSession> RetentionLm::NewSession(
    const BoundParameters* p, int64_t capacity) const {
  using Session = std::unique_ptr<GenerationSession>;
  return std::visit(
      Overloaded{
          [](const std::monostate&) { return Session(); },
          [&](const RetNet& network) -> Session {
            return std::make_unique<RetNetSession>(&network, p);
          },
          [&](const Transformer& network) -> Session {
            return std::make_unique<ExtendSession<Transformer, KvCache>>(
                &network, p, [&network, capacity](int64_t rows) {
                  return network.MakeCache(rows, capacity, DType::kF32);
                });
          },
          [&](const auto& network) -> Session {
            using Network = std::decay_t<decltype(network)>;
            return std::make_unique<ExtendSession<Network, RecurrentState>>(
                &network, p, [&network](int64_t rows) {
                  return network.MakeState(rows, DType::kF32);
                });
          }},
      network_);
}

absl::StatusOr<int64_t> NumRetentionLmParameters(
    const RetentionLmOptions& options) {
  SEPTET_RETURN_IF_ERROR(CheckRwkvFfn(options));
  const RetNetModelOptions& m = options.model();
  // Embedding and head.
  const int64_t ends = (m.tied() ? 1 : 2) * int64_t{m.vocab_size()} * m.dim();
  const int64_t dim = m.dim();
  // q, k, v and out, the SwiGLU's three, two norms; and a norm at the end.
  const auto gated = [&](int64_t layers, int64_t ffn) {
    return layers * dim * (4 * dim + 3 * ffn + 2) + dim + ends;
  };
  switch (options.kind()) {
    case RetentionLmKindNames::retnet: {
      SEPTET_ASSIGN_OR_RETURN(const RetNetParameterCount count,
                              NumRetNetParameters(m));
      return count.total();
    }
    case RetentionLmKindNames::transformer: {
      SEPTET_ASSIGN_OR_RETURN(const TransformerOptions o,
                              TransformerOptionsOf(m));
      return gated(o.layers, o.ffn_dim);
    }
    case RetentionLmKindNames::linear_transformer: {
      SEPTET_ASSIGN_OR_RETURN(const LinearTransformerOptions o,
                              LinearTransformerOptionsOf(m));
      return gated(o.layers, o.ffn_dim);
    }
    case RetentionLmKindNames::rwkv: {
      SEPTET_ASSIGN_OR_RETURN(const RwkvOptions o,
                              RwkvOptionsOf(m, options.rwkv_ffn()));
      // Mixtures of k, r; key and value, receptance; or the SwiGLU's three.
      const int64_t channel = o.ffn == RwkvFfn::kGlu
                                  ? 3 * dim * o.ffn_dim
                                  : 2 * dim * o.ffn_dim + dim * dim + 2 * dim;
      // Mixtures of k, v, r, decay and bonus; two LayerNorms. Two more of those
      // at both ends.
      return o.layers * (4 * dim * dim + 5 * dim + channel + 4 * dim) +
             4 * dim + ends;
    }
  }
  return absl::InvalidArgumentError("kind: unknown");
}

absl::StatusOr<int64_t> RetentionLmStateBytes(const RetentionLmOptions& options,
                                              int64_t tokens) {
  // What is wrong with the options.
  SEPTET_RETURN_IF_ERROR(NumRetentionLmParameters(options).status());
  const RetNetModelOptions& m = options.model();
  const int64_t dim = m.dim();
  const int64_t layers = m.layers() * kFloatBytes;
  switch (options.kind()) {
    case RetentionLmKindNames::retnet: {
      SEPTET_ASSIGN_OR_RETURN(const RetNetOptions o, RetNetOptionsOf(m));
      const int64_t key_sums =
          o.retention.score_norm == ScoreNorm::kPaper ? dim : 0;
      return layers * (dim * o.value_dim / m.heads() + key_sums);
    }
    case RetentionLmKindNames::transformer:
      return layers * 2 * tokens * dim;
    case RetentionLmKindNames::linear_transformer:
      return layers * (dim * dim / m.heads() + dim);
    case RetentionLmKindNames::rwkv:
      // A mean of three vectors, and what each token shift reads.
      return layers * dim * (options.rwkv_ffn() == RwkvFfnNames::glu ? 4 : 5);
  }
  return absl::InvalidArgumentError("kind: unknown");
}

absl::StatusOr<RetNetModelOptions> WithPreset(const RetentionLmOptions& options,
                                              absl::string_view preset) {
  if (preset.empty()) return options.model();
  SEPTET_ASSIGN_OR_RETURN(RetNetModelOptions model, RetNetPreset(preset));
  if (options.kind() != RetentionLmKindNames::retnet) {
    RetNetModelOptions sizes;
    sizes.set_dim(model.dim());
    sizes.set_layers(model.layers());
    if (options.kind() != RetentionLmKindNames::rwkv) {
      sizes.set_heads(model.heads());
    }
    model = sizes;
  }
  model.MergeFrom(options.model());
  return model;
}

}  // namespace septet
