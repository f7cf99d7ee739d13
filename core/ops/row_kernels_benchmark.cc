// SPDX-License-Identifier: Apache-2.0
// bazel run -c opt //core/ops:row_kernels_benchmark
//
// Reductions, softmax, layer and RMS normalisation: rows of N elements, 16 Mi
// elements in all (out of cache, written past the caches as the ops do) or 16
// Ki (in cache). Bytes per second count each input read once and each output
// written once; BM_Copy is memcpy (//tools:bench measures beside the better of
// ordinary and streaming stores).
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "septet/core/ops/layer_norm_kernels.h"
#include "septet/core/ops/reduce_kernels.h"
#include "septet/core/ops/rms_norm_kernels.h"
#include "septet/core/ops/softmax_kernels.h"
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

enum class What {
  kCopy,
  kSumRows,
  kSumColumns,
  kDot,
  kMaxRows,
  kSoftmax,
  kSoftmaxBackward,
  kLogSoftmax,
  kLayerNorm,
  kLayerNormBackward,
  kRmsNorm,
  kRmsNormBackward
};

template <typename T>
void BM_Rows(benchmark::State& state, What what) {
  const int64_t n = state.range(0), size = state.range(1), rows = size / n;
  const std::vector<T> x = Values<T>(size), dy = Values<T>(size);
  std::vector<T> y(x.size()),
      scale = Values<T>(n), bias(scale), mean(rows), rstd(rows), dscale(scale),
      dbias(scale),
      workspace(static_cast<size_t>(LayerNormBackwardWorkspace(rows, n)));
  LayerNormForward(rows, n, x.data(), scale.data(), bias.data(), T{1}, y.data(),
                   mean.data(), rstd.data());
  int64_t bytes = size * static_cast<int64_t>(sizeof(T));
  const StoreMode mode = StoreModeFor(bytes);
  for (auto _ : state) {
    switch (what) {
      case What::kCopy:
        std::memcpy(y.data(), x.data(), x.size() * sizeof(T));
        break;
      case What::kSumRows:
        ReduceKernel(ReduceKind::kSum, rows, n, 1, x.data(), y.data());
        break;
      case What::kSumColumns:
        ReduceKernel(ReduceKind::kSum, 1, rows, n, x.data(), y.data());
        break;
      case What::kDot:
        benchmark::DoNotOptimize(DotKernel(size, x.data(), dy.data()));
        break;
      case What::kMaxRows:
        ReduceKernel(ReduceKind::kMax, rows, n, 1, x.data(), y.data());
        break;
      case What::kSoftmax:
        SoftmaxForward(rows, n, x.data(), y.data(), mode);
        break;
      case What::kSoftmaxBackward:
        SoftmaxBackward(rows, n, x.data(), dy.data(), y.data(), mode);
        break;
      case What::kLogSoftmax:
        LogSoftmaxForward(rows, n, x.data(), y.data(), mode);
        break;
      case What::kLayerNorm:
        LayerNormForward(rows, n, x.data(), scale.data(), bias.data(), T{1},
                         y.data(), mean.data(), rstd.data(), mode);
        break;
      case What::kLayerNormBackward:
        LayerNormBackward(rows, n, x.data(), scale.data(), mean.data(),
                          rstd.data(), dy.data(), y.data(), dscale.data(),
                          dbias.data(), workspace.data(), mode);
        break;
      case What::kRmsNorm:
        RmsNormForward(rows, n, x.data(), scale.data(), T{1}, y.data(),
                       rstd.data(), mode);
        break;
      case What::kRmsNormBackward:
        RmsNormBackward(rows, n, x.data(), scale.data(), rstd.data(), dy.data(),
                        y.data(), dscale.data(), workspace.data(), mode);
        break;
    }
    benchmark::ClobberMemory();
  }
  switch (what) {
    case What::kSumRows:
    case What::kSumColumns:
    case What::kMaxRows:
      break;
    case What::kSoftmaxBackward:
    case What::kLayerNormBackward:
    case What::kRmsNormBackward:
      bytes *= 3;
      break;
    default:
      bytes *= 2;
  }
  state.SetBytesProcessed(state.iterations() * bytes);
  state.counters["ns/element"] =
      benchmark::Counter(static_cast<double>(size) * 1e-9,
                         benchmark::Counter::kIsIterationInvariantRate |
                             benchmark::Counter::kInvert);
}

template <typename T>
void RegisterAll(const char* type) {
  const struct {
    const char* name;
    What what;
  } kAll[] = {{"BM_Copy", What::kCopy},
              {"BM_SumRows", What::kSumRows},
              {"BM_SumColumns", What::kSumColumns},
              {"BM_Dot", What::kDot},
              {"BM_MaxRows", What::kMaxRows},
              {"BM_Softmax", What::kSoftmax},
              {"BM_SoftmaxBackward", What::kSoftmaxBackward},
              {"BM_LogSoftmax", What::kLogSoftmax},
              {"BM_LayerNorm", What::kLayerNorm},
              {"BM_LayerNormBackward", What::kLayerNormBackward},
              {"BM_RmsNorm", What::kRmsNorm},
              {"BM_RmsNormBackward", What::kRmsNormBackward}};
  for (const auto& entry : kAll) {
    const std::string name = std::string(entry.name) + "/" + type;
    auto* b = benchmark::RegisterBenchmark(
        name.c_str(), [what = entry.what](benchmark::State& state) {
          BM_Rows<T>(state, what);
        });
    b->ArgNames({"N", "size"});
    b->Args({1024, 1 << 24})->Args({64, 1 << 14})->Args({1024, 1 << 14});
  }
}

const bool registered = [] {
  RegisterAll<float>("f32");
  RegisterAll<double>("f64");
  return true;
}();

}  // namespace
}  // namespace septet
