// SPDX-License-Identifier: Apache-2.0
#include "septet/core/bench/machine.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace septet {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST(MachineTest, IsKnown) {
  const Machine machine = ReadMachine();
  EXPECT_THAT(machine.cpu, Not(IsEmpty()));
  EXPECT_GE(machine.cores, 1);
  EXPECT_GE(machine.load, 0);
  EXPECT_THAT(machine.highway_target, Not(IsEmpty()));
  EXPECT_EQ(machine.avx512, machine.highway_target.rfind("AVX3", 0) == 0);
  EXPECT_THAT(machine.openblas, HasSubstr(" "));
}

TEST(MachineTest, PrintsAllOfIt) {
  Machine machine;
  machine.cpu = "A \"CPU\"";
  machine.cores = 2;
  machine.load = 1.5;
  machine.highway_target = "AVX3";
  machine.compiler = "GCC 12.2.0";
  machine.onednn = "2.6.3";
  machine.openblas = "0.3.21 SkylakeX";
  EXPECT_EQ(machine.ToString(),
            "A \"CPU\", 2 cores, load 1.50\n"
            "Highway AVX3, oneDNN 2.6.3, OpenBLAS 0.3.21 SkylakeX, "
            "GCC 12.2.0\n");
  const auto json = nlohmann::json::parse(machine.ToJson(), nullptr, false);
  ASSERT_TRUE(json.is_object());
  EXPECT_EQ(json["machine"]["cpu"], machine.cpu);
  EXPECT_EQ(json["machine"]["cores"], 2);
  EXPECT_EQ(json["machine"]["load"], 1.5);
  EXPECT_EQ(json["machine"]["highway_target"], "AVX3");
  EXPECT_EQ(json["machine"]["compiler"], "GCC 12.2.0");
  EXPECT_EQ(json["machine"]["onednn"], "2.6.3");
  EXPECT_EQ(json["machine"]["openblas"], "0.3.21 SkylakeX");
}

}  // namespace
}  // namespace septet
