// SPDX-License-Identifier: Apache-2.0
#include "septet/core/train/trainer.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/utility/utility.h"
#include "septet/core/base/signals.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/config/setter.h"
#include "septet/core/io/quote.h"
#include "septet/core/tensor/allocator.h"
#include "septet/core/train/checkpoint.h"
#include "septet/core/train/metrics.h"
#include "septet/core/train/progress.h"
#include "septet/core/train/run_folder.h"
#include "septet/core/train/train.pb.h"

namespace septet {
namespace {

constexpr char kLoopPrefix[] = "train.";
constexpr char kLoopState[] = "train.loop";

double Seconds() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

int64_t PeakResidentBytes() {
  struct rusage usage;
  if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

std::string BytesText(int64_t bytes) {
  const double number = static_cast<double>(bytes);
  if (bytes < 1'000'000) return absl::StrFormat("%.1f kB", number / 1e3);
  if (bytes < 1'000'000'000) return absl::StrFormat("%.1f MB", number / 1e6);
  return absl::StrFormat("%.2f GB", number / 1e9);
}

std::string MetricsText(const Metrics& metrics) {
  std::string text;
  for (const auto& [name, value] : metrics) {
    absl::StrAppend(&text, text.empty() ? "" : "  ", name, " ",
                    absl::StrFormat("%.4g", value));
  }
  return text;
}

// What the loop itself goes on with: sums of the metrics since the last row,
// and what it has reported last.
struct LoopState {
  struct Sum {
    std::string name;
    double sum = 0;
    int64_t count = 0;
  };

  std::vector<Sum> sums;
  Metrics train;
  Metrics evaluation;
  bool evaluation_due = false;
  MetricWriter::Position reported;  // up to the checkpoint

  void Add(const Metrics& metrics) {
    for (size_t i = 0; i < metrics.size(); ++i) {
      const auto& [name, value] = metrics[i];
      Sum* sum = nullptr;
      // A task reports the same names each time.
      if (i < sums.size() && sums[i].name == name) {
        sum = &sums[i];
      } else {
        for (Sum& other : sums) {
          if (other.name == name) sum = &other;
        }
      }
      if (sum == nullptr) {
        sums.push_back({name});
        sum = &sums.back();
      }
      sum->sum += value;
      ++sum->count;
    }
  }

  // The means, and a new beginning.
  void TakeRow() {
    train.clear();
    for (Sum& sum : sums) {
      if (sum.count == 0) continue;
      train.emplace_back(sum.name, sum.sum / static_cast<double>(sum.count));
      sum.sum = 0;
      sum.count = 0;
    }
  }

  // A line for each number: kind, count, bits, name.
  std::string ToText() const {
    std::string text;
    const auto add = [&](absl::string_view kind, int64_t count, double value,
                         absl::string_view name) {
      uint64_t bits;
      std::memcpy(&bits, &value, sizeof(bits));
      absl::StrAppend(&text, kind, " ", count, " ",
                      absl::Hex(bits, absl::kZeroPad16), " ",
                      absl::CHexEscape(name), "\n");
    };
    for (const Sum& sum : sums) add("sum", sum.count, sum.sum, sum.name);
    for (const auto& [name, value] : train) add("train", 1, value, name);
    for (const auto& [name, value] : evaluation) {
      add("evaluation", 1, value, name);
    }
    if (evaluation_due) add("evaluation_due", 1, 0, "");
    add("rows", reported.rows, 0, "");
    add("events", reported.events, 0, "");
    return text;
  }

  static absl::StatusOr<LoopState> FromText(absl::string_view text) {
    LoopState state;
    for (const absl::string_view line :
         absl::StrSplit(text, '\n', absl::SkipEmpty())) {
      const std::vector<absl::string_view> words =
          absl::StrSplit(line, absl::MaxSplits(' ', 3));
      int64_t count = 0;
      uint64_t bits = 0;
      std::string name;
      bool good = words.size() == 4 && absl::SimpleAtoi(words[1], &count) &&
                  absl::SimpleHexAtoi(words[2], &bits) &&
                  absl::CUnescape(words[3], &name);
      double value;
      std::memcpy(&value, &bits, sizeof(value));
      if (good && words[0] == "sum") {
        state.sums.push_back({std::move(name), value, count});
      } else if (good && words[0] == "train") {
        state.train.emplace_back(std::move(name), value);
      } else if (good && words[0] == "evaluation") {
        state.evaluation.emplace_back(std::move(name), value);
      } else if (good && words[0] == "evaluation_due") {
        state.evaluation_due = true;
      } else if (good && words[0] == "rows") {
        state.reported.rows = count;
      } else if (good && words[0] == "events") {
        state.reported.events = count;
      } else {
        return absl::DataLossError(absl::StrCat(
            "'", kLoopState, "': cannot read the line ", QuoteName(line)));
      }
    }
    return state;
  }
};

bool Divides(int64_t every, int64_t step) {
  return every > 0 && step % every == 0;
}

class Loop {
 public:
  Loop(const TrainOptions& options, TrainTask& task, RunFolder& folder,
       const TrainHooks& hooks)
      : options_(options),
        task_(task),
        folder_(folder),
        hooks_(hooks),
        checkpoints_(folder.Path("checkpoints")) {}

  absl::StatusOr<TrainSummary> Run() {
    SEPTET_RETURN_IF_ERROR(ValidateOptions(options_));
    const double start = Seconds();
    const InterruptScope interrupts;
    SEPTET_RETURN_IF_ERROR(Begin());
    ProgressOptions progress_options;
    progress_options.out = hooks_.progress;
    progress_options.done_before = step_;
    ProgressLine progress(hooks_.label, progress_options);
    progress_ = &progress;
    if (step_ > 0) {
      progress.Note(
          absl::StrCat("resumed at step ", step_, " of ", options_.steps()));
    }
    summary_.first_step = step_;
    last_save_seconds_ = start;
    SEPTET_RETURN_IF_ERROR(Steps());
    summary_.steps = step_;
    summary_.train = state_.train;
    summary_.evaluation = state_.evaluation;
    summary_.seconds = Seconds() - start;
    summary_.peak_resident_bytes = PeakResidentBytes();
    progress.Finish();
    progress.Note(summary_.ToString());
    return summary_;
  }

 private:
  // Takes up the state that there is.
  absl::Status Begin() {
    int64_t rows_until = -1;
    if (folder_.resumed()) {
      absl::StatusOr<Checkpoint> checkpoint =
          LoadLatestCheckpoint(checkpoints_, hooks_.progress);
      if (checkpoint.ok()) {
        SEPTET_RETURN_IF_ERROR(Restore(*checkpoint))
            << CheckpointPath(checkpoints_, checkpoint->step);
        rows_until = step_;
      } else if (!absl::IsNotFound(checkpoint.status())) {
        return checkpoint.status();
      }
    }
    SEPTET_ASSIGN_OR_RETURN(
        metrics_,
        MetricWriter::Open(folder_.path(), rows_until, state_.reported));
    return absl::OkStatus();
  }

  absl::Status Restore(const Checkpoint& checkpoint) {
    if (checkpoint.step > options_.steps()) {
      return absl::FailedPreconditionError(
          absl::StrCat("has done ", checkpoint.step, " steps, but only ",
                       options_.steps(), " are asked for"));
    }
    const auto found = checkpoint.text.find(kLoopState);
    if (found == checkpoint.text.end()) {
      return absl::DataLossError(
          absl::StrCat("has no '", kLoopState, "': not this loop's"));
    }
    SEPTET_ASSIGN_OR_RETURN(state_, LoopState::FromText(found->second));
    SEPTET_RETURN_IF_ERROR(task_.Restore(checkpoint));
    step_ = saved_step_ = checkpoint.step;
    saved_due_ = state_.evaluation_due;
    return absl::OkStatus();
  }

  absl::Status Steps() {
    SEPTET_RETURN_IF_ERROR(EvaluateIfDue());
    while (step_ < options_.steps()) {
      if (InterruptRequested()) return Stop();
      SEPTET_RETURN_IF_ERROR(OneStep());
      const bool last = step_ == options_.steps();
      if (last || Divides(options_.log_every(), step_)) {
        SEPTET_RETURN_IF_ERROR(LogRow());
      }
      progress_->Update(step_, options_.steps(), progress_text_);
      if (last || Divides(options_.evaluate_every(), step_)) {
        state_.evaluation_due = true;
        SEPTET_RETURN_IF_ERROR(EvaluateIfDue());
      }
      if (last || Divides(options_.checkpoint_every(), step_) ||
          (options_.checkpoint_seconds() > 0 &&
           Seconds() - last_save_seconds_ >= options_.checkpoint_seconds())) {
        SEPTET_RETURN_IF_ERROR(Save());
      }
    }
    // An evaluation that was broken off, or one that a resumed run has made up
    // for.
    if (state_.evaluation_due) return Stop();
    return Save();
  }

  absl::Status OneStep() {
    CpuAllocator().ResetPeak();
    const double start = Seconds();
    absl::StatusOr<Metrics> metrics = task_.Step(step_);
    if (!metrics.ok()) {
      progress_->Finish();
      // What was reported so far is worth having on disk.
      metrics_->Sync().IgnoreError();
      return AnnotateStatus(
          metrics.status(),
          absl::StrCat(
              "training stopped after ", step_, " steps (",
              saved_step_ < 0
                  ? "there is no checkpoint yet"
                  : absl::StrCat("the last checkpoint is ",
                                 CheckpointPath(checkpoints_, saved_step_)),
              ")"));
    }
    summary_.step_seconds += Seconds() - start;
    summary_.peak_tensor_bytes = std::max(
        summary_.peak_tensor_bytes, CpuAllocator().Stats().peak_live_bytes);
    ++step_;
    state_.Add(*metrics);
    return absl::OkStatus();
  }

  absl::Status LogRow() {
    state_.TakeRow();
    if (state_.train.empty()) return absl::OkStatus();
    SEPTET_RETURN_IF_ERROR(WriteRow(state_.train));
    progress_text_ = MetricsText(state_.train);
    return absl::OkStatus();
  }

  absl::Status WriteRow(const Metrics& row) {
    SEPTET_RETURN_IF_ERROR(metrics_->Write(step_, row));
    if (!hooks_.on_row) return absl::OkStatus();
    return hooks_.on_row(step_, row, *metrics_);
  }

  absl::Status EvaluateIfDue() {
    if (!state_.evaluation_due || InterruptRequested()) return absl::OkStatus();
    absl::StatusOr<Metrics> metrics = task_.Evaluate(step_);
    // Broken off by the user: it stays due.
    if (InterruptExitCode(metrics.status()) != 0) return absl::OkStatus();
    SEPTET_RETURN_IF_ERROR(metrics.status())
        << "evaluation after " << step_ << " steps";
    state_.evaluation_due = false;
    if (metrics->empty()) return absl::OkStatus();
    state_.evaluation = *std::move(metrics);
    SEPTET_RETURN_IF_ERROR(WriteRow(state_.evaluation));
    progress_->Note(
        absl::StrCat("step ", step_, "  ", MetricsText(state_.evaluation)));
    return absl::OkStatus();
  }

  absl::Status Save() {
    if (saved_step_ == step_ && saved_due_ == state_.evaluation_due) {
      return absl::OkStatus();
    }
    Checkpoint checkpoint;
    SEPTET_RETURN_IF_ERROR(task_.Save(&checkpoint));
    for (const auto& [name, tensor] : checkpoint.tensors) {
      SEPTET_RETURN_IF_ERROR(CheckName(name));
    }
    for (const auto& [name, text] : checkpoint.text) {
      SEPTET_RETURN_IF_ERROR(CheckName(name));
    }
    checkpoint.step = step_;
    state_.reported = metrics_->position();
    checkpoint.text[kLoopState] = state_.ToText();
    // A checkpoint must not be on disk before the rows up to its step.
    SEPTET_RETURN_IF_ERROR(metrics_->Sync());
    SEPTET_RETURN_IF_ERROR(
        SaveCheckpoint(checkpoints_, checkpoint, options_.keep_checkpoints()));
    saved_step_ = step_;
    saved_due_ = state_.evaluation_due;
    last_save_seconds_ = Seconds();
    return absl::OkStatus();
  }

  static absl::Status CheckName(absl::string_view name) {
    if (!absl::StartsWith(name, kLoopPrefix)) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("checkpoint: the name ", QuoteName(name), " begins with '",
                     kLoopPrefix, "', which is the training loop's"));
  }

  // After a signal.
  absl::Status Stop() {
    progress_->Finish();
    SEPTET_RETURN_IF_ERROR(Save())
        << "interrupted after " << step_ << " steps, but not saved";
    return InterruptedError(absl::StrCat(
        step_, " of ", options_.steps(), " steps are done and saved in ",
        CheckpointPath(checkpoints_, step_), ".\nTo resume: ",
        hooks_.resume_command.empty() ? ResumeCommand()
                                      : hooks_.resume_command));
  }

  const TrainOptions& options_;
  TrainTask& task_;
  RunFolder& folder_;
  const TrainHooks& hooks_;
  const std::string checkpoints_;

  int64_t step_ = 0;  // updates done
  LoopState state_;
  std::optional<MetricWriter> metrics_;
  ProgressLine* progress_ = nullptr;
  std::string progress_text_;
  TrainSummary summary_;
  int64_t saved_step_ = -1;
  bool saved_due_ = false;
  double last_save_seconds_ = 0;
};

}  // namespace

absl::StatusOr<Metrics> TrainTask::Evaluate(int64_t) {
  // Made in place: of a temporary GCC says, in instrumented code, that it is
  // not initialised.
  return absl::StatusOr<Metrics>(absl::in_place);
}

std::string TrainSummary::ToString() const {
  std::string text = absl::StrCat(steps, steps == 1 ? " step" : " steps");
  const int64_t now = steps - first_step;
  if (first_step > 0) absl::StrAppend(&text, ", ", now, " of them now,");
  absl::StrAppend(&text, " in ", ClockText(seconds));
  if (now > 0 && step_seconds > 0) {
    absl::StrAppendFormat(&text, " (%.3g ms a step)",
                          1e3 * step_seconds / static_cast<double>(now));
  }
  if (peak_tensor_bytes > 0) {
    absl::StrAppend(&text, "; tensors in a step at most ",
                    BytesText(peak_tensor_bytes));
  }
  absl::StrAppend(&text, "; process at most ", BytesText(peak_resident_bytes));
  return text;
}

absl::StatusOr<TrainSummary> Train(const TrainOptions& options, TrainTask& task,
                                   RunFolder& folder, const TrainHooks& hooks) {
  return Loop(options, task, folder, hooks).Run();
}

}  // namespace septet
