// SPDX-License-Identifier: Apache-2.0
// Convolution of images, channels last, and its transpose.
//
//   Conv2dLayerOptions options;
//   options.in = 64;
//   options.out = 64;
//   options.kernel_h = options.kernel_w = 3;
//   options.conv = Conv2dOptions::Uniform(/*stride=*/1, /*padding=*/1);
//   SEPTET_ASSIGN_OR_RETURN(Conv2dLayer conv,
//                           Conv2dLayer::Create(options, scope.Sub("conv1")));
//   Var y = conv.Forward(p, x);                        // [N, H, W, 64]
//
// Parameters: "weight" [KH, KW, in / groups, out], transposed [KH, KW, out /
// groups, in]; with a bias, "bias" [out] (weight decay is not meant for it).
// Fans are PyTorch's: in and out = KH KW times in / groups and out; transposed
// KH KW times out / groups and in. Weights of other layouts are converted by
// core/ops/image_layout.h. Cost, errors and gradient: core/ops/conv.h.
#ifndef SEPTET_CORE_NN_CONV_LAYER_H_
#define SEPTET_CORE_NN_CONV_LAYER_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "septet/core/autograd/var.h"
#include "septet/core/nn/initializer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/ops/conv.h"

namespace septet {

struct Conv2dLayerOptions {
  int64_t in = 0;  // channels, >= 1
  int64_t out = 0;
  int64_t kernel_h = 3;  // >= 1
  int64_t kernel_w = 3;
  Conv2dOptions conv;  // stride, padding, dilation, groups
  bool transposed = false;
  int64_t output_padding_h = 0;  // of the transpose
  int64_t output_padding_w = 0;
  bool bias = true;
  Initializer weight_init = Initializer::FanInUniform();
  Initializer bias_init = Initializer::FanInUniform();

  // InvalidArgument that names the field, its value and its range. What only
  // the op knows is said by Forward.
  absl::Status Validate() const;
};

class Conv2dLayer {
 public:
  Conv2dLayer() = default;
  static absl::StatusOr<Conv2dLayer> Create(const Conv2dLayerOptions& options,
                                            const ParameterScope& scope);

  // x [N, H, W, in]: [N, OH, OW, out].
  Var Forward(const BoundParameters& p, const Var& x) const;

  ParameterId weight() const { return weight_; }
  ParameterId bias() const { return bias_; }

 private:
  Conv2dLayerOptions options_;
  ParameterId weight_;
  ParameterId bias_;
};

}  // namespace septet

#endif  // SEPTET_CORE_NN_CONV_LAYER_H_
