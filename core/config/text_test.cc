// SPDX-License-Identifier: Apache-2.0
#include "septet/core/config/text.h"

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/config/test_options.pb.h"

namespace septet {
namespace {

using ::google::protobuf::util::MessageDifferencer;
using ::testing::Eq;
using ::testing::HasSubstr;

std::string WriteFile(const std::string& name, const std::string& text) {
  const std::string path = absl::StrCat(std::getenv("TEST_TMPDIR"), "/", name);
  SEPTET_EXPECT_OK(WriteFileAtomically(path, text));
  return path;
}

TEST(CompleteTest, WritesEveryFieldWithItsDefault) {
  TestOptions options;
  options.set_layers(6);
  options.add_hidden();
  EXPECT_EQ(PrintOptions(CompleteOptions(options)), R"(schema_version: 2
layers: 6
tokens: 10000000000
heads: 2
seed: 18446744073709551615
rate: 0.001
causal: true
name: ""
attention {
  kind: cope
  dropout: 0.1
}
hidden {
  width: 16
}
)");
  EXPECT_FALSE(options.has_tokens());
}

TEST(CompleteTest, CompletesTheMemberOfAOneofThatIsSet) {
  TestOptions options;
  options.mutable_warmup();
  const TestOptions complete = CompleteOptions(options);
  EXPECT_TRUE(complete.warmup().has_width());
  options.set_constant_steps(3);
  EXPECT_EQ(CompleteOptions(options).schedule_case(),
            TestOptions::kConstantSteps);
}

// No singular field outside a oneof is left unset, and the values are those
// that a reader of the incomplete message sees.
TEST(CompleteTest, LeavesNothingUnsetAndChangesNoValue) {
  const TestOptions complete = CompleteOptions(TestOptions());
  const auto* reflection = complete.GetReflection();
  for (int i = 0; i < complete.GetDescriptor()->field_count(); ++i) {
    const auto* field = complete.GetDescriptor()->field(i);
    if (field->is_repeated() || field->containing_oneof()) continue;
    EXPECT_TRUE(reflection->HasField(complete, field)) << field->full_name();
  }
  EXPECT_TRUE(MessageDifferencer::Equivalent(complete, TestOptions()));
  EXPECT_TRUE(MessageDifferencer::Equals(CompleteOptions(complete), complete));
}

TEST(TextTest, PrintedOptionsReadBackEqual) {
  TestOptions options;
  options.set_name("a \"b\"\n\\ \xc3\xa4");
  for (double rate : {0.1, 1.0 / 3, 5e-324, 1.7976931348623157e308, 1e22}) {
    options.add_rates(rate);
  }
  options.add_kinds(TestAttentionOptions::softmax);
  options.mutable_warmup()->set_width(2);
  const TestOptions complete = CompleteOptions(options);
  TestOptions back;
  SEPTET_ASSERT_OK(ParseOptions(PrintOptions(complete), "record", &back));
  EXPECT_TRUE(MessageDifferencer::Equals(back, complete));
}

TEST(TextTest, ReadingReplacesWhatWasThere) {
  TestOptions options;
  options.set_layers(9);
  options.add_widths(3);
  const std::string path =
      WriteFile("good.textproto", "# A comment.\nwidths: [1, 2] heads: 5\n");
  SEPTET_ASSERT_OK(ReadOptionsFile(path, &options));
  EXPECT_FALSE(options.has_layers());
  EXPECT_THAT(options.widths(), ::testing::ElementsAre(1, 2));
  EXPECT_EQ(options.heads(), 5u);
}

void ExpectParseError(const std::string& text, const std::string& message,
                      absl::StatusCode code) {
  TestOptions options;
  options.set_layers(9);
  EXPECT_THAT(ParseOptions(text, "x", &options), StatusIs(code, Eq(message)));
  EXPECT_EQ(options.layers(), 9) << text;
}

TEST(TextTest, ErrorsNameThePlaceAndTheNearestName) {
  const auto kInvalid = absl::StatusCode::kInvalidArgument;
  ExpectParseError(
      "layers: 3\nattention {\n  knd: cope\n  dopout: 0.5\n}\n",
      "x:3:6: no option \"knd\" in septet.TestAttentionOptions; nearest is "
      "\"kind\" (there are: kind, dropout)\n"
      "x:4:9: no option \"dopout\" in septet.TestAttentionOptions; nearest is "
      "\"dropout\" (there are: kind, dropout)",
      kInvalid);
  ExpectParseError("attention { kind: kope }",
                   "x:1:24: kind: no value \"kope\"; nearest is \"cope\" "
                   "(there are: softmax, cope, retention)",
                   kInvalid);
  ExpectParseError("layers: 3\nlayers: 4\n",
                   "x:2:7: Non-repeated field \"layers\" is specified multiple "
                   "times.",
                   kInvalid);
  ExpectParseError("layers: many", "x:1:9: Expected integer, got: many",
                   kInvalid);
  ExpectParseError("layers: 99999999999",
                   "x:1:9: Integer out of range (99999999999)", kInvalid);
  ExpectParseError("layers: 97", "x: layers: expected 1 to 96, got 97",
                   kInvalid);
}

TEST(TextTest, AnotherSchemaVersionIsSaidBeforeAllElse) {
  const std::string old = PrintOptions(CompleteOptions(TestOptionsOld()));
  EXPECT_THAT(old, HasSubstr("blocks: 4"));
  ExpectParseError(old,
                   "x: schema_version: this program speaks version 2 of "
                   "septet.TestOptions, got 1",
                   absl::StatusCode::kFailedPrecondition);
}

TEST(TextTest, HostileTextIsAnError) {
  for (const std::string& text : std::vector<std::string>{
           "{", "}", "layers", "layers:", "\"", std::string(1, '\0'),
           "\xff\xfe", "[a.b.c]: 3", "attention <", "name: 'unfinished",
           std::string(100000, '{'), std::string(100000, '<')}) {
    TestOptions options;
    EXPECT_THAT(ParseOptions(text, "x", &options),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("x:")))
        << text.substr(0, 40);
  }
}

// Groups that nobody knows are skipped by recursion; far too deep a text must
// not reach the end of the stack.
TEST(TextTest, DeeplyNestedTextIsAnError) {
  for (const char* open : {"a{", "a<", "a:{", "a:[{"}) {
    std::string text;
    while (text.size() < (1 << 20) - 8) text += open;
    TestOptions options;
    EXPECT_THAT(ParseOptions(text, "x", &options),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("x:")))
        << open;
  }
}

TEST(TextTest, FileErrorsNameThePath) {
  TestOptions options;
  const std::string dir = std::getenv("TEST_TMPDIR");
  EXPECT_THAT(ReadOptionsFile(dir + "/gone", &options),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(dir + "/gone")));
  EXPECT_THAT(ReadOptionsFile(dir, &options),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(dir)));
  const std::string path =
      WriteFile("large", "name: '" + std::string(1 << 20, 'x') + "'");
  EXPECT_THAT(ReadOptionsFile(path, &options),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       Eq(path + ": is larger than the 1048576 bytes that an "
                                 "options file may have")));
}

}  // namespace
}  // namespace septet
