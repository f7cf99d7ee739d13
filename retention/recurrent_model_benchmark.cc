// SPDX-License-Identifier: Apache-2.0
// Steps of RetNet's baselines at the width of its peer's desk size, 128, four
// layers, beside the time that their products alone would take at the measured
// peak of one core; and steps of decoding at growing lengths.
#include <cstdint>
#include <memory>
#include <vector>

#include "benchmark/benchmark.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/check.h"
#include "septet/core/blas/peak.h"
#include "septet/core/nn/kv_cache.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/nn/rotary_positions.h"
#include "septet/core/nn/transformer.h"
#include "septet/core/ops/loss.h"
#include "septet/core/ops/rotary.h"
#include "septet/core/optim/adam.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/linear_transformer.h"
#include "septet/retention/recurrent_state.h"
#include "septet/retention/rwkv.h"

namespace septet {
namespace {

constexpr int64_t kVocab = 256, kDim = 128, kLayers = 4, kHeads = 4;

Tensor Ids(int64_t batch, int64_t time) {
  Tensor x = Tensor::Empty({batch, time}, DType::kI64).value();
  for (int64_t i = 0; i < batch * time; ++i) {
    x.mutable_data<int64_t>()[i] = (i * 37 + i / 7) % kVocab;
  }
  return x;
}

struct LinearPeer {
  using Past = RecurrentState;
  explicit LinearPeer(ParameterStore* store)
      : model(LinearTransformer::Create(
                  LinearTransformerPreset(kVocab, kDim, kLayers, kHeads),
                  ParameterScope(store, {1, DType::kF32}))
                  .value()) {}
  Var Forward(const BoundParameters& p, const Pass& pass,
              const Tensor& tokens) const {
    return model.Forward(p, pass, tokens);
  }
  Past MakePast(int64_t /*length*/) const {
    return model.MakeState(1, DType::kF32).value();
  }
  LinearTransformer model;
};

struct RwkvPeer {
  using Past = RecurrentState;
  explicit RwkvPeer(ParameterStore* store)
      : model(Rwkv::Create(RwkvPreset(kVocab, kDim, kLayers),
                           ParameterScope(store, {1, DType::kF32}))
                  .value()) {}
  Var Forward(const BoundParameters& p, const Pass& pass,
              const Tensor& tokens) const {
    return model.Forward(p, pass, tokens);
  }
  Past MakePast(int64_t /*length*/) const {
    return model.MakeState(1, DType::kF32).value();
  }
  Rwkv model;
};

struct TransformerPeer {
  using Past = KvCache;
  static std::unique_ptr<RotaryPositions> Positions() {
    RotaryPositionsOptions rotary;
    rotary.frequencies = RotaryFrequencies(kDim / kHeads).value();
    return std::make_unique<RotaryPositions>(rotary);
  }
  explicit TransformerPeer(ParameterStore* store)
      : model(Transformer::Create(
                  RotarySwiGluOptions(kVocab, kDim, kLayers, kHeads),
                  Positions(), ParameterScope(store, {1, DType::kF32}))
                  .value()) {}
  Var Forward(const BoundParameters& p, const Pass& pass,
              const Tensor& tokens) const {
    return model.Forward(p, pass, {tokens, {}, {}});
  }
  Past MakePast(int64_t length) const {
    return model.MakeCache(1, length, DType::kF32).value();
  }
  Transformer model;
};

template <class Peer>
void BM_TrainingStep(benchmark::State& state) {
  const int64_t batch = state.range(0);
  const int64_t time = state.range(1);
  ParameterStore store;
  const Peer peer(&store);
  const Tensor tokens = Ids(batch, time);
  Adam adam = Adam::Create({}, store.trained(), store.trained_decay()).value();
  Tape tape;
  BoundParameters p;
  uint64_t step = 0;
  const auto train = [&] {
    tape.Reset();
    store.Watch(&tape, &p);
    const Var loss = CrossEntropy(
        peer.Forward(p, Pass::Training(1, step++), tokens), tokens);
    GradOptions release;
    release.release = true;
    const std::vector<Tensor> grads =
        tape.Grad(loss, p.trained(), release).value();
    SEPTET_CHECK(adam.Step(store.trained(), grads).ok());
  };
  train();  // the first step has to get its memory
  for (auto _ : state) train();
  // 6 operations a weight and token, less the embedding, which is looked up.
  const double products =
      6 *
      static_cast<double>((store.NumElements() - kVocab * kDim) * batch * time);
  state.counters["tokens/s"] =
      benchmark::Counter(static_cast<double>(batch * time),
                         benchmark::Counter::kIsIterationInvariantRate);
  state.counters["products' GFLOP/s"] = benchmark::Counter(
      products * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["peak"] = PeakFlops<float>() * 1e-9;
}
#define SEPTET_TRAINING(peer)               \
  BENCHMARK_TEMPLATE(BM_TrainingStep, peer) \
      ->ArgNames({"B", "T"})                \
      ->Args({8, 512})                      \
      ->Args({1, 4096})                     \
      ->Unit(benchmark::kMillisecond)
SEPTET_TRAINING(LinearPeer);
SEPTET_TRAINING(RwkvPeer);
SEPTET_TRAINING(TransformerPeer);

template <class Peer>
void BM_DecodeStep(benchmark::State& state) {
  const int64_t length = state.range(0);
  ParameterStore store;
  const Peer peer(&store);
  const BoundParameters p = store.Bind();
  auto past = peer.MakePast(length + 1000);
  SEPTET_CHECK(peer.model.Extend(p, Ids(1, length), &past).ok());
  const Tensor token = Ids(1, 1);
  for (auto _ : state) {
    SEPTET_CHECK(peer.model.Extend(p, token, &past).ok());
  }
  state.counters["bytes"] = static_cast<double>(past.bytes());
}
// The same number of steps for all: a cache has room for so many.
#define SEPTET_DECODING(peer)             \
  BENCHMARK_TEMPLATE(BM_DecodeStep, peer) \
      ->ArgNames({"S"})                   \
      ->Arg(256)                          \
      ->Arg(4096)                         \
      ->Iterations(500)                   \
      ->Unit(benchmark::kMicrosecond)
SEPTET_DECODING(LinearPeer);
SEPTET_DECODING(RwkvPeer);
SEPTET_DECODING(TransformerPeer);

}  // namespace
}  // namespace septet
