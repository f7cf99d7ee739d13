// SPDX-License-Identifier: Apache-2.0
#include "septet/core/plot/csv.h"

#include <cmath>
#include <cstdlib>
#include <limits>

#include "gtest/gtest.h"

namespace septet {
namespace {

TEST(CsvTest, NumbersComeBack) {
  for (const double v :
       {0.0, -0.0, 0.1, 1.0 / 3, 1e22, -1e-300, 5e-324, 123456789.0,
        std::numeric_limits<double>::max(), std::nextafter(1.0, 2.0)}) {
    const std::string text = CsvNumber(v);
    EXPECT_EQ(std::strtod(text.c_str(), nullptr), v) << text;
    EXPECT_EQ(std::signbit(std::strtod(text.c_str(), nullptr)), std::signbit(v))
        << text;
  }
}

TEST(CsvTest, NumbersAreShort) {
  EXPECT_EQ(CsvNumber(0.1), "0.1");
  EXPECT_EQ(CsvNumber(3), "3");
  EXPECT_EQ(CsvNumber(std::nan("")), "nan");
  EXPECT_EQ(CsvNumber(-std::nan("")), "nan");
  EXPECT_EQ(CsvNumber(-std::numeric_limits<double>::infinity()), "-inf");
}

TEST(CsvTest, Quoting) {
  EXPECT_EQ(CsvField("plain text"), "plain text");
  EXPECT_EQ(CsvField("a,b"), "\"a,b\"");
  EXPECT_EQ(CsvField("say \"no\""), "\"say \"\"no\"\"\"");
  EXPECT_EQ(CsvField("two\nlines"), "\"two\nlines\"");
  EXPECT_EQ(CsvField(" the"), "\" the\"");
  EXPECT_EQ(CsvField(""), "");
  EXPECT_EQ(CsvLine({"a", "", "b,c"}), "a,,\"b,c\"\n");
}

}  // namespace
}  // namespace septet
