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

INSTANTIATE_TEST_SUITE_P(Relpos, GoldenTest,
                         ::testing::Values("relpos_h3", "relpos_keydim2",
                                           "relpos_linspace_h4"));

INSTANTIATE_TEST_SUITE_P(
    Msr, GoldenTest,
    ::testing::Values(
        "msr_chunkwise", "msr_clamp_chunkwise", "msr_clamp_parallel",
        "msr_clamp_recurrent", "msr_gamma_fixed_parallel",
        "msr_gamma_fixed_recurrent", "msr_gamma_linspace_parallel",
        "msr_gamma_linspace_recurrent", "msr_gamma_one_parallel",
        "msr_gamma_one_recurrent", "msr_group_layer_norm_parallel",
        "msr_group_layer_norm_recurrent", "msr_len1_chunkwise",
        "msr_len1_parallel", "msr_len1_recurrent", "msr_no_gate_parallel",
        "msr_no_gate_recurrent", "msr_no_group_norm_parallel",
        "msr_no_group_norm_recurrent", "msr_odd_chunkwise", "msr_odd_parallel",
        "msr_odd_recurrent", "msr_parallel", "msr_recurrent"));
INSTANTIATE_TEST_SUITE_P(Decoder, GoldenTest,
                         ::testing::Values("decoder_deepnorm",
                                           "decoder_legacy_layernorm",
                                           "decoder_preln", "decoder_tied"));

INSTANTIATE_TEST_SUITE_P(Ckpt, GoldenTest,
                         ::testing::Values("ckpt_expected", "ckpt_fla",
                                           "ckpt_fla_expected", "ckpt_syncdoth",
                                           "ckpt_torchscale"));

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
