// SPDX-License-Identifier: Apache-2.0
// retnet/ckpt_*: checkpoints of other programs, whose logits lie in a file
// beside them; each of the two is a case and answers for both.
#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/conformance/case.h"
#include "septet/core/conformance/family.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/interop.h"
#include "septet/retention/retention.h"
#include "septet/retention/retnet.h"
#include "septet/retention/retnet_tolerance.h"

namespace septet {
namespace {

// The file beside `path` with `to` for `from` in its name.
std::string Beside(const std::string& path, absl::string_view from,
                   absl::string_view to) {
  const size_t slash = path.rfind('/');
  const size_t name = slash == std::string::npos ? 0 : slash + 1;
  return absl::StrCat(path.substr(0, name),
                      absl::StrReplaceAll(path.substr(name), {{from, to}}));
}

// Logits of the parallel form, by the formulas of angle and decay.
absl::StatusOr<Tensor> Logits(Case& checkpoint, const Tensor& tokens,
                              DType dtype) {
  std::map<std::string, Tensor> tensors;
  for (const std::string& name : checkpoint.TensorNames()) {
    SEPTET_ASSIGN_OR_RETURN(tensors[name], checkpoint.Stored(name));
  }
  RetNetImportOptions exact;
  exact.exact_decay = true;
  SEPTET_ASSIGN_OR_RETURN(const RetNetCheckpoint imported,
                          ImportRetNet(tensors, checkpoint.options(), exact),
                          _ << checkpoint.path());
  ParameterStore store;
  SEPTET_ASSIGN_OR_RETURN(
      const RetNet model,
      RetNet::Create(imported.options, ParameterScope(&store, {0, dtype})));
  SEPTET_RETURN_IF_ERROR(store.Import(imported.parameters));
  RetNetInput input;
  input.tokens = tokens;
  input.form = RetentionForm::kParallel;
  const Var logits = model.Forward(store.Bind(), Pass(), input);
  SEPTET_RETURN_IF_ERROR(logits.status());
  return logits.tensor();
}

absl::Status RunCheckpoint(CaseRun& run, absl::string_view expected_case) {
  SEPTET_ASSIGN_OR_RETURN(const std::string name, run.file().String("case"));
  SEPTET_ASSIGN_OR_RETURN(
      Case expected,
      Case::Read(Beside(run.file().path(), name, expected_case)));
  SEPTET_ASSIGN_OR_RETURN(const Tensor tokens, expected.IntInput("tokens"));
  SEPTET_ASSIGN_OR_RETURN(const Tensor logits,
                          Logits(run.file(), tokens, run.dtype()));
  return run.ExpectOf(&expected, "logits", logits);
}

absl::Status RunExpected(CaseRun& run,
                         const std::vector<std::string>& checkpoints) {
  SEPTET_ASSIGN_OR_RETURN(const std::string name, run.file().String("case"));
  SEPTET_ASSIGN_OR_RETURN(const Tensor tokens, run.file().IntInput("tokens"));
  absl::Status missing;
  bool any = false;
  for (const std::string& checkpoint : checkpoints) {
    absl::StatusOr<Case> file =
        Case::Read(Beside(run.file().path(), name, checkpoint));
    if (absl::IsNotFound(file.status())) {
      missing = file.status();
      continue;
    }
    SEPTET_RETURN_IF_ERROR(file.status());
    SEPTET_ASSIGN_OR_RETURN(const Tensor logits,
                            Logits(*file, tokens, run.dtype()));
    SEPTET_RETURN_IF_ERROR(run.Expect("logits", logits));
    any = true;
  }
  return any ? absl::OkStatus() : missing;
}

absl::Status Checkpoint(CaseRun& run) {
  return RunCheckpoint(run, "ckpt_expected");
}
absl::Status FlaCheckpoint(CaseRun& run) {
  return RunCheckpoint(run, "ckpt_fla_expected");
}
absl::Status Expected(CaseRun& run) {
  return RunExpected(run, {"ckpt_torchscale", "ckpt_syncdoth"});
}
absl::Status FlaExpected(CaseRun& run) {
  return RunExpected(run, {"ckpt_fla"});
}

[[maybe_unused]] const bool kRegistered =
    RegisterFamily(
        {"retnet/ckpt_torchscale", kRetnetF64, kRetnetF32, &Checkpoint}) &&
    RegisterFamily(
        {"retnet/ckpt_syncdoth", kRetnetF64, kRetnetF32, &Checkpoint}) &&
    RegisterFamily(
        {"retnet/ckpt_expected", kRetnetF64, kRetnetF32, &Expected}) &&
    RegisterFamily(
        {"retnet/ckpt_fla", kRetnetF64, kRetnetF32, &FlaCheckpoint}) &&
    RegisterFamily(
        {"retnet/ckpt_fla_expected", kRetnetF64, kRetnetF32, &FlaExpected});

}  // namespace
}  // namespace septet
