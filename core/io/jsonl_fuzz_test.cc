// SPDX-License-Identifier: Apache-2.0
// Any bytes as a file of JSON lines: each line gives an error or a value that
// can be walked, and reading comes to an end.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/check.h"
#include "septet/core/io/json_value.h"
#include "septet/core/io/jsonl.h"

namespace septet {
namespace {

// Asks everything of the value; exactly what its kind says is answered.
void Walk(const JsonValue& value) {
  using Kind = JsonValue::Kind;
  const Kind kind = value.kind();
  SEPTET_CHECK_EQ(value.Bool().ok(), kind == Kind::kBool);
  SEPTET_CHECK(!value.Integer().ok() || kind == Kind::kInteger);
  SEPTET_CHECK_EQ(value.Number().ok(),
                  kind == Kind::kInteger || kind == Kind::kNumber);
  SEPTET_CHECK_EQ(value.String().ok(), kind == Kind::kString);
  const absl::StatusOr<std::vector<JsonValue>> list = value.List();
  SEPTET_CHECK_EQ(list.ok(), kind == Kind::kList);
  if (list.ok()) {
    for (const JsonValue& item : *list) Walk(item);
    if (value.Integers().ok()) {
      SEPTET_CHECK_EQ(value.Integers()->size(), list->size());
      SEPTET_CHECK(value.Numbers().ok());
    }
    if (value.Strings().ok()) {
      SEPTET_CHECK_EQ(value.Strings()->size(), list->size());
    }
  }
  for (const std::string& name : value.names()) {
    SEPTET_CHECK(value.Has(name));
    Walk(value.Get(name).value());
  }
}

void Fuzz(absl::string_view input) {
  for (const bool ignore_torn : {false, true}) {
    JsonlOptions options;
    options.ignore_torn_last_line = ignore_torn;
    options.max_line_bytes = 1 << 12;
    absl::StatusOr<JsonlReader> reader =
        JsonlReader::FromBytes(std::string(input), "input", options);
    if (!reader.ok()) {
      SEPTET_CHECK(reader.status().code() == absl::StatusCode::kDataLoss);
      continue;
    }
    while (true) {
      const int64_t line = reader->line();
      const absl::StatusOr<std::optional<JsonValue>> value = reader->Next();
      if (value.ok() && !value->has_value()) break;
      // Errors, too, go on.
      SEPTET_CHECK(reader->line() > line);
      if (value.ok()) {
        Walk(**value);
      } else {
        SEPTET_CHECK(value.status().code() == absl::StatusCode::kDataLoss ||
                     value.status().code() ==
                         absl::StatusCode::kResourceExhausted)
            << value.status();
      }
    }
    SEPTET_CHECK(ignore_torn || reader->torn_bytes() == 0);
  }
}

}  // namespace
}  // namespace septet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  septet::Fuzz({reinterpret_cast<const char*>(data), size});
  return 0;
}
