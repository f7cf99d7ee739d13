// SPDX-License-Identifier: Apache-2.0
// JSON read by name and type, with errors that say where.
//
//   SEPTET_ASSIGN_OR_RETURN(JsonValue row, JsonValue::Parse(text, "a.json"));
//   SEPTET_ASSIGN_OR_RETURN(std::string task, row.GetString("task"));
//   SEPTET_ASSIGN_OR_RETURN(std::vector<int64_t> ids,
//                           row.GetIntegers("prompt"));
//   // DataLoss "a.json: field 'prompt[2]' is 1.5, expected an integer"
//
// Stricter than most readers in: a key that is there twice, and a number that
// no double holds (1e999), are errors. NaN and Infinity are no JSON. What is
// written without a fraction or an exponent is an integer if 64 bits hold it,
// with a sign or without; nothing else is.
//
// Cost: one pass; memory about 40 bytes a number and 100 a field or object,
// beside the text of the strings, and up to 80 more an item while a list grows:
// a text of small items takes sixty times its own size.
//
// Stability: core's public API; names and meaning stay, additions come.
#ifndef SEPTET_CORE_IO_JSON_VALUE_H_
#define SEPTET_CORE_IO_JSON_VALUE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace septet {

namespace io_internal {
struct JsonNode;
}  // namespace io_internal

// A value of a parsed text, read only. Copies are handles of the same text's
// values, which live until the last of them is gone. May be used from several
// threads.
class JsonValue {
 public:
  enum class Kind { kNull, kBool, kInteger, kNumber, kString, kList, kObject };

  // Deeper texts are refused.
  static constexpr int kMaxDepth = 64;

  // `name` begins all messages: a path, perhaps with the line. DataLoss, with
  // the byte, if `text` is not one JSON value in UTF-8, or as the file comment
  // says.
  static absl::StatusOr<JsonValue> Parse(absl::string_view text,
                                         absl::string_view name);

  Kind kind() const;

  // The value as the type named. DataLoss if it is of another, with what it is.
  // Integer wants 64 bits with a sign; Number takes integers too, rounded to
  // the nearest double.
  absl::StatusOr<bool> Bool() const;
  absl::StatusOr<int64_t> Integer() const;
  absl::StatusOr<double> Number() const;
  absl::StatusOr<std::string> String() const;
  absl::StatusOr<std::vector<JsonValue>> List() const;
  absl::StatusOr<std::vector<int64_t>> Integers() const;
  absl::StatusOr<std::vector<double>> Numbers() const;
  absl::StatusOr<std::vector<std::string>> Strings() const;

  // Names of the fields of an object, sorted bytewise; empty for others.
  std::vector<std::string> names() const;
  // Whether this is an object with such a field.
  bool Has(absl::string_view field) const;

  // A field of an object. DataLoss if this is none; NotFound, with the nearest
  // name, if it has no such field.
  absl::StatusOr<JsonValue> Get(absl::string_view field) const;

  // Get and the conversion above.
  absl::StatusOr<bool> GetBool(absl::string_view field) const;
  absl::StatusOr<int64_t> GetInteger(absl::string_view field) const;
  absl::StatusOr<double> GetNumber(absl::string_view field) const;
  absl::StatusOr<std::string> GetString(absl::string_view field) const;
  absl::StatusOr<std::vector<JsonValue>> GetList(absl::string_view field) const;
  absl::StatusOr<std::vector<int64_t>> GetIntegers(
      absl::string_view field) const;
  absl::StatusOr<std::vector<double>> GetNumbers(absl::string_view field) const;
  absl::StatusOr<std::vector<std::string>> GetStrings(
      absl::string_view field) const;

  // Where the value is, as messages say: "a.json: field 'prompt[2]'".
  std::string where() const;

 private:
  JsonValue(std::shared_ptr<const io_internal::JsonNode> node,
            std::shared_ptr<const std::string> name, std::string path);

  JsonValue Item(const io_internal::JsonNode& node, std::string path) const;
  absl::Status Unexpected(absl::string_view expected) const;

  std::shared_ptr<const io_internal::JsonNode> node_;
  std::shared_ptr<const std::string> name_;
  std::string path_;  // of the field within the text: "a.b[2]"
};

}  // namespace septet

#endif  // SEPTET_CORE_IO_JSON_VALUE_H_
