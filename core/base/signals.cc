// SPDX-License-Identifier: Apache-2.0
#include "septet/core/base/signals.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>

#include "absl/base/const_init.h"
#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace septet {
namespace {

constexpr char kSignalPayload[] = "septet.signal";
constexpr int kSignals[] = {SIGINT, SIGTERM};

std::atomic<int> received{0};
static_assert(std::atomic<int>::is_always_lock_free, "needed in a handler");

void Handle(int signal_number) {
  const int saved_errno = errno;
  int expected = 0;
  if (!received.compare_exchange_strong(expected, signal_number)) {
    // The default action, now: the signal is blocked while its handler runs.
    signal(signal_number, SIG_DFL);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal_number);
    raise(signal_number);
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    _exit(128 + signal_number);
  }
  errno = saved_errno;
}

struct Installed {
  int scopes = 0;
  struct sigaction previous[2];
};

ABSL_CONST_INIT absl::Mutex mutex(absl::kConstInit);
Installed installed ABSL_GUARDED_BY(mutex);

}  // namespace

InterruptScope::InterruptScope() {
  absl::MutexLock hold(&mutex);
  if (installed.scopes++ > 0) return;
  received.store(0);
  for (int i = 0; i < 2; ++i) {
    sigaction(kSignals[i], nullptr, &installed.previous[i]);
    if (installed.previous[i].sa_handler == SIG_IGN) continue;
    struct sigaction action = {};
    action.sa_handler = &Handle;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaction(kSignals[i], &action, nullptr);
  }
}

InterruptScope::~InterruptScope() {
  absl::MutexLock hold(&mutex);
  if (--installed.scopes > 0) return;
  for (int i = 0; i < 2; ++i) {
    if (installed.previous[i].sa_handler == SIG_IGN) continue;
    sigaction(kSignals[i], &installed.previous[i], nullptr);
  }
}

bool InterruptRequested() {
  return received.load(std::memory_order_relaxed) != 0;
}

int InterruptSignal() { return received.load(std::memory_order_relaxed); }

absl::Status InterruptedError(absl::string_view what_to_do_next) {
  const int number = InterruptRequested() ? InterruptSignal() : SIGINT;
  absl::Status status = absl::CancelledError(
      absl::StrCat("interrupted by ", number == SIGTERM ? "SIGTERM" : "SIGINT",
                   "; ", what_to_do_next));
  status.SetPayload(kSignalPayload, absl::Cord(absl::StrCat(number)));
  return status;
}

int InterruptExitCode(const absl::Status& status) {
  const auto payload = status.GetPayload(kSignalPayload);
  int number = 0;
  if (!payload.has_value() ||
      !absl::SimpleAtoi(std::string(*payload), &number)) {
    return 0;
  }
  return 128 + number;
}

}  // namespace septet
