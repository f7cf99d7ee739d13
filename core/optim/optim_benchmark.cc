// SPDX-License-Identifier: Apache-2.0
// Updates of parameters in bytes/s of memory touched, beside the plain loop of
// the same arithmetic. Sizes: inside the first-level cache, the paper-scale
// critic of offline RL, outside of all caches.
#include <cmath>
#include <cstdint>
#include <vector>

#include "benchmark/benchmark.h"
#include "septet/core/base/check.h"
#include "septet/core/optim/adam.h"
#include "septet/core/optim/clip.h"
#include "septet/core/optim/ema.h"
#include "septet/core/optim/sgd.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

void Sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgName("N")->Arg(1024)->Arg(1 << 18)->Arg(1 << 23);
}

template <typename T>
void BM_Adam(benchmark::State& state) {
  const int64_t n = state.range(0);
  const Tensor p = *Tensor::Full({n}, 1, kDTypeOf<T>);
  const Tensor g = *Tensor::Full({n}, 0.5, kDTypeOf<T>);
  Adam adam = *Adam::Create({}, {p});
  for (auto _ : state) SEPTET_CHECK(adam.Step({p}, {g}).ok());
  state.SetBytesProcessed(state.iterations() * n * 7 *
                          static_cast<int64_t>(sizeof(T)));
}
BENCHMARK_TEMPLATE(BM_Adam, float)->Apply(Sizes);
BENCHMARK_TEMPLATE(BM_Adam, double)->Apply(Sizes);

void BM_AdamW(benchmark::State& state) {
  const int64_t n = state.range(0);
  const Tensor p = *Tensor::Full({n}, 1, DType::kF32);
  const Tensor g = *Tensor::Full({n}, 0.5, DType::kF32);
  AdamOptions options;
  options.weight_decay = 0.01;
  Adam adam = *Adam::Create(options, {p});
  for (auto _ : state) SEPTET_CHECK(adam.Step({p}, {g}).ok());
  state.SetBytesProcessed(state.iterations() * n * 28);
}
BENCHMARK(BM_AdamW)->Apply(Sizes);

template <typename T>
void BM_Sgd(benchmark::State& state) {
  const int64_t n = state.range(0);
  const Tensor p = *Tensor::Full({n}, 1, kDTypeOf<T>);
  const Tensor g = *Tensor::Full({n}, 0.5, kDTypeOf<T>);
  SgdOptions options;
  options.momentum = 0.9;
  options.weight_decay = 1e-4;
  Sgd sgd = *Sgd::Create(options, {p});
  for (auto _ : state) SEPTET_CHECK(sgd.Step({p}, {g}).ok());
  state.SetBytesProcessed(state.iterations() * n * 5 *
                          static_cast<int64_t>(sizeof(T)));
}
BENCHMARK_TEMPLATE(BM_Sgd, float)->Apply(Sizes);
BENCHMARK_TEMPLATE(BM_Sgd, double)->Apply(Sizes);

template <typename T>
void BM_GlobalNorm(benchmark::State& state) {
  const int64_t n = state.range(0);
  const Tensor g = *Tensor::Full({n}, 0.5, kDTypeOf<T>);
  for (auto _ : state) SEPTET_CHECK(GlobalNorm({g}).ok());
  state.SetBytesProcessed(state.iterations() * n *
                          static_cast<int64_t>(sizeof(T)));
}
BENCHMARK_TEMPLATE(BM_GlobalNorm, float)->Apply(Sizes);
BENCHMARK_TEMPLATE(BM_GlobalNorm, double)->Apply(Sizes);

void BM_AdamPlainLoop(benchmark::State& state) {
  const int64_t n = state.range(0);
  std::vector<float> p(n, 1), g(n, 0.5), m(n), v(n);
  for (auto _ : state) {
    for (int64_t i = 0; i < n; ++i) {
      m[i] = 0.9f * m[i] + 0.1f * g[i];
      v[i] = 0.999f * v[i] + 0.001f * (g[i] * g[i]);
      p[i] -= 1e-3f * (m[i] / (1.5f * std::sqrt(v[i]) + 1e-8f));
    }
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * n * 28);
}
BENCHMARK(BM_AdamPlainLoop)->Apply(Sizes);

// 24 small tensors, as a network of three layers with twin critics has: the
// cost of a step beside the arithmetic.
void BM_AdamManySmall(benchmark::State& state) {
  std::vector<Tensor> params, grads;
  for (int i = 0; i < 24; ++i) {
    params.push_back(*Tensor::Full({64}, 1, DType::kF32));
    grads.push_back(*Tensor::Full({64}, 0.5, DType::kF32));
  }
  Adam adam = *Adam::Create({}, params);
  for (auto _ : state) SEPTET_CHECK(adam.Step(params, grads).ok());
}
BENCHMARK(BM_AdamManySmall);

template <typename T>
void BM_Ema(benchmark::State& state) {
  const int64_t n = state.range(0);
  const Tensor x = *Tensor::Full({n}, 1, kDTypeOf<T>);
  const Tensor y = *Tensor::Full({n}, 0.5, kDTypeOf<T>);
  for (auto _ : state) SEPTET_CHECK(UpdateEma({x}, {0.005}, {y}).ok());
  state.SetBytesProcessed(state.iterations() * n * 3 *
                          static_cast<int64_t>(sizeof(T)));
}
BENCHMARK_TEMPLATE(BM_Ema, float)->Apply(Sizes);
BENCHMARK_TEMPLATE(BM_Ema, double)->Apply(Sizes);

}  // namespace
}  // namespace septet
