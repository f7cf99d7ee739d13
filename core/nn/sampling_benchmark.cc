// SPDX-License-Identifier: Apache-2.0
// A token for each row of logits as a model gives them: normal, of width 3.
#include <cstdint>
#include <vector>

#include "benchmark/benchmark.h"
#include "septet/core/base/check.h"
#include "septet/core/nn/sampling.h"
#include "septet/core/random/stream.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

void Sample(benchmark::State& state, const SamplingOptions& options) {
  const int64_t rows = state.range(0);
  const int64_t vocab = state.range(1);
  const RandomStream stream = RandomStream::Create(1, "bench").value();
  Tensor logits = Tensor::Empty(Shape({rows, vocab}), DType::kF32).value();
  for (int64_t i = 0; i < rows * vocab; ++i) {
    logits.mutable_data<float>()[i] =
        static_cast<float>(3 * stream.Normal(static_cast<uint64_t>(i)));
  }
  std::vector<int64_t> elements(static_cast<size_t>(rows));
  for (auto _ : state) {
    for (int64_t& element : elements) ++element;
    Tensor tokens = SampleTokens(logits, {}, options, stream, elements).value();
    SEPTET_CHECK_LT(tokens.data<int64_t>()[0], vocab);
    benchmark::DoNotOptimize(tokens);
  }
}

SamplingOptions With(double temperature, int64_t top_k, double top_p) {
  SamplingOptions options;
  options.temperature = temperature;
  options.top_k = top_k;
  options.top_p = top_p;
  return options;
}

void BM_Greedy(benchmark::State& state) { Sample(state, With(0, 0, 1)); }
void BM_Plain(benchmark::State& state) { Sample(state, With(1, 0, 1)); }
void BM_TopK50(benchmark::State& state) { Sample(state, With(1, 50, 1)); }
void BM_TopP(benchmark::State& state) { Sample(state, With(1, 0, 0.95)); }

void Sizes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"B", "V"})
      ->Args({16, 256})
      ->Args({8, 50257})
      ->Unit(benchmark::kMicrosecond);
}
BENCHMARK(BM_Greedy)->Apply(Sizes);
BENCHMARK(BM_Plain)->Apply(Sizes);
BENCHMARK(BM_TopK50)->Apply(Sizes);
BENCHMARK(BM_TopP)->Apply(Sizes);

}  // namespace
}  // namespace septet
