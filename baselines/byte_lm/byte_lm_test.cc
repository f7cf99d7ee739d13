// SPDX-License-Identifier: Apache-2.0
// Runs the program as a user does: train, interrupt by a lower number of steps,
// resume, evaluate, generate, and the mistakes.
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "septet/core/base/file.h"
#include "septet/core/base/program_testutil.h"
#include "septet/core/base/status_testutil.h"

namespace septet {
namespace {

using ::nlohmann::json;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

ProgramResult RunByteLm(std::vector<std::string> args) {
  args.insert(args.begin(), Runfile("baselines/byte_lm/byte_lm"));
  const auto result = RunProgram(args);
  SEPTET_EXPECT_OK(result);
  return result.ok() ? *result : ProgramResult();
}

// The last line of standard output.
json Summary(const ProgramResult& result) {
  std::string out = result.out;
  while (!out.empty() && out.back() == '\n') out.pop_back();
  const size_t begin = out.rfind('\n');
  return json::parse(out.substr(begin == std::string::npos ? 0 : begin + 1),
                     nullptr,
                     /*allow_exceptions=*/false);
}

class ByteLmProgramTest : public ::testing::Test {
 protected:
  ByteLmProgramTest() : folder_(std::getenv("TEST_TMPDIR")) {
    std::string text;
    for (int i = 0; i < 200; ++i) absl::StrAppend(&text, "abc abc.\n");
    SEPTET_EXPECT_OK(WriteFileAtomically(folder_ + "/text", text));
  }

  std::vector<std::string> Train(const std::string& name) const {
    return {"train",
            absl::StrCat("--out=", folder_, "/", name),
            absl::StrCat("--set=data.file=", folder_, "/text"),
            "--set=model.dim=16",
            "--set=model.layers=1",
            "--set=model.head_dim=8",
            "--set=data.context=32",
            "--set=data.evaluation_windows=8",
            "--set=data.evaluation_first=40",
            "--set=optimizer.warmup_steps=5",
            "--set=optimizer.lr=2e-2",
            "--set=train.steps=80"};
  }

  const std::string folder_;
};

TEST_F(ByteLmProgramTest, TrainsEvaluatesAndWrites) {
  const ProgramResult train = RunByteLm(Train("run"));
  EXPECT_EQ(train.exit_code, 0) << train.err;
  EXPECT_THAT(train.err, HasSubstr("1710 bytes to train on, 90 held out"));
  const json summary = Summary(train);
  EXPECT_EQ(summary["steps"], 80);
  EXPECT_LT(summary["held_out_bits"], 1.0);
  EXPECT_EQ(summary["folder"], folder_ + "/run");

  const ProgramResult eval =
      RunByteLm({"eval", folder_ + "/run", "--context=32"});
  EXPECT_EQ(eval.exit_code, 0) << eval.err;
  EXPECT_EQ(Summary(eval)["bits_per_byte"], summary["held_out_bits"]);
  EXPECT_THAT(eval.out, HasSubstr("context    32  last 32 targets"));
  EXPECT_TRUE(Summary(eval)["last_32_bits_per_byte"].contains("32"));

  const std::vector<std::string> generate = {"generate", folder_ + "/run",
                                             "--prompt=abc ab", "--length=20",
                                             "--temperature=0"};
  const ProgramResult text = RunByteLm(generate);
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_EQ(text.out, "abc abc.\nabc abc.\nabc abc.\n");
  EXPECT_THAT(text.err, ContainsRegex("20 bytes in [0-9.]+ s, [0-9]+ bytes/s"));

  // A run is not overwritten by mistake.
  const ProgramResult again = RunByteLm(Train("run"));
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_THAT(again.err, HasSubstr("--resume"));
  std::vector<std::string> resume = Train("run");
  resume.push_back("--resume");
  EXPECT_EQ(Summary(RunByteLm(resume))["held_out_bits"],
            summary["held_out_bits"]);
}

TEST_F(ByteLmProgramTest, Help) {
  const ProgramResult all = RunByteLm({"--help"});
  EXPECT_EQ(all.exit_code, 0);
  for (const char* command : {"train", "eval", "generate"}) {
    EXPECT_THAT(all.out, HasSubstr(absl::StrCat("\n  ", command, " ")));
    EXPECT_EQ(RunByteLm({command, "--help"}).exit_code, 0);
  }
  EXPECT_THAT(RunByteLm({"train", "--help"}).out,
              HasSubstr("optimizer.weight_decay"));
}

TEST_F(ByteLmProgramTest, Mistakes) {
  const auto expect = [](const std::vector<std::string>& args, int code,
                         const char* message) {
    const ProgramResult result = RunByteLm(args);
    EXPECT_EQ(result.exit_code, code) << result.err;
    EXPECT_THAT(result.err, HasSubstr(message));
  };
  expect({"trian"}, 2, "nearest is \"train\"");
  expect({"eval"}, 2, "expected one run folder or checkpoint, got 0");
  expect({"generate", "a", "b"}, 2, "got 2");
  expect({"generate", folder_ + "/gone"}, 1, "has no checkpoint");
  expect({"generate", "x", "--top_p=2"}, 2, "--top_p: expected");
  expect({"train", "--set=model.dim=0"}, 2, "--set model.dim: expected 1 to");
  expect({"train", "--out=" + folder_ + "/x", "--set=data.file=/no/such/file"},
         1, "/no/such/file");
  expect({"train", "--out=" + folder_ + "/x", "--set=model.dim=48",
          "--set=data.file=" + folder_ + "/text"},
         1, "model.head_dim is 32, expected an even divisor");
}

}  // namespace
}  // namespace septet
