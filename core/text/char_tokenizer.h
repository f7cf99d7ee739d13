// SPDX-License-Identifier: Apache-2.0
// A token a character (code point), out of a vocabulary taken from a text.
//
//   SEPTET_ASSIGN_OR_RETURN(CharTokenizer tokenizer,
//                           CharTokenizer::FromText(corpus));
//   SEPTET_RETURN_IF_ERROR(tokenizer.Save("chars.json"));
//   SEPTET_ASSIGN_OR_RETURN(CharTokenizer same,
//                           CharTokenizer::Load("chars.json"));
//
// FromText numbers the characters by code point, as nanoGPT's
// data/shakespeare_char/prepare.py does. The file is a JSON object whose field
// `characters` lists them in the order of their ids.
//
// Stability: core's public API; names and meaning stay, additions come.
#ifndef SEPTET_CORE_TEXT_CHAR_TOKENIZER_H_
#define SEPTET_CORE_TEXT_CHAR_TOKENIZER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/text/tokenizer.h"

namespace septet {

class CharTokenizer : public Tokenizer {
 public:
  // The characters of `text`. InvalidArgument for bytes that are not UTF-8,
  // with their place, and for a text without characters.
  static absl::StatusOr<CharTokenizer> FromText(absl::string_view text);

  // Writes the vocabulary to `path`; errors of core/base/file.h.
  absl::Status Save(absl::string_view path) const;

  // Reads what Save has written. Errors, which begin with the path: those of
  // core/base/file.h; DataLoss for what is not such a file, an entry that is
  // not one character, and a character that is there twice.
  static absl::StatusOr<CharTokenizer> Load(absl::string_view path);
  // The same of the bytes of a file; `name` stands for the path in messages.
  static absl::StatusOr<CharTokenizer> Parse(absl::string_view bytes,
                                             absl::string_view name);

  // InvalidArgument for bytes that are not UTF-8 and for a character that is
  // not in the vocabulary, each with its byte.
  absl::StatusOr<std::vector<int32_t>> Encode(
      absl::string_view text) const override;

  int32_t vocab_size() const override {
    return static_cast<int32_t>(points_.size());
  }

 protected:
  void DecodeToken(int32_t id, DecodeState* state,
                   std::string* out) const override;

 private:
  explicit CharTokenizer(std::vector<uint32_t> points);

  std::vector<uint32_t> points_;  // by id
  absl::flat_hash_map<uint32_t, int32_t> ids_;
};

}  // namespace septet

#endif  // SEPTET_CORE_TEXT_CHAR_TOKENIZER_H_
