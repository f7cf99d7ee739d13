// SPDX-License-Identifier: Apache-2.0
#include "septet/core/base/signals.h"

#include <signal.h>

#include <thread>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"

namespace septet {
namespace {

using ::testing::Eq;

void (*Handler(int signal_number))(int) {
  struct sigaction action;
  sigaction(signal_number, nullptr, &action);
  return action.sa_handler;
}

TEST(SignalsTest, TheFirstSignalSetsTheFlag) {
  InterruptScope scope;
  EXPECT_FALSE(InterruptRequested());
  EXPECT_EQ(InterruptSignal(), 0);
  raise(SIGTERM);
  EXPECT_TRUE(InterruptRequested());
  EXPECT_EQ(InterruptSignal(), SIGTERM);
  bool seen = false;
  std::thread other([&] { seen = InterruptRequested(); });
  other.join();
  EXPECT_TRUE(seen);
}

TEST(SignalsTest, TheOutermostScopeInstallsAndRestores) {
  const auto before = Handler(SIGINT);
  {
    InterruptScope outer;
    const auto ours = Handler(SIGINT);
    EXPECT_NE(ours, before);
    {
      InterruptScope inner;
      EXPECT_EQ(Handler(SIGINT), ours);
      raise(SIGINT);
    }
    EXPECT_EQ(Handler(SIGINT), ours);
    EXPECT_TRUE(InterruptRequested());
    InterruptScope another;
    EXPECT_TRUE(InterruptRequested());
  }
  EXPECT_EQ(Handler(SIGINT), before);
  EXPECT_TRUE(InterruptRequested());
  InterruptScope next;
  EXPECT_FALSE(InterruptRequested());
}

TEST(SignalsTest, WhatIsIgnoredStaysIgnored) {
  signal(SIGINT, SIG_IGN);
  {
    InterruptScope scope;
    raise(SIGINT);
    EXPECT_FALSE(InterruptRequested());
    raise(SIGTERM);
    EXPECT_TRUE(InterruptRequested());
  }
  EXPECT_EQ(Handler(SIGINT), SIG_IGN);
  signal(SIGINT, SIG_DFL);
}

TEST(SignalsDeathTest, TheSecondSignalEndsTheProcess) {
  EXPECT_EXIT(
      {
        InterruptScope scope;
        raise(SIGINT);
        raise(SIGINT);
      },
      ::testing::KilledBySignal(SIGINT), "");
  EXPECT_EXIT(
      {
        InterruptScope scope;
        raise(SIGINT);
        raise(SIGTERM);
      },
      ::testing::KilledBySignal(SIGTERM), "");
}

TEST(SignalsTest, TheErrorCarriesTheSignal) {
  InterruptScope scope;
  // A job that was asked to stop in another way.
  const absl::Status asked = InterruptedError("do this");
  EXPECT_THAT(asked, StatusIs(absl::StatusCode::kCancelled,
                              Eq("interrupted by SIGINT; do this")));
  EXPECT_EQ(InterruptExitCode(asked), 130);
  raise(SIGTERM);
  const absl::Status status = InterruptedError("do that");
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kCancelled,
                               Eq("interrupted by SIGTERM; do that")));
  EXPECT_EQ(InterruptExitCode(status), 143);
  EXPECT_EQ(InterruptExitCode(absl::OkStatus()), 0);
  EXPECT_EQ(InterruptExitCode(absl::CancelledError("by someone else")), 0);
}

}  // namespace
}  // namespace septet
