// SPDX-License-Identifier: Apache-2.0
// Element types of a tensor.
//
// Arithmetic is defined for f32, f64, bf16 (computed in f32) and the integers;
// f16 and u16 are for storage and conversion only. bool is one byte, 0 or 1.
//
// Conversions round once, to nearest, ties to even; NaN stays NaN, overflow of
// f16 and bf16 gives infinity.
#ifndef SEPTET_CORE_TENSOR_DTYPE_H_
#define SEPTET_CORE_TENSOR_DTYPE_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace septet {

// Upper 16 bits of an IEEE float32.
struct BFloat16 {
  uint16_t bits = 0;

  BFloat16() = default;
  explicit BFloat16(float value) : bits(FromFloat(value)) {}
  explicit operator float() const {
    const uint32_t word = static_cast<uint32_t>(bits) << 16;
    float value;
    std::memcpy(&value, &word, sizeof(value));
    return value;
  }

 private:
  static uint16_t FromFloat(float value);
};

// IEEE binary16.
struct Float16 {
  uint16_t bits = 0;

  Float16() = default;
  explicit Float16(float value) : bits(FromFloat(value)) {}
  explicit operator float() const { return ToFloat(bits); }

 private:
  static uint16_t FromFloat(float value);
  static float ToFloat(uint16_t bits);
};

enum class DType : uint8_t {
  kF32,
  kF64,
  kBF16,
  kF16,
  kI32,
  kI64,
  kU8,
  kU16,
  kBool,
};

inline constexpr int kNumDTypes = 9;
inline constexpr DType kAllDTypes[kNumDTypes] = {
    DType::kF32, DType::kF64, DType::kBF16, DType::kF16, DType::kI32,
    DType::kI64, DType::kU8,  DType::kU16,  DType::kBool};

// Size of one element in bytes.
size_t DTypeSize(DType dtype);

// "f32", "f64", "bf16", "f16", "i32", "i64", "u8", "u16", "bool".
const char* DTypeName(DType dtype);

// The inverse of DTypeName. InvalidArgument, with the known names, for others.
absl::StatusOr<DType> ParseDType(absl::string_view name);

// f32, f64, bf16, f16.
bool IsFloating(DType dtype);

// DTypeOf<float>::value == DType::kF32, and so on.
template <typename T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::kF32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::kF64;
};
template <>
struct DTypeOf<BFloat16> {
  static constexpr DType value = DType::kBF16;
};
template <>
struct DTypeOf<Float16> {
  static constexpr DType value = DType::kF16;
};
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::kI32;
};
template <>
struct DTypeOf<int64_t> {
  static constexpr DType value = DType::kI64;
};
template <>
struct DTypeOf<uint8_t> {
  static constexpr DType value = DType::kU8;
};
template <>
struct DTypeOf<uint16_t> {
  static constexpr DType value = DType::kU16;
};
template <>
struct DTypeOf<bool> {
  static constexpr DType value = DType::kBool;
};

template <typename T>
inline constexpr DType kDTypeOf = DTypeOf<T>::value;

// Calls fn(T{}) with the C++ type of `dtype` and returns its result.
template <typename Fn>
decltype(auto) DispatchDType(DType dtype, Fn&& fn) {
  switch (dtype) {
    case DType::kF64:
      return fn(double{});
    case DType::kBF16:
      return fn(BFloat16{});
    case DType::kF16:
      return fn(Float16{});
    case DType::kI32:
      return fn(int32_t{});
    case DType::kI64:
      return fn(int64_t{});
    case DType::kU8:
      return fn(uint8_t{});
    case DType::kU16:
      return fn(uint16_t{});
    case DType::kBool:
      return fn(bool{});
    case DType::kF32:
      break;
  }
  return fn(float{});
}

// Conversion between element types, as the file comment says. A floating value
// becomes an integer by truncation, saturated at the type's ends, NaN to 0; an
// integer becomes a narrower one by its low bits; a number becomes a bool by
// comparison with 0.
template <typename To, typename From>
To ConvertElement(From value);

// ---------------------------------------------------------------------------
// Implementation.

namespace tensor_internal {

template <typename T>
inline constexpr bool kIsHalf =
    DTypeOf<T>::value == DType::kBF16 || DTypeOf<T>::value == DType::kF16;

template <typename To>
To SaturatingCast(double value) {
  using Limits = std::numeric_limits<To>;
  // The largest int64 rounds up to 2^63 as a double: hence >=, not >.
  if (value != value) return To(0);
  if (value >= static_cast<double>(Limits::max())) return Limits::max();
  if (value <= static_cast<double>(Limits::min())) return Limits::min();
  return static_cast<To>(value);
}

// A float that rounds to any 16-bit format just as `value` itself would:
// `value` cut to float, with the last bit set if anything was cut off ("round
// to odd"). Rounding to the nearest float first would make ties of values that
// are none, and the second rounding would then go astray.
inline float RoundToOdd(double value) {
  auto rounded = static_cast<float>(value);
  // Exact, or NaN. An infinity of a finite value steps back to the largest.
  if (static_cast<double>(rounded) == value || value != value) return rounded;
  uint32_t bits;
  std::memcpy(&bits, &rounded, sizeof(bits));
  const double back = static_cast<double>(rounded);
  if (value < 0 ? back < value : back > value) --bits;
  bits |= 1;
  std::memcpy(&rounded, &bits, sizeof(rounded));
  return rounded;
}

inline float RoundToOdd(int64_t value) {
  uint64_t magnitude = value < 0 ? uint64_t{0} - static_cast<uint64_t>(value)
                                 : static_cast<uint64_t>(value);
  // Double holds 53 bits; what lies below those of a float may be gathered in
  // one bit at its end.
  constexpr uint64_t kLow = (uint64_t{1} << 12) - 1;
  if (magnitude >> 52 != 0 && (magnitude & kLow) != 0) {
    magnitude = (magnitude & ~kLow) | (kLow + 1);
  }
  const auto exact = static_cast<double>(magnitude);
  return RoundToOdd(value < 0 ? -exact : exact);
}

}  // namespace tensor_internal

template <typename To, typename From>
To ConvertElement(From value) {
  if constexpr (DTypeOf<To>::value == DTypeOf<From>::value) {
    return value;
  } else if constexpr (tensor_internal::kIsHalf<From>) {
    return ConvertElement<To>(static_cast<float>(value));
  } else if constexpr (tensor_internal::kIsHalf<To>) {
    if constexpr (DTypeOf<From>::value == DType::kF64 ||
                  DTypeOf<From>::value == DType::kI64) {
      return To(tensor_internal::RoundToOdd(value));
    } else if constexpr (DTypeOf<From>::value == DType::kI32) {
      return To(tensor_internal::RoundToOdd(static_cast<double>(value)));
    } else {
      return To(static_cast<float>(value));  // exact
    }
  } else if constexpr (DTypeOf<To>::value == DType::kBool) {
    return value != From(0);
  } else if constexpr ((DTypeOf<From>::value == DType::kF32 ||
                        DTypeOf<From>::value == DType::kF64) &&
                       DTypeOf<To>::value != DType::kF32 &&
                       DTypeOf<To>::value != DType::kF64) {
    return tensor_internal::SaturatingCast<To>(static_cast<double>(value));
  } else {
    return static_cast<To>(value);
  }
}

}  // namespace septet

#endif  // SEPTET_CORE_TENSOR_DTYPE_H_
