// SPDX-License-Identifier: Apache-2.0
// Multi-layer perceptron: for each hidden width a linear layer, an activation
// and, where asked for, a normalisation and dropout; a linear layer at the end.
//
//   MlpOptions options;
//   options.in = 17;
//   options.hidden = {512, 512, 512};
//   options.out = 1;
//   options.activation = ActivationKind::kGeluTanh;
//   options.norm = NormKind::kLayer;
//   SEPTET_ASSIGN_OR_RETURN(Mlp critic, Mlp::Create(options,
//                                                   scope.Sub("critic")));
//   Var q = critic.Forward(p, pass, x);                       // [..., 1]
//
// Parameters: "0.weight", "0.bias", "0.norm.weight", ... and "<L>.weight",
// "<L>.bias" for the last. The normalisation comes behind the activation, as
// in offline_rl.md 3.1, or before it.
#ifndef SEPTET_CORE_NN_MLP_H_
#define SEPTET_CORE_NN_MLP_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "septet/core/autograd/var.h"
#include "septet/core/nn/dropout_layer.h"
#include "septet/core/nn/initializer.h"
#include "septet/core/nn/linear_layer.h"
#include "septet/core/nn/norm_layer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/ops/activation_kind.h"

namespace septet {

struct MlpOptions {
  int64_t in = 0;               // >= 1
  std::vector<int64_t> hidden;  // widths, each >= 1; may be empty
  int64_t out = 0;              // >= 1
  bool bias = true;
  ActivationKind activation = ActivationKind::kRelu;
  NormKind norm = NormKind::kNone;
  double norm_eps = 1e-6;
  bool norm_before_activation = false;
  double dropout = 0;  // behind each hidden layer
  Initializer weight_init = Initializer::FanInUniform();
  Initializer bias_init = Initializer::FanInUniform();
  // Of the last layer.
  Initializer out_weight_init = Initializer::FanInUniform();
  Initializer out_bias_init = Initializer::FanInUniform();

  // InvalidArgument that names the field, its value and its range.
  absl::Status Validate() const;
};

class Mlp {
 public:
  Mlp() = default;
  static absl::StatusOr<Mlp> Create(const MlpOptions& options,
                                    const ParameterScope& scope);

  // x [..., in]: [..., out].
  Var Forward(const BoundParameters& p, const Pass& pass, const Var& x) const;

  // The value before the last linear layer: [..., hidden.back()], or x.
  Var Features(const BoundParameters& p, const Pass& pass, const Var& x) const;

  // Layer i of hidden.size() + 1.
  const LinearLayer& linear(int i) const { return linear_[i]; }

 private:
  ActivationKind activation_ = ActivationKind::kRelu;
  bool norm_before_ = false;
  std::vector<LinearLayer> linear_;
  std::vector<NormLayer> norm_;
  std::vector<DropoutLayer> dropout_;
};

}  // namespace septet

#endif  // SEPTET_CORE_NN_MLP_H_
