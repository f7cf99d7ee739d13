// SPDX-License-Identifier: Apache-2.0
// What a batch costs beside a training step of some milliseconds.
#include <cstdint>
#include <vector>

#include "benchmark/benchmark.h"
#include "septet/core/base/check.h"
#include "septet/core/data/augment.h"
#include "septet/core/data/epoch_sampler.h"
#include "septet/core/data/token_windows.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

// 128 images of 28 x 28 x 1 out of 10,000.
void BM_Batch(benchmark::State& state) {
  const Tensor images = Tensor::Zeros({10000, 28, 28, 1}, DType::kU8).value();
  AugmentOptions options;
  options.shift = state.range(0);
  options.flip = state.range(0) > 0;
  const ImageAugmenter augment = ImageAugmenter::Create(options).value();
  const ImageScale scale = ImageScale::Unit(1);
  std::vector<int64_t> items;
  for (int64_t i = 0; i < 128; ++i) items.push_back(i * 77 % 10000);
  for (auto _ : state) {
    SEPTET_CHECK(augment.Batch(images, scale, items, 1).ok());
  }
}
BENCHMARK(BM_Batch)->ArgName("shift")->Arg(0)->Arg(2)->Unit(
    benchmark::kMicrosecond);

// The first batch of an epoch of 60,000 items.
void BM_Shuffle(benchmark::State& state) {
  EpochSamplerOptions options;
  options.size = 60000;
  options.batch = 128;
  EpochSampler sampler = EpochSampler::Create(options).value();
  int64_t epoch = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        sampler.Batch(epoch++ * sampler.batches_per_epoch()).data());
  }
}
BENCHMARK(BM_Shuffle)->Unit(benchmark::kMicrosecond);

void BM_TokenWindows(benchmark::State& state) {
  TokenWindowsOptions options;
  options.context = 256;
  const TokenWindows windows =
      TokenWindows::Create(Tensor::Zeros({1 << 21}, DType::kU8).value(),
                           options)
          .value();
  int64_t step = 0;
  for (auto _ : state) SEPTET_CHECK(windows.Batch(step++, 16).ok());
}
BENCHMARK(BM_TokenWindows)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace septet
