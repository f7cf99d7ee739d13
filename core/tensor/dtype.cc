// SPDX-License-Identifier: Apache-2.0
#include "septet/core/tensor/dtype.h"

#include <cstdint>
#include <cstring>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace septet {

uint16_t BFloat16::FromFloat(float value) {
  uint32_t word;
  std::memcpy(&word, &value, sizeof(word));
  if ((word & 0x7fffffffu) > 0x7f800000u) return (word >> 16) | 0x0040;  // NaN
  // Half of the dropped part, plus one where that makes a tie even.
  word += 0x7fff + ((word >> 16) & 1);
  return static_cast<uint16_t>(word >> 16);
}

uint16_t Float16::FromFloat(float value) {
  uint32_t word;
  std::memcpy(&word, &value, sizeof(word));
  const uint16_t sign = (word >> 16) & 0x8000;
  const uint32_t magnitude = word & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00;   // NaN
  if (magnitude >= 0x47800000u) return sign | 0x7c00;  // >= 2^16: infinity
  if (magnitude < 0x38800000u) {
    // Below 2^-14: a multiple of 2^-24. Adding 0.5 (whose last bit is 2^-24)
    // lets the float unit round to that multiple, ties to even.
    float scaled;
    std::memcpy(&scaled, &magnitude, sizeof(scaled));
    scaled += 0.5f;
    uint32_t bits;
    std::memcpy(&bits, &scaled, sizeof(bits));
    return sign | static_cast<uint16_t>(bits - 0x3f000000u);
  }
  // Rebias the exponent by 127 - 15 and round away 13 bits; a carry out of the
  // mantissa lands in the exponent, up to infinity, as it should.
  const uint32_t rounded =
      magnitude - (112u << 23) + 0x0fff + ((magnitude >> 13) & 1);
  return sign | static_cast<uint16_t>(rounded >> 13);
}

float Float16::ToFloat(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1f;
  const uint32_t mantissa = bits & 0x3ff;
  float value;
  if (exponent == 0) {
    value = static_cast<float>(mantissa) * 0x1p-24f;  // exact
    uint32_t word;
    std::memcpy(&word, &value, sizeof(word));
    word |= sign;
    std::memcpy(&value, &word, sizeof(value));
    return value;
  }
  const uint32_t word = sign |
                        ((exponent == 31 ? 255u : exponent + 112) << 23) |
                        (mantissa << 13);
  std::memcpy(&value, &word, sizeof(value));
  return value;
}

size_t DTypeSize(DType dtype) {
  switch (dtype) {
    case DType::kF64:
    case DType::kI64:
      return 8;
    case DType::kF32:
    case DType::kI32:
      return 4;
    case DType::kBF16:
    case DType::kF16:
    case DType::kU16:
      return 2;
    case DType::kU8:
    case DType::kBool:
      break;
  }
  return 1;
}

const char* DTypeName(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "f32";
    case DType::kF64:
      return "f64";
    case DType::kBF16:
      return "bf16";
    case DType::kF16:
      return "f16";
    case DType::kI32:
      return "i32";
    case DType::kI64:
      return "i64";
    case DType::kU8:
      return "u8";
    case DType::kU16:
      return "u16";
    case DType::kBool:
      return "bool";
  }
  return "invalid";
}

absl::StatusOr<DType> ParseDType(absl::string_view name) {
  std::string known;
  for (DType dtype : kAllDTypes) {
    if (name == DTypeName(dtype)) return dtype;
    absl::StrAppend(&known, known.empty() ? "" : ", ", DTypeName(dtype));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown dtype '", name, "', expected one of ", known));
}

bool IsFloating(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF64 ||
         dtype == DType::kBF16 || dtype == DType::kF16;
}

}  // namespace septet
