// SPDX-License-Identifier: Apache-2.0
// bazel run //core/ops:matmul_benchmark
//
// What an op costs beyond its product: small products as ops beside Gemm alone,
// and forward and backward of a small layer. Counters: "overhead_ns", the CPU
// time of a call less that of Gemm on the same operands.
#include <cstdint>
#include <vector>

#include "benchmark/benchmark.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/check.h"
#include "septet/core/blas/gemm.h"
#include "septet/core/blas/peak.h"
#include "septet/core/ops/matmul.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

// Seconds a call of Gemm on these operands.
double GemmSeconds(const Tensor& a, const Tensor& b, const Tensor& c) {
  constexpr int kCalls = 2000;
  const GemmShape shape{c.dim(0), c.dim(1), a.dim(1)};
  const double begin = ThreadCpuSeconds();
  for (int i = 0; i < kCalls; ++i) {
    SEPTET_CHECK(Gemm(shape, a.data<float>(), shape.k, b.data<float>(), shape.n,
                      c.mutable_data<float>(), shape.n)
                     .ok());
  }
  return (ThreadCpuSeconds() - begin) / kCalls;
}

void Report(benchmark::State& state, double seconds, const Tensor& a,
            const Tensor& b) {
  const Tensor c = Tensor::Zeros({a.dim(0), b.dim(1)}, DType::kF32).value();
  state.counters["overhead_ns"] =
      1e9 * (seconds / static_cast<double>(state.iterations()) -
             GemmSeconds(a, b, c));
}

void BM_MatMul(benchmark::State& state) {
  const int64_t m = state.range(0), n = state.range(1), k = state.range(2);
  const Tensor a = Tensor::Full({m, k}, 0.5, DType::kF32).value();
  const Tensor b = Tensor::Full({k, n}, 0.25, DType::kF32).value();
  const Var va = a, vb = b;
  SEPTET_CHECK_EQ(MatMul(va, vb).tensor().data<float>()[0],
                  0.125f * static_cast<float>(k));
  const double begin = ThreadCpuSeconds();
  for (auto _ : state) {
    const Var c = MatMul(va, vb);
    benchmark::DoNotOptimize(c.ok());
  }
  Report(state, ThreadCpuSeconds() - begin, a, b);
}
BENCHMARK(BM_MatMul)
    ->ArgNames({"M", "N", "K"})
    ->Args({1, 64, 64})
    ->Args({16, 16, 16})
    ->Args({32, 64, 64});

void BM_Linear(benchmark::State& state) {
  const int64_t m = state.range(0), n = state.range(1), k = state.range(2);
  const bool backward = state.range(3) != 0;
  const Tensor x = Tensor::Full({m, k}, 0.5, DType::kF32).value();
  const Tensor w = Tensor::Full({k, n}, 0.25, DType::kF32).value();
  const Tensor b = Tensor::Full({n}, 1.0, DType::kF32).value();
  Tape tape;
  const double begin = ThreadCpuSeconds();
  for (auto _ : state) {
    tape.Reset();
    const Var vw = tape.Watch(w), vb = tape.Watch(b);
    const Var y = Linear(x, vw, vb);
    SEPTET_CHECK(y.ok());
    if (backward) {
      const std::vector<Tensor> grads = tape.Grad(Sum(y), {vw, vb}).value();
      SEPTET_CHECK_EQ(grads[1].data<float>()[0], static_cast<float>(m));
    }
  }
  Report(state, ThreadCpuSeconds() - begin, x, w);
}
BENCHMARK(BM_Linear)
    ->ArgNames({"M", "N", "K", "backward"})
    ->Args({1, 64, 64, 0})
    ->Args({32, 64, 64, 0})
    ->Args({32, 64, 64, 1});

}  // namespace
}  // namespace septet
