// SPDX-License-Identifier: Apache-2.0
// The numbers that a run reports by step: rows in metrics.jsonl, and the same
// in an event file for TensorBoard.
//
//   SEPTET_ASSIGN_OR_RETURN(MetricWriter metrics,
//                           MetricWriter::Open(folder, /*resume_step=*/-1));
//   SEPTET_RETURN_IF_ERROR(metrics.Write(10, {{"loss", 2.5}, {"lr", 1e-3}}));
//
//   SEPTET_ASSIGN_OR_RETURN(std::vector<MetricRow> rows,
//                           ReadMetrics(folder + "/metrics.jsonl"));
//
// metrics.jsonl has an object a line: {"step":10,"loss":2.5,"lr":0.001}, each
// number in the shortest form that reads back as the same double. What JSON has
// no number for is the string "NaN", "Infinity" or "-Infinity". There are no
// times in it: the same run gives the same bytes.
//
// events.out.tfevents.0 is what `tensorboard --logdir=FOLDER` shows
// (core/train/event_file.h).
//
// A row is on its way to the disk when Write returns; a process that is killed
// while it writes leaves at most one torn line, at the end.
#ifndef SEPTET_CORE_TRAIN_METRICS_H_
#define SEPTET_CORE_TRAIN_METRICS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace septet {

// Names and values in the order in which they are shown. Names of up to 15
// bytes, and up to six of them, need no memory of their own.
using Metrics = absl::InlinedVector<std::pair<std::string, double>, 6>;

// The value of that name, or null.
const double* FindMetric(const Metrics& metrics, absl::string_view name);

struct MetricRow {
  int64_t step = 0;
  std::map<std::string, double> values;
};

class MetricWriter {
 public:
  static constexpr char kRowsName[] = "metrics.jsonl";
  static constexpr char kEventsName[] = "events.out.tfevents.0";

  // How much there is: what a checkpoint remembers.
  struct Position {
    int64_t rows = INT64_MAX;
    int64_t events = INT64_MAX;
  };

  // Opens both files in `folder`, which exists, to add to them. What is of
  // steps after resume_step or behind `position` is cut off first, and so is
  // whatever is torn; with -1 everything. An event file is cut where it is
  // damaged.
  // Errors: those of core/base/file.h; DataLoss, with file and line, for rows
  // that are damaged before one that is to be kept. Nothing is cut then.
  static absl::StatusOr<MetricWriter> Open(absl::string_view folder,
                                           int64_t resume_step,
                                           const Position& position);
  static absl::StatusOr<MetricWriter> Open(absl::string_view folder,
                                           int64_t resume_step) {
    return Open(folder, resume_step, Position());
  }

  MetricWriter(MetricWriter&& other) noexcept;
  MetricWriter& operator=(MetricWriter&& other) noexcept;
  ~MetricWriter();

  // Adds a row. `step` is at least that of the row before.
  // Errors: InvalidArgument for a name that is empty, "step", there twice or
  // not UTF-8, or for a step that goes back; ResourceExhausted and others for a
  // disk that is full or broken.
  absl::Status Write(int64_t step,
                     absl::Span<const std::pair<std::string, double>> values);

  // A text, or a picture as the bytes of a PNG file, for TensorBoard alone.
  // Errors as above; InvalidArgument for bytes that are no PNG.
  absl::Status WriteText(int64_t step, absl::string_view name,
                         absl::string_view text);
  absl::Status WriteImage(int64_t step, absl::string_view name,
                          absl::string_view png);

  // On disk when it returns OK.
  absl::Status Sync();

  // Of what has been written, in this process and before.
  Position position() const;

 private:
  struct Files;
  explicit MetricWriter(std::unique_ptr<Files> files);

  std::unique_ptr<Files> files_;
};

// The rows of a file of this form, in its order; several may be of one step. A
// last line without its line feed is left out: it is torn.
// Errors: NotFound and others of core/base/file.h; DataLoss with the path, the
// line, what was expected and what was found.
absl::StatusOr<std::vector<MetricRow>> ReadMetrics(absl::string_view path);

// The same for the text of a file; `name` stands for the path in messages.
absl::StatusOr<std::vector<MetricRow>> ParseMetrics(absl::string_view text,
                                                    absl::string_view name);

}  // namespace septet

#endif  // SEPTET_CORE_TRAIN_METRICS_H_
