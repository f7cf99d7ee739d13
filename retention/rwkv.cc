// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/rwkv.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
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
#include "septet/core/ops/activation_kind.h"
#include "septet/core/ops/concat.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/gated_activation.h"
#include "septet/core/ops/matmul.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/recurrent_state.h"
#include "septet/retention/token_shift.h"
#include "septet/retention/wkv.h"

namespace septet {
namespace {

constexpr const char* kName = "rwkv";

// A parameter [rows, dim] (or [dim] for no rows), not meant for weight decay,
// whose element (r, c) is value(r, c).
absl::StatusOr<ParameterId> AddByFormula(
    const ParameterScope& scope, absl::string_view name, int64_t rows,
    int64_t dim, absl::FunctionRef<double(int64_t, int64_t)> value) {
  const Shape shape = rows == 0 ? Shape({dim}) : Shape({rows, dim});
  SEPTET_ASSIGN_OR_RETURN(const Tensor exact,
                          Tensor::Empty(shape, DType::kF64));
  double* to = exact.mutable_data<double>();
  for (int64_t r = 0; r < std::max<int64_t>(rows, 1); ++r) {
    for (int64_t c = 0; c < dim; ++c) *to++ = value(r, c);
  }
  SEPTET_ASSIGN_OR_RETURN(Tensor rounded, exact.To(scope.dtype()));
  return scope.Add(name, std::move(rounded),
                   {/*trained=*/true, /*decay=*/false});
}

absl::StatusOr<LinearLayer> MakeLinear(const ParameterScope& scope,
                                       absl::string_view name, int64_t in,
                                       int64_t out, const Initializer& init) {
  LinearLayerOptions options;
  options.in = in;
  options.out = out;
  options.bias = false;
  options.weight_init = init;
  return LinearLayer::Create(options, scope.Sub(name));
}

FeedForwardOptions FfnOptions(const RwkvOptions& o) {
  FeedForwardOptions result;
  result.dim = o.dim;
  result.hidden = o.ffn_dim;
  result.kind = FeedForwardKind::kGlu;
  result.activation = ActivationKind::kSwish;
  result.bias = false;
  result.dropout = o.channel_dropout;
  result.fc1_init = o.init.fc1;
  result.gate_init = o.init.gate;
  result.fc2_init = o.init.fc2;
  return result;
}

// i / (L - 1), 0 for the only layer, and 1 - i / L.
double Depth(int64_t i, int64_t layers) {
  return layers == 1 ? 0
                     : static_cast<double>(i) / static_cast<double>(layers - 1);
}
double HeightAbove(int64_t i, int64_t layers) {
  return 1 - static_cast<double>(i) / static_cast<double>(layers);
}

// The last row of x [B, T, d], in memory of its own.
absl::StatusOr<Tensor> LastRow(const Var& x) {
  const int64_t time = x.dim(1);
  const Var row =
      Reshape(Slice(x.Detach(), 1, time - 1, time), {x.dim(0), x.dim(2)});
  SEPTET_RETURN_IF_ERROR(row.status());
  return time == 1 ? row.tensor() : row.tensor().Clone();
}

}  // namespace

absl::Status RwkvOptions::Validate() const {
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "vocab_size", vocab_size, 1));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "dim", dim, 1));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "layers", layers, 0));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "ffn_dim", ffn_dim, 1));
  SEPTET_RETURN_IF_ERROR(RequireFiniteAtLeast(kName, "norm_eps", norm_eps, 0));
  SEPTET_RETURN_IF_ERROR(
      RequireProbability(kName, "time_dropout", time_dropout));
  return RequireProbability(kName, "channel_dropout", channel_dropout);
}

RwkvOptions Rwkv4Options(int64_t vocab_size, int64_t dim, int64_t layers) {
  RwkvOptions options;
  options.vocab_size = vocab_size;
  options.dim = dim;
  options.layers = layers;
  options.ffn_dim = 4 * dim;
  return options;
}

RwkvOptions RwkvPreset(int64_t vocab_size, int64_t dim, int64_t layers) {
  RwkvOptions options = Rwkv4Options(vocab_size, dim, layers);
  // 4 d^2 + 3 d g weights there, 5 d^2 + 2 d f here.
  const int64_t gated = FeedForwardWidth(std::max<int64_t>(dim, 1), 8, 3, 16);
  options.ffn_dim = std::max<int64_t>(1, (3 * gated - dim) / 2 / 16) * 16;
  return options;
}

absl::Status Rwkv::AddTimeMix(int64_t index, const ParameterScope& in,
                              Layer* layer) const {
  const int64_t dim = options_.dim;
  const RwkvInit& init = options_.init;
  const double a = Depth(index, options_.layers);
  const double b = HeightAbove(index, options_.layers);
  const auto place = [dim](int64_t c, int64_t of) {
    return of == 0 ? 0 : static_cast<double>(c) / static_cast<double>(of);
  };
  SEPTET_ASSIGN_OR_RETURN(
      layer->time_mix,
      AddByFormula(in, "mix", 3, dim, [&](int64_t r, int64_t c) {
        if (r == 2) return std::pow(place(c, dim), b / 2);
        return std::pow(place(c, dim), b) + (r == 1 ? 0.3 * a : 0);
      }));
  SEPTET_ASSIGN_OR_RETURN(
      layer->decay, AddByFormula(in, "decay", 0, dim, [&](int64_t, int64_t c) {
        return -5 + 8 * std::pow(place(c, dim - 1), 0.7 + 1.3 * a);
      }));
  SEPTET_ASSIGN_OR_RETURN(
      layer->bonus, AddByFormula(in, "bonus", 0, dim, [](int64_t, int64_t c) {
        return std::log(0.3) + 0.5 * static_cast<double>((c + 1) % 3 - 1);
      }));
  SEPTET_ASSIGN_OR_RETURN(layer->time_key,
                          MakeLinear(in, "key", dim, dim, init.time_key));
  SEPTET_ASSIGN_OR_RETURN(layer->time_value,
                          MakeLinear(in, "value", dim, dim, init.time_value));
  SEPTET_ASSIGN_OR_RETURN(
      layer->time_receptance,
      MakeLinear(in, "receptance", dim, dim, init.time_receptance));
  SEPTET_ASSIGN_OR_RETURN(layer->time_out,
                          MakeLinear(in, "out", dim, dim, init.time_out));
  SEPTET_ASSIGN_OR_RETURN(
      layer->time_dropout,
      DropoutLayer::Create(options_.time_dropout, in, "dropout"));
  return absl::OkStatus();
}

absl::Status Rwkv::AddChannelMix(int64_t index, const ParameterScope& in,
                                 Layer* layer) const {
  const int64_t dim = options_.dim;
  const int64_t hidden = options_.ffn_dim;
  const RwkvInit& init = options_.init;
  const double b = HeightAbove(index, options_.layers);
  SEPTET_ASSIGN_OR_RETURN(
      layer->channel_mix,
      AddByFormula(in, "mix", 2, dim, [&](int64_t, int64_t c) {
        return std::pow(static_cast<double>(c) / static_cast<double>(dim), b);
      }));
  SEPTET_ASSIGN_OR_RETURN(layer->channel_key,
                          MakeLinear(in, "key", dim, hidden, init.channel_key));
  SEPTET_ASSIGN_OR_RETURN(
      layer->channel_value,
      MakeLinear(in, "value", hidden, dim, init.channel_value));
  SEPTET_ASSIGN_OR_RETURN(
      layer->channel_receptance,
      MakeLinear(in, "receptance", dim, dim, init.channel_receptance));
  SEPTET_ASSIGN_OR_RETURN(
      layer->channel_dropout,
      DropoutLayer::Create(options_.channel_dropout, in, "dropout"));
  return absl::OkStatus();
}

absl::StatusOr<Rwkv> Rwkv::Create(const RwkvOptions& options,
                                  const ParameterScope& scope) {
  SEPTET_RETURN_IF_ERROR(options.Validate()) << scope.FullName("");
  Rwkv model;
  model.options_ = options;
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
    return NormLayer::Create(norm, in.Sub(name));
  };
  if (options.embedding_norm) {
    SEPTET_ASSIGN_OR_RETURN(model.embedding_norm_,
                            make_norm("embedding_norm", scope));
  }
  for (int64_t i = 0; i < options.layers; ++i) {
    const ParameterScope in = scope.Sub("layers").Sub(i);
    Layer layer;
    SEPTET_ASSIGN_OR_RETURN(layer.time_norm, make_norm("time_norm", in));
    SEPTET_RETURN_IF_ERROR(model.AddTimeMix(i, in.Sub("time"), &layer));
    SEPTET_ASSIGN_OR_RETURN(layer.channel_norm, make_norm("channel_norm", in));
    if (options.ffn == RwkvFfn::kChannelMix) {
      SEPTET_RETURN_IF_ERROR(model.AddChannelMix(i, in.Sub("channel"), &layer));
    } else {
      SEPTET_ASSIGN_OR_RETURN(
          layer.ffn, FeedForward::Create(FfnOptions(options), in.Sub("ffn")));
    }
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

Var Rwkv::TimeMix(const BoundParameters& p, const Layer& layer, const Var& x,
                  Continuation* continuation) const {
  if (!x.ok()) return x;
  Tensor last;
  Tensor state;
  if (continuation != nullptr) {
    last = continuation->before[continuation->next++];
    state = continuation->before[continuation->next++];
  }
  const std::vector<Var> shifted = TokenShift(x, p[layer.time_mix], last);
  if (!shifted[0].ok()) return shifted[0];
  const Var k = layer.time_key.Forward(p, shifted[0]);
  const Var v = layer.time_value.Forward(p, shifted[1]);
  const Var r = layer.time_receptance.Forward(p, shifted[2]);
  const WkvOutput mean = Wkv(k, v, Exp(p[layer.decay]), p[layer.bonus], state,
                             continuation != nullptr);
  if (!mean.out.ok()) return mean.out;
  if (continuation != nullptr) {
    absl::StatusOr<Tensor> row = LastRow(x);
    if (!row.ok()) return row.status();
    continuation->after->push_back(*std::move(row));
    continuation->after->push_back(mean.state);
  }
  return layer.time_out.Forward(
      p, GatedActivation(ActivationKind::kSigmoid, r, mean.out));
}

Var Rwkv::ChannelMix(const BoundParameters& p, const Layer& layer, const Var& x,
                     Continuation* continuation) const {
  if (!x.ok()) return x;
  Tensor last;
  if (continuation != nullptr) {
    last = continuation->before[continuation->next++];
  }
  const std::vector<Var> shifted = TokenShift(x, p[layer.channel_mix], last);
  if (!shifted[0].ok()) return shifted[0];
  if (continuation != nullptr) {
    absl::StatusOr<Tensor> row = LastRow(x);
    if (!row.ok()) return row.status();
    continuation->after->push_back(*std::move(row));
  }
  const Var k = layer.channel_key.Forward(p, shifted[0]);
  const Var r = layer.channel_receptance.Forward(p, shifted[1]);
  // max(k, 0) k: the square, of which the gradient reads k alone.
  const Var hidden = GatedActivation(ActivationKind::kRelu, k, k);
  return GatedActivation(ActivationKind::kSigmoid, r,
                         layer.channel_value.Forward(p, hidden));
}

Var Rwkv::Run(const BoundParameters& p, const Pass& pass, const Tensor& tokens,
              Continuation* continuation) const {
  if (!tokens.defined() || tokens.rank() != 2) {
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": tokens are ",
                     tokens.defined() ? tokens.DebugString() : "not given",
                     ", expected [B, T]"));
  }
  Var x = embedding_norm_.Forward(p, embedding_.Forward(p, tokens));
  for (const Layer& layer : layers_) {
    const Var mixed =
        TimeMix(p, layer, layer.time_norm.Forward(p, x), continuation);
    x = Add(x, layer.time_dropout.Forward(pass, mixed));
    const Var in = layer.channel_norm.Forward(p, x);
    x = Add(x, options_.ffn == RwkvFfn::kGlu
                   ? layer.ffn.Forward(p, pass, in)
                   : layer.channel_dropout.Forward(
                         pass, ChannelMix(p, layer, in, continuation)));
  }
  return final_norm_.Forward(p, x);
}

Var Rwkv::Hidden(const BoundParameters& p, const Pass& pass,
                 const Tensor& tokens) const {
  return Run(p, pass, tokens, nullptr);
}

Var Rwkv::Logits(const BoundParameters& p, const Var& h) const {
  return Linear(h, p[head_weight_], Var(), {/*weight_out_in=*/true});
}

Var Rwkv::Forward(const BoundParameters& p, const Pass& pass,
                  const Tensor& tokens) const {
  return Logits(p, Hidden(p, pass, tokens));
}

std::vector<std::vector<int64_t>> Rwkv::StateShapes() const {
  std::vector<std::vector<int64_t>> shapes;
  for (int64_t i = 0; i < options_.layers; ++i) {
    shapes.push_back({options_.dim});
    shapes.push_back({3, options_.dim});
    if (options_.ffn == RwkvFfn::kChannelMix) shapes.push_back({options_.dim});
  }
  return shapes;
}

absl::StatusOr<RecurrentState> Rwkv::MakeState(int64_t batch,
                                               DType dtype) const {
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "batch", batch, 1));
  if (dtype != DType::kF32 && dtype != DType::kF64) {
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": dtype of the state is ", DTypeName(dtype),
                     ", expected f32 or f64"));
  }
  std::vector<Tensor> tensors;
  for (std::vector<int64_t> dims : StateShapes()) {
    const bool of_wkv = dims.size() == 2;
    dims.insert(dims.begin(), batch);
    SEPTET_ASSIGN_OR_RETURN(const Shape shape, Shape::Create(dims));
    Tensor x;
    if (of_wkv) {
      SEPTET_ASSIGN_OR_RETURN(x, EmptyWkvState(batch, options_.dim, dtype));
    } else {
      SEPTET_ASSIGN_OR_RETURN(x, Tensor::Zeros(shape, dtype));
    }
    tensors.push_back(std::move(x));
  }
  return RecurrentState(batch, std::move(tensors));
}

absl::StatusOr<Tensor> Rwkv::Extend(const BoundParameters& p,
                                    const Tensor& tokens, RecurrentState* state,
                                    const ExtendOptions& options) const {
  SEPTET_RETURN_IF_ERROR(CheckRecurrentState(kName, *state, StateShapes()));
  const auto advance = [&](const Tensor& ids, absl::Span<const Tensor> before,
                           int64_t) {
    RecurrentPiece piece;
    Continuation continuation{before, &piece.tensors};
    piece.hidden = Run(p, Pass(), ids, &continuation);
    return piece;
  };
  const auto logits = [&](const Var& h) { return Logits(p, h); };
  return ExtendRecurrent({kName, &p, advance, logits}, tokens, options, state);
}

}  // namespace septet
