// SPDX-License-Identifier: Apache-2.0
// The training loop: steps of a task, with metrics, evaluation, checkpoints,
// progress, and an end that can be taken up again.
//
//   class Task : public TrainTask {
//     absl::StatusOr<Metrics> Step(int64_t step) override {
//       SEPTET_ASSIGN_OR_RETURN(auto result, update_.Run(step, loss_));
//       return Metrics{{"loss", result.loss}, {"lr", result.lr}};
//     }
//     absl::Status Save(Checkpoint* checkpoint) const override {
//       return update_.Save(checkpoint);
//     }
//     absl::Status Restore(const Checkpoint& checkpoint) override {
//       return update_.Restore(checkpoint);
//     }
//     ...
//   };
//
//   SEPTET_ASSIGN_OR_RETURN(TrainSummary summary,
//                           Train(options, task, folder));
//
// A run that was stopped, by Ctrl-C, SIGTERM, kill -9 or the power, and is
// resumed gives the bits of one that was not, in its weights, its metrics.jsonl
// and its later checkpoints. For that Step is a function of the state that Save
// saves and of the number of the step: random numbers come from keys and
// counters made of it (Pass::Training(seed, step), RandomStream), data too.
//
// After step s (counted from 1) there come, in this order: a row of metrics, if
// log_every divides s or s is the last; an evaluation, likewise; a checkpoint.
// The metrics of a row are means over the steps since the row before.
//
// SIGINT or SIGTERM: the step is finished, a checkpoint saved, and Train
// returns InterruptedError with the command that goes on. A second signal ends
// the process at once; the checkpoints on disk stay whole.
//
// Cost a step: 0.2 us, and two writes to files a row. Memory: a checkpoint is
// written from the tensors where they are.
#ifndef SEPTET_CORE_TRAIN_TRAINER_H_
#define SEPTET_CORE_TRAIN_TRAINER_H_

#include <cstdint>
#include <functional>
#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "septet/core/train/checkpoint.h"
#include "septet/core/train/metrics.h"
#include "septet/core/train/run_folder.h"
#include "septet/core/train/train.pb.h"

namespace septet {

class TrainTask {
 public:
  virtual ~TrainTask() = default;

  // The update after `step` others, so step = 0 is the first. An error ends the
  // run; the last checkpoint stays.
  virtual absl::StatusOr<Metrics> Step(int64_t step) = 0;

  // Held-out figures after `step` updates; must not change the state. None by
  // default. It may look at InterruptRequested() and return InterruptedError:
  // it is then called again when the run is resumed.
  virtual absl::StatusOr<Metrics> Evaluate(int64_t step);

  // Puts all that the next steps depend on into the checkpoint; tensors may
  // share the task's memory. Names that begin with "train." are the loop's.
  virtual absl::Status Save(Checkpoint* checkpoint) const = 0;

  // Takes it back, copying: the tensors are read only.
  virtual absl::Status Restore(const Checkpoint& checkpoint) = 0;
};

struct TrainHooks {
  // Where progress and notes go; null: standard error.
  std::ostream* progress = nullptr;
  // Begins the progress line.
  std::string label = "train";
  // What the user is told when the run was interrupted; by default
  // ResumeCommand(), the command line of the process with --resume.
  std::string resume_command;
  // Called for each row, after it was written; may write texts and pictures.
  std::function<absl::Status(int64_t step, const Metrics& row,
                             MetricWriter& writer)>
      on_row;
};

struct TrainSummary {
  int64_t first_step = 0;   // updates that were done when the run was taken up
  int64_t steps = 0;        // updates done in all
  Metrics train;            // the last row of Step's metrics
  Metrics evaluation;       // the last evaluation's; empty if there was none
  double seconds = 0;       // this time, evaluations and checkpoints included
  double step_seconds = 0;  // this time, in Step alone
  // The most bytes of tensors alive in a step, parameters included; 0 if no
  // step was done this time.
  int64_t peak_tensor_bytes = 0;
  int64_t peak_resident_bytes = 0;  // of the process so far

  // "1000 steps in 0:28 (28.1 ms a step); tensors in a step at most 12.3 MB;
  // process at most 45.6 MB".
  std::string ToString() const;
};

// Runs `task` up to options.steps() in `folder`, from the newest checkpoint
// that is whole if folder.resumed(), and ends with a checkpoint. Errors: those
// of ValidateOptions; those of the task, with the step and the checkpoint that
// there is in front; InterruptedError; those of LoadLatestCheckpoint,
// SaveCheckpoint and MetricWriter.
absl::StatusOr<TrainSummary> Train(const TrainOptions& options, TrainTask& task,
                                   RunFolder& folder,
                                   const TrainHooks& hooks = {});

}  // namespace septet

#endif  // SEPTET_CORE_TRAIN_TRAINER_H_
