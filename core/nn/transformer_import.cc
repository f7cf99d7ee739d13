// SPDX-License-Identifier: Apache-2.0
#include "septet/core/nn/transformer_import.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "septet/core/nn/feed_forward.h"
#include "septet/core/nn/import.h"
#include "septet/core/nn/norm_layer.h"
#include "septet/core/nn/transformer.h"

namespace septet {
namespace {

// Adds sources of parts of one layer, or of what is above the layers.
class Sources {
 public:
  Sources(const TransformerOptions& options, const TransformerNames& names)
      : options_(options), names_(names) {}

  void EnterLayer(int64_t layer) {
    number_ = absl::StrCat(layer);
    prefix_ = absl::StrCat("layers.", layer, ".");
  }
  void LeaveLayers() { prefix_.clear(); }

  void Whole(const std::string& ours, const std::string& theirs) {
    sources_.push_back({ours, {absl::StrCat(names_.prefix, theirs)}});
  }

  void Norm(const std::string& ours, const std::string& theirs) {
    if (options_.norm == NormKind::kNone) return;
    Add(ours + ".weight", {Name(theirs, names_.weight)}, false);
    sources_.back().optional = names_.optional_norms;
    if (options_.norm == NormKind::kLayer && options_.norm_bias) {
      Add(ours + ".bias", {Name(theirs, names_.bias)}, false);
      sources_.back().optional = names_.optional_norms;
    }
  }

  // `ours`, with outputs [begin, end) of what `theirs` are side by side.
  void Linear(const std::string& ours, const std::vector<std::string>& theirs,
              bool bias, int64_t begin = 0, int64_t end = -1) {
    std::vector<std::string> weights;
    std::vector<std::string> biases;
    for (const std::string& name : theirs) {
      weights.push_back(Name(name, names_.weight));
      biases.push_back(Name(name, names_.bias));
    }
    Add(ours + ".weight", std::move(weights), names_.out_in, begin, end);
    if (bias) Add(ours + ".bias", std::move(biases), false, begin, end);
  }

  std::vector<TensorSource> Take() { return std::move(sources_); }

 private:
  std::string Name(const std::string& theirs, const std::string& suffix) const {
    return absl::StrCat(names_.prefix,
                        absl::StrReplaceAll(theirs, {{"{}", number_}}), suffix);
  }

  void Add(const std::string& ours, std::vector<std::string> theirs,
           bool transpose, int64_t begin = 0, int64_t end = -1) {
    sources_.push_back({absl::StrCat(prefix_, ours), std::move(theirs),
                        transpose, begin, end});
  }

  const TransformerOptions& options_;
  const TransformerNames& names_;
  std::string number_;
  std::string prefix_;
  std::vector<TensorSource> sources_;
};

}  // namespace

TransformerNames Gpt2Names(const std::string& prefix) {
  TransformerNames names;
  names.prefix = prefix;
  names.embedding = "wte.weight";
  names.position_table = "wpe.weight";
  names.attention_norm = "h.{}.ln_1";
  names.qkv = "h.{}.attn.c_attn";
  names.attention_out = "h.{}.attn.c_proj";
  names.ffn_norm = "h.{}.ln_2";
  names.fc1 = "h.{}.mlp.c_fc";
  names.fc2 = "h.{}.mlp.c_proj";
  names.final_norm = "ln_f";
  names.head_weight = "lm_head.weight";
  return names;
}

std::vector<std::string> Gpt2IgnoredTensors() {
  return {".attn.bias", ".attn.masked_bias"};
}

std::vector<TensorSource> TransformerSources(const TransformerOptions& options,
                                             const TransformerNames& names) {
  Sources sources(options, names);
  sources.Whole("embedding.weight", names.embedding);
  if (!names.position_table.empty()) {
    sources.Whole("position.weight", names.position_table);
  }
  if (options.embedding_norm) {
    sources.Norm("embedding_norm", names.embedding_norm);
  }
  const int64_t head_dim =
      options.head_dim != 0 ? options.head_dim : options.dim / options.heads;
  const int64_t q = options.heads * head_dim;
  const int64_t kv =
      (options.kv_heads != 0 ? options.kv_heads : options.heads) * head_dim;
  for (int64_t i = 0; i < options.layers; ++i) {
    sources.EnterLayer(i);
    sources.Norm("attn_norm", names.attention_norm);
    const bool bias = options.qkv_bias;
    if (options.joint_qkv && !names.qkv.empty()) {
      sources.Linear("attn.qkv", {names.qkv}, bias);
    } else if (options.joint_qkv) {
      sources.Linear("attn.qkv", {names.query, names.key, names.value}, bias);
    } else if (!names.qkv.empty()) {
      sources.Linear("attn.q", {names.qkv}, bias, 0, q);
      sources.Linear("attn.k", {names.qkv}, bias, q, q + kv);
      sources.Linear("attn.v", {names.qkv}, bias, q + kv, q + 2 * kv);
    } else {
      sources.Linear("attn.q", {names.query}, bias);
      sources.Linear("attn.k", {names.key}, bias);
      sources.Linear("attn.v", {names.value}, bias);
    }
    sources.Linear("attn.out", {names.attention_out},
                   options.attention_out_bias);
    sources.Norm("ffn_norm", names.ffn_norm);
    sources.Linear("ffn.fc1", {names.fc1}, options.ffn_bias);
    if (options.ffn == FeedForwardKind::kGlu) {
      sources.Linear("ffn.gate", {names.gate}, options.ffn_bias);
    }
    sources.Linear("ffn.fc2", {names.fc2}, options.ffn_bias);
  }
  sources.LeaveLayers();
  if (options.final_norm && options.placement == NormPlacement::kPre) {
    sources.Norm("final_norm", names.final_norm);
  }
  if (!options.tied_head) sources.Whole("head.weight", names.head_weight);
  if (options.head_bias) sources.Whole("head.bias", names.head_bias);
  return sources.Take();
}

}  // namespace septet
