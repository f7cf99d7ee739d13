// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/json_value.h"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
constexpr auto kNotFound = absl::StatusCode::kNotFound;
using Kind = JsonValue::Kind;

absl::StatusOr<JsonValue> Parse(absl::string_view text) {
  return JsonValue::Parse(text, "x.json");
}

TEST(JsonValueTest, ValuesByType) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const JsonValue row,
      Parse("{\"task\": \"add\", \"prompt\": [5, -3, 0], \"gold\": 2.5,"
            " \"n\": 12, \"ok\": true, \"none\": null, \"scores\": [1, 0.5],"
            " \"words\": [\"caf\\u00e9\", \"\"], \"empty\": [],"
            " \"inner\": {\"a\": [{\"b\": 7}]}}"));
  EXPECT_EQ(row.kind(), Kind::kObject);
  EXPECT_EQ(*row.GetString("task"), "add");
  EXPECT_THAT(*row.GetIntegers("prompt"), ElementsAre(5, -3, 0));
  EXPECT_EQ(*row.GetNumber("gold"), 2.5);
  EXPECT_EQ(*row.GetInteger("n"), 12);
  EXPECT_EQ(*row.GetNumber("n"), 12.0);
  EXPECT_EQ(*row.GetBool("ok"), true);
  EXPECT_EQ(row.Get("none")->kind(), Kind::kNull);
  EXPECT_THAT(*row.GetNumbers("scores"), ElementsAre(1, 0.5));
  EXPECT_THAT(*row.GetStrings("words"), ElementsAre("caf\xc3\xa9", ""));
  EXPECT_THAT(*row.GetIntegers("empty"), IsEmpty());
  EXPECT_TRUE(row.Has("gold"));
  EXPECT_FALSE(row.Has("Gold"));
  EXPECT_THAT(row.names(),
              ElementsAre("empty", "gold", "inner", "n", "none", "ok", "prompt",
                          "scores", "task", "words"));
  SEPTET_ASSERT_OK_AND_ASSIGN(const JsonValue inner, row.Get("inner"));
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<JsonValue> list,
                              inner.GetList("a"));
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(*list[0].GetInteger("b"), 7);
  EXPECT_EQ(list[0].Get("b")->where(), "x.json: field 'inner.a[0].b'");
  EXPECT_EQ(row.where(), "x.json");
}

TEST(JsonValueTest, ValuesOutliveTheText) {
  std::vector<JsonValue> list;
  {
    const JsonValue root = Parse("[[\"kept\"]]").value();
    list = root.List().value();
  }
  EXPECT_EQ(*list[0].List()->front().String(), "kept");
}

TEST(JsonValueTest, Numbers) {
  const auto integer = [](absl::string_view text) {
    return Parse(text)->Integer();
  };
  EXPECT_EQ(*integer("9223372036854775807"),
            std::numeric_limits<int64_t>::max());
  EXPECT_EQ(*integer("-9223372036854775808"),
            std::numeric_limits<int64_t>::min());
  EXPECT_EQ(*integer("-0"), 0);
  EXPECT_THAT(integer("9223372036854775808"),
              StatusIs(kDataLoss,
                       "x.json: is 9223372036854775808, expected an "
                       "integer below 2^63"));
  EXPECT_EQ(*Parse("9223372036854775808")->Number(), 9223372036854775808.0);
  EXPECT_THAT(integer("3.0"),
              StatusIs(kDataLoss, "x.json: is 3, expected an integer"));
  EXPECT_EQ(Parse("1")->kind(), Kind::kInteger);
  EXPECT_EQ(Parse("18446744073709551615")->kind(), Kind::kInteger);
  EXPECT_EQ(Parse("1e2")->kind(), Kind::kNumber);
  // Beyond 64 bits, as other readers do.
  EXPECT_EQ(*Parse("100000000000000000000")->Number(), 1e20);
  EXPECT_EQ(*Parse("2.2250738585072014e-308")->Number(),
            2.2250738585072014e-308);
  EXPECT_EQ(*Parse("1e-999")->Number(), 0.0);
  EXPECT_THAT(Parse("[1e999]"),
              StatusIs(kDataLoss, HasSubstr("is more than a double holds")));
}

TEST(JsonValueTest, OtherTypesAreNamed) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const JsonValue row,
      Parse("{\"list\": [1, \"two\", 2.5], \"text\": \"t\", \"yes\": true, "
            "\"nothing\": null, \"object\": {}}"));
  EXPECT_THAT(row.GetIntegers("list"),
              StatusIs(kDataLoss,
                       "x.json: field 'list[1]' is the text 'two', "
                       "expected an integer"));
  EXPECT_THAT(row.GetNumbers("list"),
              StatusIs(kDataLoss,
                       "x.json: field 'list[1]' is the text 'two', "
                       "expected a number"));
  EXPECT_THAT(
      row.GetStrings("list"),
      StatusIs(kDataLoss, "x.json: field 'list[0]' is 1, expected a text"));
  EXPECT_THAT(row.GetInteger("text"),
              StatusIs(kDataLoss,
                       "x.json: field 'text' is the text 't', "
                       "expected an integer"));
  EXPECT_THAT(
      row.GetNumber("yes"),
      StatusIs(kDataLoss, "x.json: field 'yes' is true, expected a number"));
  EXPECT_THAT(
      row.GetString("nothing"),
      StatusIs(kDataLoss, "x.json: field 'nothing' is null, expected a text"));
  EXPECT_THAT(row.GetBool("list"),
              StatusIs(kDataLoss,
                       "x.json: field 'list' is a list of 3, "
                       "expected true or false"));
  EXPECT_THAT(row.GetList("object"),
              StatusIs(kDataLoss,
                       "x.json: field 'object' is an object, expected a list"));
  for (const char* field : {"object", "text"}) {
    EXPECT_THAT(row.GetIntegers(field),
                StatusIs(kDataLoss, HasSubstr("expected a list of integers")));
    EXPECT_THAT(row.GetNumbers(field),
                StatusIs(kDataLoss, HasSubstr("expected a list of numbers")));
    EXPECT_THAT(row.GetStrings(field),
                StatusIs(kDataLoss, HasSubstr("expected a list of texts")));
  }
  EXPECT_THAT(row.Get("text")->Get("a"),
              StatusIs(kDataLoss,
                       "x.json: field 'text' is the text 't', "
                       "expected an object with the field 'a'"));
  EXPECT_THAT(Parse("[]")->GetInteger("a"),
              StatusIs(kDataLoss,
                       "x.json: is a list of 0, expected an object "
                       "with the field 'a'"));
}

TEST(JsonValueTest, MissingFields) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const JsonValue row,
      Parse("{\"prompt\": [1], \"response\": {\"ids\": []}}"));
  EXPECT_THAT(row.GetIntegers("promt"),
              StatusIs(kNotFound,
                       "x.json: has no field 'promt' among 2; the "
                       "nearest name is 'prompt'"));
  EXPECT_THAT(
      row.Get("response")->GetIntegers("tokens"),
      StatusIs(kNotFound, HasSubstr("x.json: field 'response' has no field "
                                    "'tokens' among 1")));
  EXPECT_THAT(Parse("{}")->Get("a"),
              StatusIs(kNotFound, "x.json: has no field 'a' among 0"));
}

TEST(JsonValueTest, WhatIsNotJson) {
  for (const absl::string_view text :
       {"", " ", "{", "[1,]", "{\"a\":}", "nul", "NaN", "-Infinity", "01",
        "1 2", "'a'", "{\"a\" 1}", "\"\xff\"", "\"open", "[1", "\"\n\"",
        "// no"}) {
    EXPECT_THAT(
        Parse(text),
        StatusIs(kDataLoss, HasSubstr("x.json: not valid JSON at byte")))
        << text;
  }
  EXPECT_THAT(Parse(absl::string_view("1\0", 2)),
              StatusIs(kDataLoss, "x.json: not valid JSON at byte 2"));
}

TEST(JsonValueTest, RepeatedKeys) {
  EXPECT_THAT(Parse("{\"a\": 1, \"b\": {\"a\": 1}, \"a\": 2}"),
              StatusIs(kDataLoss, "x.json: the key 'a' is there twice"));
}

TEST(JsonValueTest, Depth) {
  const int most = JsonValue::kMaxDepth;
  SEPTET_EXPECT_OK(
      Parse(absl::StrCat(std::string(most, '['), std::string(most, ']'))));
  EXPECT_THAT(Parse(absl::StrCat(std::string(most + 1, '['),
                                 std::string(most + 1, ']'))),
              StatusIs(kDataLoss, "x.json: nested deeper than 64"));
  EXPECT_THAT(Parse(std::string(1'000'000, '[')),
              StatusIs(kDataLoss, "x.json: nested deeper than 64"));
}

}  // namespace
}  // namespace septet
