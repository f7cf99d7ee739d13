// SPDX-License-Identifier: Apache-2.0
// Fully connected layer: y [..., out] = x [..., in] W + b.
//
//   SEPTET_ASSIGN_OR_RETURN(
//       LinearLayer fc, LinearLayer::Create({/*in=*/64, /*out=*/10},
//                                           scope.Sub("fc")));
//   Var y = fc.Forward(p, x);
//
// Parameters: "weight" [in, out] and, with a bias, "bias" [out] (weight decay
// is not meant for it). Cost, errors and gradient: core/ops/matmul.h. Note that
// PyTorch keeps [out, in]; ImportSources (core/nn/import.h) transposes.
#ifndef SEPTET_CORE_NN_LINEAR_LAYER_H_
#define SEPTET_CORE_NN_LINEAR_LAYER_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "septet/core/autograd/var.h"
#include "septet/core/nn/initializer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/ops/matmul.h"

namespace septet {

// Some columns of a weight: several layers of one input as one product.
struct LinearPart {
  int64_t out = 0;  // >= 1
  Initializer init = Initializer::FanInUniform();
};

struct LinearLayerOptions {
  int64_t in = 0;   // >= 1
  int64_t out = 0;  // >= 1
  bool bias = true;
  Initializer weight_init = Initializer::FanInUniform();
  // Where given, they follow one another and add up to `out`, and each has its
  // own initialiser, with fans of its own, instead of weight_init. The numbers
  // are those of the whole weight's elements.
  std::vector<LinearPart> weight_parts = {};
  // Its fans are the weight's.
  Initializer bias_init = Initializer::FanInUniform();

  // InvalidArgument that names the field, its value and its range.
  absl::Status Validate() const;
};

class LinearLayer {
 public:
  LinearLayer() = default;
  static absl::StatusOr<LinearLayer> Create(const LinearLayerOptions& options,
                                            const ParameterScope& scope);

  Var Forward(const BoundParameters& p, const Var& x) const {
    return Linear(x, p[weight_], p[bias_]);
  }

  ParameterId weight() const { return weight_; }
  ParameterId bias() const { return bias_; }

 private:
  ParameterId weight_;
  ParameterId bias_;
};

}  // namespace septet

#endif  // SEPTET_CORE_NN_LINEAR_LAYER_H_
