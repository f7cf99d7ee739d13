// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/torch_checkpoint.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
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
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::StartsWith;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
constexpr auto kExhausted = absl::StatusCode::kResourceExhausted;
constexpr auto kNotFound = absl::StatusCode::kNotFound;
constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;

std::string TestData(absl::string_view name) {
  return absl::StrCat("core/io/testdata/torch/", name);
}

std::string Bytes(absl::string_view name) {
  const absl::StatusOr<std::string> bytes = ReadFileToString(TestData(name));
  SEPTET_EXPECT_OK(bytes);
  return bytes.ok() ? *bytes : "";
}

TorchCheckpoint Open(absl::string_view name) {
  absl::StatusOr<TorchCheckpoint> checkpoint =
      OpenTorchCheckpoint(TestData(name));
  SEPTET_EXPECT_OK(checkpoint);
  return checkpoint.ok() ? *std::move(checkpoint) : TorchCheckpoint();
}

// Elements in row-major order, whatever dtype and strides.
std::vector<double> Values(const Tensor& tensor) {
  const absl::StatusOr<Tensor> doubles = tensor.To(DType::kF64);
  SEPTET_EXPECT_OK(doubles);
  const absl::StatusOr<Tensor> dense = doubles->Contiguous();
  SEPTET_EXPECT_OK(dense);
  const double* data = dense->data<double>();
  return std::vector<double>(data, data + dense->num_elements());
}

std::vector<std::string> Names(const std::map<std::string, Tensor>& tensors) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors) names.push_back(name);
  return names;
}

// Both containers of one model, against its parameters in float64 rounded to
// float32.
TEST(TorchCheckpointTest, BothContainersHoldTheBitsOfTheModel) {
  const absl::StatusOr<SafetensorsFile> file =
      SafetensorsFile::Open(TestData("unet_module.safetensors"));
  SEPTET_ASSERT_OK(file);
  for (const absl::string_view name :
       {"unet_module_zip.pt", "unet_module_legacy.pt"}) {
    SCOPED_TRACE(name);
    const absl::StatusOr<std::map<std::string, Tensor>> tensors =
        ReadTorchCheckpoint(TestData(name));
    SEPTET_ASSERT_OK(tensors);
    size_t compared = 0;
    for (const std::string& key : file->names()) {
      if (absl::StartsWith(key, "test.")) continue;
      SCOPED_TRACE(key);
      const absl::StatusOr<Tensor> want = file->Get(key);
      SEPTET_ASSERT_OK(want);
      const absl::StatusOr<Tensor> rounded = want->To(DType::kF32);
      SEPTET_ASSERT_OK(rounded);
      ASSERT_EQ(tensors->count(key), 1);
      const absl::StatusOr<Tensor> got = tensors->at(key).Contiguous();
      SEPTET_ASSERT_OK(got);
      ASSERT_EQ(got->dtype(), DType::kF32);
      ASSERT_EQ(got->shape(), rounded->shape());
      EXPECT_EQ(std::memcmp(got->raw_data(), rounded->raw_data(),
                            got->num_elements() * sizeof(float)),
                0);
      ++compared;
    }
    EXPECT_GT(compared, 0);
    EXPECT_EQ(compared, tensors->size());
  }
}

TEST(TorchCheckpointTest, DTypes) {
  for (const absl::string_view name : {"dtypes_zip.pt", "dtypes_legacy.pt"}) {
    SCOPED_TRACE(name);
    const TorchCheckpoint checkpoint = Open(name);
    EXPECT_THAT(checkpoint.unsupported, IsEmpty());
    EXPECT_THAT(checkpoint.values, IsEmpty());
    std::map<std::string, DType> dtypes = {
        {"float32", DType::kF32}, {"float64", DType::kF64},
        {"float16", DType::kF16}, {"bfloat16", DType::kBF16},
        {"int64", DType::kI64},   {"int32", DType::kI32},
        {"uint8", DType::kU8},
    };
    if (name == "dtypes_zip.pt") dtypes["uint16"] = DType::kU16;
    EXPECT_EQ(checkpoint.tensors.size(), dtypes.size() + 3);
    for (const auto& [key, dtype] : dtypes) {
      SCOPED_TRACE(key);
      ASSERT_EQ(checkpoint.tensors.count(key), 1);
      const Tensor& tensor = checkpoint.tensors.at(key);
      EXPECT_EQ(tensor.dtype(), dtype);
      EXPECT_EQ(tensor.shape(), Shape({2, 3}));
      EXPECT_THAT(Values(tensor), ElementsAre(0, 1, 2, 3, 4, 5));
    }
    const Tensor& flags = checkpoint.tensors.at("bool");
    EXPECT_EQ(flags.dtype(), DType::kBool);
    EXPECT_THAT(Values(flags), ElementsAre(1, 0, 1, 0, 0, 1));
    EXPECT_EQ(checkpoint.tensors.at("scalar").rank(), 0);
    EXPECT_THAT(Values(checkpoint.tensors.at("scalar")), ElementsAre(2.5));
    EXPECT_EQ(checkpoint.tensors.at("empty").shape(), Shape({0, 4}));
  }
}

TEST(TorchCheckpointTest, Views) {
  for (const absl::string_view name : {"views_zip.pt", "views_legacy.pt"}) {
    SCOPED_TRACE(name);
    const TorchCheckpoint checkpoint = Open(name);
    const auto at = [&](const std::string& key) {
      return checkpoint.tensors.at(key);
    };
    ASSERT_EQ(checkpoint.tensors.size(), 9);
    const std::vector<double> base = Values(at("base"));
    ASSERT_EQ(base.size(), 24);
    for (size_t i = 0; i < base.size(); ++i) EXPECT_EQ(base[i], i);
    EXPECT_EQ(at("transposed").shape(), Shape({6, 4}));
    const std::vector<double> transposed = Values(at("transposed"));
    for (size_t i = 0; i < 24; ++i) {
      EXPECT_EQ(transposed[i], base[i % 4 * 6 + i / 4]);
    }
    EXPECT_THAT(Values(at("column")), ElementsAre(2, 8, 14, 20));
    EXPECT_THAT(Values(at("block")), ElementsAre(8, 9, 10, 14, 15, 16));
    EXPECT_THAT(Values(at("steps")), ElementsAre(1, 3, 5, 13, 15, 17));
    EXPECT_THAT(Values(at("row")), ElementsAre(12, 13, 14, 15, 16, 17));
    EXPECT_EQ(at("expanded").shape(), Shape({3, 1000}));
    EXPECT_EQ(at("expanded").stride(0), 0);
    EXPECT_EQ(at("expanded").stride(1), 0);
    EXPECT_EQ(Values(at("expanded")), std::vector<double>(3000, 9));
    EXPECT_EQ(at("expanded_column").shape(), Shape({4, 5}));
    EXPECT_EQ(Values(at("expanded_column"))[19], 19);
    EXPECT_THAT(Values(at("windows")),
                ElementsAre(5, 6, 7, 8, 7, 8, 9, 10, 9, 10, 11, 12));
    // One storage, not one copy each.
    EXPECT_EQ(at("row").raw_data(),
              static_cast<const char*>(at("base").raw_data()) + 12 * 4);
  }
}

TEST(TorchCheckpointTest, AWholeTrainingRun) {
  for (const absl::string_view name :
       {"training_zip.pt", "training_legacy.pt", "training_protocol3.pt",
        "training_protocol4.pt", "training_protocol5.pt"}) {
    SCOPED_TRACE(name);
    const TorchCheckpoint checkpoint = Open(name);
    EXPECT_THAT(checkpoint.unsupported, IsEmpty());
    const auto& tensors = checkpoint.tensors;
    for (const char* key :
         {"model.body.0.weight", "model.body.0.bias", "model.body.1.weight",
          "model.body.1.running_mean", "model.body.1.num_batches_tracked",
          "model.head.weight", "optimizer.state.0.exp_avg",
          "optimizer.state.0.exp_avg_sq", "optimizer.state.0.step",
          "optimizer.state.4.exp_avg"}) {
      EXPECT_EQ(tensors.count(key), 1) << key;
    }
    ASSERT_EQ(tensors.count("optimizer.state.0.exp_avg"), 1);
    // (1 - beta1) times a gradient of a quarter.
    EXPECT_EQ(Values(tensors.at("optimizer.state.0.exp_avg")),
              std::vector<double>(6, 0.125));
    const auto& values = checkpoint.values;
    const auto value = [&](const char* key) {
      const auto found = values.find(key);
      EXPECT_NE(found, values.end()) << key;
      return found == values.end() ? TorchValue("missing") : found->second;
    };
    EXPECT_EQ(value("epoch"), TorchValue(int64_t{7}));
    EXPECT_EQ(value("best"), TorchValue(-0.75));
    EXPECT_EQ(value("done"), TorchValue(false));
    EXPECT_EQ(value("note"), TorchValue("caf\xc3\xa9"));
    EXPECT_EQ(value("raw"), TorchValue(std::string("\x00\xff\x80z", 4)));
    EXPECT_EQ(value("nothing"), TorchValue(std::monostate()));
    EXPECT_EQ(value("negative"), TorchValue(-(int64_t{1} << 40)));
    EXPECT_EQ(value("shape.1"), TorchValue(int64_t{3}));
    EXPECT_EQ(value("device"), TorchValue("cuda:1"));
    EXPECT_EQ(value("dtype"), TorchValue("torch.bfloat16"));
    EXPECT_EQ(value("history.1.0"), TorchValue(int64_t{2}));
    EXPECT_EQ(value("history.1.1"), TorchValue(0.25));
    EXPECT_EQ(value("tags.0"), TorchValue("only"));
    EXPECT_EQ(value("frozen.0"), TorchValue("ice"));
    EXPECT_EQ(value("numpy_float"), TorchValue(1.5));
    EXPECT_EQ(value("numpy_int"), TorchValue(int64_t{-3}));
    EXPECT_EQ(value("numpy_bool"), TorchValue(true));
    EXPECT_EQ(value("optimizer.param_groups.0.lr"), TorchValue(0.125));
    EXPECT_EQ(value("optimizer.param_groups.0.betas.1"), TorchValue(0.75));
  }
}

TEST(TorchCheckpointTest, ParametersAreTheirTensors) {
  for (const absl::string_view name :
       {"parameters_zip.pt", "parameters_legacy.pt"}) {
    SCOPED_TRACE(name);
    const TorchCheckpoint checkpoint = Open(name);
    EXPECT_THAT(Names(checkpoint.tensors),
                ElementsAre("buffer", "list.0", "parameter", "tagged"));
    EXPECT_THAT(Values(checkpoint.tensors.at("parameter")),
                ElementsAre(0, 1, 2, 3));
    EXPECT_THAT(Values(checkpoint.tensors.at("tagged")), ElementsAre(5, 6));
    EXPECT_EQ(checkpoint.tensors.at("list.0").raw_data(),
              checkpoint.tensors.at("parameter").raw_data());
  }
}

TEST(TorchCheckpointTest, OneTensorHasNoName) {
  for (const absl::string_view name : {"tensor_zip.pt", "tensor_legacy.pt"}) {
    EXPECT_THAT(Names(Open(name).tensors), ElementsAre("")) << name;
  }
}

TEST(TorchCheckpointTest, BigEndian) {
  const TorchCheckpoint checkpoint = Open("big_endian_zip.pt");
  ASSERT_THAT(checkpoint.tensors, testing::SizeIs(testing::Ge(1)));
  for (const auto& [name, tensor] : checkpoint.tensors) {
    const std::vector<double> values = Values(tensor);
    for (size_t i = 0; i < values.size(); ++i) {
      EXPECT_EQ(values[i], values[0] + i) << name;
    }
  }
}

TEST(TorchCheckpointTest, WhatCannotBeHadLeavesTheRest) {
  const TorchCheckpoint checkpoint = Open("others_zip.pt");
  EXPECT_THAT(Names(checkpoint.tensors), ElementsAre("good"));
  const auto& unsupported = checkpoint.unsupported;
  for (const char* key : {"int16", "int8", "complex64", "complex128",
                          "float8_e5m2", "nine_axes", "large"}) {
    EXPECT_EQ(unsupported.count(key), 1) << key;
  }
  EXPECT_THAT(unsupported.at("int16"), HasSubstr("int16"));
  EXPECT_THAT(
      ReadTorchCheckpoint(TestData("others_zip.pt")),
      StatusIs(kUnimplemented, AllOf(StartsWith(TestData("others_zip.pt")),
                                     HasSubstr("complex128"))));
}

TEST(TorchCheckpointTest, NothingIsCalled) {
  for (const absl::string_view name : {"evil_zip.pt", "evil_legacy.pt"}) {
    EXPECT_THAT(OpenTorchCheckpoint(TestData(name)),
                StatusIs(kUnimplemented, AllOf(StartsWith(TestData(name)),
                                               HasSubstr("system"))));
  }
  EXPECT_THAT(OpenTorchCheckpoint(TestData("subclass_zip.pt")),
              StatusIs(kUnimplemented, HasSubstr("Subclass")));
  EXPECT_THAT(OpenTorchCheckpoint(TestData("sparse_zip.pt")),
              StatusIs(kUnimplemented, HasSubstr("sparse")));
  EXPECT_THAT(OpenTorchCheckpoint(TestData("numpy_array_zip.pt")),
              StatusIs(kUnimplemented, HasSubstr("numpy")));
}

TEST(TorchCheckpointTest, OtherFiles) {
  EXPECT_THAT(OpenTorchCheckpoint(TestData("none.pt")),
              StatusIs(kNotFound, HasSubstr("none.pt")));
  EXPECT_THAT(ParseTorchCheckpoint("", "a"),
              StatusIs(kDataLoss, StartsWith("a: ")));
  EXPECT_THAT(ParseTorchCheckpoint("neither of the two", "a"),
              StatusIs(kDataLoss, StartsWith("a: ")));
  EXPECT_THAT(ParseTorchCheckpoint(std::string(1 << 16, '\0'), "a"),
              StatusIs(kDataLoss, StartsWith("a: ")));
  // An archive of something else.
  const absl::StatusOr<std::string> npz =
      ReadFileToString("core/io/testdata/npy/stored.npz");
  SEPTET_ASSERT_OK(npz);
  EXPECT_THAT(ParseTorchCheckpoint(*npz, "a"),
              StatusIs(kDataLoss, HasSubstr("data.pkl")));
}

TEST(TorchCheckpointTest, TruncatedAnywhere) {
  for (const absl::string_view name :
       {"views_zip.pt", "views_legacy.pt", "tensor_legacy.pt"}) {
    SCOPED_TRACE(name);
    const std::string bytes = Bytes(name);
    for (size_t size = 0; size < bytes.size(); ++size) {
      const auto read = ParseTorchCheckpoint(bytes.substr(0, size), "cut");
      ASSERT_FALSE(read.ok()) << size;
      ASSERT_EQ(read.status().code(), kDataLoss) << size << read.status();
      ASSERT_THAT(std::string(read.status().message()), StartsWith("cut: "));
    }
  }
}

// Whatever a byte is changed to, there is an answer, and each tensor that comes
// can be read to its last element.
TEST(TorchCheckpointTest, DamagedAnywhere) {
  TorchCheckpointOptions options;
  options.max_inflated_bytes = options.max_copied_bytes = 1 << 20;
  for (const absl::string_view name :
       {"views_zip.pt", "views_legacy.pt", "parameters_legacy.pt"}) {
    SCOPED_TRACE(name);
    const std::string bytes = Bytes(name);
    for (size_t i = 0; i < bytes.size(); ++i) {
      for (const char mask : {'\x01', '\x80', '\xff'}) {
        std::string changed = bytes;
        changed[i] ^= mask;
        const auto read = ParseTorchCheckpoint(changed, "a", options);
        if (!read.ok()) {
          const absl::StatusCode code = read.status().code();
          ASSERT_TRUE(code == kDataLoss || code == kUnimplemented ||
                      code == kExhausted)
              << read.status();
          continue;
        }
        for (const auto& [key, tensor] : read->tensors) {
          if (tensor.num_elements() < 10000) Values(tensor);
        }
      }
    }
  }
}

TEST(TorchCheckpointTest, LimitsAreKept) {
  TorchCheckpointOptions options;
  options.max_copied_bytes = 10;
  EXPECT_THAT(ParseTorchCheckpoint(Bytes("views_zip.pt"), "a", options),
              StatusIs(kExhausted, HasSubstr("max_copied_bytes")));
  options = {};
  options.max_inflated_bytes = 10;
  EXPECT_THAT(ParseTorchCheckpoint(Bytes("big_endian_zip.pt"), "a", options),
              StatusIs(kExhausted, AllOf(HasSubstr("inflates to 154 bytes"),
                                         StartsWith("a: "))));
}

TEST(TorchCheckpointTest, Looks) {
  EXPECT_TRUE(LooksLikeTorchCheckpoint(Bytes("views_zip.pt").substr(0, 20)));
  EXPECT_TRUE(LooksLikeTorchCheckpoint(Bytes("views_legacy.pt").substr(0, 20)));
  EXPECT_FALSE(LooksLikeTorchCheckpoint(""));
  EXPECT_FALSE(
      LooksLikeTorchCheckpoint(Bytes("unet_module.safetensors").substr(0, 20)));
}

}  // namespace
}  // namespace septet
