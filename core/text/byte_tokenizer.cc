// SPDX-License-Identifier: Apache-2.0
#include "septet/core/text/byte_tokenizer.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "septet/core/io/quote.h"

namespace septet {

absl::StatusOr<ByteTokenizer> ByteTokenizer::Create(
    std::vector<std::string> special_tokens) {
  for (size_t i = 0; i < special_tokens.size(); ++i) {
    const std::string& name = special_tokens[i];
    const auto end = special_tokens.begin() + static_cast<std::ptrdiff_t>(i);
    const bool twice = std::find(special_tokens.begin(), end, name) != end;
    if (name.empty() || twice) {
      return absl::InvalidArgumentError(
          absl::StrCat("ByteTokenizer: special_tokens[", i, "] is ",
                       QuoteName(name), name.empty() ? ", expected a name" : "",
                       twice ? ", which is there already" : ""));
    }
  }
  return ByteTokenizer(std::move(special_tokens));
}

absl::StatusOr<std::vector<int32_t>> ByteTokenizer::Encode(
    absl::string_view text) const {
  std::vector<int32_t> ids(text.size());
  std::transform(text.begin(), text.end(), ids.begin(),
                 [](char c) { return static_cast<uint8_t>(c); });
  return ids;
}

absl::StatusOr<int32_t> ByteTokenizer::SpecialId(absl::string_view name) const {
  const auto found =
      std::find(special_tokens_.begin(), special_tokens_.end(), name);
  if (found != special_tokens_.end()) {
    return 256 + static_cast<int32_t>(found - special_tokens_.begin());
  }
  return absl::NotFoundError(
      absl::StrCat("ByteTokenizer: no special token ", QuoteName(name),
                   ", there are: ", absl::StrJoin(special_tokens_, ", ")));
}

void ByteTokenizer::DecodeToken(int32_t id, DecodeState* /*state*/,
                                std::string* out) const {
  if (id < 256) *out += static_cast<char>(id);
}

}  // namespace septet
