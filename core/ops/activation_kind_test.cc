// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/activation_kind.h"

#include <optional>
#include <set>
#include <string>

#include "gtest/gtest.h"

namespace septet {
namespace {

TEST(ActivationKindTest, NamesGoBothWays) {
  std::set<std::string> names;
  for (ActivationKind kind : kAllActivationKinds) {
    const std::string name(ActivationName(kind));
    names.insert(name);
    EXPECT_EQ(ActivationFromName(name), kind) << name;
  }
  EXPECT_EQ(names.size(), 13u);
}

TEST(ActivationKindTest, OtherNamesAreNone) {
  for (const char* name :
       {"", "Relu", "relu ", "silu", "gelu_tan", "gelu_tanhh"}) {
    EXPECT_EQ(ActivationFromName(name), std::nullopt) << name;
  }
}

TEST(ActivationKindDeathTest, UnknownKind) {
  EXPECT_DEATH(ActivationName(static_cast<ActivationKind>(99)),
               "activation kind 99");
}

}  // namespace
}  // namespace septet
