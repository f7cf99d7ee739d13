// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/safetensors.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
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
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using ::testing::StartsWith;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kNotFound = absl::StatusCode::kNotFound;
constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;

using Tensors = std::map<std::string, Tensor>;

std::string TempPath(absl::string_view name) {
  return absl::StrCat(std::getenv("TEST_TMPDIR"), "/", name);
}

std::string TestData(absl::string_view name) {
  return absl::StrCat("core/io/testdata/", name);
}

std::string LengthBytes(uint64_t length) {
  std::string bytes(8, '\0');
  std::memcpy(&bytes[0], &length, 8);
  return bytes;
}

// A file with this header and so many bytes of data, 0, 1, 2, ...
std::string FileBytes(absl::string_view header, size_t data_bytes = 0) {
  std::string file = absl::StrCat(LengthBytes(header.size()), header);
  for (size_t i = 0; i < data_bytes; ++i) file += static_cast<char>(i);
  return file;
}

absl::Status ParseStatus(absl::string_view file) {
  return ParseSafetensorsHeader(file).status();
}

// The status of a file whose header is this one.
absl::Status HeaderStatus(absl::string_view header, size_t data_bytes = 0) {
  return ParseStatus(FileBytes(header, data_bytes));
}

// Equal dtypes, shapes and bytes.
void ExpectSame(const Tensor& actual, const Tensor& expected) {
  ASSERT_EQ(actual.DebugString(), expected.DebugString());
  const Tensor dense = expected.Contiguous().value();
  ASSERT_TRUE(actual.IsContiguous());
  EXPECT_EQ(std::memcmp(actual.raw_data(), dense.raw_data(),
                        dense.num_elements() * DTypeSize(dense.dtype())),
            0);
}

Tensors SomeTensors() {
  Tensors tensors;
  for (DType dtype : kAllDTypes) {
    const std::string name = DTypeName(dtype);
    tensors[name] = Tensor::FromValues<double>({2, 3}, {0, 1, 2, 3, 100, 250})
                        .value()
                        .To(dtype)
                        .value();
    tensors[name + "/scalar"] = Tensor::Scalar(1, dtype).value();
    tensors[name + "/none"] = Tensor::Zeros({3, 0}, dtype).value();
    tensors[name + "/odd"] = Tensor::Full({3}, 1, dtype).value();
  }
  return tensors;
}

TEST(SafetensorsTest, RoundTripOfAllDTypes) {
  const Tensors tensors = SomeTensors();
  const std::map<std::string, std::string> metadata = {
      {"", "empty key"},
      {"caf\xc3\xa9", "\"quoted\"\\\n\t\x01"},
      {"options", "{\"lr\": 0.1}"}};
  const std::string path = TempPath("all.safetensors");
  SEPTET_ASSERT_OK(WriteSafetensors(path, tensors, metadata));

  SEPTET_ASSERT_OK_AND_ASSIGN(const SafetensorsFile file,
                              SafetensorsFile::Open(path));
  EXPECT_EQ(file.path(), path);
  EXPECT_EQ(file.metadata(), metadata);
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors) names.push_back(name);
  EXPECT_EQ(file.names(), names);
  for (const auto& [name, tensor] : tensors) {
    SCOPED_TRACE(name);
    EXPECT_TRUE(file.Contains(name));
    SEPTET_ASSERT_OK_AND_ASSIGN(const SafetensorsInfo info, file.Info(name));
    EXPECT_EQ(info.dtype, tensor.dtype());
    EXPECT_EQ(info.shape, tensor.shape());
    SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor read, file.Get(name));
    ExpectSame(read, tensor);
  }
  EXPECT_FALSE(file.Contains("F32"));
}

TEST(SafetensorsTest, GetCopiesNothing) {
  const std::string path = TempPath("mapped.safetensors");
  SEPTET_ASSERT_OK(WriteSafetensors(path, SomeTensors()));
  SEPTET_ASSERT_OK_AND_ASSIGN(const SafetensorsFile file,
                              SafetensorsFile::Open(path));
  const AllocatorStats before = CpuAllocator().Stats();
  for (const std::string& name : file.names()) {
    SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor a, file.Get(name));
    SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor b, file.Get(name));
    EXPECT_EQ(a.raw_data(), b.raw_data());
  }
  EXPECT_EQ(CpuAllocator().Stats().live_bytes, before.live_bytes);
  EXPECT_EQ(CpuAllocator().Stats().system_allocations,
            before.system_allocations);
}

TEST(SafetensorsTest, TensorsOutliveTheFile) {
  const std::string path = TempPath("outlive.safetensors");
  SEPTET_ASSERT_OK(WriteSafetensors(
      path, {{"x", Tensor::FromValues<float>({3}, {1, 2, 3}).value()}}));
  std::optional<Tensor> x;
  {
    SEPTET_ASSERT_OK_AND_ASSIGN(SafetensorsFile file,
                                SafetensorsFile::Open(path));
    SEPTET_ASSERT_OK_AND_ASSIGN(x, file.Get("x"));
  }
  // Written anew, the name refers to another file; the mapping stays.
  SEPTET_ASSERT_OK(WriteSafetensors(path, {}));
  EXPECT_THAT(x->ToVector<float>(), ElementsAre(1, 2, 3));
}

TEST(SafetensorsDeathTest, TensorsAreReadOnly) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const SafetensorsFile file,
      SafetensorsFile::Open(TestData("adam.safetensors")));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor grads, file.Get("grads"));
  EXPECT_DEATH(grads.mutable_data<double>(), "may not be written");
}

TEST(SafetensorsTest, TensorsNeedNotBeContiguous) {
  const Tensor x =
      Tensor::FromValues<int32_t>({2, 3}, {0, 1, 2, 3, 4, 5}).value();
  const Tensors tensors = {
      {"broadcast", x.Slice(0, 0, 1).value().BroadcastTo({2, 3}).value()},
      {"columns", x.Slice(1, 0, 3, 2).value()},
      {"transposed", x.Permute({1, 0}).value()},
  };
  SEPTET_ASSERT_OK_AND_ASSIGN(std::string bytes, SerializeSafetensors(tensors));
  SEPTET_ASSERT_OK_AND_ASSIGN(const SafetensorsFile file,
                              SafetensorsFile::FromBytes(bytes, "memory"));
  for (const auto& [name, tensor] : tensors) {
    SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor read, file.Get(name));
    ExpectSame(read, tensor);
  }
}

TEST(SafetensorsTest, BytesAreAsTheFormatSays) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const std::string bytes,
      SerializeSafetensors(
          {{"b", Tensor::FromValues<uint8_t>({2}, {7, 8}).value()},
           {"a\"", Tensor::FromValues<uint8_t>({1}, {9}).value()},
           {"z", Tensor::FromValues<int32_t>({1, 1}, {1}).value()}},
          {{"k", "v"}}));
  std::string header =
      "{\"__metadata__\":{\"k\":\"v\"},"
      "\"z\":{\"dtype\":\"I32\",\"shape\":[1,1],\"data_offsets\":[0,4]},"
      "\"a\\\"\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[4,5]},"
      "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[5,7]}}";
  while (header.size() % 8 != 0) header += ' ';
  EXPECT_EQ(bytes, absl::StrCat(LengthBytes(header.size()), header,
                                std::string("\x01\0\0\0\x09\x07\x08", 7)));
}

TEST(SafetensorsTest, EveryTensorIsAligned) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const std::string bytes,
      SerializeSafetensors(SomeTensors(), {{"k", "v"}}));
  SEPTET_ASSERT_OK_AND_ASSIGN(const SafetensorsHeader header,
                              ParseSafetensorsHeader(bytes));
  SEPTET_ASSERT_OK_AND_ASSIGN(const SafetensorsFile file,
                              SafetensorsFile::FromBytes(bytes, "memory"));
  ASSERT_EQ(header.entries.size(), SomeTensors().size());
  for (const SafetensorsHeader::Entry& entry : header.entries) {
    EXPECT_EQ(entry.begin % DTypeSize(file.Info(entry.name)->dtype), 0u)
        << entry.name;
  }
}

// What the safetensors package for Python, version 0.8.0, has written.
TEST(SafetensorsTest, ReadsTheReferenceImplementationsFile) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const SafetensorsFile file,
      SafetensorsFile::Open(TestData("all_dtypes.safetensors")));
  EXPECT_THAT(file.names(),
              ElementsAre("bf16", "bool", "f16", "f32", "f64", "i32", "i64",
                          "none", "scalar", "u16", "u8"));
  EXPECT_THAT(file.metadata(),
              ElementsAre(Pair("na\"me", "caf\xc3\xa9 \xe4\xb8\xad\n\x01")));
  const auto get = [&](const char* name) { return file.Get(name).value(); };
  EXPECT_THAT(get("i64").ToVector<int64_t>(),
              ElementsAre(INT64_MIN, INT64_MAX, 7));
  EXPECT_THAT(get("f64").ToVector<double>(), ElementsAre(1.5, -0.1));
  EXPECT_EQ(get("f64").shape(), Shape({1, 2}));
  EXPECT_THAT(
      get("f32").ToVector<float>(),
      ElementsAre(1.25f, std::numeric_limits<float>::infinity(), -3.0f));
  EXPECT_THAT(get("i32").ToVector<int32_t>(), ElementsAre(1, -2, 3));
  EXPECT_THAT(get("f16").ToVector<float>(), ElementsAre(0.5f, 65504.0f));
  EXPECT_THAT(get("bf16").ToVector<float>(),
              ElementsAre(1.0f, -2.5f, static_cast<float>(BFloat16(3e38f))));
  EXPECT_THAT(get("u16").ToVector<int32_t>(), ElementsAre(65535));
  EXPECT_THAT(get("u8").ToVector<int32_t>(), ElementsAre(1, 2, 255));
  EXPECT_THAT(get("bool").ToVector<int32_t>(), ElementsAre(1, 0, 1));
  EXPECT_EQ(get("scalar").shape(), Shape());
  EXPECT_EQ(get("scalar").item<float>(), 2.5f);
  EXPECT_EQ(get("none").shape(), Shape({0, 3}));
}

TEST(SafetensorsTest, WritesTheReferenceImplementationsBytes) {
  const std::string path = TestData("all_dtypes.safetensors");
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string expected,
                              ReadFileToString(path));
  SEPTET_ASSERT_OK_AND_ASSIGN(const SafetensorsFile file,
                              SafetensorsFile::Open(path));
  Tensors tensors;
  for (const std::string& name : file.names()) {
    SEPTET_ASSERT_OK_AND_ASSIGN(tensors[name], file.Get(name));
  }
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string bytes,
                              SerializeSafetensors(tensors, file.metadata()));
  EXPECT_EQ(bytes, expected);
}

TEST(SafetensorsTest, ReadsAConformanceCase) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const SafetensorsFile file,
      SafetensorsFile::Open(TestData("adam.safetensors")));
  EXPECT_THAT(file.names(),
              ElementsAre("cosine_lr", "grads", "param0", "params"));
  EXPECT_EQ(file.metadata().at("case"), "adam");
  EXPECT_EQ(file.metadata().at("lr"), "0.0003");
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor grads, file.Get("grads"));
  EXPECT_EQ(grads.DebugString(), "f64 [6, 7]");
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor lr, file.Get("cosine_lr"));
  EXPECT_DOUBLE_EQ(lr.data<double>()[0], 0.0003);
}

TEST(SafetensorsTest, NoTensorsAtAll) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string bytes,
                              SerializeSafetensors({}));
  EXPECT_EQ(bytes, absl::StrCat(LengthBytes(8), "{}      "));
  SEPTET_ASSERT_OK_AND_ASSIGN(SafetensorsFile file,
                              SafetensorsFile::FromBytes(bytes, "memory"));
  EXPECT_THAT(file.names(), ElementsAre());
  EXPECT_THAT(file.Get("x"), StatusIs(kNotFound, HasSubstr("among 0")));
  SEPTET_EXPECT_OK(HeaderStatus("{}"));
  SEPTET_EXPECT_OK(HeaderStatus("{ \"__metadata__\" : {} }\n\t "));
}

TEST(SafetensorsTest, MisalignedTensorsAreCopied) {
  // The data begin at an odd byte, both of the file and of the memory.
  std::string header =
      R"({"x":{"dtype":"F64","shape":[2],"data_offsets":[1,17]},)"
      R"("pad":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
  while (header.size() % 8 != 0) header += ' ';
  std::string bytes = FileBytes(header, 1);
  const double values[] = {1.5, -2.5};
  bytes.append(reinterpret_cast<const char*>(values), sizeof(values));
  const std::string path = TempPath("misaligned.safetensors");
  SEPTET_ASSERT_OK(WriteFileAtomically(path, bytes));
  SEPTET_ASSERT_OK_AND_ASSIGN(const SafetensorsFile file,
                              SafetensorsFile::Open(path));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor x, file.Get("x"));
  EXPECT_THAT(x.ToVector<double>(), ElementsAre(1.5, -2.5));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(x.raw_data()) % 8, 0u);
}

TEST(SafetensorsTest, TensorsInAnyOrderOfTheHeader) {
  SEPTET_EXPECT_OK(
      HeaderStatus(R"({"b":{"data_offsets":[2,3],"shape":[1],"dtype":"U8"},)"
                   R"("none":{"dtype":"U8","shape":[0],"data_offsets":[2,2]},)"
                   R"("a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})",
                   3));
}

TEST(SafetensorsTest, DTypesOfOthers) {
  // Their sizes are checked, and the rest of the file can be used.
  const std::string header =
      R"({"ours":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
      R"("i8":{"dtype":"I8","shape":[3],"data_offsets":[1,4]},)"
      R"("new":{"dtype":"F1024","shape":[1],"data_offsets":[4,9]},)"
      R"("f4":{"dtype":"F4","shape":[2],"data_offsets":[9,10]},)"
      R"("wide":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],)"
      R"("data_offsets":[10,11]}})";
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const SafetensorsFile file,
      SafetensorsFile::FromBytes(FileBytes(header, 11), "memory"));
  EXPECT_EQ(file.names().size(), 5u);
  EXPECT_EQ(file.Get("ours")->item<int32_t>(), 0);
  EXPECT_THAT(
      file.Get("i8"),
      StatusIs(
          kUnimplemented,
          AllOf(StartsWith("memory: tensor 'i8'"), HasSubstr("dtype 'I8'"),
                HasSubstr("I64, F64, F32, I32, BF16, F16, U16, U8, BOOL"))));
  EXPECT_THAT(file.Info("new"), StatusIs(kUnimplemented, HasSubstr("'F1024'")));
  EXPECT_THAT(file.Get("f4"), StatusIs(kUnimplemented, HasSubstr("'F4'")));
  EXPECT_THAT(
      file.Get("wide"),
      StatusIs(kUnimplemented, AllOf(HasSubstr("'wide'"), HasSubstr("9 axes"),
                                     HasSubstr("at most 8"))));
  EXPECT_THAT(
      HeaderStatus(R"({"x":{"dtype":"U32","shape":[1],"data_offsets":[0,3]}})",
                   3),
      StatusIs(kDataLoss, HasSubstr("U32 [1] needs 4 bytes")));
  EXPECT_THAT(
      HeaderStatus(R"({"x":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}})",
                   2),
      StatusIs(kDataLoss, HasSubstr("F4 [3] needs 1 and a part bytes")));
}

TEST(SafetensorsTest, UnknownNamesGetTheNearest) {
  const std::string path = TestData("adam.safetensors");
  SEPTET_ASSERT_OK_AND_ASSIGN(const SafetensorsFile file,
                              SafetensorsFile::Open(path));
  EXPECT_THAT(file.Get("parmas"),
              StatusIs(kNotFound,
                       AllOf(StartsWith(path + ": no tensor 'parmas' among 4"),
                             EndsWith("the nearest name is 'params'"))));
  EXPECT_THAT(file.Info("zzzzzzzz"),
              StatusIs(kNotFound, AllOf(HasSubstr("'zzzzzzzz'"),
                                        Not(HasSubstr("nearest")))));
  EXPECT_THAT(file.Get(std::string("a\xff\0", 3)),
              StatusIs(kNotFound, HasSubstr("'a\\xff\\x00'")));
}

TEST(SafetensorsTest, BoolsMustBeZeroOrOne) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const SafetensorsFile file,
      SafetensorsFile::FromBytes(
          FileBytes(
              R"({"x":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]}})", 3),
          "memory"));
  EXPECT_THAT(file.Get("x"),
              StatusIs(kDataLoss, AllOf(HasSubstr("memory: tensor 'x'"),
                                        HasSubstr("element 2 is 2"),
                                        HasSubstr("expected 0 or 1"))));
}

TEST(SafetensorsTest, FilesThatAreNotThere) {
  const std::string path = TempPath("gone.safetensors");
  EXPECT_THAT(SafetensorsFile::Open(path),
              StatusIs(kNotFound, HasSubstr(path)));
  EXPECT_THAT(
      SafetensorsFile::Open(TempPath("")),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("directory")));
  EXPECT_THAT(WriteSafetensors(TempPath("no/such/x.safetensors"), {}),
              StatusIs(kNotFound, HasSubstr("no/such/x.safetensors")));
}

TEST(SafetensorsTest, ErrorsNameThePath) {
  const std::string path = TempPath("corrupt.safetensors");
  SEPTET_ASSERT_OK(WriteFileAtomically(path, "\x10"));
  EXPECT_THAT(SafetensorsFile::Open(path),
              StatusIs(kDataLoss, StartsWith(path + ": not a safetensors")));
}

TEST(SafetensorsTest, LengthsThatLie) {
  EXPECT_THAT(
      ParseStatus(""),
      StatusIs(kDataLoss, AllOf(HasSubstr("0 bytes"), HasSubstr("least 8"))));
  EXPECT_THAT(ParseStatus("1234567"),
              StatusIs(kDataLoss, HasSubstr("7 bytes")));
  EXPECT_THAT(ParseStatus(LengthBytes(0)),
              StatusIs(kDataLoss, HasSubstr("header: is empty")));
  EXPECT_THAT(ParseStatus(LengthBytes(3) + "{}"),
              StatusIs(kDataLoss, AllOf(HasSubstr("header has 3 bytes"),
                                        HasSubstr("only 2 after"))));
  EXPECT_THAT(ParseStatus(LengthBytes(100'000'001) + "{}"),
              StatusIs(kDataLoss, AllOf(HasSubstr("100000001 bytes"),
                                        HasSubstr("at most 100000000"))));
  for (uint64_t length : {UINT64_MAX, UINT64_MAX - 7, uint64_t{1} << 63}) {
    EXPECT_THAT(ParseStatus(LengthBytes(length) + "{}"),
                StatusIs(kDataLoss, HasSubstr(std::to_string(length))));
  }
}

struct BadHeader {
  const char* header;
  const char* message;
};

TEST(SafetensorsTest, HeadersThatAreNotAsTheFormatSays) {
  // Each with 4 bytes of data.
  const std::vector<BadHeader> cases = {
      {"[]", "header: starts with '[', expected '{'"},
      {" {}", "header: starts with ' ', expected '{'"},
      {"\xef\xbb\xbf{}", "header: starts with '\\xef', expected '{'"},
      {"{", "header: not valid JSON at byte"},
      {"{}}", "header: not valid JSON at byte 3"},
      {"{\"a\":}", "header: not valid JSON at byte 6"},
      {"{\"a\xff\":1}", "header: not valid JSON at byte"},
      {"{/**/}", "header: not valid JSON at byte"},
      {R"({"__metadata__":1})",
       "__metadata__ is the number 1, expected an object of strings"},
      {R"({"__metadata__":null})", "__metadata__ is null"},
      {R"({"__metadata__":{"k":1}})",
       "__metadata__: 'k' is the number 1, expected a string"},
      {R"({"__metadata__":{"k":{}}})", "'k' is an object, expected a string"},
      {R"({"__metadata__":{"k":["v"]}})", "'k' is an array, expected a string"},
      {R"({"__metadata__":{"k":"v","k":"w"}})",
       "__metadata__: the key 'k' is there twice"},
      {R"({"__metadata__":{},"__metadata__":{}})",
       "the key '__metadata__' is there twice"},
      {R"({"x":1})", "tensor 'x': is the number 1, expected an object"},
      {R"({"x":[]})", "tensor 'x': is an array, expected an object"},
      {R"({"x":"F32"})", "tensor 'x': is a string, expected an object"},
      {R"({"x":{}})", "tensor 'x': has no dtype"},
      {R"({"x":{"dtype":"U8"}})", "tensor 'x': has no shape"},
      {R"({"x":{"dtype":"U8","shape":[4]}})",
       "tensor 'x': has no data_offsets"},
      {R"({"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4],"y":1}})",
       "tensor 'x': unknown key 'y', expected dtype, shape and data_offsets"},
      {R"({"x":{"dtype":"U8","dtype":"U8"}})",
       "tensor 'x': the key 'dtype' is there twice"},
      {R"({"x":{"shape":[1],"shape":[1]}})",
       "tensor 'x': the key 'shape' is there twice"},
      {R"({"x":{"dtype":3}})", "dtype is the number 3, expected a string"},
      {R"({"x":{"dtype":["U8"]}})", "dtype is an array, expected a string"},
      {R"({"x":{"shape":4}})",
       "shape is the number 4, expected an array of extents"},
      {R"({"x":{"shape":{}}})", "shape is an object"},
      {R"({"x":{"shape":[-4]}})",
       "shape has the number -4 in it, expected integers from 0 on"},
      {R"({"x":{"shape":[4.0]}})", "shape has the number 4.0 in it"},
      {R"({"x":{"shape":[1e3]}})", "shape has the number 1e3 in it"},
      {R"({"x":{"shape":["4"]}})", "shape has a string in it"},
      {R"({"x":{"shape":[true]}})", "shape has true in it"},
      {R"({"x":{"shape":[[4]]}})", "shape has an array in it"},
      {R"({"x":{"shape":[9223372036854775808]}})",
       "an extent is 9223372036854775808, more than 63 bits"},
      {R"({"x":{"shape":[18446744073709551616]}})",
       "shape has the number 18446744073709551616 in it"},
      {R"({"x":{"data_offsets":[]}})",
       "data_offsets has 0 numbers, expected 2"},
      {R"({"x":{"data_offsets":[0]}})",
       "data_offsets has 1 numbers, expected 2"},
      {R"({"x":{"data_offsets":[0,4,8]}})",
       "data_offsets has the number 8 in it, expected just 2 integers"},
      {R"({"x":{"data_offsets":[-1,4]}})",
       "data_offsets has the number -1 in it"},
      {R"({"x":{"data_offsets":[0,4.5]}})",
       "data_offsets has the number 4.5 in it"},
      {R"({"x":{"data_offsets":4}})",
       "data_offsets is the number 4, expected an array of 2 offsets"},
      {R"({"x":{"dtype":"U8","shape":[4],"data_offsets":[4,0]}})",
       "tensor 'x': data_offsets begin at 4 and end before, at 0"},
      {R"({"x":{"dtype":"U8","shape":[5],"data_offsets":[0,5]}})",
       "tensor 'x': data_offsets end at 5, but the file has 4 bytes of data"},
      {R"({"x":{"dtype":"U8","shape":[4],)"
       R"("data_offsets":[0,18446744073709551615]}})",
       "data_offsets end at 18446744073709551615, but the file has 4"},
      {R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})",
       "tensor 'x': F32 [2] needs 8 bytes, data_offsets give it 4"},
      {R"({"x":{"dtype":"F32","shape":[0],"data_offsets":[0,4]}})",
       "tensor 'x': F32 [0] needs 0 bytes, data_offsets give it 4"},
      {R"({"x":{"dtype":"F32","shape":[4294967296,4294967296],)"
       R"("data_offsets":[0,4]}})",
       "tensor 'x': shape has more elements than fit into 63 bits"},
      {R"({"x":{"dtype":"F64","shape":[4611686018427387904],)"
       R"("data_offsets":[0,4]}})",
       "needs more bytes than a file can have"},
      {R"({"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
       R"("y":{"dtype":"U8","shape":[3],"data_offsets":[1,4]}})",
       "tensor 'y': begins at 1, but tensor 'x' ends at 2: they overlap"},
      {R"({"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
       R"("y":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
       "they overlap"},
      {R"({"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
       R"("y":{"dtype":"U8","shape":[0],"data_offsets":[2,2]}})",
       "tensor 'y': begins at 2, but tensor 'x' ends at 4: they overlap"},
      {R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
       R"("y":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})",
       "tensor 'y': begins at 2, but tensor 'x' ends at 1: there is a gap"},
      {R"({"y":{"dtype":"U8","shape":[3],"data_offsets":[1,4]}})",
       "tensor 'y': begins at 1, but the data begin at 0: there is a gap"},
      {R"({"x":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}})",
       "the tensors end after 3 bytes, the data after 4: 1 bytes belong to no "
       "tensor"},
      {"{}", "the tensors end after 0 bytes, the data after 4"},
      {R"({"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
       R"("x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
       "the key 'x' is there twice"},
  };
  for (const BadHeader& bad : cases) {
    EXPECT_THAT(HeaderStatus(bad.header, 4),
                StatusIs(kDataLoss, HasSubstr(bad.message)))
        << bad.header;
  }
}

// The JSON parser takes a zero byte for the end of the text.
TEST(SafetensorsTest, ZeroBytesInTheHeader) {
  EXPECT_THAT(HeaderStatus(std::string("{}\0\0garbage", 11)),
              StatusIs(kDataLoss, HasSubstr("not valid JSON at byte 3")));
  EXPECT_THAT(HeaderStatus(std::string("{\"a\0\":1}", 8)),
              StatusIs(kDataLoss, HasSubstr("not valid JSON at byte 4")));
}

TEST(SafetensorsTest, DeepNestingIsRefusedAtOnce) {
  const std::string arrays = "{\"x\":" + std::string(5'000'000, '[');
  EXPECT_THAT(HeaderStatus(arrays), StatusIs(kDataLoss, HasSubstr("'x'")));
  std::string objects = "{\"__metadata__\":";
  for (int i = 0; i < 1'000'000; ++i) objects += "{\"a\":";
  EXPECT_THAT(HeaderStatus(objects),
              StatusIs(kDataLoss, HasSubstr("'a' is an object")));
}

TEST(SafetensorsTest, ShapesWithoutEnd) {
  std::string shape = "1";
  for (int i = 0; i < 100000; ++i) shape += ",1";
  EXPECT_THAT(HeaderStatus(absl::StrCat(R"({"x":{"dtype":"U8","shape":[)",
                                        shape, R"(],"data_offsets":[0,1]}})"),
                           1),
              StatusIs(kDataLoss, HasSubstr("shape has more than 64 extents")));
}

TEST(SafetensorsTest, LongNamesAreCutInMessages) {
  const absl::Status status =
      HeaderStatus("{\"" + std::string(100000, 'x') + "\":1}");
  EXPECT_THAT(status, StatusIs(kDataLoss, HasSubstr("xxx...'")));
  EXPECT_LT(status.message().size(), 300u);
}

TEST(SafetensorsTest, WriterRefuses) {
  const Tensor x = Tensor::Zeros({2}, DType::kF32).value();
  EXPECT_THAT(SerializeSafetensors({{"__metadata__", x}}),
              StatusIs(kInvalid, HasSubstr("'__metadata__'")));
  EXPECT_THAT(SerializeSafetensors({{"a\xff", x}}),
              StatusIs(kInvalid, AllOf(HasSubstr("tensor 'a\\xff'"),
                                       HasSubstr("not UTF-8"))));
  EXPECT_THAT(SerializeSafetensors({}, {{"\xff", "v"}}),
              StatusIs(kInvalid, HasSubstr("metadata key '\\xff'")));
  EXPECT_THAT(SerializeSafetensors({}, {{"k", "\xff"}}),
              StatusIs(kInvalid, HasSubstr("metadata 'k'")));
  EXPECT_THAT(SerializeSafetensors({{"x", Tensor()}}),
              StatusIs(kInvalid, AllOf(HasSubstr("tensor 'x'"),
                                       HasSubstr("undefined tensor"))));
  EXPECT_THAT(
      SerializeSafetensors({{"x", x.Meta()}}),
      StatusIs(kInvalid, HasSubstr("tensor 'x': is f32 [2] without storage")));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Tensor huge,
      x.Slice(0, 0, 1).value().BroadcastTo({int64_t{1} << 62}));
  EXPECT_THAT(SerializeSafetensors({{"x", huge}}),
              StatusIs(kInvalid,
                       HasSubstr("f32 [4611686018427387904] has more bytes")));
  EXPECT_THAT(SerializeSafetensors({}, {{"k", std::string(100'000'001, 'v')}}),
              StatusIs(kInvalid, AllOf(HasSubstr("a header of 1000000"),
                                       HasSubstr("at most 100000000"))));
}

// Half a minute under a sanitizer, for a comparison.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(SafetensorsTest, WriterRefusesWhatEscapingMakesTooLong) {
  EXPECT_THAT(SerializeSafetensors({}, {{"k", std::string(50'000'001, '"')}}),
              StatusIs(kInvalid, AllOf(HasSubstr("a header of 1000000"),
                                       HasSubstr("at most 100000000"))));
}
#endif

TEST(SafetensorsTest, AFailedWriteLeavesTheOldFile) {
  const std::string path = TempPath("kept.safetensors");
  SEPTET_ASSERT_OK(
      WriteSafetensors(path, {{"x", Tensor::Scalar(5, DType::kF32).value()}}));
  EXPECT_THAT(
      WriteSafetensors(path, {{"x", Tensor()}}),
      StatusIs(kInvalid, AllOf(StartsWith(path + ":"), HasSubstr("'x'"))));
  SEPTET_ASSERT_OK_AND_ASSIGN(const SafetensorsFile file,
                              SafetensorsFile::Open(path));
  EXPECT_EQ(file.Get("x")->item<float>(), 5);
}

// Every element of every tensor that can be had is read.
int64_t ReadAll(const SafetensorsFile& file) {
  int64_t sum = 0;
  for (const std::string& name : file.names()) {
    const absl::StatusOr<Tensor> tensor = file.Get(name);
    if (!tensor.ok()) continue;
    const auto* bytes = static_cast<const unsigned char*>(tensor->raw_data());
    const size_t size = tensor->num_elements() * DTypeSize(tensor->dtype());
    for (size_t i = 0; i < size; ++i) sum += bytes[i];
  }
  return sum;
}

// A small file, cut at every byte and with every byte set to every value: an
// error or a file, no crash.
TEST(SafetensorsTest, TruncatedAnywhere) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const std::string good,
      ReadFileToString(TestData("all_dtypes.safetensors")));
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_THAT(SafetensorsFile::FromBytes(good.substr(0, size), "cut"),
                StatusIs(kDataLoss, StartsWith("cut: ")))
        << size;
  }
}

TEST(SafetensorsTest, AnyByteChanged) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const std::string good,
      SerializeSafetensors(
          {{"a", Tensor::FromValues<bool>({2}, {true, false}).value()},
           {"b", Tensor::FromValues<float>({1, 2}, {1, 2}).value()},
           {"c", Tensor::Zeros({0, 3}, DType::kBF16).value()}},
          {{"k", "v\n"}}));
  int opened = 0, refused = 0;
  for (size_t i = 0; i < good.size(); ++i) {
    for (int value = 0; value < 256; ++value) {
      std::string bad = good;
      bad[i] = static_cast<char>(value);
      const absl::StatusOr<SafetensorsFile> file =
          SafetensorsFile::FromBytes(std::move(bad), "changed");
      if (file.ok()) {
        ++opened;
        ReadAll(*file);
      } else {
        ++refused;
        ASSERT_EQ(file.status().code(), kDataLoss) << file.status();
      }
    }
  }
  EXPECT_GT(opened, 1000);
  EXPECT_GT(refused, 10000);
}

}  // namespace
}  // namespace septet
