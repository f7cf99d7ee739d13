// SPDX-License-Identifier: Apache-2.0
#include "septet/core/config/setter.h"

#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/config/test_options.pb.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::Eq;

TEST(SetterTest, SetsEveryKind) {
  TestOptions options;
  SEPTET_ASSERT_OK(SetOptions(
      &options,
      {"layers=6", "tokens=-0", "heads=4294967295", "seed=18446744073709551614",
       "rate=2.5e-4", "causal=false", "name=run=1, \"quoted\"",
       "attention.kind=retention", "attention.dropout=0", "rates=0.1, 1e-3,inf",
       "widths=64,32,1024", "files=a.txt,,b c", "kinds=cope, softmax",
       "flips=1,0,true,false", "constant_steps=7"}));
  EXPECT_EQ(options.layers(), 6);
  EXPECT_EQ(options.tokens(), 0);
  EXPECT_EQ(options.heads(), 4294967295u);
  EXPECT_EQ(options.seed(), 18446744073709551614u);
  EXPECT_EQ(options.rate(), 2.5e-4);
  EXPECT_FALSE(options.causal());
  EXPECT_EQ(options.name(), "run=1, \"quoted\"");
  EXPECT_EQ(options.attention().kind(), TestAttentionOptions::retention);
  EXPECT_EQ(options.attention().dropout(), 0);
  EXPECT_THAT(options.rates(),
              ElementsAre(0.1, 1e-3, std::numeric_limits<double>::infinity()));
  EXPECT_THAT(options.widths(), ElementsAre(64, 32, 1024));
  EXPECT_THAT(options.files(), ElementsAre("a.txt", "", "b c"));
  EXPECT_THAT(options.kinds(), ElementsAre(TestAttentionOptions::cope,
                                           TestAttentionOptions::softmax));
  EXPECT_THAT(options.flips(), ElementsAre(true, false, true, false));
  EXPECT_EQ(options.constant_steps(), 7);
}

TEST(SetterTest, ListIsReplacedAndLaterValueHolds) {
  TestOptions options;
  SEPTET_ASSERT_OK(SetOptions(&options, {"widths=1,2,3", "layers=5"}));
  SEPTET_ASSERT_OK(SetOptions(&options, {"widths=4", "layers=6", "layers=7"}));
  EXPECT_THAT(options.widths(), ElementsAre(4));
  EXPECT_EQ(options.layers(), 7);
  SEPTET_ASSERT_OK(SetOption(&options, "widths="));
  EXPECT_THAT(options.widths(), ElementsAre());
  SEPTET_ASSERT_OK(SetOption(&options, "name="));
  EXPECT_TRUE(options.has_name());
}

TEST(SetterTest, MessageInAListIsNamedByIndex) {
  TestOptions options;
  options.add_hidden()->set_width(8);
  options.add_hidden()->set_width(9);
  SEPTET_ASSERT_OK(SetOption(&options, "hidden.1.width=12"));
  EXPECT_EQ(options.hidden(0).width(), 8);
  EXPECT_EQ(options.hidden(1).width(), 12);
}

struct BadCase {
  std::string assignment;
  std::string message;
};

TEST(SetterTest, SaysWhatIsWrong) {
  const std::string names =
      "(there are: layers, tokens, heads, seed, rate, causal, name, "
      "attention, rates, widths, files, kinds, flips, hidden, "
      "constant_steps, warmup)";
  const std::vector<BadCase> cases = {
      {"", R"(expected name=value, got "")"},
      {"layers", R"(expected name=value, got "layers")"},
      {"=3", R"(expected name=value, got "=3")"},
      {"layrs=3", R"(layrs: no option "layrs"; nearest is "layers" )" + names},
      {"zzzzzzzz=3", R"(zzzzzzzz: no option "zzzzzzzz" )" + names},
      {"layers =3",
       R"(layers : no option "layers "; nearest is "layers" )" + names},
      {"attention.knd=cope",
       R"(attention.knd: no option "knd" in attention; nearest is "kind" )"
       "(there are: kind, dropout)"},
      {"attention.=cope",
       R"(attention.: no option "" in attention (there are: kind, dropout))"},
      {"attention=cope",
       "attention: is a group of options; set one of attention.kind, "
       "attention.dropout"},
      {"layers.x=3", "layers.x: layers is int32 and has no options in it"},
      {"layers=3.5",
       "layers: expected int32 from -2147483648 to 2147483647, got \"3.5\""},
      {"layers=",
       "layers: expected int32 from -2147483648 to 2147483647, "
       "got \"\""},
      {"layers=2147483648",
       "layers: expected int32 from -2147483648 to 2147483647, got "
       "\"2147483648\""},
      {"layers=97", "layers: expected 1 to 96, got 97"},
      {"layers=0", "layers: expected 1 to 96, got 0"},
      {"tokens=-1", "tokens: expected at least 0, got -1"},
      {"tokens=9223372036854775808",
       "tokens: expected int64 from -9223372036854775808 to "
       "9223372036854775807, got \"9223372036854775808\""},
      {"heads=-1", "heads: expected uint32 from 0 to 4294967295, got \"-1\""},
      {"seed=18446744073709551616",
       "seed: expected uint64 from 0 to 18446744073709551615, got "
       "\"18446744073709551616\""},
      {"rate=fast", "rate: expected double, got \"fast\""},
      {"rate=0", "rate: expected above 0 1/step, got 0"},
      {"rate=nan", "rate: expected a number, got nan"},
      {"rate=1e999", "rate: expected double of at most 1.8e308, got \"1e999\""},
      {"attention.dropout=1",
       "attention.dropout: expected 0 to below 1, got 1"},
      {"causal=yes", "causal: expected true, false, 1 or 0, got \"yes\""},
      {"attention.kind=COPE",
       R"(attention.kind: no value "COPE"; nearest is "cope" )"
       "(there are: softmax, cope, retention)"},
      {"widths=1,x,3",
       "widths: element 1: expected int32 from -2147483648 to 2147483647, "
       "got \"x\""},
      {"widths=1,2000", "widths: element 1: expected 1 to 1024, got 2000"},
      {"widths=1,",
       "widths: element 1: expected int32 from -2147483648 to "
       "2147483647, got \"\""},
      {"hidden=3",
       "hidden: is a list of groups of options; set one of "
       "hidden.<i>.width"},
      {"hidden.0=3", "hidden.0: is a group of options; set one of width"},
      {"hidden.1.width=3",
       "hidden.1.width: hidden is a list of 1 group of options: expected an "
       "index from 0 to 0, got \"1\""},
      {"hidden.-1.width=3",
       "hidden.-1.width: hidden is a list of 1 group of options: expected an "
       "index from 0 to 0, got \"-1\""},
      {"schema_version=3",
       "schema_version: schema_version cannot be set; this program speaks 2"},
  };
  TestOptions options;
  options.set_layers(7);
  options.add_hidden();
  const std::string before = options.SerializeAsString();
  for (const BadCase& bad : cases) {
    EXPECT_THAT(SetOption(&options, bad.assignment),
                StatusIs(absl::StatusCode::kInvalidArgument, Eq(bad.message)))
        << bad.assignment;
    EXPECT_EQ(options.SerializeAsString(), before) << bad.assignment;
  }
}

TEST(SetterTest, ReportsAllErrorsAndSetsNothing) {
  TestOptions options;
  EXPECT_THAT(
      SetOptions(&options, {"layers=5", "layers=x", "name=a", "heads=-2"}),
      StatusIs(absl::StatusCode::kInvalidArgument,
               Eq("layers: expected int32 from -2147483648 to 2147483647, got "
                  "\"x\"\nheads: expected uint32 from 0 to 4294967295, got "
                  "\"-2\"")));
  EXPECT_FALSE(options.has_layers());
  EXPECT_FALSE(options.has_name());
}

// Every int32 within the bounds is accepted, every other refused.
TEST(SetterTest, BoundsAreExact) {
  for (int layers = -3; layers <= 100; ++layers) {
    TestOptions options;
    const absl::Status status =
        SetOption(&options, absl::StrCat("layers=", layers));
    EXPECT_EQ(status.ok(), layers >= 1 && layers <= 96) << layers;
    TestOptions forced;
    forced.set_layers(layers);
    EXPECT_EQ(ValidateOptions(forced).ok(), status.ok()) << layers;
  }
}

TEST(ValidateTest, AcceptsDefaults) {
  SEPTET_EXPECT_OK(ValidateOptions(TestOptions()));
}

TEST(ValidateTest, NamesEveryBadValueInFull) {
  TestOptions options;
  options.set_layers(0);
  options.set_rate(std::numeric_limits<double>::quiet_NaN());
  options.mutable_attention()->set_dropout(1.5);
  options.add_widths(3);
  options.add_widths(-3);
  options.add_hidden()->set_width(3);
  options.add_hidden()->set_width(5000);
  EXPECT_THAT(
      ValidateOptions(options),
      StatusIs(absl::StatusCode::kInvalidArgument,
               Eq("layers: expected 1 to 96, got 0\n"
                  "rate: expected a number, got nan\n"
                  "attention.dropout: expected 0 to below 1, got 1.5\n"
                  "widths.1: expected 1 to 1024, got -3\n"
                  "hidden.1.width: expected 1 to 4096 neurons, got 5000")));
}

TEST(ValidateTest, RefusesAnotherSchemaVersionBeforeAllElse) {
  TestOptions options;
  options.set_layers(0);
  options.set_schema_version(3);
  EXPECT_THAT(ValidateOptions(options),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       Eq("schema_version: this program speaks version 2 of "
                          "septet.TestOptions, got 3")));
  options.set_schema_version(2);
  options.set_layers(1);
  SEPTET_EXPECT_OK(ValidateOptions(options));
}

TEST(ValidateTest, RefusesFieldsOfANewerProgram) {
  TestAttentionOptions options;
  // Field 2 as TestLayerOptions does not have it.
  options.set_dropout(0.5);
  TestLayerOptions other;
  ASSERT_TRUE(other.ParseFromString(options.SerializeAsString()));
  EXPECT_THAT(ValidateOptions(other),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       Eq("septet.TestLayerOptions: a field or enum value with "
                          "number 2 that this program does not know")));
}

}  // namespace
}  // namespace septet
