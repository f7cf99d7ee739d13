// SPDX-License-Identifier: Apache-2.0
// An object of JSON, put together field by field.
//
//   JsonObject row;
//   row.SetInteger("step", 10);
//   row.SetNumber("loss", 0.25);
//   row.SetIntegers("prompt", {5, 3});
//   SEPTET_ASSIGN_OR_RETURN(std::string text, row.Text());
//   // {"step":10,"loss":0.25,"prompt":[5,3]}
//
// Fields stay in order. Numbers are the shortest text that reads as the same
// double, and never look like integers. One line, whatever is in it.
//
// Stability: core's public API; names and meaning stay, additions come.
#ifndef SEPTET_CORE_IO_JSON_OBJECT_H_
#define SEPTET_CORE_IO_JSON_OBJECT_H_

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace septet {

class JsonObject {
 public:
  // Each adds a field. What cannot be written is reported by Text(): a text or
  // a name that is not UTF-8, a number that is not finite, a name that is there
  // already.
  void SetNull(absl::string_view field);
  void SetBool(absl::string_view field, bool value);
  void SetInteger(absl::string_view field, int64_t value);
  void SetNumber(absl::string_view field, double value);
  void SetString(absl::string_view field, absl::string_view value);
  void SetObject(absl::string_view field, const JsonObject& value);
  void SetIntegers(absl::string_view field, absl::Span<const int64_t> values);
  void SetNumbers(absl::string_view field, absl::Span<const double> values);
  void SetStrings(absl::string_view field,
                  absl::Span<const std::string> values);
  void SetObjects(absl::string_view field, absl::Span<const JsonObject> values);

  // The object as one line without its end. InvalidArgument, naming the field,
  // for the first thing that could not be written.
  absl::StatusOr<std::string> Text() const;

 private:
  // Adds the name; false where it cannot be.
  bool Begin(absl::string_view field);
  void AddNumber(absl::string_view field, double value);
  void AddString(absl::string_view field, absl::string_view value);
  void AddObject(absl::string_view field, const JsonObject& value);
  void Fail(absl::string_view field, absl::string_view message);

  std::string fields_;
  std::set<std::string> names_;
  absl::Status status_;
};

}  // namespace septet

#endif  // SEPTET_CORE_IO_JSON_OBJECT_H_
