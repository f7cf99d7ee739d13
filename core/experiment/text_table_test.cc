// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/text_table.h"

#include "gtest/gtest.h"

namespace septet {
namespace {

TEST(TextTableTest, AlignedByCharactersNotBytes) {
  EXPECT_EQ(AlignedTable({{"check", "value", "verdict"},
                          {"≥ 90 %", "91.2", "met"},
                          {"short"}}),
            "  check   value  verdict\n"
            "  ≥ 90 %  91.2   met\n"
            "  short\n");
  EXPECT_EQ(AlignedTable({}), "");
}

TEST(TextTableTest, MarkdownEscapesMarkup) {
  EXPECT_EQ(
      MarkdownTable(
          {{"check", "value"}, {"a|b_c*d`e<f>g[h]i\\j\nk", "1"}, {"short"}}),
      "| check | value |\n"
      "| --- | --- |\n"
      "| a\\|b\\_c\\*d\\`e&lt;f&gt;g\\[h\\]i\\\\j k | 1 |\n"
      "| short |  |\n");
}

TEST(TextTableTest, CsvQuotesWhatNeedsIt) {
  EXPECT_EQ(CsvTable({{"check", "value"}, {"score, %", "a \"b\"\nc"}}),
            "check,value\n"
            "\"score, %\",\"a \"\"b\"\"\nc\"\n");
}

}  // namespace
}  // namespace septet
