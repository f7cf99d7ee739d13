// SPDX-License-Identifier: Apache-2.0
// Batch normalisation with its running statistics, channels last.
//
//   BatchNormLayerOptions options;
//   options.channels = 64;
//   SEPTET_ASSIGN_OR_RETURN(BatchNormLayer norm,
//                           BatchNormLayer::Create(options, scope.Sub("bn")));
//   Var y = norm.Forward(p, pass, x);                    // [N, H, W, 64]
//
// In training a pass normalises with the batch's statistics and moves the
// running ones (unless pass.update_statistics is off), in the memory of the
// store that `p` was bound from; in evaluation it uses the running ones.
//
//   kStandard  parameters "weight", "bias" [C], buffers "running_mean",
//              "running_variance" [C] (0 and 1 at first), as in PyTorch
//   kBiasFree  parameter "weight" [C], buffer "running_sd" [C] (1 at first):
//              the mean is not subtracted (core/ops/bias_free_batch_norm.h)
//
// Weight decay is not meant for the parameters. Cost, errors and gradient:
// core/ops/batch_norm.h.
#ifndef SEPTET_CORE_NN_BATCH_NORM_LAYER_H_
#define SEPTET_CORE_NN_BATCH_NORM_LAYER_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "septet/core/autograd/var.h"
#include "septet/core/nn/initializer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"

namespace septet {

enum class BatchNormKind { kStandard, kBiasFree };

struct BatchNormLayerOptions {
  int64_t channels = 0;  // >= 1
  BatchNormKind kind = BatchNormKind::kStandard;
  double eps = 1e-5;      // finite, >= 0
  double momentum = 0.1;  // of the batch's share in the running ones, [0, 1]
  // gahb.md: ClampedNormal(0, 2/9/64, -0.025, 0.025) with kBiasFree.
  Initializer weight_init = Initializer::Ones();
  Initializer bias_init = Initializer::Zeros();

  // InvalidArgument that names the field, its value and its range.
  absl::Status Validate() const;
};

class BatchNormLayer {
 public:
  BatchNormLayer() = default;
  static absl::StatusOr<BatchNormLayer> Create(
      const BatchNormLayerOptions& options, const ParameterScope& scope);

  // x [..., C]: of its shape.
  Var Forward(const BoundParameters& p, const Pass& pass, const Var& x) const;

 private:
  BatchNormLayerOptions options_;
  ParameterId weight_;
  ParameterId bias_;
  ParameterId running_mean_;
  ParameterId running_scale_;  // the variance, or the standard deviation
};

}  // namespace septet

#endif  // SEPTET_CORE_NN_BATCH_NORM_LAYER_H_
