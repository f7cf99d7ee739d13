// SPDX-License-Identifier: Apache-2.0
#include "septet/core/base/system_call.h"

#include <cerrno>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"

namespace septet {
namespace {

using ::testing::Eq;

TEST(SystemCallTest, ErrorsHaveOperationPathAndReason) {
  EXPECT_THAT(SystemCallError(ENOENT, "open", "/a/b"),
              StatusIs(absl::StatusCode::kNotFound,
                       Eq("open /a/b: No such file or directory")));
  for (const int error : {ENOSPC, EFBIG, EDQUOT}) {
    EXPECT_EQ(SystemCallError(error, "write", "x").code(),
              absl::StatusCode::kResourceExhausted)
        << error;
  }
}

TEST(SystemCallTest, InterruptedCallsAreRepeatedAndOthersAreNot) {
  int calls = 0;
  EXPECT_EQ(RetrySystemCall([&] {
              errno = EINTR;
              return ++calls < 3 ? -1 : 7;
            }),
            7);
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(RetrySystemCall([&] {
              ++calls;
              errno = EIO;
              return -1;
            }),
            -1);
  EXPECT_EQ(calls, 4);
}

}  // namespace
}  // namespace septet
