// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/sharded_safetensors.h"

#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/io/safetensors.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::StartsWith;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kNotFound = absl::StatusCode::kNotFound;

// A directory of its own for each test.
class ShardedSafetensorsTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = absl::StrCat(
        std::getenv("TEST_TMPDIR"), "/",
        testing::UnitTest::GetInstance()->current_test_info()->name());
    SEPTET_ASSERT_OK(MakeDirectories(directory_));
  }

  std::string Path(absl::string_view name) const {
    return absl::StrCat(directory_, "/", name);
  }

  // An index file with this text.
  std::string Index(absl::string_view json) const {
    const std::string path = Path("model.safetensors.index.json");
    SEPTET_EXPECT_OK(WriteFileAtomically(path, json));
    return path;
  }

  std::string directory_;
};

Tensor Values(int64_t n, float first) {
  std::vector<float> values;
  for (int64_t i = 0; i < n; ++i) values.push_back(first + i);
  return Tensor::FromValues<float>({n}, values).value();
}

TEST_F(ShardedSafetensorsTest, RoundTrip) {
  const std::map<std::string, Tensor> tensors = {{"a", Values(4, 0)},
                                                 {"b", Values(4, 10)},
                                                 {"c", Values(100, 20)},
                                                 {"d", Values(1, 30)},
                                                 {"none", Values(0, 0)}};
  ShardedSafetensorsOptions options;
  options.max_shard_bytes = 32;
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const std::string index,
      WriteShardedSafetensors(directory_, tensors, {{"method", "de\"mo"}},
                              options));
  EXPECT_EQ(index, Path("model.safetensors.index.json"));
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string text, ReadFileToString(index));
  EXPECT_EQ(text, R"({
  "metadata": {
    "method": "de\"mo",
    "total_size": 436
  },
  "weight_map": {
    "a": "model-00001-of-00003.safetensors",
    "b": "model-00001-of-00003.safetensors",
    "c": "model-00002-of-00003.safetensors",
    "d": "model-00003-of-00003.safetensors",
    "none": "model-00003-of-00003.safetensors"
  }
}
)");

  SEPTET_ASSERT_OK_AND_ASSIGN(const ShardedSafetensors model,
                              ShardedSafetensors::Open(index));
  EXPECT_EQ(model.path(), index);
  EXPECT_THAT(model.names(), ElementsAre("a", "b", "c", "d", "none"));
  EXPECT_THAT(model.metadata(), ElementsAre(Pair("method", "de\"mo")));
  for (const auto& [name, tensor] : tensors) {
    EXPECT_TRUE(model.Contains(name));
    SEPTET_ASSERT_OK_AND_ASSIGN(const SafetensorsInfo info, model.Info(name));
    EXPECT_EQ(info.dtype, DType::kF32);
    EXPECT_EQ(info.shape, tensor.shape());
    SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor read, model.Get(name));
    EXPECT_EQ(read.ToVector<float>(), tensor.ToVector<float>());
  }
  EXPECT_FALSE(model.Contains("e"));
  EXPECT_THAT(
      model.Get("nome"),
      StatusIs(kNotFound, AllOf(StartsWith(index), HasSubstr("'nome' among 5"),
                                EndsWith("the nearest name is 'none'"))));
  EXPECT_THAT(model.Info("x"), StatusIs(kNotFound, HasSubstr("'x'")));

  SEPTET_ASSERT_OK_AND_ASSIGN(
      const SafetensorsFile shard,
      SafetensorsFile::Open(Path("model-00002-of-00003.safetensors")));
  EXPECT_THAT(shard.names(), ElementsAre("c"));
  EXPECT_EQ(shard.metadata(), model.metadata());
}

TEST_F(ShardedSafetensorsTest, NoTensorsMakeOneShard) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string index,
                              WriteShardedSafetensors(directory_ + "/", {}));
  SEPTET_EXPECT_OK(
      SafetensorsFile::Open(Path("model-00001-of-00001.safetensors")));
  SEPTET_ASSERT_OK_AND_ASSIGN(const ShardedSafetensors model,
                              ShardedSafetensors::Open(index));
  EXPECT_THAT(model.names(), ElementsAre());
}

TEST_F(ShardedSafetensorsTest, WriterRefuses) {
  const auto write = [&](const ShardedSafetensorsOptions& options) {
    return WriteShardedSafetensors(directory_, {}, {}, options);
  };
  ShardedSafetensorsOptions options;
  options.max_shard_bytes = 0;
  EXPECT_THAT(write(options),
              StatusIs(kInvalid, HasSubstr("max_shard_bytes is 0")));
  for (const char* stem : {"", "a/b", "..", "a\n"}) {
    options = {};
    options.stem = stem;
    EXPECT_THAT(write(options), StatusIs(kInvalid, HasSubstr("stem is '")));
  }
  EXPECT_THAT(WriteShardedSafetensors(directory_, {}, {{"total_size", "1"}}),
              StatusIs(kInvalid, HasSubstr("'total_size'")));
  EXPECT_THAT(WriteShardedSafetensors(directory_, {{"x", Tensor()}}),
              StatusIs(kInvalid, HasSubstr("tensor 'x': is undefined")));
  EXPECT_THAT(WriteShardedSafetensors(directory_, {}, {{"k", "\xff"}}),
              StatusIs(kInvalid, HasSubstr("metadata 'k'")));
  EXPECT_THAT(WriteShardedSafetensors(Path("gone"), {}),
              StatusIs(kNotFound, HasSubstr("gone/model-00001")));
}

TEST_F(ShardedSafetensorsTest, MissingFiles) {
  EXPECT_THAT(ShardedSafetensors::Open(Path("gone.json")),
              StatusIs(kNotFound, HasSubstr("gone.json")));
  EXPECT_THAT(
      ShardedSafetensors::Open(
          Index(R"({"weight_map":{"x":"shard-1.safetensors"}})")),
      StatusIs(kNotFound,
               AllOf(HasSubstr("index.json: shard 'shard-1.safetensors'"),
                     HasSubstr(Path("shard-1.safetensors")))));
}

TEST_F(ShardedSafetensorsTest, ShardsThatAreNotAsTheIndexSays) {
  SEPTET_ASSERT_OK(WriteSafetensors(
      Path("1"), {{"a", Values(1, 0)}, {"extra", Values(1, 0)}}));
  SEPTET_ASSERT_OK(WriteSafetensors(Path("2"), {{"b", Values(1, 0)}}));
  SEPTET_ASSERT_OK(
      WriteSafetensors(Path("3"), {{"a", Values(1, 0)}, {"c", Values(1, 0)}}));
  SEPTET_ASSERT_OK(WriteFileAtomically(Path("4"), "????"));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const ShardedSafetensors model,
      ShardedSafetensors::Open(Index(R"({"weight_map":{"a":"1","b":"2"}})")));
  EXPECT_THAT(model.names(), ElementsAre("a", "b"));
  EXPECT_THAT(model.Get("extra"), StatusIs(kNotFound, HasSubstr("'extra'")))
      << "the index leaves it out";
  EXPECT_THAT(
      ShardedSafetensors::Open(Index(R"({"weight_map":{"a":"1","c":"2"}})")),
      StatusIs(kDataLoss, HasSubstr("tensor 'c' is not in shard '2'")));
  EXPECT_THAT(
      ShardedSafetensors::Open(Index(R"({"weight_map":{"a":"1","c":"3"}})")),
      StatusIs(kDataLoss, HasSubstr("tensor 'a' is in shard '3', too, expected "
                                    "it in '1' alone")));
  EXPECT_THAT(
      ShardedSafetensors::Open(Index(R"({"weight_map":{"a":"4"}})")),
      StatusIs(kDataLoss, AllOf(HasSubstr("shard '4'"), HasSubstr("4 bytes"))));
}

TEST_F(ShardedSafetensorsTest, RelativeToTheIndex) {
  SEPTET_ASSERT_OK(
      WriteSafetensors("relative.safetensors", {{"a", Values(1, 7)}}));
  SEPTET_ASSERT_OK(WriteFileAtomically(
      "relative.json", R"({"weight_map":{"a":"relative.safetensors"}})"));
  SEPTET_ASSERT_OK_AND_ASSIGN(const ShardedSafetensors model,
                              ShardedSafetensors::Open("relative.json"));
  EXPECT_EQ(model.Get("a")->item<float>(), 7);
}

TEST(SafetensorsIndexTest, SkipsWhatItDoesNotKnow) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const SafetensorsIndex index,
      ParseSafetensorsIndex(
          R"({"metadata":{"total_size":1.5e9,"a":[{"b":"c","b":1}],"k":"v"},)"
          R"("other":[1,{"weight_map":2}],"more":{"x":null,"x":{"y":true}},)"
          R"("weight_map":{"t":"file"}, "n": -1})"));
  EXPECT_THAT(index.weight_map, ElementsAre(Pair("t", "file")));
  EXPECT_THAT(index.metadata, ElementsAre(Pair("k", "v")));
}

TEST(SafetensorsIndexTest, Refuses) {
  struct Case {
    std::string json;
    const char* message;
  };
  std::vector<Case> cases = {
      {"", "not valid JSON at byte 1"},
      {"[]", "is an array, expected an object"},
      {"3", "is the number 3, expected an object"},
      {"\"x\"", "is a string, expected an object"},
      {"{}", "has no 'weight_map'"},
      {"{\"weight_map\":{}", "not valid JSON at byte"},
      {"{\"weight_map\":{}} x", "not valid JSON at byte 19"},
      {std::string("{\"weight_map\":{}}\0x", 19), "not valid JSON at byte 18"},
      {R"({"weight_map":[]})", "'weight_map' is an array, expected an object"},
      {R"({"weight_map":null})", "'weight_map' is null, expected an object"},
      {R"({"metadata":"x"})", "'metadata' is a string, expected an object"},
      {R"({"weight_map":{"a":1}})",
       "weight_map has the number 1 for tensor 'a', expected a string"},
      {R"({"weight_map":{"a":["f"]}})",
       "weight_map has an array for tensor 'a'"},
      {R"({"weight_map":{"a":{}}})", "weight_map has an object for tensor 'a'"},
      {R"({"weight_map":{"a":"f","a":"g"}})", "the key 'a' is there twice"},
      {R"({"weight_map":{},"weight_map":{}})",
       "the key 'weight_map' is there twice"},
      {R"({"metadata":{"k":"v","k":"w"}})", "the key 'k' is there twice"},
      {"{\"x\":" + std::string(100, '['), "is nested deeper than 32"},
      {"{\"metadata\":{\"x\":" + std::string(100, '['),
       "is nested deeper than 32"},
  };
  for (const char* name : {"", ".", "..", "../x", "/etc/passwd", "a/b",
                           "a\\\\b", "a\\u0000", "a\\n"}) {
    cases.push_back({absl::StrCat(R"({"weight_map":{"t":")", name, R"("}})"),
                     "weight_map puts tensor 't' into '"});
  }
  for (const Case& bad : cases) {
    EXPECT_THAT(ParseSafetensorsIndex(bad.json),
                StatusIs(kDataLoss,
                         AllOf(StartsWith("index: "), HasSubstr(bad.message))))
        << bad.json;
  }
}

}  // namespace
}  // namespace septet
