// SPDX-License-Identifier: Apache-2.0
#include "septet/core/train/metrics.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "nlohmann/json.hpp"
#include "septet/core/base/file.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/system_call.h"
#include "septet/core/io/json_string.h"
#include "septet/core/io/quote.h"
#include "septet/core/train/event_file.h"

namespace septet {
namespace {

constexpr char kStepName[] = "step";

double WallSeconds() {
  return std::chrono::duration<double>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// The value as JSON that ValueOfJson reads as the same.
std::string JsonOfValue(double value) {
  if (std::isnan(value)) return "\"NaN\"";
  if (std::isinf(value)) return value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
  // An integer to JSON readers, which have no negative zero among those.
  if (value == 0 && std::signbit(value)) return "-0.0";
  char text[32];
  const auto end = std::to_chars(text, text + sizeof(text), value);
  return std::string(text, end.ptr);
}

bool ValueOfJson(const nlohmann::json& json, double* value) {
  if (json.is_number()) {
    *value = json.get<double>();
    return true;
  }
  const auto* text = json.get_ptr<const std::string*>();
  if (text == nullptr) return false;
  if (*text == "NaN") {
    *value = std::numeric_limits<double>::quiet_NaN();
  } else if (*text == "Infinity") {
    *value = std::numeric_limits<double>::infinity();
  } else if (*text == "-Infinity") {
    *value = -std::numeric_limits<double>::infinity();
  } else {
    return false;
  }
  return true;
}

absl::StatusOr<MetricRow> ParseRow(absl::string_view line) {
  const nlohmann::json json =
      nlohmann::json::parse(line.begin(), line.end(), /*cb=*/nullptr,
                            /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return absl::DataLossError(
        absl::StrCat("expected a JSON object, found ", QuoteName(line)));
  }
  MetricRow row;
  bool has_step = false;
  for (const auto& [name, value] : json.items()) {
    if (name == kStepName) {
      // Larger ones are unsigned to the parser.
      const bool fits = value.is_number_integer() &&
                        (!value.is_number_unsigned() ||
                         value.get<uint64_t>() <= uint64_t{INT64_MAX});
      if (!fits || value.get<int64_t>() < 0) {
        return absl::DataLossError(absl::StrCat(
            "expected a number of steps as 'step', found ", QuoteName(line)));
      }
      row.step = value.get<int64_t>();
      has_step = true;
    } else if (!ValueOfJson(value, &row.values[name])) {
      return absl::DataLossError(absl::StrCat("expected a number as ",
                                              QuoteName(name), ", found ",
                                              QuoteName(line)));
    }
  }
  if (!has_step) {
    return absl::DataLossError(
        absl::StrCat("has no 'step': ", QuoteName(line)));
  }
  return row;
}

// Rows and the offset behind each. A last line that is torn is left out.
absl::Status ParseRows(absl::string_view text, absl::string_view name,
                       std::vector<MetricRow>* rows,
                       std::vector<size_t>* ends) {
  size_t begin = 0;
  for (int64_t number = 1; begin < text.size(); ++number) {
    const size_t end = text.find('\n', begin);
    if (end == absl::string_view::npos) break;
    SEPTET_ASSIGN_OR_RETURN(MetricRow row,
                            ParseRow(text.substr(begin, end - begin)),
                            _ << name << ":" << number);
    rows->push_back(std::move(row));
    ends->push_back(end + 1);
    begin = end + 1;
  }
  return absl::OkStatus();
}

// Whether a line behind the first `skip` is a row of at most `step`.
bool HasRowUpTo(int64_t step, absl::string_view text, size_t skip) {
  size_t begin = 0;
  for (size_t line = 0; begin < text.size(); ++line) {
    const size_t end = text.find('\n', begin);
    if (end == absl::string_view::npos) break;
    if (line >= skip) {
      const absl::StatusOr<MetricRow> row =
          ParseRow(text.substr(begin, end - begin));
      if (row.ok() && row->step <= step) return true;
    }
    begin = end + 1;
  }
  return false;
}

// A file to which whole pieces are added.
class AppendFile {
 public:
  AppendFile() = default;
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;
  ~AppendFile() {
    if (fd_ >= 0) close(fd_);
  }

  // Opens it, or makes it, and cuts it to `size` bytes.
  absl::Status Open(std::string path, size_t size) {
    path_ = std::move(path);
    size_ = size;
    fd_ = RetrySystemCall([&] {
      return open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_APPEND,
                  0666);
    });
    if (fd_ < 0) return SystemCallError(errno, "open", path_);
    return Cut();
  }

  absl::Status Append(absl::string_view data) {
    if (!status_.ok()) return status_;
    absl::string_view rest = data;
    while (!rest.empty()) {
      const ssize_t count =
          RetrySystemCall([&] { return write(fd_, rest.data(), rest.size()); });
      if (count < 0) {
        status_ = SystemCallError(errno, "write", path_);
        // Half a piece in the middle of a file would spoil what follows.
        Cut().IgnoreError();
        return status_;
      }
      rest.remove_prefix(static_cast<size_t>(count));
    }
    size_ += data.size();
    return absl::OkStatus();
  }

  absl::Status Sync() {
    if (status_.ok() && RetrySystemCall([&] { return fdatasync(fd_); }) != 0) {
      status_ = SystemCallError(errno, "flush", path_);
    }
    return status_;
  }

  size_t size() const { return size_; }

 private:
  absl::Status Cut() {
    const int cut = RetrySystemCall(
        [&] { return ftruncate(fd_, static_cast<off_t>(size_)); });
    return cut == 0 ? absl::OkStatus() : SystemCallError(errno, "cut", path_);
  }

  std::string path_;
  int fd_ = -1;
  size_t size_ = 0;
  absl::Status status_;
};

absl::StatusOr<std::string> ReadIfThere(const std::string& path) {
  absl::StatusOr<std::string> text = ReadFileToString(path);
  if (absl::IsNotFound(text.status())) return std::string();
  return text;
}

}  // namespace

struct MetricWriter::Files {
  AppendFile rows;
  AppendFile events;
  int64_t last_step = 0;
  Position count{0, 0};

  absl::Status Add(const events::Event& event) {
    SEPTET_RETURN_IF_ERROR(events.Append(EventRecord(event)));
    ++count.events;
    return absl::OkStatus();
  }

  absl::Status CheckStep(int64_t step) const {
    if (step >= last_step) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("metrics: step ", step, " after step ", last_step,
                     ", expected one that is not smaller"));
  }
};

const double* FindMetric(const Metrics& metrics, absl::string_view name) {
  for (const auto& [key, value] : metrics) {
    if (key == name) return &value;
  }
  return nullptr;
}

MetricWriter::MetricWriter(std::unique_ptr<Files> files)
    : files_(std::move(files)) {}
MetricWriter::MetricWriter(MetricWriter&& other) noexcept = default;
MetricWriter& MetricWriter::operator=(MetricWriter&& other) noexcept = default;
MetricWriter::~MetricWriter() = default;

absl::StatusOr<MetricWriter> MetricWriter::Open(absl::string_view folder,
                                                int64_t resume_step,
                                                const Position& position) {
  auto files = std::make_unique<Files>();
  const std::string rows_path = absl::StrCat(folder, "/", kRowsName);
  const std::string events_path = absl::StrCat(folder, "/", kEventsName);
  // Nothing is cut before both files have been looked at.
  size_t rows_end = 0;
  size_t events_end = 0;
  if (resume_step >= 0) {
    SEPTET_ASSIGN_OR_RETURN(const std::string text, ReadIfThere(rows_path));
    std::vector<MetricRow> rows;
    std::vector<size_t> ends;
    const absl::Status damage = ParseRows(text, rows_path, &rows, &ends);
    // Behind the rows that are kept a power failure may leave anything; what
    // is damaged before their end is the user's to look at.
    if (!damage.ok() && HasRowUpTo(resume_step, text, rows.size())) {
      return damage;
    }
    for (size_t i = 0; i < rows.size() && rows[i].step <= resume_step &&
                       files->count.rows < position.rows;
         ++i) {
      rows_end = ends[i];
      ++files->count.rows;
      files->last_step = std::max(files->last_step, rows[i].step);
    }
    SEPTET_ASSIGN_OR_RETURN(const std::string bytes, ReadIfThere(events_path));
    // Only a view of the rows: it goes on where it can still be read.
    EventFileContent content;
    ParseEvents(bytes, events_path, &content).IgnoreError();
    for (size_t i = 0; i < content.events.size(); ++i) {
      if (content.events[i].step() > resume_step ||
          files->count.events >= position.events) {
        break;
      }
      events_end = content.ends[i];
      ++files->count.events;
    }
  }
  SEPTET_RETURN_IF_ERROR(files->rows.Open(rows_path, rows_end));
  SEPTET_RETURN_IF_ERROR(files->events.Open(events_path, events_end));
  if (events_end == 0) {
    SEPTET_RETURN_IF_ERROR(files->Add(VersionEvent(WallSeconds())));
  }
  return MetricWriter(std::move(files));
}

absl::Status MetricWriter::Write(
    int64_t step, absl::Span<const std::pair<std::string, double>> values) {
  SEPTET_RETURN_IF_ERROR(files_->CheckStep(step));
  std::string line = absl::StrCat("{\"", kStepName, "\":", step);
  for (size_t i = 0; i < values.size(); ++i) {
    const auto& [name, value] = values[i];
    bool taken = name.empty() || name == kStepName;
    for (size_t j = 0; j < i; ++j) taken |= values[j].first == name;
    if (taken) {
      return absl::InvalidArgumentError(absl::StrCat(
          "metrics: the name ", QuoteName(name),
          name.empty() ? " is empty" : " is there already in the row"));
    }
    SEPTET_ASSIGN_OR_RETURN(const std::string key, JsonString(name),
                            _ << "metrics: name");
    absl::StrAppend(&line, ",", key, ":", JsonOfValue(value));
  }
  line += "}\n";
  SEPTET_RETURN_IF_ERROR(files_->rows.Append(line));
  files_->last_step = step;
  ++files_->count.rows;
  return files_->Add(ScalarsEvent(WallSeconds(), step, values));
}

absl::Status MetricWriter::WriteText(int64_t step, absl::string_view name,
                                     absl::string_view text) {
  SEPTET_RETURN_IF_ERROR(files_->CheckStep(step));
  SEPTET_RETURN_IF_ERROR(JsonString(name).status()) << "metrics: name";
  return files_->Add(TextEvent(WallSeconds(), step, name, text));
}

absl::Status MetricWriter::WriteImage(int64_t step, absl::string_view name,
                                      absl::string_view png) {
  SEPTET_RETURN_IF_ERROR(files_->CheckStep(step));
  SEPTET_RETURN_IF_ERROR(JsonString(name).status()) << "metrics: name";
  SEPTET_ASSIGN_OR_RETURN(const events::Event event,
                          ImageEvent(WallSeconds(), step, name, png));
  return files_->Add(event);
}

MetricWriter::Position MetricWriter::position() const { return files_->count; }

absl::Status MetricWriter::Sync() {
  SEPTET_RETURN_IF_ERROR(files_->rows.Sync());
  return files_->events.Sync();
}

absl::StatusOr<std::vector<MetricRow>> ParseMetrics(absl::string_view text,
                                                    absl::string_view name) {
  std::vector<MetricRow> rows;
  std::vector<size_t> ends;
  SEPTET_RETURN_IF_ERROR(ParseRows(text, name, &rows, &ends));
  return rows;
}

absl::StatusOr<std::vector<MetricRow>> ReadMetrics(absl::string_view path) {
  SEPTET_ASSIGN_OR_RETURN(const std::string text, ReadFileToString(path));
  return ParseMetrics(text, path);
}

}  // namespace septet
