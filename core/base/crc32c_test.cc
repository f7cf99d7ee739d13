// SPDX-License-Identifier: Apache-2.0
#include "septet/core/base/crc32c.h"

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace septet {
namespace {

using base_internal::Crc32cExtendHardware;
using base_internal::Crc32cExtendPortable;
using base_internal::Crc32cHardwareAvailable;

// A byte sequence without a short period.
std::string Bytes(size_t size) {
  std::string bytes(size, '\0');
  uint32_t state = 1;
  for (char& byte : bytes) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<char>(state >> 24);
  }
  return bytes;
}

// One bit at a time, straight from the definition.
uint32_t BitwiseCrc32c(absl::string_view data) {
  uint32_t state = 0xffffffffu;
  for (const char byte : data) {
    state ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) {
      state = (state >> 1) ^ ((state & 1) != 0 ? 0x82f63b78u : 0u);
    }
  }
  return ~state;
}

TEST(Crc32cTest, Rfc3720Vectors) {
  std::string ascending, descending;
  for (int i = 0; i < 32; ++i) {
    ascending.push_back(static_cast<char>(i));
    descending.push_back(static_cast<char>(31 - i));
  }
  const unsigned char read_command[48] = {
      0x01, 0xc0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
      0x00, 0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00,
      0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x18, 0x28, 0x00, 0x00, 0x00,
      0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(Crc32c(ascending), 0x46dd794eu);
  EXPECT_EQ(Crc32c(descending), 0x113fdb5cu);
  EXPECT_EQ(Crc32c(absl::string_view(
                reinterpret_cast<const char*>(read_command), 48)),
            0xd9963a56u);
}

TEST(Crc32cTest, KnownValues) {
  EXPECT_EQ(Crc32c(""), 0u);
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(Crc32cExtend(Crc32c("1234"), "56789"), 0xe3069283u);
  EXPECT_EQ(Crc32cExtend(0x12345678u, ""), 0x12345678u);
}

TEST(Crc32cTest, BothPathsEqualTheDefinitionAtEveryLengthAndAlignment) {
  const std::string bytes = Bytes(300);
  for (size_t offset = 0; offset < 16; ++offset) {
    for (size_t size = 0; size <= 256; ++size) {
      const absl::string_view data(bytes.data() + offset, size);
      const uint32_t want = BitwiseCrc32c(data);
      ASSERT_EQ(Crc32c(data), want) << size << " bytes at " << offset;
      ASSERT_EQ(Crc32cExtendPortable(0, data), want);
      if (Crc32cHardwareAvailable()) {
        ASSERT_EQ(Crc32cExtendHardware(0, data), want);
      }
    }
  }
}

TEST(Crc32cTest, PathsAgreeAroundTheInterleavedBlocks) {
  if (!Crc32cHardwareAvailable()) GTEST_SKIP() << "no SSE4.2 here";
  const std::string bytes = Bytes(20000);
  for (const size_t size : {3071, 3072, 3073, 6143, 6144, 6151, 9999, 19000}) {
    for (const size_t offset : {0, 1, 7, 8, 13}) {
      const absl::string_view data(bytes.data() + offset, size);
      ASSERT_EQ(Crc32cExtendHardware(0xdeadbeefu, data),
                Crc32cExtendPortable(0xdeadbeefu, data))
          << size << " bytes at " << offset;
    }
  }
}

TEST(Crc32cTest, ExtendJoinsAtEveryCut) {
  const std::string bytes = Bytes(4000);
  const uint32_t whole = Crc32c(bytes);
  for (size_t cut = 0; cut <= bytes.size(); cut += 37) {
    const absl::string_view data(bytes);
    ASSERT_EQ(Crc32cExtend(Crc32c(data.substr(0, cut)), data.substr(cut)),
              whole)
        << "cut at " << cut;
  }
}

TEST(Crc32cTest, EveryFlippedBitIsNoticed) {
  std::string bytes = Bytes(64);
  const uint32_t before = Crc32c(bytes);
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      bytes[i] = static_cast<char>(bytes[i] ^ (1 << bit));
      EXPECT_NE(Crc32c(bytes), before);
      bytes[i] = static_cast<char>(bytes[i] ^ (1 << bit));
    }
  }
}

TEST(Crc32cTest, MaskAsInTFRecord) {
  // The first twelve bytes of an event file of TensorFlow: the length of its
  // first record, 24, and the masked CRC of that length, a3 7f 4b 22.
  const uint32_t crc = Crc32c(absl::string_view("\x18\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(MaskCrc32c(crc), 0x224b7fa3u);
  EXPECT_EQ(MaskCrc32c(0), 0xa282ead8u);
  for (const uint32_t value : {0u, 1u, 0x8000u, 0xdeadbeefu, 0xffffffffu}) {
    EXPECT_EQ(UnmaskCrc32c(MaskCrc32c(value)), value);
    EXPECT_NE(MaskCrc32c(value), value);
  }
}

}  // namespace
}  // namespace septet
