// SPDX-License-Identifier: Apache-2.0
#include "septet/core/config/schema.h"

#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/config/test_options.pb.h"

namespace septet {
namespace {

using ::testing::Eq;

TEST(SchemaTest, AcceptsEveryKindOfOption) {
  SEPTET_EXPECT_OK(CheckOptionsSchema(TestOptions::descriptor()));
  SEPTET_EXPECT_OK(CheckOptionsSchema(TestOptionsOld::descriptor()));
}

TEST(SchemaTest, NamesEveryBrokenRule) {
  EXPECT_THAT(CheckOptionsSchema(BadOptions::descriptor()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       Eq(R"(septet.BadOptions: has extensions
septet.BadOptions.rate: is a float, want double
septet.BadOptions.data: has type bytes, want one of int32, int64, uint32, uint64, double, bool, string, enum, message
septet.BadOptions.steps: is required, want optional
septet.BadOptions.undocumented: has no (septet.doc).help
septet.BadOptions.low: default: expected at least 4, got 3
septet.BadOptions.text: bounds and units are for numbers
septet.BadOptions.half: max of an integer must be an integer below 2^53
septet.BadOptions: is inside itself
septet.BadOptions.table: is a map
septet.BadOptions.twice: both min and above
septet.BadOptions.twice: both max and below
septet.BadOptions.nowhere: max is not a number
septet.BadOptions.fixed: has type fixed32, want one of int32, int64, uint32, uint64, double, bool, string, enum, message
septet.BadOptions.versioned: (septet.doc) is for fields that are not messages
septet.BadVersionOptions.schema_version: want optional int32 with a default of at least 1)")));
}

TEST(SchemaTest, HelpListsEveryOption) {
  EXPECT_EQ(
      HelpText(TestOptions::descriptor()),
      R"(  name               type                            default               range              help
  layers             int32                           4                     1 to 96            Blocks.
  tokens             int64                           10000000000           at least 0         Tokens to see.
  heads              uint32                          2                                        Heads of a block.
  seed               uint64                          18446744073709551615                     Seed of all streams.
  rate               double                          0.001                 above 0 1/step     Step size.
  causal             bool                            true                                     Hide the future.
  name               string                          ""                                       Name of the run.
  attention.kind     softmax|cope|retention          cope                                     Form of attention.
  attention.dropout  double                          0.1                   0 to below 1       Chance to drop a value.
  rates              list of double                  []                    above 0            Step sizes to try.
  widths             list of int32                   []                    1 to 1024          Widths to try.
  files              list of string                  []                                       Where to read.
  kinds              list of softmax|cope|retention  []                                       Kinds to try.
  flips              list of bool                    []                                       Sides of a coin.
  hidden.<i>.width   int32                           16                    1 to 4096 neurons  Neurons.
  constant_steps     int32                           0                     at least 0         Steps at one rate.
  warmup.width       int32                           16                    1 to 4096 neurons  Neurons.
)");
}

TEST(SchemaTest, WideCellShiftsOnlyItsOwnLine) {
  OptionInfo wide = {"a", std::string(40, 't'), "1", "", "Help."};
  OptionInfo narrow = {"bb", "bool", "true", "", "More."};
  EXPECT_EQ(OptionTable({wide, narrow}, ""),
            "name  type  default  range  help\n"
            "a     " +
                std::string(40, 't') +
                "  1               Help.\n"
                "bb    bool  true            More.\n");
  EXPECT_EQ(OptionTable({}, "  "), "");
}

}  // namespace
}  // namespace septet
