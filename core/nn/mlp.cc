// SPDX-License-Identifier: Apache-2.0
#include "septet/core/nn/mlp.h"

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/nn/dropout_layer.h"
#include "septet/core/nn/linear_layer.h"
#include "septet/core/nn/norm_layer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/nn/validate.h"
#include "septet/core/ops/activation.h"

namespace septet {

absl::Status MlpOptions::Validate() const {
  SEPTET_RETURN_IF_ERROR(RequireAtLeast("mlp", "in", in, 1));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast("mlp", "out", out, 1));
  for (size_t i = 0; i < hidden.size(); ++i) {
    SEPTET_RETURN_IF_ERROR(
        RequireAtLeast("mlp", absl::StrCat("hidden[", i, "]"), hidden[i], 1));
  }
  SEPTET_RETURN_IF_ERROR(RequireFiniteAtLeast("mlp", "norm_eps", norm_eps, 0));
  return RequireProbability("mlp", "dropout", dropout);
}

absl::StatusOr<Mlp> Mlp::Create(const MlpOptions& options,
                                const ParameterScope& scope) {
  SEPTET_RETURN_IF_ERROR(options.Validate()) << scope.FullName("");
  Mlp mlp;
  mlp.activation_ = options.activation;
  mlp.norm_before_ = options.norm_before_activation;
  int64_t width = options.in;
  for (size_t i = 0; i <= options.hidden.size(); ++i) {
    const bool last = i == options.hidden.size();
    const ParameterScope sub = scope.Sub(static_cast<int64_t>(i));
    LinearLayerOptions linear;
    linear.in = width;
    linear.out = last ? options.out : options.hidden[i];
    linear.bias = options.bias;
    linear.weight_init = last ? options.out_weight_init : options.weight_init;
    linear.bias_init = last ? options.out_bias_init : options.bias_init;
    SEPTET_ASSIGN_OR_RETURN(LinearLayer layer,
                            LinearLayer::Create(linear, sub));
    mlp.linear_.push_back(layer);
    if (last) break;
    width = options.hidden[i];
    NormLayerOptions norm;
    norm.size = width;
    norm.kind = options.norm;
    norm.eps = options.norm_eps;
    SEPTET_ASSIGN_OR_RETURN(NormLayer norm_layer,
                            NormLayer::Create(norm, sub.Sub("norm")));
    mlp.norm_.push_back(norm_layer);
    SEPTET_ASSIGN_OR_RETURN(
        DropoutLayer dropout,
        DropoutLayer::Create(options.dropout, sub, "dropout"));
    mlp.dropout_.push_back(dropout);
  }
  return mlp;
}

Var Mlp::Features(const BoundParameters& p, const Pass& pass,
                  const Var& x) const {
  Var h = x;
  for (size_t i = 0; i < norm_.size(); ++i) {
    h = linear_[i].Forward(p, h);
    if (norm_before_) h = norm_[i].Forward(p, h);
    h = Activation(activation_, h);
    if (!norm_before_) h = norm_[i].Forward(p, h);
    h = dropout_[i].Forward(pass, h);
  }
  return h;
}

Var Mlp::Forward(const BoundParameters& p, const Pass& pass,
                 const Var& x) const {
  return linear_.back().Forward(p, Features(p, pass, x));
}

}  // namespace septet
