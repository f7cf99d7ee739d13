// SPDX-License-Identifier: Apache-2.0
// What a SentencePiece model file (ModelProto of sentencepiece_model.proto, a
// protobuf message) says, as far as tokenizing needs it.
#ifndef SEPTET_CORE_TEXT_SENTENCEPIECE_MODEL_IMPL_H_
#define SEPTET_CORE_TEXT_SENTENCEPIECE_MODEL_IMPL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace septet {
namespace text_internal {

// The numbers of the format.
enum class PieceType : uint8_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

enum class ModelType : uint8_t { kUnigram = 1, kBpe = 2, kWord = 3, kChar = 4 };

struct SentencePieceModel {
  struct Piece {
    std::string text;
    float score = 0;
    PieceType type = PieceType::kNormal;
  };

  std::vector<Piece> pieces;  // by id

  // Of TrainerSpec; defaults are the format's.
  ModelType model_type = ModelType::kUnigram;
  bool treat_whitespace_as_suffix = false;
  bool byte_fallback = false;
  std::string unk_surface = " \xe2\x81\x87 ";
  std::string bos_piece = "<s>";
  std::string eos_piece = "</s>";
  std::string pad_piece = "<pad>";

  // Of NormalizerSpec.
  std::string charsmap;
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
};

// Reads a file; `name` begins messages. DataLoss, with the byte of the file,
// for what is no such message; for pieces that are empty or not UTF-8, scores
// that are not finite and unknown types, with the number of the piece.
// Unimplemented for a model that has rules for undoing normalisation.
absl::StatusOr<SentencePieceModel> ParseSentencePieceModel(
    absl::string_view file, absl::string_view name);

}  // namespace text_internal
}  // namespace septet

#endif  // SEPTET_CORE_TEXT_SENTENCEPIECE_MODEL_IMPL_H_
