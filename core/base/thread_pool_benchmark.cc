// SPDX-License-Identifier: Apache-2.0
// What ParallelFor adds to the work, by threads and number of blocks.
#include <chrono>
#include <cstdint>
#include <thread>

#include "benchmark/benchmark.h"
#include "septet/core/base/thread_pool.h"

namespace septet {
namespace {

// Empty blocks: the fixed cost. The pool's threads are awake, and spin for
// more, from one loop to the next.
void BM_ParallelForEmpty(benchmark::State& state) {
  ThreadPool pool(static_cast<int>(state.range(0)));
  const int64_t blocks = state.range(1);
  for (auto _ : state) {
    ParallelFor(&pool, blocks, 1, [](int64_t begin, int64_t) {
      benchmark::DoNotOptimize(begin);
    });
  }
  state.SetItemsProcessed(state.iterations() * blocks);
}
BENCHMARK(BM_ParallelForEmpty)
    ->ArgNames({"threads", "blocks"})
    ->Args({1, 1})
    ->Args({1, 64})
    ->Args({2, 1})
    ->Args({2, 2})
    ->Args({2, 64})
    ->Args({4, 64})
    ->UseRealTime();

// The pool's threads have gone to sleep before each loop.
void BM_ParallelForAsleep(benchmark::State& state) {
  ThreadPool pool(static_cast<int>(state.range(0)));
  for (auto _ : state) {
    state.PauseTiming();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    state.ResumeTiming();
    ParallelFor(&pool, 64, 1, [](int64_t begin, int64_t) {
      benchmark::DoNotOptimize(begin);
    });
  }
}
BENCHMARK(BM_ParallelForAsleep)
    ->ArgName("threads")
    ->Arg(1)
    ->Arg(2)
    ->Iterations(500)
    ->UseRealTime();

// Work of some 10 us a block, to compare threads:1 with the others.
void BM_ParallelForWork(benchmark::State& state) {
  ThreadPool pool(static_cast<int>(state.range(0)));
  const int64_t blocks = state.range(1);
  for (auto _ : state) {
    ParallelFor(&pool, blocks, 1, [](int64_t begin, int64_t) {
      double x = static_cast<double>(begin);
      for (int i = 0; i < 3000; ++i) benchmark::DoNotOptimize(x = x * 0.5 + 1);
    });
  }
  state.SetItemsProcessed(state.iterations() * blocks);
}
BENCHMARK(BM_ParallelForWork)
    ->ArgNames({"threads", "blocks"})
    ->Args({1, 8})
    ->Args({2, 8})
    ->Args({1, 64})
    ->Args({2, 64})
    ->UseRealTime();

}  // namespace
}  // namespace septet
