// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/jsonl.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/system_call.h"
#include "septet/core/io/json_object.h"
#include "septet/core/io/json_value.h"

namespace septet {
namespace {

bool IsWhite(absl::string_view line) {
  return line.find_first_not_of(" \t\r") == absl::string_view::npos;
}

// Whether a line that has no end is as its writer meant it. What is neither an
// object nor a list may have lost some digits.
bool IsWhole(const absl::StatusOr<JsonValue>& value) {
  return value.ok() && (value->kind() == JsonValue::Kind::kObject ||
                        value->kind() == JsonValue::Kind::kList);
}

}  // namespace

struct JsonlReader::State {
  std::string path;
  std::optional<MappedFile> mapping;
  std::string bytes;  // where there is no mapping
  JsonlOptions options;
  size_t position = 0;
  int64_t line = 0;
  int64_t torn_bytes = 0;

  absl::string_view file() const {
    return mapping.has_value() ? mapping->data() : absl::string_view(bytes);
  }
};

JsonlReader::JsonlReader(std::unique_ptr<State> state)
    : state_(std::move(state)) {}
JsonlReader::JsonlReader(JsonlReader&&) noexcept = default;
JsonlReader& JsonlReader::operator=(JsonlReader&&) noexcept = default;
JsonlReader::~JsonlReader() = default;

absl::StatusOr<JsonlReader> JsonlReader::Start(std::unique_ptr<State> state) {
  if (state->options.max_line_bytes < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(state->path, ": JsonlOptions: max_line_bytes is ",
                     state->options.max_line_bytes, ", expected at least 1"));
  }
  const absl::string_view file = state->file();
  const char* const mark =
      absl::StartsWith(file, "\xef\xbb\xbf") ? "UTF-8"
      : absl::StartsWith(file, "\xff\xfe") || absl::StartsWith(file, "\xfe\xff")
          ? "UTF-16"
          : nullptr;
  if (mark != nullptr) {
    return absl::DataLossError(
        absl::StrCat(state->path, ": begins with a byte order mark of ", mark,
                     ", expected UTF-8 without one"));
  }
  return JsonlReader(std::move(state));
}

absl::StatusOr<JsonlReader> JsonlReader::Open(absl::string_view path,
                                              const JsonlOptions& options) {
  auto state = std::make_unique<State>();
  state->path = std::string(path);
  state->options = options;
  SEPTET_ASSIGN_OR_RETURN(state->mapping, MappedFile::Open(path));
  return Start(std::move(state));
}

absl::StatusOr<JsonlReader> JsonlReader::FromBytes(
    std::string bytes, absl::string_view name, const JsonlOptions& options) {
  auto state = std::make_unique<State>();
  state->path = std::string(name);
  state->options = options;
  state->bytes = std::move(bytes);
  return Start(std::move(state));
}

absl::StatusOr<std::optional<JsonValue>> JsonlReader::Next() {
  const absl::string_view file = state_->file();
  while (state_->position < file.size()) {
    const absl::string_view rest = file.substr(state_->position);
    const size_t end = rest.find('\n');
    const bool ends = end != absl::string_view::npos;
    absl::string_view line = rest.substr(0, end);
    state_->position += line.size() + (ends ? 1 : 0);
    ++state_->line;
    if (absl::EndsWith(line, "\r")) line.remove_suffix(1);
    if (IsWhite(line)) continue;
    const std::string name = absl::StrCat(state_->path, ":", state_->line);
    if (line.size() > static_cast<uint64_t>(state_->options.max_line_bytes)) {
      return absl::ResourceExhaustedError(
          absl::StrCat(name, ": the line has ", line.size(),
                       " bytes, options.max_line_bytes allows ",
                       state_->options.max_line_bytes));
    }
    absl::StatusOr<JsonValue> value = JsonValue::Parse(line, name);
    if (!ends && state_->options.ignore_torn_last_line && !IsWhole(value)) {
      state_->torn_bytes = static_cast<int64_t>(rest.size());
      --state_->line;
      return std::nullopt;
    }
    if (!value.ok()) {
      return ends ? value.status()
                  : absl::Status(value.status().code(),
                                 absl::StrCat(value.status().message(),
                                              "; it is the last line and has "
                                              "no end, perhaps torn"));
    }
    return *std::move(value);
  }
  return std::nullopt;
}

int64_t JsonlReader::line() const { return state_->line; }
int64_t JsonlReader::torn_bytes() const { return state_->torn_bytes; }

absl::StatusOr<std::vector<JsonValue>> ReadJsonl(absl::string_view path,
                                                 const JsonlOptions& options) {
  SEPTET_ASSIGN_OR_RETURN(JsonlReader reader, JsonlReader::Open(path, options));
  std::vector<JsonValue> values;
  while (true) {
    SEPTET_ASSIGN_OR_RETURN(std::optional<JsonValue> value, reader.Next());
    if (!value.has_value()) return values;
    values.push_back(*std::move(value));
  }
}

JsonlWriter::JsonlWriter(std::string path, int fd,
                         const JsonlWriterOptions& options)
    : path_(std::move(path)), fd_(fd), options_(options) {}

JsonlWriter::JsonlWriter(JsonlWriter&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      options_(other.options_) {}

JsonlWriter& JsonlWriter::operator=(JsonlWriter&& other) noexcept {
  if (this == &other) return *this;
  if (fd_ >= 0) close(fd_);
  path_ = std::move(other.path_);
  fd_ = std::exchange(other.fd_, -1);
  options_ = other.options_;
  return *this;
}

JsonlWriter::~JsonlWriter() {
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<JsonlWriter> JsonlWriter::Open(
    absl::string_view path, const JsonlWriterOptions& options) {
  std::string name(path);
  if (name.empty() || name.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(
        "the path of a file is empty or has a zero byte in it");
  }
  struct stat info;
  // A pipe would wait for its reader, and cannot be mended.
  if (stat(name.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat("append to ", name, ": is ",
                     S_ISDIR(info.st_mode) ? "a directory" : "a special file",
                     ", want a regular file"));
  }
  const int fd = RetrySystemCall([&] {
    return open(name.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  });
  if (fd < 0) return SystemCallError(errno, "open", name);
  JsonlWriter writer(std::move(name), fd, options);
  SEPTET_RETURN_IF_ERROR(writer.MendLastLine());
  // The name itself may be new.
  const size_t slash = writer.path_.rfind('/');
  const std::string directory =
      slash == std::string::npos
          ? std::string(".")
          : writer.path_.substr(0, slash == 0 ? 1 : slash);
  const int handle = RetrySystemCall([&] {
    return open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  });
  if (handle < 0) return SystemCallError(errno, "open directory", directory);
  const int flushed = RetrySystemCall([&] { return fsync(handle); });
  const int error = errno;
  close(handle);
  // Some file systems have no fsync for directories and say EINVAL.
  if (flushed != 0 && error != EINVAL) {
    return SystemCallError(error, "flush directory", directory);
  }
  return writer;
}

absl::Status JsonlWriter::MendLastLine() {
  SEPTET_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path_));
  const absl::string_view bytes = file.data();
  if (bytes.empty() || bytes.back() == '\n') return absl::OkStatus();
  const size_t end = bytes.rfind('\n');
  const size_t begin = end == absl::string_view::npos ? 0 : end + 1;
  const absl::string_view line = bytes.substr(begin);
  if (IsWhole(JsonValue::Parse(line, path_))) return Write("\n");
  if (!options_.cut_torn_last_line) {
    return absl::FailedPreconditionError(absl::StrCat(
        "append to ", path_, ": the last line is torn: ", line.size(),
        " bytes without an end from byte ", begin,
        "; cut it off, or open with cut_torn_last_line"));
  }
  if (RetrySystemCall(
          [&] { return ftruncate(fd_, static_cast<off_t>(begin)); }) != 0) {
    return SystemCallError(errno, "truncate", path_);
  }
  return Sync();
}

absl::Status JsonlWriter::Write(absl::string_view bytes) {
  struct stat info;
  if (fstat(fd_, &info) != 0) return SystemCallError(errno, "stat", path_);
  absl::string_view rest = bytes;
  while (!rest.empty()) {
    const ssize_t count =
        RetrySystemCall([&] { return write(fd_, rest.data(), rest.size()); });
    if (count < 0) {
      const absl::Status status = SystemCallError(errno, "append to", path_);
      // Whole lines only, as far as that can still be had.
      if (rest.size() < bytes.size() && ftruncate(fd_, info.st_size) != 0) {
        return SystemCallError(errno, "truncate", path_);
      }
      return status;
    }
    rest.remove_prefix(static_cast<size_t>(count));
  }
  return options_.sync ? Sync() : absl::OkStatus();
}

absl::Status JsonlWriter::Append(const JsonObject& row) {
  SEPTET_ASSIGN_OR_RETURN(std::string line, row.Text(),
                          _ << "append to " << path_);
  line += '\n';
  return Write(line);
}

absl::Status JsonlWriter::AppendLine(absl::string_view line) {
  if (const size_t place = line.find_first_of("\n\r");
      place != absl::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("append to ", path_,
                     ": the line has a line break in it, at byte ", place));
  }
  return Write(absl::StrCat(line, "\n"));
}

absl::Status JsonlWriter::Sync() {
  if (RetrySystemCall([&] { return fdatasync(fd_); }) != 0) {
    return SystemCallError(errno, "flush", path_);
  }
  return absl::OkStatus();
}

}  // namespace septet
