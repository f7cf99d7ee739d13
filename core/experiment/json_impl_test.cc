// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/json_impl.h"

#include <cmath>
#include <limits>
#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/io/json_object.h"
#include "septet/core/io/json_value.h"

namespace septet {
namespace experiment_internal {
namespace {

using ::testing::Eq;

TEST(IndentJsonTest, AFieldALine) {
  EXPECT_EQ(IndentJson(R"({"a":1,"b":{},"c":[],"d":[1,{"e":"x,:{\"}\\"}]})"),
            R"({
  "a": 1,
  "b": {},
  "c": [],
  "d": [
    1,
    {
      "e": "x,:{\"}\\"
    }
  ]
}
)");
  EXPECT_EQ(IndentJson("{}"), "{}\n");
}

TEST(AnyNumberTest, GoesBothWays) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  JsonObject object;
  SetAnyNumber(&object, "a", 0.1);
  SetAnyNumber(&object, "b", kInf);
  SetAnyNumber(&object, "c", -kInf);
  SetAnyNumber(&object, "d", std::nan(""));
  SEPTET_ASSERT_OK_AND_ASSIGN(std::string text, object.Text());
  SEPTET_ASSERT_OK_AND_ASSIGN(JsonValue value, JsonValue::Parse(text, "x"));
  EXPECT_EQ(GetAnyNumber(value, "a").value(), 0.1);
  EXPECT_EQ(GetAnyNumber(value, "b").value(), kInf);
  EXPECT_EQ(GetAnyNumber(value, "c").value(), -kInf);
  SEPTET_ASSERT_OK_AND_ASSIGN(double d, GetAnyNumber(value, "d"));
  EXPECT_TRUE(std::isnan(d));
}

TEST(AnyNumberTest, OtherTextsAreErrors) {
  SEPTET_ASSERT_OK_AND_ASSIGN(JsonValue value,
                              JsonValue::Parse(R"({"a":"nan","b":[]})", "x"));
  EXPECT_THAT(GetAnyNumber(value, "a"),
              StatusIs(absl::StatusCode::kDataLoss,
                       Eq("x: field 'a' is 'nan', expected a number, 'NaN', "
                          "'Infinity' or '-Infinity'")));
  EXPECT_EQ(GetAnyNumber(value, "b").status().code(),
            absl::StatusCode::kDataLoss);
  EXPECT_EQ(GetAnyNumber(value, "c").status().code(),
            absl::StatusCode::kNotFound);
}

TEST(GetLineTest, WantsOneLine) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      JsonValue value,
      JsonValue::Parse(R"({"a":"x y","b":"x\ny","c":""})", "x"));
  EXPECT_EQ(GetLine(value, "a").value(), "x y");
  EXPECT_THAT(GetLine(value, "b"),
              StatusIs(absl::StatusCode::kDataLoss,
                       Eq("x: field 'b' is 'x\\ny', expected a line of text")));
  EXPECT_EQ(GetLine(value, "c").status().code(), absl::StatusCode::kDataLoss);
}

TEST(ReadJsonFileTest, RefusesLargeFiles) {
  const std::string path = ::testing::TempDir() + "/large.json";
  SEPTET_ASSERT_OK(WriteFileAtomically(path, std::string(1048577, ' ')));
  EXPECT_THAT(ReadJsonFile(path),
              StatusIs(absl::StatusCode::kDataLoss,
                       Eq(path + ": has 1048577 bytes, expected at most "
                                 "1048576")));
  EXPECT_EQ(ReadJsonFile(path + "x").status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace experiment_internal
}  // namespace septet
