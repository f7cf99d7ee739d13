// SPDX-License-Identifier: Apache-2.0
// The experiment baselines/fashion_classifier: how much of Fashion-MNIST's test
// set a small convolutional network knows, with what it confuses, its first
// layer's filters and its curves.
#include "septet/core/experiment/experiment.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "google/protobuf/message.h"
#include "septet/baselines/fashion_classifier/data.h"
#include "septet/baselines/fashion_classifier/evaluate.h"
#include "septet/baselines/fashion_classifier/figures.h"
#include "septet/baselines/fashion_classifier/model.h"
#include "septet/baselines/fashion_classifier/options.pb.h"
#include "septet/baselines/fashion_classifier/train_task.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/experiment/registry.h"
#include "septet/core/io/safetensors.h"
#include "septet/core/plot/figure.h"
#include "septet/core/tensor/tensor.h"
#include "septet/core/train/metrics.h"
#include "septet/core/train/run_folder.h"
#include "septet/core/train/trainer.h"

namespace septet {
namespace {

// Of Fashion-MNIST, for what is declared before the data are read.
constexpr ImageClassifierShape kShape = {28, 28, 1, 10};
constexpr int64_t kTestImages = 10000;
constexpr int64_t kEpochSteps = 60000 / 128;

constexpr char kConfusionFile[] = "confusion.safetensors";
constexpr char kConfusion[] = "confusion";

std::unique_ptr<ImageClassifierOptions> MakeOptions(Preset preset) {
  auto options = std::make_unique<ImageClassifierOptions>();
  TrainOptions& train = *options->mutable_train();
  switch (preset) {
    case Preset::kQuick:
      train.set_steps(600);
      train.set_log_every(20);
      train.set_evaluate_every(100);
      break;
    case Preset::kStandard:
      train.set_steps(5 * kEpochSteps);
      train.set_log_every(kEpochSteps / 9);
      train.set_evaluate_every(kEpochSteps / 2);
      break;
    case Preset::kFull:
      train.set_steps(30 * kEpochSteps);
      train.set_log_every(kEpochSteps);
      train.set_evaluate_every(kEpochSteps);
      options->mutable_augment()->set_shift(2);
      options->mutable_augment()->set_flip(true);
      options->mutable_optimizer()->set_final_fraction(0.02);
      break;
  }
  return options;
}

// Of all seeds: training steps, and evaluations of all test images.
Effort MakeEffort(Preset preset, double budget_seconds, int seeds) {
  const auto options = MakeOptions(preset);
  const TrainOptions& train = options->train();
  const int64_t evaluations =
      (train.steps() + train.evaluate_every() - 1) / train.evaluate_every() + 1;
  const double flops =
      static_cast<double>(train.steps()) *
          ImageClassifierStepFlops(options->model(), kShape,
                                   options->optimizer().batch()) +
      static_cast<double>(evaluations) *
          ImageClassifierForwardFlops(options->model(), kShape, kTestImages);
  return {budget_seconds, seeds * flops, seeds};
}

absl::StatusOr<SeedResult> RunSeed(const SeedContext& context) {
  const auto& options = context.OptionsAs<ImageClassifierOptions>();
  SEPTET_ASSIGN_OR_RETURN(ImageClassifierData data,
                          ReadImageClassifierData(options.data()));
  SEPTET_ASSIGN_OR_RETURN(
      const std::unique_ptr<ImageClassifierTask> task,
      ImageClassifierTask::Create(options, context.seed, std::move(data)));
  Manifest manifest;
  manifest.tool = "reproduce baselines/fashion_classifier";
  manifest.seed = context.seed;
  manifest.options = &options;
  manifest.facts["data"] = task->data().Fingerprint();
  RunFolderOptions open;
  open.resume = context.resume;
  SEPTET_ASSIGN_OR_RETURN(
      RunFolder folder,
      RunFolder::Open(context.folder, manifest, open, context.progress));
  TrainHooks hooks;
  hooks.progress = context.progress;
  hooks.label = absl::StrCat("seed ", context.seed);
  hooks.resume_command = "run the same command again";
  SEPTET_RETURN_IF_ERROR(Train(options.train(), *task, folder, hooks).status());
  SEPTET_ASSIGN_OR_RETURN(
      const ImageClassifierResult result,
      EvaluateImageClassifier(task->model(), task->data().test, task->scale()));
  SEPTET_ASSIGN_OR_RETURN(
      const Tensor confusion,
      Tensor::FromValues<int64_t>({result.classes, result.classes},
                                  result.confusion));
  SEPTET_RETURN_IF_ERROR(
      WriteSafetensors(folder.Path(kConfusionFile), {{kConfusion, confusion}}));
  double worst = std::numeric_limits<double>::infinity();
  for (int64_t c = 0; c < result.classes; ++c) {
    worst = std::min(worst, result.ClassAccuracy(c));
  }
  return SeedResult{{{"accuracy", 100 * result.accuracy},
                     {"worst_class", 100 * worst},
                     {"loss", result.loss}}};
}

absl::Status Summarize(const SummaryContext& context) {
  const std::string figures = absl::StrCat(context.folder, "/figures/");
  std::vector<std::vector<MetricRow>> curves;
  std::vector<int64_t> counts;
  double accuracy = 0;
  for (size_t i = 0; i < context.folders.size(); ++i) {
    const std::string& folder = context.folders[i];
    SEPTET_ASSIGN_OR_RETURN(
        std::vector<MetricRow> rows,
        ReadMetrics(absl::StrCat(folder, "/", MetricWriter::kRowsName)));
    curves.push_back(std::move(rows));
    SEPTET_ASSIGN_OR_RETURN(
        const SafetensorsFile file,
        SafetensorsFile::Open(absl::StrCat(folder, "/", kConfusionFile)));
    SEPTET_ASSIGN_OR_RETURN(const Tensor confusion, file.Get(kConfusion));
    const std::vector<int64_t> of_seed = confusion.ToVector<int64_t>();
    counts.resize(of_seed.size());
    for (size_t k = 0; k < of_seed.size(); ++k) counts[k] += of_seed[k];
    accuracy += context.results[i].metrics.at("accuracy") /
                static_cast<double>(context.folders.size());
  }
  SEPTET_ASSIGN_OR_RETURN(const TrainedImageClassifier trained,
                          LoadImageClassifier(context.folders[0]));
  SEPTET_ASSIGN_OR_RETURN(
      const Figure confusion,
      ConfusionFigure(counts, trained.classes,
                      absl::StrFormat("Test images: %.2f %% right%s", accuracy,
                                      context.folders.size() == 1
                                          ? ""
                                          : absl::StrCat(" (sum of ",
                                                         context.folders.size(),
                                                         " seeds)"))));
  SEPTET_RETURN_IF_ERROR(confusion.Save(figures + "confusion"));
  SEPTET_ASSIGN_OR_RETURN(const Figure filters, FilterFigure(*trained.model));
  SEPTET_RETURN_IF_ERROR(filters.Save(figures + "filters"));
  SEPTET_ASSIGN_OR_RETURN(
      const Figure curve,
      CurvesFigure(curves, static_cast<double>(kEpochSteps)));
  return curve.Save(figures + "curves");
}

Experiment FashionClassifier() {
  Experiment experiment;
  experiment.name = "baselines/fashion_classifier";
  experiment.claim =
      "A small convolutional network knows nine in ten of Fashion-MNIST's test "
      "images.";
  experiment.source =
      "this project; data of Xiao, Rasul and Vollgraf 2017, arXiv 1708.07747";
  Check accuracy;
  accuracy.metric = "accuracy";
  accuracy.label = "test accuracy, %";
  accuracy.comparison = Comparison::kAtLeast;
  accuracy.quick = 86;
  accuracy.standard = 90;
  accuracy.full = 90;
  accuracy.judged = Statistic::kWorst;
  Check worst;
  worst.metric = "worst_class";
  worst.label = "accuracy of the worst class, %";
  worst.acceptance = Acceptance::kContested;
  experiment.checks = {accuracy, worst};
  experiment.flagship = true;
  experiment.quick = MakeEffort(Preset::kQuick, 60, 1);
  experiment.standard = MakeEffort(Preset::kStandard, 600, 3);
  experiment.full = MakeEffort(Preset::kFull, 7200, 5);
  experiment.make_options =
      [](Preset preset) -> std::unique_ptr<google::protobuf::Message> {
    return MakeOptions(preset);
  };
  experiment.run_seed = &RunSeed;
  experiment.summarize = &Summarize;
  return experiment;
}

const ExperimentRegistration kFashionClassifier(FashionClassifier());

}  // namespace
}  // namespace septet
