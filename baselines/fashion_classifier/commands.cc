// SPDX-License-Identifier: Apache-2.0
#include "septet/baselines/fashion_classifier/commands.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <memory>
#include <ostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"
#include "septet/baselines/fashion_classifier/data.h"
#include "septet/baselines/fashion_classifier/evaluate.h"
#include "septet/baselines/fashion_classifier/figures.h"
#include "septet/baselines/fashion_classifier/flags.pb.h"
#include "septet/baselines/fashion_classifier/options.pb.h"
#include "septet/baselines/fashion_classifier/train_task.h"
#include "septet/core/base/file.h"
#include "septet/core/base/signals.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/config/command_line.h"
#include "septet/core/config/text.h"
#include "septet/core/data/image_dataset.h"
#include "septet/core/plot/figure.h"
#include "septet/core/train/metrics.h"
#include "septet/core/train/run_folder.h"
#include "septet/core/train/trainer.h"

namespace septet {
namespace {

using Json = ::nlohmann::ordered_json;

absl::StatusOr<std::unique_ptr<ThreadPool>> MakePool(int threads) {
  if (threads == 0) {
    threads = static_cast<int>(
        std::clamp(std::thread::hardware_concurrency(), 1u, 1024u));
  }
  return ThreadPool::Create(threads);
}

void Print(const Json& json, std::ostream& out) {
  out << json.dump(-1, ' ', false, Json::error_handler_t::replace) << std::endl;
}

// What the flags name, or what was held out in training.
absl::StatusOr<ImageDataset> ReadEvaluated(
    const ImageClassifierEvalFlags& flags,
    const TrainedImageClassifier& trained) {
  const bool files = !flags.images().empty() || !flags.labels().empty();
  if (files && !flags.folder().empty()) {
    return UsageError("--images or --labels and --folder exclude each other");
  }
  if (files && (flags.images().empty() || flags.labels().empty())) {
    return UsageError("--images and --labels need each other");
  }
  if (files || !flags.folder().empty()) {
    return ReadLabelledImages(flags.images(), flags.labels(), flags.folder(),
                              trained.options.data().channels(),
                              trained.classes);
  }
  SEPTET_ASSIGN_OR_RETURN(ImageClassifierData data,
                          ReadImageClassifierData(trained.options.data()));
  return std::move(data.test);
}

}  // namespace

absl::Status TrainFashionClassifier(const ImageClassifierTrainFlags& flags,
                                    const ImageClassifierOptions& options,
                                    std::ostream& out) {
  SEPTET_ASSIGN_OR_RETURN(const std::unique_ptr<ThreadPool> pool,
                          MakePool(flags.threads()));
  const ScopedThreadPool scope(pool.get());
  const ImageClassifierOptions complete = CompleteOptions(options);
  SEPTET_ASSIGN_OR_RETURN(ImageClassifierData data,
                          ReadImageClassifierData(complete.data()));
  const auto seed = static_cast<uint64_t>(flags.seed());
  SEPTET_ASSIGN_OR_RETURN(
      std::unique_ptr<ImageClassifierTask> task,
      ImageClassifierTask::Create(complete, seed, std::move(data)));
  Manifest manifest;
  manifest.tool = "fashion_classifier train";
  manifest.seed = seed;
  manifest.options = &complete;
  manifest.facts["data"] = task->data().Fingerprint();
  SEPTET_ASSIGN_OR_RETURN(
      RunFolder folder, RunFolder::Open(ResolveUserPath(flags.out()), manifest,
                                        {flags.resume(), flags.fresh()}));
  std::cerr << task->data().ToString() << "; "
            << task->model().parameters().NumElements() << " parameters; "
            << folder.path() << std::endl;
  SEPTET_ASSIGN_OR_RETURN(const TrainSummary summary,
                          Train(complete.train(), *task, folder));
  Json json{{"folder", folder.path()}, {"steps", summary.steps}};
  for (const Metrics* metrics : {&summary.train, &summary.evaluation}) {
    for (const auto& [name, value] : *metrics) json[name] = value;
  }
  Print(json, out);
  return absl::OkStatus();
}

absl::Status EvalFashionClassifier(const ImageClassifierEvalFlags& flags,
                                   const std::vector<std::string>& arguments,
                                   std::ostream& out) {
  if (arguments.size() != 1) {
    return UsageError(absl::StrCat(
        "expected one run folder or checkpoint, got ", arguments.size(),
        arguments.empty() ? ": train makes one" : ""));
  }
  SEPTET_ASSIGN_OR_RETURN(const TrainedImageClassifier trained,
                          LoadImageClassifier(ResolveUserPath(arguments[0])));
  SEPTET_ASSIGN_OR_RETURN(const std::unique_ptr<ThreadPool> pool,
                          MakePool(flags.threads()));
  const ScopedThreadPool scope(pool.get());
  const InterruptScope interrupts;
  SEPTET_ASSIGN_OR_RETURN(const ImageDataset images,
                          ReadEvaluated(flags, trained));
  SEPTET_ASSIGN_OR_RETURN(
      const ImageClassifierResult result,
      EvaluateImageClassifier(*trained.model, images, *trained.scale));
  out << absl::StrFormat(
      "%d images; model of %d parameters after %d steps\n", images.size(),
      trained.model->parameters().NumElements(), trained.step);
  size_t width = 3;
  for (const std::string& name : images.classes) {
    width = std::max(width, name.size());
  }
  Json classes;
  for (int64_t c = 0; c < result.classes; ++c) {
    const std::string& name = images.classes[static_cast<size_t>(c)];
    const double accuracy = result.ClassAccuracy(c);
    out << absl::StrFormat("%-*s  %6.2f %%\n", width, name, 100 * accuracy);
    classes[name] = accuracy;
  }
  out << absl::StrFormat("%-*s  %6.2f %%  loss %.4f\n", width, "all",
                         100 * result.accuracy, result.loss);
  if (!flags.figures().empty()) {
    const std::string folder = ResolveUserPath(flags.figures());
    SEPTET_ASSIGN_OR_RETURN(
        const Figure confusion,
        ConfusionFigure(result.confusion, images.classes,
                        absl::StrFormat("%d images: %.2f %% right",
                                        images.size(), 100 * result.accuracy)));
    SEPTET_RETURN_IF_ERROR(confusion.Save(absl::StrCat(folder, "/confusion")));
    SEPTET_ASSIGN_OR_RETURN(const Figure filters, FilterFigure(*trained.model));
    SEPTET_RETURN_IF_ERROR(filters.Save(absl::StrCat(folder, "/filters")));
    std::cerr << "pictures of what is confused and of the filters in " << folder
              << std::endl;
  }
  Print({{"step", trained.step},
         {"images", images.size()},
         {"accuracy", result.accuracy},
         {"loss", result.loss},
         {"class_accuracy", classes}},
        out);
  return absl::OkStatus();
}

}  // namespace septet
