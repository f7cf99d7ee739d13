// SPDX-License-Identifier: Apache-2.0
#include "septet/core/nn/position_encoding.h"

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/validate.h"
#include "septet/core/ops/attention.h"
#include "septet/core/ops/concat.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/index.h"

namespace septet {

Var PositionEncoding::AttendJoint(const AttentionCall& call, int64_t heads,
                                  int64_t kv_heads, const Var& qkv) const {
  std::vector<Var> parts = Split(qkv, {heads, kv_heads, kv_heads}, /*axis=*/2);
  Rotate(call, &parts[0], &parts[1]);
  const Var extra = Extra(call, parts[1]);
  return Attend(call, parts[0], parts[1], parts[2], extra);
}

absl::Status LearnedPositionsOptions::Validate() const {
  return RequireAtLeast("learned positions", "count", count, 1);
}

absl::Status LearnedPositions::Declare(const PositionModel& model,
                                       const ParameterScope& scope) {
  SEPTET_RETURN_IF_ERROR(options_.Validate());
  SEPTET_ASSIGN_OR_RETURN(
      weight_,
      scope.Parameter("weight", {options_.count, model.dim}, options_.init,
                      {options_.count, model.dim}, options_.decay));
  return absl::OkStatus();
}

Var LearnedPositions::Embed(const EmbeddingCall& call, const Var& x) const {
  if (!x.ok()) return x;
  const Var& table = (*call.p)[weight_];
  if (call.positions.defined() || !call.positions.ok()) {
    return Add(x, Embedding(table, call.positions));
  }
  const int64_t end = call.first + x.dim(1);
  if (end > options_.count) {
    return absl::InvalidArgumentError(
        absl::StrCat("learned positions: position ", end - 1,
                     ", expected 0 to ", options_.count - 1));
  }
  return Add(x, Slice(table, 0, call.first, end));
}

Var LearnedPositions::AttendJoint(const AttentionCall& call, int64_t heads,
                                  int64_t kv_heads, const Var& qkv) const {
  return JointAttention(qkv, heads, kv_heads, *call.mask, call.options);
}

}  // namespace septet
