// SPDX-License-Identifier: Apache-2.0
// Runs golden cases through the families that are linked in and says how far
// each tensor is from what is expected:
//
//   bazel run //tools:conformance -- --dtype=f32 golden/redshift
//   one.safetensors
//
// Exit codes: 0 all passed, 1 one failed (or is of an unknown family, or holds
// an unused tensor), 2 the command line was wrong.
#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/config/command_line.h"
#include "septet/core/conformance/runner.h"
#include "septet/core/tensor/dtype.h"
#include "septet/tools/conformance_flags.pb.h"

namespace septet {
namespace {

// `*failed` counts the cases that failed: that is a result, not an error, and
// its line is the last that is printed.
absl::Status Conformance(const ConformanceFlags& flags,
                         const std::vector<std::string>& arguments,
                         size_t* failed) {
  if (arguments.empty()) {
    return UsageError("no files: name case files or directories of them");
  }
  if (flags.backend() == ConformanceFlags::emu) {
    return absl::UnimplementedError(
        "--backend=emu is not in this build; there are: cpu, reference");
  }
  std::vector<std::string> paths;
  for (const std::string& argument : arguments) {
    paths.push_back(ResolveUserPath(argument));
  }
  SEPTET_ASSIGN_OR_RETURN(const std::vector<std::string> files,
                          FindCaseFiles(paths));
  RunOptions options;
  options.dtype =
      flags.dtype() == ConformanceFlags::f32 ? DType::kF32 : DType::kF64;
  options.reference = flags.backend() == ConformanceFlags::reference;
  for (const std::string& file : files) {
    const CaseResult result = RunCaseFile(file, options);
    if (!result.passed()) ++*failed;
    std::fputs(result.ToString().c_str(), stdout);
    std::fflush(stdout);
  }
  std::printf("%zu passed, %zu failed\n", files.size() - *failed, *failed);
  std::fflush(stdout);
  return absl::OkStatus();
}

}  // namespace
}  // namespace septet

int main(int argc, char** argv) {
  septet::ConformanceFlags flags;
  septet::ToolSpec tool;
  tool.name = "conformance";
  tool.summary =
      "Runs golden cases (safetensors files) and compares every tensor with "
      "what is\nexpected. A directory stands for all *.safetensors below it.";
  tool.arguments = "FILE|DIR...";
  tool.flags = &flags;
  size_t failed = 0;
  const int code = septet::RunTool(
      tool, argc, argv, [&](const std::vector<std::string>& arguments) {
        return septet::Conformance(flags, arguments, &failed);
      });
  return code == 0 && failed > 0 ? 1 : code;
}
