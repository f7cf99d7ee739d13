// SPDX-License-Identifier: Apache-2.0
// A checkpoint of 100 MB: a transformer's tensors, saved beside the one before,
// which is then removed; and loaded with its checksum. Beside it the same bytes
// by write() and fsync() alone: what the disk takes.
//
//   bazel run -c opt //core/train:checkpoint_benchmark
#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "septet/core/base/check.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"
#include "septet/core/train/checkpoint.h"

namespace septet {
namespace {

constexpr int64_t kTensors = 100;
constexpr int64_t kElements = 250'000;  // f32: 1 MB
constexpr int64_t kBytes = kTensors * kElements * 4;

std::string Folder() {
  const char* directory = std::getenv("TEST_TMPDIR");
  return absl::StrCat(directory == nullptr ? "/tmp" : directory,
                      "/septet_checkpoint_benchmark_", getpid());
}

Checkpoint Make() {
  Checkpoint checkpoint;
  for (int64_t i = 0; i < kTensors; ++i) {
    const Tensor tensor = Tensor::Empty({kElements}, DType::kF32).value();
    float* x = tensor.mutable_data<float>();
    for (int64_t k = 0; k < kElements; ++k) {
      x[k] = static_cast<float>(i) + 1e-6f * static_cast<float>(k);
    }
    checkpoint.tensors[absl::StrCat("layer.", i, ".weight")] = tensor;
  }
  return checkpoint;
}

void Remove(const std::string& folder) {
  const absl::StatusOr<std::vector<int64_t>> steps = ListCheckpoints(folder);
  SEPTET_CHECK(steps.ok()) << steps.status();
  for (const int64_t step : *steps) {
    unlink(CheckpointPath(folder, step).c_str());
  }
  rmdir(folder.c_str());
}

void BM_SaveCheckpoint(benchmark::State& state) {
  const std::string folder = Folder();
  Checkpoint checkpoint = Make();
  for (auto _ : state) {
    ++checkpoint.step;
    const absl::Status status = SaveCheckpoint(folder, checkpoint, /*keep=*/1);
    SEPTET_CHECK(status.ok()) << status;
  }
  SEPTET_CHECK(LoadLatestCheckpoint(folder)->step == checkpoint.step);
  state.SetBytesProcessed(state.iterations() * kBytes);
  Remove(folder);
}
BENCHMARK(BM_SaveCheckpoint)->Unit(benchmark::kMillisecond)->UseRealTime();

void BM_LoadCheckpoint(benchmark::State& state) {
  const std::string folder = Folder();
  SEPTET_CHECK(SaveCheckpoint(folder, Make(), 1).ok());
  for (auto _ : state) {
    benchmark::DoNotOptimize(LoadLatestCheckpoint(folder)->tensors.size());
  }
  state.SetBytesProcessed(state.iterations() * kBytes);
  Remove(folder);
}
BENCHMARK(BM_LoadCheckpoint)->Unit(benchmark::kMillisecond)->UseRealTime();

void BM_WriteAndSync(benchmark::State& state) {
  const std::string path = Folder() + ".bytes";
  const std::string bytes(kBytes, 'x');
  for (auto _ : state) {
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    SEPTET_CHECK(write(fd, bytes.data(), bytes.size()) == kBytes);
    SEPTET_CHECK(fsync(fd) == 0);
    close(fd);
  }
  state.SetBytesProcessed(state.iterations() * kBytes);
  unlink(path.c_str());
}
BENCHMARK(BM_WriteAndSync)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace septet
