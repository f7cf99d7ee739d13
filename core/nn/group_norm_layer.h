// SPDX-License-Identifier: Apache-2.0
// Group normalisation, channels last, with a gain and a bias a channel.
//
//   GroupNormLayerOptions options;
//   options.channels = 64;
//   options.groups = 8;
//   SEPTET_ASSIGN_OR_RETURN(GroupNormLayer norm,
//                           GroupNormLayer::Create(options, scope.Sub("gn")));
//   Var y = norm.Forward(p, x);                          // [N, H, W, 64]
//
// Parameters: "weight", "bias" [C], unless affine is off; weight decay is not
// meant for them. Cost, errors and gradient: core/ops/group_norm.h.
#ifndef SEPTET_CORE_NN_GROUP_NORM_LAYER_H_
#define SEPTET_CORE_NN_GROUP_NORM_LAYER_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "septet/core/autograd/var.h"
#include "septet/core/nn/initializer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"

namespace septet {

struct GroupNormLayerOptions {
  int64_t channels = 0;  // >= 1
  int64_t groups = 1;    // >= 1, divides channels
  double eps = 1e-5;     // finite, >= 0
  bool affine = true;
  Initializer weight_init = Initializer::Ones();
  Initializer bias_init = Initializer::Zeros();

  // InvalidArgument that names the field, its value and its range.
  absl::Status Validate() const;
};

class GroupNormLayer {
 public:
  GroupNormLayer() = default;
  static absl::StatusOr<GroupNormLayer> Create(
      const GroupNormLayerOptions& options, const ParameterScope& scope);

  // x [N, ..., C]: of its shape.
  Var Forward(const BoundParameters& p, const Var& x) const;

 private:
  int64_t groups_ = 1;
  double eps_ = 0;
  ParameterId weight_;
  ParameterId bias_;
};

}  // namespace septet

#endif  // SEPTET_CORE_NN_GROUP_NORM_LAYER_H_
