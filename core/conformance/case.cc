// SPDX-License-Identifier: Apache-2.0
#include "septet/core/conformance/case.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "septet/core/base/edit_distance.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/io/safetensors.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

// Metadata comes from a file: what messages quote of it is kept short.
std::string Quoted(absl::string_view text) {
  constexpr size_t kLongest = 120;
  if (text.size() <= kLongest) return absl::StrCat("\"", text, "\"");
  return absl::StrCat("\"", text.substr(0, kLongest), "...\"");
}

std::string Suggestion(absl::string_view name,
                       const std::vector<std::string>& names) {
  const std::string nearest = NearestName(name, names);
  return nearest.empty() ? ""
                         : absl::StrCat("; the nearest is \"", nearest, "\"");
}

std::optional<bool> ParseBool(absl::string_view text) {
  if (text == "1" || absl::EqualsIgnoreCase(text, "true")) return true;
  if (text == "0" || absl::EqualsIgnoreCase(text, "false")) return false;
  return std::nullopt;
}

std::vector<absl::string_view> SplitList(absl::string_view text) {
  std::vector<absl::string_view> words;
  if (absl::StripAsciiWhitespace(text).empty()) return words;
  for (absl::string_view word : absl::StrSplit(text, ',')) {
    words.push_back(absl::StripAsciiWhitespace(word));
  }
  return words;
}

std::optional<std::vector<int64_t>> ParseIntList(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  if (absl::ConsumePrefix(&text, "[") && !absl::ConsumeSuffix(&text, "]")) {
    return std::nullopt;
  }
  std::vector<int64_t> list;
  for (absl::string_view word : SplitList(text)) {
    int64_t value;
    if (!absl::SimpleAtoi(word, &value)) return std::nullopt;
    list.push_back(value);
  }
  return list;
}

}  // namespace

absl::StatusOr<Case> Case::Read(absl::string_view path) {
  SEPTET_ASSIGN_OR_RETURN(const SafetensorsFile file,
                          SafetensorsFile::Open(path));
  Tensors tensors;
  for (const std::string& name : file.names()) {
    SEPTET_ASSIGN_OR_RETURN(tensors[name], file.Get(name));
  }
  return Case(std::string(path), std::move(tensors), file.metadata());
}

absl::Status Case::Error(absl::string_view message) const {
  return absl::InvalidArgumentError(absl::StrCat(path_, ": ", message));
}

absl::Status Case::OptionError(absl::string_view key,
                               absl::string_view expected) const {
  const auto it = options_.find(std::string(key));
  return Error(
      absl::StrCat("option \"", key, "\" is ",
                   it == options_.end() ? "missing" : Quoted(it->second),
                   ", want ", expected));
}

absl::StatusOr<const std::string*> Case::Find(absl::string_view key,
                                              bool may_be_absent) const {
  const auto it = options_.find(std::string(key));
  if (it != options_.end()) return &it->second;
  if (may_be_absent) return nullptr;
  std::vector<std::string> keys;
  for (const auto& [name, value] : options_) keys.push_back(name);
  return Error(absl::StrCat("option \"", key, "\" is missing (there are: ",
                            absl::StrJoin(keys, ", "), ")"));
}

absl::StatusOr<std::string> Case::Family() const {
  SEPTET_ASSIGN_OR_RETURN(const std::string method, String("method"));
  SEPTET_ASSIGN_OR_RETURN(const std::string name, String("case"));
  return absl::StrCat(method, "/", name);
}

bool Case::HasOption(absl::string_view key) const {
  return options_.count(std::string(key)) > 0;
}

absl::StatusOr<std::string> Case::String(
    absl::string_view key, std::optional<std::string> fallback) const {
  SEPTET_ASSIGN_OR_RETURN(const std::string* text,
                          Find(key, fallback.has_value()));
  return text == nullptr ? *std::move(fallback) : *text;
}

absl::StatusOr<double> Case::Double(absl::string_view key,
                                    std::optional<double> fallback) const {
  SEPTET_ASSIGN_OR_RETURN(const std::string* text,
                          Find(key, fallback.has_value()));
  if (text == nullptr) return *fallback;
  double value;
  if (absl::SimpleAtod(*text, &value)) return value;
  return OptionError(key, "a number");
}

absl::StatusOr<int64_t> Case::Int(absl::string_view key,
                                  std::optional<int64_t> fallback) const {
  SEPTET_ASSIGN_OR_RETURN(const std::string* text,
                          Find(key, fallback.has_value()));
  if (text == nullptr) return *fallback;
  int64_t value;
  if (absl::SimpleAtoi(*text, &value)) return value;
  return OptionError(key, "an integer");
}

absl::StatusOr<bool> Case::Bool(absl::string_view key,
                                std::optional<bool> fallback) const {
  SEPTET_ASSIGN_OR_RETURN(const std::string* text,
                          Find(key, fallback.has_value()));
  if (text == nullptr) return *fallback;
  const std::optional<bool> value =
      ParseBool(absl::StripAsciiWhitespace(*text));
  if (value.has_value()) return *value;
  return OptionError(key, "0, 1, true or false");
}

absl::StatusOr<std::vector<int64_t>> Case::IntList(
    absl::string_view key, std::optional<std::vector<int64_t>> fallback) const {
  SEPTET_ASSIGN_OR_RETURN(const std::string* text,
                          Find(key, fallback.has_value()));
  if (text == nullptr) return *std::move(fallback);
  std::optional<std::vector<int64_t>> list = ParseIntList(*text);
  if (list.has_value()) return *std::move(list);
  return OptionError(key, "a list of integers such as [16, 12]");
}

absl::StatusOr<std::vector<std::string>> Case::StringList(
    absl::string_view key) const {
  SEPTET_ASSIGN_OR_RETURN(const std::string* text,
                          Find(key, /*may_be_absent=*/false));
  const std::vector<absl::string_view> words = SplitList(*text);
  return std::vector<std::string>(words.begin(), words.end());
}

std::vector<std::string> Case::TensorNames(absl::string_view prefix) const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors_) {
    if (absl::StartsWith(name, prefix)) names.push_back(name);
  }
  return names;
}

bool Case::HasTensor(absl::string_view name) const {
  return tensors_.count(std::string(name)) > 0;
}

absl::StatusOr<Tensor> Case::Stored(absl::string_view name) {
  const auto it = tensors_.find(std::string(name));
  if (it == tensors_.end()) {
    return Error(absl::StrCat("tensor \"", name, "\" is missing",
                              Suggestion(name, TensorNames())));
  }
  used_.insert(it->first);
  return it->second;
}

absl::StatusOr<Tensor> Case::Input(absl::string_view name, DType dtype) {
  SEPTET_ASSIGN_OR_RETURN(const Tensor tensor, Stored(name));
  if (!IsFloating(tensor.dtype())) {
    return Error(absl::StrCat("tensor \"", name, "\" is ", tensor.DebugString(),
                              ", want floating numbers"));
  }
  return tensor.To(dtype);
}

absl::StatusOr<Tensor> Case::IntInput(absl::string_view name) {
  SEPTET_ASSIGN_OR_RETURN(const Tensor tensor, Stored(name));
  if (IsFloating(tensor.dtype())) {
    return Error(absl::StrCat("tensor \"", name, "\" is ", tensor.DebugString(),
                              ", want integers"));
  }
  return tensor.To(DType::kI64);
}

void Case::Ignore(absl::string_view name) {
  if (HasTensor(name)) ignored_.insert(std::string(name));
}

std::vector<std::string> Case::UnusedTensors() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors_) {
    if (used_.count(name) == 0 && ignored_.count(name) == 0) {
      names.push_back(name);
    }
  }
  return names;
}

}  // namespace septet
