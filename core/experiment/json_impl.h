// SPDX-License-Identifier: Apache-2.0
// What the JSON files of this package share; private to it.
#ifndef SEPTET_CORE_EXPERIMENT_JSON_IMPL_H_
#define SEPTET_CORE_EXPERIMENT_JSON_IMPL_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/io/json_object.h"
#include "septet/core/io/json_value.h"

namespace septet {
namespace experiment_internal {

// `json`, valid and without white space, with a field or an item a line and a
// line feed at the end.
std::string IndentJson(absl::string_view json);

// A number as such, or as the text "NaN", "Infinity" or "-Infinity".
void SetAnyNumber(JsonObject* object, absl::string_view field, double value);
absl::StatusOr<double> GetAnyNumber(const JsonValue& object,
                                    absl::string_view field);

// A text of one line, not empty. DataLoss for another.
absl::StatusOr<std::string> GetLine(const JsonValue& object,
                                    absl::string_view field);

// FailedPrecondition unless the field schema_version is `version`.
absl::Status CheckSchemaVersion(const JsonValue& object, int version);

// `result`, but DataLoss for NotFound: a file that lacks a field is damaged.
template <typename T>
absl::StatusOr<T> FieldsOf(absl::StatusOr<T> result) {
  if (!absl::IsNotFound(result.status())) return result;
  return absl::DataLossError(result.status().message());
}

// The object in the regular file at `path` of at most 1 MiB. Errors: those of
// core/base/file.h; DataLoss.
absl::StatusOr<JsonValue> ReadJsonFile(absl::string_view path);

}  // namespace experiment_internal
}  // namespace septet

#endif  // SEPTET_CORE_EXPERIMENT_JSON_IMPL_H_
