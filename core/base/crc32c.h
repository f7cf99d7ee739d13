// SPDX-License-Identifier: Apache-2.0
// CRC-32C (Castagnoli), the checksum of iSCSI (RFC 3720, appendix B.4), of
// TensorBoard's event files and of TFRecord.
//
// Polynomial 0x1EDC6F41, bits reflected, initial value and final xor all ones.
// Neither function fails; empty data leaves a checksum as it is.
//
// Cost: on x86-64 with SSE4.2, which is asked for at run time, three
// interleaved chains of the crc32 instruction; elsewhere eight table lookups
// for eight bytes. Both give the same values.
//
//   uint32_t crc = Crc32c("123456789");               // 0xe3069283
//   crc = Crc32cExtend(crc, "more");                  // of both together
//   const uint32_t stored = MaskCrc32c(crc);          // as TFRecord stores it
#ifndef SEPTET_CORE_BASE_CRC32C_H_
#define SEPTET_CORE_BASE_CRC32C_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace septet {

// The CRC-32C of a || data, where `crc` is that of a. 0 is that of nothing.
uint32_t Crc32cExtend(uint32_t crc, absl::string_view data);

// The CRC-32C of `data`.
inline uint32_t Crc32c(absl::string_view data) { return Crc32cExtend(0, data); }

// `crc` rotated right by 15 bits plus a constant, the form in which TFRecord
// stores it: the CRC of data that holds its own CRC says little.
constexpr uint32_t MaskCrc32c(uint32_t crc) {
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

// The inverse of MaskCrc32c.
constexpr uint32_t UnmaskCrc32c(uint32_t masked) {
  const uint32_t rotated = masked - 0xa282ead8u;
  return (rotated >> 17) | (rotated << 15);
}

namespace base_internal {

// The two implementations of Crc32cExtend.
uint32_t Crc32cExtendPortable(uint32_t crc, absl::string_view data);
// Only where Crc32cHardwareAvailable(); otherwise the portable one.
uint32_t Crc32cExtendHardware(uint32_t crc, absl::string_view data);
bool Crc32cHardwareAvailable();

}  // namespace base_internal
}  // namespace septet

#endif  // SEPTET_CORE_BASE_CRC32C_H_
