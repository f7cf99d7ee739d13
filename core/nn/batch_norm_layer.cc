// SPDX-License-Identifier: Apache-2.0
#include "septet/core/nn/batch_norm_layer.h"

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/nn/initializer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/nn/validate.h"
#include "septet/core/ops/batch_norm.h"
#include "septet/core/ops/bias_free_batch_norm.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

absl::Status BatchNormLayerOptions::Validate() const {
  SEPTET_RETURN_IF_ERROR(RequireAtLeast("batch norm", "channels", channels, 1));
  SEPTET_RETURN_IF_ERROR(RequireFiniteAtLeast("batch norm", "eps", eps, 0));
  if (momentum >= 0 && momentum <= 1) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("batch norm: momentum is ", momentum, ", expected [0, 1]"));
}

absl::StatusOr<BatchNormLayer> BatchNormLayer::Create(
    const BatchNormLayerOptions& options, const ParameterScope& scope) {
  SEPTET_RETURN_IF_ERROR(options.Validate()) << scope.FullName("");
  BatchNormLayer layer;
  layer.options_ = options;
  const Shape shape({options.channels});
  SEPTET_ASSIGN_OR_RETURN(
      layer.weight_,
      scope.Parameter("weight", shape, options.weight_init,
                      {options.channels, options.channels}, /*decay=*/false));
  if (options.kind == BatchNormKind::kBiasFree) {
    SEPTET_ASSIGN_OR_RETURN(
        layer.running_scale_,
        scope.Buffer("running_sd", shape, Initializer::Ones()));
    return layer;
  }
  SEPTET_ASSIGN_OR_RETURN(
      layer.bias_,
      scope.Parameter("bias", shape, options.bias_init,
                      {options.channels, options.channels}, /*decay=*/false));
  SEPTET_ASSIGN_OR_RETURN(
      layer.running_mean_,
      scope.Buffer("running_mean", shape, Initializer::Zeros()));
  SEPTET_ASSIGN_OR_RETURN(
      layer.running_scale_,
      scope.Buffer("running_variance", shape, Initializer::Ones()));
  return layer;
}

Var BatchNormLayer::Forward(const BoundParameters& p, const Pass& pass,
                            const Var& x) const {
  const Tensor& running_scale = p[running_scale_].tensor();
  if (options_.kind == BatchNormKind::kBiasFree) {
    if (!pass.training) {
      return BiasFreeBatchNormEvaluation(x, p[weight_], running_scale);
    }
    const BiasFreeBatchNormResult result =
        BiasFreeBatchNormTraining(x, p[weight_], options_.eps);
    if (pass.update_statistics && result.y.ok()) {
      const absl::Status updated =
          UpdateRunningDeviation(result, options_.momentum, running_scale);
      if (!updated.ok()) return updated;
    }
    return result.y;
  }
  const Tensor& running_mean = p[running_mean_].tensor();
  if (!pass.training) {
    return BatchNormEvaluation(x, p[weight_], p[bias_], running_mean,
                               running_scale, options_.eps);
  }
  const BatchNormResult result =
      BatchNormTraining(x, p[weight_], p[bias_], options_.eps);
  if (pass.update_statistics && result.y.ok()) {
    const absl::Status updated = UpdateRunningStatistics(
        result, options_.momentum, running_mean, running_scale);
    if (!updated.ok()) return updated;
  }
  return result.y;
}

}  // namespace septet
