// SPDX-License-Identifier: Apache-2.0
// retnet/core: retention with states before and behind, in every form and
// chunk length, with the gradients of sum(out d_out) + sum(final_state
// d_final_state).
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/conformance/case.h"
#include "septet/core/conformance/family.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/retention.h"
#include "septet/retention/retnet_tolerance.h"

namespace septet {
namespace {

absl::StatusOr<ScoreNorm> ReadScoreNorm(const Case& file) {
  SEPTET_ASSIGN_OR_RETURN(const std::string name, file.String("score_norm"));
  if (name == "none") return ScoreNorm::kNone;
  if (name == "decay") return ScoreNorm::kDecay;
  if (name == "paper") return ScoreNorm::kPaper;
  return file.OptionError("score_norm", "none, decay or paper");
}

// [B, H, T, D] to [B, T, H, D] and back; packed rows lie as they are.
Var Turn(const Var& x) {
  return x.ok() && x.rank() == 4 ? Permute(x, {0, 2, 1, 3}) : x;
}

absl::Status Core(CaseRun& run) {
  Case& file = run.file();
  RetentionOptions options;
  SEPTET_ASSIGN_OR_RETURN(options.score_norm, ReadScoreNorm(file));
  SEPTET_ASSIGN_OR_RETURN(options.scale, file.Double("scale"));
  SEPTET_ASSIGN_OR_RETURN(const int64_t chunk,
                          file.Int("suggested_chunk_size"));
  SEPTET_ASSIGN_OR_RETURN(const Tensor log_gamma,
                          file.Input("log_gamma", DType::kF64));
  SEPTET_ASSIGN_OR_RETURN(const Tensor d_out, run.Input("d_out"));
  SEPTET_ASSIGN_OR_RETURN(const Tensor d_state, run.Input("d_final_state"));
  RetentionState state;
  Tensor offsets;
  if (file.HasTensor("cu_seqlens")) {
    SEPTET_ASSIGN_OR_RETURN(offsets, file.IntInput("cu_seqlens"));
    SEPTET_ASSIGN_OR_RETURN(const Tensor at, file.IntInput("start_positions"));
    state.position = at.ToVector<int64_t>();
  } else {
    SEPTET_ASSIGN_OR_RETURN(const int64_t at, file.Int("start_position"));
    state.position.assign(static_cast<size_t>(d_out.dim(0)), at);
  }
  std::vector<std::string> names = {"q", "k", "v", "initial_state"};
  std::vector<Tensor> values;
  for (const std::string& name : names) {
    SEPTET_ASSIGN_OR_RETURN(Tensor x, run.Input(name));
    values.push_back(std::move(x));
  }
  if (file.HasTensor("initial_key_sum")) {
    SEPTET_ASSIGN_OR_RETURN(const Tensor sum, run.Input("initial_key_sum"));
    if (options.score_norm == ScoreNorm::kPaper) state.key_sum = sum;
  }
  if (options.score_norm != ScoreNorm::kPaper) file.Ignore("final_key_sum");
  values.push_back(log_gamma);
  names.push_back("log_gamma");
  const int64_t rows = d_out.dim(offsets.defined() ? 0 : 2);
  const Tolerance gradient = RetnetGradientTolerance(run.dtype());
  const std::pair<RetentionForm, int64_t> forms[] = {
      {RetentionForm::kChunkwise, chunk}, {RetentionForm::kChunkwise, 1},
      {RetentionForm::kChunkwise, rows},  {RetentionForm::kChunkwise, rows + 9},
      {RetentionForm::kParallel, chunk},  {RetentionForm::kRecurrent, chunk}};
  for (const auto& [form, chunk_size] : forms) {
    options.form = form;
    options.chunk_size = chunk_size;
    Tape tape;
    std::vector<Var> in;
    for (const Tensor& x : values) in.push_back(tape.Watch(x));
    state.s = in[3];
    const RetentionOutput result =
        Retention(Turn(in[0]), Turn(in[1]), Turn(in[2]), in[4], options, state,
                  /*return_state=*/true, offsets);
    const Var out = Turn(result.out);
    SEPTET_RETURN_IF_ERROR(run.Expect("out", out));
    SEPTET_RETURN_IF_ERROR(run.Expect("final_state", result.state.s));
    if (state.key_sum.defined()) {
      SEPTET_RETURN_IF_ERROR(run.Expect("final_key_sum", result.state.key_sum));
    }
    SEPTET_ASSIGN_OR_RETURN(
        const std::vector<Tensor> grads,
        tape.Grad(Add(Sum(Mul(out, d_out)), Sum(Mul(result.state.s, d_state))),
                  in));
    for (size_t i = 0; i < names.size(); ++i) {
      const std::string name = absl::StrCat("grad.", names[i]);
      if (!file.HasTensor(name)) continue;
      SEPTET_RETURN_IF_ERROR(run.Expect(name, grads[i], gradient));
    }
  }
  return absl::OkStatus();
}

[[maybe_unused]] const bool kRegistered =
    RegisterFamily({"retnet/core", kRetnetF64, kRetnetF32, &Core});

}  // namespace
}  // namespace septet
