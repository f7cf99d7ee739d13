// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/positions.h"

#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/ops/rotary.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"

namespace septet {

absl::StatusOr<Tensor> RetNetFrequencies(RetNetRotary kind, int64_t key_dim) {
  if (kind == RetNetRotary::kNone)
    return Tensor::Zeros(Shape({0}), DType::kF64);
  if (key_dim < 2 || key_dim % 2 != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("retnet: the width of a head's keys is ", key_dim,
                     ", expected an even number >= 2 to rotate pairs"));
  }
  if (kind == RetNetRotary::kHalfRope) return RotaryFrequencies(key_dim);
  const int64_t pairs = key_dim / 2;
  SEPTET_ASSIGN_OR_RETURN(Tensor frequencies,
                          Tensor::Empty(Shape({pairs}), DType::kF64));
  for (int64_t p = 0; p < pairs; ++p) {
    const double part =
        pairs == 1 ? 0
                   : static_cast<double>(p) / static_cast<double>(pairs - 1);
    frequencies.mutable_data<double>()[p] = std::pow(10000.0, -part);
  }
  return frequencies;
}

RotaryLayout RetNetLayout(RetNetRotary kind) {
  return kind == RetNetRotary::kHalfRope ? RotaryLayout::kHalf
                                         : RotaryLayout::kInterleaved;
}

}  // namespace septet
