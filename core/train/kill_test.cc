// SPDX-License-Identifier: Apache-2.0
// Training that is killed at random moments and resumed ends with the bytes of
// training that was not: weights, moments, averages, metrics.
//
//   bazel test //core/train:kill_test --test_env=SEPTET_KILLS=200
//       --test_env=SEPTET_SEED=7
//
// The moments are drawn from a seed, which is printed. How far a process is by
// then depends on the machine; what must come out does not.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/file.h"
#include "septet/core/base/program_testutil.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/random/stream.h"
#include "septet/core/train/checkpoint.h"
#include "septet/core/train/metrics.h"

extern char** environ;

namespace septet {
namespace {

using ::testing::HasSubstr;

constexpr int kSteps = 45;

int64_t Number(const char* variable, int64_t otherwise) {
  const char* text = std::getenv(variable);
  int64_t number = otherwise;
  if (text != nullptr) {
    EXPECT_TRUE(absl::SimpleAtoi(text, &number)) << text;
  }
  return number;
}

std::string Folder(absl::string_view name) {
  return absl::StrCat(::testing::TempDir(), "/", name);
}

std::vector<std::string> Command(const std::string& folder) {
  return {Runfile("core/train/kill_test_program"),
          absl::StrCat("--out=", folder), "--set",
          absl::StrCat("train.steps=", kSteps), "--set", "train.log_every=5",
          "--set", "train.evaluate_every=9",
          // Much of the time goes into saving.
          "--set", "train.checkpoint_every=3"};
}

std::vector<std::string> Resuming(const std::string& folder) {
  std::vector<std::string> command = Command(folder);
  command.push_back("--resume");
  return command;
}

// Starts the program and sends it `signal_number` after a while. The result is
// what waitpid says; what the program writes goes to `err`.
int RunAndSignal(const std::vector<std::string>& command, int signal_number,
                 std::chrono::microseconds after, std::string* err) {
  const std::string err_path = Folder("stderr");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 2, err_path.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0600);
  std::vector<char*> words;
  for (const std::string& word : command) {
    words.push_back(const_cast<char*>(word.c_str()));
  }
  words.push_back(nullptr);
  pid_t pid = 0;
  EXPECT_EQ(
      posix_spawn(&pid, words[0], &actions, nullptr, words.data(), environ), 0);
  posix_spawn_file_actions_destroy(&actions);
  std::this_thread::sleep_for(after);
  kill(pid, signal_number);
  int state = 0;
  EXPECT_EQ(waitpid(pid, &state, 0), pid);
  *err = ReadFileToString(err_path).value_or("");
  return state;
}

std::string Contents(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFileToString(path);
  EXPECT_THAT(text, IsOk());
  return text.value_or("");
}

class KillTest : public ::testing::Test {
 protected:
  // The run that nobody disturbs, and how long it takes.
  static void SetUpTestSuite() {
    const auto start = std::chrono::steady_clock::now();
    SEPTET_ASSERT_OK_AND_ASSIGN(const ProgramResult result,
                                RunProgram(Command(Folder("whole"))));
    ASSERT_EQ(result.exit_code, 0) << result.err;
    duration_ = std::chrono::duration_cast<std::chrono::microseconds>(
        std::chrono::steady_clock::now() - start);
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const Checkpoint last,
        LoadLatestCheckpoint(Folder("whole/checkpoints")));
    // Weights, statistics, moments and averages are in it.
    for (const char* name :
         {"model.first.weight", "model.norm.running_mean", "optimizer.m.0",
          "optimizer.step", "ema.second.bias"}) {
      EXPECT_EQ(last.tensors.count(name), 1) << name;
    }
    SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<MetricRow> rows,
                                ReadMetrics(Folder("whole/metrics.jsonl")));
    ASSERT_EQ(rows.size(), kSteps / 5 + kSteps / 9);
    // It learns: there is something to lose.
    EXPECT_LT(rows[rows.size() - 2].values.at("loss"),
              rows.front().values.at("loss") / 2);
  }

  static void ExpectLikeWhole(const std::string& folder) {
    const std::string last =
        absl::StrCat("/checkpoints/step_", kSteps, ".safetensors");
    const std::string expected = Contents(Folder("whole") + last);
    const std::string actual = Contents(folder + last);
    EXPECT_EQ(actual.size(), expected.size());
    EXPECT_TRUE(actual == expected) << "the last checkpoints differ";
    EXPECT_EQ(Contents(folder + "/metrics.jsonl"),
              Contents(Folder("whole") + "/metrics.jsonl"));
  }

  // A moment in the first two thirds of a run: late enough for a process that
  // takes long to start, early enough that most are killed.
  static std::chrono::microseconds Moment(const RandomStream& stream,
                                          int64_t i) {
    return std::chrono::microseconds(static_cast<int64_t>(
        stream.Unit(i) * static_cast<double>(duration_.count()) * 2 / 3));
  }

  static std::chrono::microseconds duration_;
};

std::chrono::microseconds KillTest::duration_{};

TEST_F(KillTest, ResumedAfterSigkillGivesTheSameBytes) {
  const int64_t kills = Number("SEPTET_KILLS", 20);
  const int64_t seed = Number("SEPTET_SEED", 1);
  std::cout << kills << " kills, seed " << seed << std::endl;
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const RandomStream stream,
      RandomStream::Create(static_cast<uint64_t>(seed), "kill_test"));
  int64_t killed = 0;
  int64_t runs = 0;
  int64_t at_work = 0;  // kills that found a run with a checkpoint
  std::string folder = Folder("killed_0");
  for (int64_t i = 0; killed < kills; ++i) {
    ASSERT_LT(i, 20 * kills) << "the program ends before it is killed";
    std::string err;
    const int state =
        RunAndSignal(Resuming(folder), SIGKILL, Moment(stream, i), &err);
    if (WIFSIGNALED(state) && WTERMSIG(state) == SIGKILL) {
      ++killed;
      SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<int64_t> steps,
                                  ListCheckpoints(folder + "/checkpoints"));
      at_work += steps.empty() ? 0 : 1;
      continue;
    }
    ASSERT_TRUE(WIFEXITED(state) && WEXITSTATUS(state) == 0)
        << "state " << state << ": " << err;
    ExpectLikeWhole(folder);
    folder = Folder(absl::StrCat("killed_", ++runs));
  }
  SEPTET_ASSERT_OK_AND_ASSIGN(const ProgramResult result,
                              RunProgram(Resuming(folder)));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  ExpectLikeWhole(folder);
  std::cout << runs + 1 << " runs, " << at_work
            << " kills after a first checkpoint" << std::endl;
  EXPECT_GT(at_work, 0);
}

TEST_F(KillTest, SigintSavesAndSaysHowToResume) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const RandomStream stream,
                              RandomStream::Create(2, "sigint_test"));
  for (const int signal_number : {SIGINT, SIGTERM}) {
    const std::string folder =
        Folder(absl::StrCat("interrupted_", signal_number));
    std::vector<std::string> command = Command(folder);
    // In two of the forms that these flags have.
    command.push_back(signal_number == SIGINT ? "--fresh" : "--fresh=true");
    command.push_back("--noresume");
    std::string how_to_resume;
    for (int64_t i = 0; how_to_resume.empty(); ++i) {
      ASSERT_LT(i, 40);
      std::string err;
      const int state = RunAndSignal(
          command, signal_number,
          duration_ / 4 + Moment(stream, 40 * signal_number + i), &err);
      if (WIFSIGNALED(state) || WEXITSTATUS(state) == 0) {
        // Before the loop began, or after its end: not what is looked for.
        if (WIFSIGNALED(state)) {
          EXPECT_EQ(WTERMSIG(state), signal_number);
        }
        continue;
      }
      EXPECT_EQ(WEXITSTATUS(state), 128 + signal_number) << err;
      EXPECT_THAT(err, HasSubstr(absl::StrCat(
                           "interrupted by ",
                           signal_number == SIGINT ? "SIGINT" : "SIGTERM")));
      EXPECT_THAT(err, HasSubstr(folder + "/checkpoints/step_"));
      const size_t start = err.find("To resume: ");
      ASSERT_NE(start, std::string::npos) << err;
      how_to_resume =
          err.substr(start + 11, err.find('\n', start) - start - 11);
    }
    EXPECT_THAT(how_to_resume, HasSubstr(" --resume"));
    EXPECT_THAT(how_to_resume, Not(HasSubstr("fresh")));
    EXPECT_THAT(how_to_resume, Not(HasSubstr("--noresume")));
    SEPTET_ASSERT_OK_AND_ASSIGN(const ProgramResult result,
                                RunProgram({"/bin/sh", "-c", how_to_resume}));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    ExpectLikeWhole(folder);
  }
}

}  // namespace
}  // namespace septet
