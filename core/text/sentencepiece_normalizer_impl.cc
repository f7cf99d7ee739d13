// SPDX-License-Identifier: Apache-2.0
#include "septet/core/text/sentencepiece_normalizer_impl.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/text/utf8.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "numbers of the charsmap are little endian and are copied"
#endif

namespace septet {
namespace text_internal {
namespace {

// The longest rule of nmt_nfkc_cf replaces 12 bytes by 33. Without limits a
// damaged file could make a short text huge, or each step as long as the text.
constexpr size_t kMaxRuleBytes = 128;
constexpr size_t kMaxReplacementBytes = 1024;

constexpr absl::string_view kReplacementCharacter = "\xef\xbf\xbd";

// A unit of darts-clone 0.32 (Yata), as its file format has it.
bool HasLeaf(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t LeafValue(uint32_t unit) { return unit & 0x7fffffff; }
uint32_t Label(uint32_t unit) { return unit & 0x800000ff; }
uint32_t Offset(uint32_t unit) {
  return (unit >> 10) << ((unit & (1U << 9)) >> 6);
}

}  // namespace

absl::StatusOr<SentencePieceNormalizer> SentencePieceNormalizer::Create(
    const SentencePieceModel& model, absl::string_view name) {
  SentencePieceNormalizer result;
  result.name_ = std::string(name);
  result.whitespace_as_suffix_ = model.treat_whitespace_as_suffix;
  result.add_dummy_prefix_ = model.add_dummy_prefix;
  result.remove_extra_whitespaces_ = model.remove_extra_whitespaces;
  result.escape_whitespaces_ = model.escape_whitespaces;
  const absl::string_view map = model.charsmap;
  if (map.empty()) return result;
  uint32_t trie_bytes;
  if (map.size() < sizeof(trie_bytes)) {
    return result.Damaged(absl::StrCat("has ", map.size(), " bytes"));
  }
  std::memcpy(&trie_bytes, map.data(), sizeof(trie_bytes));
  const absl::string_view rest = map.substr(sizeof(trie_bytes));
  if (trie_bytes == 0 || trie_bytes % sizeof(uint32_t) != 0 ||
      trie_bytes >= rest.size()) {
    return result.Damaged(absl::StrCat(
        "says that its trie has ", trie_bytes,
        " bytes, expected a multiple of 4, above 0 and below ", rest.size()));
  }
  result.units_.resize(trie_bytes / sizeof(uint32_t));
  std::memcpy(result.units_.data(), rest.data(), trie_bytes);
  result.replacements_ = std::string(rest.substr(trie_bytes));
  if (result.replacements_.back() != '\0') {
    return result.Damaged("does not end with a zero byte");
  }
  return result;
}

absl::Status SentencePieceNormalizer::Damaged(absl::string_view what) const {
  return absl::DataLossError(
      absl::StrCat(name_, ": precompiled_charsmap ", what));
}

absl::StatusOr<SentencePieceNormalizer::Replacement>
SentencePieceNormalizer::ReplacePrefix(absl::string_view text,
                                       const PrefixTrie& user_defined) const {
  size_t bytes = 0;
  if (user_defined.Longest(text, &bytes) != PrefixTrie::kNone) {
    return Replacement{text.substr(0, bytes), bytes};
  }
  size_t value = 0;
  bytes = 0;  // of the longest rule
  if (!units_.empty()) {
    const auto outside = [this](size_t at) {
      return Damaged(
          absl::StrCat("has a link to unit ", at, " of ", units_.size()));
    };
    size_t at = Offset(units_[0]);
    for (size_t i = 0; i < std::min(text.size(), kMaxRuleBytes); ++i) {
      const auto byte = static_cast<uint8_t>(text[i]);
      at ^= byte;
      if (at >= units_.size()) return outside(at);
      const uint32_t unit = units_[at];
      if (Label(unit) != byte) break;
      at ^= Offset(unit);
      if (!HasLeaf(unit)) continue;
      if (at >= units_.size()) return outside(at);
      bytes = i + 1;
      value = LeafValue(units_[at]);
    }
  }
  if (bytes == 0) {
    uint32_t point;
    bytes = DecodeUtf8(text, &point);
    // Only after a damaged rule that ends within a character.
    if (bytes == 0) return Replacement{kReplacementCharacter, 1};
    return Replacement{text.substr(0, bytes), bytes};
  }
  if (value >= replacements_.size()) {
    return Damaged(absl::StrCat("has a replacement at byte ", value, " of ",
                                replacements_.size()));
  }
  const absl::string_view replacement(replacements_.data() + value);
  if (replacement.size() > kMaxReplacementBytes) {
    return Damaged(absl::StrCat("has a replacement of ", replacement.size(),
                                " bytes, expected at most ",
                                kMaxReplacementBytes));
  }
  return Replacement{replacement, bytes};
}

absl::StatusOr<std::string> SentencePieceNormalizer::Normalize(
    absl::string_view text, const PrefixTrie& user_defined) const {
  std::string out;
  if (remove_extra_whitespaces_) {
    while (!text.empty()) {
      SEPTET_ASSIGN_OR_RETURN(const Replacement next,
                              ReplacePrefix(text, user_defined));
      if (next.text != " ") break;
      text.remove_prefix(next.bytes);
    }
  }
  if (text.empty()) return out;
  const absl::string_view space = escape_whitespaces_ ? kSpaceSymbol : " ";
  const auto add_space = [&] { out.append(space.data(), space.size()); };
  out.reserve(text.size() + text.size() / 2 + space.size());
  if (add_dummy_prefix_ && !whitespace_as_suffix_) add_space();
  bool after_space = remove_extra_whitespaces_;
  while (!text.empty()) {
    SEPTET_ASSIGN_OR_RETURN(const Replacement next,
                            ReplacePrefix(text, user_defined));
    text.remove_prefix(next.bytes);
    absl::string_view added = next.text;
    while (after_space && absl::ConsumePrefix(&added, " ")) {
    }
    if (!added.empty()) {
      for (const char c : added) {
        if (c == ' ') {
          add_space();
        } else {
          out += c;
        }
      }
      after_space = absl::EndsWith(added, " ");
    }
    if (!remove_extra_whitespaces_) after_space = false;
  }
  if (remove_extra_whitespaces_) {
    while (absl::EndsWith(out, space)) out.resize(out.size() - space.size());
  }
  if (add_dummy_prefix_ && whitespace_as_suffix_) add_space();
  return out;
}

}  // namespace text_internal
}  // namespace septet
