// SPDX-License-Identifier: Apache-2.0
#include "septet/baselines/byte_lm/model.h"

#include <cstdint>
#include <memory>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/nn/rotary_positions.h"
#include "septet/core/nn/transformer.h"
#include "septet/core/ops/loss.h"
#include "septet/core/ops/rotary.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

absl::StatusOr<std::unique_ptr<ByteLm>> ByteLm::Create(
    const ByteLmModelOptions& options, uint64_t seed) {
  const int64_t dim = options.dim();
  const int64_t head_dim = options.head_dim();
  if (head_dim < 2 || head_dim % 2 != 0 || dim % head_dim != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("model.head_dim is ", head_dim,
                     ", expected an even divisor of model.dim, ", dim));
  }
  TransformerOptions transformer =
      RotarySwiGluOptions(kVocabSize, dim, options.layers(), dim / head_dim);
  if (options.ffn_dim() > 0) transformer.ffn_dim = options.ffn_dim();
  transformer.attention_out_dropout = options.dropout();
  transformer.ffn_dropout = options.dropout();
  RotaryFrequencyOptions frequencies;
  frequencies.base = options.rotary_base();
  RotaryPositionsOptions rotary;
  SEPTET_ASSIGN_OR_RETURN(rotary.frequencies,
                          RotaryFrequencies(head_dim, frequencies));
  auto model = absl::WrapUnique(new ByteLm(options));
  SEPTET_ASSIGN_OR_RETURN(
      Transformer network,
      Transformer::Create(
          transformer, std::make_unique<RotaryPositions>(rotary),
          ParameterScope(&model->parameters_, {seed, DType::kF32})));
  model->transformer_ = std::make_unique<Transformer>(std::move(network));
  return model;
}

Var ByteLm::Loss(const BoundParameters& p, const Pass& pass,
                 const Tensor& tokens, const Tensor& targets) const {
  return CrossEntropy(transformer_->Forward(p, pass, {tokens, {}, {}}),
                      targets);
}

int64_t NumByteLmParameters(const ByteLmModelOptions& options) {
  const int64_t dim = options.dim();
  const int64_t hidden =
      options.ffn_dim() > 0
          ? options.ffn_dim()
          : RotarySwiGluOptions(ByteLm::kVocabSize, dim, 1, 1).ffn_dim;
  // q, k, v and out, the SwiGLU's three, two norms; embedding and head, a norm.
  return options.layers() * dim * (4 * dim + 3 * hidden + 2) +
         dim * (2 * ByteLm::kVocabSize + 1);
}

double ByteLmStepFlops(const ByteLm& model, int64_t batch, int64_t time) {
  const auto number = [](int64_t x) { return static_cast<double>(x); };
  const TransformerOptions& o = model.transformer().options();
  const double weights = number(model.parameters().NumElements()) -
                         number(o.vocab_size) * number(o.dim);
  const double tokens = number(batch) * number(time);
  const double pairs = tokens * (number(time) + 1) / 2;
  return 6 * weights * tokens + 14 * number(o.dim) * number(o.layers) * pairs;
}

}  // namespace septet
