// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/hdf5_protocol_impl.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/tensor/allocator.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace io_internal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;

const DatasetFrame kList = {"a/b", "f32", DType::kF32, {3, 1}};

std::string Listed(const DatasetFrame& dataset = kList) {
  return MakeFrame(FrameKind::kDataset, EncodeDataset(dataset));
}
std::string Tensor_(const DatasetFrame& dataset = kList) {
  return MakeFrame(FrameKind::kTensor, EncodeDataset(dataset));
}
std::string Data(absl::string_view bytes) {
  return MakeFrame(FrameKind::kData, bytes);
}
std::string Text(absl::string_view name, absl::string_view text) {
  return MakeFrame(FrameKind::kText, EncodeText(name, text));
}
const std::string& End() {
  static const auto* const end =
      new std::string(MakeFrame(FrameKind::kEnd, ""));
  return *end;
}

absl::Status Feed(absl::string_view bytes, int64_t max_bytes = 1000,
                  int64_t max_items = 10) {
  AnswerParser parser(max_bytes, max_items);
  return parser.Feed(bytes);
}

TEST(Hdf5ProtocolTest, AnAnswerInPieces) {
  const std::string answer =
      absl::StrCat(Listed(), Tensor_(), Data("abcd"), Data("efghijkl"),
                   Text("@env", "hopper"), End());
  for (const size_t step : {size_t{1}, size_t{7}, answer.size()}) {
    AnswerParser parser(12, 3);
    for (size_t i = 0; i < answer.size(); i += step) {
      EXPECT_FALSE(parser.complete());
      SEPTET_ASSERT_OK(parser.Feed(absl::string_view(answer).substr(i, step)));
    }
    EXPECT_TRUE(parser.complete());
    ASSERT_EQ(parser.datasets().size(), 1u);
    EXPECT_EQ(parser.datasets()[0].name, "a/b");
    EXPECT_EQ(parser.datasets()[0].type, "f32");
    EXPECT_EQ(parser.datasets()[0].dtype, DType::kF32);
    EXPECT_THAT(parser.datasets()[0].shape, ElementsAre(3, 1));
    ASSERT_EQ(parser.tensors().size(), 1u);
    const Tensor& tensor = parser.tensors().at("a/b");
    EXPECT_EQ(tensor.DebugString(),
              Tensor::Zeros({3, 1}, DType::kF32)->DebugString());
    EXPECT_EQ(
        absl::string_view(static_cast<const char*>(tensor.raw_data()), 12),
        "abcdefghijkl");
    EXPECT_THAT(parser.texts(), ElementsAre(Pair("@env", "hopper")));
  }
}

TEST(Hdf5ProtocolTest, Request) {
  RequestFrame request;
  request.texts = true;
  request.rows = {{"a", 1, -1}, {"", 0, 5}};
  request.max_bytes = 7;
  request.max_datasets = 8;
  SEPTET_ASSERT_OK_AND_ASSIGN(const RequestFrame read,
                              DecodeRequest(EncodeRequest(request)));
  EXPECT_TRUE(read.texts);
  EXPECT_FALSE(read.tensors);
  EXPECT_EQ(read.max_bytes, 7);
  EXPECT_EQ(read.max_datasets, 8);
  ASSERT_EQ(read.rows.size(), 2u);
  EXPECT_EQ(read.rows[0].name, "a");
  EXPECT_EQ(read.rows[0].begin, 1);
  EXPECT_EQ(read.rows[0].count, -1);
  EXPECT_EQ(read.rows[1].name, "");
  EXPECT_EQ(read.rows[1].count, 5);
  const std::string bytes = EncodeRequest(request);
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(DecodeRequest(bytes.substr(0, size)).ok()) << size;
  }
  EXPECT_FALSE(DecodeRequest(absl::StrCat(bytes, bytes)).ok());
}

TEST(Hdf5ProtocolTest, ErrorsComeBack) {
  EXPECT_THAT(Feed(MakeFrame(
                  FrameKind::kError,
                  EncodeError(absl::NotFoundError("no \x01 'a\\x02' \"d\"")))),
              StatusIs(absl::StatusCode::kNotFound, "no \\x01 'a\\x02' \"d\""));
  // Also within a tensor.
  EXPECT_THAT(
      Feed(absl::StrCat(
          Tensor_(), Data("abcd"),
          MakeFrame(FrameKind::kError, EncodeError(absl::DataLossError("x"))))),
      StatusIs(kDataLoss, "x"));
  EXPECT_THAT(Feed(MakeFrame(FrameKind::kError, "")),
              StatusIs(kDataLoss, HasSubstr("what should say an error")));
  EXPECT_THAT(Feed(MakeFrame(FrameKind::kError, EncodeError(absl::OkStatus()))),
              StatusIs(kDataLoss, HasSubstr("what should say an error")));
}

TEST(Hdf5ProtocolTest, Garbage) {
  const auto garbage = [](absl::string_view what) {
    return StatusIs(kDataLoss,
                    HasSubstr(absl::StrCat(
                        "the answer of the HDF5 reader is garbage: ", what)));
  };
  EXPECT_THAT(Feed("plain text"), garbage("a frame does not begin"));
  std::string frame = Listed();
  frame[4] = 99;
  EXPECT_THAT(Feed(frame), garbage("a frame is of the kind 99"));
  frame = Listed();
  frame[11] = 1;
  EXPECT_THAT(Feed(frame), garbage("a frame has 16777"));
  frame = Listed();
  frame.back() ^= 1;
  EXPECT_THAT(Feed(frame), garbage("the checksum of a frame is wrong"));
  EXPECT_THAT(Feed(MakeFrame(FrameKind::kDataset, "x")),
              garbage("what should name a dataset"));
  EXPECT_THAT(Feed(MakeFrame(FrameKind::kDataset,
                             absl::StrCat(EncodeDataset(kList), "x"))),
              garbage("what should name a dataset"));
  EXPECT_THAT(Feed(Listed({"a", "f32", DType::kF32, {-1}})),
              garbage("what should name a dataset"));
  EXPECT_THAT(Feed(MakeFrame(FrameKind::kRequest, "")),
              garbage("it has a request in it"));
  EXPECT_THAT(Feed(MakeFrame(FrameKind::kText, "x")),
              garbage("what should be a text is none"));
  EXPECT_THAT(Feed(absl::StrCat(End(), "x")), garbage("it goes on after"));
  EXPECT_THAT(Feed(MakeFrame(FrameKind::kEnd, "x")),
              garbage("its end is not empty"));
  EXPECT_THAT(Feed(Data("abcd")), garbage("data are not those of a tensor"));
  EXPECT_THAT(Feed(absl::StrCat(Tensor_(), Data("abcdefghijklm"))),
              garbage("data are not those of a tensor"));
  EXPECT_THAT(Feed(absl::StrCat(Tensor_(), Data(""))),
              garbage("data are not those of a tensor"));
  EXPECT_THAT(Feed(absl::StrCat(Tensor_(), Data("abcd"), End())),
              garbage("the tensor 'a/b' ends after 4 of 12 bytes"));
  EXPECT_THAT(Feed(absl::StrCat(Tensor_(), Data("abcdefghijkl"), Tensor_())),
              garbage("the tensor 'a/b' is there twice"));
  EXPECT_THAT(Feed(Tensor_({"a", "u64", std::nullopt, {1}})),
              garbage("the tensor 'a' has a type or shape that no tensor"));
  EXPECT_THAT(
      Feed(Tensor_({"a", "f32", DType::kF32, std::vector<int64_t>(9, 1)})),
      garbage("the tensor 'a' has a type or shape that no tensor"));
  EXPECT_THAT(Feed(absl::StrCat(Tensor_({"a", "bool", DType::kBool, {2}}),
                                Data("\x01\x02"))),
              garbage("the tensor 'a' of bool has other bytes"));
}

TEST(Hdf5ProtocolTest, Limits) {
  const AllocatorStats before = CpuAllocator().Stats();
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{251}, {INT64_MAX}, {INT64_MAX, INT64_MAX}}) {
    EXPECT_THAT(Feed(Tensor_({"a", "f32", DType::kF32, shape})),
                StatusIs(kDataLoss, HasSubstr("the tensor 'a' has more bytes "
                                              "than was allowed")));
  }
  EXPECT_EQ(CpuAllocator().Stats().system_allocations,
            before.system_allocations);
  // Of all tensors together.
  const DatasetFrame a = {"a", "u8", DType::kU8, {600}};
  const DatasetFrame b = {"b", "u8", DType::kU8, {401}};
  EXPECT_THAT(
      Feed(absl::StrCat(Tensor_(a), Data(std::string(600, 'x')), Tensor_(b))),
      StatusIs(kDataLoss, HasSubstr("the tensor 'b' has more bytes")));
  std::string many;
  for (int i = 0; i < 11; ++i) many += Listed();
  EXPECT_THAT(Feed(many),
              StatusIs(kDataLoss, HasSubstr("it lists more than was allowed")));
  AnswerParser parser(0, 10'000);
  const std::string text(64 << 10, 'x');
  absl::Status status;
  for (int i = 0; i < 1100 && status.ok(); ++i) {
    status = parser.Feed(Text(absl::StrCat(i), text));
  }
  EXPECT_THAT(status,
              StatusIs(kDataLoss, HasSubstr("its names and texts have more "
                                            "than 67108864 bytes")));
}

}  // namespace
}  // namespace io_internal
}  // namespace septet
