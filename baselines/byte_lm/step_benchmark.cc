// SPDX-License-Identifier: Apache-2.0
// Training steps of byte_lm for tools/peers/compare.py, at the sizes that are
// compared with PyTorch.
//
// The limit of a step: the products (ByteLmStepFlops) at the peak of
// multiply-adds, and the exponentials at the rate of our own vector function:
// a visible pair and head, forward and again backward; a value of the SwiGLU;
// a logit.
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "septet/baselines/byte_lm/model.h"
#include "septet/baselines/byte_lm/model_options.pb.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/bench/case.h"
#include "septet/core/bench/step_program.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/optim/adam.h"
#include "septet/core/optim/clip.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

struct Size {
  int32_t dim;
  int32_t layers;
  int64_t time;
  int64_t batch;
};

class ByteLmJob : public StepJob {
 public:
  static absl::StatusOr<std::unique_ptr<StepJob>> Create(const Size& size) {
    ByteLmModelOptions options;
    options.set_dim(size.dim);
    options.set_layers(size.layers);
    auto job = std::make_unique<ByteLmJob>();
    SEPTET_ASSIGN_OR_RETURN(job->model_, ByteLm::Create(options, /*seed=*/1));
    AdamOptions adam;
    adam.lr = 4e-3;
    adam.beta2 = 0.98;
    adam.weight_decay = 0.05;
    const ParameterStore& parameters = job->model_->parameters();
    SEPTET_ASSIGN_OR_RETURN(
        Adam optimizer,
        Adam::Create(adam, parameters.trained(), parameters.trained_decay()));
    job->optimizer_ = std::make_unique<Adam>(std::move(optimizer));
    for (Tensor* ids : {&job->tokens_, &job->targets_}) {
      SEPTET_ASSIGN_OR_RETURN(
          *ids, Tensor::Empty({size.batch, size.time}, DType::kI64));
    }
    // Bytes that are almost random, each row's next ones its targets.
    for (int64_t i = 0; i < size.batch * size.time; ++i) {
      const auto byte = [](int64_t at) { return (at * 37 + at / 7) % 256; };
      job->tokens_.mutable_data<int64_t>()[i] = byte(i);
      job->targets_.mutable_data<int64_t>()[i] = byte(i + 1);
    }
    return job;
  }

  absl::StatusOr<double> Step() override {
    tape_.Reset();
    model_->parameters().Watch(&tape_, &bound_);
    const Var loss =
        model_->Loss(bound_, Pass::Training(1, step_), tokens_, targets_);
    SEPTET_ASSIGN_OR_RETURN(
        const std::vector<Tensor> grads,
        tape_.Grad(loss, bound_.trained(), {/*release=*/true}));
    SEPTET_RETURN_IF_ERROR(ClipGradNorm(grads, {1.0}).status());
    SEPTET_RETURN_IF_ERROR(
        optimizer_->Step(model_->parameters().trained(), grads));
    ++step_;
    return loss.tensor().item<float>();
  }

  absl::StatusOr<std::map<std::string, Tensor>> Export() const override {
    std::map<std::string, Tensor> tensors = model_->parameters().Export();
    tensors["tokens"] = tokens_;
    tensors["targets"] = targets_;
    return tensors;
  }

  BenchLimit Limit() const override {
    const int64_t batch = tokens_.dim(0);
    const int64_t time = tokens_.dim(1);
    const auto& o = model_->transformer().options();
    const auto number = [](int64_t x) { return static_cast<double>(x); };
    const double tokens = number(batch * time);
    BenchLimit limit =
        BenchLimit::F32Flops(ByteLmStepFlops(*model_, batch, time));
    limit.Call<float>(
        BenchFunction::kExp,
        2 * number(o.layers * o.heads) * tokens * number(time + 1) / 2 +
            tokens * number(o.layers * o.ffn_dim) +
            tokens * number(o.vocab_size));
    return limit;
  }

 private:
  std::unique_ptr<ByteLm> model_;
  std::unique_ptr<Adam> optimizer_;
  Tensor tokens_;
  Tensor targets_;
  Tape tape_;
  BoundParameters bound_;
  uint64_t step_ = 0;
};

}  // namespace
}  // namespace septet

int main(int argc, char** argv) {
  const auto job = [](septet::Size size) {
    return [size] { return septet::ByteLmJob::Create(size); };
  };
  return septet::RunStepProgram(
      {{"d64", job({64, 2, 128, 16})}, {"d256", job({256, 4, 256, 16})}}, argc,
      argv);
}
