// SPDX-License-Identifier: Apache-2.0
// A file of 256 MiB in the page cache: opened, opened and read, against a copy
// within memory; and written to the disk, against write() and fsync() alone.
#include <fcntl.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include "benchmark/benchmark.h"
#include "septet/core/base/check.h"
#include "septet/core/io/safetensors.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

constexpr int64_t kTensors = 64;
constexpr int64_t kTensorElements = 1 << 20;  // f32: 4 MiB
constexpr int64_t kBytes = kTensors * kTensorElements * 4;

std::string TempPath(const char* name) {
  const char* directory = std::getenv("TEST_TMPDIR");
  if (directory == nullptr) directory = "/tmp";
  return std::string(directory) + "/septet_safetensors_benchmark_" +
         std::to_string(getpid()) + name;
}

const std::map<std::string, Tensor>& Tensors() {
  static const auto* const tensors = [] {
    auto* result = new std::map<std::string, Tensor>;
    for (int64_t i = 0; i < kTensors; ++i) {
      (*result)["layer" + std::to_string(i)] =
          Tensor::Full({kTensorElements}, static_cast<double>(i), DType::kF32)
              .value();
    }
    return result;
  }();
  return *tensors;
}

// Written once, removed at the end.
const std::string& File() {
  static const struct Holder {
    Holder() : path(TempPath(".safetensors")) {
      SEPTET_CHECK(WriteSafetensors(path, Tensors()).ok());
      const SafetensorsFile file = SafetensorsFile::Open(path).value();
      for (const auto& [name, tensor] : Tensors()) {
        SEPTET_CHECK(std::memcmp(file.Get(name)->raw_data(), tensor.raw_data(),
                                 kTensorElements * 4) == 0);
      }
    }
    ~Holder() { unlink(path.c_str()); }
    std::string path;
  } holder;
  return holder.path;
}

void CountBytes(benchmark::State& state) {
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * kBytes);
}

// Open and a handle of every tensor; no element is touched.
void BM_Open(benchmark::State& state) {
  File();
  for (auto _ : state) {
    const SafetensorsFile file = SafetensorsFile::Open(File()).value();
    for (const std::string& name : file.names()) {
      Tensor tensor = file.Get(name).value();
      benchmark::DoNotOptimize(tensor);
    }
  }
}
BENCHMARK(BM_Open)->Unit(benchmark::kMicrosecond);

// Open and copy every tensor into memory that is there already: page faults of
// the mapping and the copy.
void BM_OpenAndCopy(benchmark::State& state) {
  File();
  const Tensor target = Tensor::Zeros({kTensorElements}, DType::kF32).value();
  for (auto _ : state) {
    const SafetensorsFile file = SafetensorsFile::Open(File()).value();
    for (const std::string& name : file.names()) {
      SEPTET_CHECK(target.CopyFrom(file.Get(name).value()).ok());
      benchmark::ClobberMemory();
    }
  }
  CountBytes(state);
}
BENCHMARK(BM_OpenAndCopy)->Unit(benchmark::kMillisecond);

// The same from a mapping whose pages are there.
void BM_CopyFromOpenFile(benchmark::State& state) {
  const Tensor target = Tensor::Zeros({kTensorElements}, DType::kF32).value();
  const SafetensorsFile file = SafetensorsFile::Open(File()).value();
  for (auto _ : state) {
    for (const std::string& name : file.names()) {
      SEPTET_CHECK(target.CopyFrom(file.Get(name).value()).ok());
      benchmark::ClobberMemory();
    }
  }
  CountBytes(state);
}
BENCHMARK(BM_CopyFromOpenFile)->Unit(benchmark::kMillisecond);

// The peer: memcpy of as much memory, into the same kind of target. Not a
// limit: it reads anonymous memory, which comes in pages of 4 KiB unless it is
// asked for otherwise, and the page cache may be faster to read than that.
void BM_Memcpy(benchmark::State& state) {
  const Tensor target = Tensor::Zeros({kTensorElements}, DType::kF32).value();
  Tensors();
  for (auto _ : state) {
    for (const auto& [name, tensor] : Tensors()) {
      std::memcpy(target.raw_mutable_data(), tensor.raw_data(),
                  kTensorElements * 4);
      benchmark::ClobberMemory();
    }
  }
  CountBytes(state);
}
BENCHMARK(BM_Memcpy)->Unit(benchmark::kMillisecond);

// The other way to read: read() out of the page cache.
void BM_ReadCall(benchmark::State& state) {
  const Tensor target = Tensor::Zeros({kTensorElements}, DType::kF32).value();
  File();
  for (auto _ : state) {
    const int fd = open(File().c_str(), O_RDONLY);
    SEPTET_CHECK(fd >= 0);
    while (read(fd, target.raw_mutable_data(), kTensorElements * 4) > 0) {
      benchmark::ClobberMemory();
    }
    close(fd);
  }
  CountBytes(state);
}
BENCHMARK(BM_ReadCall)->Unit(benchmark::kMillisecond);

void BM_Write(benchmark::State& state) {
  const std::string path = TempPath("_written.safetensors");
  Tensors();
  for (auto _ : state) {
    SEPTET_CHECK(WriteSafetensors(path, Tensors()).ok());
  }
  unlink(path.c_str());
  CountBytes(state);
}
BENCHMARK(BM_Write)->Unit(benchmark::kMillisecond)->UseRealTime();

// The peer: write() of the same bytes to a new file, and fsync().
void BM_WriteCall(benchmark::State& state) {
  const std::string path = TempPath("_raw");
  Tensors();
  for (auto _ : state) {
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    SEPTET_CHECK(fd >= 0);
    for (const auto& [name, tensor] : Tensors()) {
      const ssize_t written = write(fd, tensor.raw_data(), kTensorElements * 4);
      SEPTET_CHECK_EQ(written, kTensorElements * 4);
    }
    SEPTET_CHECK_EQ(fsync(fd), 0);
    close(fd);
    unlink(path.c_str());
  }
  CountBytes(state);
}
BENCHMARK(BM_WriteCall)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace septet
