// SPDX-License-Identifier: Apache-2.0
#include "septet/core/text/sentencepiece_tokenizer.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/io/quote.h"
#include "septet/core/text/prefix_trie_impl.h"
#include "septet/core/text/sentencepiece_model_impl.h"
#include "septet/core/text/sentencepiece_normalizer_impl.h"
#include "septet/core/text/utf8.h"

namespace septet {
namespace {

using text_internal::kSpaceSymbol;
using text_internal::ModelType;
using text_internal::PieceType;
using text_internal::PrefixTrie;
using text_internal::SentencePieceModel;
using text_internal::SentencePieceNormalizer;

constexpr absl::string_view kReplacementCharacter = "\xef\xbf\xbd";

// How much worse than the worst piece an unknown character is (the library's
// kUnkPenalty).
constexpr float kUnknownPenalty = 10;

std::string BytePiece(uint32_t byte) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  return {'<', '0', 'x', kDigits[byte / 16], kDigits[byte % 16], '>'};
}

// By the first byte alone, as the library counts; no more than there are.
size_t CharacterBytes(absl::string_view text) {
  const auto first = static_cast<uint8_t>(text[0]);
  const size_t bytes = first < 0xc0   ? 1
                       : first < 0xe0 ? 2
                       : first < 0xf0 ? 3
                                      : 4;
  return std::min(bytes, text.size());
}

}  // namespace

struct SentencePieceTokenizer::Model {
  SentencePieceModel file;
  SentencePieceNormalizer normalizer;
  // Pieces that text can become: normal, user-defined and unused ones; and the
  // rest. The strings are those of `file`.
  absl::flat_hash_map<absl::string_view, int32_t> ids;
  absl::flat_hash_map<absl::string_view, int32_t> reserved;
  PrefixTrie user_defined;
  PrefixTrie trie;                   // of `ids`; unigram alone
  std::vector<int32_t> trie_ids;     // by value of the trie
  std::array<int32_t, 256> bytes{};  // with byte fallback
  std::vector<uint8_t> byte_of;      // by id, where that is a byte
  int32_t unk = -1;
  float unknown_score = 0;
  float maximum_score = 0;
  // Whether no piece has a space behind anything but spaces, so that words can
  // be cut one by one. Not with unused pieces: what they are taken apart into
  // is what made them last, wherever in the text.
  bool ends_at_spaces = true;

  // A part of the normalised text.
  struct Part {
    absl::string_view text;
    int32_t id;
  };

  // What joining one word after the other works with.
  struct BpeScratch {
    struct Symbol {
      absl::string_view text;  // empty once it is joined to the one before
      size_t previous;
      size_t next;
      bool whole;  // user-defined: joined to nothing
    };
    struct Candidate {
      float score;
      size_t left;
      size_t right;
      size_t bytes;  // of both; else one of them has changed
      bool operator<(const Candidate& other) const {
        return score < other.score ||
               (score == other.score && left > other.left);
      }
    };
    std::vector<Symbol> symbols;
    std::vector<Candidate> heap;
    // What unused pieces were made of: they are taken apart again.
    absl::flat_hash_map<absl::string_view,
                        std::pair<absl::string_view, absl::string_view>>
        made_of;
    std::vector<absl::string_view> stack;
  };

  absl::Status Prepare(absl::string_view name);
  PieceType type(int32_t id) const {
    return file.pieces[static_cast<size_t>(id)].type;
  }
  float score(int32_t id) const {
    return file.pieces[static_cast<size_t>(id)].score;
  }
  // -1 for none.
  int32_t Find(absl::string_view piece) const {
    const auto special = reserved.find(piece);
    if (special != reserved.end()) return special->second;
    const auto plain = ids.find(piece);
    return plain == ids.end() ? -1 : plain->second;
  }
  int32_t FindOrUnknown(absl::string_view piece) const {
    const int32_t id = Find(piece);
    return id < 0 ? unk : id;
  }
  int32_t Control(absl::string_view piece) const {
    const int32_t id = Find(piece);
    return id >= 0 && type(id) == PieceType::kControl ? id : -1;
  }
  // Bytes of the user-defined piece or the character that `text` begins with.
  size_t PrefixBytes(absl::string_view text, bool* is_user_defined) const {
    size_t bytes = 0;
    *is_user_defined = user_defined.Longest(text, &bytes) != PrefixTrie::kNone;
    return *is_user_defined ? bytes : CharacterBytes(text);
  }

  std::vector<Part> Unigram(absl::string_view text) const;
  std::vector<Part> Bpe(absl::string_view text) const;
  void BpeWord(absl::string_view text, BpeScratch* scratch,
               std::vector<Part>* parts) const;
  std::vector<Part> Characters(absl::string_view text) const;
  std::vector<Part> Words(absl::string_view text) const;
};

absl::Status SentencePieceTokenizer::Model::Prepare(absl::string_view name) {
  const auto damaged = [name](const auto&... what) {
    return absl::DataLossError(absl::StrCat(name, ": ", what...));
  };
  const auto count = static_cast<int64_t>(file.pieces.size());
  if (count > std::numeric_limits<int32_t>::max()) {
    return damaged("has ", count, " pieces");
  }
  byte_of.resize(file.pieces.size());
  bytes.fill(-1);
  absl::flat_hash_map<std::string, uint8_t> byte_pieces;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    byte_pieces.emplace(BytePiece(byte), static_cast<uint8_t>(byte));
  }
  std::vector<absl::string_view> symbols;
  std::vector<absl::string_view> keys;
  float minimum_score = std::numeric_limits<float>::max();
  // So the library: the smallest number above 0, though scores are negative.
  maximum_score = std::numeric_limits<float>::min();
  for (int32_t id = 0; id < static_cast<int32_t>(count); ++id) {
    const SentencePieceModel::Piece& piece =
        file.pieces[static_cast<size_t>(id)];
    const auto piece_name = [&] {
      return absl::StrCat("piece ", id, " ", QuoteName(piece.text));
    };
    bool plain = false;
    switch (piece.type) {
      case PieceType::kNormal:
        minimum_score = std::min(minimum_score, piece.score);
        maximum_score = std::max(maximum_score, piece.score);
        plain = true;
        break;
      case PieceType::kUserDefined:
        symbols.emplace_back(piece.text);
        plain = true;
        break;
      case PieceType::kUnused:
        ends_at_spaces = false;
        plain = true;
        break;
      case PieceType::kUnknown:
        if (unk >= 0) {
          return damaged(piece_name(), " is the unknown one, as is piece ",
                         unk);
        }
        unk = id;
        break;
      case PieceType::kControl:
        break;
      case PieceType::kByte: {
        const auto byte = byte_pieces.find(piece.text);
        if (!file.byte_fallback || byte == byte_pieces.end()) {
          return damaged(piece_name(), " is a byte, ",
                         file.byte_fallback ? "expected '<0x00>' to '<0xFF>'"
                                            : "but byte_fallback is false");
        }
        byte_of[static_cast<size_t>(id)] = byte->second;
        bytes[byte->second] = id;
        break;
      }
    }
    const bool added = (plain ? ids : reserved).emplace(piece.text, id).second;
    if (!added) return damaged(piece_name(), " is there already");
    if (plain) {
      absl::string_view word = piece.text;
      while (absl::ConsumePrefix(&word, kSpaceSymbol)) {
      }
      if (absl::StrContains(word, kSpaceSymbol)) ends_at_spaces = false;
      keys.emplace_back(piece.text);
      trie_ids.push_back(id);
    }
  }
  if (unk < 0) return damaged("no piece is the unknown one");
  if (file.byte_fallback) {
    for (uint32_t byte = 0; byte < 256; ++byte) {
      if (bytes[byte] >= 0) continue;
      return damaged("byte_fallback is true, and no piece is ",
                     BytePiece(byte));
    }
  }
  unknown_score = minimum_score - kUnknownPenalty;
  user_defined = PrefixTrie(symbols);
  if (file.model_type == ModelType::kUnigram) trie = PrefixTrie(keys);
  SEPTET_ASSIGN_OR_RETURN(normalizer,
                          SentencePieceNormalizer::Create(file, name));
  // Has its own copy.
  file.charsmap = std::string();
  return absl::OkStatus();
}

// As the library's EncodeOptimized, in the same precision: the best way to each
// place, over pieces that begin where a character does.
std::vector<SentencePieceTokenizer::Model::Part>
SentencePieceTokenizer::Model::Unigram(absl::string_view text) const {
  constexpr size_t kNowhere = std::numeric_limits<size_t>::max();
  struct Node {
    float score = 0;
    int32_t id = -1;
    size_t begin = kNowhere;  // of the piece that ends here
  };
  std::vector<Node> best(text.size() + 1);
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t character = CharacterBytes(text.substr(begin));
    const float so_far = best[begin].score;
    const auto offer = [&](size_t end, double score, int32_t id) {
      const double candidate = score + so_far;
      Node& node = best[end];
      if (node.begin != kNowhere && !(candidate > node.score)) return;
      node = {static_cast<float>(candidate), id, begin};
    };
    bool has_character = false;
    uint32_t node = PrefixTrie::kRoot;
    for (size_t end = begin + 1; end <= text.size(); ++end) {
      node = trie.Child(node, static_cast<uint8_t>(text[end - 1]));
      if (node == PrefixTrie::kRoot) break;
      const int32_t value = trie.Value(node);
      if (value == PrefixTrie::kNone) continue;
      const int32_t id = trie_ids[static_cast<size_t>(value)];
      if (type(id) == PieceType::kUnused) continue;
      const size_t length = end - begin;
      // A user-defined piece is better than what it could be cut into.
      const double own = type(id) == PieceType::kUserDefined
                             ? static_cast<float>(length) * maximum_score - 0.1
                             : score(id);
      offer(end, own, id);
      if (length == character) has_character = true;
    }
    if (!has_character) offer(begin + character, unknown_score, unk);
    begin += character;
  }
  std::vector<Part> parts;
  for (size_t end = text.size(); end > 0; end = best[end].begin) {
    parts.push_back(
        {text.substr(best[end].begin, end - best[end].begin), best[end].id});
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<SentencePieceTokenizer::Model::Part>
SentencePieceTokenizer::Model::Bpe(absl::string_view text) const {
  std::vector<Part> parts;
  BpeScratch scratch;
  while (!text.empty()) {
    size_t end = text.size();
    if (ends_at_spaces) {
      // Before the first space that is not at the beginning.
      end = 0;
      while (absl::StartsWith(text.substr(end), kSpaceSymbol)) {
        end += kSpaceSymbol.size();
      }
      end = std::min(text.find(kSpaceSymbol, end), text.size());
    }
    BpeWord(text.substr(0, end), &scratch, &parts);
    text.remove_prefix(end);
  }
  return parts;
}

void SentencePieceTokenizer::Model::BpeWord(absl::string_view text,
                                            BpeScratch* scratch,
                                            std::vector<Part>* parts) const {
  using Symbol = BpeScratch::Symbol;
  using Candidate = BpeScratch::Candidate;
  constexpr size_t kEnd = std::numeric_limits<size_t>::max();
  std::vector<Symbol>& symbols = scratch->symbols;
  symbols.clear();
  for (absl::string_view rest = text; !rest.empty();) {
    Symbol symbol;
    const size_t bytes = PrefixBytes(rest, &symbol.whole);
    symbol.text = rest.substr(0, bytes);
    rest.remove_prefix(bytes);
    symbol.previous = symbols.empty() ? kEnd : symbols.size() - 1;
    symbol.next = rest.empty() ? kEnd : symbols.size() + 1;
    symbols.push_back(symbol);
  }
  std::vector<Candidate>& heap = scratch->heap;
  heap.clear();
  auto& made_of = scratch->made_of;
  if (!made_of.empty()) made_of.clear();
  const auto add = [&](size_t left, size_t right) {
    if (left == kEnd || right == kEnd) return;
    const Symbol& a = symbols[left];
    const Symbol& b = symbols[right];
    if (a.whole || b.whole) return;
    const absl::string_view both(a.text.data(), a.text.size() + b.text.size());
    const auto found = ids.find(both);
    if (found == ids.end()) return;
    heap.push_back({score(found->second), left, right, both.size()});
    std::push_heap(heap.begin(), heap.end());
    if (type(found->second) == PieceType::kUnused) {
      made_of[both] = {a.text, b.text};
    }
  };
  for (size_t i = 1; i < symbols.size(); ++i) add(i - 1, i);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end());
    const Candidate top = heap.back();
    heap.pop_back();
    Symbol& left = symbols[top.left];
    Symbol& right = symbols[top.right];
    if (left.text.empty() || right.text.empty() ||
        left.text.size() + right.text.size() != top.bytes) {
      continue;
    }
    left.text = absl::string_view(left.text.data(), top.bytes);
    left.next = right.next;
    if (right.next != kEnd) symbols[right.next].previous = top.left;
    right.text = absl::string_view();
    add(left.previous, top.left);
    add(top.left, left.next);
  }
  std::vector<absl::string_view>& stack = scratch->stack;
  for (size_t i = symbols.empty() ? kEnd : 0; i != kEnd; i = symbols[i].next) {
    stack.push_back(symbols[i].text);
    while (!stack.empty()) {
      const absl::string_view piece = stack.back();
      stack.pop_back();
      const int32_t id = FindOrUnknown(piece);
      if (type(id) == PieceType::kUnused) {
        const auto halves = made_of.find(piece);
        if (halves != made_of.end()) {
          stack.push_back(halves->second.second);
          stack.push_back(halves->second.first);
          continue;
        }
      }
      parts->push_back({piece, id});
    }
  }
}

std::vector<SentencePieceTokenizer::Model::Part>
SentencePieceTokenizer::Model::Characters(absl::string_view text) const {
  std::vector<Part> parts;
  while (!text.empty()) {
    bool is_user_defined;
    const size_t bytes = PrefixBytes(text, &is_user_defined);
    parts.push_back(
        {text.substr(0, bytes), FindOrUnknown(text.substr(0, bytes))});
    text.remove_prefix(bytes);
  }
  return parts;
}

std::vector<SentencePieceTokenizer::Model::Part>
SentencePieceTokenizer::Model::Words(absl::string_view text) const {
  std::vector<Part> parts;
  while (!text.empty()) {
    // A word begins with the symbol of a space, but for the first.
    const size_t next = text.find(kSpaceSymbol, 1);
    const absl::string_view word = text.substr(0, next);
    parts.push_back({word, FindOrUnknown(word)});
    text.remove_prefix(word.size());
  }
  return parts;
}

SentencePieceTokenizer::SentencePieceTokenizer(
    std::shared_ptr<const Model> model)
    : model_(std::move(model)) {}

absl::StatusOr<SentencePieceTokenizer> SentencePieceTokenizer::Load(
    absl::string_view path) {
  SEPTET_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  return Parse(file.data(), path);
}

absl::StatusOr<SentencePieceTokenizer> SentencePieceTokenizer::Parse(
    absl::string_view file, absl::string_view name) {
  auto model = std::make_shared<Model>();
  SEPTET_ASSIGN_OR_RETURN(model->file,
                          text_internal::ParseSentencePieceModel(file, name));
  SEPTET_RETURN_IF_ERROR(model->Prepare(name));
  return SentencePieceTokenizer(std::move(model));
}

absl::StatusOr<std::vector<int32_t>> SentencePieceTokenizer::Encode(
    absl::string_view text) const {
  SEPTET_RETURN_IF_ERROR(CheckUtf8(text)) << "SentencePieceTokenizer";
  const Model& model = *model_;
  SEPTET_ASSIGN_OR_RETURN(const std::string normalized,
                          model.normalizer.Normalize(text, model.user_defined));
  std::vector<Model::Part> parts;
  switch (model.file.model_type) {
    case ModelType::kUnigram:
      parts = model.Unigram(normalized);
      break;
    case ModelType::kBpe:
      parts = model.Bpe(normalized);
      break;
    case ModelType::kWord:
      parts = model.Words(normalized);
      break;
    case ModelType::kChar:
      parts = model.Characters(normalized);
      break;
  }
  std::vector<int32_t> ids;
  ids.reserve(parts.size());
  bool after_unknown = false;
  for (const Model::Part& part : parts) {
    const bool unknown = part.id == model.unk;
    if (unknown && model.file.byte_fallback) {
      for (const char byte : part.text) {
        ids.push_back(model.bytes[static_cast<uint8_t>(byte)]);
      }
    } else if (!(unknown && after_unknown)) {
      ids.push_back(part.id);
    }
    after_unknown = unknown;
  }
  return ids;
}

int32_t SentencePieceTokenizer::vocab_size() const {
  return static_cast<int32_t>(model_->file.pieces.size());
}

absl::StatusOr<int32_t> SentencePieceTokenizer::TokenId(
    absl::string_view piece) const {
  const int32_t id = model_->Find(piece);
  if (id >= 0) return id;
  return absl::NotFoundError(
      absl::StrCat("SentencePieceTokenizer: no piece ", QuoteName(piece)));
}

int32_t SentencePieceTokenizer::unk_id() const { return model_->unk; }

int32_t SentencePieceTokenizer::bos_id() const {
  return model_->Control(model_->file.bos_piece);
}

int32_t SentencePieceTokenizer::eos_id() const {
  return model_->Control(model_->file.eos_piece);
}

int32_t SentencePieceTokenizer::pad_id() const {
  return model_->Control(model_->file.pad_piece);
}

void SentencePieceTokenizer::DecodeToken(int32_t id, DecodeState* state,
                                         std::string* out) const {
  const Model& model = *model_;
  const SentencePieceModel::Piece& piece =
      model.file.pieces[static_cast<size_t>(id)];
  if (piece.type == PieceType::kByte) {
    // Characters come as soon as they are whole; bytes that make none are
    // replaced one by one.
    std::string& held = state->held;
    held += static_cast<char>(model.byte_of[static_cast<size_t>(id)]);
    while (!held.empty() && UnfinishedUtf8(held) != held.size()) {
      uint32_t point;
      const size_t bytes = DecodeUtf8(held, &point);
      absl::StrAppend(out, bytes == 0
                               ? kReplacementCharacter
                               : absl::string_view(held).substr(0, bytes));
      held.erase(0, std::max<size_t>(bytes, 1));
      state->started = true;
    }
    return;
  }
  DecodeEnd(state, out);
  const size_t before = out->size();
  absl::string_view text = piece.text;
  bool took_space = false;
  switch (piece.type) {
    case PieceType::kControl:
      text = absl::string_view();
      break;
    case PieceType::kUnknown:
      text = model.file.unk_surface;
      out->append(text.data(), text.size());
      text = absl::string_view();
      break;
    default:
      // The space before the text is not the text's.
      if (!state->started && (model.file.add_dummy_prefix ||
                              model.file.remove_extra_whitespaces)) {
        took_space = absl::ConsumePrefix(&text, kSpaceSymbol) &&
                     !model.file.remove_extra_whitespaces;
      }
      absl::StrAppend(out, absl::StrReplaceAll(text, {{kSpaceSymbol, " "}}));
      break;
  }
  if (took_space || out->size() > before) state->started = true;
}

void SentencePieceTokenizer::DecodeEnd(DecodeState* state,
                                       std::string* out) const {
  for (size_t i = 0; i < state->held.size(); ++i) {
    absl::StrAppend(out, kReplacementCharacter);
    state->started = true;
  }
  state->held.clear();
}

}  // namespace septet
