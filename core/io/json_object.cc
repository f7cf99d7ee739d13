// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/json_object.h"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/io/json_string.h"
#include "septet/core/io/quote.h"

namespace septet {

void JsonObject::Fail(absl::string_view field, absl::string_view message) {
  status_.Update(absl::InvalidArgumentError(
      absl::StrCat("field ", QuoteName(field), ": ", message)));
}

bool JsonObject::Begin(absl::string_view field) {
  const absl::StatusOr<std::string> name = JsonString(field);
  if (!name.ok()) {
    Fail(field, "the name is not UTF-8");
    return false;
  }
  if (!names_.emplace(field).second) {
    Fail(field, "has been set before");
    return false;
  }
  absl::StrAppend(&fields_, fields_.empty() ? "" : ",", *name, ":");
  return true;
}

void JsonObject::AddNumber(absl::string_view field, double value) {
  if (!std::isfinite(value)) {
    return Fail(field, absl::StrCat("is ", value, ", JSON has no such number"));
  }
  char buffer[32];  // the longest is -2.2250738585072014e-308
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value);
  const absl::string_view text(buffer, end.ptr - buffer);
  absl::StrAppend(
      &fields_, text,
      text.find_first_of(".e") == absl::string_view::npos ? ".0" : "");
}

void JsonObject::AddString(absl::string_view field, absl::string_view value) {
  const absl::StatusOr<std::string> text = JsonString(value);
  if (!text.ok()) return Fail(field, text.status().message());
  fields_ += *text;
}

void JsonObject::AddObject(absl::string_view field, const JsonObject& value) {
  status_.Update(
      AnnotateStatus(value.status_, absl::StrCat("field ", QuoteName(field))));
  absl::StrAppend(&fields_, "{", value.fields_, "}");
}

void JsonObject::SetNull(absl::string_view field) {
  if (Begin(field)) fields_ += "null";
}

void JsonObject::SetBool(absl::string_view field, bool value) {
  if (Begin(field)) fields_ += value ? "true" : "false";
}

void JsonObject::SetInteger(absl::string_view field, int64_t value) {
  if (Begin(field)) absl::StrAppend(&fields_, value);
}

void JsonObject::SetNumber(absl::string_view field, double value) {
  if (Begin(field)) AddNumber(field, value);
}

void JsonObject::SetString(absl::string_view field, absl::string_view value) {
  if (Begin(field)) AddString(field, value);
}

void JsonObject::SetObject(absl::string_view field, const JsonObject& value) {
  if (Begin(field)) AddObject(field, value);
}

void JsonObject::SetIntegers(absl::string_view field,
                             absl::Span<const int64_t> values) {
  if (!Begin(field)) return;
  absl::StrAppend(&fields_, "[", absl::StrJoin(values, ","), "]");
}

void JsonObject::SetNumbers(absl::string_view field,
                            absl::Span<const double> values) {
  if (!Begin(field)) return;
  const char* separator = "[";
  for (const double value : values) {
    fields_ += separator;
    AddNumber(field, value);
    separator = ",";
  }
  fields_ += values.empty() ? "[]" : "]";
}

void JsonObject::SetStrings(absl::string_view field,
                            absl::Span<const std::string> values) {
  if (!Begin(field)) return;
  const char* separator = "[";
  for (const std::string& value : values) {
    fields_ += separator;
    AddString(field, value);
    separator = ",";
  }
  fields_ += values.empty() ? "[]" : "]";
}

void JsonObject::SetObjects(absl::string_view field,
                            absl::Span<const JsonObject> values) {
  if (!Begin(field)) return;
  const char* separator = "[";
  for (const JsonObject& value : values) {
    fields_ += separator;
    AddObject(field, value);
    separator = ",";
  }
  fields_ += values.empty() ? "[]" : "]";
}

absl::StatusOr<std::string> JsonObject::Text() const {
  SEPTET_RETURN_IF_ERROR(status_);
  return absl::StrCat("{", fields_, "}");
}

}  // namespace septet
