// SPDX-License-Identifier: Apache-2.0
// HDF5: what a call costs for itself, and how fast elements come, with and
// without decompression. The rows are of a file of fill values, so that libhdf5
// has almost nothing to do and the way from one process to the other is seen.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "benchmark/benchmark.h"
#include "septet/core/base/check.h"
#include "septet/core/io/hdf5.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

void BM_List(benchmark::State& state) {
  for (auto _ : state) {
    SEPTET_CHECK_EQ(ListHdf5("core/io/testdata/hdf5/d4rl.hdf5")->size(), 11u);
  }
}
BENCHMARK(BM_List)->Unit(benchmark::kMillisecond)->UseRealTime();

void BM_ReadRows(benchmark::State& state) {
  constexpr int64_t kRows = 64'000;  // of 1000 f32: 256 MB
  for (auto _ : state) {
    const auto tensors =
        ReadHdf5Rows("core/io/testdata/hdf5/huge.hdf5", {{"zeros", 0, kRows}})
            .value();
    SEPTET_CHECK_EQ(tensors.at("zeros").num_elements(), kRows * 1000);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * kRows *
                          4000);
}
BENCHMARK(BM_ReadRows)->Unit(benchmark::kMillisecond)->UseRealTime();

// The file of $SEPTET_HDF5, whatever it is.
void BM_ReadFile(benchmark::State& state) {
  const char* const path = std::getenv("SEPTET_HDF5");
  if (path == nullptr) {
    state.SkipWithError("SEPTET_HDF5 names no file");
    return;
  }
  int64_t bytes = 0;
  for (auto _ : state) {
    const auto tensors = ReadHdf5(path).value();
    for (const auto& [name, tensor] : tensors) {
      bytes += tensor.num_elements() *
               static_cast<int64_t>(DTypeSize(tensor.dtype()));
    }
  }
  state.SetBytesProcessed(bytes);
}
BENCHMARK(BM_ReadFile)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace septet
