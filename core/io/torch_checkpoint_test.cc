// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/torch_checkpoint.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/io/safetensors.h"
#include "septet/core/io/zip_impl.h"
#include "septet/core/tensor/allocator.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using io_internal::ZipWriteOptions;
using io_internal::ZipWriter;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::StartsWith;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
constexpr auto kExhausted = absl::StatusCode::kResourceExhausted;
constexpr auto kNotFound = absl::StatusCode::kNotFound;
constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;

using Tensors = std::map<std::string, Tensor>;

std::string TestData(absl::string_view name) {
  return absl::StrCat("core/io/testdata/torch/", name);
}

std::string TempPath(absl::string_view name) {
  return absl::StrCat(std::getenv("TEST_TMPDIR"), "/", name);
}

std::string Bytes(const Tensor& tensor) {
  const Tensor dense = tensor.Contiguous().value();
  return std::string(static_cast<const char*>(dense.raw_data()),
                     dense.num_elements() * DTypeSize(dense.dtype()));
}

void ExpectSame(const Tensor& actual, const Tensor& expected) {
  ASSERT_EQ(actual.DebugString(), expected.DebugString());
  EXPECT_EQ(Bytes(actual), Bytes(expected));
}

// 0, 1, 2, ... from `first` on.
Tensor Ramp(const Shape& shape, DType dtype, int first = 0) {
  std::vector<double> values;
  for (int64_t i = 0; i < shape.num_elements(); ++i) {
    values.push_back(static_cast<double>(first + i));
  }
  return Tensor::FromValues<double>(shape, values).value().To(dtype).value();
}

TEST(TorchCheckpointTest, GoldenFilesAreBitEqual) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const SafetensorsFile golden,
      SafetensorsFile::Open(TestData("unet_module.safetensors")));
  for (const char* name : {"unet_module_zip.pt", "unet_module_legacy.pt"}) {
    SCOPED_TRACE(name);
    SEPTET_ASSERT_OK_AND_ASSIGN(const Tensors tensors,
                                ReadTorchCheckpoint(TestData(name)));
    size_t compared = 0;
    for (const std::string& key : golden.names()) {
      if (absl::StartsWith(key, "test.")) continue;
      SCOPED_TRACE(key);
      ASSERT_EQ(tensors.count(key), 1);
      ExpectSame(tensors.at(key),
                 golden.Get(key).value().To(DType::kF32).value());
      ++compared;
    }
    EXPECT_EQ(compared, 15);
    EXPECT_EQ(tensors.size(), compared);
  }
}

TEST(TorchCheckpointTest, AllDTypes) {
  const std::map<std::string, DType> dtypes = {
      {"float32", DType::kF32}, {"float64", DType::kF64},
      {"float16", DType::kF16}, {"bfloat16", DType::kBF16},
      {"int64", DType::kI64},   {"int32", DType::kI32},
      {"uint8", DType::kU8},    {"uint16", DType::kU16}};
  for (const char* name : {"dtypes_zip.pt", "dtypes_legacy.pt"}) {
    SCOPED_TRACE(name);
    const bool zip = absl::StrContains(name, "zip");
    SEPTET_ASSERT_OK_AND_ASSIGN(const Tensors tensors,
                                ReadTorchCheckpoint(TestData(name)));
    EXPECT_EQ(tensors.size(), zip ? 11 : 10);
    for (const auto& [key, dtype] : dtypes) {
      if (key == "uint16" && !zip) continue;
      SCOPED_TRACE(key);
      ExpectSame(tensors.at(key), Ramp({2, 3}, dtype));
    }
    ExpectSame(tensors.at("bool"),
               Tensor::FromValues<bool>({2, 3},
                                        {true, false, true, false, false, true})
                   .value());
    ExpectSame(tensors.at("scalar"), Tensor::Scalar(2.5, DType::kF32).value());
    ExpectSame(tensors.at("empty"), Tensor::Zeros({0, 4}, DType::kF32).value());
  }
}

TEST(TorchCheckpointTest, WhatThereIsNoDTypeForIsListed) {
  const std::string path = TestData("others_zip.pt");
  SEPTET_ASSERT_OK_AND_ASSIGN(const TorchCheckpoint all,
                              OpenTorchCheckpoint(path));
  EXPECT_THAT(all.tensors, ElementsAre(Pair("good", testing::_)));
  EXPECT_TRUE(all.values.empty());
  EXPECT_THAT(
      all.unsupported,
      ElementsAre(
          Pair("complex128", HasSubstr("complex128 [2]: no such dtype here")),
          Pair("complex64", HasSubstr("complex64 [2]")),
          Pair("float8_e5m2", HasSubstr("float8_e5m2 [2]")),
          Pair("int16",
               "int16 [2]: no such dtype here; there are float64, "
               "float32, float16, bfloat16, int64, int32, uint16, "
               "uint8 and bool"),
          Pair("int8", HasSubstr("int8 [2]")),
          Pair("large", "an integer of 13 bytes, at most 8 are supported"),
          Pair("negative",
               "float32 [2]: is the negative of what is stored; save its "
               "resolve_neg()"),
          Pair("nine_axes", HasSubstr("has 9 axes, at most 8"))));
  EXPECT_THAT(
      ReadTorchCheckpoint(path),
      StatusIs(kUnimplemented, StartsWith(absl::StrCat(
                                   path, ": 'complex128' is complex128 [2]"))));
}

TEST(TorchCheckpointTest, ViewsKeepTheirValues) {
  for (const char* name : {"views_zip.pt", "views_legacy.pt"}) {
    SCOPED_TRACE(name);
    SEPTET_ASSERT_OK_AND_ASSIGN(Tensors views,
                                ReadTorchCheckpoint(TestData(name)));
    const Tensor base = Ramp({4, 6}, DType::kF32);
    ExpectSame(views["base"], base);
    ExpectSame(views["transposed"], base.Permute({1, 0}).value());
    EXPECT_THAT(views["column"].ToVector<int>(), ElementsAre(2, 8, 14, 20));
    EXPECT_EQ(views["block"].DebugString(), "f32 [2, 3]");
    EXPECT_THAT(views["block"].ToVector<int>(),
                ElementsAre(8, 9, 10, 14, 15, 16));
    EXPECT_EQ(views["steps"].DebugString(), "f32 [2, 3]");
    EXPECT_THAT(views["steps"].ToVector<int>(),
                ElementsAre(1, 3, 5, 13, 15, 17));
    EXPECT_THAT(views["row"].ToVector<int>(),
                ElementsAre(12, 13, 14, 15, 16, 17));
    EXPECT_EQ(views["expanded"].DebugString(), "f32 [3, 1000]");
    EXPECT_THAT(views["expanded"].strides(), ElementsAre(0, 0));
    EXPECT_THAT(views["expanded"].ToVector<int>(),
                ElementsAreArray(std::vector<int>(3000, 9)));
    EXPECT_EQ(views["expanded_column"].DebugString(), "f32 [4, 5]");
    EXPECT_THAT(views["expanded_column"].ToVector<int>(),
                ElementsAre(1, 1, 1, 1, 1, 7, 7, 7, 7, 7, 13, 13, 13, 13, 13,
                            19, 19, 19, 19, 19));
    EXPECT_THAT(views["windows"].ToVector<int>(),
                ElementsAre(5, 6, 7, 8, 7, 8, 9, 10, 9, 10, 11, 12));
    // Contiguous views of one storage are views of one memory here, too.
    EXPECT_EQ(views["row"].data<float>(), views["base"].data<float>() + 12);
  }
}

void ExpectTraining(const TorchCheckpoint& all) {
  EXPECT_TRUE(all.unsupported.empty());
  // 8 of the model, 3 of the optimizer for each of 5 parameters.
  EXPECT_EQ(all.tensors.size(), 8 + 15);
  // Adam moves each weight by lr = 0.125 in its first step.
  EXPECT_THAT(all.tensors.at("model.body.0.weight").ToVector<float>(),
              ElementsAre(-0.125F, 0.875F, 1.875F, 2.875F, 3.875F, 4.875F));
  EXPECT_EQ(all.tensors.at("model.body.0.weight").DebugString(), "f32 [2, 3]");
  EXPECT_EQ(all.tensors.at("model.body.1.num_batches_tracked").DebugString(),
            "i64 []");
  EXPECT_THAT(all.tensors.at("model.head.weight").ToVector<float>(),
              ElementsAre(3.875F, 4.875F));
  for (int i = 0; i < 5; ++i) {
    const std::string state = absl::StrCat("optimizer.state.", i);
    EXPECT_EQ(all.tensors.at(state + ".step").item<float>(), 1);
    for (float m : all.tensors.at(state + ".exp_avg").ToVector<float>()) {
      EXPECT_EQ(m, 0.125F);
    }
    for (float v : all.tensors.at(state + ".exp_avg_sq").ToVector<float>()) {
      EXPECT_EQ(v, 0.015625F);
    }
  }
  const std::map<std::string, TorchValue> expected = {
      {"optimizer.param_groups.0.lr", 0.125},
      {"optimizer.param_groups.0.betas.0", 0.5},
      {"optimizer.param_groups.0.betas.1", 0.75},
      {"optimizer.param_groups.0.eps", 1e-8},
      {"optimizer.param_groups.0.weight_decay", int64_t{0}},
      {"optimizer.param_groups.0.amsgrad", false},
      {"optimizer.param_groups.0.fused", std::monostate()},
      {"optimizer.param_groups.0.params.4", int64_t{4}},
      {"scheduler.milestones.2", int64_t{1}},
      {"scheduler.milestones.5", int64_t{1}},
      {"scheduler.gamma", 0.5},
      {"scheduler.last_epoch", int64_t{1}},
      {"epoch", int64_t{7}},
      {"best", -0.75},
      {"done", false},
      {"note", std::string("caf\xc3\xa9")},
      {"raw", std::string("\0\xff\x80z", 4)},
      {"nothing", std::monostate()},
      {"negative", -(int64_t{1} << 40)},
      {"shape.0", int64_t{2}},
      {"shape.1", int64_t{3}},
      {"device", std::string("cuda:1")},
      {"dtype", std::string("torch.bfloat16")},
      {"history.0.0", int64_t{1}},
      {"history.0.1", 0.5},
      {"history.1.0", int64_t{2}},
      {"history.1.1", 0.25},
      {"tags.0", std::string("only")},
      {"frozen.0", std::string("ice")},
      {"numpy_float", 1.5},
      {"numpy_int", int64_t{-3}},
      {"numpy_bool", true},
  };
  for (const auto& [name, value] : expected) {
    ASSERT_EQ(all.values.count(name), 1) << name;
    EXPECT_TRUE(all.values.at(name) == value) << name;
  }
}

TEST(TorchCheckpointTest, TrainingStateInAllContainersAndProtocols) {
  for (const char* name :
       {"training_zip.pt", "training_legacy.pt", "training_protocol3.pt",
        "training_protocol4.pt", "training_protocol5.pt"}) {
    SCOPED_TRACE(name);
    SEPTET_ASSERT_OK_AND_ASSIGN(const TorchCheckpoint all,
                                OpenTorchCheckpoint(TestData(name)));
    ExpectTraining(all);
  }
}

TEST(TorchCheckpointTest, ParametersAreTensors) {
  for (const char* name : {"parameters_zip.pt", "parameters_legacy.pt"}) {
    SCOPED_TRACE(name);
    SEPTET_ASSERT_OK_AND_ASSIGN(Tensors tensors,
                                ReadTorchCheckpoint(TestData(name)));
    EXPECT_EQ(tensors.size(), 4);
    ExpectSame(tensors["parameter"], Ramp({2, 2}, DType::kF32));
    ExpectSame(tensors["tagged"], Ramp({2}, DType::kF32, 5));
    ExpectSame(tensors["buffer"], Ramp({3}, DType::kF64));
    ExpectSame(tensors["list.0"], Ramp({2, 2}, DType::kF32));
    EXPECT_EQ(tensors["list.0"].raw_data(), tensors["parameter"].raw_data());
  }
}

TEST(TorchCheckpointTest, OneTensorHasTheEmptyName) {
  for (const char* name :
       {"tensor_zip.pt", "tensor_legacy.pt", "big_endian_zip.pt"}) {
    SCOPED_TRACE(name);
    SEPTET_ASSERT_OK_AND_ASSIGN(const Tensors tensors,
                                ReadTorchCheckpoint(TestData(name)));
    ASSERT_EQ(tensors.size(), 1);
    ExpectSame(tensors.at(""), Ramp({2, 3}, DType::kF32));
  }
}

TEST(TorchCheckpointTest, StoredElementsAreNotCopied) {
  const std::string copy = TempPath("copy.pt");
  SEPTET_ASSERT_OK(WriteFileAtomically(
      copy, ReadFileToString(TestData("dtypes_zip.pt")).value()));
  const int64_t before = CpuAllocator().Stats().live_bytes;
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensors tensors, ReadTorchCheckpoint(copy));
  // But for the tensor without elements.
  EXPECT_LE(CpuAllocator().Stats().live_bytes, before + 64);
  EXPECT_TRUE(tensors.at("float32").IsReadOnly());
  // The mapping outlives the name.
  SEPTET_ASSERT_OK(WriteFileAtomically(copy, "gone"));
  ExpectSame(tensors.at("float32"), Ramp({2, 3}, DType::kF32));
}

TEST(TorchCheckpointTest, NothingIsRun) {
  for (const char* name : {"evil_zip.pt", "evil_legacy.pt"}) {
    const std::string path = TestData(name);
    EXPECT_THAT(OpenTorchCheckpoint(path),
                StatusIs(kUnimplemented,
                         AllOf(StartsWith(path), HasSubstr("pickle, byte "),
                               HasSubstr("wants 'posix.system'"))));
  }
  EXPECT_THAT(OpenTorchCheckpoint(TestData("subclass_zip.pt")),
              StatusIs(kUnimplemented, HasSubstr("wants '__main__.Subclass'")));
  EXPECT_THAT(
      OpenTorchCheckpoint(TestData("sparse_zip.pt")),
      StatusIs(kUnimplemented,
               HasSubstr("wants 'torch._utils._rebuild_sparse_tensor'")));
  EXPECT_THAT(OpenTorchCheckpoint(TestData("numpy_array_zip.pt")),
              StatusIs(kUnimplemented, HasSubstr("multiarray._reconstruct'")));
}

TEST(TorchCheckpointTest, WhatIsNoCheckpoint) {
  EXPECT_THAT(ParseTorchCheckpoint("", "a"),
              StatusIs(kDataLoss, "a: the file is empty"));
  EXPECT_THAT(OpenTorchCheckpoint(TempPath("gone.pt")),
              StatusIs(kNotFound, HasSubstr("gone.pt")));
  EXPECT_THAT(
      OpenTorchCheckpoint(TestData("unet_module.safetensors")),
      StatusIs(kDataLoss, HasSubstr("neither a zip archive nor the magic "
                                    "number of torch.save")));
  EXPECT_THAT(
      ParseTorchCheckpoint(
          ReadFileToString("core/io/testdata/npy/stored.npz").value(), "a"),
      StatusIs(kDataLoss, HasSubstr("without a '<name>/data.pkl'")));
  std::string tar(512, '\0');
  tar.replace(257, 5, "ustar");
  EXPECT_THAT(ParseTorchCheckpoint(tar, "a"),
              StatusIs(kUnimplemented, HasSubstr("a tar file")));
  EXPECT_TRUE(LooksLikeTorchCheckpoint("PK\x03\x04"));
  EXPECT_FALSE(LooksLikeTorchCheckpoint("\x93NUMPY"));
  for (const char* name : {"tensor_legacy.pt", "views_legacy.pt"}) {
    const std::string file = ReadFileToString(TestData(name)).value();
    EXPECT_TRUE(LooksLikeTorchCheckpoint(file.substr(0, 25)));
  }
}

// --- Pickles by hand.

std::string Text(absl::string_view text) {
  std::string result = "X";
  for (int i = 0; i < 4; ++i) {
    result += static_cast<char>(text.size() >> (8 * i));
  }
  return absl::StrCat(result, text);
}

std::string Int(int32_t value) {
  std::string result = "J";
  for (int i = 0; i < 4; ++i) {
    result += static_cast<char>(static_cast<uint32_t>(value) >> (8 * i));
  }
  return result;
}

std::string Long(int64_t value) {
  std::string result = "\x8a\x08";
  for (int i = 0; i < 8; ++i) {
    result += static_cast<char>(static_cast<uint64_t>(value) >> (8 * i));
  }
  return result;
}

std::string Global(absl::string_view module, absl::string_view name) {
  return absl::StrCat("c", module, "\n", name, "\n");
}

std::string Tuple(const std::vector<std::string>& items) {
  std::string result = "(";
  for (const std::string& item : items) result += item;
  return result + "t";
}

std::string Storage(absl::string_view type, absl::string_view key,
                    int64_t elements) {
  return Tuple({Text("storage"), Global("torch", type), Text(key), Text("cpu"),
                Long(elements)}) +
         "Q";
}

std::string TensorOf(const std::string& storage, int64_t offset,
                     const std::vector<int64_t>& sizes,
                     const std::vector<int64_t>& strides) {
  std::vector<std::string> size_items, stride_items;
  for (int64_t size : sizes) size_items.push_back(Long(size));
  for (int64_t stride : strides) stride_items.push_back(Long(stride));
  return Global("torch._utils", "_rebuild_tensor_v2") +
         Tuple({storage, Long(offset), Tuple(size_items), Tuple(stride_items),
                "\x89", "N"}) +
         "R";
}

std::string Pickle(const std::string& body) {
  return absl::StrCat("\x80\x02", body, ".");
}

// An archive with this pickle and one storage, "0".
std::string Zip(const std::string& pickle, absl::string_view storage = "",
                bool deflate = false, absl::string_view byteorder = "little") {
  std::string file;
  ZipWriter writer([&file](absl::string_view piece) {
    absl::StrAppend(&file, piece);
    return absl::OkStatus();
  });
  ZipWriteOptions options;
  options.deflate = deflate;
  EXPECT_THAT(writer.Add("m/data.pkl", {pickle}, options), IsOk());
  EXPECT_THAT(writer.Add("m/byteorder", {byteorder}, options), IsOk());
  EXPECT_THAT(writer.Add("m/data/0", {storage}, options), IsOk());
  EXPECT_THAT(writer.Finish(), IsOk());
  return file;
}

absl::StatusOr<TorchCheckpoint> ReadPickleOf(
    const std::string& body, absl::string_view storage = "",
    const TorchCheckpointOptions& options = {}) {
  return ParseTorchCheckpoint(Zip(Pickle(body), storage), "a", options);
}

TEST(TorchCheckpointTest, TensorsStayWithinTheirStorage) {
  const std::string storage = Storage("FloatStorage", "0", 4);
  const std::string data(16, '\0');
  SEPTET_EXPECT_OK(ReadPickleOf(TensorOf(storage, 0, {2, 2}, {2, 1}), data));
  SEPTET_EXPECT_OK(ReadPickleOf(TensorOf(storage, 3, {1, 1}, {9, 9}), data));
  // Nothing is there to lead out.
  SEPTET_EXPECT_OK(ReadPickleOf(TensorOf(storage, 9, {0, 3}, {3, 1}), data));
  const auto expect = [&](int64_t offset, const std::vector<int64_t>& sizes,
                          const std::vector<int64_t>& strides,
                          absl::string_view message) {
    EXPECT_THAT(ReadPickleOf(TensorOf(storage, offset, sizes, strides), data),
                StatusIs(kDataLoss, AllOf(StartsWith("a: "),
                                          HasSubstr(std::string(message)))));
  };
  constexpr int64_t kLarge = int64_t{1} << 62;
  expect(0, {2, 2}, {3, 1},
         "tensor '' (float32 [2, 2]): offset 0 and strides "
         "[3, 1] lead out of its storage '0' of 4 elements");
  expect(3, {2}, {1}, "lead out");
  expect(-1, {2}, {1}, "lead out");
  expect(4, {}, {}, "offset 4 and strides [] lead out");
  expect(kLarge, {2}, {kLarge}, "lead out");
  expect(0, {3}, {kLarge}, "lead out");
  expect(0, {2}, {-1}, "expected none below 0");
  expect(0, {-1}, {1}, "[-1]");
  expect(0, {kLarge, kLarge}, {0, 0}, "float32 [46");
  expect(0, {2, 2}, {1}, "2 sizes and 1 strides");
}

TEST(TorchCheckpointTest, StoragesAreAsLargeAsTheySay) {
  EXPECT_THAT(
      ReadPickleOf(TensorOf(Storage("FloatStorage", "0", 5), 0, {1}, {1}),
                   std::string(16, '\0')),
      StatusIs(kDataLoss, HasSubstr("entry 'm/data/0' has 16 bytes, but the "
                                    "pickle says 5 elements of 4 bytes")));
  EXPECT_THAT(
      ReadPickleOf(
          TensorOf(Storage("FloatStorage", "0", int64_t{1} << 62), 0, {1}, {1}),
          ""),
      StatusIs(kDataLoss, HasSubstr("says 4611686018427387904")));
  EXPECT_THAT(ReadPickleOf(Storage("FloatStorage", "0", -1)),
              StatusIs(kDataLoss, HasSubstr("has -1 elements")));
  EXPECT_THAT(
      ReadPickleOf(TensorOf(Storage("FloatStorage", "1", 1), 0, {1}, {1})),
      StatusIs(kDataLoss, HasSubstr("has no entry 'm/data/1'")));
  // One key, two sizes.
  EXPECT_THAT(
      ReadPickleOf(
          Tuple({TensorOf(Storage("FloatStorage", "0", 2), 0, {2}, {1}),
                 TensorOf(Storage("FloatStorage", "0", 1), 0, {1}, {1})}),
          std::string(8, '\0')),
      StatusIs(kDataLoss, HasSubstr("storage '0' has 8 bytes, but")));
}

TEST(TorchCheckpointTest, BoolsAreZeroOrOne) {
  EXPECT_THAT(
      ReadPickleOf(TensorOf(Storage("BoolStorage", "0", 2), 0, {2}, {1}),
                   "\x01\x02"),
      StatusIs(kDataLoss, HasSubstr("tensor '' (bool [2]): an element is 2")));
  // Only what is seen counts.
  SEPTET_EXPECT_OK(ReadPickleOf(
      TensorOf(Storage("BoolStorage", "0", 2), 0, {1}, {1}), "\x01\x02"));
}

TEST(TorchCheckpointTest, ByteOrder) {
  const std::string pickle =
      Pickle(TensorOf(Storage("IntStorage", "0", 1), 0, {1}, {1}));
  const absl::string_view data("\x00\x00\x01\x02", 4);
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const TorchCheckpoint big,
      ParseTorchCheckpoint(Zip(pickle, data, false, "big"), "a"));
  EXPECT_EQ(big.tensors.at("").item<int32_t>(), 0x102);
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const TorchCheckpoint little,
      ParseTorchCheckpoint(Zip(pickle, data, false, "little"), "a"));
  EXPECT_EQ(little.tensors.at("").item<int32_t>(), 0x02010000);
  EXPECT_THAT(
      ParseTorchCheckpoint(Zip(pickle, data, false, "middle"), "a"),
      StatusIs(kDataLoss, HasSubstr("entry 'm/byteorder' is 'middle'")));
}

TEST(TorchCheckpointTest, LimitsOfMemory) {
  const std::string data(4000, '\0');
  const std::string tensor =
      TensorOf(Storage("FloatStorage", "0", 1000), 0, {500, 501}, {1, 1});
  TorchCheckpointOptions options;
  options.max_copied_bytes = 1002000;
  SEPTET_EXPECT_OK(ReadPickleOf(tensor, data, options));
  options.max_copied_bytes -= 1;
  EXPECT_THAT(
      ReadPickleOf(tensor, data, options),
      StatusIs(kExhausted, HasSubstr("a copy of 250500 elements is more "
                                     "than the 1001999 bytes")));
  // Axes of stride 0 take none.
  options.max_copied_bytes = 0;
  SEPTET_EXPECT_OK(
      ReadPickleOf(TensorOf(Storage("FloatStorage", "0", 1000), 0,
                            {int64_t{1} << 30, int64_t{1} << 30}, {0, 0}),
                   data, options));
  options.max_copied_bytes = 10;
  EXPECT_THAT(OpenTorchCheckpoint(TestData("views_zip.pt"), options),
              StatusIs(kExhausted, HasSubstr("max_copied_bytes")));
  const std::string packed = Zip(Pickle(tensor), data, /*deflate=*/true);
  options = TorchCheckpointOptions();
  SEPTET_EXPECT_OK(ParseTorchCheckpoint(packed, "a", options));
  options.max_inflated_bytes = 4000;
  EXPECT_THAT(
      ParseTorchCheckpoint(packed, "a", options),
      StatusIs(kExhausted, HasSubstr("entry 'm/data/0': inflates to 4000 "
                                     "bytes")));
}

TEST(TorchCheckpointTest, SmallPicklesThatStandForMuch) {
  TorchCheckpointOptions options;
  options.max_object_bytes = 1 << 20;
  SEPTET_EXPECT_OK(OpenTorchCheckpoint(TestData("training_zip.pt"), options));
  const auto repeat = [](const std::string& head, size_t count, char opcode,
                         const std::string& tail) {
    return absl::StrCat(head, std::string(count, opcode), tail);
  };
  const std::vector<std::string> objects = {
      repeat("(", 100'000, 'N', "l"),   repeat("(", 100'000, ']', "l"),
      repeat("N", 100'000, '\x85', ""), repeat("N", 1'000'000, '2', ""),
      repeat("", 1'000'000, '(', ""),   repeat("N", 100'000, '\x94', "")};
  for (size_t i = 0; i < objects.size(); ++i) {
    SCOPED_TRACE(i);
    // Compressed, they are files of some hundred bytes.
    const std::string file = Zip(Pickle(objects[i]), "", /*deflate=*/true);
    EXPECT_LT(file.size(), 2000);
    EXPECT_THAT(
        ParseTorchCheckpoint(file, "a", options),
        StatusIs(kExhausted,
                 AllOf(StartsWith("a: entry 'm/data.pkl': pickle, byte "),
                       HasSubstr("objects up to here take more than the "
                                 "1048576 bytes of max_object_bytes"))));
  }
  // A list that is in another often.
  std::string often = "](K\1K\1K\1K\1K\1K\1K\1K\1eq\0010](";
  for (int i = 0; i < 2000; ++i) often += "h\1";
  often += "e";
  SEPTET_EXPECT_OK(ReadPickleOf(often));
  EXPECT_THAT(
      ReadPickleOf(often, "", options),
      StatusIs(kExhausted, AllOf(HasSubstr("names and values up to here"),
                                 HasSubstr("max_object_bytes"))));
  // So is a tensor.
  std::string tensors =
      TensorOf(Storage("FloatStorage", "0", 1), 0, {1}, {1}) + "q\1](";
  for (int i = 0; i < 2000; ++i) tensors += "h\1";
  tensors += "e\x86";
  SEPTET_EXPECT_OK(ReadPickleOf(tensors, "1234"));
  EXPECT_THAT(ReadPickleOf(tensors, "1234", options),
              StatusIs(kExhausted, HasSubstr("names and values up to here")));
  // Legacy files, too.
  std::string legacy = ReadFileToString(TestData("tensor_legacy.pt")).value();
  options.max_object_bytes = 100;
  EXPECT_THAT(ParseTorchCheckpoint(legacy, "a", options),
              StatusIs(kExhausted, HasSubstr("the magic number, at byte 0")));
}

TEST(TorchCheckpointTest, NegativesAreNotTakenForWhatIsStored) {
  const auto with = [](const std::string& facts) {
    const std::string storage = Storage("FloatStorage", "0", 1);
    return Global("torch._utils", "_rebuild_tensor_v2") +
           Tuple({storage, Long(0), Tuple({Long(1)}), Tuple({Long(1)}), "\x89",
                  "N", facts}) +
           "R";
  };
  for (const char* facts : {"N", "}"}) {
    SEPTET_ASSERT_OK_AND_ASSIGN(const TorchCheckpoint all,
                                ReadPickleOf(with(facts), "1234"));
    EXPECT_EQ(all.tensors.size(), 1);
  }
  SEPTET_ASSERT_OK_AND_ASSIGN(
      TorchCheckpoint all,
      ReadPickleOf(with(absl::StrCat("}", Text("neg"), "\x89s")), "1234"));
  EXPECT_EQ(all.tensors.size(), 1);
  SEPTET_ASSERT_OK_AND_ASSIGN(
      all, ReadPickleOf(with(absl::StrCat("}(", Text("conj"), "\x89",
                                          Text("neg"), "\x88u")),
                        "1234"));
  EXPECT_TRUE(all.tensors.empty());
  EXPECT_THAT(all.unsupported,
              ElementsAre(Pair("", HasSubstr("negative of what is stored"))));
  EXPECT_THAT(ReadPickleOf(with("K\1"), "1234"),
              StatusIs(kDataLoss, HasSubstr("the metadata is 1, expected a "
                                            "dict")));
  EXPECT_THAT(
      ReadPickleOf(with(absl::StrCat("}", Text("neg"), "K\1s")), "1234"),
      StatusIs(kDataLoss, HasSubstr("'neg' of the metadata is 1")));
}

TEST(TorchCheckpointTest, NamesAndNesting) {
  // {"a": {"b": 1}, 3: [2, (3,)], True: None, None: {}, 0.5: "x"}
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const TorchCheckpoint all,
      ReadPickleOf(absl::StrCat("}(", Text("a"), "}", Text("b"), "K\1s",
                                "K\3](K\2K\3\x85", "e", "\x88N", "N}",
                                absl::string_view("G\x3f\xe0\0\0\0\0\0\0", 9),
                                Text("x"), "u")));
  const std::map<std::string, TorchValue> expected = {
      {"a.b", int64_t{1}},
      {"3.0", int64_t{2}},
      {"3.1.0", int64_t{3}},
      {"True", std::monostate()},
      {"0.5", std::string("x")}};
  EXPECT_EQ(all.values, expected);
  EXPECT_THAT(ReadPickleOf(absl::StrCat("}(", Text("a.b"), "N", Text("a"), "}",
                                        Text("b"), "Ns", "u")),
              StatusIs(kDataLoss, HasSubstr("two values have the name 'a.b'")));
  EXPECT_THAT(
      ReadPickleOf("})Ns"),
      StatusIs(kUnimplemented, HasSubstr("neither a text nor a number")));
  std::string deep, flat;
  for (int i = 0; i < 100; ++i) flat += "]";
  flat += "N" + std::string(100, 'a');
  SEPTET_EXPECT_OK(ReadPickleOf(flat));
  for (int i = 0; i < 101; ++i) deep += "]";
  deep += "N" + std::string(101, 'a');
  EXPECT_THAT(ReadPickleOf(deep),
              StatusIs(kDataLoss, HasSubstr("nest deeper than 100")));
  // A list in itself.
  EXPECT_THAT(ReadPickleOf("]q\1h\1a"),
              StatusIs(kDataLoss, HasSubstr("nest deeper than 100")));
  // Each list has the one before four times: 4^40 values.
  std::string laughs = "]Naq\1";
  for (int i = 0; i < 40; ++i) laughs += "0](h\1h\1h\1h\1eq\1";
  EXPECT_THAT(ReadPickleOf(laughs),
              StatusIs(kDataLoss, HasSubstr("stands for too many values")));
  // Long names over and over.
  std::string names = "}q\1" + Text(std::string(10000, 'k')) + "](";
  for (int i = 0; i < 3000; ++i) names += "N";
  names += "es";
  EXPECT_THAT(ReadPickleOf(names),
              StatusIs(kDataLoss, HasSubstr("stands for too many values")));
}

TEST(TorchCheckpointTest, OldDictionaries) {
  const std::string ordered = Global("collections", "OrderedDict");
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const TorchCheckpoint all,
      ReadPickleOf(absl::StrCat(ordered, "](](", Text("x"), "K\1e](", Text("y"),
                                "K\2ee\x85R")));
  EXPECT_THAT(all.values, ElementsAre(Pair("x", TorchValue(int64_t{1})),
                                      Pair("y", TorchValue(int64_t{2}))));
  EXPECT_THAT(ReadPickleOf(ordered + "]Na\x85R"),
              StatusIs(kDataLoss, HasSubstr("something else than pairs")));
  EXPECT_THAT(ReadPickleOf(ordered + "N\x85R"),
              StatusIs(kDataLoss, HasSubstr("something else than a dict")));
}

TEST(TorchCheckpointTest, DamagedPickles) {
  const auto expect = [](const std::string& body, absl::string_view message) {
    EXPECT_THAT(
        ReadPickleOf(body),
        StatusIs(kDataLoss,
                 AllOf(StartsWith("a: entry 'm/data.pkl': pickle, byte "),
                       HasSubstr(std::string(message)))));
  };
  const std::string ordered = Global("collections", "OrderedDict");
  const std::string tensor = Global("torch._utils", "_rebuild_tensor_v2");
  expect("", "ends with 0 values on the stack");
  expect("NN", "ends with 2 values on the stack");
  expect("N(", "ends with 1 values");
  expect("0", "the stack has 0 values, 1 are needed");
  expect("\xff", "no opcode ff");
  expect("e", "there is no mark");
  expect("(e", "the stack has 0 values");
  expect("N(Ne", "adds to None, expected a list");
  expect("](NNu", "adds to a list, expected a dict");
  expect("}(Nu", "a key without a value");
  expect("(Nd", "a key without a value");
  expect("h\5", "memo 5 has not been set");
  expect("q\5", "the stack has 0 values");
  expect("X\xff\xff\xff\xff", "4294967295 bytes are wanted");
  expect("\x8e\xff\xff\xff\xff\xff\xff\xff\xff", "are wanted");
  expect("\x8b\xff\xff\xff\xff", "are wanted");
  expect("cmodule", "a line without an end");
  expect("N)R", "calls None, expected a function");
  expect(ordered + "NR", "the arguments are None, expected a tuple");
  expect("NNb", "sets attributes of None");
  expect("NQ", "persistent id is None, expected a tuple of 5 or 6");
  expect("(NNNNNtQ", "item 0 is None, expected 'storage'");
  expect(absl::StrCat("(", Text("storage"), "NNNNtQ"),
         "item 1 is None, expected a class of storages");
  expect(absl::StrCat("(", Text("storage"), Global("torch", "IntStorage"),
                      "K\1NNtQ"),
         "item 2 is 1, expected the key, a text");
  expect(absl::StrCat("(", Text("storage"), Global("torch", "IntStorage"),
                      Text("0"), "NNtQ"),
         "item 4, the number of elements, is None, expected an int");
  expect(absl::StrCat("(", Text("storage"), Global("torch", "IntStorage"),
                      Text("0"), "NK\4(NK\2K\3ttQ"),
         "storage '0': a view of 3 elements at 2 of 4");
  expect(tensor + ")R", "_rebuild_tensor_v2 has 0 arguments, expected 6");
  expect(tensor + "(NNNNNNtR", "argument 0 is None, expected a storage");
  expect(absl::StrCat(tensor, "(", Storage("IntStorage", "0", 1), "NNNNNtR"),
         "the offset is None, expected an int");
  expect(
      absl::StrCat(tensor, "(", Storage("UntypedStorage", "0", 1), "NNNNNtR"),
      "its storage has no dtype");
  expect(Global("torch._utils", "_rebuild_parameter") + "N\x85R",
         "wants a tensor");
  expect(Global("torch._tensor", "_rebuild_from_type_v2") + "(NNNtR",
         "wants a function, a class and arguments");
  expect(absl::StrCat(Global("torch._tensor", "_rebuild_from_type_v2"), "(",
                      ordered, "N)tR"),
         "argument 1 is None, expected torch.Tensor or torch.nn.Parameter");
  expect(absl::StrCat(Global("torch._tensor", "_rebuild_from_type_v2"), "(",
                      ordered, Global("torch", "Tensor"), ")tR"),
         "of a function that makes no tensor");
  expect(absl::StrCat(Global("_codecs", "encode"), Text("\xe2\x82\xac"),
                      Text("latin1"), "\x86R"),
         "is not of a latin-1 character");
  expect(Global("torch", "device") + ")R", "torch.device wants");
  EXPECT_THAT(
      ParseTorchCheckpoint(Zip(Pickle("N") + "more"), "a"),
      StatusIs(kDataLoss, HasSubstr("the pickle ends after 4 of 8 bytes")));
}

TEST(TorchCheckpointTest, RefusedOpcodes) {
  const auto expect = [](const std::string& body, absl::string_view message) {
    EXPECT_THAT(ReadPickleOf(body),
                StatusIs(kUnimplemented, HasSubstr(std::string(message))));
  };
  const std::string ordered = Global("collections", "OrderedDict");
  expect("\x80\1", "protocol 1, expected 2 to 5");
  expect("\x80\6", "protocol 6, expected 2 to 5");
  expect("I1\n", "opcode 'I' of protocol 0");
  expect(ordered + ")\x81", "NEWOBJ makes an object of a class");
  expect(ordered + ")}\x92", "NEWOBJ_EX makes an object");
  expect("(iposix\nsystem\n", "wants 'posix.system'");
  expect("(" + ordered + "o", "OBJ makes an object");
  expect("\x82\1", "EXT names a class");
  expect("\x97", "a buffer outside");
  expect(Text("builtins") + Text("eval") + "\x93", "wants 'builtins.eval'");
  expect(Global("torch", "load"), "wants 'torch.load'");
  expect(Global("torch.storage", "_load_from_bytes"),
         "wants 'torch.storage._load_from_bytes'");
  expect(Global("os\x01\xff", "x"), "wants 'os\\x01\\xff.x'");
  expect(absl::StrCat(Global("_codecs", "encode"), Text("x"), Text("utf-16"),
                      "\x86R"),
         "_codecs.encode with the code 'utf-16'");
}

TEST(TorchCheckpointTest, DamagedArchives) {
  const auto archive =
      [](const std::vector<std::pair<std::string, std::string>>& entries) {
        std::string file;
        ZipWriter writer([&file](absl::string_view piece) {
          absl::StrAppend(&file, piece);
          return absl::OkStatus();
        });
        for (const auto& [name, bytes] : entries) {
          EXPECT_THAT(writer.Add(name, {bytes}, {}), IsOk());
        }
        EXPECT_THAT(writer.Finish(), IsOk());
        return ParseTorchCheckpoint(file, "a").status();
      };
  const std::string none = Pickle("N");
  SEPTET_EXPECT_OK(archive({{"m/data.pkl", none}, {"m/x", ""}, {"m/x", ""}}));
  EXPECT_THAT(archive({{"x.npy", ""}}),
              StatusIs(kDataLoss, HasSubstr("without a '<name>/data.pkl': not "
                                            "written by torch.save; the first "
                                            "entry is 'x.npy'")));
  EXPECT_THAT(archive({{"m/n/data.pkl", none}, {"data.pkl", none}}),
              StatusIs(kDataLoss, HasSubstr("without a '<name>/data.pkl'")));
  EXPECT_THAT(archive({{"m/data.pkl", none}, {"n/data.pkl", none}}),
              StatusIs(kDataLoss, HasSubstr("the pickles 'm/data.pkl' and "
                                            "'n/data.pkl', expected one")));
  EXPECT_THAT(archive({{"m/data.pkl", none},
                       {"m/byteorder", "little"},
                       {"m/byteorder", "big"}}),
              StatusIs(kDataLoss, HasSubstr("has 2 entries 'm/byteorder'")));
  EXPECT_THAT(archive({{"m/data.pkl", none}, {"m/constants.pkl", none}}),
              StatusIs(kUnimplemented, HasSubstr("a TorchScript archive")));
}

TEST(TorchCheckpointTest, DamagedLegacyFiles) {
  const std::string file =
      ReadFileToString(TestData("tensor_legacy.pt")).value();
  EXPECT_THAT(
      ParseTorchCheckpoint(file + "x", "a"),
      StatusIs(kDataLoss, HasSubstr("1 bytes follow the last storage")));
  EXPECT_THAT(
      ParseTorchCheckpoint(file.substr(0, file.size() - 1), "a"),
      StatusIs(kDataLoss, HasSubstr("has 6 elements of 4 bytes at byte")));
  EXPECT_THAT(ParseTorchCheckpoint(file.substr(0, file.size() - 25), "a"),
              StatusIs(kDataLoss, HasSubstr("8 are needed for its size")));
  std::string changed = file;
  changed[file.size() - 32] = 5;
  EXPECT_THAT(ParseTorchCheckpoint(changed, "a"),
              StatusIs(kDataLoss, HasSubstr("4 bytes follow")));
  changed[file.size() - 25] = '\x7f';
  EXPECT_THAT(ParseTorchCheckpoint(changed, "a"),
              StatusIs(kDataLoss, HasSubstr("the file 24 bytes more")));
  // Small pickles in a row.
  const std::string magic =
      "\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
  const auto status = [&magic](const std::string& rest) {
    return ParseTorchCheckpoint(magic + rest, "a").status();
  };
  EXPECT_THAT(status(Pickle("K\1")),
              StatusIs(kUnimplemented, "a: the protocol is 1, expected 1001"));
  EXPECT_THAT(status(Pickle("N")),
              StatusIs(kDataLoss, "a: the protocol is no int"));
  const std::string head = Pickle("M\xe9\x03") + Pickle("}");
  EXPECT_THAT(
      status(Pickle("M\xe9\x03") + Pickle("N")),
      StatusIs(kDataLoss, HasSubstr("facts of the system are no dict")));
  SEPTET_EXPECT_OK(status(head + Pickle("N") + Pickle("]")));
  EXPECT_THAT(
      status(head + Pickle("N") + Pickle("N")),
      StatusIs(kDataLoss, HasSubstr("keys of the storages are no list")));
  EXPECT_THAT(
      status(head + Pickle("N") + Pickle("]Na")),
      StatusIs(kDataLoss, HasSubstr("the key of a storage is no text")));
  EXPECT_THAT(
      status(head + Pickle("N") + Pickle("]" + Text("7") + "a")),
      StatusIs(kDataLoss, HasSubstr("storage '7' is in the list of keys "
                                    "and not in the object")));
  const std::string object =
      Pickle(TensorOf(Storage("IntStorage", "7", 0), 0, {1}, {1}));
  EXPECT_THAT(status(head + object + Pickle("]")),
              StatusIs(kDataLoss, HasSubstr("the file has no storage '7'")));
  EXPECT_THAT(status(head + object +
                     Pickle(absl::StrCat("](", Text("7"), Text("7"), "e")) +
                     std::string(16, '\0')),
              StatusIs(kDataLoss, HasSubstr("in the list of keys twice")));
  EXPECT_THAT(status(head + Pickle("I")),
              StatusIs(kUnimplemented, HasSubstr("the object, at byte ")));
}

// A storage of 4 elements of which a tensor sees 2, as files of before torch
// 0.4 have it.
TEST(TorchCheckpointTest, ViewsOfLegacyStorages) {
  const std::string storage =
      Tuple({Text("storage"), Global("torch", "IntStorage"), Text("7"),
             Text("cpu"), Int(4), Tuple({Text("8"), Int(1), Int(2)})}) +
      "Q";
  const auto parse = [](const std::string& tensor) {
    std::string data(24, '\0');
    data[0] = 4;
    for (int i = 0; i < 4; ++i) data[8 + 4 * i] = static_cast<char>(10 + i);
    return ParseTorchCheckpoint(
        absl::StrCat("\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.",
                     Pickle("M\xe9\x03"), Pickle("}"), Pickle(tensor),
                     Pickle(absl::StrCat("]", Text("7"), "a")), data),
        "a");
  };
  SEPTET_ASSERT_OK_AND_ASSIGN(const TorchCheckpoint all,
                              parse(TensorOf(storage, 0, {2}, {1})));
  EXPECT_THAT(all.tensors.at("").ToVector<int>(), ElementsAre(11, 12));
  EXPECT_THAT(parse(TensorOf(storage, 1, {2}, {1})),
              StatusIs(kDataLoss, HasSubstr("'7' of 2 elements")));
}

TEST(TorchCheckpointTest, EveryTruncationIsAnErrorAndNoChangeCrashes) {
  TorchCheckpointOptions options;
  options.max_inflated_bytes = options.max_copied_bytes = 1 << 20;
  for (const char* name : {"parameters_zip.pt", "parameters_legacy.pt",
                           "views_zip.pt", "dtypes_legacy.pt"}) {
    const std::string file = ReadFileToString(TestData(name)).value();
    for (size_t size = 0; size < file.size(); ++size) {
      const absl::Status status =
          ParseTorchCheckpoint(file.substr(0, size), "a").status();
      EXPECT_EQ(status.code(), kDataLoss) << name << " " << size << status;
      EXPECT_TRUE(absl::StartsWith(status.message(), "a: "));
    }
    for (size_t at = 0; at < file.size(); ++at) {
      for (const char mask : {'\x01', '\x15', '\x80', '\xff'}) {
        std::string changed = file;
        changed[at] ^= mask;
        const auto read = ParseTorchCheckpoint(changed, "a", options);
        if (!read.ok()) {
          const absl::StatusCode code = read.status().code();
          EXPECT_TRUE(code == kDataLoss || code == kUnimplemented ||
                      code == kExhausted)
              << read.status();
          continue;
        }
        for (const auto& [key, tensor] : read->tensors) {
          // An expanded axis may have any extent.
          if (tensor.num_elements() < 10000) Bytes(tensor);
        }
      }
    }
  }
}

}  // namespace
}  // namespace septet
