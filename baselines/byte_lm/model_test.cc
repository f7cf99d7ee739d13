// SPDX-License-Identifier: Apache-2.0
#include "septet/baselines/byte_lm/model.h"

#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/baselines/byte_lm/model_options.pb.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/config/schema.h"
#include "septet/core/nn/pass.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

Tensor Ids(int64_t batch, int64_t time, int64_t step) {
  std::vector<int64_t> ids(batch * time);
  for (size_t i = 0; i < ids.size(); ++i) {
    ids[i] = (static_cast<int64_t>(i) * step + 5) % 256;
  }
  return Tensor::FromValues<int64_t>({batch, time}, ids).value();
}

TEST(ByteLmTest, OptionsFollowTheRules) {
  SEPTET_EXPECT_OK(CheckOptionsSchema(ByteLmModelOptions::descriptor()));
}

TEST(ByteLmTest, TheDefaultIsThePeerOfRetNet) {
  SEPTET_ASSERT_OK_AND_ASSIGN(std::unique_ptr<ByteLm> model,
                              ByteLm::Create({}, 1));
  // The number that retnet.md gives for its Transformer.
  EXPECT_EQ(model->parameters().NumElements(), 127296);
  EXPECT_EQ(model->transformer().options().ffn_dim, 160);
  EXPECT_EQ(model->transformer().options().heads, 2);
  EXPECT_FALSE(model->transformer().options().tied_head);
}

TEST(ByteLmTest, ParametersAreCountedWithoutTheModel) {
  ByteLmModelOptions options;
  for (const auto& [dim, layers, hidden] :
       {std::array<int, 3>{64, 2, 0}, {96, 3, 0}, {32, 1, 7}}) {
    options.set_dim(dim);
    options.set_layers(layers);
    options.set_ffn_dim(hidden);
    SEPTET_ASSERT_OK_AND_ASSIGN(std::unique_ptr<ByteLm> model,
                                ByteLm::Create(options, 1));
    EXPECT_EQ(NumByteLmParameters(options), model->parameters().NumElements());
  }
}

TEST(ByteLmTest, AnUntrainedModelKnowsLittle) {
  SEPTET_ASSERT_OK_AND_ASSIGN(std::unique_ptr<ByteLm> model,
                              ByteLm::Create({}, 1));
  const Var loss = model->Loss(model->parameters().Bind(), Pass(),
                               Ids(2, 16, 37), Ids(2, 16, 41));
  SEPTET_ASSERT_OK(loss.status());
  // Logits are about N(0, 1), which adds half their variance to log 256.
  EXPECT_NEAR(loss.tensor().item<float>(), std::log(256.0) + 0.5, 0.5);
}

TEST(ByteLmTest, HeadsDivideTheWidth) {
  ByteLmModelOptions options;
  options.set_dim(48);
  EXPECT_THAT(ByteLm::Create(options, 1),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "model.head_dim is 32, expected an even divisor of "
                       "model.dim, 48"));
  options.set_head_dim(3);
  EXPECT_THAT(ByteLm::Create(options, 1),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "model.head_dim is 3, expected an even divisor of "
                       "model.dim, 48"));
  options.set_head_dim(24);
  SEPTET_EXPECT_OK(ByteLm::Create(options, 1));
}

TEST(ByteLmTest, StepFlopsCountProductsAndVisiblePairs) {
  ByteLmModelOptions options;
  options.set_dim(32);
  options.set_layers(1);
  options.set_ffn_dim(16);
  SEPTET_ASSERT_OK_AND_ASSIGN(std::unique_ptr<ByteLm> model,
                              ByteLm::Create(options, 1));
  // Head; q, k, v and output; SwiGLU; gains of three norms.
  const double weights = 256 * 32 + 4 * 32 * 32 + 3 * 32 * 16 + 3 * 32;
  // 2 rows of 3 tokens, 1 + 2 + 3 pairs a row.
  EXPECT_EQ(ByteLmStepFlops(*model, 2, 3), 6 * weights * 6 + 14 * 32 * 12);
}

}  // namespace
}  // namespace septet
