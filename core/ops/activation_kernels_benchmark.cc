// SPDX-License-Identifier: Apache-2.0
// bazel run -c opt //core/ops:activation_kernels_benchmark
//
// All activations forward and backward, in cache (N:4096) and, for relu, out of
// it. Counters: bytes per second (inputs and outputs once), ns an element.
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "septet/core/ops/activation_kernels.h"
#include "septet/core/ops/activation_kind.h"
#include "septet/core/ops/store_mode.h"

namespace septet {
namespace {

template <typename T>
std::vector<T> Values(int64_t n) {
  std::vector<T> x(static_cast<size_t>(n));
  for (size_t i = 0; i < x.size(); ++i) {
    const double u = static_cast<double>(i) * 0.6180339887498949;
    x[i] = static_cast<T>(8 * (u - std::floor(u)) - 4);
  }
  return x;
}

template <typename T>
void BM_Activation(benchmark::State& state, ActivationKind kind,
                   bool backward) {
  const int64_t n = state.range(0);
  const std::vector<T> x = Values<T>(n), dy = Values<T>(n);
  std::vector<T> y(x.size());
  const StoreMode mode = StoreModeFor(n * static_cast<int64_t>(sizeof(T)));
  for (auto _ : state) {
    if (backward) {
      ActivationBackward(kind, n, x.data(), dy.data(), y.data(), mode);
    } else {
      ActivationForward(kind, n, x.data(), y.data(), mode);
    }
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * (backward ? 3 : 2) * n *
                          static_cast<int64_t>(sizeof(T)));
  state.counters["ns/element"] =
      benchmark::Counter(static_cast<double>(n) * 1e-9,
                         benchmark::Counter::kIsIterationInvariantRate |
                             benchmark::Counter::kInvert);
}

template <typename T>
void RegisterAll(const char* type) {
  for (bool backward : {false, true}) {
    for (ActivationKind kind : kAllActivationKinds) {
      const std::string name = std::string("BM_Activation") +
                               (backward ? "Backward/" : "Forward/") +
                               std::string(ActivationName(kind)) + "/" + type;
      auto* b = benchmark::RegisterBenchmark(
          name.c_str(), [kind, backward](benchmark::State& state) {
            BM_Activation<T>(state, kind, backward);
          });
      b->ArgName("N")->Arg(4096);
      if (kind == ActivationKind::kRelu) b->Arg(1 << 24);
    }
  }
}

const bool registered = [] {
  RegisterAll<float>("f32");
  RegisterAll<double>("f64");
  return true;
}();

}  // namespace
}  // namespace septet
