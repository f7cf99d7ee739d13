// SPDX-License-Identifier: Apache-2.0
// Where Bazel has put a file that a program names in `data`.
//
//   SEPTET_ASSIGN_OR_RETURN(const std::string folder,
//                           FindRunfile("dataset_fortunes/fortunes"));
//
// A path begins with its repository ("septet/core/io/testdata/x"). It is looked
// for in $RUNFILES_DIR and $TEST_SRCDIR, which `bazel test` and parents set,
// and in the folder PROGRAM.runfiles beside the program, which is there after
// `bazel build` and under `bazel run`.
#ifndef SEPTET_CORE_BASE_RUNFILE_H_
#define SEPTET_CORE_BASE_RUNFILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace septet {

// The path of that file or folder. Errors: NotFound that says where it was
// looked for; InvalidArgument for an empty or absolute path.
absl::StatusOr<std::string> FindRunfile(absl::string_view path);

}  // namespace septet

#endif  // SEPTET_CORE_BASE_RUNFILE_H_
