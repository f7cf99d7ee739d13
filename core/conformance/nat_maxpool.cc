// SPDX-License-Identifier: Apache-2.0
// nat/maxpool: maximum pooling with the places of the maxima, and the gradient
// of sum(y gout). The files hold NCHW, our ops want channels last.
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
#include "septet/core/ops/image_layout.h"
#include "septet/core/ops/pool.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

absl::Status MaxPoolCase(CaseRun& run) {
  SEPTET_ASSIGN_OR_RETURN(const CaseList cases, CaseList::Parse(run.file()));
  for (size_t k = 0; k < cases.size(); ++k) {
    const std::string suffix = absl::StrCat("_", k);
    SEPTET_ASSIGN_OR_RETURN(const int64_t kernel, cases.Int(k, "kernel"));
    SEPTET_ASSIGN_OR_RETURN(const int64_t stride, cases.Int(k, "stride"));
    SEPTET_ASSIGN_OR_RETURN(const int64_t pad, cases.Int(k, "pad"));
    SEPTET_ASSIGN_OR_RETURN(const bool ceil, cases.Bool(k, "ceil_mode"));
    SEPTET_ASSIGN_OR_RETURN(Tensor x, run.Input("x" + suffix));
    SEPTET_ASSIGN_OR_RETURN(Tensor gout, run.Input("gout" + suffix));
    SEPTET_ASSIGN_OR_RETURN(x, ImportNchw(x));
    SEPTET_ASSIGN_OR_RETURN(gout, ImportNchw(gout));
    Tape tape;
    const Var in = tape.Watch(x);
    const MaxPooled pooled =
        MaxPool2d(in, Pool2dOptions::Uniform(kernel, stride, pad, ceil));
    SEPTET_RETURN_IF_ERROR(pooled.y.status()) << "entry " << k;
    SEPTET_RETURN_IF_ERROR(
        run.Expect("y" + suffix, ExportNchw(pooled.y.tensor())));
    SEPTET_RETURN_IF_ERROR(
        run.Expect("argmax" + suffix, ExportNchw(pooled.argmax.tensor())));
    SEPTET_ASSIGN_OR_RETURN(
        const std::vector<Var> grads,
        tape.GradVars({pooled.y}, {gout}, {in}, /*create_graph=*/false));
    SEPTET_RETURN_IF_ERROR(
        run.Expect("gx" + suffix, ExportNchw(grads[0].tensor())));
  }
  return absl::OkStatus();
}

[[maybe_unused]] const bool kRegistered =
    RegisterFamily({"nat/maxpool", kNatF64, kNatF32, &MaxPoolCase});

}  // namespace
}  // namespace septet
