// SPDX-License-Identifier: Apache-2.0
#include "septet/core/base/check.h"

#include "gtest/gtest.h"

namespace septet {
namespace {

TEST(CheckTest, TrueConditionDoesNothingAndEvaluatesOnce) {
  int evaluations = 0;
  SEPTET_CHECK(++evaluations == 1) << "never printed";
  SEPTET_CHECK_EQ(++evaluations, 2) << "never printed";
  EXPECT_EQ(evaluations, 2);
}

TEST(CheckTest, BindsAsOneStatement) {
  bool reached_else = false;
  if (false)
    SEPTET_CHECK(false) << "not reached";
  else
    reached_else = true;
  EXPECT_TRUE(reached_else);
}

TEST(CheckDeathTest, PrintsFileConditionAndMessage) {
  EXPECT_DEATH(SEPTET_CHECK(1 > 2) << "block " << 7,
               "check_test.cc:[0-9]+: check failed: 1 > 2 block 7");
}

TEST(CheckDeathTest, PrintsBothValues) {
  const int rank = 3;
  EXPECT_DEATH(SEPTET_CHECK_EQ(rank, 2) << "of x",
               "rank == 2 \\(3 vs\\. 2\\) of x");
  EXPECT_DEATH(SEPTET_CHECK_LT(rank, 2), "rank < 2 \\(3 vs\\. 2\\)");
  EXPECT_DEATH(SEPTET_CHECK_GE(rank, 5), "rank >= 5 \\(3 vs\\. 5\\)");
}

TEST(CheckDeathTest, DcheckIsOnInTests) {
  EXPECT_TRUE(DcheckEnabled());
  EXPECT_DEATH(SEPTET_DCHECK(2 < 1) << "inner", "2 < 1\\) inner");
  EXPECT_DEATH(SEPTET_DCHECK_LT(2, 1), "2 < 1 \\(2 vs\\. 1\\)");
}

}  // namespace
}  // namespace septet
