// SPDX-License-Identifier: Apache-2.0
#include "septet/core/data/bits_per_byte.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "septet/core/base/signals.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/data/token_windows.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

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
  if (options.rows < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "evaluation: rows is ", options.rows, ", expected at least 1"));
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

absl::StatusOr<double> BitsPerByte(
    const Tensor& tokens, const EvaluationOptions& options,
    absl::FunctionRef<absl::StatusOr<Tensor>(const TokenBatch&)> losses) {
  SEPTET_ASSIGN_OR_RETURN(const Windows w, MakeWindows(tokens, options));
  const auto& [windows, targets, last] = w;
  double nats = 0;
  const auto count = static_cast<int64_t>(targets.size());
  for (int64_t begin = 0; begin < count; begin += options.rows) {
    if (InterruptRequested()) return InterruptedError("evaluation");
    const int64_t rows = std::min(options.rows, count - begin);
    SEPTET_ASSIGN_OR_RETURN(
        const TokenBatch batch,
        windows.EndingAt(absl::MakeConstSpan(targets).subspan(
            static_cast<size_t>(begin), static_cast<size_t>(rows))));
    SEPTET_ASSIGN_OR_RETURN(const Tensor loss, losses(batch),
                            _ << "evaluation");
    if (loss.shape() != batch.targets.shape() ||
        (loss.dtype() != DType::kF32 && loss.dtype() != DType::kF64)) {
      return absl::InternalError(
          absl::StrCat("evaluation: losses are ", DTypeName(loss.dtype()), " ",
                       loss.shape().ToString(), ", expected f32 or f64 ",
                       batch.targets.shape().ToString()));
    }
    const std::vector<double> values = loss.ToVector<double>();
    for (int64_t row = 0; row < rows; ++row) {
      const double* end = values.data() + (row + 1) * options.context;
      for (const double* each = end - last; each != end; ++each) nats += *each;
    }
  }
  return nats / kNatsPerBit / static_cast<double>(count * last);
}

}  // namespace septet
