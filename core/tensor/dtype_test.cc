// SPDX-License-Identifier: Apache-2.0
#include "septet/core/tensor/dtype.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"

namespace septet {
namespace {

using ::testing::HasSubstr;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <typename T>
T FromBits(uint32_t bits) {
  T value;
  value.bits = static_cast<uint16_t>(bits);
  return value;
}

float FloatFromBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

// The value of a 16-bit format by its definition, in double.
double Decode(uint32_t bits, int exponent_bits) {
  const int mantissa_bits = 15 - exponent_bits;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = (bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  const double sign = bits & 0x8000 ? -1.0 : 1.0;
  if (exponent == (1 << exponent_bits) - 1) {
    return mantissa ? std::nan("") : sign * kInfinity;
  }
  if (exponent == 0) {
    return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
  }
  return sign * std::ldexp(mantissa + (1 << mantissa_bits),
                           exponent - bias - mantissa_bits);
}

template <typename T>
constexpr int ExponentBits() {
  return std::is_same_v<T, Float16> ? 5 : 8;
}

// All finite non-negative values of a format; the index is the bit pattern.
template <typename T>
const std::vector<double>& FiniteValues() {
  static const auto* const values = [] {
    auto* result = new std::vector<double>;
    for (uint32_t bits = 0; std::isfinite(Decode(bits, ExponentBits<T>()));
         ++bits) {
      result->push_back(Decode(bits, ExponentBits<T>()));
    }
    return result;
  }();
  return *values;
}

// Nearest pattern, ties to even, by search among all values.
template <typename T>
uint16_t NearestBits(double value) {
  const std::vector<double>& values = FiniteValues<T>();
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const double magnitude = std::fabs(value);
  const size_t above =
      std::lower_bound(values.begin(), values.end(), magnitude) -
      values.begin();
  if (above == 0) return sign;
  // Infinity stands where the next finite value would.
  const double below_value = values[above - 1];
  const double above_value =
      above < values.size() ? values[above]
                            : 2 * values.back() - values[values.size() - 2];
  const double middle = below_value + (above_value - below_value) / 2;
  const bool up = magnitude > middle || (magnitude == middle && above % 2 == 0);
  return sign | static_cast<uint16_t>(up ? above : above - 1);
}

template <typename T>
class HalfTest : public testing::Test {};
using HalfTypes = testing::Types<BFloat16, Float16>;
TYPED_TEST_SUITE(HalfTest, HalfTypes);

TYPED_TEST(HalfTest, AllPatternsDecodeAndReturn) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = static_cast<float>(FromBits<TypeParam>(bits));
    const double expected = Decode(bits, ExponentBits<TypeParam>());
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(value)) << bits;
      EXPECT_TRUE(std::isnan(static_cast<float>(TypeParam(value)))) << bits;
      EXPECT_EQ(std::signbit(value), (bits & 0x8000) != 0) << bits;
      continue;
    }
    EXPECT_EQ(value, expected) << bits;
    EXPECT_EQ(std::signbit(value), (bits & 0x8000) != 0) << bits;
    EXPECT_EQ(TypeParam(value).bits, bits);
    EXPECT_EQ(ConvertElement<TypeParam>(static_cast<double>(value)).bits, bits);
  }
}

TYPED_TEST(HalfTest, RoundsFloatsAroundEveryTie) {
  const std::vector<double>& values = FiniteValues<TypeParam>();
  for (size_t i = 0; i < values.size(); ++i) {
    const double next =
        i + 1 < values.size() ? values[i + 1] : 2 * values[i] - values[i - 1];
    // Below the least bf16 the middle is still a float, as it must be.
    const double middle = values[i] + (next - values[i]) / 2;
    const auto tie = static_cast<float>(middle);
    ASSERT_EQ(tie, middle);
    for (float value :
         {tie, std::nextafterf(tie, 0.0f), std::nextafterf(tie, INFINITY)}) {
      EXPECT_EQ(TypeParam(value).bits, NearestBits<TypeParam>(value)) << value;
      EXPECT_EQ(TypeParam(-value).bits, NearestBits<TypeParam>(-value))
          << -value;
    }
  }
}

TYPED_TEST(HalfTest, RoundsFloatsOfAllExponents) {
  // A step that is odd, so that all low bits occur.
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 9973) {
    const float value = FloatFromBits(static_cast<uint32_t>(bits));
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(static_cast<float>(TypeParam(value)))) << bits;
    } else if (std::isinf(value)) {
      ASSERT_TRUE(std::isinf(static_cast<float>(TypeParam(value)))) << bits;
    } else {
      ASSERT_EQ(TypeParam(value).bits, NearestBits<TypeParam>(value)) << bits;
    }
  }
}

// Through a float first, a double close to a tie would be rounded twice.
TYPED_TEST(HalfTest, RoundsDoublesOnce) {
  const std::vector<double>& values = FiniteValues<TypeParam>();
  for (size_t i = 0; i < values.size(); ++i) {
    const double next =
        i + 1 < values.size() ? values[i + 1] : 2 * values[i] - values[i - 1];
    const double tie = values[i] + (next - values[i]) / 2;
    for (double value :
         {tie, std::nextafter(tie, 0.0), std::nextafter(tie, kInfinity)}) {
      EXPECT_EQ(ConvertElement<TypeParam>(value).bits,
                NearestBits<TypeParam>(value))
          << value;
      EXPECT_EQ(ConvertElement<TypeParam>(-value).bits,
                NearestBits<TypeParam>(-value))
          << -value;
    }
  }
  std::mt19937_64 random(1);
  for (int i = 0; i < 200000; ++i) {
    const uint64_t bits = random();
    double value;
    std::memcpy(&value, &bits, sizeof(value));
    // Most doubles are out of range: keep the exponent near.
    if (i % 2 == 0 && std::isfinite(value)) {
      int exponent = 0;
      value = std::ldexp(std::frexp(value, &exponent), exponent % 24);
    }
    if (!std::isfinite(value)) continue;
    ASSERT_EQ(ConvertElement<TypeParam>(value).bits,
              NearestBits<TypeParam>(value))
        << value;
  }
}

TEST(Float16Test, Limits) {
  EXPECT_EQ(Float16(65504.0f).bits, 0x7bff);
  EXPECT_EQ(Float16(std::nextafterf(65520.0f, 0.0f)).bits, 0x7bff);
  EXPECT_EQ(Float16(65520.0f).bits, 0x7c00);
  EXPECT_EQ(Float16(-65520.0f).bits, 0xfc00);
  EXPECT_EQ(Float16(0x1p-24f).bits, 1);
  EXPECT_EQ(Float16(0x1p-25f).bits, 0) << "a tie, to even";
  EXPECT_EQ(Float16(std::nextafterf(0x1p-25f, 1.0f)).bits, 1);
  EXPECT_EQ(Float16(-0.0f).bits, 0x8000);
  EXPECT_EQ(Float16(std::numeric_limits<float>::denorm_min()).bits, 0);
}

TEST(BFloat16Test, Limits) {
  EXPECT_EQ(BFloat16(std::numeric_limits<float>::max()).bits, 0x7f80);
  EXPECT_EQ(BFloat16(FloatFromBits(0x7f7f7fff)).bits, 0x7f7f);
  EXPECT_EQ(BFloat16(FloatFromBits(0x7f7f8000)).bits, 0x7f80);
  // A NaN whose payload is in the dropped half must not become infinity, and
  // one that is all ones must not round up to zero.
  EXPECT_TRUE(
      std::isnan(static_cast<float>(BFloat16(FloatFromBits(0x7f800001)))));
  EXPECT_TRUE(
      std::isnan(static_cast<float>(BFloat16(FloatFromBits(0xffffffff)))));
}

#ifdef __FLT16_MANT_DIG__
TEST(Float16Test, AgreesWithTheCompilersType) {
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 65521) {
    const float value = FloatFromBits(static_cast<uint32_t>(bits));
    if (std::isnan(value)) continue;
    const auto half = static_cast<_Float16>(value);
    uint16_t expected;
    std::memcpy(&expected, &half, sizeof(expected));
    ASSERT_EQ(Float16(value).bits, expected) << bits;
  }
}
#endif

// The nearest of the values with 8 significant bits, in integer arithmetic.
double NearestBFloat16OfInteger(int64_t value) {
  const uint64_t magnitude =
      value < 0 ? uint64_t{0} - static_cast<uint64_t>(value) : value;
  int width = 0;
  while (width < 64 && (magnitude >> width) != 0) ++width;
  if (width <= 8) return static_cast<double>(value);
  const int shift = width - 8;
  uint64_t quotient = magnitude >> shift;
  const uint64_t rest = magnitude & ((uint64_t{1} << shift) - 1);
  const uint64_t half = uint64_t{1} << (shift - 1);
  if (rest > half || (rest == half && quotient % 2 == 1)) ++quotient;
  const double result = std::ldexp(static_cast<double>(quotient), shift);
  return value < 0 ? -result : result;
}

TEST(BFloat16Test, RoundsIntegersOnce) {
  std::mt19937_64 random(2);
  std::vector<int64_t> values = {0, 1, -1, INT64_MAX, INT64_MIN, INT32_MIN};
  for (int i = 0; i < 100000; ++i) {
    values.push_back(static_cast<int64_t>(random()) >> (random() % 63));
    // A tie, and its neighbours.
    const int shift = static_cast<int>(random() % 54);
    const int64_t tie = static_cast<int64_t>(2 * (128 + random() % 128) + 1)
                        << shift;
    values.push_back(tie);
    values.push_back(tie - 1);
    values.push_back(-tie - 1);
  }
  for (int64_t value : values) {
    ASSERT_EQ(static_cast<double>(
                  static_cast<float>(ConvertElement<BFloat16>(value))),
              NearestBFloat16OfInteger(value))
        << value;
    const auto narrow = static_cast<int32_t>(value);
    ASSERT_EQ(static_cast<double>(
                  static_cast<float>(ConvertElement<BFloat16>(narrow))),
              NearestBFloat16OfInteger(narrow))
        << narrow;
  }
}

TEST(Float16Test, Integers) {
  EXPECT_EQ(ConvertElement<Float16>(int64_t{65504}).bits, 0x7bff);
  EXPECT_EQ(ConvertElement<Float16>(int64_t{65519}).bits, 0x7bff);
  EXPECT_EQ(ConvertElement<Float16>(int64_t{65520}).bits, 0x7c00);
  EXPECT_EQ(ConvertElement<Float16>(INT64_MIN).bits, 0xfc00);
  EXPECT_EQ(ConvertElement<Float16>(int32_t{2049}).bits, Float16(2048.0f).bits);
  EXPECT_EQ(ConvertElement<Float16>(uint16_t{65535}).bits, 0x7c00);
  EXPECT_EQ(ConvertElement<Float16>(true).bits, Float16(1.0f).bits);
}

template <typename T>
class IntegerTest : public testing::Test {};
using IntegerTypes = testing::Types<int32_t, int64_t, uint8_t, uint16_t>;
TYPED_TEST_SUITE(IntegerTest, IntegerTypes);

TYPED_TEST(IntegerTest, FloatingValuesTruncateAndSaturate) {
  using Limits = std::numeric_limits<TypeParam>;
  const auto convert = [](double value) {
    return ConvertElement<TypeParam>(value);
  };
  EXPECT_EQ(convert(std::nan("")), 0);
  EXPECT_EQ(convert(kInfinity), Limits::max());
  EXPECT_EQ(convert(-kInfinity), Limits::min());
  EXPECT_EQ(convert(1e300), Limits::max());
  EXPECT_EQ(convert(-1e300), Limits::min());
  EXPECT_EQ(convert(2.9), 2);
  EXPECT_EQ(convert(-0.9), 0);
  EXPECT_EQ(convert(-2.9), Limits::is_signed ? TypeParam(-2) : TypeParam(0));
  // The first power of two above the range, and the doubles at either side.
  const double limit = std::ldexp(1.0, Limits::digits);
  EXPECT_EQ(convert(limit), Limits::max());
  EXPECT_EQ(convert(std::nextafter(limit, kInfinity)), Limits::max());
  EXPECT_EQ(convert(std::nextafter(limit, 0.0)),
            static_cast<TypeParam>(std::nextafter(limit, 0.0)));
  EXPECT_EQ(convert(-limit), Limits::min());
  EXPECT_EQ(convert(std::nextafter(-limit, -kInfinity)), Limits::min());

  EXPECT_EQ(ConvertElement<TypeParam>(1e30f), Limits::max());
  EXPECT_EQ(ConvertElement<TypeParam>(std::nanf("")), 0);
  EXPECT_EQ(ConvertElement<TypeParam>(BFloat16(3.75f)), 3);
  EXPECT_EQ(ConvertElement<TypeParam>(BFloat16(1e30f)), Limits::max());
  EXPECT_EQ(ConvertElement<TypeParam>(Float16(-INFINITY)), Limits::min());
  EXPECT_EQ(ConvertElement<TypeParam>(true), 1);
}

TEST(DTypeTest, NumbersBecomeBoolByComparisonWithZero) {
  EXPECT_FALSE(ConvertElement<bool>(0.0));
  EXPECT_FALSE(ConvertElement<bool>(-0.0f));
  EXPECT_TRUE(ConvertElement<bool>(0.25));
  EXPECT_TRUE(ConvertElement<bool>(std::nan("")));
  EXPECT_TRUE(ConvertElement<bool>(std::numeric_limits<float>::denorm_min()));
  EXPECT_TRUE(ConvertElement<bool>(Float16(-1.0f)));
  EXPECT_FALSE(ConvertElement<bool>(FromBits<BFloat16>(0x8000)));
  EXPECT_TRUE(ConvertElement<bool>(int64_t{1} << 40));
  EXPECT_FALSE(ConvertElement<bool>(uint8_t{0}));
}

TEST(DTypeTest, WiderAndNarrowerNumbers) {
  EXPECT_EQ(ConvertElement<float>(0.1), 0.1f);
  EXPECT_EQ(ConvertElement<float>(1e300), INFINITY);
  EXPECT_EQ(ConvertElement<double>(0.1f), static_cast<double>(0.1f));
  EXPECT_EQ(ConvertElement<float>(int32_t{16777217}), 16777216.0f);
  EXPECT_EQ(ConvertElement<int64_t>(int32_t{-7}), -7);
  EXPECT_EQ(ConvertElement<int32_t>(uint16_t{65535}), 65535);
  EXPECT_EQ(ConvertElement<uint8_t>(int32_t{258}), 2) << "the low bits";
}

TEST(DTypeTest, NamesAndSizes) {
  const std::vector<std::string> names = {"f32", "f64", "bf16", "f16", "i32",
                                          "i64", "u8",  "u16",  "bool"};
  const std::vector<size_t> sizes = {4, 8, 2, 2, 4, 8, 1, 2, 1};
  for (int i = 0; i < kNumDTypes; ++i) {
    const DType dtype = kAllDTypes[i];
    EXPECT_EQ(static_cast<int>(dtype), i);
    EXPECT_EQ(DTypeName(dtype), names[i]);
    EXPECT_EQ(DTypeSize(dtype), sizes[i]);
    EXPECT_EQ(IsFloating(dtype), i < 4);
    SEPTET_ASSERT_OK_AND_ASSIGN(DType parsed, ParseDType(names[i]));
    EXPECT_EQ(parsed, dtype);
    EXPECT_TRUE(DispatchDType(dtype, [&](auto zero) {
      return kDTypeOf<decltype(zero)> == dtype && sizeof(zero) == sizes[i];
    })) << names[i];
  }
}

TEST(DTypeTest, UnknownNamesListTheKnown) {
  for (const char* name : {"", "F32", "float", "f32 ", "i8"}) {
    EXPECT_THAT(
        ParseDType(name),
        StatusIs(absl::StatusCode::kInvalidArgument,
                 testing::AllOf(HasSubstr(std::string("'") + name + "'"),
                                HasSubstr("f32, f64, bf16, f16, i32, i64, u8, "
                                          "u16, bool"))));
  }
}

}  // namespace
}  // namespace septet
