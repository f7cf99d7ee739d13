// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/linear_transformer.h"

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/nn/dropout_layer.h"
#include "septet/core/nn/embedding_layer.h"
#include "septet/core/nn/feed_forward.h"
#include "septet/core/nn/initializer.h"
#include "septet/core/nn/linear_layer.h"
#include "septet/core/nn/norm_layer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/nn/transformer.h"
#include "septet/core/nn/validate.h"
#include "septet/core/ops/concat.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/matmul.h"
#include "septet/core/ops/rotary.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/linear_attention.h"
#include "septet/retention/recurrent_state.h"

namespace septet {
namespace {

constexpr const char* kName = "linear transformer";

FeedForwardOptions FfnOptions(const LinearTransformerOptions& o) {
  FeedForwardOptions result;
  result.dim = o.dim;
  result.hidden = o.ffn_dim;
  result.kind = o.ffn;
  result.activation = o.activation;
  result.bias = false;
  result.dropout = o.ffn_dropout;
  result.fc1_init = o.init.fc1;
  result.gate_init = o.init.gate;
  result.fc2_init = o.init.fc2;
  return result;
}

}  // namespace

absl::Status LinearTransformerOptions::Validate() const {
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "vocab_size", vocab_size, 1));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "dim", dim, 1));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "layers", layers, 0));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "heads", heads, 1));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "ffn_dim", ffn_dim, 1));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "chunk_size", chunk_size, 1));
  if (dim % heads != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": dim is ", dim, ", expected a multiple of heads, ", heads));
  }
  if (rotary && dim / heads % 2 != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": dim / heads is ", dim / heads,
                     ", expected even with rotary"));
  }
  SEPTET_RETURN_IF_ERROR(RequireFiniteAtLeast(kName, "norm_eps", norm_eps, 0));
  SEPTET_RETURN_IF_ERROR(
      RequireFiniteAtLeast(kName, "attention_eps", attention_eps, 0));
  SEPTET_RETURN_IF_ERROR(
      RequireFiniteAtLeast(kName, "rotary_base", rotary_base, 0));
  if (rotary_base == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": rotary_base is 0, expected > 0"));
  }
  SEPTET_RETURN_IF_ERROR(RequireProbability(kName, "attention_out_dropout",
                                            attention_out_dropout));
  return RequireProbability(kName, "ffn_dropout", ffn_dropout);
}

LinearTransformerOptions LinearTransformerPreset(int64_t vocab_size,
                                                 int64_t dim, int64_t layers,
                                                 int64_t heads) {
  const TransformerOptions from =
      RotarySwiGluOptions(vocab_size, dim, layers, heads);
  LinearTransformerOptions options;
  options.vocab_size = vocab_size;
  options.dim = dim;
  options.layers = layers;
  options.heads = heads;
  options.ffn_dim = from.ffn_dim;
  options.norm = from.norm;
  options.norm_eps = from.norm_eps;
  options.ffn = from.ffn;
  options.activation = from.activation;
  options.init = from.init;
  return options;
}

absl::StatusOr<LinearTransformer> LinearTransformer::Create(
    const LinearTransformerOptions& options, const ParameterScope& scope) {
  SEPTET_RETURN_IF_ERROR(options.Validate()) << scope.FullName("");
  LinearTransformer model;
  model.options_ = options;
  if (options.rotary) {
    RotaryFrequencyOptions rotary;
    rotary.base = options.rotary_base;
    SEPTET_ASSIGN_OR_RETURN(
        model.frequencies_,
        RotaryFrequencies(options.dim / options.heads, rotary));
  }
  EmbeddingLayerOptions embedding;
  embedding.count = options.vocab_size;
  embedding.dim = options.dim;
  embedding.init = options.init.embedding;
  SEPTET_ASSIGN_OR_RETURN(
      model.embedding_,
      EmbeddingLayer::Create(embedding, scope.Sub("embedding")));
  const auto make_norm = [&](absl::string_view name, const ParameterScope& in) {
    NormLayerOptions norm;
    norm.size = options.dim;
    norm.kind = options.norm;
    norm.eps = options.norm_eps;
    norm.weight_init = options.init.norm_weight;
    norm.bias_init = options.init.norm_bias;
    return NormLayer::Create(norm, in.Sub(name));
  };
  for (int64_t i = 0; i < options.layers; ++i) {
    const ParameterScope in = scope.Sub("layers").Sub(i);
    const ParameterScope attention = in.Sub("attn");
    Layer layer;
    SEPTET_ASSIGN_OR_RETURN(layer.attention_norm, make_norm("attn_norm", in));
    LinearLayerOptions linear;
    linear.bias = false;
    linear.in = options.dim;
    linear.out = 3 * options.dim;
    linear.weight_parts = {{options.dim, options.init.query},
                           {options.dim, options.init.key},
                           {options.dim, options.init.value}};
    SEPTET_ASSIGN_OR_RETURN(layer.qkv,
                            LinearLayer::Create(linear, attention.Sub("qkv")));
    linear.out = options.dim;
    linear.weight_parts = {};
    linear.weight_init = options.init.attention_out;
    SEPTET_ASSIGN_OR_RETURN(layer.out,
                            LinearLayer::Create(linear, attention.Sub("out")));
    SEPTET_ASSIGN_OR_RETURN(layer.dropout,
                            DropoutLayer::Create(options.attention_out_dropout,
                                                 attention, "dropout"));
    SEPTET_ASSIGN_OR_RETURN(layer.ffn_norm, make_norm("ffn_norm", in));
    SEPTET_ASSIGN_OR_RETURN(
        layer.ffn, FeedForward::Create(FfnOptions(options), in.Sub("ffn")));
    model.layers_.push_back(std::move(layer));
  }
  SEPTET_ASSIGN_OR_RETURN(model.final_norm_, make_norm("final_norm", scope));
  if (options.tied_head) {
    model.head_weight_ = model.embedding_.weight();
  } else {
    SEPTET_ASSIGN_OR_RETURN(
        model.head_weight_,
        scope.Parameter("head.weight", {options.vocab_size, options.dim},
                        options.init.head,
                        Fans{options.dim, options.vocab_size}));
  }
  return model;
}

Var LinearTransformer::Run(const BoundParameters& p, const Pass& pass,
                           const Tensor& tokens,
                           absl::Span<const Tensor> before, double position,
                           std::vector<Tensor>* after) const {
  if (!tokens.defined() || tokens.rank() != 2) {
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": tokens are ",
                     tokens.defined() ? tokens.DebugString() : "not given",
                     ", expected [B, T]"));
  }
  const int64_t batch = tokens.dim(0);
  const int64_t time = tokens.dim(1);
  const int64_t heads = options_.heads;
  const int64_t head_dim = options_.dim / heads;
  LinearAttentionOptions attention;
  attention.chunk_size = options_.chunk_size;
  attention.eps = options_.attention_eps;
  attention.frequencies = frequencies_;
  attention.position = position;
  if (after == nullptr) attention.form = options_.form;
  Var x = embedding_.Forward(p, tokens);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    const Var qkv =
        Reshape(layer.qkv.Forward(p, layer.attention_norm.Forward(p, x)),
                {batch, time, 3 * heads, head_dim});
    const std::vector<Var> parts = Split(qkv, {heads, heads, heads}, 2);
    LinearAttentionState state;
    if (after != nullptr) state = {before[2 * i], before[2 * i + 1]};
    const LinearAttentionOutput attended = LinearAttention(
        parts[0], parts[1], parts[2], attention, state, after != nullptr);
    if (!attended.out.ok()) return attended.out;
    if (after != nullptr) {
      after->push_back(attended.state.s.tensor());
      after->push_back(attended.state.z.tensor());
    }
    const Var y = layer.out.Forward(
        p, Reshape(attended.out, {batch, time, options_.dim}));
    x = Add(x, layer.dropout.Forward(pass, y));
    x = Add(x, layer.ffn.Forward(p, pass, layer.ffn_norm.Forward(p, x)));
  }
  return final_norm_.Forward(p, x);
}

Var LinearTransformer::Hidden(const BoundParameters& p, const Pass& pass,
                              const Tensor& tokens) const {
  return Run(p, pass, tokens, {}, 0, nullptr);
}

Var LinearTransformer::Logits(const BoundParameters& p, const Var& h) const {
  return Linear(h, p[head_weight_], Var(), {/*weight_out_in=*/true});
}

Var LinearTransformer::Forward(const BoundParameters& p, const Pass& pass,
                               const Tensor& tokens) const {
  return Logits(p, Hidden(p, pass, tokens));
}

std::vector<std::vector<int64_t>> LinearTransformer::StateShapes() const {
  const int64_t head_dim = options_.dim / options_.heads;
  std::vector<std::vector<int64_t>> shapes;
  for (int64_t i = 0; i < options_.layers; ++i) {
    shapes.push_back({options_.heads, head_dim, head_dim});
    shapes.push_back({options_.heads, head_dim});
  }
  return shapes;
}

absl::StatusOr<RecurrentState> LinearTransformer::MakeState(int64_t batch,
                                                            DType dtype) const {
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "batch", batch, 1));
  if (dtype != DType::kF32 && dtype != DType::kF64) {
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": dtype of the state is ", DTypeName(dtype),
                     ", expected f32 or f64"));
  }
  std::vector<Tensor> tensors;
  for (std::vector<int64_t> dims : StateShapes()) {
    dims.insert(dims.begin(), batch);
    SEPTET_ASSIGN_OR_RETURN(const Shape shape, Shape::Create(dims));
    SEPTET_ASSIGN_OR_RETURN(Tensor x, Tensor::Zeros(shape, dtype));
    tensors.push_back(std::move(x));
  }
  return RecurrentState(batch, std::move(tensors));
}

absl::StatusOr<Tensor> LinearTransformer::Extend(
    const BoundParameters& p, const Tensor& tokens, RecurrentState* state,
    const ExtendOptions& options) const {
  SEPTET_RETURN_IF_ERROR(CheckRecurrentState(kName, *state, StateShapes()));
  const auto advance = [&](const Tensor& ids, absl::Span<const Tensor> before,
                           int64_t first) {
    RecurrentPiece piece;
    piece.hidden =
        Run(p, Pass(), ids, before, static_cast<double>(first), &piece.tensors);
    return piece;
  };
  const auto logits = [&](const Var& h) { return Logits(p, h); };
  return ExtendRecurrent({kName, &p, advance, logits}, tokens, options, state);
}

}  // namespace septet
