// SPDX-License-Identifier: Apache-2.0
// offline_rl/target_ema: the target after each of some Polyak updates towards a
// fixed online tensor.
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/conformance/family.h"
#include "septet/core/conformance/offline_rl_tolerance.h"
#include "septet/core/conformance/rows.h"
#include "septet/core/optim/ema.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

absl::Status TargetEma(CaseRun& run) {
  EmaOptions options;
  SEPTET_ASSIGN_OR_RETURN(options.tau, run.file().Double("tau"));
  SEPTET_ASSIGN_OR_RETURN(const Tensor online, run.Input("online"));
  SEPTET_ASSIGN_OR_RETURN(const Tensor target0, run.Input("target0"));
  SEPTET_ASSIGN_OR_RETURN(const Tensor target, target0.Clone());
  SEPTET_ASSIGN_OR_RETURN(const Tensor want, run.file().Stored("targets"));
  SEPTET_ASSIGN_OR_RETURN(const int64_t updates, NumRows(want));
  SEPTET_ASSIGN_OR_RETURN(const Tensor targets,
                          EmptyRows(updates, target.shape(), run.dtype()));
  for (int64_t t = 0; t < updates; ++t) {
    SEPTET_RETURN_IF_ERROR(UpdateEma({online}, options, {target}))
        << run.file().path();
    SEPTET_ASSIGN_OR_RETURN(const Tensor row, Row(targets, t));
    SEPTET_RETURN_IF_ERROR(row.CopyFrom(target));
  }
  run.NoteDispatch(
      absl::StrCat("ema cpu/", DTypeName(run.dtype()), " highway"));
  return run.Expect("targets", targets);
}

[[maybe_unused]] const bool kRegistered = RegisterFamily(
    {"offline_rl/target_ema", kOfflineRlF64, kOfflineRlF32, &TargetEma});

}  // namespace
}  // namespace septet
