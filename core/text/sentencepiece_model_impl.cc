// SPDX-License-Identifier: Apache-2.0
#include "septet/core/text/sentencepiece_model_impl.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/io/quote.h"
#include "septet/core/text/utf8.h"

namespace septet {
namespace text_internal {
namespace {

// Wire types of protobuf.
constexpr uint32_t kVarint = 0;
constexpr uint32_t kFixed64 = 1;
constexpr uint32_t kBytes = 2;
constexpr uint32_t kFixed32 = 5;

// The library's trainer makes pieces of at most 512 characters. Encoding may
// look at as many bytes from each byte of a text, and so must not depend on
// what a file says.
constexpr size_t kMaxPieceBytes = 4096;

// A field of a message.
struct Field {
  uint32_t number = 0;
  uint32_t wire = 0;
  uint64_t value = 0;       // but for kBytes
  absl::string_view bytes;  // of kBytes
  size_t offset = 0;        // of the field in the file
};

// The fields of a message that is a part of a file.
class MessageReader {
 public:
  MessageReader(absl::string_view file, absl::string_view message,
                absl::string_view name)
      : begin_(file.data()), rest_(message), name_(name) {}

  // The next field; false at the end.
  absl::StatusOr<bool> Next(Field* field) {
    if (rest_.empty()) return false;
    field->offset = offset();
    uint64_t tag;
    if (!Varint(&tag)) return Damaged(*field, "the tag of a field is cut off");
    field->wire = static_cast<uint32_t>(tag & 7);
    const uint64_t number = tag >> 3;
    if (number == 0 || number > 0x1fffffff) {
      return Damaged(*field, absl::StrCat("a field has the number ", number));
    }
    field->number = static_cast<uint32_t>(number);
    size_t size = 0;
    switch (field->wire) {
      case kVarint:
        if (!Varint(&field->value)) {
          return Damaged(*field, absl::StrCat("field ", number, " is cut off"));
        }
        return true;
      case kFixed64:
      case kFixed32:
        size = field->wire == kFixed64 ? 8 : 4;
        break;
      case kBytes: {
        uint64_t length;
        if (!Varint(&length)) {
          return Damaged(*field, absl::StrCat("field ", number, " is cut off"));
        }
        if (length > rest_.size()) {
          return Damaged(*field,
                         absl::StrCat("field ", number, " has ", length,
                                      " bytes, there are ", rest_.size()));
        }
        field->bytes = rest_.substr(0, length);
        rest_.remove_prefix(length);
        return true;
      }
      default:
        return Damaged(*field,
                       absl::StrCat("field ", number, " has the wire type ",
                                    field->wire, ", expected 0, 1, 2 or 5"));
    }
    if (size > rest_.size()) {
      return Damaged(*field, absl::StrCat("field ", number, " is cut off"));
    }
    field->value = 0;
    for (size_t i = size; i > 0; --i) {
      field->value = field->value << 8 | static_cast<uint8_t>(rest_[i - 1]);
    }
    rest_.remove_prefix(size);
    return true;
  }

  absl::Status Damaged(const Field& field, absl::string_view what) const {
    return absl::DataLossError(
        absl::StrCat(name_, ": not a SentencePiece model: at byte ",
                     field.offset, ": ", what));
  }

  absl::Status Expect(const Field& field, uint32_t wire,
                      absl::string_view field_name) const {
    if (field.wire == wire) return absl::OkStatus();
    return Damaged(field, absl::StrCat(field_name, " has the wire type ",
                                       field.wire, ", expected ", wire));
  }

  absl::Status Bool(const Field& field, absl::string_view field_name,
                    bool* out) const {
    SEPTET_RETURN_IF_ERROR(Expect(field, kVarint, field_name));
    *out = field.value != 0;
    return absl::OkStatus();
  }

  absl::Status String(const Field& field, absl::string_view field_name,
                      std::string* out) const {
    SEPTET_RETURN_IF_ERROR(Expect(field, kBytes, field_name));
    *out = std::string(field.bytes);
    return absl::OkStatus();
  }

 private:
  size_t offset() const { return static_cast<size_t>(rest_.data() - begin_); }

  bool Varint(uint64_t* value) {
    *value = 0;
    for (size_t i = 0; i < rest_.size() && i < 10; ++i) {
      const auto byte = static_cast<uint8_t>(rest_[i]);
      *value |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
      if ((byte & 0x80) == 0) {
        rest_.remove_prefix(i + 1);
        return true;
      }
    }
    return false;
  }

  const char* begin_;
  absl::string_view rest_;
  absl::string_view name_;
};

absl::Status ReadPiece(absl::string_view file, absl::string_view message,
                       absl::string_view name, size_t number,
                       SentencePieceModel::Piece* piece) {
  MessageReader reader(file, message, name);
  const auto wrong = [&](const auto&... what) {
    return absl::DataLossError(
        absl::StrCat(name, ": piece ", number, " ", what...));
  };
  Field field;
  while (true) {
    SEPTET_ASSIGN_OR_RETURN(const bool more, reader.Next(&field));
    if (!more) break;
    switch (field.number) {
      case 1:
        SEPTET_RETURN_IF_ERROR(reader.String(field, "piece", &piece->text));
        break;
      case 2: {
        SEPTET_RETURN_IF_ERROR(reader.Expect(field, kFixed32, "score"));
        const auto bits = static_cast<uint32_t>(field.value);
        std::memcpy(&piece->score, &bits, sizeof(bits));
        break;
      }
      case 3:
        SEPTET_RETURN_IF_ERROR(reader.Expect(field, kVarint, "type"));
        if (field.value < 1 || field.value > 6) {
          return wrong("has the type ", field.value, ", expected 1 to 6");
        }
        piece->type = static_cast<PieceType>(field.value);
        break;
      default:  // extensions of others
        break;
    }
  }
  if (piece->text.empty()) return wrong("is empty");
  if (piece->text.size() > kMaxPieceBytes) {
    return wrong("has ", piece->text.size(), " bytes, expected at most ",
                 kMaxPieceBytes);
  }
  if (!CheckUtf8(piece->text).ok()) {
    return wrong("is ", QuoteName(piece->text), ", expected UTF-8");
  }
  if (!std::isfinite(piece->score)) {
    return wrong(QuoteName(piece->text), " has the score ", piece->score);
  }
  return absl::OkStatus();
}

absl::Status ReadTrainer(absl::string_view file, absl::string_view message,
                         absl::string_view name, SentencePieceModel* model) {
  MessageReader reader(file, message, name);
  Field field;
  while (true) {
    SEPTET_ASSIGN_OR_RETURN(const bool more, reader.Next(&field));
    if (!more) return absl::OkStatus();
    switch (field.number) {
      case 3:
        SEPTET_RETURN_IF_ERROR(reader.Expect(field, kVarint, "model_type"));
        if (field.value < 1 || field.value > 4) {
          return absl::DataLossError(absl::StrCat(
              name, ": model_type is ", field.value, ", expected 1 to 4"));
        }
        model->model_type = static_cast<ModelType>(field.value);
        break;
      case 24:
        SEPTET_RETURN_IF_ERROR(reader.Bool(field, "treat_whitespace_as_suffix",
                                           &model->treat_whitespace_as_suffix));
        break;
      case 35:
        SEPTET_RETURN_IF_ERROR(
            reader.Bool(field, "byte_fallback", &model->byte_fallback));
        break;
      case 44:
        SEPTET_RETURN_IF_ERROR(
            reader.String(field, "unk_surface", &model->unk_surface));
        break;
      case 46:
        SEPTET_RETURN_IF_ERROR(
            reader.String(field, "bos_piece", &model->bos_piece));
        break;
      case 47:
        SEPTET_RETURN_IF_ERROR(
            reader.String(field, "eos_piece", &model->eos_piece));
        break;
      case 48:
        SEPTET_RETURN_IF_ERROR(
            reader.String(field, "pad_piece", &model->pad_piece));
        break;
      default:  // how it was trained
        break;
    }
  }
}

absl::Status ReadNormalizer(absl::string_view file, absl::string_view message,
                            absl::string_view name, SentencePieceModel* model) {
  MessageReader reader(file, message, name);
  Field field;
  while (true) {
    SEPTET_ASSIGN_OR_RETURN(const bool more, reader.Next(&field));
    if (!more) return absl::OkStatus();
    switch (field.number) {
      case 2:
        SEPTET_RETURN_IF_ERROR(
            reader.String(field, "precompiled_charsmap", &model->charsmap));
        break;
      case 3:
        SEPTET_RETURN_IF_ERROR(
            reader.Bool(field, "add_dummy_prefix", &model->add_dummy_prefix));
        break;
      case 4:
        SEPTET_RETURN_IF_ERROR(reader.Bool(field, "remove_extra_whitespaces",
                                           &model->remove_extra_whitespaces));
        break;
      case 5:
        SEPTET_RETURN_IF_ERROR(reader.Bool(field, "escape_whitespaces",
                                           &model->escape_whitespaces));
        break;
      default:  // its name, and the rules as text
        break;
    }
  }
}

}  // namespace

absl::StatusOr<SentencePieceModel> ParseSentencePieceModel(
    absl::string_view file, absl::string_view name) {
  SentencePieceModel model;
  MessageReader reader(file, file, name);
  Field field;
  while (true) {
    SEPTET_ASSIGN_OR_RETURN(const bool more, reader.Next(&field));
    if (!more) break;
    switch (field.number) {
      case 1: {
        SEPTET_RETURN_IF_ERROR(reader.Expect(field, kBytes, "pieces"));
        SentencePieceModel::Piece piece;
        SEPTET_RETURN_IF_ERROR(
            ReadPiece(file, field.bytes, name, model.pieces.size(), &piece));
        model.pieces.push_back(std::move(piece));
        break;
      }
      case 2:
        SEPTET_RETURN_IF_ERROR(reader.Expect(field, kBytes, "trainer_spec"));
        SEPTET_RETURN_IF_ERROR(ReadTrainer(file, field.bytes, name, &model));
        break;
      case 3:
        SEPTET_RETURN_IF_ERROR(reader.Expect(field, kBytes, "normalizer_spec"));
        SEPTET_RETURN_IF_ERROR(ReadNormalizer(file, field.bytes, name, &model));
        break;
      case 5: {
        SEPTET_RETURN_IF_ERROR(
            reader.Expect(field, kBytes, "denormalizer_spec"));
        SentencePieceModel denormalizer;
        SEPTET_RETURN_IF_ERROR(
            ReadNormalizer(file, field.bytes, name, &denormalizer));
        if (!denormalizer.charsmap.empty()) {
          return absl::UnimplementedError(absl::StrCat(
              name, ": denormalizer_spec has rules, which are not supported"));
        }
        break;
      }
      default:  // its own tests, and extensions of others
        break;
    }
  }
  return model;
}

}  // namespace text_internal
}  // namespace septet
