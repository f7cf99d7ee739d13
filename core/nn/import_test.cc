// SPDX-License-Identifier: Apache-2.0
#include "septet/core/nn/import.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Tensor Count(const Shape& shape, double first) {
  Tensor x = Tensor::Empty(shape, DType::kF64).value();
  for (int64_t i = 0; i < x.num_elements(); ++i) {
    x.mutable_data<double>()[i] = first + static_cast<double>(i);
  }
  return x;
}

TEST(ConvertTensorsTest, JoinsTransposesAndCuts) {
  const std::map<std::string, Tensor> theirs = {
      {"q.weight", Count({2, 3}, 0)},  // [out, in]
      {"k.weight", Count({1, 3}, 10)},
      {"joint.bias", Count({4}, 100)},
      {"same", Count({2}, 7)},
      {"h.0.attn.masked_bias", Count({1}, 0)}};
  const std::vector<TensorSource> sources = {
      {"qk.weight", {"q.weight", "k.weight"}, /*transpose=*/true},
      {"a.bias", {"joint.bias"}, false, 1, 3},
      {"b.bias", {"joint.bias"}, false, 3},
      {"same", {"same"}},
      {"gone", {"gone"}, false, 0, -1, /*optional=*/true}};
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const auto ours, ConvertTensors(theirs, sources, {".masked_bias"}));
  ASSERT_EQ(ours.size(), 4u);
  EXPECT_EQ(ours.at("qk.weight").shape(), Shape({3, 3}));
  EXPECT_EQ(ours.at("qk.weight").ToVector<double>(),
            (std::vector<double>{0, 3, 10, 1, 4, 11, 2, 5, 12}));
  EXPECT_EQ(ours.at("a.bias").ToVector<double>(),
            (std::vector<double>{101, 102}));
  EXPECT_EQ(ours.at("b.bias").ToVector<double>(), (std::vector<double>{103}));
  EXPECT_EQ(ours.at("same").ToVector<double>(), (std::vector<double>{7, 8}));
}

TEST(ConvertTensorsTest, Errors) {
  const std::map<std::string, Tensor> theirs = {{"a", Count({2, 3}, 0)},
                                                {"b", Count({3}, 0)},
                                                {"c", Count({2, 2, 2}, 0)}};
  const std::vector<TensorSource> few = {
      {"x", {"a", "z"}}, {"y", {"q"}}, {"o", {"o"}, false, 0, -1, true}};
  EXPECT_THAT(
      ConvertTensors(theirs, few),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(HasSubstr("import of tensors: missing 2: 'z', 'q'; "),
                     HasSubstr("unknown 2: 'b', 'c'"))));
  const auto one = [&](const TensorSource& source) {
    return ConvertTensors(theirs, {source}, {"a", "b", "c"});
  };
  EXPECT_THAT(one({"x", {"a", "b"}}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("import of 'x' from 'a', 'b': cannot join "
                                 "f64 [3] to f64 [2, 3]")));
  EXPECT_THAT(one({"x", {"c"}, true}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("f64 [2, 2, 2], expected rank 2")));
  EXPECT_THAT(one({"x", {"b"}, false, 1, 5}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("import of 'x' from 'b': ")));
  std::map<std::string, Tensor> many;
  for (int i = 0; i < 20; ++i) many[absl::StrCat("n", i)] = Count({1}, 0);
  EXPECT_THAT(
      ConvertTensors(many, {}),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(HasSubstr("unknown 20: 'n0'"), HasSubstr(", ..."))));
}

}  // namespace
}  // namespace septet
