// SPDX-License-Identifier: Apache-2.0
#include "septet/core/nn/transformer.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/nn/dropout_layer.h"
#include "septet/core/nn/embedding_layer.h"
#include "septet/core/nn/feed_forward.h"
#include "septet/core/nn/initializer.h"
#include "septet/core/nn/kv_cache.h"
#include "septet/core/nn/multi_head_attention.h"
#include "septet/core/nn/norm_layer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/nn/position_encoding.h"
#include "septet/core/nn/validate.h"
#include "septet/core/ops/activation_kind.h"
#include "septet/core/ops/concat.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/matmul.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

constexpr const char* kName = "transformer";

MultiHeadAttentionOptions AttentionLayerOptions(const TransformerOptions& o) {
  MultiHeadAttentionOptions result;
  result.dim = o.dim;
  result.heads = o.heads;
  result.kv_heads = o.kv_heads;
  result.head_dim = o.head_dim;
  result.qkv_bias = o.qkv_bias;
  result.out_bias = o.attention_out_bias;
  result.joint_qkv = o.joint_qkv;
  result.scale = o.attention_scale;
  result.attention_dropout = o.attention_dropout;
  result.dropout = o.attention_out_dropout;
  result.q_init = o.init.query;
  result.k_init = o.init.key;
  result.v_init = o.init.value;
  result.out_init = o.init.attention_out;
  result.bias_init = o.init.bias;
  return result;
}

FeedForwardOptions FfnOptions(const TransformerOptions& o) {
  FeedForwardOptions result;
  result.dim = o.dim;
  result.hidden = o.ffn_dim;
  result.kind = o.ffn;
  result.activation = o.activation;
  result.bias = o.ffn_bias;
  result.hidden_dropout = o.ffn_hidden_dropout;
  result.dropout = o.ffn_dropout;
  result.fc1_init = o.init.fc1;
  result.gate_init = o.init.gate;
  result.fc2_init = o.init.fc2;
  result.bias_init = o.init.bias;
  return result;
}

// Columns [T - lengths[b], T) of row b are its first lengths[b] tokens, those
// before them the padding token 0.
template <typename T>
void AlignRight(const Tensor& tokens, absl::Span<const int64_t> padding,
                const Tensor& out) {
  const int64_t time = tokens.dim(1);
  for (int64_t b = 0; b < tokens.dim(0); ++b) {
    const T* from = tokens.data<T>() + b * time;
    T* to = out.mutable_data<T>() + b * time;
    std::fill_n(to, padding[b], T{0});
    std::copy_n(from, time - padding[b], to + padding[b]);
  }
}

}  // namespace

absl::Status TransformerOptions::Validate() const {
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "vocab_size", vocab_size, 1));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "layers", layers, 0));
  SEPTET_RETURN_IF_ERROR(AttentionLayerOptions(*this).Validate()) << kName;
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "ffn_dim", ffn_dim, 1));
  SEPTET_RETURN_IF_ERROR(FfnOptions(*this).Validate()) << kName;
  SEPTET_RETURN_IF_ERROR(RequireFiniteAtLeast(kName, "norm_eps", norm_eps, 0));
  SEPTET_RETURN_IF_ERROR(
      RequireFiniteAtLeast(kName, "residual_scale", residual_scale, 0));
  if (!std::isfinite(embedding_scale)) {
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": embedding_scale is ", embedding_scale, ", expected finite"));
  }
  if (tied_head && head_bias) {
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": head_bias is true, expected false with tied_head"));
  }
  return RequireProbability(kName, "embedding_dropout", embedding_dropout);
}

TransformerInit DeepNormInit(TransformerInit init, int64_t layers) {
  const double scale = DeepNormScale(layers);
  for (Initializer* field :
       {&init.value, &init.attention_out, &init.fc1, &init.fc2}) {
    *field = field->Scaled(scale);
  }
  return init;
}

TransformerOptions Gpt2Options(int64_t vocab_size, int64_t dim, int64_t layers,
                               int64_t heads, double std) {
  TransformerOptions options;
  options.vocab_size = vocab_size;
  options.dim = dim;
  options.layers = layers;
  options.heads = heads;
  options.ffn_dim = 4 * dim;
  options.tied_head = true;
  const Initializer normal = Initializer::Normal(0, std);
  TransformerInit& init = options.init;
  for (Initializer* field : {&init.embedding, &init.query, &init.key,
                             &init.value, &init.fc1, &init.head}) {
    *field = normal;
  }
  const double residual = ResidualScale(std::max<int64_t>(layers, 1));
  init.attention_out = normal.Scaled(residual);
  init.fc2 = normal.Scaled(residual);
  return options;
}

TransformerOptions RotarySwiGluOptions(int64_t vocab_size, int64_t dim,
                                       int64_t layers, int64_t heads) {
  TransformerOptions options;
  options.vocab_size = vocab_size;
  options.dim = dim;
  options.layers = layers;
  options.heads = heads;
  options.ffn_dim = FeedForwardWidth(std::max<int64_t>(dim, 1), 8, 3, 16);
  options.norm = NormKind::kRms;
  options.norm_eps = 1e-6;
  options.ffn = FeedForwardKind::kGlu;
  options.activation = ActivationKind::kSwish;
  options.qkv_bias = false;
  options.attention_out_bias = false;
  options.ffn_bias = false;
  TransformerInit& init = options.init;
  init.embedding =
      Initializer::Normal(0, 1 / std::sqrt(static_cast<double>(dim)));
  init.head = init.embedding;
  init.query = Initializer::XavierUniform(std::exp2(-2.5));
  init.key = init.query;
  init.value = init.query;
  init.attention_out = Initializer::XavierUniform(0.5);
  init.fc1 = Initializer::FanInUniform();
  init.gate = Initializer::FanInUniform();
  init.fc2 = Initializer::FanInUniform();
  return options;
}

TransformerOptions ContextualPositionOptions(int64_t vocab_size, int64_t dim,
                                             int64_t layers, int64_t heads,
                                             NormPlacement placement) {
  TransformerOptions options;
  options.vocab_size = vocab_size;
  options.dim = dim;
  options.layers = layers;
  options.heads = heads;
  options.ffn_dim = 4 * dim;
  options.placement = placement;
  options.activation = ActivationKind::kRelu;
  options.joint_qkv = false;
  const Initializer uniform = Initializer::FanInUniform();
  const Initializer residual =
      placement == NormPlacement::kPre
          ? uniform.Scaled(ResidualScale(std::max<int64_t>(layers, 1)))
          : uniform;
  TransformerInit& init = options.init;
  init.embedding =
      Initializer::Normal(0, 1 / std::sqrt(static_cast<double>(dim)));
  init.query = uniform;
  init.key = uniform;
  init.value = uniform;
  init.attention_out = residual;
  init.fc1 = uniform;
  init.gate = uniform;
  init.fc2 = residual;
  init.head = uniform;
  init.bias = uniform;
  return options;
}

absl::StatusOr<Transformer> Transformer::Create(
    const TransformerOptions& options,
    std::unique_ptr<PositionEncoding> position, const ParameterScope& scope) {
  SEPTET_RETURN_IF_ERROR(options.Validate()) << scope.FullName("");
  Transformer model;
  model.options_ = options;
  model.position_ = std::move(position);
  if (options.residual_scale != 0) {
    model.residual_scale_ = options.residual_scale;
  } else if (options.placement == NormPlacement::kDeepNorm &&
             options.layers > 0) {
    model.residual_scale_ = DeepNormAlpha(options.layers);
  }
  const MultiHeadAttentionOptions attention =
      AttentionLayerOptions(options).Resolved();

  EmbeddingLayerOptions embedding;
  embedding.count = options.vocab_size;
  embedding.dim = options.dim;
  embedding.init = options.init.embedding;
  SEPTET_ASSIGN_OR_RETURN(
      model.embedding_,
      EmbeddingLayer::Create(embedding, scope.Sub("embedding")));
  if (model.position_ != nullptr) {
    SEPTET_RETURN_IF_ERROR(
        model.position_->Declare({options.layers, options.dim, options.heads,
                                  attention.kv_heads, attention.head_dim},
                                 scope.Sub("position")))
        << scope.FullName("position");
  }
  const auto make_norm = [&](absl::string_view name, const ParameterScope& in) {
    NormLayerOptions norm;
    norm.size = options.dim;
    norm.kind = options.norm;
    norm.eps = options.norm_eps;
    norm.bias = options.norm_bias;
    norm.weight_init = options.init.norm_weight;
    norm.bias_init = options.init.norm_bias;
    return NormLayer::Create(norm, in.Sub(name));
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
    SEPTET_ASSIGN_OR_RETURN(layer.attention_norm, make_norm("attn_norm", in));
    SEPTET_ASSIGN_OR_RETURN(
        layer.attention, MultiHeadAttention::Create(attention, in.Sub("attn"),
                                                    static_cast<int>(i)));
    SEPTET_ASSIGN_OR_RETURN(layer.ffn_norm, make_norm("ffn_norm", in));
    SEPTET_ASSIGN_OR_RETURN(
        layer.ffn, FeedForward::Create(FfnOptions(options), in.Sub("ffn")));
    model.layers_.push_back(std::move(layer));
  }
  if (options.final_norm && options.placement == NormPlacement::kPre) {
    SEPTET_ASSIGN_OR_RETURN(model.final_norm_, make_norm("final_norm", scope));
  }
  const Fans head_fans{options.dim, options.vocab_size};
  if (options.tied_head) {
    model.head_weight_ = model.embedding_.weight();
  } else {
    SEPTET_ASSIGN_OR_RETURN(
        model.head_weight_,
        scope.Parameter("head.weight", {options.vocab_size, options.dim},
                        options.init.head, head_fans));
  }
  if (options.head_bias) {
    SEPTET_ASSIGN_OR_RETURN(
        model.head_bias_,
        scope.Parameter("head.bias", {options.vocab_size}, options.init.bias,
                        head_fans, /*decay=*/false));
  }
  return model;
}

Var Transformer::Residual(const BoundParameters& p, const NormLayer& norm,
                          const Var& x, const Var& y) const {
  const Var sum = Add(residual_scale_ == 1 ? x : Scale(x, residual_scale_), y);
  return options_.placement == NormPlacement::kPre ? sum : norm.Forward(p, sum);
}

Var Transformer::Run(const BoundParameters& p, const Pass& pass,
                     const Var& tokens, const Var& positions,
                     const AttentionContext& context) const {
  const bool pre = options_.placement == NormPlacement::kPre;
  Var x = embedding_.Forward(p, tokens);
  if (options_.embedding_scale != 1) x = Scale(x, options_.embedding_scale);
  if (position_ != nullptr) {
    EmbeddingCall call;
    call.p = &p;
    call.pass = &pass;
    call.first = context.cache == nullptr ? 0 : context.cache->length();
    call.positions = positions;
    x = position_->Embed(call, x);
  }
  x = embedding_norm_.Forward(p, x);
  x = embedding_dropout_.Forward(pass, x);
  for (const Layer& layer : layers_) {
    const Var attended = layer.attention.Forward(
        p, pass, context, pre ? layer.attention_norm.Forward(p, x) : x);
    x = Residual(p, layer.attention_norm, x, attended);
    const Var fed =
        layer.ffn.Forward(p, pass, pre ? layer.ffn_norm.Forward(p, x) : x);
    x = Residual(p, layer.ffn_norm, x, fed);
  }
  return final_norm_.Forward(p, x);
}

Var Transformer::Hidden(const BoundParameters& p, const Pass& pass,
                        const TransformerInput& input) const {
  if (!input.tokens.defined() || input.tokens.rank() != 2) {
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": tokens are ",
        input.tokens.defined() ? input.tokens.DebugString() : "not given",
        ", expected [B, T]"));
  }
  Var positions;
  if (input.positions.defined()) {
    if (input.positions.shape() != input.tokens.shape()) {
      return absl::InvalidArgumentError(
          absl::StrCat(kName, ": positions are ", input.positions.DebugString(),
                       ", expected the shape of the tokens, ",
                       input.tokens.shape().ToString()));
    }
    positions = input.positions;
  }
  AttentionContext context;
  context.position = position_.get();
  context.mask = input.mask;
  return Run(p, pass, input.tokens, positions, context);
}

Var Transformer::Logits(const BoundParameters& p, const Var& h) const {
  return Linear(h, p[head_weight_], p[head_bias_], {/*weight_out_in=*/true});
}

Var Transformer::Forward(const BoundParameters& p, const Pass& pass,
                         const TransformerInput& input) const {
  return Logits(p, Hidden(p, pass, input));
}

absl::StatusOr<KvCache> Transformer::MakeCache(int64_t batch, int64_t capacity,
                                               DType dtype) const {
  const MultiHeadAttentionOptions attention =
      AttentionLayerOptions(options_).Resolved();
  KvCacheOptions options;
  options.batch = batch;
  options.capacity = capacity;
  options.layers = std::max<int64_t>(options_.layers, 1);
  options.kv_heads = attention.kv_heads;
  options.head_dim = attention.head_dim;
  options.extra_dim = position_ == nullptr ? 0 : position_->ExtraDim();
  options.dtype = dtype;
  return KvCache::Create(options);
}

absl::StatusOr<Tensor> Transformer::Extend(const BoundParameters& p,
                                           const Tensor& tokens, KvCache* cache,
                                           const ExtendOptions& options) const {
  if (!tokens.defined() || tokens.rank() < 1 || tokens.rank() > 2 ||
      tokens.num_elements() == 0 || tokens.dim(0) != cache->batch()) {
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": tokens are ",
        tokens.defined() ? tokens.DebugString() : "not given", ", expected [",
        cache->batch(), ", T] or [", cache->batch(), "], as the cache has"));
  }
  const KvCacheOptions& c = cache->options();
  const MultiHeadAttentionOptions attention =
      AttentionLayerOptions(options_).Resolved();
  const int64_t extra = position_ == nullptr ? 0 : position_->ExtraDim();
  if (c.layers != std::max<int64_t>(options_.layers, 1) ||
      c.kv_heads != attention.kv_heads || c.head_dim != attention.head_dim ||
      c.extra_dim != extra) {
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": the cache has ", c.layers, " layers of ",
                     c.kv_heads, " heads of ", c.head_dim, " and ", c.extra_dim,
                     ", expected ", options_.layers, " of ", attention.kv_heads,
                     " of ", attention.head_dim, " and ", extra));
  }
  for (const Var& var : p.trained()) {
    if (var.tape() != nullptr) {
      return absl::FailedPreconditionError(
          absl::StrCat(kName,
                       ": parameters are on a tape, but nothing is "
                       "differentiated through a cache"));
    }
  }
  if (tokens.dtype() != DType::kI64 && tokens.dtype() != DType::kI32) {
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": tokens are ", tokens.DebugString(), ", expected i32 or i64"));
  }
  SEPTET_ASSIGN_OR_RETURN(Tensor ids, tokens.Contiguous());
  const int64_t batch = ids.dim(0);
  const int64_t time = ids.rank() == 2 ? ids.dim(1) : 1;
  SEPTET_ASSIGN_OR_RETURN(ids, ids.Reshape({batch, time}));
  SEPTET_RETURN_IF_ERROR(cache->CheckRoom(time));

  const int64_t before = cache->length();
  if (options.lengths.defined()) {
    if (options.lengths.dtype() != DType::kI64 ||
        options.lengths.shape() != Shape({batch})) {
      return absl::InvalidArgumentError(
          absl::StrCat(kName, ": lengths are ", options.lengths.DebugString(),
                       ", expected i64 [", batch, "]"));
    }
    std::vector<int64_t> padding = options.lengths.ToVector<int64_t>();
    for (int64_t b = 0; b < batch; ++b) {
      if (padding[b] < 1 || padding[b] > time) {
        return absl::InvalidArgumentError(
            absl::StrCat(kName, ": lengths[", b, "] is ", padding[b],
                         ", expected 1 to ", time));
      }
      padding[b] = time - padding[b];
    }
    SEPTET_RETURN_IF_ERROR(cache->SetPadding(padding));
    SEPTET_ASSIGN_OR_RETURN(const Tensor aligned,
                            Tensor::Empty(ids.shape(), ids.dtype()));
    if (ids.dtype() == DType::kI64) {
      AlignRight<int64_t>(ids, padding, aligned);
    } else {
      AlignRight<int32_t>(ids, padding, aligned);
    }
    ids = aligned;
  }

  Var positions;
  AttentionContext context;
  context.position = position_.get();
  context.cache = cache;
  if (cache->has_padding()) {
    SEPTET_ASSIGN_OR_RETURN(const Tensor table,
                            Tensor::Empty({batch, time}, DType::kI64));
    int64_t* position = table.mutable_data<int64_t>();
    for (int64_t b = 0; b < batch; ++b) {
      for (int64_t t = 0; t < time; ++t) {
        *position++ = std::max<int64_t>(before + t - cache->padding(b), 0);
      }
    }
    positions = table;
    context.mask.key_mask = cache->KeyMask(before + time);
    context.mask.keep_self = true;
  }
  Var h = Run(p, Pass(), ids, positions, context);
  if (!options.all_logits) {
    h = Reshape(Slice(h, 1, time - 1, time), {batch, options_.dim});
  }
  const Var logits = Logits(p, h);
  if (!logits.ok()) {
    if (before == 0) {
      SEPTET_RETURN_IF_ERROR(cache->Truncate(0));
    }
    return logits.status();
  }
  cache->Advance(time);
  return logits.tensor();
}

}  // namespace septet
