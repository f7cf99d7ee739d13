// SPDX-License-Identifier: Apache-2.0
// The training run of a language model of bytes, of any kind, for core/train's
// loop.
//
//   SEPTET_ASSIGN_OR_RETURN(std::unique_ptr<RetentionLmTask> task,
//                           RetentionLmTask::Create(options, seed, corpus));
//   SEPTET_ASSIGN_OR_RETURN(TrainSummary summary,
//                           Train(options.train(), *task, folder));
//   SEPTET_ASSIGN_OR_RETURN(TrainedRetentionLm trained,
//                           LoadRetentionLm(folder.path()));
//
// Step s reads the windows s of the stream "data/windows" of the seed, whatever
// the kind of model: runs of one seed see the same text in the same order.
// First values and dropout are of the same seed. A checkpoint holds the options
// as text ("options"), so that it is all that LoadRetentionLm needs.
#ifndef SEPTET_RETENTION_LM_TRAIN_TASK_H_
#define SEPTET_RETENTION_LM_TRAIN_TASK_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "septet/core/autograd/var.h"
#include "septet/core/data/bits_per_byte.h"
#include "septet/core/data/byte_corpus.h"
#include "septet/core/data/token_windows.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/tensor/tensor.h"
#include "septet/core/train/checkpoint.h"
#include "septet/core/train/gradient_step.h"
#include "septet/core/train/metrics.h"
#include "septet/core/train/trainer.h"
#include "septet/retention/lm/model.h"
#include "septet/retention/lm/options.pb.h"

namespace septet {

// The corpus that the options name; paths are relative to where the user is.
absl::StatusOr<ByteCorpus> ReadCorpus(const RetentionLmDataOptions& options);

// How the options have a model evaluated, all targets of the trained context.
EvaluationOptions EvaluationOptionsOf(const RetentionLmDataOptions& options);

class RetentionLmTask : public TrainTask {
 public:
  // Errors: InvalidArgument naming the option; those of RetentionLm::Create,
  // TokenWindows::Create (a text that is too short), CheckEvaluation (one of
  // which too little is held out) and GradientStep::Create.
  static absl::StatusOr<std::unique_ptr<RetentionLmTask>> Create(
      const RetentionLmOptions& options, uint64_t seed,
      const ByteCorpus& corpus);

  // "loss" in nats, "bits" a byte, "grad_norm", "lr".
  absl::StatusOr<Metrics> Step(int64_t step) override;
  // "held_out_bits" a byte.
  absl::StatusOr<Metrics> Evaluate(int64_t step) override;
  absl::Status Save(Checkpoint* checkpoint) const override;
  absl::Status Restore(const Checkpoint& checkpoint) override;

  const RetentionLm& model() const { return *model_; }
  const Tensor& held_out() const { return held_out_; }

 private:
  RetentionLmTask(const RetentionLmOptions& options, uint64_t seed,
                  std::unique_ptr<RetentionLm> model, TokenWindows windows,
                  Tensor held_out, GradientStep update)
      : options_(options),
        seed_(seed),
        model_(std::move(model)),
        windows_(std::move(windows)),
        held_out_(std::move(held_out)),
        update_(std::move(update)) {}

  // Of micro-batch `part` of a step.
  Var PartLoss(const BoundParameters& p, const TokenBatch& batch, int64_t step,
               int64_t part) const;

  const RetentionLmOptions options_;
  const uint64_t seed_;
  std::unique_ptr<RetentionLm> model_;
  TokenWindows windows_;
  Tensor held_out_;
  GradientStep update_;
};

// A trained model, and what it was trained with.
struct TrainedRetentionLm {
  std::unique_ptr<RetentionLm> model;
  RetentionLmOptions options;
  int64_t step = 0;
};

// The model of a checkpoint (a path that ends in ".safetensors"), or of the
// newest one of a run folder. Errors: those of LoadCheckpoint and
// LoadLatestCheckpoint; InvalidArgument for a checkpoint of something else. The
// memory it takes is bounded by the file's size, whatever its options say.
absl::StatusOr<TrainedRetentionLm> LoadRetentionLm(const std::string& path);

}  // namespace septet

#endif  // SEPTET_RETENTION_LM_TRAIN_TASK_H_
