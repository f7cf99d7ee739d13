// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "benchmark/benchmark.h"
#include "septet/core/base/crc32c.h"

namespace septet {
namespace {

template <uint32_t (*kExtend)(uint32_t, absl::string_view)>
void BM_Crc32c(benchmark::State& state) {
  const std::string data(static_cast<size_t>(state.range(0)), 'x');
  uint32_t crc = 0;
  for (auto _ : state) crc = kExtend(crc, data);
  benchmark::DoNotOptimize(crc);
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK_TEMPLATE(BM_Crc32c, Crc32cExtend)->Arg(64)->Arg(1024)->Arg(1 << 20);
BENCHMARK_TEMPLATE(BM_Crc32c, base_internal::Crc32cExtendPortable)
    ->Arg(64)
    ->Arg(1024)
    ->Arg(1 << 20);

}  // namespace
}  // namespace septet
