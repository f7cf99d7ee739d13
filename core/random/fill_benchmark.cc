// SPDX-License-Identifier: Apache-2.0
// Items a second of one thread, into an array that stays in the cache, beside
// the loop over the scalar functions.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "benchmark/benchmark.h"
#include "septet/core/random/fill.h"
#include "septet/core/random/philox.h"
#include "septet/core/random/variates.h"

namespace septet {
namespace {

constexpr PhiloxKey kKey = {1, 2};
constexpr size_t kCount = 4096;

template <typename T, typename Fill>
void Run(benchmark::State& state, const Fill& fill) {
  std::vector<T> out(kCount);
  uint64_t begin = 0;
  for (auto _ : state) {
    fill(begin, absl::MakeSpan(out));
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
    begin += kCount;
  }
  state.SetItemsProcessed(state.iterations() * kCount);
  state.SetBytesProcessed(state.iterations() * kCount * sizeof(T));
}

// An item is a word.
void BM_Words(benchmark::State& state) {
  Run<uint32_t>(state, [](uint64_t begin, auto out) {
    PhiloxFillWords(kKey, begin, out);
  });
}
BENCHMARK(BM_Words);

template <typename T>
void BM_Uniform(benchmark::State& state) {
  Run<T>(state, [](uint64_t begin, auto out) {
    PhiloxFillUniform(kKey, begin, -1.0, 1.0, out);
  });
}
BENCHMARK_TEMPLATE(BM_Uniform, float);
BENCHMARK_TEMPLATE(BM_Uniform, double);

template <typename T>
void BM_UniformScalar(benchmark::State& state) {
  Run<T>(state, [](uint64_t begin, auto out) {
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] = static_cast<T>(ScaleUnit(
          -1.0, 1.0, UnitFromWord(PhiloxElement(kKey, begin + i)[0])));
    }
  });
}
BENCHMARK_TEMPLATE(BM_UniformScalar, float);

template <typename T>
void BM_Normal(benchmark::State& state) {
  Run<T>(state, [](uint64_t begin, auto out) {
    PhiloxFillNormal(kKey, begin, 0.0, 1.0, out);
  });
}
BENCHMARK_TEMPLATE(BM_Normal, float);
BENCHMARK_TEMPLATE(BM_Normal, double);

template <typename T>
void BM_NormalScalar(benchmark::State& state) {
  Run<T>(state, [](uint64_t begin, auto out) {
    for (size_t i = 0; i < out.size(); ++i) {
      const PhiloxBlock w = PhiloxElement(kKey, begin + i);
      out[i] = static_cast<T>(NormalFromWords(w[0], w[1]));
    }
  });
}
BENCHMARK_TEMPLATE(BM_NormalScalar, float);

}  // namespace
}  // namespace septet
