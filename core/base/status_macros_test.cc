// SPDX-License-Identifier: Apache-2.0
#include "septet/core/base/status_macros.h"

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"

namespace septet {
namespace {

using ::testing::Eq;

absl::StatusOr<std::unique_ptr<int>> Parse(bool good) {
  if (!good) return absl::DataLossError("bad digit");
  return std::make_unique<int>(7);
}

absl::StatusOr<int> Plain(bool good) {
  SEPTET_ASSIGN_OR_RETURN(std::unique_ptr<int> value, Parse(good));
  return *value;
}

absl::StatusOr<int> WithContext(bool good) {
  SEPTET_ASSIGN_OR_RETURN(auto value, Parse(good), _ << "line " << 3);
  return *value;
}

absl::Status OnlyStatus(bool good) {
  SEPTET_RETURN_IF_ERROR(Parse(good)) << "in "
                                      << "x.txt";
  return absl::OkStatus();
}

TEST(StatusMacrosTest, PassValuesOn) {
  SEPTET_ASSERT_OK_AND_ASSIGN(int value, Plain(true));
  EXPECT_EQ(value, 7);
  SEPTET_EXPECT_OK(WithContext(true));
  SEPTET_EXPECT_OK(OnlyStatus(true));
}

TEST(StatusMacrosTest, PassErrorsOnWithContext) {
  EXPECT_THAT(Plain(false),
              StatusIs(absl::StatusCode::kDataLoss, Eq("bad digit")));
  EXPECT_THAT(WithContext(false),
              StatusIs(absl::StatusCode::kDataLoss, Eq("line 3: bad digit")));
  EXPECT_THAT(OnlyStatus(false),
              StatusIs(absl::StatusCode::kDataLoss, Eq("in x.txt: bad digit")));
}

TEST(StatusMacrosTest, AnnotationKeepsPayloads) {
  absl::Status status = absl::InternalError("x");
  status.SetPayload("url", absl::Cord("payload"));
  const absl::Status annotated = AnnotateStatus(status, "here");
  EXPECT_EQ(annotated.message(), "here: x");
  EXPECT_EQ(annotated.GetPayload("url"), absl::Cord("payload"));
  SEPTET_EXPECT_OK(AnnotateStatus(absl::OkStatus(), "here"));
}

TEST(StatusTestutilTest, MatchersTellCodesApart) {
  EXPECT_THAT(absl::NotFoundError("a"), ::testing::Not(IsOk()));
  EXPECT_THAT(absl::NotFoundError("a"),
              ::testing::Not(StatusIs(absl::StatusCode::kInternal, Eq("a"))));
}

}  // namespace
}  // namespace septet
