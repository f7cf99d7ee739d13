// SPDX-License-Identifier: Apache-2.0
#include "septet/core/bench/step_program.h"

#include <cstdlib>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/bench/case.h"
#include "septet/core/io/safetensors.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Its loss halves with each step, which fills 1 MiB; the fifth fails.
class HalvingJob : public StepJob {
 public:
  absl::StatusOr<double> Step() override {
    if (++steps_ == 5) return absl::InternalError("the fifth");
    SEPTET_ASSIGN_OR_RETURN(const Tensor work,
                            Tensor::Zeros({1 << 18}, DType::kF32));
    loss_ /= 2;
    return loss_ + work.data<float>()[steps_];
  }
  absl::StatusOr<std::map<std::string, Tensor>> Export() const override {
    SEPTET_ASSIGN_OR_RETURN(const Tensor w,
                            Tensor::FromValues<float>({2}, {1.5f, 2.5f}));
    return std::map<std::string, Tensor>{{"w", w}};
  }
  BenchLimit Limit() const override { return BenchLimit::F32Flops(1e6); }

 private:
  int steps_ = 0;
  double loss_ = 2;
};

absl::StatusOr<std::unique_ptr<StepJob>> MakeJob() {
  return std::make_unique<HalvingJob>();
}

// The answers to the commands.
std::vector<json> Serve(const std::string& commands) {
  std::istringstream in(commands);
  std::ostringstream out;
  SEPTET_EXPECT_OK(ServeSteps("halving", &MakeJob, 1, in, out));
  std::vector<json> answers;
  const std::vector<std::string> lines =
      absl::StrSplit(out.str(), '\n', absl::SkipEmpty());
  for (const std::string& line : lines) {
    answers.push_back(json::parse(line, nullptr, /*allow_exceptions=*/false));
    EXPECT_FALSE(answers.back().is_discarded()) << line;
  }
  return answers;
}

TEST(StepProgramTest, SaysWhenItIsReadyAndOnWhatMachine) {
  const std::vector<json> answers = Serve("");
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0]["ready"], "halving");
  EXPECT_EQ(answers[0]["threads"], 1);
  EXPECT_TRUE(answers[0]["machine"]["cpu"].is_string());
}

TEST(StepProgramTest, StepsGiveTheirLosses) {
  const std::vector<json> answers = Serve("step 2\nstep 1\n");
  ASSERT_EQ(answers.size(), 3u);
  EXPECT_EQ(answers[1], json::parse(R"({"losses":[1.0,0.5]})"));
  EXPECT_EQ(answers[2], json::parse(R"({"losses":[0.25]})"));
}

TEST(StepProgramTest, ExportIsASafetensorsFile) {
  const std::string path =
      absl::StrCat(std::getenv("TEST_TMPDIR"), "/export.safetensors");
  const std::vector<json> answers = Serve(absl::StrCat("export ", path, "\n"));
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_EQ(answers[1]["exported"], 1);
  SEPTET_ASSERT_OK_AND_ASSIGN(SafetensorsFile file,
                              SafetensorsFile::Open(path));
  SEPTET_ASSERT_OK_AND_ASSIGN(Tensor w, file.Get("w"));
  EXPECT_THAT(w.ToVector<float>(), ElementsAre(1.5f, 2.5f));
}

TEST(StepProgramTest, TimesStepsAndTheLimit) {
  // At least three steps, however short the time.
  const std::vector<json> answers = Serve("time 1e-9\n");
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_EQ(answers[1]["steps"], 3);
  EXPECT_GT(answers[1]["ms"], 0);
  EXPECT_GT(answers[1]["limit_ms"], 0);
}

TEST(StepProgramTest, MemoryIsThatOfAStep) {
  const std::vector<json> answers = Serve("memory\n");
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_GE(answers[1]["tensor_bytes"], 1 << 20);
  EXPECT_LT(answers[1]["tensor_bytes"], 2 << 20);
}

TEST(StepProgramTest, AFailureIsAnAnswer) {
  const std::vector<json> answers = Serve(
      "stop\nstep x\nstep 0\ntime -1\ntime nan\nmemory now\n"
      "export /no/such/folder/x\nstep 5\nstep 1\n");
  const std::vector<std::string> expected = {
      "no command \"stop\"; there are: export PATH, step N, time SECONDS, "
      "memory",
      "step: expected 1 to 1000000 steps, got \"x\"",
      "step: expected 1 to 1000000 steps, got \"0\"",
      "time: expected above 0 to 3600 seconds, got \"-1\"",
      "time: expected above 0 to 3600 seconds, got \"nan\"",
      "no command \"memory now\"; there are: export PATH, step N, time "
      "SECONDS, memory",
      "/no/such/folder/x",
      "the fifth"};
  ASSERT_EQ(answers.size(), expected.size() + 2);
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_THAT(answers[i + 1]["error"].get<std::string>(),
                HasSubstr(expected[i]));
  }
  // And the next command is served.
  EXPECT_TRUE(answers.back().contains("losses"));
}

TEST(StepProgramTest, AJobThatCannotBeMadeIsAnError) {
  std::istringstream in;
  std::ostringstream out;
  EXPECT_THAT(ServeSteps(
                  "x",
                  []() -> absl::StatusOr<std::unique_ptr<StepJob>> {
                    return absl::NotFoundError("no data");
                  },
                  1, in, out),
              StatusIs(absl::StatusCode::kNotFound, "no data"));
  EXPECT_EQ(out.str(), "");
}

TEST(StepProgramTest, UnknownJobsAreWrongUsage) {
  const auto run = [](std::vector<const char*> argv) {
    return RunStepProgram({{"a", &MakeJob}, {"b", &MakeJob}},
                          static_cast<int>(argv.size()), argv.data());
  };
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(run({"x", "--job=c"}), 2);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              HasSubstr("--job: no job \"c\" (there are: a, b)"));
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(run({"x", "--list"}), 0);
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "a\nb\n");
}

}  // namespace
}  // namespace septet
