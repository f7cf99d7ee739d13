// SPDX-License-Identifier: Apache-2.0
// Checksums, as checkpoints and event files have them.
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/crc32c.h"
#include "septet/core/bench/case.h"

namespace septet {
namespace {

absl::StatusOr<BenchKernel> PrepareCrc32c(int64_t size) {
  std::string data(static_cast<size_t>(size), '\0');
  for (size_t i = 0; i < data.size(); ++i) {
    data[i] = static_cast<char>(i * 2654435761u >> 24);
  }
  const uint32_t got = Crc32c(data);
  const uint32_t want = base_internal::Crc32cExtendPortable(0, data);
  if (got != want) {
    return absl::InternalError(
        absl::StrCat("crc32c is ", got, ", want ", want));
  }
  struct State {
    std::string data;
    uint32_t crc = 0;
  };
  auto state = std::make_shared<State>();
  state->data = std::move(data);
  return BenchKernel(
      [state] { state->crc = Crc32cExtend(state->crc, state->data); });
}

[[maybe_unused]] const bool kCrc32c = [] {
  for (const int64_t size : {int64_t{1} << 10, int64_t{1} << 20}) {
    BenchCase c;
    c.name = absl::StrCat("crc32c/u8/", size);
    c.limit = BenchLimit::ReadBytes(static_cast<double>(size));
    c.elements = static_cast<double>(size);
    c.prepare = [size] { return PrepareCrc32c(size); };
    RegisterBenchCase(std::move(c));
  }
  return true;
}();

}  // namespace
}  // namespace septet
