// SPDX-License-Identifier: Apache-2.0
#include "septet/core/train/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"

namespace septet {
namespace {

constexpr double kTerminalSeconds = 0.1;
constexpr double kPlainSeconds = 10;
// The rate is measured over one to two of these.
constexpr double kRateSeconds = 7;

double SteadySeconds() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

int TerminalWidth() {
  winsize size = {};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    return size.ws_col;
  }
  return 80;
}

// The first `width` characters of `line`, none of them cut.
absl::string_view Cut(absl::string_view line, int width) {
  size_t end = 0;
  for (int characters = 0; end < line.size(); ++end) {
    const bool begins = (static_cast<unsigned char>(line[end]) & 0xc0) != 0x80;
    if (begins && ++characters > width) break;
  }
  return line.substr(0, end);
}

std::string RateText(double rate) {
  if (rate >= 100) return absl::StrFormat("%.0f/s", rate);
  if (rate >= 1) return absl::StrFormat("%.1f/s", rate);
  if (rate >= 1.0 / 60) return absl::StrFormat("%.1f/min", 60 * rate);
  return absl::StrFormat("%.1f/h", 3600 * rate);
}

}  // namespace

std::string ClockText(double seconds) {
  if (!(seconds >= 0) || seconds > 1e9) return "?";
  const int64_t total = std::llround(seconds);
  const int64_t days = total / 86400;
  const int64_t hours = total / 3600 % 24;
  const int64_t minutes = total / 60 % 60;
  if (days > 0) return absl::StrFormat("%dd %02d:%02d", days, hours, minutes);
  if (hours > 0) {
    return absl::StrFormat("%d:%02d:%02d", hours, minutes, total % 60);
  }
  return absl::StrFormat("%d:%02d", minutes, total % 60);
}

ProgressLine::ProgressLine(absl::string_view label,
                           const ProgressOptions& options)
    : label_(label),
      out_(options.out == nullptr ? &std::cerr : options.out),
      terminal_(options.terminal.value_or(out_ == &std::cerr &&
                                          isatty(STDERR_FILENO) == 1)),
      width_(options.width),
      now_(options.now_seconds ? options.now_seconds : &SteadySeconds) {
  base_time_ = next_time_ = last_drawn_ = now_();
  base_done_ = next_done_ = options.done_before;
}

ProgressLine::~ProgressLine() { Finish(); }

std::string ProgressLine::Line() const {
  std::string line = label_.empty() ? "" : absl::StrCat(label_, "  ");
  if (total_ > 0) {
    absl::StrAppend(&line, done_, "/", total_, " (",
                    static_cast<int>(100.0 * done_ / total_), "%)");
  } else {
    absl::StrAppend(&line, done_);
  }
  const double seconds = now_seconds_ - base_time_;
  const int64_t units = done_ - base_done_;
  if (seconds > 0 && units > 0) {
    const double rate = static_cast<double>(units) / seconds;
    absl::StrAppend(&line, "  ", RateText(rate));
    if (total_ > done_) {
      absl::StrAppend(&line, "  ETA ",
                      ClockText(static_cast<double>(total_ - done_) / rate));
    }
  }
  if (!text_.empty()) absl::StrAppend(&line, "  ", text_);
  return line;
}

void ProgressLine::Write(absl::string_view text) {
  *out_ << text;
  out_->flush();
}

void ProgressLine::Draw() {
  pending_ = false;
  last_drawn_ = now_seconds_;
  const std::string line = Line();
  if (!terminal_) {
    Write(absl::StrCat(line, "\n"));
    return;
  }
  // The last column stays free: a character there would wrap.
  const int width = (width_ > 0 ? width_ : TerminalWidth()) - 1;
  Write(absl::StrCat("\r\x1b[K", Cut(line, width)));
  drawn_ = true;
}

void ProgressLine::Update(int64_t done, int64_t total, absl::string_view text) {
  now_seconds_ = now_();
  if (now_seconds_ - next_time_ >= kRateSeconds) {
    base_time_ = next_time_;
    base_done_ = next_done_;
    next_time_ = now_seconds_;
    next_done_ = done;
  }
  done_ = done;
  total_ = total;
  if (text != text_) text_.assign(text.data(), text.size());
  pending_ = true;
  const double period = terminal_ ? kTerminalSeconds : kPlainSeconds;
  if (now_seconds_ - last_drawn_ >= period) Draw();
}

void ProgressLine::Note(absl::string_view line) {
  if (!drawn_) {
    Write(absl::StrCat(line, "\n"));
    return;
  }
  Write(absl::StrCat("\r\x1b[K", line, "\n"));
  drawn_ = false;
  pending_ = true;
}

void ProgressLine::Finish() {
  if (pending_) {
    now_seconds_ = now_();
    Draw();
  }
  if (drawn_) Write("\n");
  drawn_ = false;
}

}  // namespace septet
