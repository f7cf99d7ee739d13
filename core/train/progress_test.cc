// SPDX-License-Identifier: Apache-2.0
#include "septet/core/train/progress.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <iostream>
#include <sstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace septet {
namespace {

using ::testing::HasSubstr;

// A clock that the test moves, and what is written.
struct Setting {
  double now = 100;
  std::ostringstream out;

  ProgressOptions Options(bool terminal) {
    ProgressOptions options;
    options.out = &out;
    options.terminal = terminal;
    options.width = 60;
    options.now_seconds = [this] { return now; };
    return options;
  }
  // What has been written since the last call.
  std::string Take() {
    const std::string text = out.str();
    out.str("");
    return text;
  }
};

TEST(ProgressTest, PlainLinesComeEveryTenSecondsAndAtTheEnd) {
  Setting setting;
  {
    ProgressLine progress("train", setting.Options(false));
    for (int i = 1; i <= 250; ++i) {
      setting.now += 0.125;
      progress.Update(i, 1000, "loss 2");
    }
    EXPECT_EQ(setting.Take(),
              "train  80/1000 (8%)  8.0/s  ETA 1:55  loss 2\n"
              "train  160/1000 (16%)  8.0/s  ETA 1:45  loss 2\n"
              "train  240/1000 (24%)  8.0/s  ETA 1:35  loss 2\n");
  }
  EXPECT_EQ(setting.Take(), "train  250/1000 (25%)  8.0/s  ETA 1:34  loss 2\n");
}

TEST(ProgressTest, StandardErrorGivenByNameIsATerminalWhereItIsOne) {
  const int master = posix_openpt(O_RDWR | O_NOCTTY);
  ASSERT_GE(master, 0);
  ASSERT_EQ(grantpt(master), 0);
  ASSERT_EQ(unlockpt(master), 0);
  const int terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
  ASSERT_GE(terminal, 0);
  const int saved = dup(STDERR_FILENO);
  ASSERT_GE(dup2(terminal, STDERR_FILENO), 0);
  {
    ProgressOptions options;
    options.out = &std::cerr;
    ProgressLine progress("train", options);
    progress.Update(1, 4);
    progress.Finish();
  }
  dup2(saved, STDERR_FILENO);
  char text[256];
  const ssize_t count = read(master, text, sizeof(text));
  close(saved);
  close(terminal);
  close(master);
  ASSERT_GT(count, 0);
  EXPECT_THAT(std::string(text, static_cast<size_t>(count)),
              HasSubstr("\r\x1b[Ktrain  1/4 (25%)"));
}

TEST(ProgressTest, OneLineIsWrittenOverOnATerminal) {
  Setting setting;
  ProgressLine progress("", setting.Options(true));
  progress.Update(1, 4);
  EXPECT_EQ(setting.Take(), "");
  setting.now += 1;
  progress.Update(2, 4);
  EXPECT_EQ(setting.Take(), "\r\x1b[K2/4 (50%)  2.0/s  ETA 0:01");
  setting.now += 0.05;
  progress.Update(3, 4);
  EXPECT_EQ(setting.Take(), "");
  progress.Note("step 3  held_out 1");
  EXPECT_EQ(setting.Take(), "\r\x1b[Kstep 3  held_out 1\n");
  setting.now += 0.95;
  progress.Update(4, 4, "done");
  EXPECT_EQ(setting.Take(), "\r\x1b[K4/4 (100%)  2.0/s  done");
  progress.Finish();
  progress.Finish();
  EXPECT_EQ(setting.Take(), "\n");
}

TEST(ProgressTest, LongLinesAreCutBetweenCharacters) {
  Setting setting;
  ProgressOptions options = setting.Options(true);
  options.width = 12;
  ProgressLine progress("", options);
  setting.now += 1;
  // Eleven characters are left: "0  " and eight letters of two bytes each.
  progress.Update(0, 0, "éééééééééé");
  EXPECT_EQ(setting.Take(), "\r\x1b[K0  éééééééé");
}

TEST(ProgressTest, TheRateIsOfLateAndOfThisProcess) {
  Setting setting;
  ProgressOptions options = setting.Options(false);
  options.done_before = 500;
  ProgressLine progress("train", options);
  // 1/s for a minute, then 8/s.
  int done = 500;
  for (int i = 0; i < 60; ++i) {
    setting.now += 1;
    progress.Update(++done, 10000);
  }
  EXPECT_THAT(setting.Take(), HasSubstr("560/10000 (5%)  1.0/s  ETA 2:37:20"));
  for (int i = 0; i < 240; ++i) {
    setting.now += 0.125;
    progress.Update(++done, 10000);
  }
  EXPECT_THAT(setting.Take(), HasSubstr("800/10000 (8%)  8.0/s"));
}

TEST(ProgressTest, SlowAndUnknown) {
  Setting setting;
  ProgressLine progress("", setting.Options(false));
  setting.now += 20;
  progress.Update(10, 0);
  EXPECT_EQ(setting.Take(), "10  30.0/min\n");
  setting.now += 7200;
  progress.Update(11, 100);
  EXPECT_THAT(setting.Take(), HasSubstr("/h  ETA "));
}

TEST(ProgressTest, DurationsReadAsClocks) {
  EXPECT_EQ(ClockText(0), "0:00");
  EXPECT_EQ(ClockText(59.6), "1:00");
  EXPECT_EQ(ClockText(754), "12:34");
  EXPECT_EQ(ClockText(3 * 3600 + 5 * 60), "3:05:00");
  EXPECT_EQ(ClockText(2 * 86400 + 3 * 3600), "2d 03:00");
  EXPECT_EQ(ClockText(-1), "?");
  EXPECT_EQ(ClockText(1e300), "?");
}

}  // namespace
}  // namespace septet
