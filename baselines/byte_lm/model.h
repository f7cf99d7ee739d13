// SPDX-License-Identifier: Apache-2.0
// A language model of bytes: a decoder-only transformer with rotary positions,
// RMSNorm in front of each part, SwiGLU and a head of its own
// (RotarySwiGluOptions of core/nn/transformer.h; retnet.md's baseline), over
// the 256 bytes.
//
//   ByteLmModelOptions options;                 // dim 64, 2 layers
//   SEPTET_ASSIGN_OR_RETURN(std::unique_ptr<ByteLm> model,
//                           ByteLm::Create(options, /*seed=*/1));
//   Var loss = model->Loss(p, Pass::Training(seed, step), tokens, targets);
//
// First values are functions of the seed and the parameters' names. Cost:
// core/nn/transformer.h.
#ifndef SEPTET_BASELINES_BYTE_LM_MODEL_H_
#define SEPTET_BASELINES_BYTE_LM_MODEL_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "septet/baselines/byte_lm/model_options.pb.h"
#include "septet/core/autograd/var.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/nn/transformer.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

class ByteLm {
 public:
  static constexpr int64_t kVocabSize = 256;

  // Errors: InvalidArgument naming the option where head_dim is odd or does not
  // divide dim; those of Transformer::Create.
  static absl::StatusOr<std::unique_ptr<ByteLm>> Create(
      const ByteLmModelOptions& options, uint64_t seed);

  // Mean cross-entropy, in nats, of targets [B, T] after tokens [B, T], both
  // i64 or i32 in 0..255.
  Var Loss(const BoundParameters& p, const Pass& pass, const Tensor& tokens,
           const Tensor& targets) const;

  ParameterStore& parameters() { return parameters_; }
  const ParameterStore& parameters() const { return parameters_; }
  const Transformer& transformer() const { return *transformer_; }
  const ByteLmModelOptions& options() const { return options_; }

 private:
  explicit ByteLm(const ByteLmModelOptions& options) : options_(options) {}

  const ByteLmModelOptions options_;
  ParameterStore parameters_;
  std::unique_ptr<Transformer> transformer_;
};

// The elements of the model's parameters, without making it.
int64_t NumByteLmParameters(const ByteLmModelOptions& options);

// Floating-point operations of the products of a training step (forward and
// backward), attention's of the pairs that are visible: 6 a weight and token
// without the embedding, 14 dim a pair and layer. The usual count of a step.
double ByteLmStepFlops(const ByteLm& model, int64_t batch, int64_t time);

}  // namespace septet

#endif  // SEPTET_BASELINES_BYTE_LM_MODEL_H_
