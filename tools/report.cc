// SPDX-License-Identifier: Apache-2.0
// A tree of run folders as one HTML page that needs nothing but itself.
//
//   bazel run //tools:report -- septet_runs
#include <iostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/config/command_line.h"
#include "septet/core/experiment/html_report.h"
#include "septet/tools/report_flags.pb.h"

namespace septet {
namespace {

absl::Status Report(const ReportFlags& flags,
                    const std::vector<std::string>& folders) {
  if (folders.size() > 1) {
    return UsageError(
        absl::StrCat("expected one folder, got ", folders.size()));
  }
  const std::string folder =
      ResolveUserPath(folders.empty() ? "septet_runs" : folders[0]);
  const std::string out = flags.out().empty() ? folder + "/report.html"
                                              : ResolveUserPath(flags.out());
  const size_t slash = out.rfind('/');
  SEPTET_ASSIGN_OR_RETURN(
      const std::string page,
      HtmlReport(folder,
                 slash == std::string::npos ? "." : out.substr(0, slash + 1),
                 std::cerr));
  SEPTET_RETURN_IF_ERROR(WriteFileAtomically(out, page));
  std::cout << out << std::endl;
  return absl::OkStatus();
}

}  // namespace
}  // namespace septet

int main(int argc, char** argv) {
  septet::ReportFlags flags;
  septet::ToolSpec tool;
  tool.name = "report";
  tool.summary =
      "Makes one HTML page of a tree of run folders: verdicts, figures, "
      "manifests.\nWithout a folder: of septet_runs.";
  tool.arguments = "[FOLDER]";
  tool.flags = &flags;
  return septet::RunTool(tool, argc, argv,
                         [&](const std::vector<std::string>& folders) {
                           return septet::Report(flags, folders);
                         });
}
