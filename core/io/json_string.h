// SPDX-License-Identifier: Apache-2.0
// Text as a JSON string literal.
//
//   JsonString("a \"b\"\n")   // "a \"b\"\n", with the quotes and escapes
#ifndef SEPTET_CORE_IO_JSON_STRING_H_
#define SEPTET_CORE_IO_JSON_STRING_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace septet {

// `text`, which must be UTF-8, in double quotes. Quotes, backslashes and
// control characters are escaped (short forms where JSON has them, else
// \u00xx); everything else stays as it is. InvalidArgument, with the text
// escaped, if it is not UTF-8. Linear in the length.
absl::StatusOr<std::string> JsonString(absl::string_view text);

}  // namespace septet

#endif  // SEPTET_CORE_IO_JSON_STRING_H_
