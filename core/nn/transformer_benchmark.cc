// SPDX-License-Identifier: Apache-2.0
// Steps of small transformers, beside the time that their products alone would
// take at the measured peak of one core.
#include <cstdint>
#include <memory>
#include <utility>
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

namespace septet {
namespace {

// retnet.md's peer at width 64: byte vocabulary, two layers, two heads.
struct Peer {
  ParameterStore store;
  std::unique_ptr<Transformer> model;

  Peer() {
    RotaryPositionsOptions rotary;
    rotary.frequencies = RotaryFrequencies(32).value();
    model = std::make_unique<Transformer>(
        Transformer::Create(RotarySwiGluOptions(256, 64, 2, 2),
                            std::make_unique<RotaryPositions>(rotary),
                            ParameterScope(&store, {1, DType::kF32}))
            .value());
  }
};

Tensor Ids(int64_t batch, int64_t time) {
  Tensor x = Tensor::Empty({batch, time}, DType::kI64).value();
  for (int64_t i = 0; i < batch * time; ++i) {
    x.mutable_data<int64_t>()[i] = (i * 37 + i / 7) % 256;
  }
  return x;
}

void BM_TrainingStep(benchmark::State& state) {
  const int64_t batch = state.range(0);
  const int64_t time = state.range(1);
  Peer peer;
  const TransformerInput input = {Ids(batch, time), {}, {}};
  Adam adam = Adam::Create({}, peer.store.trained(), peer.store.trained_decay())
                  .value();
  Tape tape;
  BoundParameters p;
  int64_t step = 0;
  int64_t ops = 0;
  for (auto _ : state) {
    tape.Reset();
    peer.store.Watch(&tape, &p);
    const Var loss = CrossEntropy(
        peer.model->Forward(p, Pass::Training(1, step++), input), input.tokens);
    ops = tape.num_ops();
    const std::vector<Tensor> grads = tape.Grad(loss, p.trained()).value();
    SEPTET_CHECK(adam.Step(peer.store.trained(), grads).ok());
  }
  // 6 operations a weight and token, less the embedding, which is looked up,
  // and 14 d for each causal pair of each layer.
  const double weights =
      static_cast<double>(peer.store.NumElements() - 256 * 64);
  const double tokens = static_cast<double>(batch * time);
  const double flops =
      6 * weights * tokens +
      2 * 14 * 64 * static_cast<double>(batch * time * (time + 1) / 2);
  state.counters["ops"] = static_cast<double>(ops);
  state.counters["GFLOP/s"] = benchmark::Counter(
      flops * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["peak"] = PeakFlops<float>() * 1e-9;
}
BENCHMARK(BM_TrainingStep)
    ->ArgNames({"B", "T"})
    ->Args({1, 8})
    ->Args({8, 128})
    ->Unit(benchmark::kMicrosecond);

void BM_DecodeStep(benchmark::State& state) {
  const int64_t batch = state.range(0);
  const int64_t length = state.range(1);
  Peer peer;
  const BoundParameters p = peer.store.Bind();
  KvCache cache = peer.model->MakeCache(batch, length + 1, DType::kF32).value();
  SEPTET_CHECK(peer.model->Extend(p, Ids(batch, length), &cache).ok());
  const Tensor token = Ids(batch, 1);
  for (auto _ : state) {
    SEPTET_CHECK(peer.model->Extend(p, token, &cache).ok());
    SEPTET_CHECK(cache.Truncate(length).ok());
  }
}
BENCHMARK(BM_DecodeStep)
    ->ArgNames({"B", "S"})
    ->Args({1, 127})
    ->Args({16, 127})
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace septet
