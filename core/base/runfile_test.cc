// SPDX-License-Identifier: Apache-2.0
#include "septet/core/base/runfile.h"

#include <cstdlib>
#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_testutil.h"

namespace septet {
namespace {

using ::testing::HasSubstr;

constexpr char kThis[] = "septet/core/base/runfile_test.cc";

TEST(RunfileTest, FindsDataOfTheTest) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string path, FindRunfile(kThis));
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string text, ReadFileToString(path));
  EXPECT_THAT(text, HasSubstr("FindsDataOfTheTest"));
  SEPTET_EXPECT_OK(FindRunfile("septet/core/base"));  // a folder
}

TEST(RunfileTest, LooksInTheFolderThatTheParentNames) {
  const std::string folder = std::string(std::getenv("TEST_TMPDIR")) + "/own";
  SEPTET_ASSERT_OK(MakeDirectories(folder + "/data"));
  SEPTET_ASSERT_OK(WriteFileAtomically(folder + "/data/x", "1"));
  EXPECT_THAT(FindRunfile("data/x"), StatusIs(absl::StatusCode::kNotFound,
                                              HasSubstr("no runfile data/x")));
  ASSERT_EQ(setenv("RUNFILES_DIR", folder.c_str(), 1), 0);
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string path, FindRunfile("data/x"));
  EXPECT_EQ(path, folder + "/data/x");
  EXPECT_THAT(FindRunfile("data/y"), StatusIs(absl::StatusCode::kNotFound,
                                              HasSubstr(folder + "/data/y")));
  ASSERT_EQ(unsetenv("RUNFILES_DIR"), 0);
}

TEST(RunfileTest, APathBeginsWithARepository) {
  for (const char* path : {"", "/etc/passwd"}) {
    EXPECT_THAT(FindRunfile(path),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("begins with a repository")));
  }
}

}  // namespace
}  // namespace septet
