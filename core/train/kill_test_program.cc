// SPDX-License-Identifier: Apache-2.0
// A training program that has everything whose state must survive: dropout,
// batch norm's statistics, Adam's moments, a schedule, clipping, micro-batches,
// an average of the weights, data drawn by the step, evaluations.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/config/command_line.h"
#include "septet/core/nn/batch_norm_layer.h"
#include "septet/core/nn/dropout_layer.h"
#include "septet/core/nn/linear_layer.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/optim/schedule.h"
#include "septet/core/random/distributions.h"
#include "septet/core/random/stream.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"
#include "septet/core/train/checkpoint.h"
#include "septet/core/train/gradient_step.h"
#include "septet/core/train/kill_test_flags.pb.h"
#include "septet/core/train/metrics.h"
#include "septet/core/train/run_folder.h"
#include "septet/core/train/trainer.h"

namespace septet {
namespace {

constexpr uint64_t kSeed = 5;
constexpr int64_t kInputs = 16;
constexpr int64_t kRows = 8;
constexpr int kMicroBatches = 2;

class Task : public TrainTask {
 public:
  static absl::StatusOr<std::unique_ptr<Task>> Create(
      const KillTestOptions& options) {
    auto task = std::make_unique<Task>();
    const ParameterScope scope(&task->store_, {kSeed, DType::kF32});
    LinearLayerOptions linear;
    linear.in = kInputs;
    linear.out = options.width();
    SEPTET_ASSIGN_OR_RETURN(task->first_,
                            LinearLayer::Create(linear, scope.Sub("first")));
    BatchNormLayerOptions norm;
    norm.channels = options.width();
    SEPTET_ASSIGN_OR_RETURN(task->norm_,
                            BatchNormLayer::Create(norm, scope.Sub("norm")));
    SEPTET_ASSIGN_OR_RETURN(task->drop_,
                            DropoutLayer::Create(0.2, scope, "drop"));
    linear.in = options.width();
    linear.out = 1;
    SEPTET_ASSIGN_OR_RETURN(task->second_,
                            LinearLayer::Create(linear, scope.Sub("second")));
    SEPTET_ASSIGN_OR_RETURN(task->data_, RandomStream::Create(kSeed, "data"));
    GradientStepOptions step;
    step.schedule = Schedule::Cosine(1e-2, options.train().steps());
    step.max_grad_norm = 1;
    step.micro_batches = kMicroBatches;
    step.ema_tau = 0.05;
    SEPTET_ASSIGN_OR_RETURN(GradientStep update,
                            GradientStep::Create(&task->store_, step));
    task->update_ = std::make_unique<GradientStep>(std::move(update));
    return task;
  }

  absl::StatusOr<Metrics> Step(int64_t step) override {
    SEPTET_ASSIGN_OR_RETURN(
        const GradientStepResult result,
        update_->Run(step, [&](const BoundParameters& p, int micro_batch) {
          const int64_t batch = kMicroBatches * step + micro_batch;
          return Loss(p, Pass::Training(kSeed, batch), batch);
        }));
    return Metrics{{"loss", result.loss},
                   {"grad_norm", result.grad_norm},
                   {"lr", result.lr}};
  }

  absl::StatusOr<Metrics> Evaluate(int64_t) override {
    const Var loss = Loss(store_.Bind(), Pass(), 1 << 20);
    SEPTET_RETURN_IF_ERROR(loss.status());
    const Var averaged = Loss(update_->ema()->Bind(), Pass(), 1 << 20);
    SEPTET_RETURN_IF_ERROR(averaged.status());
    return Metrics{{"held_out", loss.tensor().item<double>()},
                   {"held_out_ema", averaged.tensor().item<double>()}};
  }

  absl::Status Save(Checkpoint* checkpoint) const override {
    return update_->Save(checkpoint);
  }

  absl::Status Restore(const Checkpoint& checkpoint) override {
    return update_->Restore(checkpoint);
  }

 private:
  // Rows of numbers and the mean of the squares of each.
  Var Loss(const BoundParameters& p, const Pass& pass, int64_t batch) const {
    absl::StatusOr<Tensor> x = Tensor::Empty({kRows, kInputs}, DType::kF32);
    if (!x.ok()) return x.status();
    if (absl::Status status = FillUniform(
            *data_, -1, 1,
            absl::MakeSpan(x->mutable_data<float>(), kRows * kInputs),
            batch * kRows * kInputs);
        !status.ok()) {
      return status;
    }
    const Var target = Mean(Square(Var(*x)), {1}, {/*keep_dims=*/true});
    Var h = norm_.Forward(p, pass, first_.Forward(p, Var(*x)));
    h = drop_.Forward(pass, Tanh(h));
    return Mean(Square(Sub(second_.Forward(p, h), target)));
  }

  ParameterStore store_;
  LinearLayer first_;
  BatchNormLayer norm_;
  DropoutLayer drop_;
  LinearLayer second_;
  std::optional<RandomStream> data_;
  std::unique_ptr<GradientStep> update_;
};

absl::Status Run(const KillTestFlags& flags, const KillTestOptions& options) {
  Manifest manifest;
  manifest.tool = "kill_test_program";
  manifest.seed = kSeed;
  manifest.options = &options;
  SEPTET_ASSIGN_OR_RETURN(
      RunFolder folder, RunFolder::Open(ResolveUserPath(flags.out()), manifest,
                                        {flags.resume(), flags.fresh()}));
  SEPTET_ASSIGN_OR_RETURN(const std::unique_ptr<Task> task,
                          Task::Create(options));
  return Train(options.train(), *task, folder).status();
}

}  // namespace
}  // namespace septet

int main(int argc, char** argv) {
  septet::KillTestFlags flags;
  septet::KillTestOptions options;
  septet::ToolSpec tool;
  tool.name = "kill_test_program";
  tool.summary = "Trains a small network, for kill_test.";
  tool.flags = &flags;
  tool.options = &options;
  return septet::RunTool(tool, argc, argv,
                         [&](const std::vector<std::string>&) {
                           return septet::Run(flags, options);
                         });
}
