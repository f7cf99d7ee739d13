// SPDX-License-Identifier: Apache-2.0
#include "septet/core/random/fill.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "hwy/highway.h"
#include "septet/core/random/philox.h"
#include "septet/core/random/variates.h"

namespace septet {
namespace {

constexpr PhiloxKey kKey = {0x12345678, 0x9abcdef0};

// Runs each test with every instruction set that this machine has.
class FillTest : public ::testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override {
    hwy::SetSupportedTargetsForTest(GetParam());
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
  void TearDown() override {
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

// All sizes and offsets around the widths of vectors, and begins where the low
// word of the counter, or all of it, wraps.
template <typename Test>
void ForEachCase(const Test& test) {
  for (const uint64_t begin :
       {uint64_t{0}, uint64_t{7}, uint64_t{0xfffffffd},
        uint64_t{0x123456789abcdef0}, ~uint64_t{0} - 4}) {
    for (size_t offset = 0; offset < 4; ++offset) {
      for (size_t n = 0; n <= 37; ++n) test(begin, offset, n);
      test(begin, offset, 1000);
    }
  }
}

// Fills n values in the middle of an array; what is around must stay.
template <typename T, typename Fill, typename Value>
void CheckFill(const Fill& fill, const Value& value) {
  ForEachCase([&](uint64_t begin, size_t offset, size_t n) {
    const T guard = static_cast<T>(12345);
    std::vector<T> got(offset + n + 20, guard);
    fill(begin, absl::MakeSpan(got).subspan(offset, n));
    for (size_t i = 0; i < got.size(); ++i) {
      const bool inside = i >= offset && i < offset + n;
      const T want = inside ? value(begin + (i - offset)) : guard;
      ASSERT_EQ(std::memcmp(&got[i], &want, sizeof(T)), 0)
          << "at " << i << " of " << n << " from " << begin << ": got "
          << got[i] << ", want " << want;
    }
  });
}

TEST_P(FillTest, WordsEqualTheScalarFunction) {
  ForEachCase([&](uint64_t begin, size_t offset, size_t n) {
    std::vector<uint32_t> got(offset + 4 * n + 20, 12345u);
    PhiloxFillWords(kKey, begin, absl::MakeSpan(got).subspan(offset, 4 * n));
    for (size_t i = 0; i < got.size(); ++i) {
      const bool inside = i >= offset && i < offset + 4 * n;
      const size_t place = i - offset;
      const uint32_t want =
          inside ? PhiloxElement(kKey, begin + place / 4)[place % 4] : 12345u;
      ASSERT_EQ(got[i], want) << "at " << i << " of " << n << " from " << begin;
    }
  });
}

TEST_P(FillTest, UniformEqualsTheScalarFunction) {
  for (const auto& [lo, hi] : {std::pair(0.0, 1.0), std::pair(-0.3, 0.7),
                               std::pair(1e-3, 1e9), std::pair(2.0, 2.0)}) {
    const auto value = [lo = lo, hi = hi](uint64_t i) {
      return ScaleUnit(lo, hi, UnitFromWord(PhiloxElement(kKey, i)[0]));
    };
    const auto fill = [lo = lo, hi = hi](uint64_t begin, auto out) {
      PhiloxFillUniform(kKey, begin, lo, hi, out);
    };
    CheckFill<double>(fill, value);
    CheckFill<float>(fill,
                     [&](uint64_t i) { return static_cast<float>(value(i)); });
  }
}

TEST_P(FillTest, NormalEqualsTheScalarFunction) {
  for (const auto& [mean, std] :
       {std::pair(0.0, 1.0), std::pair(-0.3, 0.7), std::pair(2.0, 0.0)}) {
    const auto value = [mean = mean, std = std](uint64_t i) {
      const PhiloxBlock w = PhiloxElement(kKey, i);
      return ScaleNormal(mean, std, NormalFromWords(w[0], w[1]));
    };
    const auto fill = [mean = mean, std = std](uint64_t begin, auto out) {
      PhiloxFillNormal(kKey, begin, mean, std, out);
    };
    CheckFill<double>(fill, value);
    CheckFill<float>(fill,
                     [&](uint64_t i) { return static_cast<float>(value(i)); });
  }
}

TEST_P(FillTest, ManyNormalsEqualTheScalarFunction) {
  std::vector<double> got(200000);
  PhiloxFillNormal({3, 4}, 0, 0.0, 1.0, absl::MakeSpan(got));
  for (size_t i = 0; i < got.size(); ++i) {
    const PhiloxBlock w = PhiloxElement({3, 4}, i);
    ASSERT_EQ(got[i], NormalFromWords(w[0], w[1])) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Targets, FillTest, ::testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
    [](const ::testing::TestParamInfo<int64_t>& info) {
      return hwy::TargetName(info.param);
    });

TEST(FillDeathTest, WordsComeInFours) {
  std::vector<uint32_t> words(6);
  EXPECT_DEATH(PhiloxFillWords(kKey, 0, absl::MakeSpan(words)),
               "words.size\\(\\) % 4 == 0u \\(2 vs. 0\\)");
}

}  // namespace
}  // namespace septet
