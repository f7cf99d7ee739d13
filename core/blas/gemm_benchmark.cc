// SPDX-License-Identifier: Apache-2.0
// bazel run -c opt //core/blas:gemm_benchmark
//
// Matrix products on one thread, by themselves (BM_Gemm), in batches
// (BM_Batched), and with a matrix packed before (BM_Packed). Counters: FLOP/s;
// "of_limit", the part of the machine's limit that was reached: of the peak of
// multiply-adds, or for one-row products, of the bandwidth with which a buffer
// of the matrix's size can be read. The limit is measured before and after, in
// the same process, and everything by the thread's CPU time.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "septet/core/base/check.h"
#include "septet/core/blas/gemm.h"
#include "septet/core/blas/packed_matrix.h"
#include "septet/core/blas/peak.h"

namespace septet {
namespace {

template <typename T>
std::vector<T> Values(int64_t n) {
  std::vector<T> x(static_cast<size_t>(n));
  for (size_t i = 0; i < x.size(); ++i) {
    const double u = static_cast<double>(i) * 0.6180339887498949;
    x[i] = static_cast<T>(2 * (u - std::floor(u)) - 1);
  }
  return x;
}

enum class Way { kGemm, kPacked };

// `count` products of one shape; with kPacked, count is 1 and B packed before.
template <typename T>
void BM_Gemm(benchmark::State& state, GemmShape shape, int64_t count, Way way) {
  const int64_t lda = shape.transpose_a ? shape.m : shape.k;
  const int64_t ldb = shape.transpose_b ? shape.k : shape.n;
  const GemmBatch batch{count, shape.m * shape.k, shape.k * shape.n,
                        shape.m * shape.n};
  const std::vector<T> a = Values<T>(count * batch.stride_a);
  const std::vector<T> b = Values<T>(count * batch.stride_b);
  std::vector<T> c(static_cast<size_t>(count * batch.stride_c)), want(c);
  const PackedMatrix<T> packed =
      PackedMatrix<T>::Create(shape.k, shape.n, b.data(), ldb,
                              shape.transpose_b)
          .value();
  const auto run = [&] {
    if (way == Way::kPacked) {
      return packed.Multiply(shape.m, a.data(), lda, c.data(), shape.n);
    }
    if (count == 1) {
      return Gemm(shape, a.data(), lda, b.data(), ldb, c.data(), shape.n);
    }
    return GemmBatched(shape, batch, a.data(), lda, b.data(), ldb, c.data(),
                       shape.n);
  };
  // Right before fast.
  SEPTET_CHECK(run().ok());
  for (int64_t i = 0; i < count; ++i) {
    SEPTET_CHECK(GemmReference(shape, a.data() + i * batch.stride_a, lda,
                               b.data() + i * batch.stride_b, ldb,
                               want.data() + i * batch.stride_c, shape.n)
                     .ok());
  }
  for (size_t i = 0; i < c.size(); ++i) {
    SEPTET_CHECK(std::abs(c[i] - want[i]) <=
                 (sizeof(T) == 4 ? 1e-6 : 1e-14) * static_cast<double>(shape.k))
        << c[i] << " " << want[i];
  }
  const bool vector = shape.m == 1 || shape.n == 1;
  const int64_t bytes =
      std::max(shape.m, shape.n) * shape.k * static_cast<int64_t>(sizeof(T));
  const auto limit = [&] {
    return vector ? PeakReadBandwidth(bytes) : PeakFlops<T>();
  };
  const double before = limit();
  const double begin = ThreadCpuSeconds();
  for (auto _ : state) {
    const bool ok = run().ok();
    benchmark::DoNotOptimize(ok);
    benchmark::ClobberMemory();
  }
  const double seconds = ThreadCpuSeconds() - begin;
  const double after = limit();
  const double flops =
      2.0 * static_cast<double>(count * shape.m * shape.n * shape.k) *
      static_cast<double>(state.iterations());
  const double done =
      vector ? static_cast<double>(bytes * state.iterations()) : flops;
  state.counters["FLOP/s"] = flops / seconds;
  state.counters["of_limit"] = done / seconds / ((before + after) / 2);
  state.SetLabel(way == Way::kPacked ? "packed" : GemmBackendName<T>(shape));
}

template <typename T>
void RegisterOne(const char* type, const GemmShape& shape, int64_t count,
                 Way way) {
  std::string name = "BM_Gemm";
  if (way == Way::kPacked) name = "BM_Packed";
  if (count > 1) name = "BM_Batched";
  name += std::string("/") + type;
  if (count > 1) name += "/B:" + std::to_string(count);
  name += "/M:" + std::to_string(shape.m) + "/N:" + std::to_string(shape.n) +
          "/K:" + std::to_string(shape.k) +
          (shape.transpose_a ? "/transpose_a" : "") +
          (shape.transpose_b ? "/transpose_b" : "");
  benchmark::RegisterBenchmark(name.c_str(),
                               [shape, count, way](benchmark::State& state) {
                                 BM_Gemm<T>(state, shape, count, way);
                               });
}

template <typename T>
void RegisterAll(const char* type) {
  const GemmShape kShapes[] = {
      {512, 512, 512},
      {512, 512, 512, false, true},
      {512, 512, 512, true, false},
      {64, 64, 64},
      {128, 128, 128},
      {32, 1024, 1024},
      {256, 64, 64},
      {16, 16, 16},
      {1, 1024, 1024},
      {1, 1024, 1024, false, true},
      {1, 4096, 4096},
      {1, 4096, 4096, false, true},
      {1, 64, 64},
      {1024, 1, 1024},
      {2, 1024, 1024},
      {2, 1024, 1024, false, true},
      {4, 1024, 1024},
      {4, 1024, 1024, false, true},
      {1024, 4, 1024},
  };
  for (const GemmShape& shape : kShapes) {
    RegisterOne<T>(type, shape, 1, Way::kGemm);
  }
  for (const int64_t m : {1, 8, 32, 512}) {
    RegisterOne<T>(type, {m, 1024, 1024}, 1, Way::kPacked);
  }
  RegisterOne<T>(type, {64, 64, 64}, 32, Way::kGemm);
  RegisterOne<T>(type, {64, 64, 64, false, true}, 32, Way::kGemm);
  RegisterOne<T>(type, {8, 8, 8}, 1024, Way::kGemm);
}

const bool registered = [] {
  RegisterAll<float>("f32");
  RegisterAll<double>("f64");
  return true;
}();

}  // namespace
}  // namespace septet
