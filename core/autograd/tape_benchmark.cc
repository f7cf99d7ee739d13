// SPDX-License-Identifier: Apache-2.0
// What recording an op and walking back over it costs, apart from the numbers.
#include <cstdint>
#include <vector>

#include "benchmark/benchmark.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/check.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/elementwise_kernels.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

constexpr int kOps = 1000;
constexpr int kElements = 16;

// x <- x + y, 1000 times, forward only or with the gradient by x and y. The
// counter is the cost of one op.
void BM_ChainedAdds(benchmark::State& state) {
  const bool backward = state.range(0) != 0;
  const Tensor x = Tensor::Full(Shape({kElements}), 1.0, DType::kF32).value();
  const Tensor y = Tensor::Full(Shape({kElements}), 0.5, DType::kF32).value();
  Tape tape;
  for (auto _ : state) {
    tape.Reset();
    Var a = tape.Watch(x);
    const Var b = tape.Watch(y);
    const Var first = a;
    for (int i = 0; i < kOps; ++i) a = Add(a, b);
    SEPTET_CHECK(a.ok());
    if (backward) {
      const std::vector<Tensor> grads = tape.Grad(Sum(a), {first, b}).value();
      SEPTET_CHECK_EQ(grads[1].data<float>()[0], kOps);
    }
    benchmark::DoNotOptimize(a.tensor().raw_data());
  }
  state.counters["per_op"] = benchmark::Counter(
      state.iterations() * kOps,
      benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(BM_ChainedAdds)->ArgName("backward")->Arg(0)->Arg(1);

// The same numbers without a framework: 1000 forward and 1000 backward sums.
void BM_KernelsAlone(benchmark::State& state) {
  std::vector<float> x(kElements, 1.0f);
  std::vector<float> y(kElements, 0.5f);
  for (auto _ : state) {
    for (int i = 0; i < 2 * kOps; ++i) {
      AccumulateKernel<float>(kElements, y.data(), x.data());
    }
    benchmark::DoNotOptimize(x.data());
  }
  state.counters["per_op"] = benchmark::Counter(
      state.iterations() * kOps,
      benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(BM_KernelsAlone);

}  // namespace
}  // namespace septet
