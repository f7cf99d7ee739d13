// SPDX-License-Identifier: Apache-2.0
// Writes the tables of verdicts in READMEs, or checks them; see
// readme_tables.h.
//
//   bazel run //tools:verdict_table -- baselines/README.md
#include <iostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/config/command_line.h"
#include "septet/core/experiment/readme_tables.h"
#include "septet/core/experiment/verdict_table_flags.pb.h"

namespace septet {
namespace {

absl::Status VerdictTable(const VerdictTableFlags& flags,
                          const std::vector<std::string>& readmes) {
  if (readmes.empty()) return UsageError("expected a README");
  for (const std::string& readme : readmes) {
    const std::string path = ResolveUserPath(readme);
    if (flags.check()) {
      SEPTET_RETURN_IF_ERROR(CheckReadmeTables(path));
      continue;
    }
    SEPTET_ASSIGN_OR_RETURN(const ReadmeTables tables, MakeReadmeTables(path));
    SEPTET_RETURN_IF_ERROR(WriteFileAtomically(path, tables.text));
    std::cout << path << ": " << tables.paths.size()
              << (tables.paths.size() == 1 ? " table" : " tables") << std::endl;
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace septet

int main(int argc, char** argv) {
  septet::VerdictTableFlags flags;
  septet::ToolSpec tool;
  tool.name = "verdict_table";
  tool.summary =
      "Writes the tables between <!-- verdict: FILE --> and <!-- end --> in "
      "READMEs.";
  tool.arguments = "README...";
  tool.flags = &flags;
  return septet::RunTool(tool, argc, argv,
                         [&](const std::vector<std::string>& readmes) {
                           return septet::VerdictTable(flags, readmes);
                         });
}
