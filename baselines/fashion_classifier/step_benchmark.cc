// SPDX-License-Identifier: Apache-2.0
// Training steps of fashion_classifier for tools/peers/compare.py: 128 images
// of 28 x 28, Adam.
//
// The limit of a step: its products (ImageClassifierStepFlops) at the peak of
// multiply-adds.
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "septet/baselines/fashion_classifier/model.h"
#include "septet/baselines/fashion_classifier/model_options.pb.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/bench/case.h"
#include "septet/core/bench/step_program.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/ops/loss.h"
#include "septet/core/optim/adam.h"
#include "septet/core/random/distributions.h"
#include "septet/core/random/stream.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

constexpr int64_t kBatch = 128;
constexpr ImageClassifierShape kShape = {28, 28, 1, 10};

class FashionJob : public StepJob {
 public:
  static absl::StatusOr<std::unique_ptr<StepJob>> Create() {
    auto job = std::make_unique<FashionJob>();
    SEPTET_ASSIGN_OR_RETURN(job->model_,
                            ImageClassifier::Create({}, kShape, /*seed=*/1));
    SEPTET_ASSIGN_OR_RETURN(
        Adam optimizer, Adam::Create({}, job->model_->parameters().trained()));
    job->optimizer_ = std::make_unique<Adam>(std::move(optimizer));
    SEPTET_ASSIGN_OR_RETURN(
        job->images_,
        Tensor::Empty({kBatch, kShape.height, kShape.width, kShape.channels},
                      DType::kF32));
    SEPTET_ASSIGN_OR_RETURN(const RandomStream pixels,
                            RandomStream::Create(1, "bench/pixels"));
    SEPTET_RETURN_IF_ERROR(FillNormal(
        pixels, 0, 1,
        absl::MakeSpan(job->images_.mutable_data<float>(),
                       static_cast<size_t>(job->images_.num_elements()))));
    SEPTET_ASSIGN_OR_RETURN(job->labels_, Tensor::Empty({kBatch}, DType::kI64));
    for (int64_t i = 0; i < kBatch; ++i) {
      job->labels_.mutable_data<int64_t>()[i] = i * 7 % kShape.classes;
    }
    return job;
  }

  absl::StatusOr<double> Step() override {
    tape_.Reset();
    model_->parameters().Watch(&tape_, &bound_);
    const Var loss = CrossEntropy(model_->Logits(bound_, images_), labels_);
    SEPTET_ASSIGN_OR_RETURN(const std::vector<Tensor> grads,
                            tape_.Grad(loss, bound_.trained()));
    SEPTET_RETURN_IF_ERROR(
        optimizer_->Step(model_->parameters().trained(), grads));
    return loss.tensor().item<float>();
  }

  absl::StatusOr<std::map<std::string, Tensor>> Export() const override {
    std::map<std::string, Tensor> tensors = model_->parameters().Export();
    tensors["images"] = images_;
    tensors["labels"] = labels_;
    return tensors;
  }

  BenchLimit Limit() const override {
    return BenchLimit::F32Flops(ImageClassifierStepFlops({}, kShape, kBatch));
  }

 private:
  std::unique_ptr<ImageClassifier> model_;
  std::unique_ptr<Adam> optimizer_;
  Tensor images_;
  Tensor labels_;
  Tape tape_;
  BoundParameters bound_;
};

}  // namespace
}  // namespace septet

int main(int argc, char** argv) {
  // Two names of one step: the peer's differ in the layout of its images.
  return septet::RunStepProgram({{"b128", &septet::FashionJob::Create},
                                 {"b128_nchw", &septet::FashionJob::Create}},
                                argc, argv);
}
