// SPDX-License-Identifier: Apache-2.0
#include "septet/core/blas/versions.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace septet {
namespace {

using ::testing::ContainsRegex;

TEST(VersionsTest, AreNumbersAndTheCoreHasAName) {
  const BlasVersions versions = GetBlasVersions();
  EXPECT_THAT(versions.onednn, ContainsRegex("^[0-9]+[.][0-9]+[.][0-9]+$"));
  EXPECT_THAT(versions.openblas, ContainsRegex("^[0-9]+[.][0-9]+"));
  EXPECT_THAT(versions.openblas_core, ContainsRegex("^[A-Za-z0-9_]+$"));
}

}  // namespace
}  // namespace septet
