// SPDX-License-Identifier: Apache-2.0
// The tables of verdicts in a README: what stands between
//
//   <!-- verdict: results/recall/standard/verdict.json -->
//   <!-- end -->
//
// is VerdictMarkdown() of that file (verdict_table.h), whose path is relative
// to the README. A package writes them with
//
//   bazel run //tools:verdict_table -- retention/README.md
//
// and holds them to the files with septet_verdict_test (bazel/septet.bzl). Each
// mark is a line of its own; those within ``` are text.
#ifndef SEPTET_CORE_EXPERIMENT_README_TABLES_H_
#define SEPTET_CORE_EXPERIMENT_README_TABLES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace septet {

struct ReadmeTables {
  std::string text;  // the README with its tables as they should be
  std::vector<std::string> paths;  // of the verdicts, relative, in order
};

// The README at `path` with the tables that its files give. Errors: those of
// ReadVerdict; InvalidArgument with path and line for a mark without its other
// half, a path that leaves the folder, or a verdict that lies elsewhere than
// its experiment and preset say (".../<last part of the name>/<preset>/").
absl::StatusOr<ReadmeTables> MakeReadmeTables(absl::string_view path);

// OK if the README at `path` has those tables, at least one, and no
// verdict.json below results/ beside it is left out. Errors: those above;
// FailedPrecondition with the first line that differs, as it is and as it
// should be, and the command that mends it.
absl::Status CheckReadmeTables(absl::string_view path);

}  // namespace septet

#endif  // SEPTET_CORE_EXPERIMENT_README_TABLES_H_
