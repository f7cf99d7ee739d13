// SPDX-License-Identifier: Apache-2.0
// nat/conv: convolutions of any stride, padding and groups, and the gradients
// of sum(y gout). The files hold NCHW and OIHW, our ops want channels last.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/conformance/case_list.h"
#include "septet/core/conformance/family.h"
#include "septet/core/conformance/nat_tolerance.h"
#include "septet/core/ops/conv.h"
#include "septet/core/ops/image_layout.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

absl::Status ConvCase(CaseRun& run) {
  SEPTET_ASSIGN_OR_RETURN(const CaseList cases, CaseList::Parse(run.file()));
  for (size_t k = 0; k < cases.size(); ++k) {
    const std::string suffix = absl::StrCat("_", k);
    SEPTET_ASSIGN_OR_RETURN(const int64_t stride, cases.Int(k, "stride"));
    SEPTET_ASSIGN_OR_RETURN(const int64_t pad, cases.Int(k, "pad"));
    SEPTET_ASSIGN_OR_RETURN(const int64_t groups, cases.Int(k, "groups"));
    SEPTET_ASSIGN_OR_RETURN(Tensor x, run.Input("x" + suffix));
    SEPTET_ASSIGN_OR_RETURN(Tensor w, run.Input("w" + suffix));
    SEPTET_ASSIGN_OR_RETURN(const Tensor b, run.Input("b" + suffix));
    SEPTET_ASSIGN_OR_RETURN(Tensor gout, run.Input("gout" + suffix));
    SEPTET_ASSIGN_OR_RETURN(x, ImportNchw(x));
    SEPTET_ASSIGN_OR_RETURN(w, ImportOihw(w));
    SEPTET_ASSIGN_OR_RETURN(gout, ImportNchw(gout));
    Tape tape;
    const std::vector<Var> in = {tape.Watch(x), tape.Watch(w), tape.Watch(b)};
    const Var y = Conv2d(in[0], in[1], in[2],
                         Conv2dOptions::Uniform(stride, pad, groups));
    SEPTET_RETURN_IF_ERROR(y.status()) << "entry " << k;
    SEPTET_RETURN_IF_ERROR(run.Expect("y" + suffix, ExportNchw(y.tensor())));
    SEPTET_ASSIGN_OR_RETURN(
        const std::vector<Var> grads,
        tape.GradVars({y}, {gout}, in, /*create_graph=*/false));
    SEPTET_RETURN_IF_ERROR(
        run.Expect("gx" + suffix, ExportNchw(grads[0].tensor())));
    SEPTET_RETURN_IF_ERROR(
        run.Expect("gw" + suffix, ExportOihw(grads[1].tensor())));
    SEPTET_RETURN_IF_ERROR(run.Expect("gb" + suffix, grads[2]));
  }
  return absl::OkStatus();
}

[[maybe_unused]] const bool kRegistered =
    RegisterFamily({"nat/conv", kNatF64, kNatF32, &ConvCase});

}  // namespace
}  // namespace septet
