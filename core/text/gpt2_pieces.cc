// SPDX-License-Identifier: Apache-2.0
#include "septet/core/text/gpt2_pieces.h"

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "septet/core/text/utf8.h"
#include "utf8proc.h"

namespace septet {
namespace {

enum class Class : uint8_t { kSpace, kLetter, kDigit, kOther };

Class Classify(uint32_t point) {
  // White_Space, Unicode 15 (PropList.txt); it has not changed since 6.3.
  if ((point >= 0x09 && point <= 0x0d) || point == 0x20 || point == 0x85 ||
      point == 0xa0 || point == 0x1680 ||
      (point >= 0x2000 && point <= 0x200a) || point == 0x2028 ||
      point == 0x2029 || point == 0x202f || point == 0x205f ||
      point == 0x3000) {
    return Class::kSpace;
  }
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(point))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return Class::kLetter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return Class::kDigit;
    default:
      return Class::kOther;
  }
}

const std::array<Class, 128>& AsciiClasses() {
  static const auto* const classes = [] {
    auto* const table = new std::array<Class, 128>;
    for (uint32_t point = 0; point < 128; ++point) {
      (*table)[point] = Classify(point);
    }
    return table;
  }();
  return *classes;
}

// Class and bytes of the first character of `text`, which is not empty.
inline Class Next(const std::array<Class, 128>& ascii, absl::string_view text,
                  size_t* bytes) {
  const auto first = static_cast<uint8_t>(text[0]);
  if (first < 128) {
    *bytes = 1;
    return ascii[first];
  }
  uint32_t point;
  *bytes = DecodeUtf8(text, &point);
  if (*bytes != 0) return Classify(point);
  *bytes = 1;
  return Class::kOther;
}

size_t ContractionBytes(absl::string_view text) {
  for (const absl::string_view contraction :
       {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}) {
    if (absl::StartsWith(text, contraction)) return contraction.size();
  }
  return 0;
}

}  // namespace

size_t Gpt2PieceBytes(absl::string_view text) {
  const std::array<Class, 128>& ascii = AsciiClasses();
  if (text[0] == '\'') {
    const size_t bytes = ContractionBytes(text);
    if (bytes != 0) return bytes;
  }
  size_t position = 0;
  size_t bytes;
  Class wanted = Next(ascii, text, &bytes);
  if (text[0] == ' ' && text.size() > 1) {
    size_t more;
    const Class second = Next(ascii, text.substr(1), &more);
    if (second != Class::kSpace) {
      wanted = second;
      bytes = 1 + more;
    }
  }
  size_t last = 0;  // where the last character begins
  while (true) {
    last = position;
    position += bytes;
    if (position == text.size()) return position;
    if (Next(ascii, text.substr(position), &bytes) != wanted) break;
  }
  // White space that something follows leaves it its last character.
  return wanted == Class::kSpace && last > 0 ? last : position;
}

}  // namespace septet
