// SPDX-License-Identifier: Apache-2.0
#include "septet/core/train/trainer.h"

#include <signal.h>

#include <cstdint>
#include <functional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/file.h"
#include "septet/core/base/signals.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"
#include "septet/core/train/checkpoint.h"
#include "septet/core/train/event_file.h"
#include "septet/core/train/metrics.h"
#include "septet/core/train/run_folder.h"
#include "septet/core/train/train.pb.h"

namespace septet {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

// The state is one number, which step k makes 3 times as large plus k.
class CountingTask : public TrainTask {
 public:
  absl::StatusOr<Metrics> Step(int64_t step) override {
    calls.push_back(absl::StrCat("step ", step));
    if (on_step) {
      SEPTET_RETURN_IF_ERROR(on_step(step));
    }
    value = 3 * value + step;
    SEPTET_ASSIGN_OR_RETURN(const Tensor scratch,
                            Tensor::Zeros({1 << 18}, DType::kF32));
    return Metrics{{"loss", static_cast<double>(step)}, {"lr", 0.5}};
  }

  absl::StatusOr<Metrics> Evaluate(int64_t step) override {
    calls.push_back(absl::StrCat("evaluate ", step));
    if (on_evaluate) {
      SEPTET_RETURN_IF_ERROR(on_evaluate(step));
    }
    return Metrics{{"held_out", static_cast<double>(value % 1000)}};
  }

  absl::Status Save(Checkpoint* checkpoint) const override {
    SEPTET_ASSIGN_OR_RETURN(checkpoint->tensors["value"],
                            Tensor::FromValues<int64_t>({}, {value}));
    checkpoint->text["who"] = name;
    return absl::OkStatus();
  }

  absl::Status Restore(const Checkpoint& checkpoint) override {
    value = checkpoint.tensors.at("value").item<int64_t>();
    calls.push_back("restore");
    return absl::OkStatus();
  }

  int64_t value = 1;
  std::string name = "counting";
  std::vector<std::string> calls;
  std::function<absl::Status(int64_t)> on_step;
  std::function<absl::Status(int64_t)> on_evaluate;
};

struct Setting {
  explicit Setting(absl::string_view name)
      : path(absl::StrCat(::testing::TempDir(), "/trainer_test_", name)) {
    options.set_steps(10);
    options.set_log_every(4);
    options.set_evaluate_every(5);
    options.set_checkpoint_every(3);
    options.set_keep_checkpoints(100);
    hooks.progress = &progress;
    hooks.resume_command = "go on";
  }

  absl::StatusOr<TrainSummary> Run(TrainTask* task, bool resume = false) {
    Manifest manifest;
    manifest.tool = "trainer_test";
    manifest.options = &options;
    manifest.may_grow = {"steps"};
    SEPTET_ASSIGN_OR_RETURN(
        RunFolder folder,
        RunFolder::Open(path, manifest, {resume, false}, &progress));
    return Train(options, *task, folder, hooks);
  }

  std::vector<int64_t> Checkpoints() const {
    return ListCheckpoints(path + "/checkpoints").value();
  }
  std::string File(absl::string_view name) const {
    return ReadFileToString(absl::StrCat(path, "/", name)).value_or("none");
  }

  std::string path;
  TrainOptions options;
  TrainHooks hooks;
  std::ostringstream progress;
};

constexpr char kRows[] =
    "{\"step\":4,\"loss\":1.5,\"lr\":0.5}\n"
    "{\"step\":5,\"held_out\":301}\n"
    "{\"step\":8,\"loss\":5.5,\"lr\":0.5}\n"
    "{\"step\":10,\"loss\":8.5,\"lr\":0.5}\n"
    "{\"step\":10,\"held_out\":806}\n";

TEST(TrainerTest, StepsRowsEvaluationsCheckpoints) {
  Setting setting("whole");
  CountingTask task;
  SEPTET_ASSERT_OK_AND_ASSIGN(const TrainSummary summary, setting.Run(&task));
  EXPECT_THAT(task.calls,
              ElementsAre("step 0", "step 1", "step 2", "step 3", "step 4",
                          "evaluate 5", "step 5", "step 6", "step 7", "step 8",
                          "step 9", "evaluate 10"));
  EXPECT_EQ(setting.File("metrics.jsonl"), kRows);
  EXPECT_THAT(setting.Checkpoints(), ElementsAre(3, 6, 9, 10));
  EXPECT_EQ(summary.first_step, 0);
  EXPECT_EQ(summary.steps, 10);
  EXPECT_THAT(summary.train, ElementsAre(Pair("loss", 8.5), Pair("lr", 0.5)));
  EXPECT_THAT(summary.evaluation, ElementsAre(Pair("held_out", 806)));
  // A megabyte in each step.
  EXPECT_GE(summary.peak_tensor_bytes, 1 << 20);
  EXPECT_GE(summary.peak_resident_bytes, 1 << 20);
  EXPECT_GE(summary.seconds, summary.step_seconds);
  EXPECT_THAT(
      setting.progress.str(),
      AllOf(HasSubstr("train  10/10 (100%)"), HasSubstr("loss 8.5  lr 0.5\n"),
            HasSubstr("step 10  held_out 806\n"),
            HasSubstr("10 steps in 0:00 ("),
            HasSubstr(" ms a step); tensors in a step at most 1."),
            HasSubstr("; process at most ")));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const EventFileContent events,
      ReadEvents(setting.path + "/events.out.tfevents.0"));
  EXPECT_EQ(events.events.size(), 1 + 5);
}

TEST(TrainerTest, ResumedItGoesOnWhereItWas) {
  Setting whole("reference");
  CountingTask reference;
  SEPTET_ASSERT_OK(whole.Run(&reference));
  for (int64_t fails = 0; fails < 10; ++fails) {
    Setting setting(absl::StrCat("fails_", fails));
    CountingTask task;
    task.on_step = [&](int64_t step) {
      return step == fails ? absl::DataLossError("no more data")
                           : absl::OkStatus();
    };
    const int64_t last = fails / 3 * 3;
    EXPECT_THAT(
        setting.Run(&task).status(),
        StatusIs(absl::StatusCode::kDataLoss,
                 HasSubstr(absl::StrCat(
                     "training stopped after ", fails, " steps (",
                     last == 0 ? "there is no checkpoint yet"
                               : "the last checkpoint is " +
                                     CheckpointPath(
                                         setting.path + "/checkpoints", last),
                     "): no more data"))));
    CountingTask again;
    SEPTET_ASSERT_OK_AND_ASSIGN(const TrainSummary summary,
                                setting.Run(&again, /*resume=*/true));
    EXPECT_EQ(summary.first_step, last);
    EXPECT_EQ(again.calls[0], last == 0 ? "step 0" : "restore");
    EXPECT_EQ(again.value, reference.value);
    EXPECT_EQ(setting.File("metrics.jsonl"), kRows);
    for (const int64_t step : {3, 6, 9, 10}) {
      const std::string name =
          absl::StrCat("checkpoints/step_", step, ".safetensors");
      EXPECT_TRUE(setting.File(name) == whole.File(name)) << name;
    }
  }
}

TEST(TrainerTest, AFinishedRunIsFinished) {
  Setting setting("finished");
  CountingTask task;
  SEPTET_ASSERT_OK(setting.Run(&task));
  const std::string checkpoint =
      setting.File("checkpoints/step_10.safetensors");
  CountingTask again;
  SEPTET_ASSERT_OK_AND_ASSIGN(const TrainSummary summary,
                              setting.Run(&again, true));
  EXPECT_THAT(again.calls, ElementsAre("restore"));
  EXPECT_EQ(summary.first_step, 10);
  EXPECT_EQ(summary.steps, 10);
  EXPECT_THAT(summary.train, ElementsAre(Pair("loss", 8.5), Pair("lr", 0.5)));
  EXPECT_THAT(summary.evaluation, ElementsAre(Pair("held_out", 806)));
  EXPECT_EQ(setting.File("metrics.jsonl"), kRows);
  EXPECT_TRUE(setting.File("checkpoints/step_10.safetensors") == checkpoint);
  // More steps: this task does not depend on how many there are.
  setting.options.set_steps(12);
  SEPTET_ASSERT_OK(setting.Run(&again, true));
  Setting longer("longer");
  longer.options.set_steps(12);
  CountingTask reference;
  SEPTET_ASSERT_OK(longer.Run(&reference));
  EXPECT_EQ(again.value, reference.value);
}

TEST(TrainerTest, ASignalSavesAndSaysHowToGoOn) {
  for (const int signal_number : {SIGINT, SIGTERM}) {
    Setting setting(absl::StrCat("signal_", signal_number));
    CountingTask task;
    task.on_step = [&](int64_t step) {
      if (step == 6) raise(signal_number);
      return absl::OkStatus();
    };
    const absl::Status status = setting.Run(&task).status();
    EXPECT_THAT(
        status,
        StatusIs(
            absl::StatusCode::kCancelled,
            absl::StrCat("interrupted by ",
                         signal_number == SIGINT ? "SIGINT" : "SIGTERM",
                         "; 7 of 10 steps are done and saved in ", setting.path,
                         "/checkpoints/step_7.safetensors.\n"
                         "To resume: go on")));
    EXPECT_EQ(InterruptExitCode(status), 128 + signal_number);
    EXPECT_EQ(task.calls.back(), "step 6");
    EXPECT_THAT(setting.Checkpoints(), ElementsAre(3, 6, 7));
    CountingTask again;
    SEPTET_ASSERT_OK(setting.Run(&again, true));
    EXPECT_THAT(again.calls, ElementsAre("restore", "step 7", "step 8",
                                         "step 9", "evaluate 10"));
    EXPECT_EQ(setting.File("metrics.jsonl"), kRows);
  }
}

TEST(TrainerTest, AnEvaluationThatASignalStopsIsMadeUpFor) {
  // During the step before it, or while it runs; in the middle or at the end.
  for (const int64_t at : {5, 10}) {
    for (const bool within : {false, true}) {
      Setting setting(absl::StrCat("evaluation_", at, within));
      CountingTask task;
      task.on_step = [&](int64_t step) {
        if (!within && step == at - 1) raise(SIGINT);
        return absl::OkStatus();
      };
      task.on_evaluate = [&](int64_t step) {
        if (!within || step != at) return absl::OkStatus();
        raise(SIGINT);
        return InterruptedError("");
      };
      EXPECT_THAT(
          setting.Run(&task).status(),
          StatusIs(absl::StatusCode::kCancelled,
                   HasSubstr(absl::StrCat(at, " of 10 steps are done"))));
      if (at == 5) {
        // Made up for, and lost before the next checkpoint.
        CountingTask lost;
        lost.on_step = [](int64_t) { return absl::InternalError("stop"); };
        EXPECT_FALSE(setting.Run(&lost, true).ok());
        EXPECT_EQ(lost.calls[1], "evaluate 5");
        EXPECT_THAT(setting.File("metrics.jsonl"), HasSubstr("held_out"));
      }
      CountingTask again;
      SEPTET_ASSERT_OK_AND_ASSIGN(const TrainSummary summary,
                                  setting.Run(&again, true));
      EXPECT_EQ(again.calls[1], absl::StrCat("evaluate ", at));
      EXPECT_EQ(setting.File("metrics.jsonl"), kRows);
      EXPECT_THAT(summary.evaluation, ElementsAre(Pair("held_out", 806)));
      // Nothing is due a second time.
      CountingTask third;
      SEPTET_ASSERT_OK(setting.Run(&third, true));
      EXPECT_THAT(third.calls, ElementsAre("restore"));
    }
  }
}

TEST(TrainerTest, ADamagedCheckpointIsStepedOver) {
  Setting setting("damaged");
  CountingTask task;
  task.on_step = [&](int64_t step) {
    return step == 8 ? absl::InternalError("stop") : absl::OkStatus();
  };
  EXPECT_FALSE(setting.Run(&task).ok());
  const std::string newest = CheckpointPath(setting.path + "/checkpoints", 6);
  SEPTET_ASSERT_OK(WriteFileAtomically(newest, "half"));
  CountingTask again;
  SEPTET_ASSERT_OK_AND_ASSIGN(const TrainSummary summary,
                              setting.Run(&again, true));
  EXPECT_EQ(summary.first_step, 3);
  EXPECT_THAT(setting.progress.str(),
              AllOf(HasSubstr("warning: " + newest),
                    HasSubstr("going back to step 3\n"),
                    HasSubstr("resumed at step 3 of 10\n")));
  EXPECT_EQ(setting.File("metrics.jsonl"), kRows);
}

TEST(TrainerTest, SavesByTheClock) {
  Setting setting("seconds");
  setting.options.set_checkpoint_every(0);
  setting.options.set_checkpoint_seconds(1e-9);
  CountingTask task;
  SEPTET_ASSERT_OK(setting.Run(&task));
  EXPECT_THAT(setting.Checkpoints(),
              ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
}

TEST(TrainerTest, HooksSeeEachRow) {
  Setting setting("hooks");
  std::vector<int64_t> steps;
  setting.hooks.on_row = [&](int64_t step, const Metrics& row,
                             MetricWriter& writer) {
    steps.push_back(step);
    EXPECT_FALSE(row.empty());
    return writer.WriteText(step, "note", "text");
  };
  CountingTask task;
  SEPTET_ASSERT_OK(setting.Run(&task));
  EXPECT_THAT(steps, ElementsAre(4, 5, 8, 10, 10));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const EventFileContent events,
      ReadEvents(setting.path + "/events.out.tfevents.0"));
  EXPECT_EQ(events.events.size(), 1 + 10);
}

TEST(TrainerTest, WhatIsRefused) {
  Setting setting("refused");
  CountingTask task;
  setting.options.set_steps(0);
  EXPECT_THAT(setting.Run(&task).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("steps")));
  EXPECT_TRUE(task.calls.empty());

  // Names of the loop.
  class Greedy : public CountingTask {
    absl::Status Save(Checkpoint* checkpoint) const override {
      checkpoint->text["train.loop"] = "mine";
      return absl::OkStatus();
    }
  } greedy;
  Setting other("greedy");
  EXPECT_THAT(
      other.Run(&greedy).status(),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("the name 'train.loop' begins with 'train.'")));

  // More has been done than is asked for.
  Setting done("done");
  CountingTask ten;
  SEPTET_ASSERT_OK(done.Run(&ten));
  done.options.set_steps(5);
  Manifest manifest;
  manifest.tool = "trainer_test";
  TrainOptions as_before = done.options;
  as_before.set_steps(10);
  manifest.options = &as_before;
  SEPTET_ASSERT_OK_AND_ASSIGN(
      RunFolder folder,
      RunFolder::Open(done.path, manifest, {true, false}, &done.progress));
  EXPECT_THAT(Train(done.options, ten, folder, done.hooks).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("has done 10 steps, but only 5 are asked "
                                 "for")));
}

TEST(TrainerTest, AnErrorInAnEvaluationStops) {
  Setting setting("evaluation_error");
  CountingTask task;
  task.on_evaluate = [](int64_t) { return absl::DataLossError("gone"); };
  EXPECT_THAT(setting.Run(&task).status(),
              StatusIs(absl::StatusCode::kDataLoss,
                       HasSubstr("evaluation after 5 steps: gone")));
}

}  // namespace
}  // namespace septet
