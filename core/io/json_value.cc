// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/json_value.h"

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"
#include "septet/core/base/edit_distance.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/io/quote.h"

namespace septet {
namespace io_internal {

struct JsonNode {
  using List = std::vector<JsonNode>;
  using Object = std::map<std::string, JsonNode>;

  // Null, bool, integer, integer of 64 bits without a sign, other number, text,
  // list, object.
  std::variant<std::monostate, bool, int64_t, uint64_t, double, std::string,
               List, std::unique_ptr<Object>>
      value;

  const List* list() const { return std::get_if<List>(&value); }
  const Object* object() const {
    const auto* const found = std::get_if<std::unique_ptr<Object>>(&value);
    return found == nullptr ? nullptr : found->get();
  }
};

}  // namespace io_internal

namespace {

using io_internal::JsonNode;

// Makes the nodes as the text is parsed; the parser itself does not recurse.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  const absl::Status& status() const { return status_; }
  JsonNode TakeRoot() { return std::move(root_); }

  bool null() override { return Add({}) != nullptr; }
  bool boolean(bool value) override { return Add({value}) != nullptr; }
  bool number_integer(int64_t value) override {
    return Add({value}) != nullptr;
  }
  bool number_unsigned(uint64_t value) override {
    JsonNode node;
    if (value <= uint64_t{INT64_MAX}) {
      node.value = static_cast<int64_t>(value);
    } else {
      node.value = value;
    }
    return Add(std::move(node)) != nullptr;
  }
  bool number_float(double value, const std::string&) override {
    return Add({value}) != nullptr;
  }
  bool string(std::string& text) override {
    return Add({std::move(text)}) != nullptr;
  }
  bool binary(nlohmann::json::binary_t&) override { return false; }

  bool start_object(size_t) override {
    return Open({std::make_unique<JsonNode::Object>()});
  }
  bool start_array(size_t) override { return Open({JsonNode::List()}); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(std::string& key) override {
    if (open_.back()->object()->count(key) > 0) {
      status_ = absl::DataLossError(
          absl::StrCat("the key ", QuoteName(key), " is there twice"));
      return false;
    }
    key_ = std::move(key);
    return true;
  }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::json::exception& error) override {
    // 406 is nlohmann's number for a number that is too large.
    status_ = absl::DataLossError(
        error.id == 406 ? absl::StrCat("a number before byte ", position,
                                       " is more than a double holds")
                        : absl::StrCat("not valid JSON at byte ", position));
    return false;
  }

 private:
  // Puts the node where it belongs. A list or object that is open stays where
  // it is until it is closed, since its parent gets nothing before.
  JsonNode* Add(JsonNode node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return &root_;
    }
    if (auto* const list = std::get_if<JsonNode::List>(&open_.back()->value)) {
      list->push_back(std::move(node));
      return &list->back();
    }
    auto& object =
        std::get<std::unique_ptr<JsonNode::Object>>(open_.back()->value);
    return &object->emplace(std::move(key_), std::move(node)).first->second;
  }

  bool Open(JsonNode node) {
    if (open_.size() == size_t{JsonValue::kMaxDepth}) {
      status_ = absl::DataLossError(
          absl::StrCat("nested deeper than ", JsonValue::kMaxDepth));
      return false;
    }
    open_.push_back(Add(std::move(node)));
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  absl::Status status_;
  JsonNode root_;
  std::vector<JsonNode*> open_;
  std::string key_;
};

// What the value is, for a message.
std::string Describe(const JsonNode& node) {
  switch (node.value.index()) {
    case 0:
      return "null";
    case 1:
      return std::get<bool>(node.value) ? "true" : "false";
    case 2:
      return absl::StrCat(std::get<int64_t>(node.value));
    case 3:
      return absl::StrCat(std::get<uint64_t>(node.value));
    case 4: {
      char buffer[32];  // the longest is -2.2250738585072014e-308
      const auto end = std::to_chars(buffer, buffer + sizeof(buffer),
                                     std::get<double>(node.value));
      return std::string(buffer, end.ptr);
    }
    case 5:
      return absl::StrCat("the text ",
                          QuoteName(std::get<std::string>(node.value)));
    case 6:
      return absl::StrCat("a list of ", node.list()->size());
    default:
      return "an object";
  }
}

}  // namespace

JsonValue::JsonValue(std::shared_ptr<const JsonNode> node,
                     std::shared_ptr<const std::string> name, std::string path)
    : node_(std::move(node)), name_(std::move(name)), path_(std::move(path)) {}

absl::StatusOr<JsonValue> JsonValue::Parse(absl::string_view text,
                                           absl::string_view name) {
  // The parser would take it for the end of the text.
  if (const size_t zero = text.find('\0'); zero != absl::string_view::npos) {
    return absl::DataLossError(
        absl::StrCat(name, ": not valid JSON at byte ", zero + 1));
  }
  Builder builder;
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) {
    return AnnotateStatus(builder.status(), name);
  }
  return JsonValue(std::make_shared<const JsonNode>(builder.TakeRoot()),
                   std::make_shared<const std::string>(name), "");
}

JsonValue::Kind JsonValue::kind() const {
  switch (node_->value.index()) {
    case 0:
      return Kind::kNull;
    case 1:
      return Kind::kBool;
    case 2:
    case 3:
      return Kind::kInteger;
    case 4:
      return Kind::kNumber;
    case 5:
      return Kind::kString;
    case 6:
      return Kind::kList;
    default:
      return Kind::kObject;
  }
}

std::string JsonValue::where() const {
  return path_.empty() ? *name_
                       : absl::StrCat(*name_, ": field ", QuoteName(path_));
}

JsonValue JsonValue::Item(const JsonNode& node, std::string path) const {
  return JsonValue(std::shared_ptr<const JsonNode>(node_, &node), name_,
                   std::move(path));
}

absl::Status JsonValue::Unexpected(absl::string_view expected) const {
  return absl::DataLossError(absl::StrCat(where(), path_.empty() ? ":" : "",
                                          " is ", Describe(*node_),
                                          ", expected ", expected));
}

absl::StatusOr<bool> JsonValue::Bool() const {
  if (const bool* value = std::get_if<bool>(&node_->value)) return *value;
  return Unexpected("true or false");
}

absl::StatusOr<int64_t> JsonValue::Integer() const {
  if (const int64_t* value = std::get_if<int64_t>(&node_->value)) {
    return *value;
  }
  return Unexpected(kind() == Kind::kInteger ? "an integer below 2^63"
                                             : "an integer");
}

absl::StatusOr<double> JsonValue::Number() const {
  if (const double* value = std::get_if<double>(&node_->value)) return *value;
  if (const int64_t* value = std::get_if<int64_t>(&node_->value)) {
    return static_cast<double>(*value);
  }
  if (const uint64_t* value = std::get_if<uint64_t>(&node_->value)) {
    return static_cast<double>(*value);
  }
  return Unexpected("a number");
}

absl::StatusOr<std::string> JsonValue::String() const {
  if (const auto* value = std::get_if<std::string>(&node_->value)) {
    return *value;
  }
  return Unexpected("a text");
}

absl::StatusOr<std::vector<JsonValue>> JsonValue::List() const {
  if (node_->list() == nullptr) return Unexpected("a list");
  std::vector<JsonValue> items;
  items.reserve(node_->list()->size());
  for (const JsonNode& node : *node_->list()) {
    items.push_back(Item(node, absl::StrCat(path_, "[", items.size(), "]")));
  }
  return items;
}

absl::StatusOr<std::vector<int64_t>> JsonValue::Integers() const {
  if (node_->list() == nullptr) return Unexpected("a list of integers");
  std::vector<int64_t> values;
  values.reserve(node_->list()->size());
  for (const JsonNode& node : *node_->list()) {
    if (const int64_t* value = std::get_if<int64_t>(&node.value)) {
      values.push_back(*value);
    } else {
      return Item(node, absl::StrCat(path_, "[", values.size(), "]"))
          .Integer()
          .status();
    }
  }
  return values;
}

absl::StatusOr<std::vector<double>> JsonValue::Numbers() const {
  if (node_->list() == nullptr) return Unexpected("a list of numbers");
  std::vector<double> values;
  values.reserve(node_->list()->size());
  for (const JsonNode& node : *node_->list()) {
    if (const double* value = std::get_if<double>(&node.value)) {
      values.push_back(*value);
    } else {
      SEPTET_ASSIGN_OR_RETURN(
          const double other,
          Item(node, absl::StrCat(path_, "[", values.size(), "]")).Number());
      values.push_back(other);
    }
  }
  return values;
}

absl::StatusOr<std::vector<std::string>> JsonValue::Strings() const {
  if (node_->list() == nullptr) return Unexpected("a list of texts");
  std::vector<std::string> values;
  values.reserve(node_->list()->size());
  for (const JsonNode& node : *node_->list()) {
    SEPTET_ASSIGN_OR_RETURN(
        std::string value,
        Item(node, absl::StrCat(path_, "[", values.size(), "]")).String());
    values.push_back(std::move(value));
  }
  return values;
}

std::vector<std::string> JsonValue::names() const {
  std::vector<std::string> names;
  if (node_->object() != nullptr) {
    for (const auto& [name, node] : *node_->object()) names.push_back(name);
  }
  return names;
}

bool JsonValue::Has(absl::string_view field) const {
  return node_->object() != nullptr &&
         node_->object()->count(std::string(field)) > 0;
}

absl::StatusOr<JsonValue> JsonValue::Get(absl::string_view field) const {
  const JsonNode::Object* const object = node_->object();
  if (object == nullptr) {
    return Unexpected(
        absl::StrCat("an object with the field ", QuoteName(field)));
  }
  const auto found = object->find(std::string(field));
  if (found == object->end()) {
    const std::string nearest = NearestName(field, names());
    return absl::NotFoundError(absl::StrCat(
        where(), path_.empty() ? ":" : "", " has no field ", QuoteName(field),
        " among ", object->size(),
        nearest.empty()
            ? ""
            : absl::StrCat("; the nearest name is ", QuoteName(nearest))));
  }
  return Item(found->second,
              absl::StrCat(path_, path_.empty() ? "" : ".", field));
}

absl::StatusOr<bool> JsonValue::GetBool(absl::string_view field) const {
  SEPTET_ASSIGN_OR_RETURN(const JsonValue value, Get(field));
  return value.Bool();
}
absl::StatusOr<int64_t> JsonValue::GetInteger(absl::string_view field) const {
  SEPTET_ASSIGN_OR_RETURN(const JsonValue value, Get(field));
  return value.Integer();
}
absl::StatusOr<double> JsonValue::GetNumber(absl::string_view field) const {
  SEPTET_ASSIGN_OR_RETURN(const JsonValue value, Get(field));
  return value.Number();
}
absl::StatusOr<std::string> JsonValue::GetString(
    absl::string_view field) const {
  SEPTET_ASSIGN_OR_RETURN(const JsonValue value, Get(field));
  return value.String();
}
absl::StatusOr<std::vector<JsonValue>> JsonValue::GetList(
    absl::string_view field) const {
  SEPTET_ASSIGN_OR_RETURN(const JsonValue value, Get(field));
  return value.List();
}
absl::StatusOr<std::vector<int64_t>> JsonValue::GetIntegers(
    absl::string_view field) const {
  SEPTET_ASSIGN_OR_RETURN(const JsonValue value, Get(field));
  return value.Integers();
}
absl::StatusOr<std::vector<double>> JsonValue::GetNumbers(
    absl::string_view field) const {
  SEPTET_ASSIGN_OR_RETURN(const JsonValue value, Get(field));
  return value.Numbers();
}
absl::StatusOr<std::vector<std::string>> JsonValue::GetStrings(
    absl::string_view field) const {
  SEPTET_ASSIGN_OR_RETURN(const JsonValue value, Get(field));
  return value.Strings();
}

}  // namespace septet
