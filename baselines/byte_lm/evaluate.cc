// SPDX-License-Identifier: Apache-2.0
#include "septet/baselines/byte_lm/evaluate.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "septet/baselines/byte_lm/model.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/signals.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/data/token_windows.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/ops/loss.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

// Rows of one forward pass: what fits in the caches at the sizes we train.
constexpr int64_t kRows = 16;
constexpr double kNatsPerBit = 0.69314718055994530942;

// What a model is evaluated on.
struct Windows {
  TokenWindows windows;
  std::vector<int64_t> targets;
  int64_t last;  // targets that count
};

absl::StatusOr<Windows> MakeWindows(const Tensor& tokens,
                                    const EvaluationOptions& options) {
  const int64_t context = options.context;
  const int64_t last = options.last == 0 ? context : options.last;
  if (last < 0 || last > context) {
    return absl::InvalidArgumentError(
        absl::StrCat("evaluation: last is ", options.last, ", expected 0 to ",
                     context, ", the context"));
  }
  TokenWindowsOptions windows_options;
  windows_options.context = context;
  SEPTET_ASSIGN_OR_RETURN(TokenWindows windows,
                          TokenWindows::Create(tokens, windows_options),
                          _ << "evaluation");
  EvaluationTargetsOptions target_options;
  target_options.windows = options.windows;
  target_options.first = std::max(options.first, context);
  SEPTET_ASSIGN_OR_RETURN(std::vector<int64_t> targets,
                          EvaluationTargets(windows.size(), target_options),
                          _ << "evaluation");
  return Windows{std::move(windows), std::move(targets), last};
}

}  // namespace

absl::Status CheckEvaluation(const Tensor& tokens,
                             const EvaluationOptions& options) {
  return MakeWindows(tokens, options).status();
}

absl::StatusOr<double> BitsPerByte(const ByteLm& model, const Tensor& tokens,
                                   const EvaluationOptions& options) {
  SEPTET_ASSIGN_OR_RETURN(const Windows w, MakeWindows(tokens, options));
  const auto& [windows, targets, last] = w;
  const int64_t context = options.context;
  const BoundParameters p = model.parameters().Bind();
  double nats = 0;
  const int64_t count = static_cast<int64_t>(targets.size());
  for (int64_t begin = 0; begin < count; begin += kRows) {
    if (InterruptRequested()) return InterruptedError("evaluation");
    const int64_t rows = std::min(kRows, count - begin);
    SEPTET_ASSIGN_OR_RETURN(
        const TokenBatch batch,
        windows.EndingAt(absl::MakeConstSpan(targets).subspan(
            static_cast<size_t>(begin), static_cast<size_t>(rows))));
    const Var losses = CrossEntropy(
        model.transformer().Forward(p, Pass(), {batch.inputs, {}, {}}),
        batch.targets, {LossReduction::kNone});
    SEPTET_RETURN_IF_ERROR(losses.status()) << "evaluation";
    const float* loss = losses.tensor().data<float>();
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t t = context - last; t < context; ++t) {
        nats += loss[row * context + t];
      }
    }
  }
  return nats / kNatsPerBit / static_cast<double>(count * last);
}

}  // namespace septet
