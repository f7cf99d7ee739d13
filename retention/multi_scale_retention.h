// SPDX-License-Identifier: Apache-2.0
// Gated multi-scale retention (Sun et al., 2023, arXiv 2307.08621, section 2.2
// and eq. 8; retnet.md 3.1 to 3.5): what a RetNet has in the place of
// attention. Head h decays with its own gamma,
//
//   q = x Wq, k = x Wk, v = x Wv, g = x Wg
//   y = (norm_h(retention_h(rot q, rot k, v)) swish(g)) Wo
//
//   MultiScaleRetentionOptions options;
//   options.dim = 64;
//   options.value_dim = 96;
//   options.heads = 2;
//   SEPTET_ASSIGN_OR_RETURN(
//       MultiScaleRetention retention,
//       MultiScaleRetention::Create(options, scope.Sub("retention")));
//   Var y = retention.Forward(p, pass, {}, x);   // [B, T, 64]
//
// Parameters: "q.weight", "k.weight" [dim, dim], "v.weight", "g.weight" [dim,
// value_dim], "out.weight" [value_dim, dim], with `bias` "q.bias" and so on;
// "norm.weight" [value_dim / heads] with kRmsAffine; "decay.rho" [heads] with
// learnable decay, log gamma = -softplus(rho). Head h owns the features h D ..
// h D + D - 1. No "g" without a gate.
#ifndef SEPTET_RETENTION_MULTI_SCALE_RETENTION_H_
#define SEPTET_RETENTION_MULTI_SCALE_RETENTION_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "septet/core/autograd/var.h"
#include "septet/core/nn/dropout_layer.h"
#include "septet/core/nn/initializer.h"
#include "septet/core/nn/linear_layer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/decay.h"
#include "septet/retention/gated_head_norm.h"
#include "septet/retention/gated_head_norm_kernels.h"
#include "septet/retention/positions.h"
#include "septet/retention/retention.h"

namespace septet {

struct MultiScaleRetentionOptions {
  int64_t dim = 0;        // >= 1
  int64_t value_dim = 0;  // >= 1
  int64_t heads = 0;      // divides both
  ScoreNorm score_norm = ScoreNorm::kDecay;
  int64_t chunk_size = 64;
  RetNetRotary rotary = RetNetRotary::kInterleavedLinspace;
  // Radians a position of each pair, in the place of those of `rotary`, which
  // still says what a pair is: dim / heads / 2 finite ones, or none.
  std::vector<double> frequencies;
  DecayOptions decay;
  // The decay is a parameter, whose first value is `decay`.
  bool learnable_decay = false;
  HeadNorm head_norm = HeadNorm::kRms;
  double head_norm_eps = 1e-6;
  bool gate = true;
  bool bias = false;   // of all projections
  double dropout = 0;  // of the result
  Initializer qkvg_init = Initializer::XavierUniform(0.17677669529663687);
  Initializer value_init = Initializer::XavierUniform(0.17677669529663687);
  Initializer out_init = Initializer::XavierUniform(0.5);
  Initializer bias_init = Initializer::Zeros();

  // InvalidArgument that names the field, its value and its range.
  absl::Status Validate() const;
};

// What all layers of a pass share.
struct RetentionContext {
  RetentionForm form = RetentionForm::kAuto;
  // i64 [N + 1] where rows are packed; see retention.h.
  Tensor cu_seqlens;
  // i64 [R]: the position of each row of all sequences, one behind the other.
  // Undefined: 0, 1, ... in each of B rows.
  Tensor positions;
  int64_t chunk_size = 0;  // 0: that of the options
};

// What a layer's retention read and gave, for whoever looks on.
struct RetentionView {
  Var q, k, v;    // as Retention() takes them
  Var log_gamma;  // f64 [heads]
  Var out;        // before norm and gate
};

class MultiScaleRetention {
 public:
  MultiScaleRetention() = default;
  static absl::StatusOr<MultiScaleRetention> Create(
      const MultiScaleRetentionOptions& options, const ParameterScope& scope);

  // x [B, T, dim], or packed [R, dim]: of its shape. `state` is what is
  // carried in, empty for none; the state behind the last rows goes to
  // *final_state if that is not null, and likewise what retention read.
  Var Forward(const BoundParameters& p, const Pass& pass,
              const RetentionContext& context, const Var& x,
              const RetentionState& state = {},
              RetentionState* final_state = nullptr,
              RetentionView* view = nullptr) const;

  // One row of each sequence, x [N, dim], without a tape: s [N, H, dk, dv] and
  // key_sum [N, H, dk] (kPaper, else undefined) are updated in place.
  absl::StatusOr<Tensor> Step(const BoundParameters& p, const Tensor& x,
                              absl::Span<const int64_t> positions, Tensor* s,
                              Tensor* key_sum) const;

  const MultiScaleRetentionOptions& options() const { return options_; }
  int64_t key_width() const { return options_.dim / options_.heads; }
  int64_t value_width() const { return options_.value_dim / options_.heads; }
  // ln gamma, f64 [heads].
  Var LogGamma(const BoundParameters& p) const;

 private:
  Var Rotate(const RetentionContext& context, const Var& x) const;
  Var Output(const BoundParameters& p, const Var& o, const Var& x) const;

  MultiScaleRetentionOptions options_;
  Tensor log_gamma_;
  Tensor frequencies_;
  ParameterId rho_;
  ParameterId norm_weight_;
  LinearLayer q_;
  LinearLayer k_;
  LinearLayer v_;
  LinearLayer g_;
  LinearLayer out_;
  DropoutLayer dropout_;
};

}  // namespace septet

#endif  // SEPTET_RETENTION_MULTI_SCALE_RETENTION_H_
