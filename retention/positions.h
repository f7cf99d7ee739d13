// SPDX-License-Identifier: Apache-2.0
// The rotation of queries and keys that makes a RetNet know positions (Sun et
// al., 2023, arXiv 2307.08621, eq. 3 to 5; retnet.md 3.1), for core's Rotary.
//
//   SEPTET_ASSIGN_OR_RETURN(
//       Tensor w, RetNetFrequencies(RetNetRotary::kInterleavedLinspace, dk));
//   q = Rotary(q, w, {RetNetLayout(kind), /*time_axis=*/-3});
//
// The paper reduces xPos to one gamma a head (retention/decay.h): there is no
// scale factor here.
#ifndef SEPTET_RETENTION_POSITIONS_H_
#define SEPTET_RETENTION_POSITIONS_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "septet/core/ops/rotary_layout.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

enum class RetNetRotary {
  // Pairs (2p, 2p + 1), frequency 10000^(-p / (dk/2 - 1)), both ends included;
  // 1 for dk = 2 (torchscale).
  kInterleavedLinspace,
  // Pairs (p, p + dk/2), frequency 10000^(-2p / dk) (flash-linear-attention).
  kHalfRope,
  kNone,
};

// f64 [dk / 2]; empty for kNone.
// Errors: InvalidArgument for a key_dim that is not even and positive.
absl::StatusOr<Tensor> RetNetFrequencies(RetNetRotary kind, int64_t key_dim);

RotaryLayout RetNetLayout(RetNetRotary kind);

}  // namespace septet

#endif  // SEPTET_RETENTION_POSITIONS_H_
