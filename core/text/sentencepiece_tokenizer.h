// SPDX-License-Identifier: Apache-2.0
// Models of SentencePiece (Kudo and Richardson, 2018, arXiv 1808.06226):
// unigram, BPE, characters and words, with byte fallback.
//
//   SEPTET_ASSIGN_OR_RETURN(SentencePieceTokenizer tokenizer,
//                           SentencePieceTokenizer::Load("spiece.model"));
//   SEPTET_ASSIGN_OR_RETURN(std::vector<int32_t> ids,
//                           tokenizer.Encode("Hello world."));
//
// A text is normalised by the rules of the model (spaces become U+2581); pieces
// that are user-defined stay whole. Then
//   unigram    the pieces with the largest sum of scores (Viterbi);
//   BPE        the pair of neighbours whose union has the highest score is
//              joined, the leftmost of equals, until there is none;
//   character  one by one;   word  at spaces.
// What no piece covers becomes the unknown token, once for each run, or, with
// byte fallback, the tokens of its bytes.
//
// The same ids as the library's, tested against it (0.1.97; those of up to
// 0.2.1 are the same; 0.2.3 takes other pieces where unigram sums are equal).
// The library itself is not used: it crashes on damaged files (docs/design.md).
// Differs in that a text that is not UTF-8 is an error, not U+FFFD; in limits
// on pieces (4096 bytes) and on the rules of normalisation (128 bytes, replaced
// by 1024). Models are not trained here, and nothing is sampled (subword
// regularisation). Cost: O(n L) for n bytes and pieces of up to L, BPE
// O(n log n).
//
// Stability: core's public API; names and meaning stay, additions come.
#ifndef SEPTET_CORE_TEXT_SENTENCEPIECE_TOKENIZER_H_
#define SEPTET_CORE_TEXT_SENTENCEPIECE_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/text/tokenizer.h"

namespace septet {

// Copies are cheap: they are one model.
class SentencePieceTokenizer : public Tokenizer {
 public:
  // Reads the model at `path`. Errors, which begin with the path: those of
  // core/base/file.h; DataLoss, with the byte or the piece, for what is not a
  // model; Unimplemented for rules that undo normalisation.
  static absl::StatusOr<SentencePieceTokenizer> Load(absl::string_view path);
  // The same of the bytes of a file; `name` stands for the path in messages.
  static absl::StatusOr<SentencePieceTokenizer> Parse(absl::string_view file,
                                                      absl::string_view name);

  // InvalidArgument for bytes that are not UTF-8; DataLoss where a rule of the
  // model proves damaged. Spaces that the model says are extra are lost.
  absl::StatusOr<std::vector<int32_t>> Encode(
      absl::string_view text) const override;

  int32_t vocab_size() const override;

  // The id of a piece as the model has it ("\u2581the"); NotFound if there is
  // none.
  absl::StatusOr<int32_t> TokenId(absl::string_view piece) const;

  // Ids that the model gives to these tokens; -1 where it has none.
  int32_t unk_id() const;
  int32_t bos_id() const;
  int32_t eos_id() const;
  int32_t pad_id() const;

 protected:
  void DecodeToken(int32_t id, DecodeState* state,
                   std::string* out) const override;
  void DecodeEnd(DecodeState* state, std::string* out) const override;

 private:
  struct Model;

  explicit SentencePieceTokenizer(std::shared_ptr<const Model> model);

  std::shared_ptr<const Model> model_;
};

}  // namespace septet

#endif  // SEPTET_CORE_TEXT_SENTENCEPIECE_TOKENIZER_H_
