// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/npy.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
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
#include "septet/core/tensor/allocator.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::StartsWith;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
constexpr auto kExhausted = absl::StatusCode::kResourceExhausted;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kNotFound = absl::StatusCode::kNotFound;
constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;

using Tensors = std::map<std::string, Tensor>;

// What NumPy's types are here.
const std::map<std::string, DType>& Types() {
  static const auto* const types = new std::map<std::string, DType>{
      {"f2", DType::kF16}, {"f4", DType::kF32}, {"f8", DType::kF64},
      {"i4", DType::kI32}, {"i8", DType::kI64}, {"u1", DType::kU8},
      {"u2", DType::kU16}, {"b1", DType::kBool}};
  return *types;
}

std::string TestData(absl::string_view name) {
  return absl::StrCat("core/io/testdata/npy/", name);
}

std::string TempPath(absl::string_view name) {
  return absl::StrCat(std::getenv("TEST_TMPDIR"), "/", name);
}

// 0 to 5, or for bool 0 1 0 1 0 1, as make_npy.py has it.
Tensor Ramp(DType dtype) {
  const bool boolean = dtype == DType::kBool;
  return Tensor::FromValues<double>(
             {2, 3}, boolean ? std::vector<double>{0, 1, 0, 1, 0, 1}
                             : std::vector<double>{0, 1, 2, 3, 4, 5})
      .value()
      .To(dtype)
      .value();
}

void ExpectSame(const Tensor& actual, const Tensor& expected) {
  ASSERT_EQ(actual.DebugString(), expected.DebugString());
  const Tensor a = actual.Contiguous().value();
  const Tensor b = expected.Contiguous().value();
  EXPECT_EQ(std::memcmp(a.raw_data(), b.raw_data(),
                        b.num_elements() * DTypeSize(b.dtype())),
            0);
}

// A file of version 1.0 with this header and so many zero bytes.
std::string File(absl::string_view header, size_t data_bytes = 0) {
  std::string file("\x93NUMPY\x01\x00", 8);
  file += static_cast<char>(header.size() & 0xff);
  file += static_cast<char>(header.size() >> 8);
  absl::StrAppend(&file, header);
  file.append(data_bytes, '\0');
  return file;
}

absl::Status StatusOf(absl::string_view header, size_t data_bytes = 0) {
  return ParseNpy(File(header, data_bytes), "a.npy").status();
}

std::string HeaderOf(absl::string_view descr, absl::string_view shape) {
  return absl::StrCat("{'descr': ", descr,
                      ", 'fortran_order': False, 'shape': ", shape, ", }");
}

TEST(NpyTest, ReadsWhatNumPyWrote) {
  for (const auto& [code, dtype] : Types()) {
    for (const char* order : {"little_", "big_"}) {
      if (*order == 'b' && DTypeSize(dtype) == 1) continue;
      SCOPED_TRACE(order + code);
      SEPTET_ASSERT_OK_AND_ASSIGN(
          const Tensor x, ReadNpy(TestData(absl::StrCat(order, code, ".npy"))));
      ExpectSame(x, Ramp(dtype));
    }
  }
  for (const char* name : {"version2.npy", "version3.npy"}) {
    SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor x, ReadNpy(TestData(name)));
    ExpectSame(x, Ramp(DType::kF32));
  }
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor scalar,
                              ReadNpy(TestData("scalar.npy")));
  ExpectSame(scalar, Tensor::Scalar(2.5, DType::kF64).value());
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor empty,
                              ReadNpy(TestData("empty.npy")));
  ExpectSame(empty, Tensor::Zeros({0, 4}, DType::kI32).value());
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor vector,
                              ReadNpy(TestData("vector.npy")));
  EXPECT_EQ(vector.DebugString(), "i64 [5]");
  EXPECT_THAT(vector.ToVector<int64_t>(), ElementsAre(0, 1, 2, 3, 4));
}

TEST(NpyTest, FortranOrderIsATransposedView) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor x, ReadNpy(TestData("fortran.npy")));
  ExpectSame(x, Ramp(DType::kF32));
  EXPECT_THAT(x.strides(), ElementsAre(1, 2));
}

TEST(NpyTest, WritesTheBytesThatNumPyWrites) {
  for (const auto& [code, dtype] : Types()) {
    SCOPED_TRACE(code);
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const std::string numpy,
        ReadFileToString(TestData(absl::StrCat("little_", code, ".npy"))));
    SEPTET_ASSERT_OK_AND_ASSIGN(const std::string ours,
                                SerializeNpy(Ramp(dtype)));
    EXPECT_EQ(ours, numpy);
  }
  const std::map<std::string, Tensor> others = {
      {"scalar.npy", Tensor::Scalar(2.5, DType::kF64).value()},
      {"empty.npy", Tensor::Zeros({0, 4}, DType::kI32).value()},
      {"vector.npy",
       Tensor::FromValues<int64_t>({5}, {0, 1, 2, 3, 4}).value()}};
  for (const auto& [name, tensor] : others) {
    SCOPED_TRACE(name);
    EXPECT_EQ(SerializeNpy(tensor).value(),
              ReadFileToString(TestData(name)).value());
  }
}

TEST(NpyTest, WritesStridedTensorsRowMajor) {
  const Tensor x = Ramp(DType::kF32).Permute({1, 0}).value();
  const std::string path = TempPath("strided.npy");
  SEPTET_ASSERT_OK(WriteNpy(path, x));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor read, ReadNpy(path));
  EXPECT_TRUE(read.IsContiguous());
  ExpectSame(read, x);
}

TEST(NpyTest, ReadingCopiesNothingAndOutlivesTheFile) {
  const std::string path = TempPath("mapped.npy");
  SEPTET_ASSERT_OK(WriteNpy(path, Ramp(DType::kF32)));
  const int64_t before = CpuAllocator().Stats().live_bytes;
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor x, ReadNpy(path));
  EXPECT_EQ(CpuAllocator().Stats().live_bytes, before);
  EXPECT_TRUE(x.IsReadOnly());
  SEPTET_ASSERT_OK(WriteNpy(path, Ramp(DType::kI64)));
  ExpectSame(x, Ramp(DType::kF32));
}

TEST(NpyTest, RefusesTypesByName) {
  for (const char* descr : {"<i2", "|i1", "<u4", "<c8", "<U3", "<M8[s]"}) {
    SCOPED_TRACE(descr);
    const std::string name =
        absl::StrCat("other_", std::string(descr).substr(1, 2), ".npy");
    EXPECT_THAT(ReadNpy(TestData(name)),
                StatusIs(kUnimplemented,
                         AllOf(StartsWith(TestData(name)),
                               HasSubstr("field 'descr' is"), HasSubstr(descr),
                               HasSubstr("f2, f4, f8, i4, i8, u1, u2, b1"))));
  }
  EXPECT_THAT(ReadNpy(TestData("object.npy")),
              StatusIs(kUnimplemented,
                       HasSubstr("'|O', objects, which only Python can make")));
  EXPECT_THAT(ReadNpy(TestData("structure.npy")),
              StatusIs(kUnimplemented, HasSubstr("a structure")));
  EXPECT_THAT(StatusOf(HeaderOf("'|f4'", "(0,)")),
              StatusIs(kUnimplemented, HasSubstr("'|f4'")));
  EXPECT_THAT(StatusOf(HeaderOf("''", "(0,)")),
              StatusIs(kUnimplemented, HasSubstr("''")));
}

TEST(NpyTest, AcceptsWhatPythonAccepts) {
  SEPTET_EXPECT_OK(StatusOf(HeaderOf("'<f4'", "()"), 4));
  SEPTET_EXPECT_OK(StatusOf(HeaderOf("'f4'", "(1,)"), 4));
  SEPTET_EXPECT_OK(StatusOf(HeaderOf("'=f4'", "(2L, 3L)"), 24));
  SEPTET_EXPECT_OK(StatusOf(
      "{\"shape\":(2,3),\"fortran_order\":True,\"descr\":\"<f4\"}   \n", 24));
  SEPTET_EXPECT_OK(StatusOf(HeaderOf("'<f4'", "(1, 1, 1, 1, 1, 1, 1, 1)"), 4));
}

TEST(NpyTest, ChecksTheHeader) {
  const auto expect = [](absl::string_view header, absl::string_view message,
                         size_t data_bytes = 0) {
    EXPECT_THAT(StatusOf(header, data_bytes),
                StatusIs(kDataLoss, AllOf(StartsWith("a.npy: "),
                                          HasSubstr(std::string(message)))))
        << header;
  };
  expect("", "header: byte 0 is its end, expected '{'");
  expect("[]", "header: byte 0 is '[', expected '{'");
  expect("{}", "field 'descr' is missing");
  expect("{'descr': '<f4', 'shape': ()}", "field 'fortran_order' is missing");
  expect("{'descr': '<f4', 'fortran_order': True}", "field 'shape' is missing");
  expect("{'descr': '<f4', 'descr': '<f4'}", "field 'descr' is there twice");
  expect("{'order': 1}", "unknown field 'order'");
  expect("{descr: 1}", "byte 1 is 'd', expected a key, in quotes");
  expect("{'descr' '<f4'}", "byte 9 is '\\'', expected ':'");
  expect("{'descr': <f4}", "expected a type, in quotes");
  expect("{'descr': '<f4", "expected a text without escapes that ends");
  expect("{'descr': '\\x3cf4'}", "expected a text without escapes");
  expect("{'fortran_order': 1}", "expected True or False");
  expect("{'shape': [1]}", "expected '('");
  expect("{'shape': (1}", "expected ')'");
  expect("{'shape': (-1,)}", "is '-', expected an extent");
  expect("{'shape': (,)}", "expected an extent");
  expect("{'shape': (3)}", "is a number, expected a tuple like (3,)");
  expect("{'shape': (9223372036854775808,)}", "extent 0 is larger");
  expect(HeaderOf("'<f4'", "(1,)") + "}", "expected the end");
  std::string many = "(";
  for (int i = 0; i < 65; ++i) many += "1,";
  expect(HeaderOf("'<f4'", many + ")"), "more than 64 axes");
  expect(HeaderOf("'<f4'", "(4294967296, 4294967296)"), "field 'shape':");
  // 2^62 elements; 2^64 bytes.
  expect(HeaderOf("'<f4'", "(4611686018427387904,)"),
         "truncated: <f4 (4611686018427387904) needs more than 2^64 bytes, 0 "
         "follow");
  expect(HeaderOf("'<f4'", "(1099511627776,)"),
         "truncated: <f4 (1099511627776) needs 4398046511104 bytes, 0 follow");
  expect(HeaderOf("'<f4'", "(2, 3)"),
         "truncated: <f4 (2, 3) needs 24 bytes, 23 follow the header", 23);
  expect(HeaderOf("'<f4'", "(2, 3)"),
         "too long: <f4 (2, 3) needs 24 bytes, 25 follow the header", 25);
  EXPECT_THAT(StatusOf(HeaderOf("'<f4'", "(1,1,1,1,1,1,1,1,1)"), 4),
              StatusIs(kUnimplemented, HasSubstr("has 9 axes, at most 8")));
  EXPECT_THAT(
      ParseNpy(File(HeaderOf("'|b1'", "(2,)")) + std::string("\1\2"), "a.npy"),
      StatusIs(kDataLoss, HasSubstr("element 1 is 2, expected 0 or 1")));
}

TEST(NpyTest, ChecksWhatIsBeforeTheHeader) {
  EXPECT_THAT(ParseNpy("", "a"), StatusIs(kDataLoss, "a: the file is empty"));
  EXPECT_THAT(ParseNpy("PK\x03\x04....", "a"),
              StatusIs(kDataLoss, HasSubstr("begins with 'PK")));
  EXPECT_THAT(ParseNpy("\x93NUMPY\x01", "a"),
              StatusIs(kDataLoss, HasSubstr("has 7 bytes")));
  EXPECT_THAT(ParseNpy("\x93NUMPY\x04\x01", "a"),
              StatusIs(kUnimplemented, HasSubstr("version 4.1")));
  EXPECT_THAT(ParseNpy("\x93NUMPY\x01\x01", "a"),
              StatusIs(kUnimplemented, HasSubstr("version 1.1")));
  EXPECT_THAT(
      ParseNpy(std::string("\x93NUMPY\x02\x00\xff\xff\xff\xff", 12), "a"),
      StatusIs(kDataLoss, HasSubstr("ends at byte 4294967307")));
  EXPECT_THAT(ReadNpy(TempPath("gone.npy")),
              StatusIs(kNotFound, HasSubstr("gone.npy")));
}

TEST(NpyTest, EveryTruncationIsAnError) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string file,
                              ReadFileToString(TestData("version2.npy")));
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_THAT(ParseNpy(file.substr(0, size), "a"),
                StatusIs(kDataLoss, StartsWith("a: ")))
        << size;
  }
}

TEST(NpyTest, WhatCannotBeWritten) {
  EXPECT_THAT(SerializeNpy(Tensor()),
              StatusIs(kInvalid, HasSubstr("expected elements")));
  EXPECT_THAT(SerializeNpy(Ramp(DType::kF32).Meta()),
              StatusIs(kInvalid, HasSubstr("without storage")));
  const std::string path = TempPath("bf16.npy");
  EXPECT_THAT(WriteNpy(path, Ramp(DType::kBF16)),
              StatusIs(kUnimplemented, AllOf(StartsWith(path),
                                             HasSubstr("NumPy has no bf16"))));
  EXPECT_THAT(ReadFileToString(path), StatusIs(kNotFound, HasSubstr(path)));
  EXPECT_THAT(WriteNpy(TempPath("no/folder.npy"), Ramp(DType::kF32)),
              StatusIs(kNotFound, HasSubstr("no/folder.npy")));
}

TEST(NpzTest, ReadsWhatNumPyWrote) {
  for (const char* name : {"stored.npz", "deflated.npz"}) {
    SCOPED_TRACE(name);
    SEPTET_ASSERT_OK_AND_ASSIGN(Tensors tensors, ReadNpz(TestData(name)));
    if (*name == 'd') {
      ExpectSame(tensors["zeros"], Tensor::Zeros({5000}, DType::kF32).value());
      tensors.erase("zeros");
    }
    ASSERT_EQ(tensors.size(), 3);
    ExpectSame(tensors["x"], Ramp(DType::kF32));
    ExpectSame(tensors["caf\xc3\xa9/y"],
               Tensor::FromValues<int64_t>({4}, {0, 1, 2, 3}).value());
    ExpectSame(tensors["z"], Tensor::Full({}, 1, DType::kBool).value());
  }
}

TEST(NpzTest, RoundTrip) {
  Tensors tensors;
  for (const auto& [code, dtype] : Types()) tensors[code] = Ramp(dtype);
  tensors["caf\xc3\xa9.npy"] = Tensor::Scalar(1, DType::kF32).value();
  tensors["a/b"] = Ramp(DType::kF32).Permute({1, 0}).value();
  tensors["zeros"] = Tensor::Zeros({1000, 7}, DType::kF64).value();
  for (bool deflate : {false, true}) {
    NpzWriteOptions options;
    options.deflate = deflate;
    const std::string path = TempPath("all.npz");
    SEPTET_ASSERT_OK(WriteNpz(path, tensors, options));
    SEPTET_ASSERT_OK_AND_ASSIGN(const std::string bytes,
                                ReadFileToString(path));
    EXPECT_EQ(bytes, SerializeNpz(tensors, options).value());
    if (deflate) {
      EXPECT_LT(bytes.size(), 8000);
    }
    SEPTET_ASSERT_OK_AND_ASSIGN(Tensors read, ReadNpz(path));
    ASSERT_EQ(read.size(), tensors.size());
    for (const auto& [name, tensor] : tensors) {
      SCOPED_TRACE(name);
      ExpectSame(read[name], tensor);
    }
  }
  SEPTET_ASSERT_OK(WriteNpz(TempPath("none.npz"), {}));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensors none,
                              ReadNpz(TempPath("none.npz")));
  EXPECT_TRUE(none.empty());
}

TEST(NpzTest, StoredArraysAreNotCopied) {
  const std::string path = TempPath("views.npz");
  SEPTET_ASSERT_OK(
      WriteNpz(path, {{"odd", Ramp(DType::kU8)}, {"wide", Ramp(DType::kF64)}}));
  const int64_t before = CpuAllocator().Stats().live_bytes;
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensors read, ReadNpz(path));
  EXPECT_EQ(CpuAllocator().Stats().live_bytes, before);
  for (const auto& [name, tensor] : read) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.raw_data()) % 64, 0) << name;
  }
}

TEST(NpzTest, Refuses) {
  EXPECT_THAT(ReadNpz(TestData("encrypted.npz")),
              StatusIs(kUnimplemented,
                       AllOf(StartsWith(TestData("encrypted.npz")),
                             HasSubstr("entry 'secret.npy': is encrypted"))));
  EXPECT_THAT(ReadNpz(TestData("bzip2.npz")),
              StatusIs(kUnimplemented,
                       HasSubstr("entry 'x.npy': is compressed by method 12")));
  EXPECT_THAT(ReadNpz(TestData("twice.npz")),
              StatusIs(kDataLoss,
                       HasSubstr("entry 'x': a second array of the name 'x'")));
  NpzOptions options;
  options.max_inflated_bytes = 20000;
  EXPECT_THAT(ReadNpz(TestData("deflated.npz"), options),
              StatusIs(kExhausted, HasSubstr("entry 'zeros.npy': inflates to "
                                             "20128 bytes")));
  EXPECT_THAT(ParseNpz("", "a"), StatusIs(kDataLoss, "a: the file is empty"));
  EXPECT_THAT(ReadNpz(TestData("scalar.npy")),
              StatusIs(kDataLoss, HasSubstr("no zip archive")));
  EXPECT_THAT(ReadNpz(TempPath("gone.npz")),
              StatusIs(kNotFound, HasSubstr("gone.npz")));
}

TEST(NpzTest, ChecksumsAreCompared) {
  for (bool deflate : {false, true}) {
    NpzWriteOptions options;
    options.deflate = deflate;
    SEPTET_ASSERT_OK_AND_ASSIGN(
        std::string bytes,
        SerializeNpz({{"x", Tensor::Zeros({100}, DType::kU8).value()}},
                     options));
    // The checksum, in both headers.
    for (const char* signature : {"PK\x03\x04", "PK\x01\x02"}) {
      bytes[bytes.find(signature) + (signature[2] == 3 ? 14 : 16)] ^= 1;
    }
    EXPECT_THAT(ParseNpz(bytes, "a"),
                StatusIs(kDataLoss, HasSubstr("entry 'x.npy': its bytes have "
                                              "the CRC-32")));
  }
}

TEST(NpzTest, DamageIsAnError) {
  for (const char* name : {"stored.npz", "deflated.npz"}) {
    SEPTET_ASSERT_OK_AND_ASSIGN(const std::string file,
                                ReadFileToString(TestData(name)));
    for (size_t size = 0; size < file.size(); ++size) {
      EXPECT_THAT(ParseNpz(file.substr(0, size), "a"),
                  StatusIs(kDataLoss, StartsWith("a: ")))
          << name << " " << size;
    }
    // A changed byte gives an error or, where nothing hangs on it, nothing.
    for (size_t at = 0; at < file.size(); ++at) {
      std::string changed = file;
      changed[at] ^= 0x41;
      const absl::StatusOr<Tensors> read = ParseNpz(changed, "a");
      if (!read.ok()) {
        EXPECT_THAT(std::string(read.status().message()), StartsWith("a: "));
      }
    }
  }
}

TEST(NpzTest, NamesThatCannotBeWritten) {
  const Tensor x = Ramp(DType::kF32);
  EXPECT_THAT(SerializeNpz({{"", x}}),
              StatusIs(kInvalid, HasSubstr("the name of a tensor is empty")));
  EXPECT_THAT(SerializeNpz({{std::string(65532, 'x'), x}}),
              StatusIs(kInvalid, HasSubstr("has 65536 bytes")));
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string longest,
                              SerializeNpz({{std::string(65531, 'x'), x}}));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensors read, ParseNpz(longest, "a"));
  EXPECT_THAT(read, ElementsAre(Pair(std::string(65531, 'x'), testing::_)));
  EXPECT_THAT(
      WriteNpz(TempPath("bf16.npz"), {{"y", Ramp(DType::kBF16)}}),
      StatusIs(kUnimplemented, HasSubstr("tensor 'y': NumPy has no bf16")));
}

}  // namespace
}  // namespace septet
