// SPDX-License-Identifier: Apache-2.0
#include "septet/core/nn/rotary_positions.h"

#include <cmath>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/position_encoding.h"
#include "septet/core/ops/attention.h"
#include "septet/core/ops/rotary.h"
#include "septet/core/tensor/dtype.h"

namespace septet {

absl::Status RotaryPositionsOptions::Validate() const {
  if (!frequencies.defined() || frequencies.dtype() != DType::kF64 ||
      frequencies.rank() != 1 || frequencies.dim(0) < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "rotary positions: frequencies are ",
        frequencies.defined() ? frequencies.DebugString() : "not given",
        ", expected f64 [R / 2]"));
  }
  if (!std::isfinite(position_scale)) {
    return absl::InvalidArgumentError(
        absl::StrCat("rotary positions: position_scale is ", position_scale,
                     ", expected finite"));
  }
  return absl::OkStatus();
}

absl::Status RotaryPositions::Declare(const PositionModel& model,
                                      const ParameterScope& /*scope*/) {
  SEPTET_RETURN_IF_ERROR(options_.Validate());
  const int64_t rotary_dim = 2 * options_.frequencies.dim(0);
  if (rotary_dim > model.head_dim) {
    return absl::InvalidArgumentError(
        absl::StrCat("rotary positions: frequencies are ",
                     options_.frequencies.DebugString(), ", for ", rotary_dim,
                     " channels, but a head has ", model.head_dim));
  }
  return absl::OkStatus();
}

RotaryOptions RotaryPositions::OptionsOf(const AttentionCall& call) const {
  RotaryOptions rotary;
  rotary.layout = options_.layout;
  rotary.time_axis = -3;  // of [B, T, H, D]
  rotary.offset = static_cast<double>(call.first);
  rotary.position_scale = options_.position_scale;
  return rotary;
}

void RotaryPositions::Rotate(const AttentionCall& call, Var* q, Var* k) const {
  const RotaryOptions rotary = OptionsOf(call);
  *q = Rotary(*q, options_.frequencies, rotary);
  *k = Rotary(*k, options_.frequencies, rotary);
}

Var RotaryPositions::AttendJoint(const AttentionCall& call, int64_t heads,
                                 int64_t kv_heads, const Var& qkv) const {
  RotaryOptions rotary = OptionsOf(call);
  rotary.rows = heads + kv_heads;
  return JointAttention(Rotary(qkv, options_.frequencies, rotary), heads,
                        kv_heads, *call.mask, call.options);
}

}  // namespace septet
