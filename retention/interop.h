// SPDX-License-Identifier: Apache-2.0
// RetNets of other programs, read and written (retnet.md 9):
//
//   kTorchscale  microsoft/torchscale, both generations; fairseq puts
//                "decoder." in front of all names
//   kSyncdoth    syncdoth/RetNet: the same behind "model.", with "lm_head"
//   kFla         fla-org/flash-linear-attention
//
//   SEPTET_ASSIGN_OR_RETURN(SafetensorsFile file, SafetensorsFile::Open(path));
//   std::map<std::string, Tensor> tensors;
//   for (const std::string& name : file.names()) {
//     SEPTET_ASSIGN_OR_RETURN(tensors[name], file.Get(name));
//   }
//   SEPTET_ASSIGN_OR_RETURN(RetNetCheckpoint checkpoint,
//                           ImportRetNet(tensors, file.metadata()));
//   SEPTET_ASSIGN_OR_RETURN(RetNet model,
//                           RetNet::Create(checkpoint.options, scope));
//   SEPTET_RETURN_IF_ERROR(store.Import(checkpoint.parameters));
//
//   checkpoint.format = RetNetFormat::kSyncdoth;   // converts
//   SEPTET_ASSIGN_OR_RETURN(RetNetTensors out, ExportRetNet(checkpoint));
//   SEPTET_RETURN_IF_ERROR(
//       WriteSafetensors(target, out.tensors, out.metadata));
//
// Import tells the format, the sizes and the generation (torchscale's has
// biases in the legacy one) from the tensors. What they do not tell comes from
// `metadata`, by the names of the program's config: of torchscale and syncdoth
// "activation_fn", "layernorm_eps", "no_scale_embedding" and, in files without
// buffers, "decoder_retention_heads"; of fla "num_heads" where there is no norm
// weight of heads. A switch that is absent is off. What both tell must agree.
// Callers add what a file leaves out; a config.json gives all of it, see
// RetNetConfigMetadata.
//
// Tensors keep their dtype, and are views where they are transposed: nothing
// is rounded, and ExportRetNet of what ImportRetNet gave has the same tensors,
// bit by bit, buffers included.
//
// Files of any kind that core/io/open_checkpoint.h reads will do.
#ifndef SEPTET_RETENTION_INTEROP_H_
#define SEPTET_RETENTION_INTEROP_H_

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/io/json_value.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/retnet.h"

namespace septet {

enum class RetNetFormat { kTorchscale, kSyncdoth, kFla };
// "torchscale", "syncdoth", "fla".
absl::string_view RetNetFormatName(RetNetFormat format);

struct RetNetCheckpoint {
  RetNetFormat format = RetNetFormat::kTorchscale;
  // "" or "decoder."; of kTorchscale.
  std::string prefix;
  // score_norm is what the program computes: kTorchscale, kTorchscaleLegacy or
  // kNone. kDecay in the place of torchscale's makes the forms agree exactly.
  RetNetOptions options;
  // By our names, as ParameterStore's Import and Export have them.
  std::map<std::string, Tensor> parameters;
  // torchscale's angle [dk], each frequency twice, and decay [H], ln gamma, as
  // they are in the file. Undefined: export computes them in f32.
  Tensor angle;
  Tensor decay;
  bool has_buffers = true;
  // A tied head is in the file all the same.
  bool stores_tied_head = false;
  // fla's norm of heads is fused with the gate, which is in its name.
  bool fused_head_norm = true;
  // The config, and whatever else the file had.
  std::map<std::string, std::string> metadata;
};

struct RetNetImportOptions {
  // Decay and angles from their formulas in float64 in the place of the
  // file's buffers, which are rounded to float32: that alone moves logits by
  // 1e-8, and makes gamma 1 from head 20 on.
  bool exact_decay = false;
};

// Errors: InvalidArgument if the tensors are of none of the formats, some are
// missing, unknown or of another shape, metadata lacks a value, has an
// impossible one or disagrees with the tensors: with the name, what was
// expected and what is there. Unimplemented, naming tensor or key, for what
// there is no model for here: mixtures of experts, multiway, short
// convolutions, feature maps, hybrid attention, fewer key heads, expand_k.
absl::StatusOr<RetNetCheckpoint> ImportRetNet(
    const std::map<std::string, Tensor>& tensors,
    const std::map<std::string, std::string>& metadata,
    const RetNetImportOptions& options = {});

struct RetNetTensors {
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> metadata;
};

// In checkpoint.format; torchscale's generation follows from
// options.retention.bias.
// Errors: InvalidArgument that names the option for which the format has no
// word, its value and what was expected; that lists parameters that are missing
// or unknown, or names one of another shape.
absl::StatusOr<RetNetTensors> ExportRetNet(const RetNetCheckpoint& checkpoint);

// The fields of a config.json as metadata: numbers, texts and switches by their
// names; lists and objects as "[...]" and "{...}"; null is left out. DataLoss
// if it is no object.
absl::StatusOr<std::map<std::string, std::string>> RetNetConfigMetadata(
    const JsonValue& config);

}  // namespace septet

#endif  // SEPTET_RETENTION_INTEROP_H_
