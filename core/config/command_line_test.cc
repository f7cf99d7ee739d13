// SPDX-License-Identifier: Apache-2.0
#include "septet/core/config/command_line.h"

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/file.h"
#include "septet/core/base/signals.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/config/test_flags.pb.h"
#include "septet/core/config/test_options.pb.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CommandLineTest : public ::testing::Test {
 protected:
  CommandLineTest() {
    tool_.name = "train";
    tool_.summary = "Trains a model.";
    tool_.arguments = "[FILE]...";
    tool_.flags = &flags_;
    tool_.options = &options_;
  }

  void ExpectError(const std::vector<std::string>& args,
                   const std::string& message) {
    EXPECT_THAT(ParseCommandLine(tool_, args),
                StatusIs(absl::StatusCode::kInvalidArgument, Eq(message)));
  }

  TestFlags flags_;
  TestOptions options_;
  ToolSpec tool_;
};

constexpr char kFlags[] =
    "(there are: --preset, --all, --seeds, --run, --rate, --help, --config, "
    "--set)";

TEST_F(CommandLineTest, NothingIsAllDefaults) {
  SEPTET_ASSERT_OK_AND_ASSIGN(CommandLine line, ParseCommandLine(tool_, {}));
  EXPECT_FALSE(line.help);
  EXPECT_THAT(line.arguments, IsEmpty());
  EXPECT_EQ(flags_.preset(), TestFlags::quick);
  EXPECT_FALSE(flags_.has_preset());
}

TEST_F(CommandLineTest, ReadsEveryForm) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      CommandLine line,
      ParseCommandLine(
          tool_, {"a", "--preset=full", "--seeds", "3", "--all", "b", "--run=x",
                  "--run", "y,z", "--rate", "-0.5", "-", "--set", "layers=6",
                  "--set=attention.kind=softmax", "--", "--seeds", "--"}));
  EXPECT_THAT(line.arguments, ElementsAre("a", "b", "-", "--seeds", "--"));
  EXPECT_EQ(flags_.preset(), TestFlags::full);
  EXPECT_EQ(flags_.seeds(), 3);
  EXPECT_TRUE(flags_.all());
  EXPECT_THAT(flags_.run(), ElementsAre("x", "y", "z"));
  EXPECT_EQ(flags_.rate(), -0.5);
  EXPECT_EQ(options_.layers(), 6);
  EXPECT_EQ(options_.attention().kind(), TestAttentionOptions::softmax);
}

TEST_F(CommandLineTest, BoolsAndRepetition) {
  const auto all = [&](std::vector<std::string> args) {
    flags_.Clear();
    SEPTET_EXPECT_OK(ParseCommandLine(tool_, args));
    return flags_.all();
  };
  EXPECT_TRUE(all({"--all"}));
  EXPECT_TRUE(all({"--all=true"}));
  EXPECT_TRUE(all({"--all=1"}));
  EXPECT_FALSE(all({"--noall"}));
  EXPECT_FALSE(all({"--all=false"}));
  EXPECT_FALSE(all({"--all", "--noall"}));
  EXPECT_TRUE(all({"--noall", "--all"}));
  // The value of a bool is only behind "=".
  EXPECT_TRUE(all({"--all", "false"}));
}

TEST_F(CommandLineTest, SaysWhatIsWrong) {
  const std::string flags = kFlags;
  ExpectError({"--presett=quick"},
              "unknown flag --presett; nearest is \"--preset\" " + flags);
  ExpectError({"-seeds=3"},
              "unknown flag -seeds; nearest is \"--seeds\" " + flags);
  ExpectError({"--zzzzzzzzzz"}, "unknown flag --zzzzzzzzzz " + flags);
  ExpectError({"--nopreset"},
              "unknown flag --nopreset; nearest is \"--preset\" " + flags);
  ExpectError({"--noall=true"}, "--noall: takes no value, got \"true\"");
  ExpectError({"--all=yes"},
              "--all: expected true, false, 1 or 0, got \"yes\"");
  ExpectError({"--preset=quik"},
              "--preset: no value \"quik\"; nearest is \"quick\" (there are: "
              "quick, full)");
  ExpectError({"--seeds"}, "--seeds: needs a value: --seeds=int32");
  ExpectError({"--preset", "--all"},
              "--preset: needs a value: --preset=quick|full");
  ExpectError({"--set"}, "--set: needs a value: --set=NAME=VALUE");
  ExpectError({"--config"}, "--config: needs a value: --config=FILE");
  ExpectError({"--seeds=0"}, "--seeds: expected at least 1, got 0");
  ExpectError({"--set=layrs"}, "--set expected name=value, got \"layrs\"");
}

TEST_F(CommandLineTest, ReportsAllErrorsAtOnce) {
  tool_.arguments = "";
  ExpectError({"--seeds=x", "what", "--set=layers=x", "--set", "rate=y",
               "--alll", "this"},
              absl::StrCat("unknown flag --alll; nearest is \"--all\" ", kFlags,
                           "\ntakes no arguments, got \"what\", \"this\""
                           "\n--seeds: expected int32 from -2147483648 to "
                           "2147483647, got \"x\""
                           "\n--set layers: expected int32 from -2147483648 to "
                           "2147483647, got \"x\""
                           "\n--set rate: expected double, got \"y\""));
}

TEST_F(CommandLineTest, ToolWithoutOptionsHasNoSet) {
  tool_.options = nullptr;
  ExpectError({"--set=a=b"},
              "unknown flag --set (there are: --preset, --all, --seeds, "
              "--run, --rate, --help)");
  tool_.flags = nullptr;
  ExpectError({"--seeds=3"}, "unknown flag --seeds (there are: --help)");
}

TEST_F(CommandLineTest, ConfigIsReadBeforeSetFromWhereTheUserIs) {
  const std::string dir = std::getenv("TEST_TMPDIR");
  SEPTET_ASSERT_OK(
      WriteFileAtomically(dir + "/c.textproto", "layers: 7 heads: 3"));
  ASSERT_EQ(setenv("BUILD_WORKING_DIRECTORY", dir.c_str(), 1), 0);
  SEPTET_EXPECT_OK(
      ParseCommandLine(tool_, {"--set=layers=8", "--config=c.textproto"}));
  EXPECT_EQ(options_.layers(), 8);
  EXPECT_EQ(options_.heads(), 3u);
  EXPECT_THAT(ParseCommandLine(tool_, {"--config", "gone"}),
              StatusIs(absl::StatusCode::kNotFound,
                       HasSubstr(absl::StrCat(dir, "/gone"))));
  EXPECT_THAT(ParseCommandLine(tool_, {"--config=gone", "--set=layers=0"}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("\n--set layers: expected 1 to 96, got 0")));
  ASSERT_EQ(unsetenv("BUILD_WORKING_DIRECTORY"), 0);
}

TEST_F(CommandLineTest, HelpWinsUnlessItIsAnArgument) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      CommandLine line,
      ParseCommandLine(tool_, {"--nonsense", "--seeds", "--help"}));
  EXPECT_TRUE(line.help);
  SEPTET_ASSERT_OK_AND_ASSIGN(line, ParseCommandLine(tool_, {"--", "--help"}));
  EXPECT_FALSE(line.help);
  EXPECT_THAT(line.arguments, ElementsAre("--help"));
}

TEST_F(CommandLineTest, HelpListsEveryFlagAndOption) {
  const std::string help = ToolHelp(tool_);
  EXPECT_THAT(help, HasSubstr(R"(usage: train [FLAG]... [FILE]...
Trains a model.

flags:
  name      type            default  range       help
  --preset  quick|full      quick                How much to run.
  --all     bool            false                Run everything.
  --seeds   int32           1        at least 1  Seeds.
  --run     list of string  []                   Runs.
  --rate    double          0                    Rate.
  --config  string          ""                   File with options in text format.
  --set     NAME=VALUE                           Sets an option below; any number of times.
  --help    bool            false                Prints this.

options, for --set and --config:
)"));
  EXPECT_THAT(help, HasSubstr("\n  attention.dropout  double "));
}

TEST_F(CommandLineTest, ExitCodes) {
  struct Case {
    std::vector<const char*> argv;
    absl::Status run;
    int exit_code;
    std::string out;
    std::string err;
  };
  const std::string hint = "See `train --help`.\n";
  const std::vector<Case> cases = {
      {{"train", "a"}, absl::OkStatus(), 0, "", ""},
      {{}, absl::OkStatus(), 0, "", ""},
      {{"train", "a"}, absl::InternalError("broke"), 1, "", "train: broke\n"},
      {{"train", "a"},
       absl::InvalidArgumentError("x\ny"),
       1,
       "",
       "train: x\ntrain: y\n"},
      {{"train", "a"}, UsageError("no a"), 2, "", "train: no a\n" + hint},
      {{"train", "--seeds=0"},
       absl::OkStatus(),
       2,
       "",
       "train: --seeds: expected at least 1, got 0\n" + hint},
      {{"train", "--config=/gone/file"}, absl::OkStatus(), 2, "*", "*"},
      {{"train", "--help"}, absl::InternalError("x"), 0, ToolHelp(tool_), ""},
  };
  for (const Case& c : cases) {
    int calls = 0;
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    const int code = RunTool(tool_, static_cast<int>(c.argv.size()),
                             c.argv.data(), [&](const auto& arguments) {
                               ++calls;
                               EXPECT_EQ(arguments.size(), c.argv.size() / 2);
                               return c.run;
                             });
    const std::string out = ::testing::internal::GetCapturedStdout();
    const std::string err = ::testing::internal::GetCapturedStderr();
    EXPECT_EQ(code, c.exit_code) << err;
    if (c.out != "*") {
      EXPECT_EQ(out, c.out);
    }
    if (c.err != "*") {
      EXPECT_EQ(err, c.err);
    }
    EXPECT_LE(calls, 1);
  }
}

class CommandsTest : public ::testing::Test {
 protected:
  CommandsTest() {
    ToolSpec train;
    train.name = "train";
    train.summary = "Trains a model.\nTakes its time.";
    train.arguments = "[FILE]...";
    train.flags = &flags_;
    train.options = &options_;
    ToolSpec generate;
    generate.name = "generate";
    generate.summary = "Writes text.";
    commands_ = {{train, [this](const auto& a) { return Run("train", a); }},
                 {generate, [this](const auto& a) { return Run("gen", a); }}};
  }

  absl::Status Run(const std::string& what,
                   const std::vector<std::string>& arguments) {
    ran_.push_back(what);
    ran_.insert(ran_.end(), arguments.begin(), arguments.end());
    return status_;
  }

  // The exit code; sets out_, err_ and ran_.
  int RunWith(const std::vector<const char*>& argv) {
    ran_.clear();
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    const int code =
        RunTools("byte_lm", "A language model of bytes.", commands_,
                 static_cast<int>(argv.size()), argv.data());
    out_ = ::testing::internal::GetCapturedStdout();
    err_ = ::testing::internal::GetCapturedStderr();
    return code;
  }

  TestFlags flags_;
  TestOptions options_;
  std::vector<ToolCommand> commands_;
  absl::Status status_;
  std::vector<std::string> ran_;
  std::string out_;
  std::string err_;
};

TEST_F(CommandsTest, TheFirstWordChooses) {
  EXPECT_EQ(RunWith({"x", "train", "a", "--seeds=3", "--set=layers=6"}), 0);
  EXPECT_THAT(ran_, ElementsAre("train", "a"));
  EXPECT_EQ(flags_.seeds(), 3);
  EXPECT_EQ(options_.layers(), 6);
  EXPECT_EQ(RunWith({"x", "generate"}), 0);
  EXPECT_THAT(ran_, ElementsAre("gen"));
  // Behind the command it is a word like any other.
  EXPECT_EQ(RunWith({"x", "train", "generate"}), 0);
  EXPECT_THAT(ran_, ElementsAre("train", "generate"));
}

TEST_F(CommandsTest, EachHasFlagsAndHelpOfItsOwn) {
  EXPECT_EQ(RunWith({"x", "generate", "--seeds=3"}), 2);
  EXPECT_EQ(err_,
            "byte_lm generate: unknown flag --seeds (there are: --help)\n"
            "See `byte_lm generate --help`.\n");
  EXPECT_THAT(ran_, IsEmpty());
  EXPECT_EQ(RunWith({"x", "train", "--help"}), 0);
  EXPECT_THAT(out_, HasSubstr("usage: byte_lm train [FLAG]... [FILE]...\n"
                              "Trains a model.\nTakes its time.\n"));
  EXPECT_THAT(out_, HasSubstr("attention.dropout"));
  EXPECT_THAT(ran_, IsEmpty());
}

TEST_F(CommandsTest, HelpListsTheCommands) {
  const std::string help = R"(usage: byte_lm COMMAND [FLAG]...
A language model of bytes.

commands:
  train     Trains a model.
  generate  Writes text.

`byte_lm COMMAND --help` prints what a command takes.
)";
  EXPECT_EQ(RunWith({"x", "--help"}), 0);
  EXPECT_EQ(out_, help);
  EXPECT_EQ(RunWith({"x", "--help", "train"}), 0);
  EXPECT_EQ(out_, help);
}

TEST_F(CommandsTest, WhatIsNoCommandIsAWrongCommandLine) {
  const std::string hint = "See `byte_lm --help`.\n";
  EXPECT_EQ(RunWith({"x", "trian"}), 2);
  EXPECT_EQ(err_,
            "byte_lm: no command \"trian\"; nearest is \"train\" (there are: "
            "train, generate)\n" +
                hint);
  EXPECT_EQ(RunWith({"x", ""}), 2);
  EXPECT_EQ(err_,
            "byte_lm: no command \"\" (there are: train, generate)\n" + hint);
  EXPECT_EQ(RunWith({"x", "--seeds=3", "train"}), 2);
  EXPECT_EQ(err_,
            "byte_lm: needs a command before --seeds=3 (there are: train, "
            "generate)\n" +
                hint);
  for (const std::vector<const char*>& argv :
       {std::vector<const char*>{"x"}, std::vector<const char*>{}}) {
    EXPECT_EQ(RunWith(argv), 2);
    EXPECT_EQ(err_,
              "byte_lm: needs a command (there are: train, generate)\n" + hint);
  }
  EXPECT_THAT(ran_, IsEmpty());
}

TEST_F(CommandsTest, ExitCodesAreThoseOfTheCommand) {
  status_ = absl::InternalError("broke");
  EXPECT_EQ(RunWith({"x", "train"}), 1);
  EXPECT_EQ(err_, "byte_lm train: broke\n");
  status_ = UsageError("no a");
  EXPECT_EQ(RunWith({"x", "train"}), 2);
  EXPECT_EQ(err_, "byte_lm train: no a\nSee `byte_lm train --help`.\n");
  // What shells expect after Ctrl-C.
  status_ = InterruptedError("to resume:\ntrain --resume");
  EXPECT_EQ(RunWith({"x", "train"}), 130);
  EXPECT_EQ(err_,
            "byte_lm train: interrupted by SIGINT; to resume:\n"
            "byte_lm train: train --resume\n");
}

TEST_F(CommandsTest, TwoOfOneNameAreOurBug) {
  commands_[1].tool.name = "train";
  EXPECT_DEATH((void)ToolsHelp("x", "", commands_), "two commands 'train'");
  EXPECT_DEATH((void)RunTools("x", "", commands_, 0, nullptr),
               "two commands 'train'");
  commands_.clear();
  EXPECT_DEATH((void)RunTools("x", "", commands_, 0, nullptr), "no commands");
}

TEST(UsageErrorTest, IsToldFromAnOrdinaryInvalidArgument) {
  EXPECT_TRUE(IsUsageError(UsageError("x")));
  EXPECT_FALSE(IsUsageError(absl::InvalidArgumentError("x")));
  EXPECT_FALSE(IsUsageError(absl::OkStatus()));
}

TEST(CommandLineDeathTest, MessagesThatBreakTheRulesAreOurBug) {
  BadOptions bad;
  ToolSpec tool;
  tool.options = &bad;
  EXPECT_DEATH((void)ParseCommandLine(tool, {}), "is a float, want double");
  TestOptions nested;
  tool.options = nullptr;
  tool.flags = &nested;
  EXPECT_DEATH((void)ParseCommandLine(tool, {}), "TestOptions.attention");
}

}  // namespace
}  // namespace septet
