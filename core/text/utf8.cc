// SPDX-License-Identifier: Apache-2.0
#include "septet/core/text/utf8.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/check.h"

namespace septet {

void AppendUtf8(uint32_t point, std::string* out) {
  SEPTET_DCHECK(point <= 0x10ffff && (point < 0xd800 || point > 0xdfff));
  if (point < 0x80) {
    *out += static_cast<char>(point);
  } else if (point < 0x800) {
    *out += static_cast<char>(0xc0 | point >> 6);
    *out += static_cast<char>(0x80 | (point & 0x3f));
  } else if (point < 0x10000) {
    *out += static_cast<char>(0xe0 | point >> 12);
    *out += static_cast<char>(0x80 | (point >> 6 & 0x3f));
    *out += static_cast<char>(0x80 | (point & 0x3f));
  } else {
    *out += static_cast<char>(0xf0 | point >> 18);
    *out += static_cast<char>(0x80 | (point >> 12 & 0x3f));
    *out += static_cast<char>(0x80 | (point >> 6 & 0x3f));
    *out += static_cast<char>(0x80 | (point & 0x3f));
  }
}

absl::Status CheckUtf8(absl::string_view text) {
  size_t position = 0;
  while (position < text.size()) {
    uint32_t point;
    const size_t bytes = DecodeUtf8(text.substr(position), &point);
    if (bytes == 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "byte ", position, " (0x",
          absl::Hex(static_cast<uint8_t>(text[position]), absl::kZeroPad2),
          ") is not UTF-8"));
    }
    position += bytes;
  }
  return absl::OkStatus();
}

size_t UnfinishedUtf8(absl::string_view text) {
  // The byte that begins the last character is one of the last three, if that
  // is unfinished.
  for (size_t n = 1; n <= std::min<size_t>(3, text.size()); ++n) {
    const auto first = static_cast<uint8_t>(text[text.size() - n]);
    if ((first & 0xc0) == 0x80) continue;
    const size_t wanted = first >= 0xf0 && first < 0xf5   ? 4
                          : first >= 0xe0 && first < 0xf0 ? 3
                          : first >= 0xc2 && first < 0xe0 ? 2
                                                          : 0;
    if (n >= wanted) return 0;
    // The second byte decides whether the character is one: completed by any
    // further ones, it is read.
    std::string character(text.substr(text.size() - n));
    if (n == 1) return 1;
    character.resize(wanted, '\x80');
    uint32_t point;
    return DecodeUtf8(character, &point) != 0 ? n : 0;
  }
  return 0;
}

}  // namespace septet
