// SPDX-License-Identifier: Apache-2.0
// Transformers from files of other programs, whatever their names and whether
// query, key and value are one weight there, here, or both.
//
//   SEPTET_ASSIGN_OR_RETURN(
//       auto tensors,
//       ConvertTensors(file_tensors, TransformerSources(options, Gpt2Names()),
//                      Gpt2IgnoredTensors()));
//   SEPTET_RETURN_IF_ERROR(store.Import(tensors));
#ifndef SEPTET_CORE_NN_TRANSFORMER_IMPORT_H_
#define SEPTET_CORE_NN_TRANSFORMER_IMPORT_H_

#include <string>
#include <vector>

#include "septet/core/nn/import.h"
#include "septet/core/nn/transformer.h"

namespace septet {

// Their names. In those of a layer's parts "{}" stands for its number; to the
// names of linear layers and norms `weight` and `bias` are appended.
struct TransformerNames {
  std::string prefix;          // in front of every name
  std::string embedding;       // whole, [V, d]
  std::string position_table;  // whole, [P, d]; empty: none is imported
  std::string embedding_norm;
  std::string attention_norm;
  std::string qkv;  // joint; empty: the next three
  std::string query;
  std::string key;
  std::string value;
  std::string attention_out;
  std::string ffn_norm;
  std::string fc1;
  std::string gate;
  std::string fc2;
  std::string final_norm;
  std::string head_weight;  // whole, [V, d]
  std::string head_bias;    // whole
  std::string weight = ".weight";
  std::string bias = ".bias";
  bool out_in = false;  // linear weights are [out, in]
  // Norms may be missing: they keep their first values.
  bool optional_norms = false;
};

// Hugging Face's GPT-2: "wte.weight", "h.0.attn.c_attn.weight" ([in, out]) and
// so on; `prefix` may be "transformer.". Untied heads are "lm_head.weight".
TransformerNames Gpt2Names(const std::string& prefix = "");
// Ends of the names of buffers in such files that are no parameters.
std::vector<std::string> Gpt2IgnoredTensors();

// A source for each parameter of a Transformer of these options, whose
// position hook is LearnedPositions if position_table is not empty.
std::vector<TensorSource> TransformerSources(const TransformerOptions& options,
                                             const TransformerNames& names);

}  // namespace septet

#endif  // SEPTET_CORE_NN_TRANSFORMER_IMPORT_H_
