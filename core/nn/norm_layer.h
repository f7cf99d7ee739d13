// SPDX-License-Identifier: Apache-2.0
// Normalisation of the last axis with a gain and perhaps a bias.
//
//   SEPTET_ASSIGN_OR_RETURN(
//       NormLayer norm, NormLayer::Create({/*size=*/64, NormKind::kRms, 1e-6},
//                                         scope.Sub("norm")));
//   Var y = norm.Forward(p, x);
//
// Parameters: "weight" [n] and "bias" [n]; weight decay is not meant for them.
// Cost, errors and gradient: core/ops/layer_norm.h, rms_norm.h.
#ifndef SEPTET_CORE_NN_NORM_LAYER_H_
#define SEPTET_CORE_NN_NORM_LAYER_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "septet/core/autograd/var.h"
#include "septet/core/nn/initializer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"

namespace septet {

enum class NormKind {
  kLayer,  // (x - mean) / sqrt(variance + eps)
  kRms,    // x / sqrt(mean x^2 + eps); never has a bias
  kNone,   // y = x, no parameters: for ablations
};

struct NormLayerOptions {
  int64_t size = 0;  // of the last axis, >= 1
  NormKind kind = NormKind::kLayer;
  double eps = 1e-5;  // finite, >= 0
  bool weight = true;
  bool bias = true;
  Initializer weight_init = Initializer::Ones();
  Initializer bias_init = Initializer::Zeros();

  // InvalidArgument that names the field, its value and its range.
  absl::Status Validate() const;
};

class NormLayer {
 public:
  NormLayer() = default;
  static absl::StatusOr<NormLayer> Create(const NormLayerOptions& options,
                                          const ParameterScope& scope);

  Var Forward(const BoundParameters& p, const Var& x) const;

  ParameterId weight() const { return weight_; }
  ParameterId bias() const { return bias_; }

 private:
  NormKind kind_ = NormKind::kNone;
  double eps_ = 0;
  ParameterId weight_;
  ParameterId bias_;
};

}  // namespace septet

#endif  // SEPTET_CORE_NN_NORM_LAYER_H_
