// SPDX-License-Identifier: Apache-2.0
// Runs cases and says what became of them.
//
//   SEPTET_ASSIGN_OR_RETURN(std::vector<std::string> files,
//                           FindCaseFiles({"golden"}));
//   for (const std::string& file : files) {
//     const CaseResult result = RunCaseFile(file, {DType::kF32});
//     std::cout << result.ToString();
//   }
//
// A case passes if its file could be read, its family is known, the adapter
// found all it needed, every expected tensor agrees within the tolerance, at
// least one was compared, no tensor was left unused, and no op fell back to its
// composite although it has kernels.
#ifndef SEPTET_CORE_CONFORMANCE_RUNNER_H_
#define SEPTET_CORE_CONFORMANCE_RUNNER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/conformance/case.h"
#include "septet/core/conformance/family.h"
#include "septet/core/tensor/dtype.h"

namespace septet {

struct RunOptions {
  DType dtype = DType::kF64;  // f64 or f32: what floating inputs are rounded to
  // Run the formula of each op that has one instead of its kernel.
  bool reference = false;
};

struct CaseResult {
  std::string path;
  std::string family;  // empty if the file could not be read
  DType dtype = DType::kF64;
  std::vector<TensorResult> tensors;  // in the order of the adapter
  std::vector<std::string> ignored;   // tensors that the family has no use for
  std::vector<std::string> dispatch;  // as DispatchTrace has them
  std::vector<std::string> failures;  // a sentence each

  bool passed() const { return failures.empty(); }

  // Several lines: PASS or FAIL with family, dtype and path, a line a tensor
  // with its worst error and what is allowed, what is ignored, the dispatch,
  // the failures.
  std::string ToString() const;
};

CaseResult RunCase(Case* file, const RunOptions& options);
CaseResult RunCaseFile(absl::string_view path, const RunOptions& options);

// The case files that `paths` stand for: a directory for all *.safetensors in
// it and in those below it, anything else for itself, be it there or not (to
// run it says so). Sorted, and each once, however often it is named or linked
// to.
// Errors: InvalidArgument for no paths; NotFound for a directory without any
// such file; else what the system says of a directory.
absl::StatusOr<std::vector<std::string>> FindCaseFiles(
    const std::vector<std::string>& paths);

}  // namespace septet

#endif  // SEPTET_CORE_CONFORMANCE_RUNNER_H_
