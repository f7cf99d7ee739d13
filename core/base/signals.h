// SPDX-License-Identifier: Apache-2.0
// Ctrl-C and SIGTERM as a request: a long job looks at it where it can stop,
// saves, and says how to go on.
//
//   InterruptScope scope;
//   while (more) {
//     Work();
//     if (InterruptRequested()) {
//       Save();
//       return InterruptedError("to resume: train --resume");
//     }
//   }
//
// RunTool (core/config/command_line.h) makes of that error the exit code that
// shells expect: 128 and the signal's number, 130 or 143.
//
// While a scope lives the first SIGINT or SIGTERM sets a flag and nothing else;
// system calls that it meets go on. A second one, of either kind, ends the
// process at once, as if there were no scope. A signal that the process was
// told to ignore when the scope began (nohup, background jobs) stays ignored.
//
// Cost: InterruptRequested() reads one atomic. POSIX only.
#ifndef SEPTET_CORE_BASE_SIGNALS_H_
#define SEPTET_CORE_BASE_SIGNALS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace septet {

// Scopes nest, and may be in several threads; handlers are there from the
// first to the last of them, and then as they were before. The first one
// forgets what an earlier scope was asked.
class InterruptScope {
 public:
  InterruptScope();
  ~InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;
};

// Whether a signal has come since the outermost scope began; from any thread.
// Still says so after the scope.
bool InterruptRequested();

// Which one: SIGINT or SIGTERM, 0 if none has come.
int InterruptSignal();

// Cancelled: "interrupted by SIGINT; " and what the user can do next. Carries
// the signal: that of InterruptSignal(), or SIGINT if none has come.
absl::Status InterruptedError(absl::string_view what_to_do_next);

// 128 and the number of the signal, for what InterruptedError has made; else 0.
int InterruptExitCode(const absl::Status& status);

}  // namespace septet

#endif  // SEPTET_CORE_BASE_SIGNALS_H_
