// SPDX-License-Identifier: Apache-2.0
// Dropout with masks that are a function of seed, layer and step.
//
//   SEPTET_ASSIGN_OR_RETURN(DropoutLayer drop,
//                           DropoutLayer::Create(0.1, scope, "drop"));
//   Var y = drop.Forward(pass, x);
//
// In training each element is 0 with the probability p, else divided by 1 - p;
// which, core/ops/dropout.h says, with the key DropoutKey(pass, layer)
// (core/nn/pass.h). In evaluation, and with p = 0, y is x itself.
#ifndef SEPTET_CORE_NN_DROPOUT_LAYER_H_
#define SEPTET_CORE_NN_DROPOUT_LAYER_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/pass.h"
#include "septet/core/nn/validate.h"
#include "septet/core/ops/dropout.h"
#include "septet/core/random/philox.h"

namespace septet {

class DropoutLayer {
 public:
  // p = 0.
  DropoutLayer() = default;

  // Its stream is "dropout/<scope's name>.<name>".
  // Errors: InvalidArgument if p is not in [0, 1), or two names collide.
  static absl::StatusOr<DropoutLayer> Create(double p,
                                             const ParameterScope& scope,
                                             absl::string_view name) {
    SEPTET_RETURN_IF_ERROR(RequireProbability(scope.FullName(name), "p", p));
    DropoutLayer layer;
    if (p == 0) return layer;
    layer.p_ = p;
    SEPTET_ASSIGN_OR_RETURN(layer.stream_, scope.DropoutStream(name));
    return layer;
  }

  Var Forward(const Pass& pass, const Var& x) const {
    if (!pass.training || p_ == 0) return x;
    return Dropout(x, p_, Key(pass));
  }

  // What this pass drops with: 0 in evaluation.
  double Probability(const Pass& pass) const { return pass.training ? p_ : 0; }
  PhiloxKey Key(const Pass& pass) const { return DropoutKey(pass, stream_); }

 private:
  double p_ = 0;
  uint32_t stream_ = 0;
};

}  // namespace septet

#endif  // SEPTET_CORE_NN_DROPOUT_LAYER_H_
