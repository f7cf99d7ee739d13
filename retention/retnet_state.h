// SPDX-License-Identifier: Apache-2.0
// States of torchscale's recurrent form: prev_key_value = S^T / sqrt(c) [B, H,
// dv, dk] with scale = c [H], the sum of the powers of gamma so far; ours is S
// [B, H, dk, dv] and the position (retnet.md 3.4 and 9).
#ifndef SEPTET_RETENTION_RETNET_STATE_H_
#define SEPTET_RETENTION_RETNET_STATE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

struct TorchscaleState {
  Tensor prev_key_value;  // of S's dtype
  Tensor scale;           // likewise
};

// s [B, H, dk, dv] behind `position` >= 1 rows; log_gamma of H heads.
// Errors: InvalidArgument for other shapes or positions.
absl::StatusOr<TorchscaleState> ToTorchscaleState(
    const Tensor& s, absl::Span<const double> log_gamma, int64_t position);

// S from a state that was exported at `position`.
absl::StatusOr<Tensor> FromTorchscaleState(const TorchscaleState& state,
                                           absl::Span<const double> log_gamma,
                                           int64_t position);

}  // namespace septet

#endif  // SEPTET_RETENTION_RETNET_STATE_H_
