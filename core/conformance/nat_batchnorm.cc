// SPDX-License-Identifier: Apache-2.0
// nat/batchnorm: batch normalisation in training and evaluation, the update of
// the running statistics, and the gradients of sum(y gout) in training, over
// several shapes. The files hold NCHW, our ops want channels last.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/conformance/case_list.h"
#include "septet/core/conformance/channels.h"
#include "septet/core/conformance/family.h"
#include "septet/core/conformance/nat_tolerance.h"
#include "septet/core/ops/batch_norm.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

absl::Status BatchNormCase(CaseRun& run) {
  SEPTET_ASSIGN_OR_RETURN(const CaseList cases, CaseList::Parse(run.file()));
  for (size_t k = 0; k < cases.size(); ++k) {
    const auto input = [&](absl::string_view name) {
      return run.Input(absl::StrCat(name, "_", k));
    };
    const auto expect = [&](absl::string_view name, const Var& got) {
      return run.Expect(absl::StrCat(name, "_", k), got);
    };
    SEPTET_ASSIGN_OR_RETURN(const double eps, cases.Double(k, "eps"));
    SEPTET_ASSIGN_OR_RETURN(const double momentum, cases.Double(k, "momentum"));
    SEPTET_ASSIGN_OR_RETURN(const Tensor x_nchw, input("x"));
    SEPTET_ASSIGN_OR_RETURN(const Tensor gamma, input("gamma"));
    SEPTET_ASSIGN_OR_RETURN(const Tensor beta, input("beta"));
    SEPTET_ASSIGN_OR_RETURN(const Tensor gout, input("gout"));
    SEPTET_ASSIGN_OR_RETURN(Tensor mean, input("rmean"));
    SEPTET_ASSIGN_OR_RETURN(Tensor variance, input("rvar"));
    Tape tape;
    const std::vector<Var> watched = {tape.Watch(x_nchw), tape.Watch(gamma),
                                      tape.Watch(beta)};
    const Var x = ChannelsLast(watched[0]);
    SEPTET_RETURN_IF_ERROR(
        expect("y_eval", ChannelsFirst(BatchNormEvaluation(
                             x, watched[1], watched[2], mean, variance, eps))));
    const BatchNormResult batch =
        BatchNormTraining(x, watched[1], watched[2], eps);
    const Var y = ChannelsFirst(batch.y);
    SEPTET_RETURN_IF_ERROR(expect("y", y));
    SEPTET_ASSIGN_OR_RETURN(
        const std::vector<Var> grads,
        tape.GradVars({y}, {gout}, watched, /*create_graph=*/false));
    SEPTET_RETURN_IF_ERROR(expect("gx", grads[0]));
    SEPTET_RETURN_IF_ERROR(expect("ggamma", grads[1]));
    SEPTET_RETURN_IF_ERROR(expect("gbeta", grads[2]));
    SEPTET_ASSIGN_OR_RETURN(mean, mean.Clone());
    SEPTET_ASSIGN_OR_RETURN(variance, variance.Clone());
    SEPTET_RETURN_IF_ERROR(
        UpdateRunningStatistics(batch, momentum, mean, variance));
    SEPTET_RETURN_IF_ERROR(expect("rmean_after", mean));
    SEPTET_RETURN_IF_ERROR(expect("rvar_after", variance));
  }
  return absl::OkStatus();
}

[[maybe_unused]] const bool kRegistered =
    RegisterFamily({"nat/batchnorm", kNatF64, kNatF32, &BatchNormCase});

}  // namespace
}  // namespace septet
