// SPDX-License-Identifier: Apache-2.0
// Steps of RetNet for tools/peers/compare.py, at the sizes that are compared
// with PyTorch: training steps, forward and backward of the core, and decoding
// a token.
//
// Limits. Training: products of weights, 6 operations a weight and token, those
// of the core, and an exponential for each gate, SwiGLU value and logit. Core:
// retnet.md 5 with the scores above the diagonal left out. Decoding: reading
// the weights, and reading and writing the state.
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/bench/case.h"
#include "septet/core/bench/step_program.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/optim/adam.h"
#include "septet/core/random/distributions.h"
#include "septet/core/random/stream.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/decay.h"
#include "septet/retention/decode_cache.h"
#include "septet/retention/retention.h"
#include "septet/retention/retnet.h"

namespace septet {
namespace {

constexpr int64_t kVocab = 256;
// The peer divides scores by nothing.
constexpr ScoreNorm kPeersNorm = ScoreNorm::kNone;

double Number(int64_t x) { return static_cast<double>(x); }

// Of a row and head.
double CoreFlops(int64_t chunk, int64_t key_dim, int64_t value_dim) {
  const double c = Number(chunk), k = Number(key_dim), v = Number(value_dim);
  return c * (k + v) + 4 * k * v + c * (3 * k + 2 * v) + 8 * k * v;
}

struct ModelSize {
  int64_t dim;
  int64_t layers;
  int64_t heads;
  int64_t hidden;  // values and network
  int64_t batch = 1;
  int64_t time = 1;
  int64_t chunk = 64;
};

RetNetOptions OptionsOf(const ModelSize& size) {
  RetNetOptions options = DefaultRetNetOptions(kVocab, size.dim, size.layers,
                                               size.heads, size.hidden);
  options.retention.score_norm = kPeersNorm;
  options.retention.chunk_size = size.chunk;
  return options;
}

class TrainJob : public StepJob {
 public:
  static absl::StatusOr<std::unique_ptr<StepJob>> Create(
      const ModelSize& size) {
    auto job = std::make_unique<TrainJob>();
    job->size_ = size;
    SEPTET_ASSIGN_OR_RETURN(
        job->model_,
        RetNet::Create(OptionsOf(size), ParameterScope(&job->store_, {1})));
    AdamOptions adam;
    adam.lr = 1e-4;
    adam.weight_decay = 0.01;
    SEPTET_ASSIGN_OR_RETURN(Adam optimizer,
                            Adam::Create(adam, job->store_.trained()));
    job->optimizer_ = std::make_unique<Adam>(std::move(optimizer));
    for (Tensor* ids : {&job->tokens_, &job->targets_}) {
      SEPTET_ASSIGN_OR_RETURN(
          *ids, Tensor::Empty({size.batch, size.time}, DType::kI64));
    }
    // Bytes that are almost random, each row's next ones its targets.
    for (int64_t i = 0; i < size.batch * size.time; ++i) {
      const auto byte = [](int64_t at) { return (at * 37 + at / 7) % kVocab; };
      job->tokens_.mutable_data<int64_t>()[i] = byte(i);
      job->targets_.mutable_data<int64_t>()[i] = byte(i + 1);
    }
    return job;
  }

  absl::StatusOr<double> Step() override {
    tape_.Reset();
    store_.Watch(&tape_, &bound_);
    RetNetInput input;
    input.tokens = tokens_;
    // As the peer has it.
    input.form = size_.chunk >= size_.time ? RetentionForm::kParallel
                                           : RetentionForm::kChunkwise;
    const Var loss =
        model_.Loss(bound_, Pass::Training(1, step_), input, targets_);
    SEPTET_ASSIGN_OR_RETURN(
        const std::vector<Tensor> grads,
        tape_.Grad(loss, bound_.trained(), {/*release=*/true}));
    SEPTET_RETURN_IF_ERROR(optimizer_->Step(store_.trained(), grads));
    ++step_;
    return loss.tensor().item<float>();
  }

  absl::StatusOr<std::map<std::string, Tensor>> Export() const override {
    std::map<std::string, Tensor> tensors = store_.Export();
    tensors["tokens"] = tokens_;
    tensors["targets"] = targets_;
    return tensors;
  }

  BenchLimit Limit() const override {
    const double tokens = Number(size_.batch * size_.time);
    const int64_t weights = store_.NumElements() - kVocab * size_.dim;
    BenchLimit limit = BenchLimit::F32Flops(
        tokens * (6 * Number(weights) +
                  Number(size_.layers * size_.heads) *
                      CoreFlops(size_.chunk, size_.dim / size_.heads,
                                size_.hidden / size_.heads)));
    limit.Call<float>(
        BenchFunction::kExp,
        tokens * Number(2 * size_.layers * size_.hidden + kVocab));
    return limit;
  }

 private:
  ModelSize size_;
  ParameterStore store_;
  RetNet model_;
  std::unique_ptr<Adam> optimizer_;
  Tensor tokens_;
  Tensor targets_;
  Tape tape_;
  BoundParameters bound_;
  uint64_t step_ = 0;
};

struct CoreSize {
  int64_t batch;
  int64_t heads;
  int64_t time;
  int64_t key_dim;
  int64_t value_dim;
  int64_t chunk;
};

class CoreJob : public StepJob {
 public:
  static absl::StatusOr<std::unique_ptr<StepJob>> Create(const CoreSize& size) {
    auto job = std::make_unique<CoreJob>();
    job->size_ = size;
    SEPTET_ASSIGN_OR_RETURN(job->log_gamma_, LogDecay({}, size.heads));
    const std::pair<const char*, Tensor*> tensors[] = {{"q", &job->q_},
                                                       {"k", &job->k_},
                                                       {"v", &job->v_},
                                                       {"d_out", &job->d_out_}};
    for (const auto& [name, x] : tensors) {
      const bool values = x == &job->v_ || x == &job->d_out_;
      SEPTET_ASSIGN_OR_RETURN(
          *x, Tensor::Empty({size.batch, size.time, size.heads,
                             values ? size.value_dim : size.key_dim},
                            DType::kF32));
      SEPTET_ASSIGN_OR_RETURN(const RandomStream stream,
                              RandomStream::Create(1, name));
      SEPTET_RETURN_IF_ERROR(
          FillNormal(stream, /*mean=*/0, /*std=*/1,
                     absl::MakeSpan(x->mutable_data<float>(),
                                    static_cast<size_t>(x->num_elements()))));
    }
    return job;
  }

  absl::StatusOr<double> Step() override {
    RetentionOptions options;
    options.form = RetentionForm::kChunkwise;
    options.score_norm = kPeersNorm;
    options.chunk_size = size_.chunk;
    options.scale = 1;
    tape_.Reset();
    const std::vector<Var> in = {tape_.Watch(q_), tape_.Watch(k_),
                                 tape_.Watch(v_)};
    const Var out = Retention(in[0], in[1], in[2], log_gamma_, options).out;
    const Var d_out = d_out_;
    SEPTET_ASSIGN_OR_RETURN(
        const std::vector<Var> grads,
        tape_.GradVars({&out, 1}, {&d_out, 1}, in, /*create_graph=*/false));
    // Into which all of the results go.
    const int64_t last = size_.time - 1;
    return Sum(out.tensor(), last, size_.value_dim) +
           Sum(grads[0].tensor(), last, size_.key_dim) +
           Sum(grads[1].tensor(), 0, size_.key_dim) +
           Sum(grads[2].tensor(), 0, size_.value_dim);
  }

  absl::StatusOr<std::map<std::string, Tensor>> Export() const override {
    return std::map<std::string, Tensor>{
        {"q", q_}, {"k", k_}, {"v", v_}, {"d_out", d_out_}};
  }

  BenchLimit Limit() const override {
    return BenchLimit::F32Flops(
        Number(size_.batch * size_.heads * size_.time) *
        CoreFlops(size_.chunk, size_.key_dim, size_.value_dim));
  }

 private:
  // Of row `time` of the first head.
  double Sum(const Tensor& x, int64_t time, int64_t width) const {
    const float* const row = x.data<float>() + time * size_.heads * width;
    double sum = 0;
    for (int64_t i = 0; i < width; ++i) sum += row[i];
    return sum;
  }

  CoreSize size_;
  Tensor log_gamma_, q_, k_, v_, d_out_;
  Tape tape_;
};

class DecodeJob : public StepJob {
 public:
  static absl::StatusOr<std::unique_ptr<StepJob>> Create(
      const ModelSize& size) {
    auto job = std::make_unique<DecodeJob>();
    job->size_ = size;
    SEPTET_ASSIGN_OR_RETURN(
        job->model_,
        RetNet::Create(OptionsOf(size), ParameterScope(&job->store_, {1})));
    SEPTET_ASSIGN_OR_RETURN(job->cache_, job->model_.MakeCache(1, DType::kF32));
    SEPTET_ASSIGN_OR_RETURN(job->token_, Tensor::Empty({1}, DType::kI64));
    job->store_.Bind(&job->bound_);
    return job;
  }

  absl::StatusOr<double> Step() override {
    token_.mutable_data<int64_t>()[0] = position_ * 37 % kVocab;
    ++position_;
    SEPTET_ASSIGN_OR_RETURN(const Tensor logits,
                            model_.DecodeStep(bound_, token_, &cache_));
    double sum = 0;
    for (int64_t v = 0; v < kVocab; ++v) {
      const double logit = logits.data<float>()[v];
      sum += logit * logit;
    }
    return sum / Number(kVocab);
  }

  absl::StatusOr<std::map<std::string, Tensor>> Export() const override {
    return store_.Export();
  }

  BenchLimit Limit() const override {
    const double weights = Number(store_.NumElements() - kVocab * size_.dim);
    BenchLimit limit = BenchLimit::ReadBytes(4 * weights);
    limit.updated_bytes = 2 * Number(cache_.bytes());
    return limit;
  }

 private:
  ModelSize size_;
  ParameterStore store_;
  RetNet model_;
  BoundParameters bound_;
  DecodeCache cache_;
  Tensor token_;
  int64_t position_ = 0;
};

}  // namespace
}  // namespace septet

int main(int argc, char** argv) {
  const auto train = [](septet::ModelSize size) {
    return [size] { return septet::TrainJob::Create(size); };
  };
  const auto core = [](septet::CoreSize size) {
    return [size] { return septet::CoreJob::Create(size); };
  };
  const auto decode = [](septet::ModelSize size) {
    return [size] { return septet::DecodeJob::Create(size); };
  };
  return septet::RunStepProgram(
      {{"train_d64", train({64, 2, 2, 96, 8, 128, 64})},
       {"train_desk", train({128, 4, 4, 216, 8, 256, 64})},
       {"train_d512", train({512, 6, 2, 864, 4, 512, 256})},
       {"core_T256", core({8, 4, 256, 32, 64, 64})},
       {"core_T1024", core({4, 4, 1024, 32, 64, 64})},
       {"core_T4096", core({1, 4, 4096, 32, 64, 64})},
       {"core_T16384", core({1, 4, 16384, 32, 64, 64})},
       {"core_1.3b_T2048", core({1, 8, 2048, 256, 432, 256})},
       {"core_1.3b_T8192", core({1, 8, 8192, 256, 432, 512})},
       {"decode_desk", decode({128, 4, 4, 216})},
       {"decode_1.3b_4layers", decode({2048, 4, 8, 3456})}},
      argc, argv);
}
