// SPDX-License-Identifier: Apache-2.0
// Runs a program of this repository from a test.
//
//   SEPTET_ASSERT_OK_AND_ASSIGN(
//       ProgramResult result,
//       RunProgram({Runfile("tools/reproduce"), "--list"}));
//   EXPECT_EQ(result.exit_code, 0) << result.err;
//
// The test's target names the program in `data`.
#ifndef SEPTET_CORE_BASE_PROGRAM_TESTUTIL_H_
#define SEPTET_CORE_BASE_PROGRAM_TESTUTIL_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace septet {

struct ProgramResult {
  int exit_code = 0;  // 128 and the number of the signal that ended it
  std::string out;    // standard output
  std::string err;    // standard error
};

// Path of a file of this repository among the data of the running test.
std::string Runfile(absl::string_view path);

// Runs argv[0], a path, to its end, with the environment of the test and an
// empty standard input. Errors: InvalidArgument for no path, those of the
// system for a program that cannot be started.
absl::StatusOr<ProgramResult> RunProgram(const std::vector<std::string>& argv);

}  // namespace septet

#endif  // SEPTET_CORE_BASE_PROGRAM_TESTUTIL_H_
