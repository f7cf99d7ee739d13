// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/registry.h"

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/experiment/experiment.h"
#include "septet/core/experiment/fake_testutil.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::Eq;

const ExperimentRegistration kRegistered(FakeExperiment("global/one"));

std::vector<std::string> Names(
    const std::vector<const Experiment*>& experiments) {
  std::vector<std::string> names;
  for (const Experiment* experiment : experiments) {
    names.push_back(experiment->name);
  }
  return names;
}

class RegistryTest : public ::testing::Test {
 protected:
  RegistryTest() {
    for (const char* name :
         {"retention/recall", "rl/offline/hopper", "retention/copy",
          "rl/rlhf/cppo", "retention_fast/copy"}) {
      SEPTET_EXPECT_OK(registry_.Add(FakeExperiment(name)));
    }
  }
  ExperimentRegistry registry_;
};

TEST_F(RegistryTest, OrderIsByName) {
  EXPECT_THAT(
      Names(registry_.All()),
      ElementsAre("retention/copy", "retention/recall", "retention_fast/copy",
                  "rl/offline/hopper", "rl/rlhf/cppo"));
  EXPECT_THAT(registry_.Packages(), ElementsAre("retention", "retention_fast",
                                                "rl/offline", "rl/rlhf"));
}

TEST_F(RegistryTest, SelectsExperimentsAndPackages) {
  const auto select = [&](const char* name) {
    const auto selected = registry_.Select(name);
    SEPTET_EXPECT_OK(selected);
    return selected.ok() ? Names(*selected) : std::vector<std::string>();
  };
  EXPECT_THAT(select("retention/copy"), ElementsAre("retention/copy"));
  EXPECT_THAT(select("retention"),
              ElementsAre("retention/copy", "retention/recall"));
  EXPECT_THAT(select("rl/rlhf"), ElementsAre("rl/rlhf/cppo"));
  EXPECT_THAT(select("rl"), ElementsAre("rl/offline/hopper", "rl/rlhf/cppo"));
}

TEST_F(RegistryTest, UnknownNameIsAnsweredWithTheNearest) {
  EXPECT_THAT(registry_.Select("retension"),
              StatusIs(absl::StatusCode::kNotFound,
                       Eq("no package or experiment \"retension\"; nearest is "
                          "\"retention\" (packages: retention, retention_fast, "
                          "rl/offline, rl/rlhf)")));
  EXPECT_THAT(registry_.Select("retention/recal"),
              StatusIs(absl::StatusCode::kNotFound,
                       ::testing::HasSubstr("\"retention/recall\"")));
  EXPECT_THAT(registry_.Select("hopper"),
              StatusIs(absl::StatusCode::kNotFound,
                       ::testing::HasSubstr("\"rl/offline/hopper\"")));
  EXPECT_THAT(ExperimentRegistry().Select("x"),
              StatusIs(absl::StatusCode::kNotFound,
                       Eq("no package or experiment \"x\" (none is "
                          "registered)")));
}

TEST_F(RegistryTest, RefusesTwoOfOneNameAndInvalidOnes) {
  EXPECT_THAT(registry_.Add(FakeExperiment("rl/rlhf/cppo")),
              StatusIs(absl::StatusCode::kAlreadyExists,
                       Eq("experiment \"rl/rlhf/cppo\" is registered twice")));
  EXPECT_EQ(registry_.Add(FakeExperiment("bad")).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(registry_.All().size(), 5u);
}

TEST(GlobalRegistryTest, HasWhatStaticObjectsRegistered) {
  EXPECT_THAT(Names(ExperimentRegistry::Global().All()),
              ElementsAre("global/one"));
}

TEST(GlobalRegistryDeathTest, RegisteringTwiceAborts) {
  EXPECT_DEATH(ExperimentRegistration(FakeExperiment("global/one")),
               "registered twice");
}

}  // namespace
}  // namespace septet
