// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/open_checkpoint.h"

#include <cstdlib>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/io/npy.h"
#include "septet/core/io/safetensors.h"
#include "septet/core/io/sharded_safetensors.h"
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

using Tensors = std::map<std::string, Tensor>;

std::string TestData(absl::string_view name) {
  return absl::StrCat("core/io/testdata/", name);
}

std::string TempPath(absl::string_view name) {
  return absl::StrCat(std::getenv("TEST_TMPDIR"), "/", name);
}

Tensors Two() {
  return {{"b", Tensor::FromValues<float>({2}, {1, 2}).value()},
          {"w", Tensor::FromValues<float>({1, 3}, {3, 4, 5}).value()}};
}

void ExpectTwo(const std::string& path) {
  SCOPED_TRACE(path);
  SEPTET_ASSERT_OK_AND_ASSIGN(Tensors tensors, OpenCheckpoint(path));
  ASSERT_EQ(tensors.size(), 2);
  EXPECT_EQ(tensors["b"].shape(), Shape({2}));
  EXPECT_THAT(tensors["b"].ToVector<float>(), ElementsAre(1, 2));
  EXPECT_EQ(tensors["w"].shape(), Shape({1, 3}));
  EXPECT_THAT(tensors["w"].ToVector<float>(), ElementsAre(3, 4, 5));
}

TEST(OpenCheckpointTest, TellsFormatsByTheirContent) {
  // No name says what is in the file.
  SEPTET_ASSERT_OK(WriteSafetensors(TempPath("a"), Two()));
  ExpectTwo(TempPath("a"));
  SEPTET_ASSERT_OK(WriteNpz(TempPath("b.pt"), Two()));
  ExpectTwo(TempPath("b.pt"));
  ShardedSafetensorsOptions options;
  options.max_shard_bytes = 8;
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const std::string index,
      WriteShardedSafetensors(std::getenv("TEST_TMPDIR"), Two(), {}, options));
  ExpectTwo(index);

  SEPTET_ASSERT_OK(WriteNpy(TempPath("c.npz"), Two()["w"]));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensors one,
                              OpenCheckpoint(TempPath("c.npz")));
  ASSERT_EQ(one.size(), 1);
  EXPECT_THAT(one.at("").ToVector<float>(), ElementsAre(3, 4, 5));

  SEPTET_ASSERT_OK(WriteNpz(TempPath("none"), {}));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensors none,
                              OpenCheckpoint(TempPath("none")));
  EXPECT_TRUE(none.empty());

  for (const char* name : {"unet_module_zip.pt", "unet_module_legacy.pt"}) {
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const Tensors torch,
        OpenCheckpoint(TestData(absl::StrCat("torch/", name))));
    EXPECT_EQ(torch.size(), 15);
    EXPECT_EQ(torch.at("module.upsample.0.weight").dtype(), DType::kF32);
  }
}

// The low byte of the length of a header may be a brace.
TEST(OpenCheckpointTest, LengthThatLooksLikeJson) {
  const std::string header = absl::StrCat(
      "{\"w\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}",
      std::string(123 - 53, ' '));
  ASSERT_EQ(header.size(), '{');
  SEPTET_ASSERT_OK(WriteFileAtomically(
      TempPath("brace"), absl::StrCat("{", std::string(7, '\0'), header)));
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensors tensors,
                              OpenCheckpoint(TempPath("brace")));
  EXPECT_EQ(tensors.count("w"), 1);
}

TEST(OpenCheckpointTest, Errors) {
  const auto expect = [](absl::string_view content, absl::string_view message) {
    const std::string path = TempPath("bad");
    SEPTET_ASSERT_OK(WriteFileAtomically(path, content));
    EXPECT_THAT(OpenCheckpoint(path),
                StatusIs(kDataLoss, AllOf(StartsWith(path + ": "),
                                          HasSubstr(std::string(message)))));
  };
  expect("", "the file is empty");
  expect("some text", "begins with 'some text', as no file of safetensors");
  expect("  {\"weights\": 1}", "weight_map");
  expect("PK\x03\x04", "no zip archive");
  expect("\x93NUMPY", "truncated");
  expect(absl::string_view("\x02\0\0\0\0\0\0\0{", 9), "truncated");
  EXPECT_THAT(OpenCheckpoint(TempPath("gone")),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("gone")));
  EXPECT_THAT(
      OpenCheckpoint(TestData("torch/others_zip.pt")),
      StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("complex128")));
  EXPECT_THAT(
      OpenCheckpoint(TestData("torch/evil_zip.pt")),
      StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("'posix.system'")));
}

}  // namespace
}  // namespace septet
