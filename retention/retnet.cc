// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/retnet.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/nn/validate.h"
#include "septet/core/ops/concat.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/index.h"
#include "septet/core/ops/log_sum_exp.h"
#include "septet/core/ops/loss.h"
#include "septet/core/ops/matmul.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/tensor/shape.h"

namespace septet {
namespace {

constexpr const char* kName = "retnet";

MultiScaleRetentionOptions LayerOptions(const RetNetOptions& o) {
  MultiScaleRetentionOptions result = o.retention;
  result.dim = o.dim;
  result.value_dim = o.value_dim;
  result.qkvg_init = o.init.qkvg;
  result.value_init = o.init.value;
  result.out_init = o.init.retention_out;
  return result;
}

FeedForwardOptions FfnOptions(const RetNetOptions& o) {
  FeedForwardOptions result;
  result.dim = o.dim;
  result.hidden = o.ffn_dim;
  result.kind = o.ffn;
  result.activation = o.activation;
  result.bias = o.ffn_bias;
  result.hidden_norm = o.ffn_hidden_norm;
  result.hidden_norm_eps = o.norm_eps;
  result.dropout = o.ffn_dropout;
  result.fc1_init = o.init.fc1;
  result.gate_init = o.init.gate;
  result.fc2_init = o.init.fc2;
  result.bias_init = Initializer::Zeros();
  return result;
}

NormLayerOptions NormOptions(const RetNetOptions& o) {
  NormLayerOptions norm;
  norm.size = o.dim;
  norm.kind = o.norm;
  norm.eps = o.norm_eps;
  return norm;
}

// i64, of the rows of all sequences one behind the other.
absl::StatusOr<Tensor> PositionsOf(const RetNetInput& input, int64_t batch,
                                   int64_t rows) {
  const absl::Span<const RetentionState> state = input.state;
  const bool starts = !state.empty() && !state[0].position.empty();
  std::vector<int64_t> positions;
  const auto add = [&](int64_t sequence, int64_t count) {
    const int64_t first =
        starts ? state[0].position[static_cast<size_t>(sequence)] : 0;
    for (int64_t t = 0; t < count; ++t) positions.push_back(first + t);
  };
  if (input.cu_seqlens.defined()) {
    const int64_t* const at = input.cu_seqlens.data<int64_t>();
    for (int64_t i = 0; i + 1 < input.cu_seqlens.dim(0); ++i) {
      add(i, at[i + 1] - at[i]);
    }
  } else {
    if (!starts) return Tensor();
    for (int64_t b = 0; b < batch; ++b) add(b, rows);
  }
  return Tensor::FromValues<int64_t>(
      Shape({static_cast<int64_t>(positions.size())}), positions);
}

// What Retention checks too late for positions to be made.
absl::Status CheckInput(const RetNetInput& input, const Shape& rows,
                        int64_t layers) {
  const int rank = input.cu_seqlens.defined() ? 1 : 2;
  if (rows.rank() != rank) {
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": tokens are ", rows.ToString(), ", expected ",
                     rank == 1 ? "[R] with cu_seqlens" : "[B, T]"));
  }
  if (!input.state.empty() &&
      static_cast<int64_t>(input.state.size()) != layers) {
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": there are ", input.state.size(),
                     " states, expected one for each of ", layers, " layers"));
  }
  int64_t sequences = rows.dim(0);
  if (input.cu_seqlens.defined()) {
    const Tensor& offsets = input.cu_seqlens;
    if (offsets.dtype() != DType::kI64 || offsets.rank() != 1 ||
        offsets.dim(0) < 2 || !offsets.IsContiguous()) {
      return absl::InvalidArgumentError(
          absl::StrCat(kName, ": cu_seqlens is ", offsets.DebugString(),
                       ", expected i64 [N + 1] of N sequences"));
    }
    sequences = offsets.dim(0) - 1;
    const int64_t* const at = offsets.data<int64_t>();
    bool ascends = at[0] == 0 && at[sequences] == rows.dim(0);
    for (int64_t i = 0; i < sequences; ++i) ascends &= at[i] <= at[i + 1];
    if (!ascends) {
      return absl::InvalidArgumentError(absl::StrCat(
          kName, ": cu_seqlens goes from ", at[0], " to ", at[sequences],
          ", expected 0 to the ", rows.dim(0), " tokens, without a descent"));
    }
  }
  for (const RetentionState& state : input.state) {
    for (const int64_t position : state.position) {
      if (position >= 0 && position <= kMaxRetentionPosition) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(kName, ": a state is at position ", position,
                       ", expected 0 to ", kMaxRetentionPosition));
    }
    if (state.position == input.state[0].position &&
        (state.position.empty() ||
         static_cast<int64_t>(state.position.size()) == sequences)) {
      continue;
    }
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": the states have ", state.position.size(),
        " positions, expected the same ", sequences, " in all layers"));
  }
  return absl::OkStatus();
}

// A padded batch, packed.
struct Unpadded {
  RetNetInput input;
  Tensor rows;   // i64 [R]: of the B T, those that are no padding
  Tensor place;  // i64 [B, T]: of each among the R, and R for padding
};

absl::StatusOr<Unpadded> TakePaddingOut(const RetNetInput& padded,
                                        const Shape& rows) {
  const Tensor& mask = padded.mask;
  if (padded.cu_seqlens.defined()) {
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": there are mask and cu_seqlens, expected one"));
  }
  if (rows.rank() != 2 || mask.shape() != rows ||
      mask.dtype() != DType::kBool) {
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": mask is ", mask.DebugString(),
        ", expected bool [B, T], as tokens are ", rows.ToString()));
  }
  SEPTET_ASSIGN_OR_RETURN(const Tensor dense, mask.Contiguous());
  const bool* const real = dense.data<bool>();
  std::vector<int64_t> kept, offsets = {0};
  for (int64_t i = 0; i < rows.num_elements(); ++i) {
    if (real[i]) kept.push_back(i);
    if ((i + 1) % rows.dim(1) != 0) continue;
    offsets.push_back(static_cast<int64_t>(kept.size()));
  }
  if (kept.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": mask is false everywhere, expected a token"));
  }
  const auto count = static_cast<int64_t>(kept.size());
  std::vector<int64_t> place(static_cast<size_t>(rows.num_elements()), count);
  for (size_t r = 0; r < kept.size(); ++r) {
    place[static_cast<size_t>(kept[r])] = static_cast<int64_t>(r);
  }
  Unpadded result;
  result.input = padded;
  result.input.mask = Tensor();
  SEPTET_ASSIGN_OR_RETURN(
      result.input.cu_seqlens,
      Tensor::FromValues<int64_t>(Shape({static_cast<int64_t>(offsets.size())}),
                                  offsets));
  SEPTET_ASSIGN_OR_RETURN(result.rows,
                          Tensor::FromValues<int64_t>(Shape({count}), kept));
  SEPTET_ASSIGN_OR_RETURN(result.place,
                          Tensor::FromValues<int64_t>(rows, place));
  return result;
}

// x [B, T, ...] without padding: [R, ...].
Var WithoutPadding(const Var& x, const Unpadded& batch) {
  std::vector<int64_t> dims = {batch.place.num_elements()};
  for (int axis = 2; axis < x.rank(); ++axis) dims.push_back(x.dim(axis));
  return IndexSelect(Reshape(x, dims), 0, batch.rows);
}

// The same of a batch whose tokens are given.
absl::StatusOr<Unpadded> TakeTokensOut(const RetNetInput& padded) {
  SEPTET_ASSIGN_OR_RETURN(Unpadded batch,
                          TakePaddingOut(padded, padded.tokens.shape()));
  const Var tokens = WithoutPadding(padded.tokens, batch);
  SEPTET_RETURN_IF_ERROR(tokens.status()) << kName;
  batch.input.tokens = tokens.tensor();
  return batch;
}

// And back, x [R, D] to [B, T, D].
Var WithPadding(const Var& x, const Unpadded& batch) {
  if (!x.ok()) return x;
  absl::StatusOr<Tensor> zeros = Tensor::Zeros(Shape({1, x.dim(1)}), x.dtype());
  if (!zeros.ok()) return zeros.status();
  return Embedding(Concat({x, *zeros}, 0), batch.place);
}

bool IsFinite(const Tensor& x) {
  const auto all = [](const auto* data, int64_t n) {
    return std::all_of(data, data + n, [](auto v) { return std::isfinite(v); });
  };
  return x.dtype() == DType::kF32 ? all(x.data<float>(), x.num_elements())
                                  : all(x.data<double>(), x.num_elements());
}

absl::Status RequireFiniteLogits(const Tensor& logits) {
  if (IsFinite(logits)) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat(kName, ": the logits are not finite"));
}

}  // namespace

absl::Status RetNetOptions::Validate() const {
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "vocab_size", vocab_size, 1));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "dim", dim, 1));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "layers", layers, 0));
  SEPTET_RETURN_IF_ERROR(LayerOptions(*this).Validate()) << kName;
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "ffn_dim", ffn_dim, 1));
  SEPTET_RETURN_IF_ERROR(FfnOptions(*this).Validate()) << kName;
  SEPTET_RETURN_IF_ERROR(RequireFiniteAtLeast(kName, "norm_eps", norm_eps, 0));
  if (!std::isfinite(embedding_scale)) {
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": embedding_scale is ", embedding_scale, ", expected finite"));
  }
  return RequireProbability(kName, "embedding_dropout", embedding_dropout);
}

RetNetOptions DefaultRetNetOptions(int64_t vocab_size, int64_t dim,
                                   int64_t layers, int64_t heads,
                                   int64_t value_dim) {
  RetNetOptions options;
  options.vocab_size = vocab_size;
  options.dim = dim;
  options.layers = layers;
  options.value_dim =
      value_dim != 0 ? value_dim
                     : FeedForwardWidth(std::max<int64_t>(dim, 1), 5, 3, 16);
  options.ffn_dim = options.value_dim;
  options.retention.heads = heads;
  options.init.embedding =
      Initializer::Normal(0, 1 / std::sqrt(static_cast<double>(dim)));
  options.init.head = options.init.embedding;
  return options;
}

absl::StatusOr<RetNet> RetNet::Create(const RetNetOptions& options,
                                      const ParameterScope& scope) {
  SEPTET_RETURN_IF_ERROR(options.Validate()) << scope.FullName("");
  RetNet model;
  model.options_ = options;
  const bool scaled =
      options.placement == RetNetPlacement::kDeepNorm ||
      options.placement == RetNetPlacement::kDeepNormPreNormQuirk;
  if (scaled && options.layers > 0) {
    model.residual_scale_ = DeepNormAlpha(options.layers);
  }
  EmbeddingLayerOptions embedding;
  embedding.count = options.vocab_size;
  embedding.dim = options.dim;
  embedding.init = options.init.embedding;
  SEPTET_ASSIGN_OR_RETURN(
      model.embedding_,
      EmbeddingLayer::Create(embedding, scope.Sub("embedding")));
  const auto make_norm = [&](absl::string_view name, const ParameterScope& in) {
    return NormLayer::Create(NormOptions(options), in.Sub(name));
  };
  if (options.embedding_norm) {
    SEPTET_ASSIGN_OR_RETURN(model.embedding_norm_,
                            make_norm("embedding_norm", scope));
  }
  SEPTET_ASSIGN_OR_RETURN(model.embedding_dropout_,
                          DropoutLayer::Create(options.embedding_dropout, scope,
                                               "embedding_dropout"));
  for (int64_t i = 0; i < options.layers; ++i) {
    const ParameterScope in = scope.Sub("layers").Sub(i);
    Layer layer;
    SEPTET_ASSIGN_OR_RETURN(layer.retention_norm,
                            make_norm("retention_norm", in));
    SEPTET_ASSIGN_OR_RETURN(layer.retention,
                            MultiScaleRetention::Create(LayerOptions(options),
                                                        in.Sub("retention")));
    SEPTET_ASSIGN_OR_RETURN(layer.ffn_norm, make_norm("ffn_norm", in));
    SEPTET_ASSIGN_OR_RETURN(
        layer.ffn, FeedForward::Create(FfnOptions(options), in.Sub("ffn")));
    model.layers_.push_back(std::move(layer));
  }
  if (model.NormsBefore()) {
    SEPTET_ASSIGN_OR_RETURN(model.final_norm_, make_norm("final_norm", scope));
  }
  if (options.tied_head) {
    model.head_weight_ = model.embedding_.weight();
  } else {
    SEPTET_ASSIGN_OR_RETURN(
        model.head_weight_,
        scope.Parameter("head.weight", {options.vocab_size, options.dim},
                        options.init.head, {options.dim, options.vocab_size}));
  }
  return model;
}

Var RetNet::Residual(const BoundParameters& p, const NormLayer& norm,
                     const Var& x, const Var& y) const {
  const Var sum = Add(residual_scale_ == 1 ? x : Scale(x, residual_scale_), y);
  return NormsBefore() ? sum : norm.Forward(p, sum);
}

Var RetNet::Embed(const BoundParameters& p, const Pass& pass,
                  const Var& tokens) const {
  Var x = embedding_.Forward(p, tokens);
  if (options_.embedding_scale != 1) x = Scale(x, options_.embedding_scale);
  return embedding_dropout_.Forward(pass, embedding_norm_.Forward(p, x));
}

Var RetNet::HiddenOf(const BoundParameters& p, const Pass& pass, const Var& x,
                     const RetNetInput& input) const {
  if (!x.ok()) return x;
  if (!x.defined() || x.rank() < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": vectors are not given"));
  }
  std::vector<int64_t> dims;
  for (int axis = 0; axis + 1 < x.rank(); ++axis) dims.push_back(x.dim(axis));
  const Shape rows(dims);
  if (input.mask.defined()) {
    const absl::StatusOr<Unpadded> batch = TakePaddingOut(input, rows);
    if (!batch.ok()) return batch.status();
    return WithPadding(
        HiddenOf(p, pass, WithoutPadding(x, *batch), batch->input), *batch);
  }
  const int64_t layers = static_cast<int64_t>(layers_.size());
  const absl::Status status = CheckInput(input, rows, layers);
  if (!status.ok()) return status;
  RetentionContext context;
  context.form = input.form;
  context.cu_seqlens = input.cu_seqlens;
  context.chunk_size = input.chunk_size;
  absl::StatusOr<Tensor> positions =
      PositionsOf(input, rows.dim(0), rows.rank() == 2 ? rows.dim(1) : 0);
  if (!positions.ok()) return positions.status();
  context.positions = *std::move(positions);
  const bool before = NormsBefore();
  std::vector<RetentionState> final_state(
      input.final_state == nullptr ? 0 : layers_.size());
  Var h = x;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    RetNetLayerView view;
    const Var retained = layer.retention.Forward(
        p, pass, context, before ? layer.retention_norm.Forward(p, h) : h,
        input.state.empty() ? RetentionState() : input.state[i],
        final_state.empty() ? nullptr : &final_state[i],
        input.observer ? &view.retention : nullptr);
    h = Residual(p, layer.retention_norm, h, retained);
    const Var fed =
        layer.ffn.Forward(p, pass, before ? layer.ffn_norm.Forward(p, h) : h);
    h = Residual(p, layer.ffn_norm, h, fed);
    if (!input.observer) continue;
    view.layer = static_cast<int64_t>(i);
    view.out = h;
    input.observer(view);
  }
  if (input.final_state != nullptr) *input.final_state = std::move(final_state);
  return final_norm_.Forward(p, h);
}

Var RetNet::Hidden(const BoundParameters& p, const Pass& pass,
                   const RetNetInput& input) const {
  if (!input.tokens.defined()) {
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": tokens are not given"));
  }
  if (input.mask.defined()) {
    const absl::StatusOr<Unpadded> batch = TakeTokensOut(input);
    if (!batch.ok()) return batch.status();
    return WithPadding(Hidden(p, pass, batch->input), *batch);
  }
  return HiddenOf(p, pass, Embed(p, pass, input.tokens), input);
}

Var RetNet::Logits(const BoundParameters& p, const Var& h) const {
  return Linear(h, p[head_weight_], Var(), {/*weight_out_in=*/true});
}

Var RetNet::Forward(const BoundParameters& p, const Pass& pass,
                    const RetNetInput& input) const {
  if (input.mask.defined() && input.tokens.defined()) {
    // The head, too, leaves padding out.
    const absl::StatusOr<Unpadded> batch = TakeTokensOut(input);
    if (!batch.ok()) return batch.status();
    return WithPadding(Forward(p, pass, batch->input), *batch);
  }
  return Logits(p, Hidden(p, pass, input));
}

Var RetNet::Loss(const BoundParameters& p, const Pass& pass,
                 const RetNetInput& input, const Tensor& targets,
                 const RetNetLossOptions& options) const {
  if (!(std::isfinite(options.z_loss) && options.z_loss >= 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": z_loss is ", options.z_loss,
                     ", expected a finite number >= 0"));
  }
  if (input.mask.defined() && input.tokens.defined()) {
    if (!targets.defined() || targets.shape() != input.tokens.shape()) {
      return absl::InvalidArgumentError(absl::StrCat(
          kName, ": targets are ",
          targets.defined() ? targets.DebugString() : "not given",
          ", expected the shape of tokens, ", input.tokens.shape().ToString()));
    }
    const absl::StatusOr<Unpadded> batch = TakeTokensOut(input);
    if (!batch.ok()) return batch.status();
    const Var kept = WithoutPadding(targets, *batch);
    if (!kept.ok()) return kept;
    return Loss(p, pass, batch->input, kept.tensor(), options);
  }
  const Var logits = Forward(p, pass, input);
  CrossEntropyOptions loss;
  loss.ignore_index = options.ignore_index;
  const Var mean = CrossEntropy(logits, targets, loss);
  if (options.z_loss == 0) return mean;
  // Of the rows that count, as the loss itself.
  const Var kept = Cast(
      Sub(Var(*Tensor::Scalar(1, logits.ok() ? logits.dtype() : DType::kF32)),
          Cast(Equal(Var(targets),
                     Tensor::Scalar(
                         static_cast<double>(options.ignore_index),
                         targets.defined() ? targets.dtype() : DType::kI64)),
               logits.ok() ? logits.dtype() : DType::kF32)),
      logits.ok() ? logits.dtype() : DType::kF32);
  const Var square = Mul(Square(LogSumExp(logits, {-1})), kept);
  const Var one =
      *Tensor::Scalar(1, logits.ok() ? logits.dtype() : DType::kF32);
  return Add(mean,
             Scale(Div(Sum(square), Maximum(Sum(kept), one)), options.z_loss));
}

absl::StatusOr<DecodeCache> RetNet::MakeCache(int64_t rows, DType dtype) const {
  DecodeCacheOptions options;
  options.rows = rows;
  options.layers = static_cast<int64_t>(layers_.size());
  options.heads = options_.retention.heads;
  options.key_dim = options_.dim / options_.retention.heads;
  options.value_dim = options_.value_dim / options_.retention.heads;
  options.key_sums = options_.retention.score_norm == ScoreNorm::kPaper;
  options.dtype = dtype;
  return DecodeCache::Create(options);
}

absl::StatusOr<RetNetPrefill> RetNet::Prefill(
    const BoundParameters& p,
    absl::Span<const std::vector<int64_t>> prompts) const {
  if (prompts.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": there are no prompts, expected at least one"));
  }
  std::vector<int64_t> tokens, offsets = {0}, last;
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (prompts[i].empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          kName, ": prompts[", i, "] is empty, expected at least one token"));
    }
    for (size_t t = 0; t < prompts[i].size(); ++t) {
      if (prompts[i][t] >= 0 && prompts[i][t] < options_.vocab_size) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(kName, ": prompts[", i, "][", t, "] is ", prompts[i][t],
                       ", expected a token in 0 to ", options_.vocab_size - 1));
    }
    tokens.insert(tokens.end(), prompts[i].begin(), prompts[i].end());
    offsets.push_back(static_cast<int64_t>(tokens.size()));
    last.push_back(offsets.back() - 1);
  }
  const auto tensor = [](const std::vector<int64_t>& values) {
    return Tensor::FromValues<int64_t>(
        Shape({static_cast<int64_t>(values.size())}), values);
  };
  std::vector<RetentionState> states;
  RetNetInput input;
  SEPTET_ASSIGN_OR_RETURN(input.tokens, tensor(tokens));
  SEPTET_ASSIGN_OR_RETURN(input.cu_seqlens, tensor(offsets));
  input.form = RetentionForm::kChunkwise;
  input.final_state = &states;
  // Its chunkwise form leaves no state; the recurrent one is kDecay.
  const ScoreNorm norm = options_.retention.score_norm;
  if (norm == ScoreNorm::kTorchscale || norm == ScoreNorm::kTorchscaleLegacy) {
    input.form = RetentionForm::kRecurrent;
  }
  const Var h = Hidden(p, Pass(), input);
  SEPTET_ASSIGN_OR_RETURN(const Tensor rows, tensor(last));
  const Var logits = Logits(p, IndexSelect(h, 0, rows));
  SEPTET_RETURN_IF_ERROR(logits.status());
  for (size_t i = 0; i < states.size(); ++i) {
    SEPTET_RETURN_IF_ERROR(states[i].s.status());
    if (IsFinite(states[i].s.tensor())) continue;
    return absl::InternalError(
        absl::StrCat(kName, ": the state of layer ", i, " is not finite"));
  }
  SEPTET_RETURN_IF_ERROR(RequireFiniteLogits(logits.tensor()));
  RetNetPrefill result;
  result.logits = logits.tensor();
  SEPTET_ASSIGN_OR_RETURN(
      result.cache,
      MakeCache(static_cast<int64_t>(prompts.size()), result.logits.dtype()));
  for (size_t i = 0; i < states.size(); ++i) {
    const int64_t layer = static_cast<int64_t>(i);
    SEPTET_RETURN_IF_ERROR(
        result.cache.state(layer)->CopyFrom(states[i].s.tensor()));
    if (states[i].key_sum.defined()) {
      SEPTET_RETURN_IF_ERROR(
          result.cache.key_sum(layer)->CopyFrom(states[i].key_sum.tensor()));
    }
  }
  for (size_t i = 0; i < prompts.size(); ++i) {
    result.cache.Advance(static_cast<int64_t>(i),
                         static_cast<int64_t>(prompts[i].size()));
  }
  return result;
}

absl::StatusOr<Tensor> RetNet::DecodeStep(
    const BoundParameters& p, const Tensor& tokens, DecodeCache* cache,
    const RetNetObserver& observer) const {
  if (!tokens.defined() || tokens.shape() != Shape({cache->rows()})) {
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": tokens are ",
        tokens.defined() ? tokens.DebugString() : "not given", ", expected [",
        cache->rows(), "], one for each row of the cache"));
  }
  SEPTET_ASSIGN_OR_RETURN(
      const DecodeCache like,
      MakeCache(0, layers_.empty() ? cache->options().dtype
                                   : p[embedding_.weight()].dtype()));
  DecodeCacheOptions expected = like.options();
  expected.rows = cache->rows();
  const DecodeCacheOptions& is = cache->options();
  if (is.layers != expected.layers || is.heads != expected.heads ||
      is.key_dim != expected.key_dim || is.value_dim != expected.value_dim ||
      is.key_sums != expected.key_sums || is.dtype != expected.dtype) {
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": the cache has ", is.layers, " layers of ", is.heads,
        " heads of ", is.key_dim, " by ", is.value_dim, " ",
        DTypeName(is.dtype), is.key_sums ? " with key sums" : "", ", expected ",
        expected.layers, " of ", expected.heads, " of ", expected.key_dim,
        " by ", expected.value_dim, " ", DTypeName(expected.dtype),
        expected.key_sums ? " with key sums" : ""));
  }
  for (const Var& var : p.trained()) {
    if (var.tape() == nullptr) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        kName,
        ": parameters are on a tape, but nothing is differentiated "
        "through a cache"));
  }
  Var h = Embed(p, Pass(), tokens);
  SEPTET_RETURN_IF_ERROR(h.status());
  const bool before = NormsBefore();
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    const int64_t number = static_cast<int64_t>(i);
    const Var x = before ? layer.retention_norm.Forward(p, h) : h;
    SEPTET_RETURN_IF_ERROR(x.status());
    SEPTET_ASSIGN_OR_RETURN(
        const Tensor retained,
        layer.retention.Step(p, x.tensor(), cache->positions(),
                             cache->state(number), cache->key_sum(number)));
    h = Residual(p, layer.retention_norm, h, retained);
    const Var fed =
        layer.ffn.Forward(p, Pass(), before ? layer.ffn_norm.Forward(p, h) : h);
    h = Residual(p, layer.ffn_norm, h, fed);
    SEPTET_RETURN_IF_ERROR(h.status());
    if (!IsFinite(h.tensor())) {
      return absl::InternalError(
          absl::StrCat(kName, ": the output of layer ", i, " is not finite"));
    }
    if (observer) observer({number, {}, h});
  }
  const Var logits = Logits(p, final_norm_.Forward(p, h));
  SEPTET_RETURN_IF_ERROR(logits.status());
  SEPTET_RETURN_IF_ERROR(RequireFiniteLogits(logits.tensor()));
  for (int64_t row = 0; row < cache->rows(); ++row) cache->Advance(row, 1);
  return logits.tensor();
}

}  // namespace septet
