// SPDX-License-Identifier: Apache-2.0
// The training run of a classifier of small images, for core/train's loop.
//
//   SEPTET_ASSIGN_OR_RETURN(
//       std::unique_ptr<ImageClassifierTask> task,
//       ImageClassifierTask::Create(options, seed, std::move(data)));
//   SEPTET_ASSIGN_OR_RETURN(TrainSummary summary,
//                           Train(options.train(), *task, folder));
//   SEPTET_ASSIGN_OR_RETURN(TrainedImageClassifier trained,
//                           LoadImageClassifier(folder.path()));
//
// Step s trains on batch s of the stream "data/shuffle" of the seed
// (core/data/epoch_sampler.h; the last, incomplete batch of an epoch is left
// out), changed by the stream "data/augment"; first values are of the same
// seed. A checkpoint holds options, classes, the size of the images and their
// scale, so that it is all that LoadImageClassifier needs.
#ifndef SEPTET_BASELINES_FASHION_CLASSIFIER_TRAIN_TASK_H_
#define SEPTET_BASELINES_FASHION_CLASSIFIER_TRAIN_TASK_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "septet/baselines/fashion_classifier/data.h"
#include "septet/baselines/fashion_classifier/evaluate.h"
#include "septet/baselines/fashion_classifier/model.h"
#include "septet/baselines/fashion_classifier/options.pb.h"
#include "septet/core/data/augment.h"
#include "septet/core/data/epoch_sampler.h"
#include "septet/core/train/checkpoint.h"
#include "septet/core/train/gradient_step.h"
#include "septet/core/train/metrics.h"
#include "septet/core/train/trainer.h"

namespace septet {

class ImageClassifierTask : public TrainTask {
 public:
  // Errors: those of ImageClassifier::Create, EpochSampler::Create (fewer
  // images than a batch) and GradientStep::Create.
  static absl::StatusOr<std::unique_ptr<ImageClassifierTask>> Create(
      const ImageClassifierOptions& options, uint64_t seed,
      ImageClassifierData data);

  // "loss" in nats, "accuracy" of the batch before the update, 0 to 1, "lr".
  absl::StatusOr<Metrics> Step(int64_t step) override;
  // "test_accuracy", 0 to 1, "test_loss" in nats.
  absl::StatusOr<Metrics> Evaluate(int64_t step) override;
  absl::Status Save(Checkpoint* checkpoint) const override;
  absl::Status Restore(const Checkpoint& checkpoint) override;

  const ImageClassifier& model() const { return *model_; }
  const ImageClassifierData& data() const { return data_; }
  const ImageScale& scale() const { return *scale_; }

 private:
  ImageClassifierTask() = default;

  ImageClassifierOptions options_;
  ImageClassifierData data_;
  std::unique_ptr<ImageScale> scale_;
  std::unique_ptr<ImageClassifier> model_;
  std::unique_ptr<EpochSampler> sampler_;
  std::unique_ptr<ImageAugmenter> augmenter_;
  std::unique_ptr<GradientStep> update_;
};

// A trained model, and what it was trained with.
struct TrainedImageClassifier {
  std::unique_ptr<ImageClassifier> model;
  std::unique_ptr<ImageScale> scale;
  ImageClassifierOptions options;
  std::vector<std::string> classes;
  int64_t step = 0;
};

// The model of a checkpoint (a path that ends in ".safetensors"), or of the
// newest one of a run folder. Errors: those of LoadCheckpoint and
// LoadLatestCheckpoint; InvalidArgument for a checkpoint of something else. The
// memory it takes is bounded by the file's size, whatever its options say.
absl::StatusOr<TrainedImageClassifier> LoadImageClassifier(
    const std::string& path);

}  // namespace septet

#endif  // SEPTET_BASELINES_FASHION_CLASSIFIER_TRAIN_TASK_H_
