// SPDX-License-Identifier: Apache-2.0
#include "septet/core/random/distributions.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <numeric>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/random/philox.h"
#include "septet/core/random/stream.h"

namespace septet {
namespace {

using ::testing::AllOf;
using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAreArray;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

RandomStream Stream(absl::string_view name, uint64_t seed = 20240229) {
  return RandomStream::Create(seed, name).value();
}

// Pearson's statistic of counts against expected ones, as the number of
// standard deviations above its mean: with k - 1 degrees of freedom chi^2 is
// about normal, with mean k - 1 and variance 2 (k - 1). Seeds are fixed, so a
// bound of 4 either always holds or never.
double ChiSquareZ(const std::vector<int64_t>& counts,
                  const std::vector<double>& expected) {
  double chi2 = 0;
  for (size_t k = 0; k < counts.size(); ++k) {
    const double d = static_cast<double>(counts[k]) - expected[k];
    chi2 += d * d / expected[k];
  }
  const auto freedom = static_cast<double>(counts.size() - 1);
  return (chi2 - freedom) / std::sqrt(2 * freedom);
}

double UniformChiSquareZ(const std::vector<int64_t>& counts) {
  const double total = static_cast<double>(
      std::accumulate(counts.begin(), counts.end(), int64_t{0}));
  return ChiSquareZ(counts,
                    std::vector<double>(counts.size(), total / counts.size()));
}

double Mean(absl::Span<const double> x) {
  return std::accumulate(x.begin(), x.end(), 0.0) / x.size();
}

// The mean of (x - centre)^power.
double Moment(absl::Span<const double> x, double centre, int power) {
  double sum = 0;
  for (const double v : x) sum += std::pow(v - centre, power);
  return sum / x.size();
}

template <typename T>
class FillOfTypeTest : public ::testing::Test {};
using RealTypes = ::testing::Types<float, double>;
TYPED_TEST_SUITE(FillOfTypeTest, RealTypes);

TYPED_TEST(FillOfTypeTest, ValuesAreThoseOfTheStream) {
  using T = TypeParam;
  const RandomStream stream = Stream("values");
  std::vector<T> uniform(50000), normal(50000);
  SEPTET_ASSERT_OK(FillUniform(stream, -2.0, 3.0, absl::MakeSpan(uniform), 7));
  SEPTET_ASSERT_OK(FillNormal(stream, 0.5, 2.0, absl::MakeSpan(normal), 7));
  for (uint64_t i = 0; i < uniform.size(); ++i) {
    ASSERT_EQ(uniform[i], static_cast<T>(5.0 * stream.Unit(7 + i) - 2.0));
    ASSERT_EQ(normal[i], static_cast<T>(2.0 * stream.Normal(7 + i) + 0.5));
  }
}

TYPED_TEST(FillOfTypeTest, ThreadsAndPartsChangeNoBits) {
  using T = TypeParam;
  const RandomStream stream = Stream("threads");
  constexpr int64_t kRows = 33334, kDim = 3, kSize = kRows * kDim;
  const auto fill = [&](ThreadPool* pool, int64_t cut) {
    const ScopedThreadPool scope(pool);
    std::vector<T> all(3 * kSize);
    const absl::Span<T> span = absl::MakeSpan(all);
    const int64_t begins[] = {0, cut};
    const int64_t ends[] = {cut, kRows};
    for (int part = 0; part < 2; ++part) {
      const int64_t begin = kDim * begins[part];
      const int64_t size = kDim * ends[part] - begin;
      EXPECT_TRUE(
          FillUniform(stream, -1.0, 1.0, span.subspan(begin, size), begin)
              .ok());
      EXPECT_TRUE(FillNormal(stream, -1.0, 1.0,
                             span.subspan(kSize + begin, size), begin)
                      .ok());
      EXPECT_TRUE(FillUnitSphere(stream, kDim,
                                 span.subspan(2 * kSize + begin, size),
                                 begins[part])
                      .ok());
    }
    return all;
  };
  const std::vector<T> want = fill(nullptr, kRows);
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    for (const int64_t cut : {int64_t{0}, int64_t{1}, int64_t{20011}, kRows}) {
      const std::vector<T> got = fill(&pool, cut);
      ASSERT_EQ(std::memcmp(got.data(), want.data(), got.size() * sizeof(T)), 0)
          << threads << " threads, cut at " << cut;
    }
  }
}

TYPED_TEST(FillOfTypeTest, UniformChecksItsRange) {
  using T = TypeParam;
  const RandomStream stream = Stream("checks");
  std::vector<T> out(3, T{7});
  const std::string type = sizeof(T) == 4 ? "float" : "double";
  EXPECT_THAT(FillUniform(stream, 1.0, 0.5, absl::MakeSpan(out)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       Eq("uniform numbers of stream 'checks': the range is 1 "
                          "to 0.5, want lo <= hi, both and their difference "
                          "finite in " +
                          type)));
  const double max = std::numeric_limits<T>::max();
  for (const auto& [lo, hi] :
       {std::pair(kNan, 1.0), std::pair(0.0, kNan), std::pair(0.0, kInf),
        std::pair(-kInf, 0.0), std::pair(kInf, kInf),
        std::pair(0.0, 2 * max)}) {
    EXPECT_THAT(FillUniform(stream, lo, hi, absl::MakeSpan(out)),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         StartsWith("uniform numbers of stream 'checks'")));
  }
  EXPECT_THAT(out, ::testing::Each(T{7}));
  if (sizeof(T) == 8) {
    EXPECT_FALSE(FillUniform(stream, -max, max, absl::MakeSpan(out)).ok());
  } else {
    SEPTET_EXPECT_OK(FillUniform(stream, -max, max, absl::MakeSpan(out)));
    for (const T x : out) EXPECT_TRUE(std::isfinite(x));
  }
  SEPTET_EXPECT_OK(FillUniform(stream, 2.5, 2.5, absl::MakeSpan(out)));
  EXPECT_THAT(out, ::testing::Each(T{2.5}));
  SEPTET_EXPECT_OK(FillUniform(stream, 0.0, 1.0, absl::Span<T>()));
}

TYPED_TEST(FillOfTypeTest, NormalChecksItsParameters) {
  using T = TypeParam;
  const RandomStream stream = Stream("checks");
  std::vector<T> out(3, T{7});
  EXPECT_THAT(
      FillNormal(stream, 1.0, -0.5, absl::MakeSpan(out)),
      StatusIs(absl::StatusCode::kInvalidArgument,
               StartsWith("normal numbers of stream 'checks': mean 1 and "
                          "standard deviation -0.5, want a standard "
                          "deviation >= 0")));
  const double max = std::numeric_limits<T>::max();
  for (const auto& [mean, std] :
       {std::pair(kNan, 1.0), std::pair(0.0, kNan), std::pair(0.0, kInf),
        std::pair(-kInf, 0.0), std::pair(0.0, max / 6),
        std::pair(-max, max / 100)}) {
    EXPECT_THAT(FillNormal(stream, mean, std, absl::MakeSpan(out)),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         StartsWith("normal numbers of stream 'checks'")));
  }
  EXPECT_THAT(out, ::testing::Each(T{7}));
  SEPTET_EXPECT_OK(FillNormal(stream, 1.5, 0.0, absl::MakeSpan(out)));
  EXPECT_THAT(out, ::testing::Each(T{1.5}));
  SEPTET_EXPECT_OK(FillNormal(stream, 0.0, max / 7, absl::MakeSpan(out)));
}

TYPED_TEST(FillOfTypeTest, SphereRowsHaveLengthOne) {
  using T = TypeParam;
  const RandomStream stream = Stream("sphere");
  for (const int64_t dim : {1, 2, 3, 17, 40000}) {
    const int64_t rows = 5;
    std::vector<T> out(rows * dim);
    SEPTET_ASSERT_OK(FillUnitSphere(stream, dim, absl::MakeSpan(out), 11));
    for (int64_t r = 0; r < rows; ++r) {
      long double norm2 = 0, dot = 0, normal2 = 0;
      for (int64_t d = 0; d < dim; ++d) {
        const long double x = out[r * dim + d];
        const long double z = stream.Normal((11 + r) * dim + d);
        norm2 += x * x;
        dot += x * z;
        normal2 += z * z;
      }
      // A few roundings to T, and a sum of dim terms in double.
      const double tolerance = 4 * std::numeric_limits<T>::epsilon() +
                               dim * std::numeric_limits<double>::epsilon();
      EXPECT_NEAR(static_cast<double>(norm2), 1.0, tolerance);
      // Along the row of normals.
      EXPECT_NEAR(static_cast<double>(dot / std::sqrt(normal2)), 1.0,
                  tolerance);
    }
  }
}

TYPED_TEST(FillOfTypeTest, SphereChecksItsDimension) {
  using T = TypeParam;
  const RandomStream stream = Stream("checks");
  std::vector<T> out(10);
  for (const int64_t dim : {0, -1, 3, 11}) {
    EXPECT_THAT(FillUnitSphere(stream, dim, absl::MakeSpan(out)),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         Eq("points on the sphere of stream 'checks': "
                            "dimension " +
                            std::to_string(dim) +
                            ", want one >= 1 that divides the size of the "
                            "array, 10")));
  }
  SEPTET_EXPECT_OK(FillUnitSphere(stream, 3, absl::Span<T>()));
}

TEST(UniformTest, MomentsAndHistogram) {
  std::vector<double> x(1 << 20);
  SEPTET_ASSERT_OK(FillUniform(Stream("moments"), 0.0, 1.0, absl::MakeSpan(x)));
  const double root = std::sqrt(static_cast<double>(x.size()));
  EXPECT_NEAR(Mean(x), 0.5, 4 * std::sqrt(1.0 / 12) / root);
  // The variance of (x - 1/2)^2 is 1/80 - 1/144.
  EXPECT_NEAR(Moment(x, 0.5, 2), 1.0 / 12,
              4 * std::sqrt(1.0 / 80 - 1.0 / 144) / root);
  EXPECT_GE(*std::min_element(x.begin(), x.end()), 0.0);
  EXPECT_LT(*std::max_element(x.begin(), x.end()), 1.0);
  std::vector<int64_t> counts(1024);
  for (const double v : x) ++counts[static_cast<size_t>(v * 1024)];
  EXPECT_LT(std::abs(UniformChiSquareZ(counts)), 4);
}

TEST(UniformTest, NeighboursAndStreamsAreIndependent) {
  constexpr size_t kSize = 1 << 18;
  const std::vector<RandomStream> streams = {
      Stream("pairs/a"), Stream("pairs/b"), Stream("pairs/a", 1)};
  // 32 x 32 cells of (value i of one, value i + lag of the other).
  for (const auto& [first, second, lag] :
       {std::tuple(0, 0, 1), std::tuple(0, 0, 2), std::tuple(0, 1, 0),
        std::tuple(0, 2, 0)}) {
    std::vector<int64_t> counts(32 * 32);
    for (size_t i = 0; i < kSize; ++i) {
      ++counts[32 * streams[first].Below(i, 32) +
               streams[second].Below(i + lag, 32)];
    }
    EXPECT_LT(std::abs(UniformChiSquareZ(counts)), 4)
        << first << " " << second << " " << lag;
  }
}

TEST(UniformTest, AllFourWordsAreUniformInEveryByte) {
  const RandomStream stream = Stream("bytes");
  std::vector<std::vector<int64_t>> counts(16, std::vector<int64_t>(256));
  for (uint64_t i = 0; i < 1 << 17; ++i) {
    const PhiloxBlock words = stream.Element(i);
    for (int byte = 0; byte < 16; ++byte) {
      ++counts[byte][words[byte / 4] >> (8 * (byte % 4)) & 0xff];
    }
  }
  for (const auto& c : counts) EXPECT_LT(std::abs(UniformChiSquareZ(c)), 4);
}

TEST(BelowTest, IsUniformForSizesThatAreNoPowersOfTwo) {
  const RandomStream stream = Stream("below");
  for (const uint32_t n : {2u, 3u, 7u, 100u, 1000u}) {
    std::vector<int64_t> counts(n);
    for (uint64_t i = 0; i < 200000; ++i) ++counts[stream.Below(i, n)];
    EXPECT_LT(std::abs(UniformChiSquareZ(counts)), 4) << n;
  }
}

TEST(NormalTest, MomentsAndHistogram) {
  std::vector<double> x(1 << 20);
  SEPTET_ASSERT_OK(FillNormal(Stream("moments"), 0.0, 1.0, absl::MakeSpan(x)));
  const double root = std::sqrt(static_cast<double>(x.size()));
  // The variances of z, z^2, z^3, z^4 are 1, 2, 15, 96.
  EXPECT_NEAR(Mean(x), 0, 4 / root);
  EXPECT_NEAR(Moment(x, 0, 2), 1, 4 * std::sqrt(2.0) / root);
  EXPECT_NEAR(Moment(x, 0, 3), 0, 4 * std::sqrt(15.0) / root);
  EXPECT_NEAR(Moment(x, 0, 4), 3, 4 * std::sqrt(96.0) / root);
  const auto cdf = [](double z) { return std::erfc(-z / std::sqrt(2.0)) / 2; };
  // Cells of 0.1 from -4 to 4, and the two tails.
  std::vector<int64_t> counts(82);
  std::vector<double> expected(82);
  for (const double v : x) {
    const double cell = std::floor((v + 4) * 10) + 1;
    ++counts[static_cast<size_t>(std::min(std::max(cell, 0.0), 81.0))];
  }
  for (int k = 0; k < 82; ++k) {
    const double low = k == 0 ? 0 : cdf(-4 + 0.1 * (k - 1));
    const double high = k == 81 ? 1 : cdf(-4 + 0.1 * k);
    expected[k] = (high - low) * static_cast<double>(x.size());
  }
  EXPECT_LT(std::abs(ChiSquareZ(counts, expected)), 4);
}

TEST(SphereTest, HasNoPreferredDirection) {
  constexpr int64_t kRows = 1 << 17, kDim = 3;
  std::vector<double> x(kRows * kDim);
  SEPTET_ASSERT_OK(FillUnitSphere(Stream("sphere"), kDim, absl::MakeSpan(x)));
  const double root = std::sqrt(static_cast<double>(kRows));
  for (int64_t a = 0; a < kDim; ++a) {
    double mean = 0;
    std::vector<int64_t> counts(64);
    for (int64_t r = 0; r < kRows; ++r) {
      mean += x[r * kDim + a] / kRows;
      // A coordinate of a point on the sphere in three dimensions is uniform
      // (Archimedes).
      ++counts[std::min<size_t>(
          63, static_cast<size_t>((x[r * kDim + a] + 1) * 32))];
    }
    EXPECT_NEAR(mean, 0, 4 * std::sqrt(1.0 / 3) / root);
    EXPECT_LT(std::abs(UniformChiSquareZ(counts)), 4);
    for (int64_t b = 0; b < a; ++b) {
      double product = 0;
      for (int64_t r = 0; r < kRows; ++r) {
        product += x[r * kDim + a] * x[r * kDim + b] / kRows;
      }
      EXPECT_NEAR(product, 0, 4 * std::sqrt(1.0 / 15) / root);
    }
  }
}

TEST(PermutationTest, IsTheShuffleOfTheNumbers) {
  const RandomStream stream = Stream("permutation");
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<int64_t> got,
                              Permutation(stream, 3, 1000));
  std::vector<int64_t> want(1000);
  std::iota(want.begin(), want.end(), 0);
  EXPECT_THAT(got, UnorderedElementsAreArray(want));
  SEPTET_ASSERT_OK(stream.Shuffle(3, absl::MakeSpan(want)));
  EXPECT_EQ(got, want);
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::vector<int64_t> none,
                              Permutation(stream, 3, 0));
  EXPECT_TRUE(none.empty());
}

TEST(PermutationTest, AllOrdersAreEquallyLikely) {
  const RandomStream stream = Stream("permutation");
  std::map<std::vector<int64_t>, int64_t> seen;
  for (uint64_t e = 0; e < 24000; ++e) ++seen[*Permutation(stream, e, 4)];
  ASSERT_EQ(seen.size(), 24);
  std::vector<int64_t> counts;
  for (const auto& [order, count] : seen) counts.push_back(count);
  EXPECT_LT(std::abs(UniformChiSquareZ(counts)), 4);
}

TEST(PermutationTest, ChecksTheNumberOfItems) {
  const RandomStream stream = Stream("checks");
  EXPECT_THAT(Permutation(stream, 0, -1),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       Eq("permutation of stream 'checks': of -1 items, want 0 "
                          "to 2^32 - 1")));
  EXPECT_THAT(Permutation(stream, 0, int64_t{1} << 32),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("4294967296 items")));
}

TEST(CategoricalTest, TakesTheSmallestIdWhoseCumulativeProbabilityExceeds) {
  const RandomStream stream = Stream("categorical");
  // Probabilities 1/8, 0, 1/2, 0, 3/8, 0.
  const std::vector<double> logits = {0.0,   -kInf,         std::log(4.0),
                                      -kInf, std::log(3.0), -kInf};
  std::vector<float> logits32(logits.begin(), logits.end());
  std::vector<int64_t> counts(3);
  for (uint64_t i = 0; i < 20000; ++i) {
    const double u = stream.Unit(i);
    const int64_t want = u < 0.125 ? 0 : u < 0.625 ? 2 : 4;
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const int64_t got, Categorical(stream, i, absl::MakeConstSpan(logits)));
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const int64_t got32,
        Categorical(stream, i, absl::MakeConstSpan(logits32)));
    ASSERT_EQ(got, want);
    ASSERT_EQ(got32, want);
    ++counts[got / 2];
  }
  EXPECT_LT(std::abs(ChiSquareZ(counts, {2500.0, 10000.0, 7500.0})), 4);
}

TEST(CategoricalTest, AConstantAddedToTheLogitsChangesNothing) {
  const RandomStream stream = Stream("categorical");
  for (const double shift : {-1e300, -1000.0, 1000.0, 1e300}) {
    for (uint64_t i = 0; i < 100; ++i) {
      // At 1e300 all three are equal anyway.
      const std::vector<double> plain = {0.5, 0.5, 0.5};
      const std::vector<double> shifted = {0.5 + shift, 0.5 + shift,
                                           0.5 + shift};
      EXPECT_EQ(*Categorical(stream, i, absl::MakeConstSpan(plain)),
                *Categorical(stream, i, absl::MakeConstSpan(shifted)));
    }
  }
}

TEST(CategoricalTest, ManyEqualCategoriesAreUniform) {
  const RandomStream stream = Stream("categorical/many");
  const std::vector<float> logits(500, 3.0f);
  std::vector<int64_t> counts(logits.size());
  for (uint64_t i = 0; i < 50000; ++i) {
    ++counts[*Categorical(stream, i, absl::MakeConstSpan(logits))];
  }
  EXPECT_LT(std::abs(UniformChiSquareZ(counts)), 4);
}

TEST(CategoricalTest, OneIdIsCertain) {
  const RandomStream stream = Stream("categorical");
  const std::vector<double> logits = {-kInf, -kInf, -1e308, -kInf};
  for (uint64_t i = 0; i < 100; ++i) {
    EXPECT_EQ(*Categorical(stream, i, absl::MakeConstSpan(logits)), 2);
  }
}

TEST(CategoricalTest, ChecksTheLogits) {
  const RandomStream stream = Stream("checks");
  EXPECT_THAT(Categorical(stream, 0, absl::Span<const float>()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       Eq("category of stream 'checks': there are no logits")));
  for (const double bad : {kNan, kInf}) {
    const std::vector<double> logits = {0.0, bad, bad};
    EXPECT_THAT(Categorical(stream, 0, absl::MakeConstSpan(logits)),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(StartsWith("category of stream 'checks': logit "
                                          "1 of 3 is "),
                               HasSubstr("want a finite number or -inf"))));
  }
  const std::vector<double> none = {-kInf, -kInf};
  EXPECT_THAT(
      Categorical(stream, 0, absl::MakeConstSpan(none)),
      StatusIs(absl::StatusCode::kInvalidArgument,
               Eq("category of stream 'checks': all 2 logits are -inf")));
}

}  // namespace
}  // namespace septet
