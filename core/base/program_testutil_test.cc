// SPDX-License-Identifier: Apache-2.0
#include "septet/core/base/program_testutil.h"

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"

namespace septet {
namespace {

using ::testing::EndsWith;
using ::testing::Eq;
using ::testing::HasSubstr;

TEST(ProgramTestutilTest, GivesExitCodeAndBothOutputs) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      ProgramResult result,
      RunProgram({"/bin/sh", "-c", "cat; echo out; echo err >&2; exit 3"}));
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_EQ(result.out, "out\n");
  EXPECT_EQ(result.err, "err\n");
  SEPTET_ASSERT_OK_AND_ASSIGN(result, RunProgram({"/bin/sh", "-c", ":"}));
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out, "");
  SEPTET_ASSERT_OK_AND_ASSIGN(result,
                              RunProgram({"/bin/sh", "-c", "kill -9 $$"}));
  EXPECT_EQ(result.exit_code, 128 + 9);
}

TEST(ProgramTestutilTest, ProgramThatIsNotThereIsAnError) {
  EXPECT_THAT(RunProgram({"/gone/program"}),
              StatusIs(absl::StatusCode::kNotFound,
                       HasSubstr("cannot start /gone/program")));
  EXPECT_THAT(RunProgram({}), StatusIs(absl::StatusCode::kInvalidArgument,
                                       Eq("expected a program, got nothing")));
}

TEST(ProgramTestutilTest, RunfilesAreBelowTheWorkspace) {
  EXPECT_THAT(Runfile("a/b"), EndsWith("/septet/a/b"));
}

}  // namespace
}  // namespace septet
