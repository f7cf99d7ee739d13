// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/lm/train_task.h"

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
#include "septet/core/autograd/var.h"
#include "septet/core/base/file.h"
#include "septet/core/base/runfile.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/config/text.h"
#include "septet/core/data/bits_per_byte.h"
#include "septet/core/data/byte_corpus.h"
#include "septet/core/data/token_windows.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/optim/adam.h"
#include "septet/core/optim/schedule.h"
#include "septet/core/tensor/tensor.h"
#include "septet/core/train/checkpoint.h"
#include "septet/core/train/gradient_step.h"
#include "septet/core/train/metrics.h"
#include "septet/retention/lm/evaluate.h"
#include "septet/retention/lm/model.h"
#include "septet/retention/lm/options.pb.h"

namespace septet {
namespace {

constexpr char kOptionsText[] = "options";
// Of a checkpoint's parameters (core/train/gradient_step.h).
constexpr char kModelPrefix[] = "model.";
constexpr int64_t kBytes = 256;
constexpr double kNatsPerBit = 0.69314718055994530942;

GradientStepOptions StepOptions(const RetentionLmOptions& options) {
  const RetentionLmOptimizerOptions& o = options.optimizer();
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
  result.max_grad_norm = o.max_grad_norm();
  result.micro_batches = o.micro_batches();
  result.decay_all = o.decay_all();
  return result;
}

}  // namespace

absl::StatusOr<ByteCorpus> ReadCorpus(const RetentionLmDataOptions& options) {
  if (options.file_size() == 0) {
    SEPTET_ASSIGN_OR_RETURN(const std::string folder,
                            FindRunfile("dataset_fortunes/fortunes"));
    return ReadFortunes(folder);
  }
  std::vector<std::string> paths;
  for (const std::string& file : options.file()) {
    paths.push_back(ResolveUserPath(file));
  }
  return ReadTextFiles(paths, options.held_out());
}

EvaluationOptions EvaluationOptionsOf(const RetentionLmDataOptions& options) {
  EvaluationOptions result;
  result.context = options.context();
  result.windows = options.evaluation_windows();
  result.first = options.evaluation_first();
  return result;
}

absl::StatusOr<std::unique_ptr<RetentionLmTask>> RetentionLmTask::Create(
    const RetentionLmOptions& options, uint64_t seed,
    const ByteCorpus& corpus) {
  const int64_t batch = options.optimizer().batch();
  const int64_t parts = options.optimizer().micro_batches();
  if (parts < 1 || batch % parts != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("optimizer.micro_batches is ", parts,
                     ", expected a divisor of optimizer.batch, ", batch));
  }
  if (options.model().vocab_size() < kBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("model.vocab_size is ", options.model().vocab_size(),
                     ", expected at least ", kBytes, ": tokens are bytes"));
  }
  SEPTET_ASSIGN_OR_RETURN(std::unique_ptr<RetentionLm> model,
                          RetentionLm::Create(options, seed));
  TokenWindowsOptions window_options;
  window_options.context = options.data().context();
  window_options.seed = seed;
  SEPTET_ASSIGN_OR_RETURN(Tensor train, ByteTokens(corpus.train));
  SEPTET_ASSIGN_OR_RETURN(
      TokenWindows windows,
      TokenWindows::Create(std::move(train), window_options),
      _ << "text to train on");
  SEPTET_ASSIGN_OR_RETURN(Tensor held_out, ByteTokens(corpus.held_out));
  // What would otherwise end the run when it is evaluated, behind its training.
  SEPTET_RETURN_IF_ERROR(
      CheckEvaluation(held_out, EvaluationOptionsOf(options.data())))
      << "held-out text, of which data.held_out, data.context, "
         "data.evaluation_first and data.evaluation_windows decide";
  SEPTET_ASSIGN_OR_RETURN(
      GradientStep update,
      GradientStep::Create(&model->parameters(), StepOptions(options)));
  return absl::WrapUnique(new RetentionLmTask(
      CompleteOptions(options), seed, std::move(model), std::move(windows),
      std::move(held_out), std::move(update)));
}

Var RetentionLmTask::PartLoss(const BoundParameters& p, const TokenBatch& batch,
                              int64_t step, int64_t part) const {
  const int64_t parts = options_.optimizer().micro_batches();
  const int64_t rows = batch.inputs.dim(0) / parts;
  const auto of = [&](const Tensor& all) {
    return all.Slice(0, part * rows, (part + 1) * rows);
  };
  const absl::StatusOr<Tensor> inputs = of(batch.inputs);
  if (!inputs.ok()) return inputs.status();
  const absl::StatusOr<Tensor> targets = of(batch.targets);
  if (!targets.ok()) return targets.status();
  // Each pass has a number, and so dropout masks, of its own.
  const auto pass = static_cast<uint64_t>(step * parts + part);
  return model_->Loss(p, Pass::Training(seed_, pass), *inputs, *targets);
}

absl::StatusOr<Metrics> RetentionLmTask::Step(int64_t step) {
  SEPTET_ASSIGN_OR_RETURN(const TokenBatch batch,
                          windows_.Batch(step, options_.optimizer().batch()));
  SEPTET_ASSIGN_OR_RETURN(
      const GradientStepResult result,
      update_.Run(step, [&](const BoundParameters& p, int part) {
        return MicroBatchLoss(PartLoss(p, batch, step, part));
      }));
  return Metrics{{"loss", result.loss},
                 {"bits", result.loss / kNatsPerBit},
                 {"grad_norm", result.grad_norm},
                 {"lr", result.lr}};
}

absl::StatusOr<Metrics> RetentionLmTask::Evaluate(int64_t /*step*/) {
  SEPTET_ASSIGN_OR_RETURN(
      const double bits,
      BitsPerByte(*model_, held_out_, EvaluationOptionsOf(options_.data())));
  return Metrics{{"held_out_bits", bits}};
}

absl::Status RetentionLmTask::Save(Checkpoint* checkpoint) const {
  checkpoint->text[kOptionsText] = PrintOptions(options_);
  return update_.Save(checkpoint);
}

absl::Status RetentionLmTask::Restore(const Checkpoint& checkpoint) {
  return update_.Restore(checkpoint);
}

absl::StatusOr<TrainedRetentionLm> LoadRetentionLm(const std::string& path) {
  SEPTET_ASSIGN_OR_RETURN(
      const Checkpoint checkpoint,
      absl::EndsWith(path, ".safetensors")
          ? LoadCheckpoint(path)
          : LoadLatestCheckpoint(absl::StrCat(path, "/checkpoints")));
  const auto text = checkpoint.text.find(kOptionsText);
  if (text == checkpoint.text.end()) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": no options, expected a checkpoint of retnet train"));
  }
  TrainedRetentionLm trained;
  trained.step = checkpoint.step;
  SEPTET_RETURN_IF_ERROR(ParseOptions(
      text->second, absl::StrCat(path, ": ", kOptionsText), &trained.options));
  // Before memory is taken for what the options say.
  int64_t held = 0;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    if (absl::StartsWith(name, kModelPrefix)) held += tensor.num_elements();
  }
  SEPTET_ASSIGN_OR_RETURN(const int64_t wanted,
                          NumRetentionLmParameters(trained.options), _ << path);
  if (held != wanted) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": the tensors \"", kModelPrefix, "*\" have ", held,
        " elements, expected ", wanted, " for the model of its options"));
  }
  // Its first values are overwritten.
  SEPTET_ASSIGN_OR_RETURN(trained.model,
                          RetentionLm::Create(trained.options, /*seed=*/0),
                          _ << path);
  ParameterImportOptions import;
  import.prefix = kModelPrefix;
  import.allow_unknown = true;  // the optimiser's
  SEPTET_RETURN_IF_ERROR(
      trained.model->parameters().Import(checkpoint.tensors, import))
      << path;
  return trained;
}

}  // namespace septet
