// SPDX-License-Identifier: Apache-2.0
// Helpers for the tests of the CPU kernels: every instruction set, sizes around
// vector widths, misaligned arrays with guards, deterministic random numbers,
// errors in units in the last place.
#ifndef SEPTET_CORE_OPS_KERNEL_TESTUTIL_H_
#define SEPTET_CORE_OPS_KERNEL_TESTUTIL_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "hwy/highway.h"

namespace septet {

// Sizes below, at and above every vector width, and a longer one.
inline const std::vector<int64_t>& TestSizes() {
  static const auto* sizes =
      new std::vector<int64_t>{0,  1,  2,  3,  5,  7,  8,  9,   15,  16,
                               17, 31, 32, 33, 63, 64, 65, 127, 128, 1000};
  return *sizes;
}

// Calls test() once for each Highway target that this machine has, with that
// target alone in use, and a trace that names it.
template <typename Test>
void ForEachTarget(const Test& test) {
  for (int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    SCOPED_TRACE(std::string("target ") + hwy::TargetName(target));
    test();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

// Inside ForEachTarget: whether the target has fused multiply-add.
inline bool TargetFusesMultiplyAdd() {
  const std::string name = hwy::TargetName(hwy::SupportedTargets());
  return name != "SSSE3" && name != "SSE4" && name != "EMU128" &&
         name != "SCALAR";
}

// SplitMix64 (Steele, Lea, Flood, 2014): enough for test data.
class TestRandom {
 public:
  explicit TestRandom(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15ull);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }
  // Uniform in [low, high).
  double Uniform(double low, double high) {
    return low + (high - low) * (static_cast<double>(Next() >> 11) * 0x1p-53);
  }
  int64_t Below(int64_t n) {
    return static_cast<int64_t>(Next() % static_cast<uint64_t>(n));
  }

 private:
  uint64_t state_;
};

// n elements that begin `misalign` elements after an aligned address, between
// guards that CheckGuards() compares.
template <typename T>
class GuardedArray {
 public:
  explicit GuardedArray(int64_t n, int64_t misalign = 1)
      : begin_(kGuard + misalign), n_(n), data_(begin_ + n + kGuard) {
    std::memset(static_cast<void*>(data_.data()), kPattern,
                data_.size() * sizeof(T));
  }

  T* data() { return data_.data() + begin_; }
  const T* data() const { return data_.data() + begin_; }
  int64_t size() const { return n_; }
  T& operator[](int64_t i) { return data()[i]; }
  const T& operator[](int64_t i) const { return data()[i]; }

  void FillUniform(TestRandom* random, double low, double high) {
    for (int64_t i = 0; i < n_; ++i) {
      data()[i] = static_cast<T>(random->Uniform(low, high));
    }
  }
  std::vector<T> ToVector() const {
    return std::vector<T>(data(), data() + n_);
  }
  // Nothing was written before or after the elements.
  bool GuardsAreIntact() const {
    const auto intact = [this](int64_t first, int64_t last) {
      const auto* bytes =
          reinterpret_cast<const unsigned char*>(data_.data() + first);
      return std::all_of(bytes,
                         bytes + static_cast<size_t>(last - first) * sizeof(T),
                         [](unsigned char c) { return c == kPattern; });
    };
    return intact(0, begin_) &&
           intact(begin_ + n_, static_cast<int64_t>(data_.size()));
  }

 private:
  static constexpr int64_t kGuard = 64;
  static constexpr unsigned char kPattern = 0x5A;
  int64_t begin_;
  int64_t n_;
  std::vector<T> data_;
};

// The spacing of numbers of type T at `value`; that of subnormal numbers below.
template <typename T>
long double UlpOf(long double value) {
  constexpr int kDigits = std::numeric_limits<T>::digits;
  constexpr int kMinExponent = std::numeric_limits<T>::min_exponent;
  if (value == 0) return std::ldexp(1.0L, kMinExponent - kDigits);
  const int exponent = std::max(std::ilogb(value) + 1, kMinExponent);
  return std::ldexp(1.0L, exponent - kDigits);
}

// |got - want| in units in the last place of `want`. 0 for equal infinities and
// for two NaN; infinity where only one of the two is finite, unless `want`
// rounds to the infinity.
template <typename T>
double UlpError(T got, long double want) {
  const T rounded = static_cast<T>(want);
  if (std::isnan(want) || std::isnan(got)) {
    return std::isnan(want) && std::isnan(got)
               ? 0.0
               : std::numeric_limits<double>::infinity();
  }
  if (got == rounded) {
    if (std::isinf(got)) return 0.0;
  } else if (std::isinf(got) || std::isinf(rounded)) {
    // The largest finite number beside infinity is one step away.
    const T finite = std::isinf(got) ? rounded : got;
    return std::abs(finite) == std::numeric_limits<T>::max()
               ? 1.0
               : std::numeric_limits<double>::infinity();
  }
  return static_cast<double>(std::abs(static_cast<long double>(got) - want) /
                             UlpOf<T>(want));
}

// Equal as bits, so that NaN equals NaN and 0 differs from -0.
template <typename T>
bool SameBits(T a, T b) {
  return std::memcmp(&a, &b, sizeof(T)) == 0;
}

}  // namespace septet

#endif  // SEPTET_CORE_OPS_KERNEL_TESTUTIL_H_
