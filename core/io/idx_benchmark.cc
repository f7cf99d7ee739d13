// SPDX-License-Identifier: Apache-2.0
// The training images of Fashion-MNIST, 60000 of 28 x 28, in the page cache:
// read from the compressed file, against zlib alone; and from a plain one,
// against memcpy of as much.
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "benchmark/benchmark.h"
#include "septet/core/base/check.h"
#include "septet/core/base/file.h"
#include "septet/core/io/idx.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"
#include "zlib.h"

namespace septet {
namespace {

constexpr char kCompressed[] =
    "../dataset_fashion_mnist/fashion-mnist/train-images-idx3-ubyte.gz";

constexpr size_t kHeaderBytes = 16;

const Tensor& Images() {
  static const auto* const images = [] {
    auto* const tensor = new Tensor(ReadIdx(kCompressed).value());
    SEPTET_CHECK_EQ(tensor->num_elements(), 60000 * 28 * 28);
    return tensor;
  }();
  return *images;
}

void CountBytes(benchmark::State& state) {
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) *
                          Images().num_elements());
}

void BM_ReadCompressed(benchmark::State& state) {
  Images();
  for (auto _ : state) {
    Tensor images = ReadIdx(kCompressed).value();
    benchmark::DoNotOptimize(images);
  }
  CountBytes(state);
}
BENCHMARK(BM_ReadCompressed)->Unit(benchmark::kMillisecond);

// The peer: zlib with memory that is there already, and no checksum but its
// own.
void BM_Inflate(benchmark::State& state) {
  const std::string file = ReadFileToString(kCompressed).value();
  std::string out(kHeaderBytes + Images().num_elements(), '\0');
  for (auto _ : state) {
    z_stream stream = {};
    SEPTET_CHECK_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(file.data()));
    stream.avail_in = static_cast<uInt>(file.size());
    stream.next_out = reinterpret_cast<Bytef*>(&out[0]);
    stream.avail_out = static_cast<uInt>(out.size());
    SEPTET_CHECK_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
    inflateEnd(&stream);
    benchmark::ClobberMemory();
  }
  SEPTET_CHECK(std::memcmp(out.data() + kHeaderBytes, Images().raw_data(),
                           Images().num_elements()) == 0);
  CountBytes(state);
}
BENCHMARK(BM_Inflate)->Unit(benchmark::kMillisecond);

void BM_ReadPlain(benchmark::State& state) {
  const char* directory = std::getenv("TEST_TMPDIR");
  const std::string path =
      std::string(directory == nullptr ? "/tmp" : directory) +
      "/septet_idx_benchmark_" + std::to_string(getpid());
  SEPTET_CHECK(WriteIdx(path, Images()).ok());
  for (auto _ : state) {
    Tensor images = ReadIdx(path).value();
    benchmark::DoNotOptimize(images);
  }
  unlink(path.c_str());
  CountBytes(state);
}
BENCHMARK(BM_ReadPlain)->Unit(benchmark::kMillisecond);

void BM_Memcpy(benchmark::State& state) {
  for (auto _ : state) {
    Tensor copy = Images().Clone().value();
    benchmark::DoNotOptimize(copy);
  }
  CountBytes(state);
}
BENCHMARK(BM_Memcpy)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace septet
