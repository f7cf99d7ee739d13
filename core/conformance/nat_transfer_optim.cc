// SPDX-License-Identifier: Apache-2.0
// nat/transfer_optim: weights after each step of gradient descent with averaged
// momentum and a decay that the rate does not scale, and the rate by epoch.
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/conformance/case.h"
#include "septet/core/conformance/family.h"
#include "septet/core/conformance/rows.h"
#include "septet/core/conformance/tolerance.h"
#include "septet/core/optim/schedule.h"
#include "septet/core/optim/sgd.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

// Of the family's README: relative to the largest entry.
constexpr Tolerance kF64 = {/*absolute=*/0, /*relative=*/1e-10};
constexpr Tolerance kF32 = {/*absolute=*/0, /*relative=*/2e-5};

absl::Status TransferOptim(CaseRun& run) {
  Case& file = run.file();
  SgdOptions options;
  options.start_from_zero = true;
  options.decay_kind = SgdDecay::kUnscaled;
  SEPTET_ASSIGN_OR_RETURN(options.lr, file.Double("lr"));
  SEPTET_ASSIGN_OR_RETURN(options.momentum, file.Double("momentum"));
  options.dampening = options.momentum;
  SEPTET_ASSIGN_OR_RETURN(options.weight_decay, file.Double("weight_decay"));
  SEPTET_ASSIGN_OR_RETURN(const double gamma, file.Double("gamma"));
  SEPTET_ASSIGN_OR_RETURN(const int64_t t0, file.Int("t0"));
  const Schedule schedule = Schedule::Inverse(options.lr, t0, gamma);
  SEPTET_RETURN_IF_ERROR(schedule.Validate()) << file.path();

  SEPTET_ASSIGN_OR_RETURN(const Tensor lrs, file.Stored("lr_by_epoch"));
  SEPTET_ASSIGN_OR_RETURN(Tensor computed_lrs,
                          EmptyRows(lrs.num_elements(), Shape(), DType::kF64));
  for (int64_t epoch = 0; epoch < lrs.num_elements(); ++epoch) {
    computed_lrs.mutable_data<double>()[epoch] = schedule(epoch);
  }
  SEPTET_RETURN_IF_ERROR(run.Expect("lr_by_epoch", computed_lrs));

  SEPTET_ASSIGN_OR_RETURN(const Tensor w0, run.Input("w0"));
  SEPTET_ASSIGN_OR_RETURN(const Tensor grads, run.Input("grads"));
  SEPTET_ASSIGN_OR_RETURN(const Tensor w, w0.Clone());
  SEPTET_ASSIGN_OR_RETURN(Sgd sgd, Sgd::Create(options, {w}), _ << file.path());
  SEPTET_ASSIGN_OR_RETURN(const int64_t steps, NumRows(grads));
  SEPTET_ASSIGN_OR_RETURN(const Tensor trajectory,
                          EmptyRows(steps, w.shape(), run.dtype()));
  for (int64_t t = 0; t < steps; ++t) {
    SEPTET_ASSIGN_OR_RETURN(const Tensor grad, Row(grads, t));
    SEPTET_RETURN_IF_ERROR(sgd.Step({w}, {grad})) << file.path();
    SEPTET_ASSIGN_OR_RETURN(const Tensor row, Row(trajectory, t));
    SEPTET_RETURN_IF_ERROR(row.CopyFrom(w));
  }
  run.NoteDispatch(
      absl::StrCat("sgd cpu/", DTypeName(run.dtype()), " highway"));
  return run.Expect("w_traj", trajectory);
}

[[maybe_unused]] const bool kRegistered =
    RegisterFamily({"nat/transfer_optim", kF64, kF32, &TransferOptim});

}  // namespace
}  // namespace septet
