// SPDX-License-Identifier: Apache-2.0
// gahb/bfbn and gahb/bfbn_const: bias-free batch normalisation in evaluation
// and training, the gradients of sum(w y) in both, and the running standard
// deviation after one training pass. The files hold NCHW and parameters as
// [1, C, 1, 1]; our op wants channels last and [C].
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/conformance/case.h"
#include "septet/core/conformance/channels.h"
#include "septet/core/conformance/family.h"
#include "septet/core/conformance/gahb_tolerance.h"
#include "septet/core/ops/bias_free_batch_norm.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

// "1e-05 inside the square root": the number before the first space.
absl::StatusOr<double> Epsilon(const Case& file) {
  SEPTET_ASSIGN_OR_RETURN(const std::string text, file.String("eps"));
  const absl::string_view trimmed = absl::StripAsciiWhitespace(text);
  double eps = 0;
  if (!absl::SimpleAtod(trimmed.substr(0, trimmed.find(' ')), &eps)) {
    return file.OptionError("eps", "a number, and where it stands");
  }
  return eps;
}

absl::Status BiasFree(CaseRun& run) {
  SEPTET_ASSIGN_OR_RETURN(const double eps, Epsilon(run.file()));
  SEPTET_ASSIGN_OR_RETURN(const double momentum, run.file().Double("momentum"));
  SEPTET_ASSIGN_OR_RETURN(const Tensor x, run.Input("in.x"));
  SEPTET_ASSIGN_OR_RETURN(const Tensor w, run.Input("in.w"));
  SEPTET_ASSIGN_OR_RETURN(const Tensor gammas, run.Input("param.gammas"));
  SEPTET_ASSIGN_OR_RETURN(const Tensor stored, run.Input("param.running_sd"));
  // A copy: the update writes to it.
  SEPTET_ASSIGN_OR_RETURN(Tensor running_sd, stored.Clone());
  SEPTET_ASSIGN_OR_RETURN(running_sd, running_sd.Reshape({-1}));
  for (const bool training : {false, true}) {
    const absl::string_view mode = training ? "train" : "eval";
    Tape tape;
    const std::vector<Var> watched = {tape.Watch(x), tape.Watch(gammas)};
    const Var images = ChannelsLast(watched[0]);
    const Var scale = Reshape(watched[1], {-1});
    Var y;
    if (training) {
      const BiasFreeBatchNormResult batch =
          BiasFreeBatchNormTraining(images, scale, eps);
      SEPTET_RETURN_IF_ERROR(
          UpdateRunningDeviation(batch, momentum, running_sd));
      SEPTET_RETURN_IF_ERROR(run.Expect("train.after.running_sd",
                                        Reshape(running_sd, stored.shape())));
      y = ChannelsFirst(batch.y);
    } else {
      y = ChannelsFirst(BiasFreeBatchNormEvaluation(images, scale, running_sd));
    }
    SEPTET_RETURN_IF_ERROR(run.Expect(absl::StrCat(mode, ".y"), y));
    SEPTET_ASSIGN_OR_RETURN(
        const std::vector<Var> grads,
        tape.GradVars({y}, {w}, watched, /*create_graph=*/false));
    SEPTET_RETURN_IF_ERROR(run.Expect(absl::StrCat(mode, ".grad.x"), grads[0]));
    SEPTET_RETURN_IF_ERROR(
        run.Expect(absl::StrCat(mode, ".grad.gammas"), grads[1]));
  }
  return absl::OkStatus();
}

[[maybe_unused]] const bool kRegistered =
    RegisterFamily({"gahb/bfbn", kGahbF64, kGahbF32, &BiasFree}) &&
    RegisterFamily({"gahb/bfbn_const", kGahbF64, kGahbF32, &BiasFree});

}  // namespace
}  // namespace septet
