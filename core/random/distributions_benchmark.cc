// SPDX-License-Identifier: Apache-2.0
// Items a second, with one and two threads, for arrays beyond the caches.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "benchmark/benchmark.h"
#include "septet/core/base/check.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/random/distributions.h"
#include "septet/core/random/stream.h"

namespace septet {
namespace {

constexpr size_t kCount = size_t{1} << 24;

RandomStream Stream() {
  return RandomStream::Create(0, "distributions_benchmark").value();
}

template <typename T, typename Fill>
void Run(benchmark::State& state, const Fill& fill) {
  ThreadPool pool(static_cast<int>(state.range(0)));
  const ScopedThreadPool scope(&pool);
  std::vector<T> out(kCount);
  for (auto _ : state) {
    SEPTET_CHECK(fill(absl::MakeSpan(out)).ok());
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kCount);
  state.SetBytesProcessed(state.iterations() * kCount * sizeof(T));
}

template <typename T>
void BM_FillUniform(benchmark::State& state) {
  const RandomStream stream = Stream();
  Run<T>(state, [&](auto out) { return FillUniform(stream, -1.0, 1.0, out); });
}
BENCHMARK_TEMPLATE(BM_FillUniform, float)
    ->ArgName("threads")
    ->Arg(1)
    ->Arg(2)
    ->UseRealTime();
BENCHMARK_TEMPLATE(BM_FillUniform, double)
    ->ArgName("threads")
    ->Arg(1)
    ->Arg(2)
    ->UseRealTime();

template <typename T>
void BM_FillNormal(benchmark::State& state) {
  const RandomStream stream = Stream();
  Run<T>(state, [&](auto out) { return FillNormal(stream, 0.0, 1.0, out); });
}
BENCHMARK_TEMPLATE(BM_FillNormal, float)
    ->ArgName("threads")
    ->Arg(1)
    ->Arg(2)
    ->UseRealTime();
BENCHMARK_TEMPLATE(BM_FillNormal, double)
    ->ArgName("threads")
    ->Arg(1)
    ->Arg(2)
    ->UseRealTime();

void BM_FillUnitSphere(benchmark::State& state) {
  const RandomStream stream = Stream();
  Run<float>(state, [&](auto out) { return FillUnitSphere(stream, 64, out); });
}
BENCHMARK(BM_FillUnitSphere)->ArgName("threads")->Arg(1)->Arg(2)->UseRealTime();

void BM_Permutation(benchmark::State& state) {
  const RandomStream stream = Stream();
  uint64_t e = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(Permutation(stream, e++, state.range(0)));
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_Permutation)->ArgName("n")->Arg(60000);

// An item is a logit.
void BM_Categorical(benchmark::State& state) {
  const RandomStream stream = Stream();
  const std::vector<float> logits(static_cast<size_t>(state.range(0)), 0.5f);
  uint64_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        Categorical(stream, i++, absl::MakeConstSpan(logits)));
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_Categorical)->ArgName("V")->Arg(40)->Arg(50257);

}  // namespace
}  // namespace septet
