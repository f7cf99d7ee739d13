// SPDX-License-Identifier: Apache-2.0
// GoogleTest matchers for absl::Status and absl::StatusOr.
//
//   SEPTET_EXPECT_OK(Save(path));
//   SEPTET_ASSERT_OK_AND_ASSIGN(Tensor x, Load(path));
//   EXPECT_THAT(Load("gone"), StatusIs(absl::StatusCode::kNotFound,
//                                      HasSubstr("gone")));
#ifndef SEPTET_CORE_BASE_STATUS_TESTUTIL_H_
#define SEPTET_CORE_BASE_STATUS_TESTUTIL_H_

#include <ostream>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace septet {
namespace base_internal {

inline const absl::Status& TestStatus(const absl::Status& status) {
  return status;
}
template <typename T>
const absl::Status& TestStatus(const T& result) {
  return result.status();
}

}  // namespace base_internal

// Matches anything with a status: absl::Status, absl::StatusOr, or a type with
// a status() member.
MATCHER(IsOk, negation ? "is an error" : "is OK") {
  const absl::Status& status = base_internal::TestStatus(arg);
  *result_listener << status.ToString();
  return status.ok();
}

MATCHER_P2(StatusIs, code, message,
           std::string("has the code ") + absl::StatusCodeToString(code)) {
  const absl::Status& status = base_internal::TestStatus(arg);
  *result_listener << status.ToString();
  return status.code() == code &&
         ::testing::ExplainMatchResult(message, std::string(status.message()),
                                       result_listener);
}

}  // namespace septet

#define SEPTET_EXPECT_OK(expression) EXPECT_THAT(expression, ::septet::IsOk())
#define SEPTET_ASSERT_OK(expression) ASSERT_THAT(expression, ::septet::IsOk())

#define SEPTET_TESTUTIL_CONCAT_INNER_(a, b) a##b
#define SEPTET_TESTUTIL_CONCAT_(a, b) SEPTET_TESTUTIL_CONCAT_INNER_(a, b)
#define SEPTET_ASSERT_OK_AND_ASSIGN_(result, lhs, expression) \
  auto result = (expression);                                 \
  ASSERT_THAT(result, ::septet::IsOk());                      \
  lhs = *std::move(result)
#define SEPTET_ASSERT_OK_AND_ASSIGN(lhs, ...)                         \
  SEPTET_ASSERT_OK_AND_ASSIGN_(                                       \
      SEPTET_TESTUTIL_CONCAT_(septet_test_result_, __COUNTER__), lhs, \
      (__VA_ARGS__))

#endif  // SEPTET_CORE_BASE_STATUS_TESTUTIL_H_
