// SPDX-License-Identifier: Apache-2.0
// Any bytes as a PNG file, as they are and with the right checksums of the
// chunks, which no search would find; see image_fuzz_testutil.h.
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "septet/core/io/image_fuzz_testutil.h"
#include "zlib.h"

namespace septet {
namespace {

// `file` with the checksum of each chunk that is complete put right.
std::string WithChecksums(absl::string_view file) {
  std::string mended(file);
  constexpr size_t kSignatureBytes = 8;
  size_t place = kSignatureBytes;
  // Length, type, data, checksum.
  while (place + 12 <= mended.size()) {
    uint32_t length = 0;
    for (size_t i = 0; i < 4; ++i) {
      length = length << 8 | static_cast<unsigned char>(mended[place + i]);
    }
    if (length > mended.size() - place - 12) break;
    const uint32_t crc = static_cast<uint32_t>(crc32(
        0, reinterpret_cast<const Bytef*>(&mended[place + 4]), length + 4));
    place += 8 + length;
    for (int shift = 24; shift >= 0; shift -= 8) {
      mended[place++] = static_cast<char>(crc >> shift);
    }
  }
  return mended;
}

void Fuzz(absl::string_view input) {
  FuzzImage(input);
  const std::string mended = WithChecksums(input);
  if (mended != input) FuzzImage(mended);
}

}  // namespace
}  // namespace septet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  septet::Fuzz({reinterpret_cast<const char*>(data), size});
  return 0;
}
