// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/lm/evaluate.h"

#include <algorithm>
#include <cstddef>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/data/token_windows.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/ops/loss.h"

namespace septet {
namespace {

constexpr double kNatsPerBit = 0.69314718055994530942;
// Tokens given to the model at once, but for a window that is longer.
constexpr int64_t kTokensAtOnce = 8192;

// `look` sees the losses of each batch.
absl::StatusOr<double> Evaluate(const RetentionLm& model, const Tensor& tokens,
                                EvaluationOptions options, RetentionForm form,
                                absl::FunctionRef<void(const Tensor&)> look) {
  if (options.context > 0) {
    options.rows = std::min(
        options.rows, std::max<int64_t>(1, kTokensAtOnce / options.context));
  }
  const BoundParameters p = model.parameters().Bind();
  return BitsPerByte(
      tokens, options, [&](const TokenBatch& batch) -> absl::StatusOr<Tensor> {
        const Var losses =
            CrossEntropy(model.Logits(p, Pass(), batch.inputs, form),
                         batch.targets, {LossReduction::kNone});
        SEPTET_RETURN_IF_ERROR(losses.status());
        look(losses.tensor());
        return losses.tensor();
      });
}

}  // namespace

absl::StatusOr<double> BitsPerByte(const RetentionLm& model,
                                   const Tensor& tokens,
                                   const EvaluationOptions& options,
                                   RetentionForm form) {
  return Evaluate(model, tokens, options, form, [](const Tensor&) {});
}

absl::StatusOr<std::vector<double>> BitsByPosition(
    const RetentionLm& model, const Tensor& tokens,
    const EvaluationOptions& options, RetentionForm form) {
  EvaluationOptions all = options;
  all.last = 0;
  // The vector below is as long as this says.
  SEPTET_RETURN_IF_ERROR(CheckEvaluation(tokens, all));
  std::vector<double> sums(static_cast<size_t>(all.context));
  SEPTET_RETURN_IF_ERROR(
      Evaluate(model, tokens, all, form, [&](const Tensor& losses) {
        const std::vector<double> values = losses.ToVector<double>();
        for (size_t i = 0; i < values.size(); ++i) {
          sums[i % sums.size()] += values[i];
        }
      }).status());
  for (double& sum : sums) {
    sum /= kNatsPerBit * static_cast<double>(all.windows);
  }
  return sums;
}

absl::StatusOr<std::vector<double>> LastBits(const RetentionLm& model,
                                             const Tensor& tokens,
                                             const EvaluationOptions& options,
                                             int64_t last,
                                             absl::Span<const int64_t> contexts,
                                             RetentionForm form) {
  if (contexts.empty()) {
    return absl::InvalidArgumentError("contexts: there are none");
  }
  EvaluationOptions each = options;
  each.last = last;
  for (const int64_t context : contexts) {
    if (last < 1 || context < last) {
      return absl::InvalidArgumentError(
          absl::StrCat("contexts: ", context, ", expected at least the last ",
                       last, " targets, of which there is one or more"));
    }
    each.first = std::max(each.first, context);
  }
  std::vector<double> result;
  for (const int64_t context : contexts) {
    each.context = context;
    SEPTET_ASSIGN_OR_RETURN(const double bits,
                            BitsPerByte(model, tokens, each, form));
    result.push_back(bits);
  }
  return result;
}

}  // namespace septet
