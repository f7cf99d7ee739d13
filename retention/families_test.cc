// SPDX-License-Identifier: Apache-2.0
// The golden cases of retnet, in both dtypes, on the kernels.
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/conformance/runner.h"
#include "septet/core/tensor/dtype.h"

namespace septet {
namespace {

class GoldenTest : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(
    Core, GoldenTest,
    ::testing::Values("core_decay", "core_decay_noinit", "core_gamma_one",
                      "core_gamma_strong", "core_key_wider", "core_len1",
                      "core_none", "core_none_noinit", "core_paper",
                      "core_paper_noinit", "core_varlen"));

TEST_P(GoldenTest, PassesInBothDTypes) {
  const std::string path =
      "retention/testdata/" + std::string(GetParam()) + ".safetensors";
  for (const DType dtype : {DType::kF64, DType::kF32}) {
    const CaseResult result = RunCaseFile(path, {dtype});
    EXPECT_TRUE(result.passed()) << result.ToString();
    for (const std::string& line : result.dispatch) {
      EXPECT_THAT(line, ::testing::Not(::testing::HasSubstr("composite")));
    }
  }
}

}  // namespace
}  // namespace septet
