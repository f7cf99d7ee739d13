// SPDX-License-Identifier: Apache-2.0
#include "septet/core/base/crc32c.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/strings/string_view.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#define SEPTET_CRC32C_SSE42 1
#else
#define SEPTET_CRC32C_SSE42 0
#endif

namespace septet {
namespace base_internal {
namespace {

using Table = std::array<uint32_t, 256>;

// tables[k][b]: what byte b contributes when k more bytes of zeros follow it.
constexpr std::array<Table, 8> MakeSlicingTables() {
  constexpr uint32_t kReflectedPolynomial = 0x82f63b78u;
  std::array<Table, 8> tables{};
  for (uint32_t b = 0; b < 256; ++b) {
    uint32_t crc = b;
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1) ^ ((crc & 1) != 0 ? kReflectedPolynomial : 0);
    }
    tables[0][b] = crc;
  }
  for (int k = 1; k < 8; ++k) {
    for (int b = 0; b < 256; ++b) {
      const uint32_t crc = tables[k - 1][b];
      tables[k][b] = (crc >> 8) ^ tables[0][crc & 0xff];
    }
  }
  return tables;
}

constexpr std::array<Table, 8> kTables = MakeSlicingTables();

inline uint32_t ExtendByte(uint32_t state, unsigned char byte) {
  return (state >> 8) ^ kTables[0][(state ^ byte) & 0xff];
}

inline uint32_t LoadLittleEndian32(const unsigned char* p) {
  return static_cast<uint32_t>(p[0]) | static_cast<uint32_t>(p[1]) << 8 |
         static_cast<uint32_t>(p[2]) << 16 | static_cast<uint32_t>(p[3]) << 24;
}

}  // namespace

uint32_t Crc32cExtendPortable(uint32_t crc, absl::string_view data) {
  const auto* p = reinterpret_cast<const unsigned char*>(data.data());
  size_t size = data.size();
  uint32_t state = ~crc;
  for (; size >= 8; size -= 8, p += 8) {
    const uint32_t low = state ^ LoadLittleEndian32(p);
    const uint32_t high = LoadLittleEndian32(p + 4);
    state = kTables[7][low & 0xff] ^ kTables[6][(low >> 8) & 0xff] ^
            kTables[5][(low >> 16) & 0xff] ^ kTables[4][low >> 24] ^
            kTables[3][high & 0xff] ^ kTables[2][(high >> 8) & 0xff] ^
            kTables[1][(high >> 16) & 0xff] ^ kTables[0][high >> 24];
  }
  for (; size > 0; --size, ++p) state = ExtendByte(state, *p);
  return ~state;
}

#if SEPTET_CRC32C_SSE42

namespace {

// Bytes of each of the three chains. The instruction has a latency of three
// cycles and a throughput of one, so three chains keep it busy; a block of
// 3 KiB makes the cost of joining them (eight lookups) negligible.
constexpr size_t kChainBytes = 1024;

// tables[k][b]: byte k of a state, of value b, after kChainBytes zeros.
constexpr std::array<Table, 4> MakeChainTables() {
  std::array<uint32_t, 32> columns{};
  for (int bit = 0; bit < 32; ++bit) {
    uint32_t state = uint32_t{1} << bit;
    for (size_t i = 0; i < kChainBytes; ++i) {
      state = (state >> 8) ^ kTables[0][state & 0xff];
    }
    columns[bit] = state;
  }
  std::array<Table, 4> tables{};
  for (int k = 0; k < 4; ++k) {
    for (int b = 0; b < 256; ++b) {
      uint32_t state = 0;
      for (int bit = 0; bit < 8; ++bit) {
        if ((b >> bit & 1) != 0) state ^= columns[8 * k + bit];
      }
      tables[k][b] = state;
    }
  }
  return tables;
}

constexpr std::array<Table, 4> kChainTables = MakeChainTables();

inline uint32_t AppendZeroChain(uint32_t state) {
  return kChainTables[0][state & 0xff] ^ kChainTables[1][(state >> 8) & 0xff] ^
         kChainTables[2][(state >> 16) & 0xff] ^ kChainTables[3][state >> 24];
}

inline uint64_t Load64(const unsigned char* p) {
  uint64_t value;
  std::memcpy(&value, p, sizeof(value));
  return value;
}

__attribute__((target("sse4.2"))) uint32_t ExtendSse42(uint32_t crc,
                                                       absl::string_view data) {
  const auto* p = reinterpret_cast<const unsigned char*>(data.data());
  size_t size = data.size();
  uint64_t state = ~crc;
  for (; size >= 3 * kChainBytes; size -= 3 * kChainBytes) {
    uint64_t second = 0;
    uint64_t third = 0;
    for (size_t i = 0; i < kChainBytes; i += 8) {
      state = _mm_crc32_u64(state, Load64(p + i));
      second = _mm_crc32_u64(second, Load64(p + kChainBytes + i));
      third = _mm_crc32_u64(third, Load64(p + 2 * kChainBytes + i));
    }
    state = AppendZeroChain(static_cast<uint32_t>(state)) ^ second;
    state = AppendZeroChain(static_cast<uint32_t>(state)) ^ third;
    p += 3 * kChainBytes;
  }
  for (; size >= 8; size -= 8, p += 8) state = _mm_crc32_u64(state, Load64(p));
  auto state32 = static_cast<uint32_t>(state);
  for (; size > 0; --size, ++p) state32 = _mm_crc32_u8(state32, *p);
  return ~state32;
}

}  // namespace

bool Crc32cHardwareAvailable() { return __builtin_cpu_supports("sse4.2") != 0; }

uint32_t Crc32cExtendHardware(uint32_t crc, absl::string_view data) {
  return ExtendSse42(crc, data);
}

#else  // SEPTET_CRC32C_SSE42

bool Crc32cHardwareAvailable() { return false; }

uint32_t Crc32cExtendHardware(uint32_t crc, absl::string_view data) {
  return Crc32cExtendPortable(crc, data);
}

#endif  // SEPTET_CRC32C_SSE42

}  // namespace base_internal

uint32_t Crc32cExtend(uint32_t crc, absl::string_view data) {
  static const bool hardware = base_internal::Crc32cHardwareAvailable();
  return hardware ? base_internal::Crc32cExtendHardware(crc, data)
                  : base_internal::Crc32cExtendPortable(crc, data);
}

}  // namespace septet
