// SPDX-License-Identifier: Apache-2.0
// What the experiments of //tools:reproduce declare keeps to what this project
// promises.
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/experiment/plan.h"
#include "septet/core/experiment/registry.h"

namespace septet {
namespace {

TEST(ReproduceBudgetsTest, ArePromisesKept) {
  const ExperimentRegistry& registry = ExperimentRegistry::Global();
  EXPECT_FALSE(registry.All().empty());
  SEPTET_EXPECT_OK(ValidateBudgets(registry));
}

}  // namespace
}  // namespace septet
