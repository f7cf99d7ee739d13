// SPDX-License-Identifier: Apache-2.0
#include "septet/core/bench/case.h"

#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace septet {
namespace {

using ::testing::ElementsAre;

BenchCase Named(std::string name) {
  BenchCase c;
  c.name = std::move(name);
  c.prepare = [] { return BenchKernel([] {}); };
  return c;
}

const bool kRegistered = RegisterBenchCase(Named("gemm/f32/512x512")) &&
                         RegisterBenchCase(Named("gemm/f32/64x64")) &&
                         RegisterBenchCase(Named("gemm/f32/64x64/packed")) &&
                         RegisterBenchCase(Named("conv/f32/64")) &&
                         RegisterBenchCase(Named("gemm/f32/512x64"));

TEST(BenchCaseTest, SortedByNameWithNumbersByValue) {
  ASSERT_TRUE(kRegistered);
  std::vector<std::string> names;
  for (const BenchCase* c : BenchCases()) names.push_back(c->name);
  EXPECT_THAT(names, ElementsAre("conv/f32/64", "gemm/f32/64x64",
                                 "gemm/f32/64x64/packed", "gemm/f32/512x64",
                                 "gemm/f32/512x512"));
}

TEST(BenchCaseDeathTest, RefusesCasesThatCannotBeJudged) {
  EXPECT_DEATH(RegisterBenchCase(Named("gemm/f32/64x64")), "of one name");
  EXPECT_DEATH(RegisterBenchCase(Named("gemm")), "want group/");
  EXPECT_DEATH(RegisterBenchCase(Named("/x")), "want group/");
  BenchCase c = Named("a/1");
  c.prepare = nullptr;
  EXPECT_DEATH(RegisterBenchCase(c), "a/1");
  c = Named("a/1");
  c.threads = 0;
  EXPECT_DEATH(RegisterBenchCase(c), "a/1: threads 0");
  c = Named("a/1");
  c.at_least = 0.5;
  EXPECT_DEATH(RegisterBenchCase(c), "without a limit");
  c.limit = BenchLimit::F32Flops(-1);
  EXPECT_DEATH(RegisterBenchCase(c), "a/1: -1");
  c.limit = BenchLimit::F32Flops(1);
  c.at_least = 90;
  EXPECT_DEATH(RegisterBenchCase(c), "at_least 90");
  c = Named("a/1");
  c.at_most_ns = 1;
  EXPECT_DEATH(RegisterBenchCase(c), "at_most_ns without elements");
  c = Named("a/1");
  c.limit.Call<float>(BenchFunction::kExp, 0);
  EXPECT_DEATH(RegisterBenchCase(c), "a/1: 0");
}

TEST(BenchLimitTest, GoesByTheType) {
  EXPECT_EQ(BenchLimit::Flops<float>(3).f32_flops, 3);
  EXPECT_EQ(BenchLimit::Flops<double>(3).f64_flops, 3);
  BenchLimit limit = BenchLimit::ReadBytes(4);
  limit.Call<float>(BenchFunction::kExp, 5)
      .Call<double>(BenchFunction::kTanh, 6);
  EXPECT_EQ(limit.read_bytes, 4);
  EXPECT_EQ(limit.copied_bytes, 0);
  EXPECT_EQ(BenchLimit::UpdatedBytes(7).updated_bytes, 7);
  EXPECT_TRUE(limit.defined());
  EXPECT_FALSE(BenchLimit().defined());
  EXPECT_THAT(limit.f32_calls,
              ElementsAre(std::pair(BenchFunction::kExp, 5.0)));
  EXPECT_THAT(limit.f64_calls,
              ElementsAre(std::pair(BenchFunction::kTanh, 6.0)));
}

}  // namespace
}  // namespace septet
