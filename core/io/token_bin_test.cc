// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/token_bin.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_testutil.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
using Format = TokenBinFormat;

constexpr Format kFormats[] = {Format::kRawU16, Format::kRawU32,
                               Format::kLlmCGpt2, Format::kLlmCLlama3};

std::string TempPath(absl::string_view name) {
  return absl::StrCat(std::getenv("TEST_TMPDIR"), "/", name);
}

TokenBinOptions WithFormat(Format format) {
  TokenBinOptions options;
  options.format = format;
  return options;
}

TokenBinOptions WithVocabulary(int64_t size, Format format = Format::kAuto) {
  TokenBinOptions options = WithFormat(format);
  options.vocab_size = size;
  return options;
}

absl::Status Open(std::string bytes, const TokenBinOptions& options = {}) {
  return TokenBin::FromBytes(std::move(bytes), "x.bin", options).status();
}

absl::StatusOr<std::vector<int32_t>> ReadAll(const TokenBin& tokens) {
  std::vector<int32_t> ids(tokens.size());
  const absl::Status status = tokens.Read(0, absl::MakeSpan(ids));
  if (!status.ok()) return status;
  return ids;
}

// llm.c's header and so many bytes behind it.
std::string Header(int32_t magic, int32_t version, int32_t count,
                   size_t bytes) {
  std::string file(1024 + bytes, '\0');
  const int32_t fields[] = {magic, version, count};
  std::memcpy(&file[0], fields, sizeof(fields));
  return file;
}

TEST(TokenBinTest, RoundTrip) {
  std::vector<int32_t> ids(40'000);
  std::iota(ids.begin(), ids.end(), 0);
  ids[3] = 65535;
  const std::string path = TempPath("round_trip.bin");
  for (const Format format : kFormats) {
    SCOPED_TRACE(TokenBinFormatName(format));
    const bool raw = format == Format::kRawU16 || format == Format::kRawU32;
    const bool wide =
        format == Format::kRawU32 || format == Format::kLlmCLlama3;
    ids[5] = wide ? INT32_MAX : 7;
    SEPTET_ASSERT_OK(WriteTokenBin(path, ids, format));
    EXPECT_EQ(ReadFileToString(path)->size(),
              (raw ? 0 : 1024) + ids.size() * (wide ? 4 : 2));
    SEPTET_ASSERT_OK_AND_ASSIGN(const TokenBin tokens,
                                TokenBin::Open(path, WithFormat(format)));
    EXPECT_EQ(tokens.path(), path);
    EXPECT_EQ(tokens.format(), format);
    EXPECT_EQ(tokens.size(), 40'000);
    EXPECT_EQ(*ReadAll(tokens), ids);
    SEPTET_EXPECT_OK(tokens.CheckAll());
    std::vector<int32_t> window(4);
    SEPTET_ASSERT_OK(tokens.Read(39'996, absl::MakeSpan(window)));
    EXPECT_THAT(window, ElementsAre(39'996, 39'997, 39'998, 39'999));
    SEPTET_EXPECT_OK(tokens.Read(40'000, {}));
    // Found without being told, where it can be.
    SEPTET_ASSERT_OK_AND_ASSIGN(const TokenBin found, TokenBin::Open(path));
    EXPECT_EQ(found.format(), raw ? Format::kRawU16 : format);
  }
}

TEST(TokenBinTest, BytesAreAsTheFormatsSay) {
  const std::string path = TempPath("bytes.bin");
  SEPTET_ASSERT_OK(WriteTokenBin(path, {1, 513}, Format::kRawU16));
  EXPECT_EQ(*ReadFileToString(path), std::string("\1\0\1\2", 4));
  SEPTET_ASSERT_OK(WriteTokenBin(path, {1, 513}, Format::kRawU32));
  EXPECT_EQ(*ReadFileToString(path), std::string("\1\0\0\0\1\2\0\0", 8));
  SEPTET_ASSERT_OK(WriteTokenBin(path, {1, 513}, Format::kLlmCGpt2));
  EXPECT_EQ(*ReadFileToString(path),
            Header(20240520, 1, 2, 0) + std::string("\1\0\1\2", 4));
  SEPTET_ASSERT_OK(WriteTokenBin(path, {1, 513}, Format::kLlmCLlama3));
  EXPECT_EQ(*ReadFileToString(path),
            Header(20240801, 7, 2, 0) + std::string("\1\0\0\0\1\2\0\0", 8));
}

TEST(TokenBinTest, HandlesShareTheMapping) {
  const std::string path = TempPath("shared.bin");
  SEPTET_ASSERT_OK(WriteTokenBin(path, {1, 2, 3}, Format::kLlmCGpt2));
  absl::StatusOr<TokenBin> first = TokenBin::Open(path);
  SEPTET_ASSERT_OK(first);
  const TokenBin second = *first;
  first = absl::UnknownError("gone");
  EXPECT_THAT(*ReadAll(second), ElementsAre(1, 2, 3));
}

TEST(TokenBinTest, RawFilesThatLookLikeAHeader) {
  std::string bytes = Header(20240520, 99, 0, 0);
  EXPECT_THAT(Open(bytes),
              StatusIs(kDataLoss,
                       "x.bin: header: the version is 99, expected "
                       "1 for the format llm_c_gpt2"));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const TokenBin raw,
      TokenBin::FromBytes(bytes, "x.bin", WithFormat(Format::kRawU16)));
  EXPECT_EQ(raw.size(), 512);
}

TEST(TokenBinTest, Names) {
  for (const Format format : {Format::kAuto, Format::kRawU16, Format::kRawU32,
                              Format::kLlmCGpt2, Format::kLlmCLlama3}) {
    EXPECT_EQ(*ParseTokenBinFormat(TokenBinFormatName(format)), format);
  }
  EXPECT_THAT(ParseTokenBinFormat("u16"),
              StatusIs(kInvalid,
                       "no format of token files 'u16'; there are auto, "
                       "raw_u16, raw_u32, llm_c_gpt2, llm_c_llama3"));
}

TEST(TokenBinTest, SizesThatAreNotTheFormats) {
  EXPECT_THAT(
      Open(""),
      StatusIs(kDataLoss, "x.bin: the file is empty, expected ids of 2 bytes"));
  EXPECT_THAT(
      Open("", WithFormat(Format::kRawU32)),
      StatusIs(kDataLoss, "x.bin: the file is empty, expected ids of 4 bytes"));
  EXPECT_THAT(Open("abc"),
              StatusIs(kDataLoss,
                       "x.bin: has 3 bytes, expected a multiple of "
                       "2 for the format raw_u16"));
  EXPECT_THAT(Open("abcdef", WithFormat(Format::kRawU32)),
              StatusIs(kDataLoss,
                       "x.bin: has 6 bytes, expected a multiple of "
                       "4 for the format raw_u32"));
  EXPECT_THAT(Open("", WithFormat(Format::kLlmCGpt2)),
              StatusIs(kDataLoss,
                       "x.bin: truncated: has 0 bytes, the header "
                       "of the format llm_c_gpt2 has 1024"));
  EXPECT_THAT(Open(Header(20240801, 7, 3, 0).substr(0, 1023)),
              StatusIs(kDataLoss,
                       "x.bin: truncated: has 1023 bytes, the "
                       "header of the format llm_c_llama3 has "
                       "1024"));
}

TEST(TokenBinTest, LyingHeaders) {
  EXPECT_THAT(Open(Header(20240520, 1, 3, 5)),
              StatusIs(kDataLoss,
                       "x.bin: truncated: has 1029 bytes, the header says 3 "
                       "ids of 2 bytes, which makes 1030"));
  EXPECT_THAT(Open(Header(20240520, 1, 3, 8)),
              StatusIs(kDataLoss,
                       "x.bin: too long: has 1032 bytes, the header says 3 "
                       "ids of 2 bytes, which makes 1030"));
  EXPECT_THAT(Open(Header(20240801, 7, INT32_MAX, 0)),
              StatusIs(kDataLoss,
                       "x.bin: truncated: has 1024 bytes, the header says "
                       "2147483647 ids of 4 bytes, which makes 8589935612"));
  EXPECT_THAT(Open(Header(20240520, 1, -1, 0)),
              StatusIs(kDataLoss, "x.bin: header: the number of ids is -1"));
  EXPECT_THAT(Open(Header(20240520, 7, 0, 0)),
              StatusIs(kDataLoss,
                       "x.bin: header: the version is 7, expected 1 "
                       "for the format llm_c_gpt2"));
  EXPECT_THAT(Open(Header(20240520, 1, 0, 0), WithFormat(Format::kLlmCLlama3)),
              StatusIs(kDataLoss,
                       "x.bin: header: begins with 20240520, expected 20240801 "
                       "for the format llm_c_llama3"));
  EXPECT_THAT(
      Open(Header(20240522, 1, 0, 0), WithFormat(Format::kLlmCGpt2)),
      StatusIs(kDataLoss, HasSubstr("; this is a file of questions of llm.c")));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const TokenBin none,
      TokenBin::FromBytes(Header(20240520, 1, 0, 0), "x.bin"));
  EXPECT_EQ(none.size(), 0);
  SEPTET_EXPECT_OK(none.CheckAll());
}

TEST(TokenBinTest, IdsAreBelowTheVocabulary) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const TokenBin tokens,
      TokenBin::FromBytes(std::string("\1\0\2\0\3\0\2\0", 8), "x.bin",
                          WithVocabulary(3)));
  std::vector<int32_t> two(2);
  SEPTET_EXPECT_OK(tokens.Read(0, absl::MakeSpan(two)));
  EXPECT_THAT(two, ElementsAre(1, 2));
  EXPECT_THAT(tokens.Read(1, absl::MakeSpan(two)),
              StatusIs(kDataLoss, "x.bin: id 2 is 3, expected less than 3"));
  EXPECT_THAT(tokens.CheckAll(),
              StatusIs(kDataLoss, "x.bin: id 2 is 3, expected less than 3"));
  // No int32 holds it, whatever the vocabulary.
  SEPTET_ASSERT_OK_AND_ASSIGN(const TokenBin wide,
                              TokenBin::FromBytes("\xff\xff\xff\xff", "x.bin",
                                                  WithFormat(Format::kRawU32)));
  EXPECT_THAT(wide.CheckAll(),
              StatusIs(kDataLoss,
                       "x.bin: id 0 is 4294967295, expected less "
                       "than 2147483648"));
  // Found in any piece.
  std::vector<int32_t> many(50'000, 1);
  many[49'999] = 2;
  const std::string path = TempPath("many.bin");
  SEPTET_ASSERT_OK(WriteTokenBin(path, many, Format::kRawU16));
  EXPECT_THAT(
      TokenBin::Open(path, WithVocabulary(2))->CheckAll(),
      StatusIs(kDataLoss,
               absl::StrCat(path, ": id 49999 is 2, expected less than 2")));
}

TEST(TokenBinTest, WrongUse) {
  for (const int64_t size : {int64_t{0}, int64_t{-1}, (int64_t{1} << 31) + 1}) {
    EXPECT_THAT(Open("ab", WithVocabulary(size)),
                StatusIs(kInvalid,
                         absl::StrCat("x.bin: TokenBinOptions: vocab_size is ",
                                      size, ", expected 1 to 2147483648")));
  }
  SEPTET_ASSERT_OK_AND_ASSIGN(const TokenBin tokens,
                              TokenBin::FromBytes("abcd", "x.bin"));
  std::vector<int32_t> two(2);
  for (const int64_t begin :
       {int64_t{-1}, int64_t{1}, int64_t{INT64_MAX}, int64_t{INT64_MIN}}) {
    EXPECT_THAT(
        tokens.Read(begin, absl::MakeSpan(two)),
        StatusIs(kInvalid, absl::StrCat("x.bin: 2 ids from ", begin,
                                        " on were asked for, there are 2")));
  }
  std::vector<int32_t> three(3);
  EXPECT_THAT(tokens.Read(0, absl::MakeSpan(three)),
              StatusIs(kInvalid, HasSubstr("3 ids from 0 on")));
  const std::string gone = TempPath("gone.bin");
  EXPECT_THAT(TokenBin::Open(gone),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(gone)));
}

TEST(TokenBinTest, WhatCannotBeWritten) {
  const std::string path = TempPath("unwritten.bin");
  EXPECT_THAT(WriteTokenBin(path, {1}, Format::kAuto),
              StatusIs(kInvalid, HasSubstr("the format to write is auto")));
  EXPECT_THAT(WriteTokenBin(path, {}, Format::kRawU16),
              StatusIs(kInvalid, HasSubstr("there are no ids")));
  SEPTET_EXPECT_OK(WriteTokenBin(TempPath("none.bin"), {}, Format::kLlmCGpt2));
  for (const int32_t id : {-1, 65536}) {
    EXPECT_THAT(
        WriteTokenBin(path, {0, id}, Format::kLlmCGpt2),
        StatusIs(kInvalid, absl::StrCat(path, ": id 1 is ", id,
                                        ", the format llm_c_gpt2 holds 0 to "
                                        "65535")));
  }
  EXPECT_THAT(WriteTokenBin(path, {-5}, Format::kRawU32),
              StatusIs(kInvalid, HasSubstr("id 0 is -5, the format raw_u32 "
                                           "holds 0 to 2147483647")));
  EXPECT_FALSE(ReadFileToString(path).ok());
  EXPECT_THAT(
      WriteTokenBin(TempPath("no/folder.bin"), {1}, Format::kRawU16),
      StatusIs(absl::StatusCode::kNotFound, HasSubstr("no/folder.bin")));
}

}  // namespace
}  // namespace septet
