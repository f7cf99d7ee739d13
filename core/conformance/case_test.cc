// SPDX-License-Identifier: Apache-2.0
#include "septet/core/conformance/case.h"

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

Case WithOption(const std::string& value) {
  return Case("a/b.safetensors", {}, {{"key", value}, {"other", "1"}});
}

TEST(CaseTest, FamilyIsMethodAndCase) {
  EXPECT_EQ(*Case("f", {}, {{"method", "m"}, {"case", "c"}}).Family(), "m/c");
  EXPECT_THAT(Case("f", {}, {{"method", "m"}}).Family(),
              StatusIs(kInvalid,
                       "f: option \"case\" is missing (there are: "
                       "method)"));
}

TEST(CaseTest, ReadsNumbers) {
  EXPECT_EQ(*WithOption("1e-06").Double("key"), 1e-6);
  EXPECT_EQ(*WithOption("-3").Double("key"), -3);
  EXPECT_EQ(*WithOption("inf").Double("key"), INFINITY);
  EXPECT_TRUE(std::isnan(*WithOption("nan").Double("key")));
  EXPECT_EQ(*WithOption("-12").Int("key"), -12);
  EXPECT_EQ(*WithOption(" 12 ").Int("key"), 12);
  for (const char* bad : {"", "x", "1.5.2", "1 2", "0x"}) {
    EXPECT_THAT(WithOption(bad).Double("key"),
                StatusIs(kInvalid, "a/b.safetensors: option \"key\" is \"" +
                                       std::string(bad) + "\", want a number"));
  }
  for (const char* bad : {"", "1.0", "1e3", "9223372036854775808", "ten"}) {
    EXPECT_THAT(WithOption(bad).Int("key"),
                StatusIs(kInvalid, HasSubstr("want an integer")));
  }
}

TEST(CaseTest, ReadsBoolsInAnyLetterCase) {
  for (const char* yes : {"1", "true", "True", "TRUE"}) {
    EXPECT_TRUE(*WithOption(yes).Bool("key")) << yes;
  }
  for (const char* no : {"0", "false", "False", "FALSE"}) {
    EXPECT_FALSE(*WithOption(no).Bool("key")) << no;
  }
  for (const char* bad : {"", "yes", "2", "t"}) {
    EXPECT_THAT(WithOption(bad).Bool("key"),
                StatusIs(kInvalid, HasSubstr("want 0, 1, true or false")));
  }
}

TEST(CaseTest, ReadsLists) {
  EXPECT_THAT(*WithOption("[16, 12]").IntList("key"), ElementsAre(16, 12));
  EXPECT_THAT(*WithOption("[ -3 ]").IntList("key"), ElementsAre(-3));
  EXPECT_THAT(*WithOption("1,2").IntList("key"), ElementsAre(1, 2));
  EXPECT_THAT(*WithOption("[]").IntList("key"), IsEmpty());
  EXPECT_THAT(*WithOption("").IntList("key"), IsEmpty());
  for (const char* bad : {"[1", "1]", "[1,]", "[a]", "[1.5]", "[[1]]"}) {
    EXPECT_THAT(WithOption(bad).IntList("key"),
                StatusIs(kInvalid, HasSubstr("want a list of integers")))
        << bad;
  }
  EXPECT_THAT(*WithOption("relu,  leaky_relu").StringList("key"),
              ElementsAre("relu", "leaky_relu"));
  EXPECT_THAT(*WithOption("").StringList("key"), IsEmpty());
}

TEST(CaseTest, FallbacksAreForAbsentKeysOnly) {
  const Case c = WithOption("bad");
  EXPECT_EQ(*c.Double("absent", 0.5), 0.5);
  EXPECT_EQ(*c.Int("absent", 3), 3);
  EXPECT_TRUE(*c.Bool("absent", true));
  EXPECT_EQ(*c.String("absent", "x"), "x");
  EXPECT_THAT(*c.IntList("absent", std::vector<int64_t>{1}), ElementsAre(1));
  EXPECT_FALSE(c.Double("key", 0.5).ok());
  EXPECT_FALSE(c.Bool("key", true).ok());
  EXPECT_THAT(c.Double("absent"),
              StatusIs(kInvalid,
                       "a/b.safetensors: option \"absent\" is "
                       "missing (there are: key, other)"));
  EXPECT_TRUE(c.HasOption("key"));
  EXPECT_FALSE(c.HasOption("absent"));
}

TEST(CaseTest, QuotesLongValuesInPart) {
  const absl::Status status =
      WithOption(std::string(100000, 'x')).Double("key").status();
  EXPECT_LT(status.message().size(), 300u);
}

Case WithTensors() {
  return Case("f",
              {{"x", *Tensor::Full({2}, 0.1, DType::kF64)},
               {"n", *Tensor::Full({3}, 7, DType::kI32)},
               {"flag", *Tensor::Full({}, 1, DType::kBool)}},
              {});
}

TEST(CaseTest, RoundsFloatingInputsOnly) {
  Case c = WithTensors();
  EXPECT_EQ(c.Input("x", DType::kF64)->ToVector<double>()[0], 0.1);
  EXPECT_EQ(c.Input("x", DType::kF32)->ToVector<float>()[0], 0.1f);
  EXPECT_EQ(c.Stored("x")->dtype(), DType::kF64);
  EXPECT_EQ(c.IntInput("n")->dtype(), DType::kI64);
  EXPECT_EQ(c.IntInput("flag")->item<int64_t>(), 1);
  EXPECT_THAT(
      c.Input("n", DType::kF64),
      StatusIs(kInvalid, "f: tensor \"n\" is i32 [3], want floating numbers"));
  EXPECT_THAT(c.IntInput("x"),
              StatusIs(kInvalid, "f: tensor \"x\" is f64 [2], want integers"));
  EXPECT_THAT(c.Stored("flags"),
              StatusIs(kInvalid,
                       "f: tensor \"flags\" is missing; the nearest "
                       "is \"flag\""));
}

TEST(CaseTest, RemembersWhatWasUsed) {
  Case c = WithTensors();
  EXPECT_THAT(c.UnusedTensors(), ElementsAre("flag", "n", "x"));
  SEPTET_EXPECT_OK(c.Input("x", DType::kF64));
  EXPECT_TRUE(c.HasTensor("n"));  // which is not to use it
  EXPECT_THAT(c.UnusedTensors(), ElementsAre("flag", "n"));
  c.Ignore("flag");
  c.Ignore("absent");
  EXPECT_THAT(c.ignored(), ElementsAre("flag"));
  EXPECT_THAT(c.UnusedTensors(), ElementsAre("n"));
  EXPECT_FALSE(c.Stored("m").ok());
  EXPECT_THAT(c.UnusedTensors(), ElementsAre("n"));
  EXPECT_THAT(c.TensorNames(), ElementsAre("flag", "n", "x"));
  EXPECT_THAT(c.TensorNames("f"), ElementsAre("flag"));
}

TEST(CaseTest, ReadsAFile) {
  const std::string path =
      "core/conformance/testdata/offline_rl/target_ema.safetensors";
  SEPTET_ASSERT_OK_AND_ASSIGN(Case c, Case::Read(path));
  EXPECT_EQ(c.path(), path);
  EXPECT_EQ(*c.Family(), "offline_rl/target_ema");
  EXPECT_EQ(*c.Double("tau"), 0.005);
  EXPECT_THAT(c.TensorNames(), ElementsAre("online", "target0", "targets"));
  EXPECT_EQ(c.Stored("targets")->DebugString(), "f64 [5, 3, 4]");
}

TEST(CaseTest, FilesThatCannotBeReadAreNamed) {
  EXPECT_THAT(
      Case::Read("gone.safetensors"),
      StatusIs(absl::StatusCode::kNotFound, HasSubstr("gone.safetensors")));
  const std::string path = ::testing::TempDir() + "/broken.safetensors";
  SEPTET_ASSERT_OK(WriteFileAtomically(path, "not a tensor file"));
  EXPECT_THAT(Case::Read(path).status().message(), HasSubstr(path));
  EXPECT_FALSE(Case::Read(path).ok());
}

}  // namespace
}  // namespace septet
