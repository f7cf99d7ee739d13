// SPDX-License-Identifier: Apache-2.0
// System calls: again where a signal has interrupted them, and their errors.
//
//   const ssize_t count =
//       RetrySystemCall([&] { return write(fd, data, size); });
//   if (count < 0) return SystemCallError(errno, "write", path);
#ifndef SEPTET_CORE_BASE_SYSTEM_CALL_H_
#define SEPTET_CORE_BASE_SYSTEM_CALL_H_

#include <cerrno>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace septet {

// "<operation> <path>: <the system's reason>", with the code that
// absl::ErrnoToStatusCode makes of `error`; ResourceExhausted also where a
// quota or the size limit of a process has run out.
absl::Status SystemCallError(int error, absl::string_view operation,
                             absl::string_view path);

// What `call` returns, called again for as long as signals interrupt it.
template <typename Call>
auto RetrySystemCall(const Call& call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return result;
}

}  // namespace septet

#endif  // SEPTET_CORE_BASE_SYSTEM_CALL_H_
