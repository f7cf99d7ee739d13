// SPDX-License-Identifier: Apache-2.0
// The experiments that //tools:reproduce links keep to what this project
// promises.
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/config/setter.h"
#include "septet/core/experiment/experiment.h"
#include "septet/core/experiment/plan.h"
#include "septet/core/experiment/registry.h"

namespace septet {
namespace {

TEST(ReproduceExperimentsTest, BudgetsAreKept) {
  EXPECT_FALSE(ExperimentRegistry::Global().All().empty());
  SEPTET_EXPECT_OK(ValidateBudgets(ExperimentRegistry::Global()));
}

TEST(ReproduceExperimentsTest, OptionsCanBeMadeAtEveryPreset) {
  for (const Experiment* experiment : ExperimentRegistry::Global().All()) {
    if (!experiment->make_options) continue;
    for (Preset preset : AllPresets()) {
      const auto options = experiment->make_options(preset);
      ASSERT_NE(options, nullptr) << experiment->name;
      SEPTET_EXPECT_OK(ValidateOptions(*options)) << experiment->name;
    }
  }
}

}  // namespace
}  // namespace septet
