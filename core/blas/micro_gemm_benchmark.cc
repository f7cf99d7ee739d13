// SPDX-License-Identifier: Apache-2.0
// bazel run -c opt //core/blas:micro_gemm_benchmark
//
// Products in cache, one thread. "of_peak" is the median over slices of some
// milliseconds of the part of the machine's peak that was reached, with the
// peak measured before each slice, all by the thread's CPU time.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "septet/core/base/check.h"
#include "septet/core/blas/micro_gemm_probe.h"
#include "septet/core/blas/peak.h"

namespace septet {
namespace {

struct Case {
  size_t m, n, k;
  bool transpose_a;
};

template <typename T>
void BM_MicroGemm(benchmark::State& state, const Case& p) {
  std::vector<T> a(p.m * p.k), b(p.k * p.n), c(p.m * p.n);
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<T>(i % 13) - T{6};
  for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<T>(i % 17) - T{8};
  const size_t a_row = p.transpose_a ? 1 : p.k;
  const size_t a_column = p.transpose_a ? p.m : 1;
  const auto run = [&] {
    MicroGemmProbe(p.m, p.n, p.k, a.data(), a_row, a_column, b.data(), p.n,
                   c.data(), p.n, false);
  };
  run();
  // Right before fast: small integers, so exactly.
  for (size_t i = 0; i < p.m; ++i) {
    for (size_t j = 0; j < p.n; ++j) {
      T want = 0;
      for (size_t q = 0; q < p.k; ++q) {
        want += a[i * a_row + q * a_column] * b[q * p.n + j];
      }
      SEPTET_CHECK(c[i * p.n + j] == want) << i << ", " << j;
    }
  }
  const double flops = 2.0 * static_cast<double>(p.m * p.n * p.k);
  const int64_t calls = 1 + static_cast<int64_t>(2e8 / flops);
  std::vector<double> ratios;
  double seconds = 0;
  for (auto _ : state) {
    state.PauseTiming();
    const double peak = PeakFlops<T>();
    state.ResumeTiming();
    const double begin = ThreadCpuSeconds();
    for (int64_t call = 0; call < calls; ++call) {
      run();
      benchmark::ClobberMemory();
    }
    const double slice = ThreadCpuSeconds() - begin;
    seconds += slice;
    ratios.push_back(flops * static_cast<double>(calls) / slice / peak);
  }
  std::nth_element(ratios.begin(),
                   ratios.begin() + static_cast<int64_t>(ratios.size() / 2),
                   ratios.end());
  state.counters["of_peak"] = ratios[ratios.size() / 2];
  state.counters["FLOP/s"] =
      flops * static_cast<double>(calls * state.iterations()) / seconds;
}

template <typename T>
void RegisterAll(const char* type) {
  const Case kCases[] = {
      {64, 128, 64, false}, {64, 64, 64, false}, {64, 64, 64, true},
      {128, 64, 64, true},  {64, 64, 128, true}, {64, 80, 64, false},
      {64, 32, 64, false},  {64, 32, 64, true},  {64, 16, 64, false},
      {64, 16, 64, true},   {16, 16, 16, false}, {65, 63, 65, false},
      {8, 8, 8, false},     {1, 64, 64, false},  {1024, 16, 144, false},
  };
  for (const Case& p : kCases) {
    const std::string name =
        std::string("BM_MicroGemm/") + type + "/M:" + std::to_string(p.m) +
        "/N:" + std::to_string(p.n) + "/K:" + std::to_string(p.k) +
        (p.transpose_a ? "/transpose_a" : "");
    benchmark::RegisterBenchmark(name.c_str(), [p](benchmark::State& state) {
      BM_MicroGemm<T>(state, p);
    })->Iterations(9);
  }
}

const bool registered = [] {
  RegisterAll<float>("f32");
  RegisterAll<double>("f64");
  return true;
}();

}  // namespace
}  // namespace septet
