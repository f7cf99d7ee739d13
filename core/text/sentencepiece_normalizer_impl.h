// SPDX-License-Identifier: Apache-2.0
// What SentencePiece does to a text before it cuts it: rules of replacement
// (NFKC and others, compiled into a double-array trie), spaces.
#ifndef SEPTET_CORE_TEXT_SENTENCEPIECE_NORMALIZER_IMPL_H_
#define SEPTET_CORE_TEXT_SENTENCEPIECE_NORMALIZER_IMPL_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/text/prefix_trie_impl.h"
#include "septet/core/text/sentencepiece_model_impl.h"

namespace septet {
namespace text_internal {

// U+2581, which stands for a space.
constexpr absl::string_view kSpaceSymbol = "\xe2\x96\x81";

class SentencePieceNormalizer {
 public:
  // DataLoss, beginning with `name`, for a charsmap whose sizes do not fit.
  static absl::StatusOr<SentencePieceNormalizer> Create(
      const SentencePieceModel& model, absl::string_view name);

  // The text as it is cut. `user_defined` are the pieces that are left as they
  // are. DataLoss for a charsmap that proves damaged.
  absl::StatusOr<std::string> Normalize(absl::string_view text,
                                        const PrefixTrie& user_defined) const;

 private:
  // What the text begins with becomes `text`, which takes its first `bytes`.
  struct Replacement {
    absl::string_view text;
    size_t bytes;
  };

  absl::StatusOr<Replacement> ReplacePrefix(
      absl::string_view text, const PrefixTrie& user_defined) const;
  absl::Status Damaged(absl::string_view what) const;

  std::string name_;
  std::vector<uint32_t> units_;  // of the trie
  std::string replacements_;     // each ends with a zero byte
  bool whitespace_as_suffix_ = false;
  bool add_dummy_prefix_ = true;
  bool remove_extra_whitespaces_ = true;
  bool escape_whitespaces_ = true;
};

}  // namespace text_internal
}  // namespace septet

#endif  // SEPTET_CORE_TEXT_SENTENCEPIECE_NORMALIZER_IMPL_H_
