// SPDX-License-Identifier: Apache-2.0
// Files with a JSON value on each line (https://jsonlines.org).
//
//   SEPTET_ASSIGN_OR_RETURN(JsonlReader reader, JsonlReader::Open(path));
//   while (true) {
//     SEPTET_ASSIGN_OR_RETURN(std::optional<JsonValue> row, reader.Next());
//     if (!row.has_value()) break;
//     SEPTET_ASSIGN_OR_RETURN(double loss, row->GetNumber("loss"));
//     // DataLoss "metrics.jsonl:3: field 'loss' is null, expected a number"
//   }
//
//   SEPTET_ASSIGN_OR_RETURN(JsonlWriter writer, JsonlWriter::Open(path));
//   JsonObject row;
//   row.SetInteger("step", 10);
//   SEPTET_RETURN_IF_ERROR(writer.Append(row));   // on disk
//
// Reading: lines end with LF or CR LF, the last one also with the file; lines
// of white space alone are passed over. UTF-8 without a byte order mark.
//
// Writing: a line goes to the file in one piece and is on disk when Append
// returns. If there is no room for it, the file is as before. If the computer
// goes down in the middle of it, a part of it may be there: a torn line, which
// the reader passes over and the writer cuts off if told so.
//
// Stability: core's public API; names and meaning stay, additions come.
#ifndef SEPTET_CORE_IO_JSONL_H_
#define SEPTET_CORE_IO_JSONL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/io/json_object.h"
#include "septet/core/io/json_value.h"

namespace septet {

struct JsonlOptions {
  // Longer lines are refused, with ResourceExhausted. A line of nothing but
  // {},{},{} takes sixty times as much memory as it has bytes.
  int64_t max_line_bytes = int64_t{16} << 20;

  // Passes over the last line if it has no end and is no whole object or list;
  // else that is an error.
  bool ignore_torn_last_line = false;
};

// Reads line by line. One thread at a time; movable. The values do not need it
// any more.
class JsonlReader {
 public:
  // Maps the file at `path`. Errors: those of core/base/file.h; DataLoss for a
  // byte order mark; InvalidArgument for max_line_bytes below 1.
  static absl::StatusOr<JsonlReader> Open(absl::string_view path,
                                          const JsonlOptions& options = {});

  // The same with the bytes of a file; `name` stands for the path in messages.
  static absl::StatusOr<JsonlReader> FromBytes(
      std::string bytes, absl::string_view name,
      const JsonlOptions& options = {});

  JsonlReader(JsonlReader&&) noexcept;
  JsonlReader& operator=(JsonlReader&&) noexcept;
  ~JsonlReader();

  // The next value; nothing at the end. Messages begin with path and line,
  // "metrics.jsonl:3: ". DataLoss for what is not JSON (see JsonValue), after
  // which Next goes on with the line that follows; ResourceExhausted for a line
  // that is too long.
  absl::StatusOr<std::optional<JsonValue>> Next();

  // Number of the line that Next has returned last, from 1; 0 before.
  int64_t line() const;

  // Bytes of the torn last line that was passed over; 0 where there was none.
  int64_t torn_bytes() const;

 private:
  struct State;
  explicit JsonlReader(std::unique_ptr<State> state);
  static absl::StatusOr<JsonlReader> Start(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

// All values of a file.
absl::StatusOr<std::vector<JsonValue>> ReadJsonl(
    absl::string_view path, const JsonlOptions& options = {});

struct JsonlWriterOptions {
  // Whether a line is on disk when Append returns. Without it, lines outlive
  // the process but not the computer, until Sync.
  bool sync = true;

  // Whether Open cuts off a torn last line; else it is an error.
  bool cut_torn_last_line = false;
};

// Adds lines to a file. One writer of a file, and one thread, at a time;
// movable.
class JsonlWriter {
 public:
  // Opens the file at `path`, or makes it. If its last line has no end, that is
  // added if the line is a whole object or list; else see cut_torn_last_line
  // and FailedPrecondition. Other errors: those of core/base/file.h.
  static absl::StatusOr<JsonlWriter> Open(
      absl::string_view path, const JsonlWriterOptions& options = {});

  JsonlWriter(JsonlWriter&& other) noexcept;
  JsonlWriter& operator=(JsonlWriter&& other) noexcept;
  ~JsonlWriter();

  // Adds a line. InvalidArgument, naming the field, for what JSON does not
  // have; ResourceExhausted without room on the disk, in which case the file is
  // as before and Append may be tried again.
  absl::Status Append(const JsonObject& row);

  // Adds `line`, which must be JSON without line breaks: a break is
  // InvalidArgument, else it is not looked at.
  absl::Status AppendLine(absl::string_view line);

  // Everything so far is on disk when this returns OK.
  absl::Status Sync();

  const std::string& path() const { return path_; }

 private:
  JsonlWriter(std::string path, int fd, const JsonlWriterOptions& options);
  absl::Status MendLastLine();
  absl::Status Write(absl::string_view bytes);

  std::string path_;
  int fd_ = -1;
  JsonlWriterOptions options_;
};

}  // namespace septet

#endif  // SEPTET_CORE_IO_JSONL_H_
