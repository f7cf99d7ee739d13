// SPDX-License-Identifier: Apache-2.0
#include "septet/core/nn/group_norm_layer.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/nn/initializer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/validate.h"
#include "septet/core/ops/group_norm.h"
#include "septet/core/tensor/shape.h"

namespace septet {

absl::Status GroupNormLayerOptions::Validate() const {
  SEPTET_RETURN_IF_ERROR(RequireAtLeast("group norm", "channels", channels, 1));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast("group norm", "groups", groups, 1));
  SEPTET_RETURN_IF_ERROR(RequireFiniteAtLeast("group norm", "eps", eps, 0));
  if (channels % groups == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("group norm: groups is ", groups,
                   ", expected a divisor of channels, ", channels));
}

absl::StatusOr<GroupNormLayer> GroupNormLayer::Create(
    const GroupNormLayerOptions& options, const ParameterScope& scope) {
  SEPTET_RETURN_IF_ERROR(options.Validate()) << scope.FullName("");
  GroupNormLayer layer;
  layer.groups_ = options.groups;
  layer.eps_ = options.eps;
  if (!options.affine) return layer;
  const Shape shape({options.channels});
  const Fans fans{options.channels, options.channels};
  SEPTET_ASSIGN_OR_RETURN(
      layer.weight_, scope.Parameter("weight", shape, options.weight_init, fans,
                                     /*decay=*/false));
  SEPTET_ASSIGN_OR_RETURN(
      layer.bias_,
      scope.Parameter("bias", shape, options.bias_init, fans, /*decay=*/false));
  return layer;
}

Var GroupNormLayer::Forward(const BoundParameters& p, const Var& x) const {
  return GroupNorm(x, groups_, p[weight_], p[bias_], eps_);
}

}  // namespace septet
