// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/interop.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/nn/feed_forward.h"
#include "septet/core/nn/import.h"
#include "septet/core/nn/norm_layer.h"
#include "septet/core/ops/activation_kind.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/retention/decay.h"
#include "septet/retention/gated_head_norm_kernels.h"
#include "septet/retention/positions.h"
#include "septet/retention/retention.h"
#include "septet/retention/torchscale_names.h"

namespace septet {
namespace {

using Tensors = std::map<std::string, Tensor>;

constexpr const char* kName = "retnet checkpoint";
// torchscale's own, where a config does not say.
constexpr int64_t kTorchscaleChunk = 512;
// Of the legacy group norm, whatever layernorm_eps is.
constexpr double kLegacyHeadEps = 1e-6;

absl::Status Invalid(absl::string_view message) {
  return absl::InvalidArgumentError(absl::StrCat(kName, ": ", message));
}

absl::Status Refused(absl::string_view message) {
  return absl::UnimplementedError(absl::StrCat(kName, ": ", message));
}

// The shortest text that reads as the same number.
std::string NumberText(double value) {
  for (const int digits : {6, 15, 16}) {
    std::string text = absl::StrFormat("%.*g", digits, value);
    double back;
    if (absl::SimpleAtod(text, &back) && back == value) return text;
  }
  return absl::StrFormat("%.17g", value);
}

// Metadata with types.
class Config {
 public:
  explicit Config(const std::map<std::string, std::string>& map) : map_(map) {}

  // Nothing if the key is absent or says so.
  std::optional<std::string> Text(const std::string& key) const {
    const auto it = map_.find(key);
    if (it == map_.end() || it->second.empty() || it->second == "None" ||
        it->second == "null") {
      return std::nullopt;
    }
    return it->second;
  }
  absl::StatusOr<std::optional<double>> Number(const std::string& key) const {
    const std::optional<std::string> text = Text(key);
    if (!text.has_value()) return std::optional<double>();
    double value;
    if (absl::SimpleAtod(*text, &value) && std::isfinite(value)) {
      return std::optional<double>(value);
    }
    return Error(key, "a finite number");
  }
  absl::StatusOr<std::optional<int64_t>> Integer(const std::string& key) const {
    const std::optional<std::string> text = Text(key);
    // torchscale has -1 for a vocabulary that is set later.
    if (!text.has_value() || *text == "-1") return std::optional<int64_t>();
    int64_t value;
    if (absl::SimpleAtoi(*text, &value)) return std::optional<int64_t>(value);
    return Error(key, "an integer");
  }
  absl::StatusOr<std::optional<bool>> Switch(const std::string& key) const {
    const std::optional<std::string> text = Text(key);
    if (!text.has_value()) return std::optional<bool>();
    if (absl::EqualsIgnoreCase(*text, "true") || *text == "1") {
      return std::optional<bool>(true);
    }
    if (absl::EqualsIgnoreCase(*text, "false") || *text == "0") {
      return std::optional<bool>(false);
    }
    return Error(key, "true or false");
  }

  absl::Status Error(const std::string& key, absl::string_view want) const {
    return Invalid(absl::StrCat("metadata '", key, "' is '",
                                map_.find(key)->second, "', expected ", want));
  }
  static absl::Status Missing(const std::string& key, absl::string_view want) {
    return Invalid(absl::StrCat("metadata '", key,
                                "' is missing, and the tensors do not tell; "
                                "expected ",
                                want));
  }

  // What the tensors tell and metadata may repeat.
  absl::Status AgreeOn(const std::string& key, int64_t is) const {
    SEPTET_ASSIGN_OR_RETURN(const std::optional<int64_t> said, Integer(key));
    if (!said.has_value() || *said == is) return absl::OkStatus();
    return Error(key, absl::StrCat(is, ", which the tensors have"));
  }
  absl::Status AgreeOnSwitch(const std::string& key, bool is) const {
    SEPTET_ASSIGN_OR_RETURN(const std::optional<bool> said, Switch(key));
    if (!said.has_value() || *said == is) return absl::OkStatus();
    return Error(key,
                 absl::StrCat(is ? "true" : "false", ", as the tensors have"));
  }

 private:
  const std::map<std::string, std::string>& map_;
};

// In front of the names of layers.
std::string Stem(const RetNetCheckpoint& c) {
  return c.format == RetNetFormat::kTorchscale ? c.prefix : "model.";
}

std::string FlaName(absl::string_view name, bool fused_head_norm) {
  if (absl::StartsWith(name, "layers.")) {
    return absl::StrReplaceAll(
        name, {{".retention_norm.", ".attn_norm."},
               {".retention.norm.",
                fused_head_norm ? ".attn.g_norm_swish_gate." : ".attn.g_norm."},
               {".retention.q.", ".attn.q_proj."},
               {".retention.k.", ".attn.k_proj."},
               {".retention.v.", ".attn.v_proj."},
               {".retention.g.", ".attn.g_proj."},
               {".retention.out.", ".attn.o_proj."},
               {".ffn_norm.", ".mlp_norm."},
               {".ffn.fc1.", ".mlp.gate_proj."},
               {".ffn.gate.", ".mlp.up_proj."},
               {".ffn.fc2.", ".mlp.down_proj."}});
  }
  return absl::StrReplaceAll(name, {{"embedding.weight", "embeddings.weight"},
                                    {"final_norm.", "norm."}});
}

std::string Theirs(const RetNetCheckpoint& c, absl::string_view name) {
  if (name == "head.weight" && c.format != RetNetFormat::kTorchscale) {
    return "lm_head.weight";
  }
  return absl::StrCat(Stem(c), c.format == RetNetFormat::kFla
                                   ? FlaName(name, c.fused_head_norm)
                                   : TorchscaleName(name));
}

std::string AngleName(const RetNetCheckpoint& c) {
  return absl::StrCat(Stem(c), "retnet_rel_pos.angle");
}
std::string DecayName(const RetNetCheckpoint& c) {
  return absl::StrCat(Stem(c), "retnet_rel_pos.decay");
}

struct Entry {
  std::string ours;
  Shape shape;  // ours
  bool transpose = false;
};

// Every parameter of a RetNet of such options.
std::vector<Entry> Entries(const RetNetOptions& o) {
  std::vector<Entry> result;
  const auto norm = [&](const std::string& name, NormKind kind, int64_t size) {
    if (kind == NormKind::kNone) return;
    result.push_back({name + ".weight", Shape({size})});
    if (kind == NormKind::kLayer) {
      result.push_back({name + ".bias", Shape({size})});
    }
  };
  const auto linear = [&](const std::string& name, int64_t in, int64_t out,
                          bool bias) {
    result.push_back({name + ".weight", Shape({in, out}), true});
    if (bias) result.push_back({name + ".bias", Shape({out})});
  };
  const int64_t d = o.dim, dv = o.value_dim, f = o.ffn_dim;
  const MultiScaleRetentionOptions& r = o.retention;
  result.push_back({"embedding.weight", Shape({o.vocab_size, d})});
  if (o.embedding_norm) norm("embedding_norm", o.norm, d);
  for (int64_t i = 0; i < o.layers; ++i) {
    const std::string at = absl::StrCat("layers.", i, ".");
    norm(at + "retention_norm", o.norm, d);
    linear(at + "retention.q", d, d, r.bias);
    linear(at + "retention.k", d, d, r.bias);
    linear(at + "retention.v", d, dv, r.bias);
    if (r.gate) linear(at + "retention.g", d, dv, r.bias);
    if (r.head_norm == HeadNorm::kRmsAffine) {
      result.push_back({at + "retention.norm.weight", Shape({dv / r.heads})});
    }
    linear(at + "retention.out", dv, d, r.bias);
    norm(at + "ffn_norm", o.norm, d);
    linear(at + "ffn.fc1", d, f, o.ffn_bias);
    if (o.ffn == FeedForwardKind::kGlu) {
      linear(at + "ffn.gate", d, f, o.ffn_bias);
    }
    norm(at + "ffn.hidden_norm", o.ffn_hidden_norm, f);
    linear(at + "ffn.fc2", f, d, o.ffn_bias);
  }
  if (o.placement == RetNetPlacement::kPre ||
      o.placement == RetNetPlacement::kDeepNormPreNormQuirk) {
    norm("final_norm", o.norm, d);
  }
  if (!o.tied_head) {
    result.push_back({"head.weight", Shape({o.vocab_size, d})});
  }
  return result;
}

absl::Status CheckTensor(const std::string& name, const Tensor& tensor,
                         const Shape& shape) {
  if (tensor.defined() && IsFloating(tensor.dtype()) &&
      tensor.shape() == shape) {
    return absl::OkStatus();
  }
  return Invalid(
      absl::StrCat("tensor '", name, "' is ",
                   tensor.defined() ? tensor.DebugString() : "not given",
                   ", expected floating numbers of shape ", shape.ToString()));
}

// A matrix that tells sizes.
absl::StatusOr<Tensor> Matrix(const Tensors& tensors, const std::string& name) {
  const auto it = tensors.find(name);
  if (it == tensors.end()) {
    return Invalid(
        absl::StrCat("tensor '", name, "' is missing, expected a matrix"));
  }
  const Tensor& x = it->second;
  if (x.defined() && x.rank() == 2 && x.dim(0) > 0 && x.dim(1) > 0) return x;
  return Invalid(absl::StrCat("tensor '", name, "' is ",
                              x.defined() ? x.DebugString() : "not given",
                              ", expected a matrix"));
}

absl::StatusOr<bool> SameBits(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) return false;
  SEPTET_ASSIGN_OR_RETURN(const Tensor x, a.Contiguous());
  SEPTET_ASSIGN_OR_RETURN(const Tensor y, b.Contiguous());
  return x.num_elements() == 0 ||
         std::memcmp(
             x.raw_data(), y.raw_data(),
             static_cast<size_t>(x.num_elements()) * DTypeSize(x.dtype())) == 0;
}

// Format and prefix, by the name of the embedding.
absl::Status Detect(const Tensors& tensors, RetNetCheckpoint* c) {
  const struct {
    const char* name;
    RetNetFormat format;
    const char* prefix;
  } kForms[] = {
      {"embed_tokens.weight", RetNetFormat::kTorchscale, ""},
      {"decoder.embed_tokens.weight", RetNetFormat::kTorchscale, "decoder."},
      {"model.embed_tokens.weight", RetNetFormat::kSyncdoth, ""},
      {"model.embeddings.weight", RetNetFormat::kFla, ""}};
  for (const auto& form : kForms) {
    if (tensors.count(form.name) == 0) continue;
    c->format = form.format;
    c->prefix = form.prefix;
    return absl::OkStatus();
  }
  return Invalid(absl::StrCat(
      "there is none of the tensors 'embed_tokens.weight' and "
      "'decoder.embed_tokens.weight' (torchscale), 'model.embed_tokens.weight' "
      "(syncdoth) and 'model.embeddings.weight' (fla) among ",
      tensors.size(),
      tensors.empty() ? ""
                      : absl::StrCat(", the first of which is '",
                                     tensors.begin()->first, "'")));
}

// Models that RetNetOptions cannot say.
absl::Status RefuseFeatures(const Tensors& tensors, const Config& config,
                            const RetNetCheckpoint& c) {
  for (const auto& [name, tensor] : tensors) {
    const char* what = nullptr;
    if (absl::StrContains(name, "moe_layer.")) what = "a mixture of experts";
    if (absl::StrContains(name, ".A.") || absl::StrContains(name, ".B.")) {
      what = "a multiway network";
    }
    if (absl::StrContains(name, "_conv1d.")) {
      what = "a short convolution (use_short_conv)";
    }
    if (what == nullptr) continue;
    return Refused(absl::StrCat("tensor '", name, "' is of ", what,
                                ", which is not supported"));
  }
  const auto refuse_key = [&](const std::string& key) {
    return Refused(absl::StrCat("metadata '", key, "' is '", *config.Text(key),
                                "', which is not supported"));
  };
  const bool fla = c.format == RetNetFormat::kFla;
  for (const char* key : {"multiway", "no_output_layer", "use_short_conv"}) {
    if (fla != (std::strcmp(key, "use_short_conv") == 0)) continue;
    SEPTET_ASSIGN_OR_RETURN(const std::optional<bool> on, config.Switch(key));
    if (on.value_or(false)) return refuse_key(key);
  }
  if (!fla) {
    SEPTET_ASSIGN_OR_RETURN(const std::optional<int64_t> moe,
                            config.Integer("moe_freq"));
    return moe.value_or(0) == 0 ? absl::OkStatus() : refuse_key("moe_freq");
  }
  for (const char* key : {"feature_map", "attn"}) {
    if (config.Text(key).has_value()) return refuse_key(key);
  }
  SEPTET_ASSIGN_OR_RETURN(const std::optional<double> expand,
                          config.Number("expand_k"));
  if (expand.value_or(1) != 1) return refuse_key("expand_k");
  SEPTET_ASSIGN_OR_RETURN(const std::optional<int64_t> heads,
                          config.Integer("num_heads"));
  SEPTET_ASSIGN_OR_RETURN(const std::optional<int64_t> key_heads,
                          config.Integer("num_kv_heads"));
  if (key_heads.has_value() && heads.has_value() && key_heads != heads) {
    return refuse_key("num_kv_heads");
  }
  const std::string at = "model.layers.0.attn.";
  SEPTET_ASSIGN_OR_RETURN(const Tensor q,
                          Matrix(tensors, at + "q_proj.weight"));
  SEPTET_ASSIGN_OR_RETURN(const Tensor k,
                          Matrix(tensors, at + "k_proj.weight"));
  if (k.dim(0) != q.dim(0)) {
    return Refused(absl::StrCat(
        "tensor '", at, "k_proj.weight' is ", k.DebugString(), " beside ",
        q.DebugString(), ": num_kv_heads below num_heads is not supported"));
  }
  if (q.dim(0) != q.dim(1)) {
    return Refused(absl::StrCat("tensor '", at, "q_proj.weight' is ",
                                q.DebugString(),
                                ": expand_k other than 1 is not supported"));
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> CountLayers(const Tensors& tensors,
                                    const RetNetCheckpoint& c) {
  const std::string stem = Stem(c) + "layers.";
  std::set<int64_t> numbers;
  for (const auto& [name, tensor] : tensors) {
    absl::string_view rest = name;
    int64_t number;
    if (absl::ConsumePrefix(&rest, stem) &&
        absl::SimpleAtoi(rest.substr(0, rest.find('.')), &number)) {
      numbers.insert(number);
    }
  }
  int64_t next = 0;
  for (const int64_t number : numbers) {
    if (number != next) {
      return Invalid(absl::StrCat("there are tensors of '", stem, number,
                                  "', expected layer ", next, " next"));
    }
    ++next;
  }
  return next;
}

absl::Status ReadSizes(const Tensors& tensors, const Config& config,
                       RetNetCheckpoint* c) {
  RetNetOptions& o = c->options;
  const bool fla = c->format == RetNetFormat::kFla;
  SEPTET_ASSIGN_OR_RETURN(const Tensor embedding,
                          Matrix(tensors, Theirs(*c, "embedding.weight")));
  o.vocab_size = embedding.dim(0);
  o.dim = embedding.dim(1);
  SEPTET_ASSIGN_OR_RETURN(
      const Tensor value,
      Matrix(tensors, Theirs(*c, "layers.0.retention.v.weight")));
  o.value_dim = value.dim(0);
  SEPTET_ASSIGN_OR_RETURN(
      const Tensor fc1, Matrix(tensors, Theirs(*c, "layers.0.ffn.fc1.weight")));
  o.ffn_dim = fc1.dim(0);
  SEPTET_ASSIGN_OR_RETURN(o.layers, CountLayers(tensors, *c));
  const auto agree = [&](const char* theirs, const char* flas, int64_t is) {
    return config.AgreeOn(fla ? flas : theirs, is);
  };
  SEPTET_RETURN_IF_ERROR(agree("vocab_size", "vocab_size", o.vocab_size));
  SEPTET_RETURN_IF_ERROR(agree("decoder_embed_dim", "hidden_size", o.dim));
  SEPTET_RETURN_IF_ERROR(
      agree("decoder_ffn_embed_dim", "intermediate_size", o.ffn_dim));
  SEPTET_RETURN_IF_ERROR(
      agree("decoder_layers", "num_hidden_layers", o.layers));
  if (!fla) return config.AgreeOn("decoder_value_embed_dim", o.value_dim);
  SEPTET_ASSIGN_OR_RETURN(const std::optional<double> expand,
                          config.Number("expand_v"));
  if (!expand.has_value() ||
      static_cast<double>(o.value_dim) ==
          std::floor(*expand * static_cast<double>(o.dim))) {
    return absl::OkStatus();
  }
  return config.Error("expand_v", absl::StrCat(o.value_dim, " / ", o.dim,
                                               ", which the tensors have"));
}

absl::StatusOr<ActivationKind> ReadActivation(const Config& config,
                                              const std::string& key) {
  const std::string name = config.Text(key).value_or("");
  if (name == "swish" || name == "silu") return ActivationKind::kSwish;
  if (name == "gelu") return ActivationKind::kGelu;
  if (name == "relu") return ActivationKind::kRelu;
  if (name.empty()) return Config::Missing(key, "swish, gelu or relu");
  return config.Error(key, "swish, gelu or relu");
}

// Whether the head is the embedding, and whether the file has it twice.
absl::Status ReadHead(const Tensors& tensors, const Config& config,
                      RetNetCheckpoint* c) {
  const char* const kShare = "share_decoder_input_output_embed";
  std::optional<bool> tied;
  if (c->format != RetNetFormat::kTorchscale) {
    SEPTET_ASSIGN_OR_RETURN(tied, config.Switch("tie_word_embeddings"));
  }
  if (c->format != RetNetFormat::kFla && !tied.has_value()) {
    SEPTET_ASSIGN_OR_RETURN(tied, config.Switch(kShare));
  }
  const std::string name = Theirs(*c, "head.weight");
  const auto head = tensors.find(name);
  c->options.tied_head = tied.value_or(head == tensors.end());
  c->stores_tied_head = c->options.tied_head && head != tensors.end();
  if (!c->stores_tied_head) return absl::OkStatus();
  const std::string embedding = Theirs(*c, "embedding.weight");
  SEPTET_RETURN_IF_ERROR(CheckTensor(
      name, head->second, Shape({c->options.vocab_size, c->options.dim})));
  SEPTET_ASSIGN_OR_RETURN(const bool same,
                          SameBits(head->second, tensors.at(embedding)));
  if (same) return absl::OkStatus();
  return Invalid(absl::StrCat("tensor '", name, "' differs from '", embedding,
                              "', expected the same where metadata ties them"));
}

// A buffer as f64.
absl::StatusOr<std::vector<double>> BufferValues(const std::string& name,
                                                 const Tensor& buffer,
                                                 int64_t size) {
  SEPTET_RETURN_IF_ERROR(CheckTensor(name, buffer, Shape({size})));
  SEPTET_ASSIGN_OR_RETURN(const Tensor wide, buffer.To(DType::kF64));
  return wide.ToVector<double>();
}

// Whether `is` may be `want`, rounded to the dtype of a buffer. torchscale
// takes logarithms of a gamma rounded to float32, hence the absolute part.
bool IsRounded(const Tensor& buffer, double is, double want) {
  const bool wide =
      buffer.dtype() == DType::kF32 || buffer.dtype() == DType::kF64;
  return std::abs(is - want) <= 1.5e-7 + (wide ? 1e-5 : 1e-2) * std::abs(want);
}

// Decay and frequencies from what the file has, or from their formulas.
absl::Status ReadBuffers(bool exact, RetNetCheckpoint* c) {
  MultiScaleRetentionOptions& r = c->options.retention;
  const int64_t width = c->options.dim / r.heads;
  const std::string angle = AngleName(*c), decay = DecayName(*c);
  SEPTET_ASSIGN_OR_RETURN(const std::vector<double> angles,
                          BufferValues(angle, c->angle, width));
  SEPTET_ASSIGN_OR_RETURN(const std::vector<double> log_gamma,
                          BufferValues(decay, c->decay, r.heads));
  SEPTET_ASSIGN_OR_RETURN(const Tensor formula,
                          RetNetFrequencies(r.rotary, width));
  std::vector<double> frequencies;
  for (size_t i = 0; i + 1 < angles.size(); i += 2) {
    if (!std::isfinite(angles[i]) || angles[i] != angles[i + 1]) {
      return Invalid(absl::StrCat("tensor '", angle, "' has ", angles[i],
                                  " and ", angles[i + 1], " at ", i,
                                  ", expected a finite number twice"));
    }
    frequencies.push_back(angles[i]);
    const double want = formula.data<double>()[i / 2];
    if (!exact || IsRounded(c->angle, angles[i], want)) continue;
    return Invalid(absl::StrCat("tensor '", angle, "' has ", angles[i], " at ",
                                i, ", expected ", want,
                                " where it is computed anew"));
  }
  for (size_t h = 0; h < log_gamma.size(); ++h) {
    if (std::isfinite(log_gamma[h]) && log_gamma[h] <= 0) continue;
    return Invalid(
        absl::StrCat("tensor '", decay, "' has ", log_gamma[h], " at ", h,
                     ", expected the logarithm of a decay in (0, 1]"));
  }
  if (!exact) {
    r.frequencies = std::move(frequencies);
    r.decay.kind = DecayKind::kCustomLog;
    r.decay.custom = log_gamma;
    return absl::OkStatus();
  }
  for (const DecayKind kind : {DecayKind::kTorchscale, DecayKind::kLinspace}) {
    r.decay = DecayOptions();
    r.decay.kind = kind;
    SEPTET_ASSIGN_OR_RETURN(const Tensor want, LogDecay(r.decay, r.heads));
    bool same = true;
    for (size_t h = 0; h < log_gamma.size(); ++h) {
      same &= IsRounded(c->decay, log_gamma[h], want.data<double>()[h]);
    }
    if (same) return absl::OkStatus();
  }
  return Invalid(absl::StrCat(
      "tensor '", decay,
      "' is of no known formula, expected one where it is computed anew"));
}

absl::StatusOr<int64_t> ReadHeads(const Config& config, const std::string& key,
                                  int64_t told, int64_t dim) {
  SEPTET_RETURN_IF_ERROR(told > 0 ? config.AgreeOn(key, told)
                                  : absl::OkStatus());
  int64_t heads = told;
  if (told == 0) {
    SEPTET_ASSIGN_OR_RETURN(const std::optional<int64_t> said,
                            config.Integer(key));
    if (!said.has_value()) return Config::Missing(key, "the number of heads");
    heads = *said;
  }
  if (heads >= 1 && dim % heads == 0) return heads;
  return Invalid(absl::StrCat("the number of heads is ", heads,
                              ", expected a divisor of the width ", dim));
}

absl::Status ReadTorchscale(const Tensors& tensors, const Config& config,
                            bool exact, RetNetCheckpoint* c) {
  RetNetOptions& o = c->options;
  MultiScaleRetentionOptions& r = o.retention;
  const auto has = [&](absl::string_view ours) {
    return tensors.count(Theirs(*c, ours)) > 0;
  };
  const bool legacy = has("layers.0.retention.q.bias");
  SEPTET_ASSIGN_OR_RETURN(o.activation,
                          ReadActivation(config, "activation_fn"));
  SEPTET_ASSIGN_OR_RETURN(const std::optional<double> eps,
                          config.Number("layernorm_eps"));
  if (!eps.has_value()) {
    return Config::Missing("layernorm_eps", "1e-6 or what it was trained with");
  }
  o.norm_eps = r.head_norm_eps = *eps;
  SEPTET_ASSIGN_OR_RETURN(const std::optional<bool> plain,
                          config.Switch("no_scale_embedding"));
  if (!plain.has_value()) {
    return Config::Missing("no_scale_embedding",
                           "false if embeddings are times sqrt(width)");
  }
  o.embedding_scale = *plain ? 1 : std::sqrt(static_cast<double>(o.dim));
  o.embedding_norm = has("embedding_norm.weight");
  SEPTET_RETURN_IF_ERROR(
      config.AgreeOnSwitch("layernorm_embedding", o.embedding_norm));
  SEPTET_ASSIGN_OR_RETURN(const std::optional<bool> before,
                          config.Switch("decoder_normalize_before"));
  SEPTET_ASSIGN_OR_RETURN(const std::optional<bool> deepnorm,
                          config.Switch("deepnorm"));
  if (before.value_or(has("final_norm.weight"))) {
    o.placement = deepnorm.value_or(false)
                      ? RetNetPlacement::kDeepNormPreNormQuirk
                      : RetNetPlacement::kPre;
  } else {
    o.placement = deepnorm.value_or(false) ? RetNetPlacement::kDeepNorm
                                           : RetNetPlacement::kPost;
  }
  SEPTET_ASSIGN_OR_RETURN(const std::optional<int64_t> chunk,
                          config.Integer("recurrent_chunk_size"));
  r.chunk_size = chunk.value_or(kTorchscaleChunk);
  r.score_norm = ScoreNorm::kTorchscale;
  if (legacy) {
    r.score_norm = ScoreNorm::kTorchscaleLegacy;
    r.head_norm = HeadNorm::kLayer;
    r.head_norm_eps = kLegacyHeadEps;
    r.bias = true;
    o.norm = NormKind::kLayer;
    o.ffn = FeedForwardKind::kMlp;
    o.ffn_bias = true;
    const bool subln = has("layers.0.ffn.hidden_norm.weight");
    SEPTET_RETURN_IF_ERROR(config.AgreeOnSwitch("subln", subln));
    if (subln) o.ffn_hidden_norm = NormKind::kLayer;
  }
  const auto angle = tensors.find(AngleName(*c));
  const auto decay = tensors.find(DecayName(*c));
  if ((angle == tensors.end()) != (decay == tensors.end())) {
    return Invalid(absl::StrCat(
        "tensor '", angle == tensors.end() ? AngleName(*c) : DecayName(*c),
        "' is missing, expected both buffers or none"));
  }
  c->has_buffers = angle != tensors.end();
  int64_t told = 0;
  if (c->has_buffers) {
    c->angle = angle->second;
    c->decay = decay->second;
    if (!c->decay.defined() || c->decay.rank() != 1 || c->decay.dim(0) < 1) {
      return Invalid(absl::StrCat(
          "tensor '", DecayName(*c), "' is ",
          c->decay.defined() ? c->decay.DebugString() : "not given",
          ", expected one number a head"));
    }
    told = c->decay.dim(0);
  }
  SEPTET_ASSIGN_OR_RETURN(
      r.heads, ReadHeads(config, "decoder_retention_heads", told, o.dim));
  return c->has_buffers ? ReadBuffers(exact, c) : absl::OkStatus();
}

absl::Status ReadFla(const Tensors& tensors, const Config& config,
                     RetNetCheckpoint* c) {
  RetNetOptions& o = c->options;
  MultiScaleRetentionOptions& r = o.retention;
  SEPTET_ASSIGN_OR_RETURN(const std::optional<double> eps,
                          config.Number("norm_eps"));
  o.norm_eps = r.head_norm_eps = eps.value_or(1e-6);
  o.activation = ActivationKind::kSwish;
  if (config.Text("hidden_act").has_value()) {
    SEPTET_ASSIGN_OR_RETURN(o.activation, ReadActivation(config, "hidden_act"));
  }
  r.score_norm = ScoreNorm::kNone;
  r.rotary = RetNetRotary::kHalfRope;
  r.gate = tensors.count(Theirs(*c, "layers.0.retention.g.weight")) > 0;
  SEPTET_RETURN_IF_ERROR(config.AgreeOnSwitch("use_output_gate", r.gate));
  // No buffers, and no fused norm where there is no gate.
  c->has_buffers = false;
  const char* const kHeadNorm = "layers.0.retention.norm.weight";
  c->fused_head_norm = tensors.count("model.layers.0.attn.g_norm.weight") == 0;
  const auto norm = tensors.find(Theirs(*c, kHeadNorm));
  const bool affine = norm != tensors.end();
  SEPTET_RETURN_IF_ERROR(config.AgreeOnSwitch("elementwise_affine", affine));
  r.head_norm = affine ? HeadNorm::kRmsAffine : HeadNorm::kRms;
  int64_t told = 0;
  if (affine) {
    const Tensor& weight = norm->second;
    if (!weight.defined() || weight.rank() != 1 || weight.dim(0) < 1 ||
        o.value_dim % weight.dim(0) != 0) {
      return Invalid(absl::StrCat(
          "tensor '", norm->first, "' is ",
          weight.defined() ? weight.DebugString() : "not given",
          ", expected a divisor of the width of values ", o.value_dim));
    }
    told = o.value_dim / weight.dim(0);
  }
  SEPTET_ASSIGN_OR_RETURN(r.heads, ReadHeads(config, "num_heads", told, o.dim));
  return absl::OkStatus();
}

Shape TheirShape(const Entry& entry) {
  return entry.transpose ? Shape({entry.shape.dim(1), entry.shape.dim(0)})
                         : entry.shape;
}

// What metadata says anew: a text that means the same stays as it is.
class MetadataWriter {
 public:
  explicit MetadataWriter(std::map<std::string, std::string>* map)
      : map_(map), config_(*map) {}

  void Put(const std::string& key, double value) {
    const absl::StatusOr<std::optional<double>> said = config_.Number(key);
    if (said.ok() && *said == value) return;
    (*map_)[key] = NumberText(value);
  }
  void PutText(const std::string& key, const std::string& value) {
    (*map_)[key] = value;
  }
  // One that is not in the file is only written where it is not `fallback`.
  void PutSwitch(const std::string& key, bool value,
                 std::optional<bool> fallback = std::nullopt) {
    const absl::StatusOr<std::optional<bool>> said = config_.Switch(key);
    if (said.ok() && *said == value) return;
    if (!config_.Text(key).has_value() && fallback == value) return;
    (*map_)[key] = value ? "True" : "False";
  }
  void PutActivation(const std::string& key, ActivationKind kind) {
    const absl::StatusOr<ActivationKind> said = ReadActivation(config_, key);
    if (said.ok() && *said == kind) return;
    PutText(key, std::string(ActivationName(kind)));
  }

 private:
  std::map<std::string, std::string>* const map_;
  const Config config_;
};

// What a format cannot say is an error that names the option.
class Demands {
 public:
  explicit Demands(absl::string_view format) : format_(format) {}
  void That(bool holds, absl::string_view option, absl::string_view is,
            absl::string_view want) {
    if (holds || !status_.ok()) return;
    status_ = Invalid(absl::StrCat("option ", option, " is ", is, ", expected ",
                                   want, " in the format ", format_));
  }
  const absl::Status& status() const { return status_; }

 private:
  const std::string format_;
  absl::Status status_;
};

absl::StatusOr<bool> SameDecay(const MultiScaleRetentionOptions& r) {
  SEPTET_ASSIGN_OR_RETURN(const Tensor is, LogDecay(r.decay, r.heads));
  SEPTET_ASSIGN_OR_RETURN(const Tensor want, LogDecay({}, r.heads));
  return SameBits(is, want);
}

absl::Status CheckExportable(const RetNetCheckpoint& c) {
  const RetNetOptions& o = c.options;
  const MultiScaleRetentionOptions& r = o.retention;
  const bool fla = c.format == RetNetFormat::kFla, legacy = !fla && r.bias;
  Demands demand(RetNetFormatName(c.format));
  demand.That(!r.learnable_decay, "retention.learnable_decay", "true", "false");
  demand.That(o.activation == ActivationKind::kSwish ||
                  o.activation == ActivationKind::kGelu ||
                  o.activation == ActivationKind::kRelu,
              "activation", ActivationName(o.activation),
              "swish, gelu or relu");
  demand.That(o.norm == (legacy ? NormKind::kLayer : NormKind::kRms), "norm",
              "another", legacy ? "kLayer with biases" : "kRms without biases");
  demand.That(o.ffn == (legacy ? FeedForwardKind::kMlp : FeedForwardKind::kGlu),
              "ffn", "another",
              legacy ? "kMlp with biases" : "kGlu without biases");
  demand.That(o.ffn_bias == legacy, "ffn_bias", o.ffn_bias ? "true" : "false",
              "that of retention.bias");
  demand.That(legacy || o.ffn_hidden_norm == NormKind::kNone, "ffn_hidden_norm",
              "set", "kNone without biases");
  demand.That(!legacy || o.ffn_hidden_norm != NormKind::kRms, "ffn_hidden_norm",
              "kRms", "kNone or kLayer");
  const double head_eps = legacy ? kLegacyHeadEps : o.norm_eps;
  demand.That(r.head_norm_eps == head_eps, "retention.head_norm_eps",
              NumberText(r.head_norm_eps), NumberText(head_eps));
  demand.That(
      c.prefix.empty() ||
          (c.format == RetNetFormat::kTorchscale && c.prefix == "decoder."),
      "prefix", absl::StrCat("'", c.prefix, "'"),
      c.format == RetNetFormat::kTorchscale ? "'' or 'decoder.'" : "''");
  if (fla) {
    demand.That(!r.bias, "retention.bias", "true", "false");
    demand.That(r.rotary == RetNetRotary::kHalfRope && r.frequencies.empty(),
                "retention.rotary", "another", "kHalfRope of its formula");
    demand.That(r.score_norm == ScoreNorm::kNone, "retention.score_norm",
                "another", "kNone");
    demand.That(
        r.head_norm == HeadNorm::kRmsAffine || r.head_norm == HeadNorm::kRms,
        "retention.head_norm", "another", "kRmsAffine or kRms");
    demand.That(o.placement == RetNetPlacement::kPre, "placement", "another",
                "kPre");
    demand.That(!o.embedding_norm, "embedding_norm", "true", "false");
    demand.That(o.embedding_scale == 1, "embedding_scale",
                NumberText(o.embedding_scale), "1");
    SEPTET_ASSIGN_OR_RETURN(const bool same, SameDecay(r));
    demand.That(same, "retention.decay", "another", "kTorchscale");
    demand.That(r.gate || !c.fused_head_norm || r.head_norm == HeadNorm::kRms,
                "fused_head_norm", "true", "false without a gate");
    return demand.status();
  }
  demand.That(r.gate, "retention.gate", "false", "true");
  demand.That(r.rotary == RetNetRotary::kInterleavedLinspace,
              "retention.rotary", "another", "kInterleavedLinspace");
  demand.That(r.score_norm == ScoreNorm::kDecay ||
                  r.score_norm == (legacy ? ScoreNorm::kTorchscaleLegacy
                                          : ScoreNorm::kTorchscale),
              "retention.score_norm", "another",
              legacy ? "kTorchscaleLegacy or kDecay" : "kTorchscale or kDecay");
  demand.That(r.head_norm == (legacy ? HeadNorm::kLayer : HeadNorm::kRms),
              "retention.head_norm", "another", legacy ? "kLayer" : "kRms");
  demand.That(!legacy || o.value_dim == 2 * o.dim, "value_dim",
              absl::StrCat(o.value_dim), "twice dim with biases");
  demand.That(o.embedding_scale == 1 ||
                  o.embedding_scale == std::sqrt(static_cast<double>(o.dim)),
              "embedding_scale", NumberText(o.embedding_scale),
              "1 or sqrt(dim)");
  if (!c.has_buffers) {
    SEPTET_ASSIGN_OR_RETURN(const bool same, SameDecay(r));
    demand.That(same && r.frequencies.empty(), "has_buffers", "false",
                "true for a decay or frequencies of one's own");
  }
  return demand.status();
}

// The file's buffers, or new ones in f32.
absl::Status WriteBuffers(const RetNetCheckpoint& c, Tensors* tensors) {
  const MultiScaleRetentionOptions& r = c.options.retention;
  const int64_t width = c.options.dim / r.heads;
  Tensor angle = c.angle, decay = c.decay;
  if (!angle.defined()) {
    SEPTET_ASSIGN_OR_RETURN(const Tensor formula,
                            RetNetFrequencies(r.rotary, width));
    const std::vector<double> frequencies =
        r.frequencies.empty() ? formula.ToVector<double>() : r.frequencies;
    std::vector<float> twice;
    for (const double frequency : frequencies) {
      twice.insert(twice.end(), 2, static_cast<float>(frequency));
    }
    SEPTET_ASSIGN_OR_RETURN(angle,
                            Tensor::FromValues<float>(Shape({width}), twice));
  }
  if (!decay.defined()) {
    SEPTET_ASSIGN_OR_RETURN(const Tensor exact, LogDecay(r.decay, r.heads));
    SEPTET_ASSIGN_OR_RETURN(decay, exact.To(DType::kF32));
  }
  SEPTET_RETURN_IF_ERROR(CheckTensor("angle", angle, Shape({width})));
  SEPTET_RETURN_IF_ERROR(CheckTensor("decay", decay, Shape({r.heads})));
  (*tensors)[AngleName(c)] = angle;
  (*tensors)[DecayName(c)] = decay;
  return absl::OkStatus();
}

void WriteMetadata(const RetNetCheckpoint& c,
                   std::map<std::string, std::string>* metadata) {
  const RetNetOptions& o = c.options;
  const MultiScaleRetentionOptions& r = o.retention;
  *metadata = c.metadata;
  MetadataWriter to(metadata);
  const auto size = [&](const char* key, int64_t value) {
    to.Put(key, static_cast<double>(value));
  };
  // What import takes a file for that does not say.
  const bool tied_unsaid = o.tied_head && !c.stores_tied_head;
  size("vocab_size", o.vocab_size);
  if (c.format == RetNetFormat::kFla) {
    to.PutText("model_type", "retnet");
    size("hidden_size", o.dim);
    size("num_heads", r.heads);
    size("num_hidden_layers", o.layers);
    size("intermediate_size", o.ffn_dim);
    to.Put("expand_k", 1);
    const double expand =
        static_cast<double>(o.value_dim) / static_cast<double>(o.dim);
    to.Put("expand_v", expand);
    to.Put("norm_eps", o.norm_eps);
    to.PutActivation("hidden_act", o.activation);
    to.PutSwitch("use_output_gate", r.gate, true);
    to.PutSwitch("elementwise_affine", r.head_norm == HeadNorm::kRmsAffine,
                 true);
    to.PutSwitch("tie_word_embeddings", o.tied_head, tied_unsaid);
    return;
  }
  size("decoder_embed_dim", o.dim);
  size("decoder_retention_heads", r.heads);
  size("decoder_ffn_embed_dim", o.ffn_dim);
  size("decoder_layers", o.layers);
  if (!r.bias) size("decoder_value_embed_dim", o.value_dim);
  to.PutActivation("activation_fn", o.activation);
  to.Put("layernorm_eps", o.norm_eps);
  to.PutSwitch("no_scale_embedding", o.embedding_scale == 1);
  const bool quirk = o.placement == RetNetPlacement::kDeepNormPreNormQuirk;
  to.PutSwitch("decoder_normalize_before",
               quirk || o.placement == RetNetPlacement::kPre);
  to.PutSwitch("deepnorm", quirk || o.placement == RetNetPlacement::kDeepNorm,
               false);
  to.PutSwitch("layernorm_embedding", o.embedding_norm, false);
  // The current generation has the switch and does nothing with it.
  if (r.bias) {
    to.PutSwitch("subln", o.ffn_hidden_norm == NormKind::kLayer, false);
  }
  to.PutSwitch(c.format == RetNetFormat::kSyncdoth
                   ? "tie_word_embeddings"
                   : "share_decoder_input_output_embed",
               o.tied_head, tied_unsaid);
  if (metadata->count("recurrent_chunk_size") > 0 ||
      r.chunk_size != kTorchscaleChunk) {
    size("recurrent_chunk_size", r.chunk_size);
  }
}

}  // namespace

absl::string_view RetNetFormatName(RetNetFormat format) {
  switch (format) {
    case RetNetFormat::kTorchscale:
      return "torchscale";
    case RetNetFormat::kSyncdoth:
      return "syncdoth";
    case RetNetFormat::kFla:
      return "fla";
  }
  return "unknown";
}

absl::StatusOr<RetNetCheckpoint> ImportRetNet(
    const std::map<std::string, Tensor>& tensors,
    const std::map<std::string, std::string>& metadata,
    const RetNetImportOptions& options) {
  RetNetCheckpoint c;
  c.metadata = metadata;
  const Config config(c.metadata);
  SEPTET_RETURN_IF_ERROR(Detect(tensors, &c));
  SEPTET_RETURN_IF_ERROR(RefuseFeatures(tensors, config, c));
  SEPTET_RETURN_IF_ERROR(ReadSizes(tensors, config, &c));
  SEPTET_RETURN_IF_ERROR(
      c.format == RetNetFormat::kFla
          ? ReadFla(tensors, config, &c)
          : ReadTorchscale(tensors, config, options.exact_decay, &c));
  SEPTET_RETURN_IF_ERROR(ReadHead(tensors, config, &c));
  SEPTET_RETURN_IF_ERROR(c.options.Validate()) << kName;
  std::vector<TensorSource> sources;
  for (const Entry& entry : Entries(c.options)) {
    const std::string theirs = Theirs(c, entry.ours);
    sources.push_back({entry.ours, {theirs}, entry.transpose});
    const auto it = tensors.find(theirs);
    if (it == tensors.end()) continue;  // listed with all that are missing
    SEPTET_RETURN_IF_ERROR(CheckTensor(theirs, it->second, TheirShape(entry)));
  }
  Tensors rest = tensors;
  if (c.has_buffers) {
    rest.erase(AngleName(c));
    rest.erase(DecayName(c));
  }
  if (c.stores_tied_head) rest.erase(Theirs(c, "head.weight"));
  SEPTET_ASSIGN_OR_RETURN(c.parameters, ConvertTensors(rest, sources),
                          _ << kName << " of " << RetNetFormatName(c.format));
  return c;
}

absl::StatusOr<RetNetTensors> ExportRetNet(const RetNetCheckpoint& checkpoint) {
  const RetNetCheckpoint& c = checkpoint;
  SEPTET_RETURN_IF_ERROR(c.options.Validate()) << kName;
  SEPTET_RETURN_IF_ERROR(CheckExportable(c));
  std::vector<TensorSource> sources;
  for (const Entry& entry : Entries(c.options)) {
    sources.push_back({Theirs(c, entry.ours), {entry.ours}, entry.transpose});
    const auto it = c.parameters.find(entry.ours);
    if (it == c.parameters.end()) continue;
    SEPTET_RETURN_IF_ERROR(CheckTensor(entry.ours, it->second, entry.shape));
  }
  RetNetTensors result;
  SEPTET_ASSIGN_OR_RETURN(result.tensors, ConvertTensors(c.parameters, sources),
                          _ << kName << " for " << RetNetFormatName(c.format));
  if (c.options.tied_head && c.stores_tied_head) {
    result.tensors[Theirs(c, "head.weight")] =
        c.parameters.at("embedding.weight");
  }
  if (c.format != RetNetFormat::kFla && c.has_buffers) {
    SEPTET_RETURN_IF_ERROR(WriteBuffers(c, &result.tensors));
  }
  WriteMetadata(c, &result.metadata);
  return result;
}

absl::StatusOr<std::map<std::string, std::string>> RetNetConfigMetadata(
    const JsonValue& config) {
  if (config.kind() != JsonValue::Kind::kObject) {
    return absl::DataLossError(
        absl::StrCat(config.where(), " is no object, expected a config"));
  }
  std::map<std::string, std::string> result;
  for (const std::string& name : config.names()) {
    SEPTET_ASSIGN_OR_RETURN(const JsonValue value, config.Get(name));
    switch (value.kind()) {
      case JsonValue::Kind::kNull:
        break;
      case JsonValue::Kind::kBool: {
        SEPTET_ASSIGN_OR_RETURN(const bool on, value.Bool());
        result[name] = on ? "True" : "False";
        break;
      }
      case JsonValue::Kind::kInteger: {
        const absl::StatusOr<int64_t> integer = value.Integer();
        if (integer.ok()) {
          result[name] = absl::StrCat(*integer);
          break;
        }
        SEPTET_ASSIGN_OR_RETURN(const double number, value.Number());
        result[name] = NumberText(number);
        break;
      }
      case JsonValue::Kind::kNumber: {
        SEPTET_ASSIGN_OR_RETURN(const double number, value.Number());
        result[name] = NumberText(number);
        break;
      }
      case JsonValue::Kind::kString: {
        SEPTET_ASSIGN_OR_RETURN(result[name], value.String());
        break;
      }
      case JsonValue::Kind::kList:
        result[name] = "[...]";
        break;
      case JsonValue::Kind::kObject:
        result[name] = "{...}";
        break;
    }
  }
  return result;
}

}  // namespace septet
