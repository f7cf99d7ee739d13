// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/lm/train_task.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/config/schema.h"
#include "septet/core/data/bits_per_byte.h"
#include "septet/core/data/byte_corpus.h"
#include "septet/core/tensor/allocator.h"
#include "septet/core/tensor/tensor.h"
#include "septet/core/train/checkpoint.h"
#include "septet/core/train/metrics.h"
#include "septet/retention/lm/evaluate.h"
#include "septet/retention/lm/model.h"
#include "septet/retention/lm/options.pb.h"

namespace septet {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr RetentionLmKindNames::Kind kKinds[] = {
    RetentionLmKindNames::retnet, RetentionLmKindNames::transformer,
    RetentionLmKindNames::linear_transformer, RetentionLmKindNames::rwkv};

RetentionLmOptions SmallOptions(
    RetentionLmKindNames::Kind kind = RetentionLmKindNames::retnet) {
  RetentionLmOptions options;
  options.set_kind(kind);
  options.mutable_model()->set_dim(16);
  options.mutable_model()->set_layers(1);
  options.mutable_data()->set_context(16);
  options.mutable_data()->set_evaluation_windows(8);
  options.mutable_data()->set_evaluation_first(20);
  options.mutable_optimizer()->set_batch(4);
  options.mutable_optimizer()->set_warmup_steps(5);
  options.mutable_optimizer()->set_lr(2e-2);
  options.mutable_train()->set_steps(60);
  return options;
}

ByteCorpus SmallCorpus() {
  ByteCorpus corpus;
  for (int i = 0; i < 30; ++i) {
    absl::StrAppend(&corpus.train, "abcdefgh", i % 3 == 0 ? "\n" : "");
  }
  corpus.held_out = corpus.train.substr(0, 120);
  return corpus;
}

std::unique_ptr<RetentionLmTask> Task(const RetentionLmOptions& options,
                                      uint64_t seed = 1) {
  auto task = RetentionLmTask::Create(options, seed, SmallCorpus());
  SEPTET_EXPECT_OK(task);
  return *std::move(task);
}

void Steps(RetentionLmTask& task, int64_t begin, int64_t end) {
  for (int64_t step = begin; step < end; ++step) {
    SEPTET_ASSERT_OK(task.Step(step));
  }
}

// All that a checkpoint of the task holds.
std::map<std::string, std::vector<double>> State(const RetentionLmTask& task) {
  Checkpoint checkpoint;
  SEPTET_EXPECT_OK(task.Save(&checkpoint));
  std::map<std::string, std::vector<double>> state;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    state[name] = tensor.ToVector<double>();
  }
  return state;
}

TEST(RetentionLmTaskTest, OptionsFollowTheRules) {
  SEPTET_EXPECT_OK(CheckOptionsSchema(RetentionLmOptions::descriptor()));
}

TEST(RetentionLmTaskTest, EveryKindLearns) {
  for (const RetentionLmKindNames::Kind kind : kKinds) {
    SCOPED_TRACE(RetentionLmKindName(kind));
    const auto task = Task(SmallOptions(kind));
    SEPTET_ASSERT_OK_AND_ASSIGN(const Metrics before, task->Evaluate(0));
    // Eight bits, more or less: first values are not nothing.
    EXPECT_NEAR(*FindMetric(before, "held_out_bits"), 8, 1.5);
    SEPTET_ASSERT_OK_AND_ASSIGN(const Metrics first, task->Step(0));
    EXPECT_NEAR(*FindMetric(first, "loss") / std::log(2.0),
                *FindMetric(first, "bits"), 1e-9);
    EXPECT_GT(*FindMetric(first, "grad_norm"), 0);
    EXPECT_NEAR(*FindMetric(first, "lr"), 2e-2 / 5, 1e-12);
    Steps(*task, 1, 60);
    SEPTET_ASSERT_OK_AND_ASSIGN(const Metrics after, task->Evaluate(60));
    EXPECT_LT(*FindMetric(after, "held_out_bits"), 0.8);
  }
}

// The schedule of retnet.md 8, and its decay of all parameters.
TEST(RetentionLmTaskTest, TheRecipe) {
  RetentionLmOptions options;
  options.mutable_data()->set_context(16);
  options.mutable_data()->set_evaluation_windows(8);
  options.mutable_data()->set_evaluation_first(20);
  options.mutable_train()->set_steps(500);
  const auto task = Task(options);
  EXPECT_EQ(task->model().parameters().NumElements(), 123200);
  for (const int64_t step : {0, 10, 60}) {
    SEPTET_ASSERT_OK_AND_ASSIGN(const Metrics metrics, task->Step(step));
    const double i = static_cast<double>(step);
    EXPECT_NEAR(*FindMetric(metrics, "lr"),
                4e-3 * std::min((i + 1) / 50, 1.0) * (1 - 0.95 * i / 500),
                1e-12);
  }
  // A gain decays where all parameters do; Adam's step is of the rate's size.
  options.mutable_optimizer()->set_lr(1e-6);
  options.mutable_optimizer()->set_warmup_steps(0);
  options.mutable_optimizer()->set_weight_decay(1000);
  const auto gain = [&](bool all) {
    options.mutable_optimizer()->set_decay_all(all);
    const auto fresh = Task(options);
    Steps(*fresh, 0, 1);
    return State(*fresh).at("model.final_norm.weight")[0];
  };
  EXPECT_NEAR(gain(false), 1, 2e-6);
  EXPECT_NEAR(gain(true), 0.999, 2e-6);
}

TEST(RetentionLmTaskTest, SeedsDecideTheBitsAndThreadsDoNot) {
  const auto run = [](uint64_t seed) {
    const auto task = Task(SmallOptions(), seed);
    Steps(*task, 0, 5);
    return State(*task);
  };
  const auto want = run(1);
  EXPECT_NE(run(2), want);
  ThreadPool pool(3);
  ScopedThreadPool scope(&pool);
  EXPECT_EQ(run(1), want);
}

void ExpectResumesBitForBit(RetentionLmOptions options) {
  options.mutable_model()->set_dropout(0.1);
  options.mutable_optimizer()->set_micro_batches(2);
  const auto whole = Task(options);
  Steps(*whole, 0, 8);
  const auto first = Task(options);
  Steps(*first, 0, 3);
  const std::string folder =
      absl::StrCat(std::getenv("TEST_TMPDIR"), "/resume_",
                   RetentionLmKindName(options.kind()));
  Checkpoint checkpoint;
  checkpoint.step = 3;
  SEPTET_ASSERT_OK(first->Save(&checkpoint));
  SEPTET_ASSERT_OK(
      SaveCheckpoint(absl::StrCat(folder, "/checkpoints"), checkpoint, 1));
  const auto second = Task(options, 1);
  Steps(*second, 0, 1);  // anything else
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Checkpoint read,
      LoadLatestCheckpoint(absl::StrCat(folder, "/checkpoints")));
  SEPTET_ASSERT_OK(second->Restore(read));
  Steps(*second, 3, 8);
  EXPECT_EQ(State(*second), State(*whole));

  // And the file alone makes the model, options and all.
  SEPTET_ASSERT_OK_AND_ASSIGN(const TrainedRetentionLm trained,
                              LoadRetentionLm(folder));
  EXPECT_EQ(trained.step, 3);
  EXPECT_EQ(trained.options.data().context(), 16);
  EXPECT_EQ(trained.model->options().model().dropout(), 0.1);
  const EvaluationOptions evaluation =
      EvaluationOptionsOf(trained.options.data());
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const double loaded,
      BitsPerByte(*trained.model, first->held_out(), evaluation));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const double own,
      BitsPerByte(first->model(), first->held_out(), evaluation));
  EXPECT_EQ(loaded, own);
}

TEST(RetentionLmTaskTest, EveryKindResumesBitForBit) {
  for (const RetentionLmKindNames::Kind kind : kKinds) {
    SCOPED_TRACE(RetentionLmKindName(kind));
    ExpectResumesBitForBit(SmallOptions(kind));
  }
  RetentionLmOptions learnable = SmallOptions();
  learnable.mutable_model()->set_learnable_decay(true);
  ExpectResumesBitForBit(learnable);
}

TEST(RetentionLmTaskTest, MicroBatchesAddUpToTheBatch) {
  RetentionLmOptions options = SmallOptions();
  const auto one = Task(options);
  SEPTET_ASSERT_OK_AND_ASSIGN(const Metrics want, one->Step(0));
  options.mutable_optimizer()->set_micro_batches(4);
  const auto four = Task(options);
  SEPTET_ASSERT_OK_AND_ASSIGN(const Metrics got, four->Step(0));
  for (const char* name : {"loss", "grad_norm"}) {
    EXPECT_NEAR(*FindMetric(got, name), *FindMetric(want, name), 1e-5) << name;
  }
}

TEST(RetentionLmTaskTest, Errors) {
  RetentionLmOptions options = SmallOptions();
  options.mutable_optimizer()->set_micro_batches(3);
  EXPECT_THAT(RetentionLmTask::Create(options, 1, SmallCorpus()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "optimizer.micro_batches is 3, expected a divisor of "
                       "optimizer.batch, 4"));
  options = SmallOptions();
  options.mutable_model()->set_vocab_size(255);
  EXPECT_THAT(RetentionLmTask::Create(options, 1, SmallCorpus()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "model.vocab_size is 255, expected at least 256: tokens "
                       "are bytes"));
  ByteCorpus tiny;
  tiny.train = "too short";
  EXPECT_THAT(RetentionLmTask::Create(SmallOptions(), 1, tiny),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("text to train on")));
  // Before the first step, not at the first evaluation.
  tiny = SmallCorpus();
  tiny.held_out.resize(20);
  EXPECT_THAT(
      RetentionLmTask::Create(SmallOptions(), 1, tiny),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(HasSubstr("held-out text"), HasSubstr("first is 20"))));
  tiny.held_out.clear();
  EXPECT_THAT(
      RetentionLmTask::Create(SmallOptions(), 1, tiny),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("held-out text")));
  const std::string folder = absl::StrCat(std::getenv("TEST_TMPDIR"), "/other");
  SEPTET_ASSERT_OK(
      SaveCheckpoint(absl::StrCat(folder, "/checkpoints"), Checkpoint(), 1));
  EXPECT_THAT(LoadRetentionLm(folder),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("no options, expected a checkpoint of "
                                 "retnet train")));
  EXPECT_THAT(
      LoadRetentionLm("/no/such/folder"),
      StatusIs(absl::StatusCode::kNotFound, HasSubstr("has no checkpoint")));
}

// The file is small, so the model is not made.
TEST(RetentionLmTaskTest, OptionsThatAskForAnotherModelTakeNoMemory) {
  Checkpoint checkpoint;
  SEPTET_ASSERT_OK(Task(SmallOptions())->Save(&checkpoint));
  std::string& text = checkpoint.text["options"];
  const size_t at = text.find("dim: 16");
  ASSERT_NE(at, std::string::npos);
  text.replace(at, 7, "dim: 1024");
  const std::string folder = absl::StrCat(std::getenv("TEST_TMPDIR"), "/lies");
  SEPTET_ASSERT_OK(
      SaveCheckpoint(absl::StrCat(folder, "/checkpoints"), checkpoint, 1));
  CpuAllocator().ResetPeak();
  const int64_t before = CpuAllocator().Stats().live_bytes;
  EXPECT_THAT(LoadRetentionLm(folder),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("for the model of its options")));
  EXPECT_LT(CpuAllocator().Stats().peak_live_bytes - before, 1 << 20);
}

}  // namespace
}  // namespace septet
