// SPDX-License-Identifier: Apache-2.0
#include "septet/baselines/fashion_classifier/train_task.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/baselines/fashion_classifier/data.h"
#include "septet/baselines/fashion_classifier/evaluate.h"
#include "septet/baselines/fashion_classifier/options.pb.h"
#include "septet/baselines/fashion_classifier/stripes_testutil.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/config/schema.h"
#include "septet/core/io/idx.h"
#include "septet/core/io/image.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"
#include "septet/core/train/checkpoint.h"
#include "septet/core/train/metrics.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Path(absl::string_view name) {
  return absl::StrCat(::testing::TempDir(), "/", name);
}

std::string Idx(absl::string_view name, const Tensor& tensor) {
  EXPECT_TRUE(WriteIdx(Path(name), tensor).ok());
  return Path(name);
}

ImageClassifierOptions Options() {
  ImageClassifierOptions options;
  options.mutable_model()->set_conv1(8);
  options.mutable_model()->set_conv2(16);
  options.mutable_model()->set_hidden(32);
  options.mutable_optimizer()->set_batch(32);
  options.mutable_optimizer()->set_lr(3e-3);
  options.mutable_augment()->set_shift(1);
  options.mutable_augment()->set_flip(true);
  options.mutable_train()->set_steps(30);
  ImageClassifierDataOptions& data = *options.mutable_data();
  data.set_train_images(Idx("train-images", StripeImages(100, 1)));
  data.set_train_labels(Idx("train-labels", StripeLabels(100)));
  data.set_test_images(Idx("test-images", StripeImages(50, 2)));
  data.set_test_labels(Idx("test-labels", StripeLabels(50)));
  return options;
}

std::unique_ptr<ImageClassifierTask> MakeTask(
    const ImageClassifierOptions& options, uint64_t seed = 1) {
  auto data = ReadImageClassifierData(options.data());
  EXPECT_TRUE(data.ok()) << data.status();
  auto task = ImageClassifierTask::Create(options, seed, *std::move(data));
  EXPECT_TRUE(task.ok()) << task.status();
  return *std::move(task);
}

void RunSteps(ImageClassifierTask& task, int64_t begin, int64_t end) {
  for (int64_t step = begin; step < end; ++step) {
    SEPTET_ASSERT_OK(task.Step(step));
  }
}

// All state, as numbers.
std::map<std::string, std::vector<double>> State(
    const ImageClassifierTask& task) {
  Checkpoint checkpoint;
  EXPECT_TRUE(task.Save(&checkpoint).ok());
  std::map<std::string, std::vector<double>> state;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    state[name] = tensor.ToVector<double>();
  }
  return state;
}

TEST(ImageClassifierTaskTest, OptionsFollowTheRules) {
  SEPTET_EXPECT_OK(CheckOptionsSchema(ImageClassifierOptions::descriptor()));
}

TEST(ImageClassifierTaskTest, LearnsAndIsLoadedFromItsCheckpoint) {
  const ImageClassifierOptions options = Options();
  const auto task = MakeTask(options);
  SEPTET_ASSERT_OK_AND_ASSIGN(const Metrics before, task->Evaluate(0));
  RunSteps(*task, 0, 30);
  SEPTET_ASSERT_OK_AND_ASSIGN(const Metrics after, task->Evaluate(30));
  EXPECT_LT(*FindMetric(before, "test_accuracy"), 0.7);
  EXPECT_GT(*FindMetric(after, "test_accuracy"), 0.95);
  EXPECT_LT(*FindMetric(after, "test_loss"), 0.3);

  Checkpoint checkpoint;
  checkpoint.step = 30;
  SEPTET_ASSERT_OK(task->Save(&checkpoint));
  const std::string run = Path("learns");
  SEPTET_ASSERT_OK(SaveCheckpoint(run + "/checkpoints", checkpoint, 1));
  SEPTET_ASSERT_OK_AND_ASSIGN(const TrainedImageClassifier trained,
                              LoadImageClassifier(run));
  EXPECT_EQ(trained.step, 30);
  EXPECT_THAT(trained.classes, ElementsAre("0", "1", "2"));
  EXPECT_EQ(trained.options.optimizer().lr(), 3e-3);
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const ImageClassifierResult result,
      EvaluateImageClassifier(*trained.model, task->data().test,
                              *trained.scale));
  EXPECT_EQ(result.accuracy, *FindMetric(after, "test_accuracy"));
  EXPECT_EQ(result.loss, *FindMetric(after, "test_loss"));
  // The confusion matrix counts each image, the diagonal the known ones.
  int64_t all = 0, diagonal = 0;
  for (int64_t i = 0; i < 9; ++i) {
    all += result.confusion[i];
    if (i % 4 == 0) diagonal += result.confusion[i];
  }
  EXPECT_EQ(all, 50);
  EXPECT_EQ(diagonal / 50.0, result.accuracy);
  EXPECT_EQ(result.confusion[0] / 17.0, result.ClassAccuracy(0));
}

TEST(ImageClassifierTaskTest, ResumedRunsHaveTheBitsOfOthers) {
  const ImageClassifierOptions options = Options();
  const auto whole = MakeTask(options);
  RunSteps(*whole, 0, 9);
  // In the middle of an epoch of 3 batches.
  const auto first = MakeTask(options);
  RunSteps(*first, 0, 4);
  Checkpoint saved;
  saved.step = 4;
  SEPTET_ASSERT_OK(first->Save(&saved));
  SEPTET_ASSERT_OK(SaveCheckpoint(Path("resumed"), saved, 1));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Checkpoint loaded,
                              LoadLatestCheckpoint(Path("resumed")));
  const auto second = MakeTask(options);
  SEPTET_ASSERT_OK(second->Restore(loaded));
  RunSteps(*second, 4, 9);
  EXPECT_EQ(State(*second), State(*whole));
}

TEST(ImageClassifierTaskTest, BitsDependOnTheSeedAndNotOnThreads) {
  const ImageClassifierOptions options = Options();
  const auto serial = MakeTask(options);
  RunSteps(*serial, 0, 5);
  {
    ThreadPool pool(3);
    const ScopedThreadPool scope(&pool);
    const auto parallel = MakeTask(options);
    RunSteps(*parallel, 0, 5);
    EXPECT_EQ(State(*parallel), State(*serial));
  }
  const auto other = MakeTask(options, 2);
  RunSteps(*other, 0, 5);
  EXPECT_NE(State(*other), State(*serial));
}

TEST(ImageClassifierTaskTest, MoreImagesThanABatchAreNeeded) {
  ImageClassifierOptions options = Options();
  options.mutable_optimizer()->set_batch(101);
  SEPTET_ASSERT_OK_AND_ASSIGN(ImageClassifierData data,
                              ReadImageClassifierData(options.data()));
  EXPECT_THAT(
      ImageClassifierTask::Create(options, 1, std::move(data)),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("images to train on: epoch sampler: batch is 101, "
                         "expected at most the 100 items")));
}

TEST(ImageClassifierTaskTest, OtherCheckpointsAreRefusedByName) {
  EXPECT_THAT(LoadImageClassifier(Path("no run")),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(Path("no run"))));
  Checkpoint checkpoint;
  checkpoint.tensors["x"] = StripeLabels(3);
  SEPTET_ASSERT_OK(SaveCheckpoint(Path("other/checkpoints"), checkpoint, 1));
  EXPECT_THAT(LoadImageClassifier(Path("other")),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       Path("other") + ": no options, expected a checkpoint of "
                                       "fashion_classifier"));
  const auto task = MakeTask(Options());
  SEPTET_ASSERT_OK(task->Save(&checkpoint));
  checkpoint.tensors.erase("data.mean");
  SEPTET_ASSERT_OK(SaveCheckpoint(Path("other/checkpoints"), checkpoint, 1));
  EXPECT_THAT(LoadImageClassifier(Path("other")),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("no tensor 'data.mean' of one axis")));
  // A small file that speaks of a large model.
  SEPTET_ASSERT_OK(task->Save(&checkpoint));
  const Checkpoint whole = checkpoint;
  checkpoint.tensors["data.shape"] =
      Tensor::FromValues<int64_t>({3}, {16384, 16384, 1}).value();
  SEPTET_ASSERT_OK(SaveCheckpoint(Path("other/checkpoints"), checkpoint, 1));
  EXPECT_THAT(LoadImageClassifier(Path("other")),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("the tensors \"model.*\" have ")));
  checkpoint = whole;
  checkpoint.tensors["data.mean"] =
      Tensor::Zeros({100000}, DType::kF64).value();
  SEPTET_ASSERT_OK(SaveCheckpoint(Path("other/checkpoints"), checkpoint, 1));
  EXPECT_THAT(LoadImageClassifier(Path("other")),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("tensor 'data.mean' has 100000 elements, "
                                 "expected 1, one for each channel")));
}

TEST(ImageClassifierDataTest, ReadsFolders) {
  for (const char* set : {"a", "b"}) {
    for (int64_t n = 0; n < 6; ++n) {
      const std::string folder = Path(absl::StrCat(set, "/class", n % 3));
      SEPTET_ASSERT_OK(MakeDirectories(folder));
      const Tensor image = StripeImages(6, 3)
                               .Slice(0, n, n + 1)
                               ->Reshape({kStripesHeight, kStripesWidth, 1})
                               .value();
      SEPTET_ASSERT_OK(WritePng(absl::StrCat(folder, "/", n, ".png"), image));
    }
  }
  ImageClassifierDataOptions options;
  options.set_train_folder(Path("a"));
  EXPECT_THAT(ReadImageClassifierData(options),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "data.test_folder is empty, expected a path, as "
                       "data.train_folder has one"));
  options.set_test_folder(Path("b"));
  options.set_normalize(false);
  SEPTET_ASSERT_OK_AND_ASSIGN(const ImageClassifierData data,
                              ReadImageClassifierData(options));
  EXPECT_THAT(data.train.classes, ElementsAre("class0", "class1", "class2"));
  EXPECT_EQ(data.test.size(), 6);
  EXPECT_THAT(data.moments.std, ElementsAre(1));
  options.set_channels(ImageClassifierDataOptions::rgb);
  EXPECT_EQ(ReadImageClassifierData(options)->train.channels(), 3);
  options.set_test_labels("x");
  EXPECT_THAT(ReadImageClassifierData(options),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "data.test_labels and folders are given, expected one "
                       "of both"));
}

TEST(ImageClassifierDataTest, SizesAreTheSame) {
  ImageClassifierOptions options = Options();
  options.mutable_data()->set_test_images(
      Idx("narrow", StripeImages(60, 1).Reshape({50, 12, 12}).value()));
  EXPECT_THAT(ReadImageClassifierData(options.data()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "the images held out are u8 [50, 12, 12, 1], expected "
                       "the size and the channels of those to train on, u8 "
                       "[100, 12, 10, 1]"));
  options.mutable_data()->clear_test_images();
  EXPECT_THAT(ReadImageClassifierData(options.data()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("data.test_images is empty")));
}

TEST(ImageClassifierDataTest, FashionMnistIsThere) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const ImageClassifierData data,
                              ReadImageClassifierData({}));
  EXPECT_EQ(data.ToString(),
            "60000 images of 28 x 28 x 1 in 10 classes to train on, 10000 held "
            "out");
  EXPECT_EQ(data.train.classes[9], "Ankle boot");
  // Known of this data set.
  EXPECT_NEAR(data.moments.mean[0], 0.2860, 5e-5);
  EXPECT_NEAR(data.moments.std[0], 0.3530, 5e-5);
}

}  // namespace
}  // namespace septet
