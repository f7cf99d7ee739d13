// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/idx.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <numeric>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/io/gzip.h"
#include "septet/core/tensor/allocator.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
constexpr auto kExhausted = absl::StatusCode::kResourceExhausted;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;

std::string TempPath(absl::string_view name) {
  return absl::StrCat(std::getenv("TEST_TMPDIR"), "/", name);
}

std::string DatasetPath(absl::string_view name) {
  return absl::StrCat(std::getenv("TEST_SRCDIR"),
                      "/dataset_fashion_mnist/fashion-mnist/", name);
}

std::string FileBytes(uint8_t code, std::initializer_list<uint32_t> extents,
                      absl::string_view data) {
  std::string file = {'\0', '\0', static_cast<char>(code),
                      static_cast<char>(extents.size())};
  for (const uint32_t extent : extents) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      file += static_cast<char>(extent >> shift);
    }
  }
  absl::StrAppend(&file, data);
  return file;
}

std::string Compress(absl::string_view text) {
  std::string out;
  GzipWriter writer([&out](absl::string_view piece) {
    out.append(piece.data(), piece.size());
    return absl::OkStatus();
  });
  EXPECT_TRUE(writer.Append(text).ok());
  EXPECT_TRUE(writer.Finish().ok());
  return out;
}

std::string Slurp(const std::string& path) {
  return ReadFileToString(path).value();
}

TEST(IdxTest, BytesAreAsTheFormatSays) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const std::string bytes,
      SerializeIdx(Tensor::FromValues<int32_t>({1, 2}, {1, -2}).value()));
  EXPECT_EQ(bytes, std::string("\0\0\x0c\x02\0\0\0\x01\0\0\0\x02"
                               "\0\0\0\x01\xff\xff\xff\xfe",
                               20));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Tensor f64,
      ParseIdx(
          FileBytes(0x0e, {1}, absl::string_view("\x3f\xf8\0\0\0\0\0\0", 8))));
  EXPECT_EQ(f64.dtype(), DType::kF64);
  EXPECT_EQ(f64.item<double>(), 1.5);
}

TEST(IdxTest, RoundTripOfAllTypesAndRanks) {
  for (const DType dtype :
       {DType::kU8, DType::kI32, DType::kF32, DType::kF64}) {
    for (int rank = 1; rank <= kMaxRank; ++rank) {
      std::vector<int64_t> dims(rank, 2);
      dims[0] = 3;
      int64_t n = 3;
      for (int i = 1; i < rank; ++i) n *= 2;
      std::vector<double> values(n);
      std::iota(values.begin(), values.end(), dtype == DType::kU8 ? 0 : -100);
      const Tensor x = Tensor::FromValues<double>(Shape(dims), values)
                           .value()
                           .To(dtype)
                           .value();
      for (const char* name : {"x.idx", "x.idx.gz"}) {
        SCOPED_TRACE(absl::StrCat(DTypeName(dtype), " ", rank, " ", name));
        const std::string path = TempPath(name);
        SEPTET_ASSERT_OK(WriteIdx(path, x));
        EXPECT_EQ(IsGzip(Slurp(path)), absl::string_view(name) == "x.idx.gz");
        SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor read, ReadIdx(path));
        EXPECT_EQ(read.dtype(), dtype);
        EXPECT_EQ(read.shape(), x.shape());
        EXPECT_TRUE(read.IsContiguous());
        EXPECT_EQ(
            std::memcmp(read.raw_data(), x.raw_data(), n * DTypeSize(dtype)),
            0);
      }
    }
  }
}

TEST(IdxTest, LargerThanAPiece) {
  const int64_t n = 100'003;
  std::vector<double> values(n);
  std::iota(values.begin(), values.end(), 0.5);
  const Tensor x = Tensor::FromValues<double>({n}, values).value();
  const std::string path = TempPath("large.idx.gz");
  SEPTET_ASSERT_OK(WriteIdx(path, x));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor read, ReadIdx(path));
  EXPECT_EQ(read.ToVector<double>(), values);
}

TEST(IdxTest, TensorsNeedNotBeContiguous) {
  const Tensor x =
      Tensor::FromValues<int32_t>({2, 3}, {0, 1, 2, 3, 4, 5}).value();
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string bytes,
                              SerializeIdx(x.Permute({1, 0}).value()));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor read, ParseIdx(bytes));
  EXPECT_THAT(read.ToVector<int32_t>(), ElementsAre(0, 3, 1, 4, 2, 5));
}

TEST(IdxTest, TensorsWithoutElements) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const std::string bytes,
      SerializeIdx(Tensor::Zeros({0, 28, 28}, DType::kU8).value()));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor read, ParseIdx(bytes));
  EXPECT_EQ(read.shape(), Shape({0, 28, 28}));
}

// Python's gzip and NumPy wrote it: -3, -2.5, ... as f32.
TEST(IdxTest, FileOfAnotherProgram) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor x,
                              ReadIdx("core/io/testdata/python.idx.gz"));
  EXPECT_EQ(x.DebugString(),
            Tensor::Zeros({2, 3, 4}, DType::kF32)->DebugString());
  const std::vector<float> values = x.ToVector<float>();
  for (int i = 0; i < 24; ++i) EXPECT_EQ(values[i], i * 0.5f - 3.0f);
}

TEST(IdxTest, FashionMnist) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Tensor labels, ReadIdx(DatasetPath("t10k-labels-idx1-ubyte.gz")));
  EXPECT_EQ(labels.dtype(), DType::kU8);
  ASSERT_EQ(labels.shape(), Shape({10000}));
  std::vector<int> counts(10);
  for (const int label : labels.ToVector<int32_t>()) {
    ASSERT_LT(label, 10);
    ++counts[label];
  }
  // The classes are of the same size.
  EXPECT_EQ(counts, std::vector<int>(10, 1000));
  EXPECT_THAT(labels.Slice(0, 0, 5)->ToVector<int32_t>(),
              ElementsAre(9, 2, 1, 1, 6));

  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Tensor images, ReadIdx(DatasetPath("t10k-images-idx3-ubyte.gz")));
  EXPECT_EQ(images.dtype(), DType::kU8);
  ASSERT_EQ(images.shape(), Shape({10000, 28, 28}));
  const uint8_t* const pixels = images.data<uint8_t>();
  const int64_t sum = std::accumulate(pixels, pixels + 7'840'000, int64_t{0});
  // By NumPy from the same file.
  EXPECT_EQ(sum, 573469082);
}

TEST(IdxTest, GzipIsSeenFromTheContent) {
  const std::string file = FileBytes(0x08, {2}, "ab");
  const std::string plain = TempPath("plain.gz");
  SEPTET_ASSERT_OK(WriteFileAtomically(plain, file));
  EXPECT_THAT(ReadIdx(plain)->ToVector<int32_t>(), ElementsAre('a', 'b'));
  const std::string compressed = TempPath("compressed");
  SEPTET_ASSERT_OK(WriteFileAtomically(compressed, Compress(file)));
  EXPECT_THAT(ReadIdx(compressed)->ToVector<int32_t>(), ElementsAre('a', 'b'));
}

TEST(IdxTest, MembersOfGzipAreOneFile) {
  const std::string file = FileBytes(0x08, {4}, "abcd");
  for (size_t cut = 0; cut <= file.size(); ++cut) {
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const Tensor x, ParseIdx(absl::StrCat(Compress(file.substr(0, cut)),
                                              Compress(file.substr(cut)))));
    EXPECT_THAT(x.ToVector<int32_t>(), ElementsAre('a', 'b', 'c', 'd'));
  }
}

TEST(IdxTest, TheSameTensorGivesTheSameBytes) {
  const Tensor x = Tensor::Full({100}, 3, DType::kF32).value();
  SEPTET_ASSERT_OK(WriteIdx(TempPath("a.gz"), x));
  SEPTET_ASSERT_OK(WriteIdx(TempPath("b.gz"), x));
  EXPECT_EQ(Slurp(TempPath("a.gz")), Slurp(TempPath("b.gz")));
}

TEST(IdxTest, TruncatedFiles) {
  const std::string file = FileBytes(0x0d, {2, 1}, "abcdefgh");
  for (size_t size = 0; size < file.size(); ++size) {
    const absl::string_view cut = absl::string_view(file).substr(0, size);
    const std::string expected =
        size < 4    ? absl::StrCat("not an IDX file: has ", size,
                                   " bytes, needs at least 4 for the type and the "
                                      "number of axes")
        : size < 12 ? absl::StrCat(
                          "IDX: truncated: the extents of 2 axes need 8 "
                          "bytes, there are ",
                          size - 4)
                    : absl::StrCat(
                          "IDX: truncated: f32 [2, 1] needs 8 bytes after "
                          "the header of 12, the file has ",
                          size - 12);
    EXPECT_THAT(ParseIdx(cut), StatusIs(kDataLoss, expected));
  }
  EXPECT_THAT(ParseIdx(Compress(file.substr(0, 15))),
              StatusIs(kDataLoss,
                       "IDX: f32 [2, 1] needs 8 bytes after the header of 12, "
                       "the file has 3: truncated"));
  const std::string gzip = Compress(file);
  for (size_t size = 2; size < gzip.size(); ++size) {
    EXPECT_THAT(ParseIdx(gzip.substr(0, size)),
                StatusIs(kDataLoss, HasSubstr("truncated")));
  }
}

TEST(IdxTest, LongerFiles) {
  const std::string file = FileBytes(0x08, {2}, "abc");
  const char* const expected =
      "IDX: u8 [2] needs 2 bytes after the header of 8, the file has more";
  EXPECT_THAT(ParseIdx(file), StatusIs(kDataLoss, expected));
  EXPECT_THAT(ParseIdx(Compress(file)), StatusIs(kDataLoss, expected));
  EXPECT_THAT(
      ParseIdx(absl::StrCat(Compress(FileBytes(0x08, {2}, "ab")), "rest")),
      StatusIs(kDataLoss, HasSubstr("but 4 other bytes follow")));
}

TEST(IdxTest, ChecksumsAreCompared) {
  std::string gzip = Compress(FileBytes(0x08, {2}, "ab"));
  gzip[gzip.size() - 8] ^= 1;
  EXPECT_THAT(ParseIdx(gzip),
              StatusIs(kDataLoss, HasSubstr("incorrect data check")));
}

TEST(IdxTest, OtherFiles) {
  EXPECT_THAT(ParseIdx("\x89PNG....."),
              StatusIs(kDataLoss,
                       "not an IDX file: begins with 0x89 0x50, expected two "
                       "zero bytes"));
  for (const uint8_t code : {0x00, 0x07, 0x0a, 0x0f, 0xff}) {
    EXPECT_THAT(
        ParseIdx(FileBytes(code, {1}, "x")),
        StatusIs(
            kDataLoss,
            AllOf(StartsWith("not an IDX file: the type is 0x"),
                  HasSubstr(absl::StrCat(absl::Hex(code, absl::kZeroPad2))))));
  }
  EXPECT_THAT(ParseIdx(FileBytes(0x08, {}, "")),
              StatusIs(kDataLoss, "IDX: has 0 axes, expected at least 1"));
}

TEST(IdxTest, WhatWeDoNotHaveIsNamed) {
  EXPECT_THAT(
      ParseIdx(FileBytes(0x09, {1}, "x")),
      StatusIs(kUnimplemented,
               "IDX: no elements of type i8 here; the format has u8, i8 (not "
               "here), i16 (not here), i32, f32, f64"));
  EXPECT_THAT(
      ParseIdx(FileBytes(0x0b, {1}, "xy")),
      StatusIs(kUnimplemented, StartsWith("IDX: no elements of type i16")));
  EXPECT_THAT(
      ParseIdx(FileBytes(0x08, {1, 1, 1, 1, 1, 1, 1, 1, 1}, "x")),
      StatusIs(kUnimplemented, "IDX: has 9 axes, at most 8 are supported"));
}

TEST(IdxTest, LyingHeadersAllocateNothing) {
  const AllocatorStats before = CpuAllocator().Stats();
  EXPECT_THAT(
      ParseIdx(FileBytes(0x08, {60000, 28, 28}, "x")),
      StatusIs(kDataLoss,
               "IDX: truncated: u8 [60000, 28, 28] needs 47040000 bytes after "
               "the header of 16, the file has 1"));
  const std::string gzip = Compress(FileBytes(0x08, {60000, 28, 28}, ""));
  EXPECT_THAT(
      ParseIdx(gzip),
      StatusIs(kDataLoss,
               absl::StrCat("IDX: truncated: u8 [60000, 28, 28] needs 47040000 "
                            "bytes after the header of 16, the file has no "
                            "more than ",
                            gzip.size() * 1032, " even if decompressed")));
  const uint32_t most = 0xffffffff;
  for (const uint8_t code : {0x08, 0x0e}) {
    EXPECT_THAT(
        ParseIdx(FileBytes(code, {most, most, most}, "x")),
        StatusIs(kDataLoss, HasSubstr("[4294967295, 4294967295, 4294967295] "
                                      "needs more bytes than a file can "
                                      "have")));
  }
  EXPECT_EQ(CpuAllocator().Stats().system_allocations,
            before.system_allocations);
}

TEST(IdxTest, LimitOfBytes) {
  // Which a file may well hold.
  const std::string gzip =
      Compress(FileBytes(0x0c, {1000, 1000}, std::string(4'000'000, '\0')));
  EXPECT_THAT(ParseIdx(gzip, {/*max_bytes=*/3'999'999}),
              StatusIs(kExhausted,
                       "IDX: i32 [1000, 1000] needs 4000000 bytes, "
                       "options.max_bytes allows 3999999"));
  SEPTET_EXPECT_OK(ParseIdx(gzip, {/*max_bytes=*/4'000'000}));
}

TEST(IdxTest, MessagesBeginWithThePath) {
  const std::string gone = TempPath("gone.idx");
  EXPECT_THAT(ReadIdx(gone),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(gone)));
  const std::string empty = TempPath("empty.idx");
  SEPTET_ASSERT_OK(WriteFileAtomically(empty, ""));
  EXPECT_THAT(ReadIdx(empty),
              StatusIs(kDataLoss, StartsWith(absl::StrCat(
                                      empty, ": not an IDX file: has 0"))));
  EXPECT_THAT(
      WriteIdx(TempPath("no/such/folder.idx"),
               Tensor::Zeros({1}, DType::kU8).value()),
      StatusIs(absl::StatusCode::kNotFound, HasSubstr("no/such/folder.idx")));
}

TEST(IdxTest, TensorsThatCannotBeWritten) {
  const std::string path = TempPath("unwritten.idx.gz");
  EXPECT_THAT(WriteIdx(path, Tensor()),
              StatusIs(kInvalid, AllOf(StartsWith(path),
                                       HasSubstr("expected elements"))));
  EXPECT_THAT(WriteIdx(path, Tensor::Scalar(1, DType::kU8).value()),
              StatusIs(kInvalid, HasSubstr("has 0 axes, expected at least 1")));
  for (const DType dtype :
       {DType::kBool, DType::kI64, DType::kBF16, DType::kF16, DType::kU16}) {
    EXPECT_THAT(WriteIdx(path, Tensor::Zeros({1}, dtype).value()),
                StatusIs(kUnimplemented,
                         HasSubstr(absl::StrCat("the format has no ",
                                                DTypeName(dtype), ", only"))));
  }
  // Repeated without a copy, an axis may be of any length.
  EXPECT_THAT(SerializeIdx(Tensor::Zeros({1}, DType::kU8)
                               .value()
                               .BroadcastTo(Shape({int64_t{1} << 32}))
                               .value()),
              StatusIs(kInvalid,
                       "IDX: axis 0 of [4294967296] has 4294967296 elements, "
                       "the format allows 4294967295"));
  EXPECT_FALSE(ReadFileToString(path).ok());
}

}  // namespace
}  // namespace septet
