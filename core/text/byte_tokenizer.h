// SPDX-License-Identifier: Apache-2.0
// A token a byte: id = byte, for any bytes. Special tokens follow, from 256 on,
// in the order given; no text has them, and decoding passes over them.
//
//   SEPTET_ASSIGN_OR_RETURN(ByteTokenizer tokenizer,
//                           ByteTokenizer::Create({"<bos>"}));
//   tokenizer.Encode("Hi");          // 72, 105
//   tokenizer.SpecialId("<bos>");    // 256
//
// Stability: core's public API; names and meaning stay, additions come.
#ifndef SEPTET_CORE_TEXT_BYTE_TOKENIZER_H_
#define SEPTET_CORE_TEXT_BYTE_TOKENIZER_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/text/tokenizer.h"

namespace septet {

class ByteTokenizer : public Tokenizer {
 public:
  // Without special tokens.
  ByteTokenizer() = default;

  // InvalidArgument for names that are empty or there twice.
  static absl::StatusOr<ByteTokenizer> Create(
      std::vector<std::string> special_tokens);

  // No errors.
  absl::StatusOr<std::vector<int32_t>> Encode(
      absl::string_view text) const override;

  int32_t vocab_size() const override {
    return 256 + static_cast<int32_t>(special_tokens_.size());
  }

  // The id of a special token; NotFound, with those there are.
  absl::StatusOr<int32_t> SpecialId(absl::string_view name) const;

 protected:
  void DecodeToken(int32_t id, DecodeState* state,
                   std::string* out) const override;

 private:
  explicit ByteTokenizer(std::vector<std::string> special_tokens)
      : special_tokens_(std::move(special_tokens)) {}

  std::vector<std::string> special_tokens_;
};

}  // namespace septet

#endif  // SEPTET_CORE_TEXT_BYTE_TOKENIZER_H_
