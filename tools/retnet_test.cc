// SPDX-License-Identifier: Apache-2.0
// Runs the program as a user does: train, resume, evaluate, generate, inspect,
// for every kind of model, and the mistakes.
#include <cstddef>
#include <cstdint>
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

ProgramResult RunRetNet(std::vector<std::string> args) {
  args.insert(args.begin(), Runfile("tools/retnet"));
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

class RetNetProgramTest : public ::testing::Test {
 protected:
  RetNetProgramTest() : folder_(std::getenv("TEST_TMPDIR")) {
    std::string text;
    for (int i = 0; i < 200; ++i) absl::StrAppend(&text, "abc abc.\n");
    SEPTET_EXPECT_OK(WriteFileAtomically(folder_ + "/text", text));
  }

  std::vector<std::string> Train(const std::string& kind) const {
    return {"train",
            absl::StrCat("--out=", folder_, "/", kind),
            absl::StrCat("--set=data.file=", folder_, "/text"),
            absl::StrCat("--set=kind=", kind),
            "--threads=1",
            "--set=model.dim=16",
            "--set=model.layers=1",
            "--set=data.context=32",
            "--set=data.evaluation_windows=8",
            "--set=data.evaluation_first=40",
            "--set=optimizer.warmup_steps=5",
            "--set=optimizer.lr=2e-2",
            "--set=train.steps=80"};
  }

  const std::string folder_;
};

TEST_F(RetNetProgramTest, TrainsEvaluatesAndWritesWithEveryKind) {
  for (const char* kind :
       {"retnet", "transformer", "linear_transformer", "rwkv"}) {
    SCOPED_TRACE(kind);
    const std::string run = absl::StrCat(folder_, "/", kind);
    const ProgramResult train = RunRetNet(Train(kind));
    EXPECT_EQ(train.exit_code, 0) << train.err;
    EXPECT_THAT(train.err, HasSubstr("1710 bytes to train on, 90 held out"));
    const json summary = Summary(train);
    EXPECT_EQ(summary["kind"], kind);
    EXPECT_EQ(summary["steps"], 80);
    EXPECT_LT(summary["held_out_bits"], 1.0);
    EXPECT_GT(summary["bytes_per_second"], 0);
    EXPECT_EQ(summary["folder"], run);

    const ProgramResult eval =
        RunRetNet({"eval", run, "--last=16", "--positions"});
    EXPECT_EQ(eval.exit_code, 0) << eval.err;
    const json bits = Summary(eval);
    EXPECT_EQ(bits["bits_per_byte"], summary["held_out_bits"]);
    EXPECT_THAT(eval.out, HasSubstr("context    16  last 16 targets"));
    // Four times the context does not fit into what is held out.
    EXPECT_EQ(bits["last_16_bits_per_byte"].size(), 3u);
    EXPECT_EQ(bits["position_bits"].size(), 32u);
    EXPECT_THAT(eval.out, HasSubstr("bytes read    17 to    32"));

    const ProgramResult text = RunRetNet(
        {"generate", run, "--prompt=abc ab", "--length=20", "--temperature=0"});
    EXPECT_EQ(text.exit_code, 0) << text.err;
    EXPECT_EQ(text.out, "abc abc.\nabc abc.\nabc abc.\n");
    EXPECT_THAT(text.err,
                ContainsRegex("20 bytes in [0-9.]+ s, [0-9]+ bytes/s"));

    const ProgramResult inspect = RunRetNet({"inspect", run});
    EXPECT_EQ(inspect.exit_code, 0) << inspect.err;
    EXPECT_EQ(Summary(inspect)["parameters"], summary["parameters"]);
    EXPECT_EQ(Summary(inspect)["step"], 80);
    EXPECT_EQ(Summary(inspect)["tensors"][0]["name"], "embedding.weight");
    EXPECT_EQ(Summary(inspect)["tensors"][0]["elements"], 256 * 16);
  }
}

TEST_F(RetNetProgramTest, ResumesAndDoesNotOverwrite) {
  std::vector<std::string> train = Train("retnet");
  train[1] = absl::StrCat("--out=", folder_, "/resumed");
  const json first = Summary(RunRetNet(train));
  const ProgramResult again = RunRetNet(train);
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_THAT(again.err, HasSubstr("--resume"));
  train.push_back("--resume");
  EXPECT_EQ(Summary(RunRetNet(train))["held_out_bits"], first["held_out_bits"]);
  // A preset is part of what the run was.
  train.push_back("--preset=base");
  const ProgramResult other = RunRetNet(train);
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_THAT(other.err, HasSubstr("model.value_dim"));
}

TEST_F(RetNetProgramTest, FormsCarriedStateAndManyTexts) {
  std::vector<std::string> train = Train("retnet");
  train[1] = absl::StrCat("--out=", folder_, "/many");
  train.push_back("--set=model.learnable_decay=true");
  ASSERT_EQ(RunRetNet(train).exit_code, 0);
  const std::string run = folder_ + "/many";
  const double want = Summary(RunRetNet({"eval", run}))["bits_per_byte"];
  for (const char* form : {"parallel", "chunkwise", "recurrent"}) {
    const ProgramResult eval = RunRetNet(
        {"eval", run, absl::StrCat("--form=", form), "--context=32",
         "--carried", "--windows=8", absl::StrCat("--file=", folder_, "/text"),
         absl::StrCat("--file=", folder_, "/text")});
    EXPECT_EQ(eval.exit_code, 0) << eval.err;
    EXPECT_THAT(eval.out, HasSubstr("3600 bytes, 8 windows"));
    EXPECT_NEAR(Summary(eval)["bits_per_byte"], want, 0.05);
    // With a state, letters surprise at the beginning alone.
    EXPECT_LT(Summary(eval)["carried_bits_per_byte"], want);
  }

  const ProgramResult texts =
      RunRetNet({"generate", run, "--prompt=abc ab", "--prompt=", "--count=2",
                 "--length=20", "--temperature=0", "--stop=.\n"});
  EXPECT_EQ(texts.exit_code, 0) << texts.err;
  EXPECT_EQ(texts.out,
            "--- prompt 1, text 1\nabc abc\n--- prompt 1, text 2\nabc abc\n"
            "--- prompt 2, text 1\nabc abc\n--- prompt 2, text 2\nabc abc\n");
  const ProgramResult line =
      RunRetNet({"generate", run, "--prompt=abc ab", "--length=3", "--json"});
  EXPECT_EQ(line.exit_code, 0) << line.err;
  EXPECT_EQ(Summary(line)["texts"].size(), 1u);
  EXPECT_EQ(Summary(line)["texts"][0]["prompt"], "abc ab");
  EXPECT_EQ(Summary(line)["texts"][0]["bytes"], 3);
  EXPECT_EQ(Summary(line)["bytes"], 3);

  // Decays as they are after training, a table for each layer.
  const ProgramResult inspect = RunRetNet({"inspect", run});
  EXPECT_THAT(inspect.out, HasSubstr("decay of layer 0"));
  EXPECT_NE(Summary(inspect)["decay"][0][0]["half_life"],
            Summary(RunRetNet({"inspect"}))["decay"][0][0]["half_life"]);
}

TEST_F(RetNetProgramTest, InspectsWhatIsNotMade) {
  // retnet.md 6: the 7b preset and the state of a row.
  const ProgramResult large = RunRetNet({"inspect", "--preset=7b"});
  EXPECT_EQ(large.exit_code, 0) << large.err;
  json summary = Summary(large);
  EXPECT_EQ(summary["parameters"].get<int64_t>() -
                summary["embedding_parameters"].get<int64_t>(),
            6509826048);
  EXPECT_EQ(summary["state_bytes"], 226492416);
  EXPECT_EQ(summary["decay"][0].size(), 16u);
  EXPECT_NEAR(summary["decay"][0][0]["half_life"], 21.83, 0.01);
  EXPECT_THAT(large.out, HasSubstr("0.03125             21.8323"));
  // No decay: half is never left.
  summary = Summary(RunRetNet({"inspect", "--set=model.decay=none"}));
  EXPECT_TRUE(summary["decay"][0][0]["half_life"].is_null());
  EXPECT_EQ(summary["decay"][0][0]["gamma"], 1);
  summary = Summary(
      RunRetNet({"inspect", "--set=kind=transformer", "--preset=base"}));
  EXPECT_EQ(summary["dim"], 512);
  EXPECT_EQ(summary["state_bytes_per_token"], 2 * 6 * 512 * 4);
  EXPECT_FALSE(summary.contains("decay"));
}

TEST_F(RetNetProgramTest, Help) {
  const ProgramResult all = RunRetNet({"--help"});
  EXPECT_EQ(all.exit_code, 0);
  for (const char* command : {"train", "eval", "generate", "inspect"}) {
    EXPECT_THAT(all.out, HasSubstr(absl::StrCat("\n  ", command, " ")));
    EXPECT_EQ(RunRetNet({command, "--help"}).exit_code, 0);
  }
  EXPECT_THAT(RunRetNet({"train", "--help"}).out,
              HasSubstr("optimizer.weight_decay"));
  EXPECT_THAT(RunRetNet({"inspect", "--help"}).out,
              HasSubstr("model.learnable_decay"));
}

TEST_F(RetNetProgramTest, Mistakes) {
  const auto expect = [](const std::vector<std::string>& args, int code,
                         const char* message) {
    const ProgramResult result = RunRetNet(args);
    EXPECT_EQ(result.exit_code, code) << result.err;
    EXPECT_THAT(result.err, HasSubstr(message));
  };
  const std::string text = absl::StrCat("--set=data.file=", folder_, "/text");
  const std::string out = absl::StrCat("--out=", folder_, "/mistakes");
  expect({"trian"}, 2, "nearest is \"train\"");
  expect({"eval"}, 2, "expected one run folder or checkpoint, got 0");
  expect({"eval", "a", "--context=40", "--context=33", "--last=34"}, 2,
         "--context: expected at least --last, 34, got 33");
  expect({"generate", "a", "b"}, 2, "got 2");
  expect({"generate", folder_ + "/gone"}, 1, "has no checkpoint");
  expect({"generate", "x", "--top_p=2"}, 2, "--top_p: expected");
  expect({"train", "--set=model.dim=0"}, 2, "--set model.dim: expected 1 to");
  expect({"train", "--set=kind=lstm"}, 2, "kind");
  expect({"train", "--preset=9b"}, 2, "--preset: there is no preset '9b'");
  expect({"train", "--dtype=bf16"}, 1,
         "--dtype: bf16 is not implemented, expected f32");
  expect({"train", out, "--set=data.file=/no/such/file"}, 1, "/no/such/file");
  expect({"train", out, text, "--set=model.heads=3"}, 1, "heads is 3");
  expect({"train", out, text, "--set=kind=rwkv", "--set=model.gate=false"}, 1,
         "model.gate is false, expected true with kind=rwkv");
  expect({"inspect", "a", "--preset=7b"}, 2, "--preset: expected none with");
  expect({"inspect", "a", "--set=model.dim=32"}, 2, "expected none with");
  expect({"inspect", "a", "b"}, 2, "or none, got 2");
  expect({"inspect", "--preset=9b"}, 2, "--preset: there is no preset '9b'");

  std::vector<std::string> train = Train("rwkv");
  train[1] = absl::StrCat("--out=", folder_, "/rwkv_once");
  train.back() = "--set=train.steps=1";
  ASSERT_EQ(RunRetNet(train).exit_code, 0);
  expect({"eval", folder_ + "/rwkv_once", "--form=parallel"}, 2,
         "--form: expected a model of kind retnet, not rwkv");
  expect({"eval", folder_ + "/rwkv_once", "--carried"}, 2,
         "--carried: expected a model of kind retnet, not rwkv");
  expect({"eval", folder_ + "/rwkv_once", "--context=500"}, 1, "evaluation");
}

}  // namespace
}  // namespace septet
