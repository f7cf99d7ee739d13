// SPDX-License-Identifier: Apache-2.0
#include "septet/core/nn/multi_head_attention.h"

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/nn/dropout_layer.h"
#include "septet/core/nn/initializer.h"
#include "septet/core/nn/kv_cache.h"
#include "septet/core/nn/linear_layer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/nn/position_encoding.h"
#include "septet/core/nn/validate.h"
#include "septet/core/ops/attention.h"
#include "septet/core/ops/concat.h"
#include "septet/core/ops/shape_ops.h"

namespace septet {

MultiHeadAttentionOptions MultiHeadAttentionOptions::Resolved() const {
  MultiHeadAttentionOptions o = *this;
  if (o.kv_heads == 0) o.kv_heads = heads;
  if (o.head_dim == 0 && heads > 0) o.head_dim = dim / heads;
  return o;
}

absl::Status MultiHeadAttentionOptions::Validate() const {
  constexpr const char* kName = "multi-head attention";
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "dim", dim, 1));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "heads", heads, 1));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "kv_heads", kv_heads, 0));
  SEPTET_RETURN_IF_ERROR(RequireAtLeast(kName, "head_dim", head_dim, 0));
  if (kv_heads > 0 && heads % kv_heads != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": kv_heads is ", kv_heads,
                     ", expected a divisor of heads, ", heads));
  }
  if (head_dim == 0 && dim % heads != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": heads is ", heads, ", expected a divisor of dim, ", dim,
        ", where head_dim is not given"));
  }
  // Outputs of the joint projection, at most.
  int64_t width = 0;
  if (__builtin_mul_overflow(heads, int64_t{3}, &width) ||
      __builtin_mul_overflow(width, Resolved().head_dim, &width)) {
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": heads is ", heads, " and head_dim is ", Resolved().head_dim,
        ", more channels than fit into 63 bits"));
  }
  if (!std::isfinite(scale)) {
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": scale is ", scale, ", expected finite"));
  }
  SEPTET_RETURN_IF_ERROR(
      RequireProbability(kName, "attention_dropout", attention_dropout));
  return RequireProbability(kName, "dropout", dropout);
}

absl::StatusOr<MultiHeadAttention> MultiHeadAttention::Create(
    const MultiHeadAttentionOptions& options, const ParameterScope& scope,
    int layer) {
  SEPTET_RETURN_IF_ERROR(options.Validate()) << scope.FullName("");
  MultiHeadAttention attention;
  attention.options_ = options.Resolved();
  attention.layer_ = layer;
  const MultiHeadAttentionOptions& o = attention.options_;
  const int64_t q_width = o.heads * o.head_dim;
  const int64_t kv_width = o.kv_heads * o.head_dim;
  const auto linear = [&](absl::string_view name, int64_t in, int64_t out,
                          bool bias, const Initializer& init) {
    LinearLayerOptions linear_options;
    linear_options.in = in;
    linear_options.out = out;
    linear_options.bias = bias;
    linear_options.weight_init = init;
    linear_options.bias_init = o.bias_init;
    return LinearLayer::Create(linear_options, scope.Sub(name));
  };
  if (o.joint_qkv) {
    LinearLayerOptions joint;
    joint.in = o.dim;
    joint.out = q_width + 2 * kv_width;
    joint.bias = o.qkv_bias;
    joint.bias_init = o.bias_init;
    joint.weight_parts = {
        {q_width, o.q_init}, {kv_width, o.k_init}, {kv_width, o.v_init}};
    SEPTET_ASSIGN_OR_RETURN(attention.qkv_,
                            LinearLayer::Create(joint, scope.Sub("qkv")));
  } else {
    SEPTET_ASSIGN_OR_RETURN(attention.q_,
                            linear("q", o.dim, q_width, o.qkv_bias, o.q_init));
    SEPTET_ASSIGN_OR_RETURN(attention.k_,
                            linear("k", o.dim, kv_width, o.qkv_bias, o.k_init));
    SEPTET_ASSIGN_OR_RETURN(attention.v_,
                            linear("v", o.dim, kv_width, o.qkv_bias, o.v_init));
  }
  SEPTET_ASSIGN_OR_RETURN(
      attention.out_, linear("out", q_width, o.dim, o.out_bias, o.out_init));
  SEPTET_ASSIGN_OR_RETURN(
      attention.attention_dropout_,
      DropoutLayer::Create(o.attention_dropout, scope, "attention_dropout"));
  SEPTET_ASSIGN_OR_RETURN(attention.dropout_,
                          DropoutLayer::Create(o.dropout, scope, "dropout"));
  return attention;
}

Var MultiHeadAttention::Attend(const AttentionContext& context,
                               const AttentionCall& call, Var q, Var k,
                               Var v) const {
  static const PositionEncoding* const kNone = new PositionEncoding();
  const PositionEncoding& position =
      context.position == nullptr ? *kNone : *context.position;
  position.Rotate(call, &q, &k);
  Var extra = position.Extra(call, k);
  if (context.cache != nullptr) {
    const absl::Status appended = context.cache->Append(layer_, &k, &v, &extra);
    if (!appended.ok()) return appended;
  }
  return position.Attend(call, q, k, v, extra);
}

Var MultiHeadAttention::Forward(const BoundParameters& p, const Pass& pass,
                                const AttentionContext& context,
                                const Var& x) const {
  if (!x.ok()) return x;
  if (!x.defined() || x.rank() != 3) {
    return absl::InvalidArgumentError(
        absl::StrCat("multi-head attention: x is ",
                     x.defined() ? x.tensor().DebugString() : "not given",
                     ", expected [B, T, dim]"));
  }
  const MultiHeadAttentionOptions& o = options_;
  const int64_t batch = x.dim(0);
  const int64_t time = x.dim(1);
  AttentionCall call;
  call.p = &p;
  call.pass = &pass;
  call.layer = layer_;
  call.first = context.cache == nullptr ? 0 : context.cache->length();
  call.input = &x;
  call.mask = &context.mask;
  call.options.layout = AttentionLayout::kBTHD;
  call.options.causal = o.causal;
  call.options.scale = o.scale;
  call.options.dropout = attention_dropout_.Probability(pass);
  call.options.dropout_key = attention_dropout_.Key(pass);

  Var y;
  if (o.joint_qkv) {
    const Var qkv =
        Reshape(qkv_.Forward(p, x),
                {batch, time, o.heads + 2 * o.kv_heads, o.head_dim});
    if (context.cache != nullptr) {
      std::vector<Var> parts =
          Split(qkv, {o.heads, o.kv_heads, o.kv_heads}, /*axis=*/2);
      y = Attend(context, call, std::move(parts[0]), std::move(parts[1]),
                 std::move(parts[2]));
    } else if (context.position != nullptr) {
      y = context.position->AttendJoint(call, o.heads, o.kv_heads, qkv);
    } else {
      y = JointAttention(qkv, o.heads, o.kv_heads, context.mask, call.options);
    }
  } else {
    y = Attend(
        context, call,
        Reshape(q_.Forward(p, x), {batch, time, o.heads, o.head_dim}),
        Reshape(k_.Forward(p, x), {batch, time, o.kv_heads, o.head_dim}),
        Reshape(v_.Forward(p, x), {batch, time, o.kv_heads, o.head_dim}));
  }
  return dropout_.Forward(
      pass, out_.Forward(p, Reshape(y, {batch, time, o.heads * o.head_dim})));
}

}  // namespace septet
