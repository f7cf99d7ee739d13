// SPDX-License-Identifier: Apache-2.0
#include "septet/core/text/bpe_tokenizer.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <queue>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/io/json_value.h"
#include "septet/core/io/quote.h"
#include "septet/core/text/gpt2_pieces.h"
#include "septet/core/text/prefix_trie_impl.h"
#include "septet/core/text/utf8.h"

namespace septet {
namespace {

constexpr uint32_t kNoRank = std::numeric_limits<uint32_t>::max();

// cl100k_base has 128; the cost of reading grows with the square.
constexpr size_t kMaxRankedTokenBytes = 512;

// Longer pieces go through a heap. Below, looking at all pairs is quicker.
constexpr size_t kShortPieceBytes = 32;

// A piece that is remembered. Of fortunes, 99 of 100 pieces are this short.
constexpr size_t kCachedBytes = 16;
constexpr size_t kCachedIds = 8;
constexpr size_t kCacheEntries = 8192;  // 450 KB: half of a usual L2

// vocab.json writes a byte as one of these characters: itself if it can be
// printed, else the next one from U+0100 on.
constexpr uint32_t kFirstStandIn = 0x100;
constexpr uint32_t kNumStandIns = 68;

bool StandsForItself(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) ||
         (byte >= 0xae && byte <= 0xff);
}

// Bytes that stand-ins, in order, stand for.
std::array<uint8_t, kNumStandIns> StandIns() {
  std::array<uint8_t, kNumStandIns> bytes{};
  size_t n = 0;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    if (!StandsForItself(byte)) bytes[n++] = static_cast<uint8_t>(byte);
  }
  return bytes;
}

// The bytes that a token of vocab.json or merges.txt stands for.
absl::StatusOr<std::string> TokenBytes(
    const std::array<uint8_t, kNumStandIns>& stand_ins,
    absl::string_view written) {
  std::string bytes;
  absl::string_view rest = written;
  while (!rest.empty()) {
    uint32_t point = 0;
    const size_t length = DecodeUtf8(rest, &point);
    if (length == 0) {
      return absl::DataLossError(
          absl::StrCat("token ", QuoteName(written), " is not UTF-8"));
    }
    if (point < 256 && StandsForItself(point)) {
      bytes += static_cast<char>(point);
    } else if (point >= kFirstStandIn && point < kFirstStandIn + kNumStandIns) {
      bytes += static_cast<char>(stand_ins[point - kFirstStandIn]);
    } else {
      return absl::DataLossError(absl::StrCat(
          "token ", QuoteName(written), " has the character U+",
          absl::Hex(point, absl::kZeroPad4), ", which stands for no byte"));
    }
    rest.remove_prefix(length);
  }
  return bytes;
}

struct Merge {
  uint32_t rank = kNoRank;
  int32_t id = 0;  // what the pair becomes
};

uint64_t PairKey(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 |
         static_cast<uint32_t>(right);
}

struct CacheEntry {
  std::array<uint64_t, 2> bytes;
  std::array<int32_t, kCachedIds> ids;
  uint8_t num_bytes;  // 0: nothing here
  uint8_t num_ids;
};

using Cache = std::vector<CacheEntry>;

struct Line {
  absl::string_view text;
  int64_t number = 0;
};

// Takes the next line, without its end, off `rest`; false at the end.
bool NextLine(absl::string_view* rest, Line* line) {
  if (rest->empty()) return false;
  const size_t end = rest->find('\n');
  line->text = rest->substr(0, end);
  ++line->number;
  rest->remove_prefix(end == absl::string_view::npos ? rest->size() : end + 1);
  if (absl::EndsWith(line->text, "\r")) line->text.remove_suffix(1);
  return true;
}

}  // namespace

struct BpeTokenizer::Vocabulary {
  // By id. While the files are read, ids may be missing.
  std::vector<std::string> tokens;
  absl::flat_hash_map<std::string, int32_t> ids;
  std::array<int32_t, 256> byte_ids;
  absl::flat_hash_map<uint64_t, Merge> merges;
  bool whole_pieces = false;
  text_internal::PrefixTrie special;
  std::vector<int32_t> special_ids;  // by value of the trie

  mutable absl::Mutex mutex;
  // Those that no call to Encode uses; as many as calls there were at a time.
  mutable std::vector<std::unique_ptr<Cache>> caches;

  absl::Status AddIds(absl::flat_hash_map<std::string, int64_t> found,
                      const BpeOptions& options, absl::string_view name);

  Merge FindMerge(int32_t left, int32_t right) const {
    const auto found = merges.find(PairKey(left, right));
    return found == merges.end() ? Merge() : found->second;
  }

  void EncodeText(absl::string_view text, Cache* cache,
                  std::vector<int32_t>* out) const;
  void EncodePiece(absl::string_view piece, std::vector<int32_t>* out) const;
  void MergeShort(absl::string_view piece, std::vector<int32_t>* out) const;
  void MergeLong(absl::string_view piece, std::vector<int32_t>* out) const;

  std::unique_ptr<Cache> TakeCache() const {
    {
      absl::MutexLock lock(&mutex);
      if (!caches.empty()) {
        std::unique_ptr<Cache> cache = std::move(caches.back());
        caches.pop_back();
        return cache;
      }
    }
    return std::make_unique<Cache>(kCacheEntries);
  }
  void GiveCache(std::unique_ptr<Cache> cache) const {
    absl::MutexLock lock(&mutex);
    caches.push_back(std::move(cache));
  }
};

// Fills tokens, ids, byte_ids and special ones from the tokens of a file.
absl::Status BpeTokenizer::Vocabulary::AddIds(
    absl::flat_hash_map<std::string, int64_t> found, const BpeOptions& options,
    absl::string_view name) {
  absl::flat_hash_set<int64_t> taken;
  for (const auto& entry : found) taken.insert(entry.second);
  absl::flat_hash_set<std::string> names;
  int64_t free = 0;
  for (size_t i = 0; i < options.special_tokens.size(); ++i) {
    const std::string& token = options.special_tokens[i];
    if (token.empty() || !names.insert(token).second) {
      return absl::InvalidArgumentError(absl::StrCat(
          "BpeOptions: special_tokens[", i, "] is ", QuoteName(token),
          token.empty() ? ", expected a token" : ", which is there already"));
    }
    if (found.contains(token)) continue;
    while (!taken.insert(free).second) ++free;
    found.emplace(token, free);
  }
  const auto size = static_cast<int64_t>(found.size());
  if (size > std::numeric_limits<int32_t>::max()) {
    return absl::DataLossError(absl::StrCat(name, ": has ", size, " tokens"));
  }
  tokens.resize(found.size());
  std::vector<bool> used(found.size(), false);
  ids.reserve(found.size());
  for (const auto& entry : found) {
    const int64_t id = entry.second;
    const bool fits = id >= 0 && id < size;
    if (!fits || used[static_cast<size_t>(id)]) {
      return absl::DataLossError(absl::StrCat(
          name, ": token ", QuoteName(entry.first), " has the id ", id,
          fits ? absl::StrCat(", as has ",
                              QuoteName(tokens[static_cast<size_t>(id)]))
               : absl::StrCat(", expected 0 to ", size - 1, ", as there are ",
                              size, " tokens")));
    }
    used[static_cast<size_t>(id)] = true;
    tokens[static_cast<size_t>(id)] = entry.first;
    ids.emplace(entry.first, static_cast<int32_t>(id));
  }
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const auto id = ids.find(std::string(1, static_cast<char>(byte)));
    if (id == ids.end()) {
      return absl::DataLossError(
          absl::StrCat(name, ": no token for the byte 0x",
                       absl::Hex(byte, absl::kZeroPad2)));
    }
    byte_ids[byte] = id->second;
  }
  std::vector<absl::string_view> keys;
  for (const std::string& token : options.special_tokens) {
    keys.emplace_back(token);
    special_ids.push_back(ids.at(token));
  }
  special = text_internal::PrefixTrie(keys);
  return absl::OkStatus();
}

BpeTokenizer::BpeTokenizer(std::shared_ptr<const Vocabulary> vocabulary)
    : vocabulary_(std::move(vocabulary)) {}

absl::StatusOr<BpeTokenizer> BpeTokenizer::Load(absl::string_view vocab_path,
                                                absl::string_view merges_path,
                                                const BpeOptions& options) {
  SEPTET_ASSIGN_OR_RETURN(const MappedFile vocab, MappedFile::Open(vocab_path));
  SEPTET_ASSIGN_OR_RETURN(const MappedFile merges,
                          MappedFile::Open(merges_path));
  return Parse(vocab.data(), vocab_path, merges.data(), merges_path, options);
}

absl::StatusOr<BpeTokenizer> BpeTokenizer::Parse(absl::string_view vocab,
                                                 absl::string_view vocab_name,
                                                 absl::string_view merges,
                                                 absl::string_view merges_name,
                                                 const BpeOptions& options) {
  SEPTET_ASSIGN_OR_RETURN(const JsonValue object,
                          JsonValue::Parse(vocab, vocab_name));
  if (object.kind() != JsonValue::Kind::kObject) {
    return absl::DataLossError(
        absl::StrCat(vocab_name, ": is not an object of tokens and ids"));
  }
  const std::array<uint8_t, kNumStandIns> stand_ins = StandIns();
  const absl::flat_hash_set<std::string> special(options.special_tokens.begin(),
                                                 options.special_tokens.end());
  absl::flat_hash_map<std::string, int64_t> found;
  for (const std::string& written : object.names()) {
    SEPTET_ASSIGN_OR_RETURN(const int64_t id, object.GetInteger(written));
    std::string bytes = written;
    if (!special.contains(written)) {
      SEPTET_ASSIGN_OR_RETURN(bytes, TokenBytes(stand_ins, written),
                              _ << vocab_name);
    }
    if (bytes.empty()) {
      return absl::DataLossError(absl::StrCat(
          vocab_name, ": the token with the id ", id, " is empty"));
    }
    if (!found.emplace(std::move(bytes), id).second) {
      return absl::DataLossError(absl::StrCat(
          vocab_name, ": token ", QuoteName(written), " is there twice"));
    }
  }
  auto result = std::make_shared<Vocabulary>();
  SEPTET_RETURN_IF_ERROR(result->AddIds(std::move(found), options, vocab_name));

  Line line;
  uint32_t rank = 0;
  while (NextLine(&merges, &line)) {
    if (line.number == 1 && absl::StartsWith(line.text, "#version")) continue;
    // As a last line, or between.
    if (line.text.empty()) continue;
    const auto wrong = [&](absl::string_view what) {
      return absl::DataLossError(absl::StrCat(
          merges_name, ":", line.number, ": ", QuoteName(line.text), what));
    };
    const size_t space = line.text.find(' ');
    if (space == absl::string_view::npos || space == 0 ||
        space + 1 == line.text.size() ||
        line.text.find(' ', space + 1) != absl::string_view::npos) {
      return wrong(", expected two tokens with one space between");
    }
    std::array<std::string, 3> bytes;
    std::array<int32_t, 3> token_ids{};
    for (size_t i = 0; i < 3; ++i) {
      if (i == 2) {
        bytes[i] = bytes[0] + bytes[1];
      } else {
        const absl::string_view written =
            i == 0 ? line.text.substr(0, space) : line.text.substr(space + 1);
        SEPTET_ASSIGN_OR_RETURN(bytes[i], TokenBytes(stand_ins, written),
                                _ << merges_name << ":" << line.number);
      }
      const auto id = result->ids.find(bytes[i]);
      if (id == result->ids.end()) {
        return wrong(absl::StrCat(": ", vocab_name, " has no token with the ",
                                  "bytes ", QuoteName(bytes[i])));
      }
      token_ids[i] = id->second;
    }
    const bool added = result->merges
                           .emplace(PairKey(token_ids[0], token_ids[1]),
                                    Merge{rank, token_ids[2]})
                           .second;
    if (!added) return wrong(" is there already");
    ++rank;
  }
  return BpeTokenizer(std::move(result));
}

absl::StatusOr<BpeTokenizer> BpeTokenizer::LoadRanks(
    absl::string_view path, const BpeOptions& options) {
  SEPTET_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  return ParseRanks(file.data(), path, options);
}

absl::StatusOr<BpeTokenizer> BpeTokenizer::ParseRanks(
    absl::string_view ranks, absl::string_view name,
    const BpeOptions& options) {
  absl::flat_hash_map<std::string, int64_t> found;
  Line line;
  while (NextLine(&ranks, &line)) {
    if (line.text.empty()) continue;
    const auto wrong = [&](absl::string_view what) {
      return absl::DataLossError(absl::StrCat(name, ":", line.number, ": ",
                                              QuoteName(line.text), what));
    };
    const size_t space = line.text.find(' ');
    std::string token;
    int32_t id;
    if (space == absl::string_view::npos ||
        !absl::Base64Unescape(line.text.substr(0, space), &token) ||
        token.empty() || !absl::SimpleAtoi(line.text.substr(space + 1), &id)) {
      return wrong(", expected a token in base64, a space and its rank");
    }
    if (token.size() > kMaxRankedTokenBytes) {
      return wrong(absl::StrCat(" has ", token.size(), " bytes, expected at ",
                                "most ", kMaxRankedTokenBytes));
    }
    if (!found.emplace(std::move(token), id).second) {
      return wrong(" is a token that is there already");
    }
  }
  auto result = std::make_shared<Vocabulary>();
  result->whole_pieces = true;
  std::vector<std::pair<std::string, int64_t>> ranked(found.begin(),
                                                      found.end());
  SEPTET_RETURN_IF_ERROR(result->AddIds(std::move(found), options, name));
  // A pair is merged if what it gives is a token, with the rank of that.
  for (const auto& entry : ranked) {
    const absl::string_view token = entry.first;
    for (size_t cut = 1; cut < token.size(); ++cut) {
      const auto left = result->ids.find(token.substr(0, cut));
      if (left == result->ids.end()) continue;
      const auto right = result->ids.find(token.substr(cut));
      if (right == result->ids.end()) continue;
      result->merges.emplace(PairKey(left->second, right->second),
                             Merge{static_cast<uint32_t>(entry.second),
                                   static_cast<int32_t>(entry.second)});
    }
  }
  return BpeTokenizer(std::move(result));
}

void BpeTokenizer::Vocabulary::MergeShort(absl::string_view piece,
                                          std::vector<int32_t>* out) const {
  std::array<int32_t, kShortPieceBytes> ids;
  std::array<Merge, kShortPieceBytes> pairs;  // of i and i + 1
  size_t n = piece.size();
  for (size_t i = 0; i < n; ++i) {
    ids[i] = byte_ids[static_cast<uint8_t>(piece[i])];
  }
  for (size_t i = 0; i + 1 < n; ++i) pairs[i] = FindMerge(ids[i], ids[i + 1]);
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; ++i) {
      if (pairs[i].rank < pairs[best].rank) best = i;
    }
    if (pairs[best].rank == kNoRank) break;
    ids[best] = pairs[best].id;
    std::copy(ids.begin() + best + 2, ids.begin() + n, ids.begin() + best + 1);
    std::copy(pairs.begin() + best + 2, pairs.begin() + n,
              pairs.begin() + best + 1);
    --n;
    if (best > 0) pairs[best - 1] = FindMerge(ids[best - 1], ids[best]);
    if (best + 1 < n) pairs[best] = FindMerge(ids[best], ids[best + 1]);
  }
  out->insert(out->end(), ids.begin(), ids.begin() + n);
}

void BpeTokenizer::Vocabulary::MergeLong(absl::string_view piece,
                                         std::vector<int32_t>* out) const {
  constexpr size_t kEnd = std::numeric_limits<size_t>::max();
  // A list of the tokens left, each at the place of its first byte.
  struct Symbol {
    int32_t id;
    size_t previous;
    size_t next;
  };
  std::vector<Symbol> symbols(piece.size());
  // Rank and place, the smallest first; what the pair was tells whether it
  // still is.
  struct Candidate {
    uint32_t rank;
    size_t place;
    int32_t left;
    int32_t right;
    int32_t id;
    bool operator>(const Candidate& other) const {
      return std::tie(rank, place) > std::tie(other.rank, other.place);
    }
  };
  std::priority_queue<Candidate, std::vector<Candidate>,
                      std::greater<Candidate>>
      queue;
  const auto add = [&](size_t place) {
    const Symbol& left = symbols[place];
    if (left.next == kEnd) return;
    const Merge merge = FindMerge(left.id, symbols[left.next].id);
    if (merge.rank == kNoRank) return;
    queue.push({merge.rank, place, left.id, symbols[left.next].id, merge.id});
  };
  for (size_t i = 0; i < piece.size(); ++i) {
    symbols[i] = {byte_ids[static_cast<uint8_t>(piece[i])],
                  i == 0 ? kEnd : i - 1, i + 1 == piece.size() ? kEnd : i + 1};
  }
  for (size_t i = 0; i < piece.size(); ++i) add(i);
  constexpr int32_t kGone = -1;
  while (!queue.empty()) {
    const Candidate top = queue.top();
    queue.pop();
    Symbol& left = symbols[top.place];
    if (left.id != top.left || left.next == kEnd ||
        symbols[left.next].id != top.right) {
      continue;
    }
    Symbol& right = symbols[left.next];
    left.id = top.id;
    left.next = right.next;
    right.id = kGone;
    if (left.next != kEnd) symbols[left.next].previous = top.place;
    if (left.previous != kEnd) add(left.previous);
    add(top.place);
  }
  for (size_t i = 0; i != kEnd; i = symbols[i].next) {
    out->push_back(symbols[i].id);
  }
}

void BpeTokenizer::Vocabulary::EncodePiece(absl::string_view piece,
                                           std::vector<int32_t>* out) const {
  if (whole_pieces) {
    const auto id = ids.find(piece);
    size_t bytes = 0;
    const bool is_special =
        special.Longest(piece, &bytes) != text_internal::PrefixTrie::kNone &&
        bytes == piece.size();
    if (id != ids.end() && !is_special) {
      out->push_back(id->second);
      return;
    }
  }
  if (piece.size() <= kShortPieceBytes) {
    MergeShort(piece, out);
  } else {
    MergeLong(piece, out);
  }
}

void BpeTokenizer::Vocabulary::EncodeText(absl::string_view text, Cache* cache,
                                          std::vector<int32_t>* out) const {
  while (!text.empty()) {
    const absl::string_view piece = text.substr(0, Gpt2PieceBytes(text));
    text.remove_prefix(piece.size());
    if (piece.size() == 1) {
      out->push_back(byte_ids[static_cast<uint8_t>(piece[0])]);
      continue;
    }
    if (piece.size() > kCachedBytes) {
      EncodePiece(piece, out);
      continue;
    }
    std::array<uint64_t, 2> bytes = {0, 0};
    std::memcpy(bytes.data(), piece.data(), piece.size());
    // Fibonacci hashing of both halves; an entry is overwritten by the next
    // piece with its number.
    const uint64_t hash =
        (bytes[0] ^ (bytes[1] * 0xff51afd7ed558ccdULL)) * 0x9e3779b97f4a7c15ULL;
    static_assert(kCacheEntries == 1 << 13, "the top 13 bits are the number");
    CacheEntry& entry = (*cache)[hash >> (64 - 13)];
    if (entry.num_bytes == piece.size() && entry.bytes == bytes) {
      out->insert(out->end(), entry.ids.begin(),
                  entry.ids.begin() + entry.num_ids);
      continue;
    }
    const size_t before = out->size();
    EncodePiece(piece, out);
    const size_t count = out->size() - before;
    if (count > kCachedIds) continue;
    entry.bytes = bytes;
    entry.num_bytes = static_cast<uint8_t>(piece.size());
    entry.num_ids = static_cast<uint8_t>(count);
    std::copy(out->begin() + static_cast<std::ptrdiff_t>(before), out->end(),
              entry.ids.begin());
  }
}

absl::StatusOr<std::vector<int32_t>> BpeTokenizer::Encode(
    absl::string_view text) const {
  std::vector<int32_t> out;
  std::unique_ptr<Cache> cache = vocabulary_->TakeCache();
  vocabulary_->EncodeText(text, cache.get(), &out);
  vocabulary_->GiveCache(std::move(cache));
  return out;
}

absl::StatusOr<std::vector<int32_t>> BpeTokenizer::EncodeWithSpecial(
    absl::string_view text) const {
  std::vector<int32_t> out;
  std::unique_ptr<Cache> cache = vocabulary_->TakeCache();
  size_t begin = 0;  // of what is not encoded yet
  size_t position = 0;
  while (position < text.size()) {
    size_t bytes = 0;
    const int32_t special =
        vocabulary_->special.Longest(text.substr(position), &bytes);
    if (special == text_internal::PrefixTrie::kNone) {
      ++position;
      continue;
    }
    vocabulary_->EncodeText(text.substr(begin, position - begin), cache.get(),
                            &out);
    out.push_back(vocabulary_->special_ids[static_cast<size_t>(special)]);
    position += bytes;
    begin = position;
  }
  vocabulary_->EncodeText(text.substr(begin), cache.get(), &out);
  vocabulary_->GiveCache(std::move(cache));
  return out;
}

int32_t BpeTokenizer::vocab_size() const {
  return static_cast<int32_t>(vocabulary_->tokens.size());
}

absl::StatusOr<int32_t> BpeTokenizer::TokenId(absl::string_view bytes) const {
  const auto id = vocabulary_->ids.find(bytes);
  if (id != vocabulary_->ids.end()) return id->second;
  return absl::NotFoundError(
      absl::StrCat("BpeTokenizer: no token ", QuoteName(bytes)));
}

void BpeTokenizer::DecodeToken(int32_t id, DecodeState* /*state*/,
                               std::string* out) const {
  *out += vocabulary_->tokens[static_cast<size_t>(id)];
}

}  // namespace septet
