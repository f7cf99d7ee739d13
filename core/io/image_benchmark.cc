// SPDX-License-Identifier: Apache-2.0
// Images like photographs, smooth with some noise, in memory: decoded and
// encoded. Bytes are those of the pixels.
#include <cmath>
#include <cstdint>
#include <string>

#include "benchmark/benchmark.h"
#include "septet/core/base/check.h"
#include "septet/core/io/image.h"
#include "septet/core/io/image_options.h"
#include "septet/core/random/stream.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

Tensor Photograph(int64_t size) {
  const RandomStream random =
      RandomStream::Create(1, "image_benchmark/noise").value();
  Tensor image = Tensor::Empty({size, size, 3}, DType::kU8).value();
  auto* const pixels = image.mutable_data<uint8_t>();
  for (int64_t i = 0; i < image.num_elements(); ++i) {
    const auto x = static_cast<double>(i / 3 % size);
    const auto y = static_cast<double>(i / 3 / size);
    const double phase = static_cast<double>(i % 3);
    const double value = 128 + 50 * std::sin(x / 37 + phase) +
                         50 * std::cos(y / 23 - x / 91 + phase) +
                         3 * random.Normal(static_cast<uint64_t>(i));
    pixels[i] = static_cast<uint8_t>(std::lround(value));
  }
  return image;
}

void CountBytes(benchmark::State& state, const Tensor& image) {
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) *
                          image.num_elements());
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()));
}

void Decode(benchmark::State& state, const std::string& bytes,
            const Tensor& image, ImageChannels channels) {
  ImageOptions options;
  options.channels = channels;
  for (auto _ : state) {
    Tensor decoded = ParseImage(bytes, options).value();
    benchmark::DoNotOptimize(decoded);
  }
  CountBytes(state, image);
  state.counters["file"] = static_cast<double>(bytes.size());
}

void BM_DecodePng(benchmark::State& state) {
  const Tensor image = Photograph(state.range(0));
  const std::string bytes = SerializePng(image).value();
  SEPTET_CHECK(ParseImage(bytes)->ToVector<int32_t>() ==
               image.ToVector<int32_t>());
  Decode(state, bytes, image, ImageChannels::kAsStored);
}
BENCHMARK(BM_DecodePng)->ArgName("size")->Arg(32)->Arg(512);

void BM_DecodeJpeg(benchmark::State& state) {
  const Tensor image = Photograph(state.range(0));
  Decode(state, SerializeJpeg(image).value(), image, ImageChannels::kAsStored);
}
BENCHMARK(BM_DecodeJpeg)->ArgName("size")->Arg(32)->Arg(512);

void BM_DecodeJpegGrey(benchmark::State& state) {
  const Tensor image = Photograph(state.range(0));
  Decode(state, SerializeJpeg(image).value(), image, ImageChannels::kGrey);
}
BENCHMARK(BM_DecodeJpegGrey)->ArgName("size")->Arg(512);

void BM_EncodePng(benchmark::State& state) {
  const Tensor image = Photograph(state.range(0));
  for (auto _ : state) {
    std::string bytes = SerializePng(image).value();
    benchmark::DoNotOptimize(bytes);
  }
  CountBytes(state, image);
}
BENCHMARK(BM_EncodePng)->ArgName("size")->Arg(512);

void BM_EncodeJpeg(benchmark::State& state) {
  const Tensor image = Photograph(state.range(0));
  for (auto _ : state) {
    std::string bytes = SerializeJpeg(image).value();
    benchmark::DoNotOptimize(bytes);
  }
  CountBytes(state, image);
}
BENCHMARK(BM_EncodeJpeg)->ArgName("size")->Arg(512);

}  // namespace
}  // namespace septet
