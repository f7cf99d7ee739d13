// SPDX-License-Identifier: Apache-2.0
// UTF-8 (RFC 3629): characters read strictly, written, and cut in the middle.
//
//   uint32_t point;
//   const size_t bytes = DecodeUtf8(text, &point);   // 0: not a character
//
// Strict: no surrogates, nothing above U+10FFFF, no character in more bytes
// than it needs.
//
// Stability: core's public API; names and meaning stay, additions come.
#ifndef SEPTET_CORE_TEXT_UTF8_H_
#define SEPTET_CORE_TEXT_UTF8_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace septet {

// How many bytes the first character of `text` has, and its code point; 0 if
// the text is empty or does not begin with a character.
inline size_t DecodeUtf8(absl::string_view text, uint32_t* point) {
  if (text.empty()) return 0;
  const auto byte = [text](size_t i) { return static_cast<uint8_t>(text[i]); };
  const auto more = [&](size_t i) {
    return i < text.size() && (byte(i) & 0xc0) == 0x80;
  };
  const uint32_t first = byte(0);
  if (first < 0x80) {
    *point = first;
    return 1;
  }
  if (first >= 0xc2 && first < 0xe0) {
    if (!more(1)) return 0;
    *point = (first & 0x1f) << 6 | (byte(1) & 0x3f);
    return 2;
  }
  if (first >= 0xe0 && first < 0xf0) {
    if (!more(1) || !more(2)) return 0;
    *point = (first & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f);
    return *point >= 0x800 && (*point < 0xd800 || *point > 0xdfff) ? 3 : 0;
  }
  if (first >= 0xf0 && first < 0xf5) {
    if (!more(1) || !more(2) || !more(3)) return 0;
    *point = (first & 0x07) << 18 | (byte(1) & 0x3f) << 12 |
             (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f);
    return *point >= 0x10000 && *point <= 0x10ffff ? 4 : 0;
  }
  return 0;
}

// Adds a character. `point` is none of the surrogates and at most U+10FFFF.
void AppendUtf8(uint32_t point, std::string* out);

// InvalidArgument that names the first byte that belongs to no character:
// "byte 12 (0xff) is not UTF-8".
absl::Status CheckUtf8(absl::string_view text);

// How many bytes at the end of `text`, 0 to 3, begin a character that is not
// there in full, and would be one with the right bytes behind them.
size_t UnfinishedUtf8(absl::string_view text);

}  // namespace septet

#endif  // SEPTET_CORE_TEXT_UTF8_H_
