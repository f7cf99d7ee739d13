// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/json_object.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/io/json_value.h"

namespace septet {
namespace {

using ::testing::ElementsAreArray;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST(JsonObjectTest, Fields) {
  JsonObject inner;
  inner.SetBool("ok", false);
  JsonObject row;
  row.SetInteger("step", -10);
  row.SetNumber("loss", 0.25);
  row.SetNumber("whole", 3);
  row.SetString("text", "a \"b\"\n");
  row.SetIntegers("prompt", {5, 3});
  row.SetNumbers("scores", {0.5, 1e30});
  row.SetStrings("words", {"x", "y"});
  row.SetNull("gold");
  row.SetObject("inner", inner);
  row.SetObjects("rows", {inner, JsonObject()});
  row.SetIntegers("none", {});
  row.SetNumbers("no numbers", {});
  row.SetStrings("no words", {});
  row.SetObjects("no rows", {});
  EXPECT_EQ(*row.Text(),
            "{\"step\":-10,\"loss\":0.25,\"whole\":3.0,"
            "\"text\":\"a \\\"b\\\"\\n\",\"prompt\":[5,3],"
            "\"scores\":[0.5,1e+30],\"words\":[\"x\",\"y\"],\"gold\":null,"
            "\"inner\":{\"ok\":false},\"rows\":[{\"ok\":false},{}],"
            "\"none\":[],\"no numbers\":[],\"no words\":[],\"no rows\":[]}");
  EXPECT_EQ(*JsonObject().Text(), "{}");
}

TEST(JsonObjectTest, NumbersComeBack) {
  const std::vector<double> numbers = {
      0.0,
      -0.0,
      0.1,
      1.0 / 3,
      123456789.0,
      1e22,
      9007199254740993.0,
      std::numeric_limits<double>::max(),
      std::numeric_limits<double>::min(),
      std::numeric_limits<double>::denorm_min(),
  };
  JsonObject row;
  row.SetNumbers("x", numbers);
  SEPTET_ASSERT_OK_AND_ASSIGN(const JsonValue read,
                              JsonValue::Parse(*row.Text(), "x"));
  EXPECT_THAT(*read.GetNumbers("x"), ElementsAreArray(numbers));
  const std::vector<JsonValue> values = read.GetList("x").value();
  for (const JsonValue& value : values) {
    EXPECT_EQ(value.kind(), JsonValue::Kind::kNumber);
  }
  EXPECT_TRUE(std::signbit(read.GetNumbers("x")->at(1)));
}

TEST(JsonObjectTest, WhatCannotBeWritten) {
  JsonObject infinite;
  infinite.SetNumber("loss", std::numeric_limits<double>::infinity());
  EXPECT_THAT(
      infinite.Text(),
      StatusIs(kInvalid, "field 'loss': is inf, JSON has no such number"));
  JsonObject nan;
  nan.SetNumbers("losses", {1.0, std::nan("")});
  EXPECT_THAT(
      nan.Text(),
      StatusIs(kInvalid, "field 'losses': is nan, JSON has no such number"));
  JsonObject outer;
  outer.SetInteger("step", 1);
  outer.SetObject("inner", infinite);
  EXPECT_THAT(outer.Text(),
              StatusIs(kInvalid,
                       "field 'inner': field 'loss': is inf, JSON "
                       "has no such number"));
  JsonObject twice;
  twice.SetInteger("a", 1);
  twice.SetString("a", "x");
  EXPECT_THAT(twice.Text(),
              StatusIs(kInvalid, "field 'a': has been set before"));
  JsonObject bytes;
  bytes.SetString("text", "\xff");
  EXPECT_THAT(bytes.Text(),
              StatusIs(kInvalid, "field 'text': \"\\xff\" is not UTF-8"));
  JsonObject name;
  name.SetInteger("\xff", 1);
  EXPECT_THAT(name.Text(),
              StatusIs(kInvalid, "field '\\xff': the name is not UTF-8"));
  // The first is reported.
  name.SetInteger("a", 1);
  name.SetInteger("a", 1);
  EXPECT_THAT(name.Text(),
              StatusIs(kInvalid, "field '\\xff': the name is not UTF-8"));
}

}  // namespace
}  // namespace septet
