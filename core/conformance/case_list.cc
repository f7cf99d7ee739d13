// SPDX-License-Identifier: Apache-2.0
#include "septet/core/conformance/case_list.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"
#include "septet/core/base/status_macros.h"
#include "septet/core/conformance/case.h"

namespace septet {
namespace {

nlohmann::json ParseJson(const std::string& text) {
  return nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
}

}  // namespace

absl::StatusOr<CaseList> CaseList::Parse(const Case& file) {
  SEPTET_ASSIGN_OR_RETURN(const std::string text, file.String("cases"));
  const nlohmann::json list = ParseJson(text);
  bool good = list.is_array() && !list.empty();
  CaseList result;
  result.path_ = file.path();
  if (good) {
    for (const nlohmann::json& object : list) {
      good = good && object.is_object();
      if (!good) break;
      Entry entry;
      for (const auto& [key, value] : object.items()) entry[key] = value.dump();
      result.entries_.push_back(std::move(entry));
    }
  }
  if (!good) {
    return file.OptionError("cases", "a JSON list of at least one object");
  }
  return result;
}

bool CaseList::Has(size_t k, absl::string_view key) const {
  return k < size() && entries_[k].count(key) > 0;
}

absl::StatusOr<std::string> CaseList::Find(size_t k,
                                           absl::string_view key) const {
  if (Has(k, key)) return entries_[k].find(key)->second;
  return absl::InvalidArgumentError(absl::StrCat(
      path_, ": entry ", k, " of option \"cases\" has no \"", key, "\""));
}

absl::Status CaseList::Error(size_t k, absl::string_view key,
                             absl::string_view expected) const {
  return absl::InvalidArgumentError(absl::StrCat(
      path_, ": entry ", k, " of option \"cases\": \"", key, "\" is ",
      entries_[k].find(key)->second, ", want ", expected));
}

absl::StatusOr<double> CaseList::Double(size_t k, absl::string_view key) const {
  SEPTET_ASSIGN_OR_RETURN(const std::string text, Find(k, key));
  const nlohmann::json value = ParseJson(text);
  if (!value.is_number()) return Error(k, key, "a number");
  return value.get<double>();
}

absl::StatusOr<int64_t> CaseList::Int(size_t k, absl::string_view key) const {
  SEPTET_ASSIGN_OR_RETURN(const std::string text, Find(k, key));
  const nlohmann::json value = ParseJson(text);
  if (!value.is_number_integer()) return Error(k, key, "an integer");
  return value.get<int64_t>();
}

absl::StatusOr<bool> CaseList::Bool(size_t k, absl::string_view key) const {
  SEPTET_ASSIGN_OR_RETURN(const std::string text, Find(k, key));
  const nlohmann::json value = ParseJson(text);
  if (!value.is_boolean()) return Error(k, key, "true or false");
  return value.get<bool>();
}

absl::StatusOr<std::string> CaseList::String(size_t k,
                                             absl::string_view key) const {
  SEPTET_ASSIGN_OR_RETURN(const std::string text, Find(k, key));
  const nlohmann::json value = ParseJson(text);
  if (!value.is_string()) return Error(k, key, "a string");
  return value.get<std::string>();
}

}  // namespace septet
