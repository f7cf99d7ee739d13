// SPDX-License-Identifier: Apache-2.0
#include "septet/baselines/fashion_classifier/train_task.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/baselines/fashion_classifier/data.h"
#include "septet/baselines/fashion_classifier/evaluate.h"
#include "septet/baselines/fashion_classifier/model.h"
#include "septet/baselines/fashion_classifier/options.pb.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/config/text.h"
#include "septet/core/data/augment.h"
#include "septet/core/data/epoch_sampler.h"
#include "septet/core/data/image_dataset.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/ops/loss.h"
#include "septet/core/optim/adam.h"
#include "septet/core/optim/schedule.h"
#include "septet/core/tensor/tensor.h"
#include "septet/core/train/checkpoint.h"
#include "septet/core/train/gradient_step.h"
#include "septet/core/train/metrics.h"

namespace septet {
namespace {

constexpr char kOptionsText[] = "options";
constexpr char kClassText[] = "class.";
constexpr char kShapeTensor[] = "data.shape";  // height, width, channels
constexpr char kMeanTensor[] = "data.mean";
constexpr char kStdTensor[] = "data.std";
// Of a checkpoint's parameters (core/train/gradient_step.h).
constexpr char kModelPrefix[] = "model.";

GradientStepOptions StepOptions(const ImageClassifierOptions& options) {
  const ImageClassifierOptimizerOptions& o = options.optimizer();
  AdamOptions adam;
  adam.beta1 = o.beta1();
  adam.beta2 = o.beta2();
  adam.eps = o.eps();
  adam.weight_decay = o.weight_decay();
  GradientStepOptions result;
  result.optimizer = adam;
  result.schedule =
      Schedule::Linear(o.lr(), options.train().steps(), o.final_fraction());
  result.schedule.warmup_steps = o.warmup_steps();
  return result;
}

// Share of the rows whose largest logit is that of the target.
double Accuracy(const Tensor& logits, const Tensor& targets) {
  const int64_t classes = logits.dim(1);
  const float* row = logits.data<float>();
  const int64_t* const labels = targets.data<int64_t>();
  int64_t right = 0;
  for (int64_t i = 0; i < logits.dim(0); ++i, row += classes) {
    right += std::max_element(row, row + classes) - row == labels[i] ? 1 : 0;
  }
  return static_cast<double>(right) / static_cast<double>(logits.dim(0));
}

// A tensor of a checkpoint, as numbers.
template <typename T>
absl::StatusOr<std::vector<T>> Numbers(const Checkpoint& checkpoint,
                                       const std::string& name) {
  const auto found = checkpoint.tensors.find(name);
  if (found == checkpoint.tensors.end() || found->second.rank() != 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "no tensor '", name,
        "' of one axis, expected a checkpoint of fashion_classifier"));
  }
  return found->second.ToVector<T>();
}

absl::StatusOr<TrainedImageClassifier> FromCheckpoint(
    const Checkpoint& checkpoint) {
  TrainedImageClassifier trained;
  trained.step = checkpoint.step;
  const auto text = checkpoint.text.find(kOptionsText);
  if (text == checkpoint.text.end()) {
    return absl::InvalidArgumentError(
        "no options, expected a checkpoint of fashion_classifier");
  }
  SEPTET_RETURN_IF_ERROR(
      ParseOptions(text->second, kOptionsText, &trained.options));
  for (int64_t i = 0;; ++i) {
    const auto name = checkpoint.text.find(absl::StrCat(kClassText, i));
    if (name == checkpoint.text.end()) break;
    trained.classes.push_back(name->second);
  }
  SEPTET_ASSIGN_OR_RETURN(const std::vector<int64_t> shape,
                          Numbers<int64_t>(checkpoint, kShapeTensor));
  SEPTET_ASSIGN_OR_RETURN(const std::vector<double> mean,
                          Numbers<double>(checkpoint, kMeanTensor));
  SEPTET_ASSIGN_OR_RETURN(const std::vector<double> std,
                          Numbers<double>(checkpoint, kStdTensor));
  if (shape.size() != 3) {
    return absl::InvalidArgumentError(absl::StrCat("tensor '", kShapeTensor,
                                                   "' has ", shape.size(),
                                                   " elements, expected 3"));
  }
  const ImageClassifierShape data = {
      shape[0], shape[1], shape[2],
      static_cast<int64_t>(trained.classes.size())};
  SEPTET_RETURN_IF_ERROR(CheckImageClassifierShape(data));
  if (static_cast<int64_t>(mean.size()) != data.channels) {
    return absl::InvalidArgumentError(absl::StrCat(
        "tensor '", kMeanTensor, "' has ", mean.size(), " elements, expected ",
        data.channels, ", one for each channel"));
  }
  SEPTET_ASSIGN_OR_RETURN(ImageScale scale, ImageScale::Create(mean, std));
  trained.scale = std::make_unique<ImageScale>(std::move(scale));
  // Before memory is taken for what options and shape say.
  int64_t held = 0;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    if (absl::StartsWith(name, kModelPrefix)) held += tensor.num_elements();
  }
  const int64_t wanted =
      NumImageClassifierParameters(trained.options.model(), data);
  if (held != wanted) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the tensors \"", kModelPrefix, "*\" have ", held,
        " elements, expected ", wanted, " for the model of its options"));
  }
  // Its first values are overwritten.
  SEPTET_ASSIGN_OR_RETURN(
      trained.model,
      ImageClassifier::Create(trained.options.model(), data, /*seed=*/0));
  ParameterImportOptions import;
  import.prefix = kModelPrefix;
  import.allow_unknown = true;  // the optimiser's
  SEPTET_RETURN_IF_ERROR(
      trained.model->parameters().Import(checkpoint.tensors, import));
  return trained;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ImageClassifierTask>>
ImageClassifierTask::Create(const ImageClassifierOptions& options,
                            uint64_t seed, ImageClassifierData data) {
  auto task = absl::WrapUnique(new ImageClassifierTask());
  task->options_ = CompleteOptions(options);
  task->data_ = std::move(data);
  const ImageDataset& train = task->data_.train;
  const ChannelMoments& moments = task->data_.moments;
  SEPTET_ASSIGN_OR_RETURN(ImageScale scale,
                          ImageScale::Create(moments.mean, moments.std));
  task->scale_ = std::make_unique<ImageScale>(std::move(scale));
  SEPTET_ASSIGN_OR_RETURN(task->model_,
                          ImageClassifier::Create(task->options_.model(),
                                                  task->data_.Shape(), seed));
  EpochSamplerOptions order;
  order.size = train.size();
  order.batch = task->options_.optimizer().batch();
  order.seed = seed;
  SEPTET_ASSIGN_OR_RETURN(EpochSampler sampler, EpochSampler::Create(order),
                          _ << "images to train on");
  task->sampler_ = std::make_unique<EpochSampler>(std::move(sampler));
  AugmentOptions augment;
  augment.shift = task->options_.augment().shift();
  augment.flip = task->options_.augment().flip();
  augment.seed = seed;
  SEPTET_ASSIGN_OR_RETURN(ImageAugmenter augmenter,
                          ImageAugmenter::Create(augment));
  task->augmenter_ = std::make_unique<ImageAugmenter>(std::move(augmenter));
  SEPTET_ASSIGN_OR_RETURN(GradientStep update,
                          GradientStep::Create(&task->model_->parameters(),
                                               StepOptions(task->options_)));
  task->update_ = std::make_unique<GradientStep>(std::move(update));
  return task;
}

absl::StatusOr<Metrics> ImageClassifierTask::Step(int64_t step) {
  const absl::Span<const int64_t> items = sampler_->Batch(step);
  SEPTET_ASSIGN_OR_RETURN(const Tensor images,
                          augmenter_->Batch(data_.train.images, *scale_, items,
                                            sampler_->Epoch(step)));
  SEPTET_ASSIGN_OR_RETURN(const Tensor targets, LabelsOf(data_.train, items));
  double accuracy = 0;
  SEPTET_ASSIGN_OR_RETURN(
      const GradientStepResult result,
      update_->Run(step, [&](const BoundParameters& p, int /*part*/) {
        const Var logits = model_->Logits(p, images);
        if (logits.ok()) accuracy = Accuracy(logits.tensor(), targets);
        return MicroBatchLoss(CrossEntropy(logits, targets));
      }));
  return Metrics{
      {"loss", result.loss}, {"accuracy", accuracy}, {"lr", result.lr}};
}

absl::StatusOr<Metrics> ImageClassifierTask::Evaluate(int64_t /*step*/) {
  SEPTET_ASSIGN_OR_RETURN(
      const ImageClassifierResult result,
      EvaluateImageClassifier(*model_, data_.test, *scale_));
  return Metrics{{"test_accuracy", result.accuracy},
                 {"test_loss", result.loss}};
}

absl::Status ImageClassifierTask::Save(Checkpoint* checkpoint) const {
  checkpoint->text[kOptionsText] = PrintOptions(options_);
  for (int64_t i = 0; i < data_.train.num_classes(); ++i) {
    checkpoint->text[absl::StrCat(kClassText, i)] =
        data_.train.classes[static_cast<size_t>(i)];
  }
  SEPTET_ASSIGN_OR_RETURN(checkpoint->tensors[kShapeTensor],
                          Tensor::FromValues<int64_t>(
                              {3}, {data_.train.height(), data_.train.width(),
                                    data_.train.channels()}));
  const int64_t channels = data_.train.channels();
  SEPTET_ASSIGN_OR_RETURN(
      checkpoint->tensors[kMeanTensor],
      Tensor::FromValues<double>({channels}, data_.moments.mean));
  SEPTET_ASSIGN_OR_RETURN(
      checkpoint->tensors[kStdTensor],
      Tensor::FromValues<double>({channels}, data_.moments.std));
  return update_->Save(checkpoint);
}

absl::Status ImageClassifierTask::Restore(const Checkpoint& checkpoint) {
  return update_->Restore(checkpoint);
}

absl::StatusOr<TrainedImageClassifier> LoadImageClassifier(
    const std::string& path) {
  SEPTET_ASSIGN_OR_RETURN(
      const Checkpoint checkpoint,
      absl::EndsWith(path, ".safetensors")
          ? LoadCheckpoint(path)
          : LoadLatestCheckpoint(absl::StrCat(path, "/checkpoints")));
  SEPTET_ASSIGN_OR_RETURN(TrainedImageClassifier trained,
                          FromCheckpoint(checkpoint), _ << path);
  return trained;
}

}  // namespace septet
