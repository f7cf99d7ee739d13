// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/token_bin.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/io/quote.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "ids are little endian and are copied as they are"
#endif

namespace septet {
namespace {

constexpr size_t kHeaderBytes = 256 * sizeof(int32_t);

// llm.c's files of questions with choices, which look alike.
constexpr int32_t kEvaluationMagic = 20240522;

// Ids are turned and written, or checked, in pieces of so many.
constexpr size_t kPieceTokens = 16 << 10;

struct FormatRow {
  TokenBinFormat format;
  absl::string_view name;
  size_t token_bytes;
  int32_t magic;  // 0 without a header
  int32_t version;
};

constexpr FormatRow kFormats[] = {
    {TokenBinFormat::kAuto, "auto", 0, 0, 0},
    {TokenBinFormat::kRawU16, "raw_u16", 2, 0, 0},
    {TokenBinFormat::kRawU32, "raw_u32", 4, 0, 0},
    {TokenBinFormat::kLlmCGpt2, "llm_c_gpt2", 2, 20240520, 1},
    {TokenBinFormat::kLlmCLlama3, "llm_c_llama3", 4, 20240801, 7},
};

const FormatRow& RowOf(TokenBinFormat format) {
  return kFormats[static_cast<int>(format)];
}

int32_t HeaderInt(absl::string_view file, size_t index) {
  int32_t value;
  std::memcpy(&value, file.data() + sizeof(value) * index, sizeof(value));
  return value;
}

const FormatRow& Detect(absl::string_view file) {
  if (file.size() >= sizeof(int32_t)) {
    for (const FormatRow& row : kFormats) {
      if (row.magic != 0 && row.magic == HeaderInt(file, 0)) return row;
    }
  }
  return RowOf(TokenBinFormat::kRawU16);
}

// The number of ids, or what is wrong with the file.
absl::StatusOr<int64_t> CountTokens(absl::string_view file,
                                    const FormatRow& row) {
  if (row.magic == 0) {
    if (file.empty()) {
      return absl::DataLossError(absl::StrCat(
          "the file is empty, expected ids of ", row.token_bytes, " bytes"));
    }
    if (file.size() % row.token_bytes != 0) {
      return absl::DataLossError(
          absl::StrCat("has ", file.size(), " bytes, expected a multiple of ",
                       row.token_bytes, " for the format ", row.name));
    }
    return static_cast<int64_t>(file.size() / row.token_bytes);
  }
  if (file.size() < kHeaderBytes) {
    return absl::DataLossError(absl::StrCat("truncated: has ", file.size(),
                                            " bytes, the header of the format ",
                                            row.name, " has ", kHeaderBytes));
  }
  if (HeaderInt(file, 0) != row.magic) {
    return absl::DataLossError(
        absl::StrCat("header: begins with ", HeaderInt(file, 0), ", expected ",
                     row.magic, " for the format ", row.name,
                     HeaderInt(file, 0) == kEvaluationMagic
                         ? "; this is a file of questions of llm.c"
                         : ""));
  }
  if (HeaderInt(file, 1) != row.version) {
    return absl::DataLossError(
        absl::StrCat("header: the version is ", HeaderInt(file, 1),
                     ", expected ", row.version, " for the format ", row.name));
  }
  const int64_t count = HeaderInt(file, 2);
  if (count < 0) {
    return absl::DataLossError(
        absl::StrCat("header: the number of ids is ", count));
  }
  const uint64_t needed =
      kHeaderBytes + row.token_bytes * static_cast<uint64_t>(count);
  if (file.size() != needed) {
    return absl::DataLossError(
        absl::StrCat(file.size() < needed ? "truncated" : "too long", ": has ",
                     file.size(), " bytes, the header says ", count, " ids of ",
                     row.token_bytes, " bytes, which makes ", needed));
  }
  return count;
}

// Copies ids to `tokens` and returns the first that is not below `vocab_size`,
// or `count`. Without a branch for each id, so that it is done in vectors.
template <typename T>
size_t CopyTokens(const char* bytes, size_t count, int64_t vocab_size,
                  int32_t* tokens) {
  const auto largest = static_cast<uint32_t>(vocab_size - 1);
  uint32_t most = 0;
  for (size_t i = 0; i < count; ++i) {
    T token;
    std::memcpy(&token, bytes + sizeof(T) * i, sizeof(T));
    most = std::max<uint32_t>(most, token);
    tokens[i] = static_cast<int32_t>(token);
  }
  if (most <= largest) return count;
  size_t first = 0;
  while (static_cast<uint32_t>(tokens[first]) <= largest) ++first;
  return first;
}

}  // namespace

absl::string_view TokenBinFormatName(TokenBinFormat format) {
  return RowOf(format).name;
}

absl::StatusOr<TokenBinFormat> ParseTokenBinFormat(absl::string_view name) {
  for (const FormatRow& row : kFormats) {
    if (row.name == name) return row.format;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "no format of token files ", QuoteName(name), "; there are ",
      absl::StrJoin(kFormats, ", ", [](std::string* out, const FormatRow& row) {
        absl::StrAppend(out, row.name);
      })));
}

struct TokenBin::Content {
  std::string path;
  std::optional<MappedFile> mapping;
  std::string bytes;  // where there is no mapping
  const FormatRow* row = nullptr;
  int64_t size = 0;
  int64_t vocab_size = 0;

  absl::string_view file() const {
    return mapping.has_value() ? mapping->data() : absl::string_view(bytes);
  }
};

TokenBin::TokenBin(std::shared_ptr<const Content> content)
    : content_(std::move(content)) {}

absl::StatusOr<TokenBin> TokenBin::Start(std::shared_ptr<Content> content,
                                         const TokenBinOptions& options) {
  if (options.vocab_size < 1 || options.vocab_size > int64_t{1} << 31) {
    return absl::InvalidArgumentError(
        absl::StrCat(content->path, ": TokenBinOptions: vocab_size is ",
                     options.vocab_size, ", expected 1 to 2147483648"));
  }
  content->row = options.format == TokenBinFormat::kAuto
                     ? &Detect(content->file())
                     : &RowOf(options.format);
  content->vocab_size = options.vocab_size;
  SEPTET_ASSIGN_OR_RETURN(content->size,
                          CountTokens(content->file(), *content->row),
                          _ << content->path);
  return TokenBin(std::move(content));
}

absl::StatusOr<TokenBin> TokenBin::Open(absl::string_view path,
                                        const TokenBinOptions& options) {
  auto content = std::make_shared<Content>();
  content->path = std::string(path);
  SEPTET_ASSIGN_OR_RETURN(content->mapping, MappedFile::Open(path));
  return Start(std::move(content), options);
}

absl::StatusOr<TokenBin> TokenBin::FromBytes(std::string bytes,
                                             absl::string_view name,
                                             const TokenBinOptions& options) {
  auto content = std::make_shared<Content>();
  content->path = std::string(name);
  content->bytes = std::move(bytes);
  return Start(std::move(content), options);
}

int64_t TokenBin::size() const { return content_->size; }
TokenBinFormat TokenBin::format() const { return content_->row->format; }
const std::string& TokenBin::path() const { return content_->path; }

absl::Status TokenBin::Read(int64_t begin, absl::Span<int32_t> tokens) const {
  const Content& content = *content_;
  const auto count = static_cast<int64_t>(tokens.size());
  if (begin < 0 || count > content.size || begin > content.size - count) {
    return absl::InvalidArgumentError(
        absl::StrCat(content.path, ": ", count, " ids from ", begin,
                     " on were asked for, there are ", content.size));
  }
  const size_t bytes = content.row->token_bytes;
  const char* const data = content.file().data() +
                           (content.row->magic == 0 ? 0 : kHeaderBytes) +
                           bytes * static_cast<size_t>(begin);
  const size_t good =
      bytes == 2 ? CopyTokens<uint16_t>(data, tokens.size(), content.vocab_size,
                                        tokens.data())
                 : CopyTokens<uint32_t>(data, tokens.size(), content.vocab_size,
                                        tokens.data());
  if (good == tokens.size()) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat(content.path, ": id ", begin + static_cast<int64_t>(good),
                   " is ", static_cast<uint32_t>(tokens[good]),
                   ", expected less than ", content.vocab_size));
}

absl::Status TokenBin::CheckAll() const {
  std::vector<int32_t> piece(kPieceTokens);
  for (int64_t begin = 0; begin < size();) {
    const int64_t count =
        std::min<int64_t>(size() - begin, static_cast<int64_t>(piece.size()));
    SEPTET_RETURN_IF_ERROR(Read(begin, absl::MakeSpan(piece.data(), count)));
    begin += count;
  }
  return absl::OkStatus();
}

absl::Status WriteTokenBin(absl::string_view path,
                           absl::Span<const int32_t> tokens,
                           TokenBinFormat format) {
  const FormatRow& row = RowOf(format);
  if (format == TokenBinFormat::kAuto) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": the format to write is auto, expected one of the others"));
  }
  if (row.magic == 0 && tokens.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": there are no ids, which the format ", row.name,
                     " cannot tell from a file that was lost"));
  }
  if (row.magic != 0 && tokens.size() > size_t{INT32_MAX}) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": there are ", tokens.size(), " ids, the header of the format ",
        row.name, " counts to ", INT32_MAX));
  }
  const int32_t largest = row.token_bytes == 2 ? UINT16_MAX : INT32_MAX;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0 || tokens[i] > largest) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": id ", i, " is ", tokens[i], ", the format ",
                       row.name, " holds 0 to ", largest));
    }
  }
  SEPTET_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  if (row.magic != 0) {
    std::string header(kHeaderBytes, '\0');
    const int32_t fields[] = {row.magic, row.version,
                              static_cast<int32_t>(tokens.size())};
    std::memcpy(&header[0], fields, sizeof(fields));
    SEPTET_RETURN_IF_ERROR(file.Append(header));
  }
  std::string piece;
  while (!tokens.empty()) {
    const absl::Span<const int32_t> part = tokens.subspan(0, kPieceTokens);
    piece.resize(part.size() * row.token_bytes);
    for (size_t i = 0; i < part.size(); ++i) {
      // Little endian: the low bytes come first.
      std::memcpy(&piece[i * row.token_bytes], &part[i], row.token_bytes);
    }
    SEPTET_RETURN_IF_ERROR(file.Append(piece));
    tokens.remove_prefix(part.size());
  }
  return file.Commit();
}

}  // namespace septet
