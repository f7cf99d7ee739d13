// SPDX-License-Identifier: Apache-2.0
// retnet/sampling: the distribution that each row of logits is drawn from,
// under the row of `options` (temperature, top_k, top_p).
#include <cmath>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/conformance/family.h"
#include "septet/core/conformance/tolerance.h"
#include "septet/core/nn/sampling.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

constexpr double kMaxTopK = 1e15;  // whole numbers up to here are exact

absl::Status Sampling(CaseRun& run) {
  SEPTET_ASSIGN_OR_RETURN(const Tensor logits, run.Input("logits"));
  SEPTET_ASSIGN_OR_RETURN(Tensor columns, run.Input("options"));
  if (logits.rank() != 2 || columns.shape() != Shape({logits.dim(0), 3})) {
    return absl::InvalidArgumentError(absl::StrCat(
        run.file().path(), ": logits are ", logits.DebugString(), ", options ",
        columns.DebugString(), ", expected [B, V] and [B, 3]"));
  }
  SEPTET_ASSIGN_OR_RETURN(columns, columns.To(DType::kF64));
  SEPTET_ASSIGN_OR_RETURN(Tensor probs,
                          Tensor::Empty(logits.shape(), DType::kF64));
  for (int64_t row = 0; row < logits.dim(0); ++row) {
    const double* const o = columns.data<double>() + 3 * row;
    if (!(o[1] >= 0 && o[1] <= kMaxTopK && o[1] == std::floor(o[1]))) {
      return absl::InvalidArgumentError(
          absl::StrCat(run.file().path(), ": options[", row, ", 1] is ", o[1],
                       ", expected a whole number of tokens"));
    }
    SamplingOptions options;
    options.temperature = o[0];
    options.top_k = static_cast<int64_t>(o[1]);
    options.top_p = o[2];
    SEPTET_ASSIGN_OR_RETURN(const Tensor one, logits.Slice(0, row, row + 1));
    SEPTET_ASSIGN_OR_RETURN(const Tensor p,
                            SamplingProbabilities(one, {}, options),
                            _ << "row " << row);
    SEPTET_ASSIGN_OR_RETURN(Tensor out, probs.Slice(0, row, row + 1));
    SEPTET_RETURN_IF_ERROR(out.CopyFrom(p));
  }
  return run.Expect("probs", probs);
}

const Tolerance kF64 = {/*absolute=*/1e-10, /*relative=*/1e-10,
                        Tolerance::Scale::kTensor};
const Tolerance kF32 = {/*absolute=*/1e-5, /*relative=*/1e-5,
                        Tolerance::Scale::kTensor};

[[maybe_unused]] const bool kRegistered =
    RegisterFamily({"retnet/sampling", kF64, kF32, &Sampling});

}  // namespace
}  // namespace septet
