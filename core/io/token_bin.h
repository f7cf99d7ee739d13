// SPDX-License-Identifier: Apache-2.0
// Token ids of a text, one after the other, in a .bin file: nanoGPT's and
// llm.c's.
//
//   SEPTET_ASSIGN_OR_RETURN(TokenBin tokens, TokenBin::Open("train.bin"));
//   std::vector<int32_t> window(128);
//   SEPTET_RETURN_IF_ERROR(tokens.Read(begin, absl::MakeSpan(window)));
//
//   SEPTET_RETURN_IF_ERROR(
//       WriteTokenBin("val.bin", ids, TokenBinFormat::kRawU16));
//
// Formats, all little endian:
//   kRawU16   ids of 16 bits and nothing else (nanoGPT, data/*/prepare.py)
//   kRawU32   ids of 32 bits and nothing else
//   kLlmCGpt2    256 int32, of which the first three are 20240520, 1 and the
//                number of ids, the others 0; then ids of 16 bits
//   kLlmCLlama3  the same with 20240801 and 7; then ids of 32 bits
// (llm.c: dev/data/data_common.py.)
//
// The file is mapped: opening costs nothing, and what is never read is never
// loaded.
//
// Stability: core's public API; names and meaning stay, additions come.
#ifndef SEPTET_CORE_IO_TOKEN_BIN_H_
#define SEPTET_CORE_IO_TOKEN_BIN_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace septet {

enum class TokenBinFormat {
  // llm.c's if the file begins as one of them does, else kRawU16. A raw file
  // that begins so by chance must be opened by its format's name.
  kAuto,
  kRawU16,
  kRawU32,
  kLlmCGpt2,
  kLlmCLlama3,
};

// "auto", "raw_u16", "raw_u32", "llm_c_gpt2", "llm_c_llama3".
absl::string_view TokenBinFormatName(TokenBinFormat format);

// The inverse. InvalidArgument, with the known names, for others.
absl::StatusOr<TokenBinFormat> ParseTokenBinFormat(absl::string_view name);

struct TokenBinOptions {
  TokenBinFormat format = TokenBinFormat::kAuto;

  // Ids must be below it; at most 2^31. By default any that an int32 holds.
  int64_t vocab_size = int64_t{1} << 31;
};

// An open file. Copies are handles of the same mapping. May be used from
// several threads.
class TokenBin {
 public:
  // Maps the file at `path` and checks its header against its size; the ids are
  // checked as they are read. Errors, which begin with the path: NotFound and
  // the other codes of core/base/file.h; DataLoss if the file is empty, its
  // size is not one of the format, or the header is not the format's;
  // InvalidArgument for a vocabulary of less than 1 or more than 2^31.
  static absl::StatusOr<TokenBin> Open(absl::string_view path,
                                       const TokenBinOptions& options = {});

  // The same with the bytes of a file; `name` stands for the path in messages.
  static absl::StatusOr<TokenBin> FromBytes(
      std::string bytes, absl::string_view name,
      const TokenBinOptions& options = {});

  // Number of ids.
  int64_t size() const;

  // As found; never kAuto.
  TokenBinFormat format() const;

  const std::string& path() const;

  // Ids begin, begin + 1, ... into `tokens`. InvalidArgument if the file does
  // not have them all; DataLoss, with its place, for an id that is not below
  // the vocabulary's size, in which case `tokens` has no meaning.
  absl::Status Read(int64_t begin, absl::Span<int32_t> tokens) const;

  // Reads the whole file and returns the first error of an id.
  absl::Status CheckAll() const;

 private:
  struct Content;
  explicit TokenBin(std::shared_ptr<const Content> content);
  static absl::StatusOr<TokenBin> Start(std::shared_ptr<Content> content,
                                        const TokenBinOptions& options);

  std::shared_ptr<const Content> content_;
};

// Writes ids to `path`; the file is there complete, and on disk, or as it was
// before. InvalidArgument for kAuto, for an id that the format cannot hold,
// with its place, for none in a raw format, and for more than 2^31 - 1 in
// llm.c's; else the errors of AtomicFile (core/base/file.h).
absl::Status WriteTokenBin(absl::string_view path,
                           absl::Span<const int32_t> tokens,
                           TokenBinFormat format);

}  // namespace septet

#endif  // SEPTET_CORE_IO_TOKEN_BIN_H_
