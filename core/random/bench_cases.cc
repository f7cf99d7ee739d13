// SPDX-License-Identifier: Apache-2.0
// Random fills of arrays in the cache.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/bench/case.h"
#include "septet/core/bench/values.h"
#include "septet/core/random/fill.h"
#include "septet/core/random/philox.h"
#include "septet/core/random/variates.h"

namespace septet {
namespace {

constexpr PhiloxKey kKey = {1, 2};
constexpr size_t kCount = 4096;

// fill(begin, out) against value(i); both have the same bits.
template <typename T, typename Fill, typename Value>
absl::StatusOr<BenchKernel> Prepare(const Fill& fill, const Value& value) {
  auto out = std::make_shared<std::vector<T>>(kCount);
  fill(0, absl::MakeSpan(*out));
  std::vector<T> want(kCount);
  for (size_t i = 0; i < kCount; ++i) want[i] = value(i);
  SEPTET_RETURN_IF_ERROR(CheckClose<T>("out", *out, want, {}));
  auto begin = std::make_shared<uint64_t>(0);
  return BenchKernel([out, begin, fill] {
    fill(*begin, absl::MakeSpan(*out));
    *begin += kCount;
  });
}

void Register(const std::string& name,
              std::function<absl::StatusOr<BenchKernel>()> prepare) {
  BenchCase c;
  c.name = name;
  c.elements = kCount;
  c.prepare = std::move(prepare);
  RegisterBenchCase(std::move(c));
}

template <typename T>
bool RegisterAll(const std::string& type) {
  Register("random_uniform/" + type + "/4096", [] {
    return Prepare<T>(
        [](uint64_t begin, absl::Span<T> out) {
          PhiloxFillUniform(kKey, begin, -1, 1, out);
        },
        [](uint64_t i) {
          return static_cast<T>(
              ScaleUnit(-1, 1, UnitFromWord(PhiloxElement(kKey, i)[0])));
        });
  });
  Register("random_normal/" + type + "/4096", [] {
    return Prepare<T>(
        [](uint64_t begin, absl::Span<T> out) {
          PhiloxFillNormal(kKey, begin, 0, 1, out);
        },
        [](uint64_t i) {
          const PhiloxBlock w = PhiloxElement(kKey, i);
          return static_cast<T>(ScaleNormal(0, 1, NormalFromWords(w[0], w[1])));
        });
  });
  return true;
}

[[maybe_unused]] const bool kFloating =
    RegisterAll<float>("f32") && RegisterAll<double>("f64");

[[maybe_unused]] const bool kWords = [] {
  Register("random_words/u32/4096", [] {
    return Prepare<uint32_t>(
        [](uint64_t begin, absl::Span<uint32_t> out) {
          PhiloxFillWords(kKey, begin / 4, out);
        },
        [](uint64_t i) { return PhiloxElement(kKey, i / 4)[i % 4]; });
  });
  return true;
}();

}  // namespace
}  // namespace septet
