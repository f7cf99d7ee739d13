// SPDX-License-Identifier: Apache-2.0
#include "septet/core/nn/norm_layer.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/validate.h"
#include "septet/core/ops/layer_norm.h"
#include "septet/core/ops/rms_norm.h"

namespace septet {

absl::Status NormLayerOptions::Validate() const {
  SEPTET_RETURN_IF_ERROR(RequireAtLeast("norm layer", "size", size, 1));
  return RequireFiniteAtLeast("norm layer", "eps", eps, 0);
}

absl::StatusOr<NormLayer> NormLayer::Create(const NormLayerOptions& options,
                                            const ParameterScope& scope) {
  SEPTET_RETURN_IF_ERROR(options.Validate()) << scope.FullName("");
  NormLayer layer;
  layer.kind_ = options.kind;
  layer.eps_ = options.eps;
  if (options.kind == NormKind::kNone) return layer;
  if (options.weight) {
    SEPTET_ASSIGN_OR_RETURN(
        layer.weight_,
        scope.Parameter("weight", {options.size}, options.weight_init,
                        {options.size, options.size}, /*decay=*/false));
  }
  if (options.bias && options.kind == NormKind::kLayer) {
    SEPTET_ASSIGN_OR_RETURN(
        layer.bias_,
        scope.Parameter("bias", {options.size}, options.bias_init,
                        {options.size, options.size}, /*decay=*/false));
  }
  return layer;
}

Var NormLayer::Forward(const BoundParameters& p, const Var& x) const {
  switch (kind_) {
    case NormKind::kLayer:
      return LayerNorm(x, p[weight_], p[bias_], eps_);
    case NormKind::kRms:
      return RmsNorm(x, p[weight_], eps_);
    case NormKind::kNone:
      return x;
  }
  return x;
}

}  // namespace septet
