// SPDX-License-Identifier: Apache-2.0
// offline_rl/adam: parameters after each Adam step from `param0` along `grads`,
// and the cosine schedule that the option `cosine` describes.
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/conformance/case.h"
#include "septet/core/conformance/family.h"
#include "septet/core/conformance/offline_rl_tolerance.h"
#include "septet/core/conformance/rows.h"
#include "septet/core/optim/adam.h"
#include "septet/core/optim/schedule.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

// The N of "decay_steps=N" in the option `cosine`, text otherwise.
absl::StatusOr<int64_t> DecaySteps(const Case& file) {
  SEPTET_ASSIGN_OR_RETURN(const std::string text, file.String("cosine"));
  constexpr absl::string_view kKey = "decay_steps=";
  const size_t at = text.find(kKey.data(), 0, kKey.size());
  int64_t steps;
  if (at != std::string::npos) {
    const std::string rest = text.substr(at + kKey.size());
    if (absl::SimpleAtoi(rest.substr(0, rest.find_first_not_of("0123456789")),
                         &steps)) {
      return steps;
    }
  }
  return file.OptionError("cosine", "text with decay_steps=N");
}

absl::Status AdamCase(CaseRun& run) {
  Case& file = run.file();
  Schedule schedule;
  schedule.kind = ScheduleKind::kCosine;
  AdamOptions options;
  SEPTET_ASSIGN_OR_RETURN(options.lr, file.Double("lr"));
  SEPTET_ASSIGN_OR_RETURN(options.beta1, file.Double("b1"));
  SEPTET_ASSIGN_OR_RETURN(options.beta2, file.Double("b2"));
  SEPTET_ASSIGN_OR_RETURN(options.eps, file.Double("eps"));
  SEPTET_ASSIGN_OR_RETURN(schedule.steps, DecaySteps(file));
  schedule.lr = options.lr;
  SEPTET_RETURN_IF_ERROR(schedule.Validate()) << file.path();

  SEPTET_ASSIGN_OR_RETURN(const Tensor lrs, file.Stored("cosine_lr"));
  SEPTET_ASSIGN_OR_RETURN(Tensor computed_lrs,
                          EmptyRows(lrs.num_elements(), Shape(), DType::kF64));
  for (int64_t k = 0; k < lrs.num_elements(); ++k) {
    computed_lrs.mutable_data<double>()[k] = schedule(k);
  }
  SEPTET_RETURN_IF_ERROR(run.Expect("cosine_lr", computed_lrs));

  SEPTET_ASSIGN_OR_RETURN(const Tensor param0, run.Input("param0"));
  SEPTET_ASSIGN_OR_RETURN(const Tensor grads, run.Input("grads"));
  SEPTET_ASSIGN_OR_RETURN(const Tensor param, param0.Clone());
  SEPTET_ASSIGN_OR_RETURN(Adam adam, Adam::Create(options, {param}),
                          _ << file.path());
  SEPTET_ASSIGN_OR_RETURN(const int64_t steps, NumRows(grads));
  SEPTET_ASSIGN_OR_RETURN(const Tensor params,
                          EmptyRows(steps, param.shape(), run.dtype()));
  for (int64_t t = 0; t < steps; ++t) {
    SEPTET_ASSIGN_OR_RETURN(const Tensor grad, Row(grads, t));
    SEPTET_RETURN_IF_ERROR(adam.Step({param}, {grad})) << file.path();
    SEPTET_ASSIGN_OR_RETURN(const Tensor row, Row(params, t));
    SEPTET_RETURN_IF_ERROR(row.CopyFrom(param));
  }
  run.NoteDispatch(
      absl::StrCat("adam cpu/", DTypeName(run.dtype()), " highway"));
  return run.Expect("params", params);
}

[[maybe_unused]] const bool kRegistered = RegisterFamily(
    {"offline_rl/adam", kOfflineRlF64, kOfflineRlF32, &AdamCase});

}  // namespace
}  // namespace septet
