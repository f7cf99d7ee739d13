// SPDX-License-Identifier: Apache-2.0
// The position-wise network of a transformer's block.
//
//   kMlp   y = W2 phi(W1 x + b1) + b2                  (Vaswani et al., 2017)
//   kGlu   y = W2 (phi(W1 x + b1) * (Wg x + bg)) + b2  (Shazeer, 2020, arXiv
//          2002.05202; SwiGLU with phi = swish, GEGLU with gelu)
//
//   FeedForwardOptions options;
//   options.dim = 64;
//   options.hidden = FeedForwardWidth(64, 8, 3, 16);   // 160
//   options.kind = FeedForwardKind::kGlu;
//   options.activation = ActivationKind::kSwish;
//   options.bias = false;
//
// Parameters: "fc1.weight" [dim, hidden], "gate.weight" [dim, hidden] (kGlu),
// "fc2.weight" [hidden, dim] and, with `bias`, "fc1.bias", "gate.bias",
// "fc2.bias", and with a hidden norm "hidden_norm.*". The activation is on fc1,
// not on the gate. Dropout may follow the activation (the product, for kGlu)
// and fc2.
#ifndef SEPTET_CORE_NN_FEED_FORWARD_H_
#define SEPTET_CORE_NN_FEED_FORWARD_H_

#include <cstdint>

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

enum class FeedForwardKind { kMlp, kGlu };

struct FeedForwardOptions {
  int64_t dim = 0;     // >= 1
  int64_t hidden = 0;  // >= 1
  FeedForwardKind kind = FeedForwardKind::kMlp;
  ActivationKind activation = ActivationKind::kRelu;
  bool bias = true;
  // Of the activated hidden vector: a norm (Sub-LayerNorm of Magneto, Wang et
  // al., 2022), before the dropout.
  NormKind hidden_norm = NormKind::kNone;
  double hidden_norm_eps = 1e-5;
  double hidden_dropout = 0;  // of the activated hidden vector
  double dropout = 0;         // of the result
  Initializer fc1_init = Initializer::FanInUniform();
  Initializer gate_init = Initializer::FanInUniform();
  Initializer fc2_init = Initializer::FanInUniform();
  Initializer bias_init = Initializer::FanInUniform();

  // InvalidArgument that names the field, its value and its range.
  absl::Status Validate() const;
};

// dim * numerator / denominator rounded down to a multiple of `multiple`, but
// at least one multiple: 8/3 and 16 give SwiGLU the parameters of a plain
// network of 4 dim. All >= 1.
int64_t FeedForwardWidth(int64_t dim, int64_t numerator, int64_t denominator,
                         int64_t multiple);

class FeedForward {
 public:
  FeedForward() = default;
  static absl::StatusOr<FeedForward> Create(const FeedForwardOptions& options,
                                            const ParameterScope& scope);

  // x [..., dim]: [..., dim].
  Var Forward(const BoundParameters& p, const Pass& pass, const Var& x) const;

 private:
  FeedForwardKind kind_ = FeedForwardKind::kMlp;
  ActivationKind activation_ = ActivationKind::kRelu;
  LinearLayer fc1_;
  LinearLayer gate_;
  NormLayer hidden_norm_;
  bool has_hidden_norm_ = false;
  LinearLayer fc2_;
  DropoutLayer hidden_dropout_;
  DropoutLayer dropout_;
};

}  // namespace septet

#endif  // SEPTET_CORE_NN_FEED_FORWARD_H_
