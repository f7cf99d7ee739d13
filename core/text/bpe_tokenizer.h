// SPDX-License-Identifier: Apache-2.0
// Byte-level byte pair encoding, as GPT-2 does it (Radford et al., Language
// models are unsupervised multitask learners, 2019; Sennrich et al., 2016,
// arXiv 1508.07909).
//
//   SEPTET_ASSIGN_OR_RETURN(BpeTokenizer tokenizer,
//                           BpeTokenizer::Load("vocab.json", "merges.txt"));
//   SEPTET_ASSIGN_OR_RETURN(std::vector<int32_t> ids,
//                           tokenizer.Encode("the plan"));
//
// A text is cut into pieces (gpt2_pieces.h). Within a piece, which begins as
// single bytes, the pair of neighbours that comes first among the merges
// becomes one token, the leftmost of equal pairs first, until no pair is among
// them. Any bytes can be encoded, and decode to themselves.
//
// Files: vocab.json and merges.txt as GPT-2 and the Hugging Face Hub have them,
// where each byte is written as a printable character; or one file of ranks as
// tiktoken has them (a line a token, in base64, with its number), for
// vocabularies that cut text as GPT-2 does: gpt2, r50k_base, p50k_base.
//
// Differs from OpenAI's encoder.py in time: O(n log n) for a piece of n bytes,
// not O(n^2); pieces of up to 16 bytes are remembered, 8192 of them. No
// vocabulary is trained here. Keywords: BPE, GPT-2, tiktoken, byte fallback.
//
// Stability: core's public API; names and meaning stay, additions come.
#ifndef SEPTET_CORE_TEXT_BPE_TOKENIZER_H_
#define SEPTET_CORE_TEXT_BPE_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/text/tokenizer.h"

namespace septet {

struct BpeOptions {
  // Tokens that EncodeWithSpecial looks for in a text and Encode does not. One
  // that the files do not have gets the lowest id that is free, in this order.
  std::vector<std::string> special_tokens = {"<|endoftext|>"};
};

// Copies are cheap: they are one vocabulary.
class BpeTokenizer : public Tokenizer {
 public:
  // Reads vocab.json and merges.txt. Errors, which begin with the path: those
  // of core/base/file.h; DataLoss, with line or field, for what is not such a
  // file, ids that are not 0 to n-1, a byte without a token, and a merge of or
  // to what is no token; InvalidArgument for special tokens that are empty or
  // there twice.
  static absl::StatusOr<BpeTokenizer> Load(absl::string_view vocab_path,
                                           absl::string_view merges_path,
                                           const BpeOptions& options = {});
  // The same of the bytes of files; names stand for the paths in messages.
  static absl::StatusOr<BpeTokenizer> Parse(absl::string_view vocab,
                                            absl::string_view vocab_name,
                                            absl::string_view merges,
                                            absl::string_view merges_name,
                                            const BpeOptions& options = {});

  // Reads a file of ranks. Tokens may have 512 bytes. A piece that is a token
  // becomes that token, as in tiktoken. Errors as above.
  static absl::StatusOr<BpeTokenizer> LoadRanks(absl::string_view path,
                                                const BpeOptions& options = {});
  static absl::StatusOr<BpeTokenizer> ParseRanks(
      absl::string_view ranks, absl::string_view name,
      const BpeOptions& options = {});

  // Special tokens in the text are text. No errors.
  absl::StatusOr<std::vector<int32_t>> Encode(
      absl::string_view text) const override;

  // Special tokens in the text become themselves, the longest at the first
  // place; what lies between them is encoded one by one. No errors.
  absl::StatusOr<std::vector<int32_t>> EncodeWithSpecial(
      absl::string_view text) const;

  int32_t vocab_size() const override;

  // The id of the token with these bytes; NotFound if there is none.
  absl::StatusOr<int32_t> TokenId(absl::string_view bytes) const;

 protected:
  void DecodeToken(int32_t id, DecodeState* state,
                   std::string* out) const override;

 private:
  struct Vocabulary;

  explicit BpeTokenizer(std::shared_ptr<const Vocabulary> vocabulary);

  std::shared_ptr<const Vocabulary> vocabulary_;
};

}  // namespace septet

#endif  // SEPTET_CORE_TEXT_BPE_TOKENIZER_H_
