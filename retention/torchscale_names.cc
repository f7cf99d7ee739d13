// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/torchscale_names.h"

#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"

namespace septet {

std::string TorchscaleName(absl::string_view name) {
  if (absl::StartsWith(name, "layers.")) {
    return absl::StrReplaceAll(name,
                               {{".retention_norm.", ".retention_layer_norm."},
                                {".retention.q.", ".retention.q_proj."},
                                {".retention.k.", ".retention.k_proj."},
                                {".retention.v.", ".retention.v_proj."},
                                {".retention.g.", ".retention.g_proj."},
                                {".retention.out.", ".retention.out_proj."},
                                {".ffn_norm.", ".final_layer_norm."},
                                {".hidden_norm.", ".ffn_layernorm."}});
  }
  return absl::StrReplaceAll(name,
                             {{"embedding.weight", "embed_tokens.weight"},
                              {"embedding_norm.", "layernorm_embedding."},
                              {"final_norm.", "layer_norm."},
                              {"head.weight", "output_projection.weight"}});
}

bool TorchscaleTransposes(absl::string_view name) {
  return absl::StartsWith(name, "layers.") && absl::EndsWith(name, ".weight") &&
         !absl::StrContains(name, "norm.");
}

}  // namespace septet
