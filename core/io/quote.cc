// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/quote.h"

#include <cstddef>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/io/json_string.h"

namespace septet {

std::string QuoteName(absl::string_view name) {
  constexpr size_t kLongest = 100;
  absl::string_view shown = name.substr(0, kLongest);
  if (shown.size() < name.size()) {
    // Back to the first byte of a character, of which none has more than 4.
    for (int i = 0; i < 3 && (name[shown.size()] & 0xc0) == 0x80; ++i) {
      shown.remove_suffix(1);
    }
  }
  return absl::StrCat("'",
                      JsonString(shown).ok() ? absl::Utf8SafeCHexEscape(shown)
                                             : absl::CHexEscape(shown),
                      shown.size() < name.size() ? "..." : "", "'");
}

}  // namespace septet
