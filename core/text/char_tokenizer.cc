// SPDX-License-Identifier: Apache-2.0
#include "septet/core/text/char_tokenizer.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/io/json_object.h"
#include "septet/core/io/json_value.h"
#include "septet/core/io/quote.h"
#include "septet/core/text/utf8.h"

namespace septet {
namespace {

constexpr absl::string_view kFormat = "septet.char_tokenizer";
constexpr absl::string_view kFormatField = "format";
constexpr absl::string_view kCharactersField = "characters";

std::string PointName(uint32_t point) {
  std::string character;
  AppendUtf8(point, &character);
  return absl::StrCat("U+", absl::Hex(point, absl::kZeroPad4), " ",
                      QuoteName(character));
}

}  // namespace

CharTokenizer::CharTokenizer(std::vector<uint32_t> points)
    : points_(std::move(points)) {
  ids_.reserve(points_.size());
  for (size_t i = 0; i < points_.size(); ++i) {
    ids_.emplace(points_[i], static_cast<int32_t>(i));
  }
}

absl::StatusOr<CharTokenizer> CharTokenizer::FromText(absl::string_view text) {
  SEPTET_RETURN_IF_ERROR(CheckUtf8(text)) << "CharTokenizer: the text";
  if (text.empty()) {
    return absl::InvalidArgumentError(
        "CharTokenizer: the text is empty, expected at least one character");
  }
  std::vector<bool> seen(0x110000, false);
  while (!text.empty()) {
    uint32_t point = 0;
    text.remove_prefix(DecodeUtf8(text, &point));
    seen[point] = true;
  }
  std::vector<uint32_t> points;
  for (uint32_t point = 0; point < seen.size(); ++point) {
    if (seen[point]) points.push_back(point);
  }
  return CharTokenizer(std::move(points));
}

absl::Status CharTokenizer::Save(absl::string_view path) const {
  std::vector<std::string> characters(points_.size());
  for (size_t i = 0; i < points_.size(); ++i) {
    AppendUtf8(points_[i], &characters[i]);
  }
  JsonObject object;
  object.SetString(kFormatField, kFormat);
  object.SetStrings(kCharactersField, characters);
  SEPTET_ASSIGN_OR_RETURN(const std::string text, object.Text(), _ << path);
  return WriteFileAtomically(path, absl::StrCat(text, "\n"));
}

absl::StatusOr<CharTokenizer> CharTokenizer::Load(absl::string_view path) {
  SEPTET_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  return Parse(file.data(), path);
}

absl::StatusOr<CharTokenizer> CharTokenizer::Parse(absl::string_view bytes,
                                                   absl::string_view name) {
  SEPTET_ASSIGN_OR_RETURN(const JsonValue object,
                          JsonValue::Parse(bytes, name));
  const auto damaged = [name](const absl::Status& status) {
    // A field that is missing is the file's fault.
    return absl::DataLossError(status.message());
  };
  const auto format = object.GetString(kFormatField);
  if (!format.ok()) return damaged(format.status());
  if (*format != kFormat) {
    return absl::DataLossError(absl::StrCat(name, ": field '", kFormatField,
                                            "' is ", QuoteName(*format),
                                            ", expected '", kFormat, "'"));
  }
  const auto characters = object.GetStrings(kCharactersField);
  if (!characters.ok()) return damaged(characters.status());
  if (characters->empty()) {
    return absl::DataLossError(
        absl::StrCat(name, ": field '", kCharactersField,
                     "' is empty, expected at least one character"));
  }
  std::vector<uint32_t> points;
  absl::flat_hash_map<uint32_t, size_t> places;
  for (size_t i = 0; i < characters->size(); ++i) {
    const std::string& character = (*characters)[i];
    const auto at = [&] {
      return absl::StrCat(name, ": field '", kCharactersField, "[", i, "]' is ",
                          QuoteName(character));
    };
    uint32_t point = 0;
    if (character.empty() ||
        DecodeUtf8(character, &point) != character.size()) {
      return absl::DataLossError(absl::StrCat(at(), ", expected a character"));
    }
    const auto inserted = places.emplace(point, i);
    if (!inserted.second) {
      return absl::DataLossError(
          absl::StrCat(at(), ", as is [", inserted.first->second, "]"));
    }
    points.push_back(point);
  }
  return CharTokenizer(std::move(points));
}

absl::StatusOr<std::vector<int32_t>> CharTokenizer::Encode(
    absl::string_view text) const {
  std::vector<int32_t> ids;
  ids.reserve(text.size());
  size_t position = 0;
  while (position < text.size()) {
    uint32_t point = 0;
    const size_t bytes = DecodeUtf8(text.substr(position), &point);
    if (bytes == 0) {
      SEPTET_RETURN_IF_ERROR(CheckUtf8(text)) << "CharTokenizer";
    }
    const auto found = ids_.find(point);
    if (found == ids_.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "CharTokenizer: character ", PointName(point), " at byte ", position,
          " is not among the ", points_.size(), " of the vocabulary"));
    }
    ids.push_back(found->second);
    position += bytes;
  }
  return ids;
}

void CharTokenizer::DecodeToken(int32_t id, DecodeState* /*state*/,
                                std::string* out) const {
  AppendUtf8(points_[static_cast<size_t>(id)], out);
}

}  // namespace septet
