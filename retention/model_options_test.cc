// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/model_options.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/config/schema.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/retention/model_options.pb.h"
#include "septet/retention/retnet.h"

namespace septet {
namespace {

using ::testing::Eq;
using ::testing::HasSubstr;

TEST(RetNetModelOptionsTest, IsAnOptionsMessage) {
  SEPTET_EXPECT_OK(CheckOptionsSchema(RetNetModelOptions::descriptor()));
}

// The count of a message is what a model made of it has.
void ExpectCountIsThatOfTheModel(const RetNetModelOptions& message) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const RetNetOptions options,
                              RetNetOptionsOf(message));
  ParameterStore store;
  SEPTET_ASSERT_OK(
      RetNet::Create(options, ParameterScope(&store, {1})).status());
  SEPTET_ASSERT_OK_AND_ASSIGN(const RetNetParameterCount count,
                              NumRetNetParameters(message));
  EXPECT_EQ(count.total(), store.NumElements()) << message.DebugString();
}

TEST(RetNetModelOptionsTest, CountsParameters) {
  RetNetModelOptions plain;
  ExpectCountIsThatOfTheModel(plain);
  RetNetModelOptions no_gate;
  no_gate.set_gate(false);
  ExpectCountIsThatOfTheModel(no_gate);
  RetNetModelOptions plain_network;
  plain_network.set_ffn(RetNetFfnNames::mlp);
  ExpectCountIsThatOfTheModel(plain_network);
  plain_network.set_gate(false);
  ExpectCountIsThatOfTheModel(plain_network);
  RetNetModelOptions legacy;
  legacy.set_biases(true);
  legacy.set_subln(true);
  legacy.set_ffn(RetNetFfnNames::mlp);
  legacy.set_norm(RetNetNormNames::layer);
  legacy.set_group_norm(RetNetGroupNormNames::layer);
  legacy.set_tied(true);
  legacy.set_embedding_norm(true);
  ExpectCountIsThatOfTheModel(legacy);
  RetNetModelOptions deep;
  deep.set_residual(RetNetResidualNames::deepnorm);
  deep.set_learnable_decay(true);
  deep.set_group_norm(RetNetGroupNormNames::rms_affine);
  ExpectCountIsThatOfTheModel(deep);
}

// The specification's tables: the desk variants, and torchscale's presets in
// millions without embeddings.
TEST(RetNetModelOptionsTest, PublishedCounts) {
  const auto total = [](const RetNetModelOptions& message) {
    return NumRetNetParameters(message)->total();
  };
  SEPTET_ASSERT_OK_AND_ASSIGN(RetNetModelOptions desk, RetNetPreset("desk"));
  EXPECT_EQ(total(desk), 123200);
  RetNetModelOptions no_gate;
  no_gate.set_gate(false);
  EXPECT_EQ(total(no_gate), 127296);
  const struct {
    const char* name;
    double millions;
  } kTable[] = {{"base", 19.1}, {"medium", 203}, {"xl", 1220},  {"3b", 2520},
                {"7b", 6510},   {"13b", 12600},  {"65b", 52100}};
  for (const auto& [name, millions] : kTable) {
    SEPTET_ASSERT_OK_AND_ASSIGN(const RetNetModelOptions preset,
                                RetNetPreset(name));
    EXPECT_NEAR(static_cast<double>(NumRetNetParameters(preset)->layers) / 1e6,
                millions, 0.005 * millions)
        << name;
  }
}

// 12 d^2 a layer, with a gate and without, whatever the network.
TEST(RetNetModelOptionsTest, AblationsKeepTheParameters) {
  for (const RetNetFfnNames::Kind ffn :
       {RetNetFfnNames::glu, RetNetFfnNames::mlp}) {
    for (const bool gate : {true, false}) {
      RetNetModelOptions message;
      message.set_dim(960);
      message.set_heads(4);
      message.set_ffn(ffn);
      message.set_gate(gate);
      EXPECT_NEAR(static_cast<double>(NumRetNetParameters(message)->layers),
                  2 * 12.0 * 960 * 960, 0.01 * 2 * 12.0 * 960 * 960);
    }
  }
}

TEST(RetNetModelOptionsTest, EveryPresetIsAModel) {
  for (const std::string& name : RetNetPresetNames()) {
    SEPTET_ASSERT_OK_AND_ASSIGN(const RetNetModelOptions preset,
                                RetNetPreset(name));
    SEPTET_EXPECT_OK(RetNetOptionsOf(preset));
  }
  EXPECT_THAT(RetNetPreset("8b"),
              StatusIs(absl::StatusCode::kNotFound,
                       Eq("there is no preset '8b', expected one of desk, "
                          "base, medium, xl, 3b, 7b, 13b, 65b, 1.3b, 2.7b, "
                          "6.7b")));
}

TEST(RetNetModelOptionsTest, Errors) {
  const auto expect = [](const RetNetModelOptions& message,
                         const std::string& text) {
    EXPECT_THAT(RetNetOptionsOf(message),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text)));
  };
  RetNetModelOptions message;
  message.set_heads(5);
  expect(message, "heads is 5, expected a divisor of dim, which is 64");
  message = {};
  message.add_gammas(0.5);
  expect(
      message,
      "model.gammas has 1 values, expected none but with model.decay=custom");
  message.set_decay(RetNetDecayNames::custom);
  expect(message,
         "decay: custom has 1 values, expected one for each of 2 heads");
  message = {};
  message.set_dim(0);
  expect(message, "model: dim is 0 and layers is 2, expected at least 1");
}

}  // namespace
}  // namespace septet
