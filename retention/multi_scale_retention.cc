// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/multi_scale_retention.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/nn/validate.h"
#include "septet/core/ops/activation.h"
#include "septet/core/ops/activation_kind.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/rotary.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"

namespace septet {
namespace {

constexpr const char* kName = "multi-scale retention";

absl::Status RequireDivides(const char* field, int64_t heads, int64_t width) {
  if (width % heads == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(kName, ": heads is ", heads,
                                                 ", expected a divisor of ",
                                                 field, ", which is ", width));
}

// [B, T, H D] or [R, H D] as [..., H, D].
Var SplitHeads(const Var& x, int64_t heads) {
  if (!x.ok()) return x;
  std::vector<int64_t> dims;
  for (int axis = 0; axis + 1 < x.rank(); ++axis) dims.push_back(x.dim(axis));
  dims.push_back(heads);
  dims.push_back(x.dim(x.rank() - 1) / heads);
  return Reshape(x, dims);
}

// f64 [dk / 2], or what RetNetFrequencies gives for no rotation.
absl::StatusOr<Tensor> FrequenciesOf(const MultiScaleRetentionOptions& o) {
  SEPTET_ASSIGN_OR_RETURN(const Tensor computed,
                          RetNetFrequencies(o.rotary, o.dim / o.heads));
  if (o.frequencies.empty()) return computed;
  if (static_cast<int64_t>(o.frequencies.size()) != computed.num_elements()) {
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": there are ", o.frequencies.size(), " frequencies, expected ",
        computed.num_elements(), ", one for each pair that is rotated"));
  }
  for (size_t i = 0; i < o.frequencies.size(); ++i) {
    if (std::isfinite(o.frequencies[i])) continue;
    return absl::InvalidArgumentError(absl::StrCat(kName, ": frequencies[", i,
                                                   "] is ", o.frequencies[i],
                                                   ", expected finite"));
  }
  return Tensor::FromValues<double>(computed.shape(), o.frequencies);
}

// rho such that -softplus(rho) = log_gamma: ln(expm1(-log_gamma)).
double RhoOf(double log_gamma) { return std::log(std::expm1(-log_gamma)); }

}  // namespace

absl::Status MultiScaleRetentionOptions::Validate() const {
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "dim", dim, 1));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "value_dim", value_dim, 1));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "heads", heads, 1));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "chunk_size", chunk_size, 1));
  SEPTET_RETURN_IF_ERROR(RequireDivides("dim", heads, dim));
  SEPTET_RETURN_IF_ERROR(RequireDivides("value_dim", heads, value_dim));
  SEPTET_RETURN_IF_ERROR(
      RequireFiniteAtLeast(kName, "head_norm_eps", head_norm_eps, 0));
  SEPTET_RETURN_IF_ERROR(FrequenciesOf(*this).status());
  SEPTET_ASSIGN_OR_RETURN(const Tensor log_gamma, LogDecay(decay, heads));
  for (int64_t h = 0; learnable_decay && h < heads; ++h) {
    if (log_gamma.data<double>()[h] < 0) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": gamma of head ", h,
                     " is 1, expected less than 1 where it is learned"));
  }
  if (learnable_decay && (score_norm == ScoreNorm::kTorchscale ||
                          score_norm == ScoreNorm::kTorchscaleLegacy)) {
    return absl::InvalidArgumentError(absl::StrCat(
        kName,
        ": learnable_decay is true, expected false with the score norms of "
        "torchscale"));
  }
  return RequireProbability(kName, "dropout", dropout);
}

absl::StatusOr<MultiScaleRetention> MultiScaleRetention::Create(
    const MultiScaleRetentionOptions& options, const ParameterScope& scope) {
  SEPTET_RETURN_IF_ERROR(options.Validate()) << scope.FullName("");
  MultiScaleRetention layer;
  layer.options_ = options;
  SEPTET_ASSIGN_OR_RETURN(layer.log_gamma_,
                          LogDecay(options.decay, options.heads));
  SEPTET_ASSIGN_OR_RETURN(layer.frequencies_, FrequenciesOf(options));
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
  const int64_t dim = options.dim, value_dim = options.value_dim;
  SEPTET_ASSIGN_OR_RETURN(layer.q_, linear("q", dim, dim, options.qkvg_init));
  SEPTET_ASSIGN_OR_RETURN(layer.k_, linear("k", dim, dim, options.qkvg_init));
  SEPTET_ASSIGN_OR_RETURN(layer.v_,
                          linear("v", dim, value_dim, options.value_init));
  if (options.gate) {
    SEPTET_ASSIGN_OR_RETURN(layer.g_,
                            linear("g", dim, value_dim, options.qkvg_init));
  }
  if (options.head_norm == HeadNorm::kRmsAffine) {
    SEPTET_ASSIGN_OR_RETURN(
        layer.norm_weight_,
        scope.Parameter("norm.weight", {value_dim / options.heads},
                        Initializer::Ones(), {}, /*decay=*/false));
  }
  if (options.learnable_decay) {
    SEPTET_ASSIGN_OR_RETURN(Tensor rho, layer.log_gamma_.Clone());
    for (int64_t h = 0; h < options.heads; ++h) {
      rho.mutable_data<double>()[h] = RhoOf(rho.data<double>()[h]);
    }
    SEPTET_ASSIGN_OR_RETURN(rho, rho.To(scope.dtype()));
    SEPTET_ASSIGN_OR_RETURN(
        layer.rho_,
        scope.Add("decay.rho", rho, {/*trained=*/true, /*decay=*/false}));
  }
  SEPTET_ASSIGN_OR_RETURN(layer.out_,
                          linear("out", value_dim, dim, options.out_init));
  SEPTET_ASSIGN_OR_RETURN(
      layer.dropout_, DropoutLayer::Create(options.dropout, scope, "dropout"));
  return layer;
}

Var MultiScaleRetention::LogGamma(const BoundParameters& p) const {
  if (!rho_.defined()) return log_gamma_;
  return Neg(Activation(ActivationKind::kSoftplus, Cast(p[rho_], DType::kF64)));
}

Var MultiScaleRetention::Rotate(const RetentionContext& context,
                                const Var& x) const {
  if (options_.rotary == RetNetRotary::kNone || !x.ok()) return x;
  RotaryOptions rotary;
  rotary.layout = RetNetLayout(options_.rotary);
  rotary.time_axis = -3;
  if (!context.positions.defined()) return Rotary(x, frequencies_, rotary);
  if (x.rank() == 3) {
    return Rotary(x, frequencies_, rotary, context.positions);
  }
  const int64_t batch = x.dim(0), rows = x.dim(1), heads = x.dim(2),
                width = x.dim(3);
  return Reshape(Rotary(Reshape(x, {batch * rows, heads, width}), frequencies_,
                        rotary, context.positions),
                 {batch, rows, heads, width});
}

Var MultiScaleRetention::Output(const BoundParameters& p, const Var& o,
                                const Var& x) const {
  const Var gate = options_.gate ? g_.Forward(p, x) : Var();
  return out_.Forward(
      p, GatedHeadNorm(o, gate, options_.head_norm, options_.head_norm_eps,
                       p[norm_weight_]));
}

Var MultiScaleRetention::Forward(const BoundParameters& p, const Pass& pass,
                                 const RetentionContext& context, const Var& x,
                                 const RetentionState& state,
                                 RetentionState* final_state,
                                 RetentionView* view) const {
  const int rank = context.cu_seqlens.defined() ? 2 : 3;
  if (!x.ok()) return x;
  if (!x.defined() || x.rank() != rank || x.dim(rank - 1) != options_.dim) {
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": x is ", x.defined() ? x.tensor().DebugString() : "not given",
        ", expected ", rank == 3 ? "[B, T, " : "[R, ", options_.dim, "]"));
  }
  RetentionOptions retention;
  retention.form = context.form;
  retention.chunk_size =
      context.chunk_size == 0 ? options_.chunk_size : context.chunk_size;
  retention.training = pass.training;
  retention.score_norm = options_.score_norm;
  const Var q = Rotate(context, SplitHeads(q_.Forward(p, x), options_.heads));
  const Var k = Rotate(context, SplitHeads(k_.Forward(p, x), options_.heads));
  const Var v = SplitHeads(v_.Forward(p, x), options_.heads);
  const Var log_gamma = LogGamma(p);
  RetentionOutput result =
      Retention(q, k, v, log_gamma, retention, state, final_state != nullptr,
                context.cu_seqlens);
  if (view != nullptr) *view = {q, k, v, log_gamma, result.out};
  if (final_state != nullptr) *final_state = std::move(result.state);
  return dropout_.Forward(pass, Output(p, result.out, x));
}

absl::StatusOr<Tensor> MultiScaleRetention::Step(
    const BoundParameters& p, const Tensor& x,
    absl::Span<const int64_t> positions, Tensor* s, Tensor* key_sum) const {
  const Var input = x;
  RetentionContext context;
  std::vector<int64_t> at(positions.begin(), positions.end());
  SEPTET_ASSIGN_OR_RETURN(context.positions,
                          Tensor::FromValues<int64_t>(
                              Shape({static_cast<int64_t>(at.size())}), at));
  const Var q =
      Rotate(context, SplitHeads(q_.Forward(p, input), options_.heads));
  const Var k =
      Rotate(context, SplitHeads(k_.Forward(p, input), options_.heads));
  const Var v = SplitHeads(v_.Forward(p, input), options_.heads);
  const Var log_gamma = LogGamma(p);
  for (const Var* part : {&q, &k, &v, &log_gamma}) {
    SEPTET_RETURN_IF_ERROR(part->status());
    if (part->tape() == nullptr) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        kName,
        ": a step was asked for with parameters on a tape, expected "
        "constants"));
  }
  RetentionOptions retention;
  retention.score_norm = options_.score_norm;
  SEPTET_ASSIGN_OR_RETURN(Tensor out,
                          Tensor::Empty(v.shape(), v.tensor().dtype()));
  SEPTET_RETURN_IF_ERROR(RetentionStep(q.tensor(), k.tensor(), v.tensor(),
                                       log_gamma.tensor(), retention, s,
                                       key_sum, absl::MakeSpan(at), &out));
  const Var y = Output(p, out, input);
  SEPTET_RETURN_IF_ERROR(y.status());
  return y.tensor();
}

}  // namespace septet
