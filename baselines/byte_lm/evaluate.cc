// SPDX-License-Identifier: Apache-2.0
#include "septet/baselines/byte_lm/evaluate.h"

#include "absl/status/statusor.h"
#include "septet/baselines/byte_lm/model.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/data/bits_per_byte.h"
#include "septet/core/data/token_windows.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/ops/loss.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

absl::StatusOr<double> BitsPerByte(const ByteLm& model, const Tensor& tokens,
                                   const EvaluationOptions& options) {
  const BoundParameters p = model.parameters().Bind();
  return BitsPerByte(
      tokens, options, [&](const TokenBatch& batch) -> absl::StatusOr<Tensor> {
        const Var losses = CrossEntropy(
            model.transformer().Forward(p, Pass(), {batch.inputs, {}, {}}),
            batch.targets, {LossReduction::kNone});
        SEPTET_RETURN_IF_ERROR(losses.status());
        return losses.tensor();
      });
}

}  // namespace septet
