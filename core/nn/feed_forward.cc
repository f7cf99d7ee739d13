// SPDX-License-Identifier: Apache-2.0
#include "septet/core/nn/feed_forward.h"

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/check.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/nn/dropout_layer.h"
#include "septet/core/nn/initializer.h"
#include "septet/core/nn/linear_layer.h"
#include "septet/core/nn/norm_layer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/nn/validate.h"
#include "septet/core/ops/activation.h"
#include "septet/core/ops/gated_activation.h"
#include "septet/core/ops/gated_feed_forward.h"

namespace septet {

absl::Status FeedForwardOptions::Validate() const {
  SEPTET_RETURN_IF_ERROR(RequireAtLeast("feed forward", "dim", dim, 1));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast("feed forward", "hidden", hidden, 1));
  SEPTET_RETURN_IF_ERROR(
      RequireProbability("feed forward", "hidden_dropout", hidden_dropout));
  return RequireProbability("feed forward", "dropout", dropout);
}

int64_t FeedForwardWidth(int64_t dim, int64_t numerator, int64_t denominator,
                         int64_t multiple) {
  SEPTET_CHECK(dim >= 1 && numerator >= 1 && denominator >= 1 && multiple >= 1);
  const int64_t width = dim * numerator / denominator;
  return std::max(width / multiple, int64_t{1}) * multiple;
}

absl::StatusOr<FeedForward> FeedForward::Create(
    const FeedForwardOptions& options, const ParameterScope& scope) {
  SEPTET_RETURN_IF_ERROR(options.Validate()) << scope.FullName("");
  FeedForward layer;
  layer.kind_ = options.kind;
  layer.activation_ = options.activation;
  const auto linear = [&](absl::string_view name, int64_t in, int64_t out,
                          const Initializer& init) {
    LinearLayerOptions linear_options;
    linear_options.in = in;
    linear_options.out = out;
    linear_options.bias = options.bias;
    linear_options.weight_init = init;
    linear_options.bias_init = options.bias_init;
    return LinearLayer::Create(linear_options, scope.Sub(name));
  };
  SEPTET_ASSIGN_OR_RETURN(
      layer.fc1_, linear("fc1", options.dim, options.hidden, options.fc1_init));
  if (options.kind == FeedForwardKind::kGlu) {
    SEPTET_ASSIGN_OR_RETURN(
        layer.gate_,
        linear("gate", options.dim, options.hidden, options.gate_init));
  }
  layer.has_hidden_norm_ = options.hidden_norm != NormKind::kNone;
  if (layer.has_hidden_norm_) {
    NormLayerOptions norm;
    norm.size = options.hidden;
    norm.kind = options.hidden_norm;
    norm.eps = options.hidden_norm_eps;
    SEPTET_ASSIGN_OR_RETURN(layer.hidden_norm_,
                            NormLayer::Create(norm, scope.Sub("hidden_norm")));
  }
  SEPTET_ASSIGN_OR_RETURN(
      layer.fc2_, linear("fc2", options.hidden, options.dim, options.fc2_init));
  SEPTET_ASSIGN_OR_RETURN(
      layer.hidden_dropout_,
      DropoutLayer::Create(options.hidden_dropout, scope, "hidden_dropout"));
  SEPTET_ASSIGN_OR_RETURN(
      layer.dropout_, DropoutLayer::Create(options.dropout, scope, "dropout"));
  return layer;
}

Var FeedForward::Forward(const BoundParameters& p, const Pass& pass,
                         const Var& x) const {
  if (kind_ == FeedForwardKind::kGlu && !fc1_.bias().defined() &&
      !has_hidden_norm_ && hidden_dropout_.Probability(pass) == 0) {
    return dropout_.Forward(
        pass, GatedFeedForward(activation_, x, p[fc1_.weight()],
                               p[gate_.weight()], p[fc2_.weight()]));
  }
  Var h = fc1_.Forward(p, x);
  h = kind_ == FeedForwardKind::kGlu
          ? GatedActivation(activation_, h, gate_.Forward(p, x))
          : Activation(activation_, h);
  if (has_hidden_norm_) h = hidden_norm_.Forward(p, h);
  h = hidden_dropout_.Forward(pass, h);
  return dropout_.Forward(pass, fc2_.Forward(p, h));
}

}  // namespace septet
