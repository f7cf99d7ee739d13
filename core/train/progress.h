// SPDX-License-Identifier: Apache-2.0
// How far a long job is, in one line: what is done, how fast it goes, and when
// it will be finished.
//
//   ProgressLine progress("train");
//   for (int64_t step = 1; step <= steps; ++step) {
//     ...
//     progress.Update(step, steps, "loss 2.31");
//   }
//   progress.Finish();
//
//   train  420/1000 (42%)  35.1/s  ETA 0:17  loss 2.31
//
// On a terminal one line is written over and over, at most ten times a second,
// cut to the terminal's width. Elsewhere it is an ordinary line every ten
// seconds, and a last one.
//
// The rate is that of the last ten seconds or so. What a resumed run had done
// before (`done_before`) does not count.
//
// Cost: Update reads the clock, some 30 ns, where there is nothing to write.
#ifndef SEPTET_CORE_TRAIN_PROGRESS_H_
#define SEPTET_CORE_TRAIN_PROGRESS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <ostream>
#include <string>

#include "absl/strings/string_view.h"

namespace septet {

struct ProgressOptions {
  std::ostream* out = nullptr;  // null: standard error
  // Whether to write over the line; by default if that is standard error on a
  // terminal.
  std::optional<bool> terminal;
  int width = 0;                        // of the terminal; 0: ask it
  int64_t done_before = 0;              // units that are not this process's
  std::function<double()> now_seconds;  // the clock; default: a steady one
};

class ProgressLine {
 public:
  // `label` begins each line; it may be empty.
  explicit ProgressLine(absl::string_view label,
                        const ProgressOptions& options = {});
  // As Finish().
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  // `done` of `total` units; total 0: not known. `text` stands at the end.
  void Update(int64_t done, int64_t total, absl::string_view text = "");

  // Writes a line of its own above the progress line.
  void Note(absl::string_view line);

  // Writes the last state, once, and ends the line.
  void Finish();

 private:
  std::string Line() const;
  void Draw();
  void Write(absl::string_view text);

  const std::string label_;
  std::ostream* const out_;
  bool terminal_ = false;
  int width_ = 0;
  std::function<double()> now_;

  double last_drawn_ = 0;
  bool drawn_ = false;    // an unfinished line stands on the terminal
  bool pending_ = false;  // the last state has not been written
  int64_t done_ = 0;
  int64_t total_ = 0;
  std::string text_;

  // Where the rate is measured from, and where it will be next.
  double base_time_ = 0;
  int64_t base_done_ = 0;
  double next_time_ = 0;
  int64_t next_done_ = 0;
  double now_seconds_ = 0;
};

// "0:07", "12:34", "3:05:00", "2d 03:00".
std::string ClockText(double seconds);

}  // namespace septet

#endif  // SEPTET_CORE_TRAIN_PROGRESS_H_
