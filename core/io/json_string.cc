// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/json_string.h"

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace septet {

absl::StatusOr<std::string> JsonString(absl::string_view text) {
  std::string literal = "\"";
  literal.reserve(text.size() + 2);
  for (const char c : text) {
    switch (c) {
      case '"':
        literal += "\\\"";
        break;
      case '\\':
        literal += "\\\\";
        break;
      case '\b':
        literal += "\\b";
        break;
      case '\f':
        literal += "\\f";
        break;
      case '\n':
        literal += "\\n";
        break;
      case '\r':
        literal += "\\r";
        break;
      case '\t':
        literal += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          absl::StrAppend(
              &literal, "\\u",
              absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad4));
        } else {
          literal += c;
        }
    }
  }
  literal += '"';
  // The parser knows what UTF-8 is.
  if (!nlohmann::json::accept(literal)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", absl::CHexEscape(text.substr(0, 100)), "\" is not UTF-8"));
  }
  return literal;
}

}  // namespace septet
