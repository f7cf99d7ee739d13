// SPDX-License-Identifier: Apache-2.0
#include "septet/core/base/system_call.h"

#include <cerrno>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace septet {

absl::Status SystemCallError(int error, absl::string_view operation,
                             absl::string_view path) {
  absl::Status status =
      absl::ErrnoToStatus(error, absl::StrCat(operation, " ", path));
  // The size limit of a process is one more way for space to run out.
  if (error == EFBIG || error == EDQUOT) {
    return absl::ResourceExhaustedError(status.message());
  }
  return status;
}

}  // namespace septet
