// SPDX-License-Identifier: Apache-2.0
// Names out of files, fit for a message.
//
//   QuoteName("layer.0")            // 'layer.0'
//   QuoteName(std::string("a\xff")) // 'a\xff', with the backslash
#ifndef SEPTET_CORE_IO_QUOTE_H_
#define SEPTET_CORE_IO_QUOTE_H_

#include <string>

#include "absl/strings/string_view.h"

namespace septet {

// `name` in single quotes, control characters and quotes escaped as in C, the
// bytes of what is not UTF-8 too. Of a longer name the first 100 bytes, or a
// few less where a character would be cut, and "...". Always UTF-8. No errors.
std::string QuoteName(absl::string_view name);

}  // namespace septet

#endif  // SEPTET_CORE_IO_QUOTE_H_
