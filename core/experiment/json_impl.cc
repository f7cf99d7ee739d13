// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/json_impl.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/io/quote.h"

namespace septet {
namespace experiment_internal {
namespace {

// Far more than any of these files has.
constexpr size_t kMaxBytes = size_t{1} << 20;

}  // namespace

std::string IndentJson(absl::string_view json) {
  std::string text;
  size_t depth = 0;
  bool in_string = false;
  const auto new_line = [&] {
    text += '\n';
    text.append(2 * depth, ' ');
  };
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    text += c;
    if (in_string) {
      if (c == '\\') {
        text += json[++i];
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == ',') {
      new_line();
    } else if (c == ':') {
      text += ' ';
    } else if (c == '{' || c == '[') {
      // Empty ones stay on their line.
      if (json[i + 1] == '}' || json[i + 1] == ']') {
        text += json[++i];
        continue;
      }
      ++depth;
      new_line();
    } else if (c == '}' || c == ']') {
      text.pop_back();
      --depth;
      new_line();
      text += c;
    }
  }
  text += '\n';
  return text;
}

void SetAnyNumber(JsonObject* object, absl::string_view field, double value) {
  if (std::isfinite(value)) return object->SetNumber(field, value);
  object->SetString(field, std::isnan(value) ? "NaN"
                           : value > 0       ? "Infinity"
                                             : "-Infinity");
}

absl::StatusOr<double> GetAnyNumber(const JsonValue& object,
                                    absl::string_view field) {
  SEPTET_ASSIGN_OR_RETURN(const JsonValue value, object.Get(field));
  if (value.kind() != JsonValue::Kind::kString) return value.Number();
  SEPTET_ASSIGN_OR_RETURN(const std::string text, value.String());
  if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (text == "Infinity") return std::numeric_limits<double>::infinity();
  if (text == "-Infinity") return -std::numeric_limits<double>::infinity();
  return absl::DataLossError(
      absl::StrCat(value.where(), " is ", QuoteName(text),
                   ", expected a number, 'NaN', 'Infinity' or '-Infinity'"));
}

absl::StatusOr<std::string> GetLine(const JsonValue& object,
                                    absl::string_view field) {
  SEPTET_ASSIGN_OR_RETURN(const JsonValue value, object.Get(field));
  SEPTET_ASSIGN_OR_RETURN(std::string text, value.String());
  bool line = !text.empty();
  for (char c : text) line = line && !absl::ascii_iscntrl(c);
  if (!line) {
    return absl::DataLossError(absl::StrCat(
        value.where(), " is ", QuoteName(text), ", expected a line of text"));
  }
  return text;
}

absl::Status CheckSchemaVersion(const JsonValue& object, int version) {
  SEPTET_ASSIGN_OR_RETURN(const JsonValue value, object.Get("schema_version"));
  SEPTET_ASSIGN_OR_RETURN(const int64_t found, value.Integer());
  if (found == version) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      value.where(), " is ", found, ", this program reads ", version));
}

absl::StatusOr<JsonValue> ReadJsonFile(absl::string_view path) {
  SEPTET_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  if (file.size() > kMaxBytes) {
    return absl::DataLossError(absl::StrCat(
        path, ": has ", file.size(), " bytes, expected at most ", kMaxBytes));
  }
  return JsonValue::Parse(file.data(), path);
}

}  // namespace experiment_internal
}  // namespace septet
