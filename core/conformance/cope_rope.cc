// SPDX-License-Identifier: Apache-2.0
// cope/rope: queries and keys [N, T, D] rotated, their scores for all pairs,
// unscaled and unmasked, and the gradients of sum(loss_weight * scores).
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/conformance/case.h"
#include "septet/core/conformance/cope_tolerance.h"
#include "septet/core/conformance/family.h"
#include "septet/core/conformance/tolerance.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/ops/rotary.h"
#include "septet/core/ops/rotary_layout.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

absl::Status Rope(CaseRun& run) {
  Case& file = run.file();
  SEPTET_ASSIGN_OR_RETURN(const std::string layout, file.String("layout"));
  if (layout != "half" && layout != "interleaved") {
    return file.OptionError("layout", "half or interleaved");
  }
  SEPTET_ASSIGN_OR_RETURN(const int64_t rotary_dim, file.Int("rotary_dim"));
  RotaryFrequencyOptions scaling;
  SEPTET_ASSIGN_OR_RETURN(scaling.base, file.Double("base"));
  SEPTET_ASSIGN_OR_RETURN(scaling.linear_scale, file.Double("linear_scale"));
  SEPTET_ASSIGN_OR_RETURN(scaling.ntk_factor, file.Double("ntk_factor"));
  RotaryOptions options;
  SEPTET_ASSIGN_OR_RETURN(options.offset, file.Double("offset"));
  options.layout =
      layout == "half" ? RotaryLayout::kHalf : RotaryLayout::kInterleaved;
  SEPTET_ASSIGN_OR_RETURN(const Tensor frequencies,
                          RotaryFrequencies(rotary_dim, scaling));
  Tape tape;
  std::vector<Var> watched, rotated;
  for (const char* name : {"q", "k"}) {
    SEPTET_ASSIGN_OR_RETURN(const Tensor x, run.Input(name));
    watched.push_back(tape.Watch(x));
    rotated.push_back(Rotary(watched.back(), frequencies, options));
    SEPTET_RETURN_IF_ERROR(
        run.Expect(std::string(name) + "_rot", rotated.back()));
    if (x.rank() != 3) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, " is ", x.DebugString(), ", want [N, T, D]"));
    }
  }
  const Var& q = rotated[0];
  const Var& k = rotated[1];
  const Var scores = Sum(Mul(Reshape(q, {q.dim(0), q.dim(1), 1, q.dim(2)}),
                             Reshape(k, {k.dim(0), 1, k.dim(1), k.dim(2)})),
                         {-1});
  SEPTET_RETURN_IF_ERROR(run.Expect("scores", scores));
  SEPTET_ASSIGN_OR_RETURN(const Tensor weight, run.Input("loss_weight"));
  SEPTET_ASSIGN_OR_RETURN(
      const std::vector<Var> grads,
      tape.GradVars({scores}, {weight}, watched, /*create_graph=*/false));
  SEPTET_ASSIGN_OR_RETURN(const Tolerance tolerance,
                          CopeGradientTolerance(file, run.dtype()));
  SEPTET_RETURN_IF_ERROR(run.Expect("grad_q", grads[0], tolerance));
  return run.Expect("grad_k", grads[1], tolerance);
}

[[maybe_unused]] const bool kRegistered =
    RegisterFamily({"cope/rope", kCopeF64, kCopeF32, &Rope});

}  // namespace
}  // namespace septet
