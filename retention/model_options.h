// SPDX-License-Identifier: Apache-2.0
// RetNets by options message, and those that are known by name.
//
//   RetNetModelOptions message;                       // --set model.dim=128
//   SEPTET_ASSIGN_OR_RETURN(RetNetOptions options, RetNetOptionsOf(message));
//
//   SEPTET_ASSIGN_OR_RETURN(RetNetModelOptions message, RetNetPreset("7b"));
//   NumRetNetParameters(message);                     // without making it
#ifndef SEPTET_RETENTION_MODEL_OPTIONS_H_
#define SEPTET_RETENTION_MODEL_OPTIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/retention/model_options.pb.h"
#include "septet/retention/retnet.h"

namespace septet {

// The same in the struct that RetNet takes, widths and first values included
// (retnet.md 3.6 and 3.7): with DeepNorm, value, output, fc1 and fc2 are
// divided by (8 L)^(1/4), with subln multiplied by sqrt(ln 2 L).
// Errors: InvalidArgument that names the option.
absl::StatusOr<RetNetOptions> RetNetOptionsOf(
    const RetNetModelOptions& message);

// "desk" (the model that the experiments train: 0.12 M parameters); base,
// medium, xl, 3b, 7b, 13b, 65b of torchscale (embeddings times the root of
// dim); 1.3b, 2.7b, 6.7b of the paper (tables 2 and 7: linspace decay, values
// of 2 d, a plain network of 2 d, dropout 0.1). None of them says a vocabulary:
// all have that of 256 bytes until another is set.
// NotFound, with the names, for another.
absl::StatusOr<RetNetModelOptions> RetNetPreset(absl::string_view name);
std::vector<std::string> RetNetPresetNames();

struct RetNetParameterCount {
  int64_t layers = 0;      // of blocks and the last norm
  int64_t embeddings = 0;  // embedding, its norm, and head
  int64_t total() const { return layers + embeddings; }
};
// Errors: those of RetNetOptionsOf.
absl::StatusOr<RetNetParameterCount> NumRetNetParameters(
    const RetNetModelOptions& message);

}  // namespace septet

#endif  // SEPTET_RETENTION_MODEL_OPTIONS_H_
