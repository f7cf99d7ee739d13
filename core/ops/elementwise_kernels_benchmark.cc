// SPDX-License-Identifier: Apache-2.0
// bazel run -c opt //core/ops:elementwise_kernels_benchmark
//
// Counters: bytes per second (inputs and outputs once each), and ns an element.
// N:16 is the cost of a call, N:4096 in cache, N:16777216 out of cache; BM_Copy
// is memcpy, the limit there.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "septet/core/ops/elementwise_kernels.h"

namespace septet {
namespace {

constexpr int64_t kSizes[] = {16, 4096, 1 << 24};

template <typename T>
const char* TypeName() {
  return sizeof(T) == 4 ? "f32" : "f64";
}

void SetCounters(benchmark::State& state, int64_t n, int64_t bytes) {
  state.SetBytesProcessed(state.iterations() * bytes);
  state.counters["ns/element"] =
      benchmark::Counter(static_cast<double>(n) * 1e-9,
                         benchmark::Counter::kIsIterationInvariantRate |
                             benchmark::Counter::kInvert);
}

template <typename T>
std::vector<T> Values(int64_t n, T low, T high) {
  std::vector<T> x(static_cast<size_t>(n));
  for (size_t i = 0; i < x.size(); ++i) {
    // The fractional parts of multiples of the golden ratio fill the range.
    const double u = static_cast<double>(i) * 0.6180339887498949;
    x[i] = low + (high - low) * static_cast<T>(u - std::floor(u));
  }
  return x;
}

template <typename T>
void BM_Copy(benchmark::State& state) {
  const int64_t n = state.range(0);
  const std::vector<T> x = Values<T>(n, -1, 1);
  std::vector<T> y(x.size());
  for (auto _ : state) {
    std::memcpy(y.data(), x.data(), x.size() * sizeof(T));
    benchmark::ClobberMemory();
  }
  SetCounters(state, n, 2 * n * static_cast<int64_t>(sizeof(T)));
}

template <typename T>
void BM_Binary(benchmark::State& state, BinaryKind kind) {
  const int64_t n = state.range(0);
  const std::vector<T> a = Values<T>(n, 1, 2), b = Values<T>(n, 3, 5);
  std::vector<T> out(a.size());
  for (auto _ : state) {
    BinaryKernel(kind, n, a.data(), b.data(), out.data());
    benchmark::ClobberMemory();
  }
  SetCounters(state, n, 3 * n * static_cast<int64_t>(sizeof(T)));
}

// The obvious peer of BinaryKernel.
template <typename T>
void BM_AddPlainLoop(benchmark::State& state) {
  const int64_t n = state.range(0);
  const std::vector<T> a = Values<T>(n, 1, 2), b = Values<T>(n, 3, 5);
  std::vector<T> out(a.size());
  for (auto _ : state) {
    for (size_t i = 0; i < a.size(); ++i) out[i] = a[i] + b[i];
    benchmark::ClobberMemory();
  }
  SetCounters(state, n, 3 * n * static_cast<int64_t>(sizeof(T)));
}

template <typename T>
void BM_Bias(benchmark::State& state) {
  const int64_t columns = state.range(0), rows = 4096 / columns;
  const std::vector<T> a = Values<T>(rows * columns, 1, 2);
  const std::vector<T> b = Values<T>(columns, 3, 5);
  std::vector<T> out(a.size());
  for (auto _ : state) {
    BinaryStridedKernel(BinaryKind::kAdd, {rows, columns}, {columns, 1}, {0, 1},
                        a.data(), b.data(), out.data());
    benchmark::ClobberMemory();
  }
  SetCounters(state, rows * columns,
              2 * rows * columns * static_cast<int64_t>(sizeof(T)));
}

template <typename T>
void BM_Transpose(benchmark::State& state) {
  const int64_t n = state.range(0);
  const std::vector<T> x = Values<T>(n * n, 1, 2);
  std::vector<T> out(x.size());
  for (auto _ : state) {
    CopyStridedKernel(sizeof(T), {n, n}, {1, n}, x.data(), out.data());
    benchmark::ClobberMemory();
  }
  SetCounters(state, n * n, 2 * n * n * static_cast<int64_t>(sizeof(T)));
}

template <typename T>
void BM_Compare(benchmark::State& state) {
  const int64_t n = state.range(0);
  const std::vector<T> a = Values<T>(n, 1, 2), b = Values<T>(n, 1, 2);
  std::vector<uint8_t> out(a.size());
  for (auto _ : state) {
    CompareKernel(CompareKind::kGreater, n, a.data(), b.data(), out.data());
    benchmark::ClobberMemory();
  }
  SetCounters(state, n, n * static_cast<int64_t>(2 * sizeof(T) + 1));
}

template <typename T>
void BM_Where(benchmark::State& state) {
  const int64_t n = state.range(0);
  const std::vector<T> a = Values<T>(n, 1, 2), b = Values<T>(n, 1, 2);
  std::vector<uint8_t> condition(a.size());
  for (size_t i = 0; i < a.size(); ++i) condition[i] = i % 3 == 0;
  std::vector<T> out(a.size());
  for (auto _ : state) {
    WhereKernel(n, condition.data(), a.data(), b.data(), out.data());
    benchmark::ClobberMemory();
  }
  SetCounters(state, n, n * static_cast<int64_t>(3 * sizeof(T) + 1));
}

template <typename T>
void BM_Unary(benchmark::State& state, UnaryKind kind, T low, T high) {
  const int64_t n = state.range(0);
  const std::vector<T> x = Values<T>(n, low, high);
  std::vector<T> y(x.size());
  for (auto _ : state) {
    UnaryKernel(kind, n, x.data(), y.data());
    benchmark::ClobberMemory();
  }
  SetCounters(state, n, 2 * n * static_cast<int64_t>(sizeof(T)));
}

template <typename T>
void RegisterAll() {
  const std::string suffix = std::string("/") + TypeName<T>();
  const auto add = [&](const std::string& name, auto function) {
    auto* b = benchmark::RegisterBenchmark((name + suffix).c_str(), function);
    b->ArgName("N");
    return b;
  };
  for (int64_t n : kSizes) {
    add("BM_Copy", BM_Copy<T>)->Arg(n);
    add("BM_Add", [](benchmark::State& s) {
      BM_Binary<T>(s, BinaryKind::kAdd);
    })->Arg(n);
    add("BM_AddPlainLoop", BM_AddPlainLoop<T>)->Arg(n);
    add("BM_Maximum", [](benchmark::State& s) {
      BM_Binary<T>(s, BinaryKind::kMaximum);
    })->Arg(n);
    add("BM_Greater", BM_Compare<T>)->Arg(n);
    add("BM_Where", BM_Where<T>)->Arg(n);
  }
  for (int64_t n : {4, 64, 1024}) add("BM_Bias", BM_Bias<T>)->Arg(n);
  for (int64_t n : {64, 1024}) add("BM_Transpose", BM_Transpose<T>)->Arg(n);
  struct Function {
    const char* name;
    UnaryKind kind;
    T low;
    T high;
  };
  for (const Function& f : {Function{"BM_Exp", UnaryKind::kExp, -10, 10},
                            Function{"BM_Expm1", UnaryKind::kExpm1, -10, 10},
                            Function{"BM_Log", UnaryKind::kLog, 0, 10},
                            Function{"BM_Log1p", UnaryKind::kLog1p, 0, 10},
                            Function{"BM_Sin", UnaryKind::kSin, -20, 20},
                            Function{"BM_Tanh", UnaryKind::kTanh, -5, 5},
                            Function{"BM_Erf", UnaryKind::kErf, -3, 3},
                            Function{"BM_Erfc", UnaryKind::kErfc, -3, 3},
                            Function{"BM_Rsqrt", UnaryKind::kRsqrt, 1, 9}}) {
    add(f.name, [f](benchmark::State& s) {
      BM_Unary<T>(s, f.kind, f.low, f.high);
    })->Arg(4096);
  }
}

const bool registered = [] {
  RegisterAll<float>();
  RegisterAll<double>();
  return true;
}();

}  // namespace
}  // namespace septet
