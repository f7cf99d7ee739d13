// SPDX-License-Identifier: Apache-2.0
// What torchscale calls the parameters of a RetNet (retnet.md 9).
#ifndef SEPTET_RETENTION_TORCHSCALE_NAMES_H_
#define SEPTET_RETENTION_TORCHSCALE_NAMES_H_

#include <string>

#include "absl/strings/string_view.h"

namespace septet {

// "layers.0.retention.q_proj.weight" for our "layers.0.retention.q.weight".
std::string TorchscaleName(absl::string_view name);

// Whether theirs is [out, in] where ours is [in, out]: linear layers but the
// head, whose weight lies as the embedding's.
bool TorchscaleTransposes(absl::string_view name);

}  // namespace septet

#endif  // SEPTET_RETENTION_TORCHSCALE_NAMES_H_
