// SPDX-License-Identifier: Apache-2.0
// One update of a model's parameters: the loss, its gradient, over several
// micro-batches if need be, clipping, the schedule's rate and the optimiser.
//
//   GradientStepOptions options;
//   options.optimizer = AdamOptions();
//   options.schedule = Schedule::Cosine(3e-4, steps);
//   options.max_grad_norm = 1;
//   SEPTET_ASSIGN_OR_RETURN(GradientStep update,
//                           GradientStep::Create(&store, options));
//   for (int64_t step = 0; step < steps; ++step) {
//     SEPTET_ASSIGN_OR_RETURN(
//         GradientStepResult result,
//         update.Run(step, [&](const BoundParameters& p, int micro_batch) {
//           const Batch batch = data.Get(step, micro_batch);
//           return CrossEntropy(
//               model.Forward(p, Pass::Training(seed, step), batch.x),
//               batch.y);
//         }));
//   }
//
// With micro_batches n the gradient is that of sum_i w_i loss_i / sum_i w_i,
// added up in the order of i: with losses that are means over their examples
// and the numbers of examples as weights (all 1 by default) that of one large
// batch, up to rounding, in the memory of one micro-batch. With n = 1 nothing
// is added or divided, whatever the weight.
//
// A loss or gradient that is not finite ends the step with an error, before
// anything is changed: parameters, optimiser, averages and buffers are as
// before the step. The step is then run again under an observer, which finds
// the first tensor that was not finite: a parameter, an input of an op that no
// op computed (a batch), the result of an op or a gradient on the way back,
// each by name and number. The loss must be a function of the step for that, as
// all of septet's are. A step that is fine pays for one pass over the
// gradients, which gives their norm.
//
// In a steady step no memory is taken from the system but through the caching
// allocator.
#ifndef SEPTET_CORE_TRAIN_GRADIENT_STEP_H_
#define SEPTET_CORE_TRAIN_GRADIENT_STEP_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/optim/adam.h"
#include "septet/core/optim/schedule.h"
#include "septet/core/optim/sgd.h"
#include "septet/core/tensor/tensor.h"
#include "septet/core/train/checkpoint.h"

namespace septet {

struct GradientStepOptions {
  // Its `lr` is not used: the schedule's is.
  std::variant<AdamOptions, SgdOptions> optimizer;
  Schedule schedule;
  double max_grad_norm = 0;  // 0: no clipping; finite, >= 0
  int micro_batches = 1;     // >= 1
  // The share of the new parameters in their moving average, in [0, 1]; 0:
  // there is no average.
  double ema_tau = 0;
  // Weight decay for all parameters, not only for those whose traits want it.
  bool decay_all = false;

  // InvalidArgument that names the field, its value and its range.
  absl::Status Validate() const;
};

// The loss of a micro-batch, a scalar, and its share in the whole.
struct MicroBatchLoss {
  MicroBatchLoss(Var loss, double weight = 1)  // NOLINT: implicit
      : loss(std::move(loss)), weight(weight) {}

  Var loss;
  double weight;  // finite, > 0
};

struct GradientStepResult {
  double loss = 0;       // the weighted mean over the micro-batches
  double grad_norm = 0;  // before clipping
  double lr = 0;
};

class GradientStep {
 public:
  using LossFn = absl::FunctionRef<MicroBatchLoss(const BoundParameters&, int)>;

  // Updates the entries of `store`, which must stay where it is and outlive the
  // object; its entries must not change. Errors: those of Validate(), Adam or
  // Sgd; ResourceExhausted.
  static absl::StatusOr<GradientStep> Create(
      ParameterStore* store, const GradientStepOptions& options);

  GradientStep(GradientStep&&) noexcept;
  GradientStep& operator=(GradientStep&&) noexcept;
  ~GradientStep();

  // The update after `step` others. `loss` is called for micro-batches 0, 1,
  // ... in turn, and again from 0 where something was not finite.
  // Errors: that of the loss's Var; InvalidArgument for a loss that is not a
  // floating scalar on the tape, or a bad weight; FailedPrecondition for what
  // is not finite. Parameters, optimiser and average are then as before, and
  // after FailedPrecondition the buffers too.
  absl::StatusOr<GradientStepResult> Run(int64_t step, LossFn loss);

  // The moving average of the parameters, with the buffers of the store; null
  // if there is none.
  const ParameterStore* ema() const;

  // Adds parameters and buffers ("model.<name>"), the optimiser's state
  // ("optimizer.<name>") and the average ("ema.<name>") to the checkpoint, with
  // `prefix` in front of each name. The tensors share this object's memory.
  absl::Status Save(Checkpoint* checkpoint,
                    absl::string_view prefix = "") const;

  // Takes them back. Errors: InvalidArgument that names what is missing or of
  // another shape.
  absl::Status Restore(const Checkpoint& checkpoint,
                       absl::string_view prefix = "");

 private:
  struct State;
  explicit GradientStep(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace septet

#endif  // SEPTET_CORE_TRAIN_GRADIENT_STEP_H_
