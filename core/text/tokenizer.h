// SPDX-License-Identifier: Apache-2.0
// What every tokenizer does: text to ids, and back.
//
//   SEPTET_ASSIGN_OR_RETURN(std::vector<int32_t> ids, tokenizer.Encode(text));
//   SEPTET_ASSIGN_OR_RETURN(std::string back, tokenizer.Decode(ids));
//
// While a model writes, token by token, whole characters at a time:
//
//   StreamDecoder decoder(&tokenizer);
//   for (...) {
//     SEPTET_ASSIGN_OR_RETURN(std::string text, decoder.Add(id));
//     std::cout << text << std::flush;
//   }
//   std::cout << decoder.Finish();
//
// byte_tokenizer.h, char_tokenizer.h, bpe_tokenizer.h and
// sentencepiece_tokenizer.h have those there are.
//
// Stability: core's public API; names and meaning stay, additions come.
#ifndef SEPTET_CORE_TEXT_TOKENIZER_H_
#define SEPTET_CORE_TEXT_TOKENIZER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace septet {

class StreamDecoder;

// May be used from several threads at once.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // The ids of a text, each in 0..vocab_size()-1; none of an empty one. No
  // tokens are added at the beginning or the end. Errors, which name the byte
  // of the text: what the tokenizer says of bytes that are not UTF-8 and of
  // characters it does not know.
  virtual absl::StatusOr<std::vector<int32_t>> Encode(
      absl::string_view text) const = 0;

  // The bytes that ids stand for. InvalidArgument for an id out of range, with
  // its place. What a model has made need not be UTF-8.
  absl::StatusOr<std::string> Decode(absl::Span<const int32_t> ids) const;

  // Ids are 0 to this less one.
  virtual int32_t vocab_size() const = 0;

 protected:
  friend class StreamDecoder;

  Tokenizer() = default;
  Tokenizer(const Tokenizer&) = default;
  Tokenizer& operator=(const Tokenizer&) = default;

  // What decoding remembers between tokens.
  struct DecodeState {
    bool started = false;
    std::string held;
  };

  // Adds what `id`, which is in range, stands for after the tokens before it.
  virtual void DecodeToken(int32_t id, DecodeState* state,
                           std::string* out) const = 0;
  // Adds what is held at the end.
  virtual void DecodeEnd(DecodeState* state, std::string* out) const;

 private:
  absl::Status CheckId(int32_t id, size_t position) const;
};

// Decodes ids as they come. What Add and Finish return, one after the other, is
// what Decode returns of all ids; but Add keeps the beginning of a character
// until the rest of it is there. One thread at a time.
class StreamDecoder {
 public:
  // The tokenizer must outlive this.
  explicit StreamDecoder(const Tokenizer* tokenizer) : tokenizer_(tokenizer) {}

  // What is complete with `id`; often nothing. InvalidArgument for an id out of
  // range, which is then left out.
  absl::StatusOr<std::string> Add(int32_t id);

  // The rest, which may be the beginning of a character alone. After it Add
  // begins a new text.
  std::string Finish();

 private:
  const Tokenizer* tokenizer_;
  Tokenizer::DecodeState state_;
  std::string pending_;
  size_t count_ = 0;
};

}  // namespace septet

#endif  // SEPTET_CORE_TEXT_TOKENIZER_H_
