// SPDX-License-Identifier: Apache-2.0
#include "septet/core/text/utf8.h"

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"

namespace septet {
namespace {

TEST(Utf8Test, AllCharactersRoundTrip) {
  for (uint32_t point = 0; point <= 0x10ffff; ++point) {
    if (point >= 0xd800 && point <= 0xdfff) continue;
    std::string text;
    AppendUtf8(point, &text);
    uint32_t back = 0;
    ASSERT_EQ(DecodeUtf8(text, &back), text.size()) << point;
    ASSERT_EQ(back, point);
    ASSERT_EQ(UnfinishedUtf8(text), 0u) << point;
    for (size_t n = 1; n < text.size(); ++n) {
      ASSERT_EQ(DecodeUtf8(text.substr(0, n), &back), 0u) << point;
      ASSERT_EQ(UnfinishedUtf8("a" + text.substr(0, n)), n) << point;
    }
  }
}

// The counts of each length say that nothing else passes.
TEST(Utf8Test, NothingElseIsACharacter) {
  int two = 0;
  int three = 0;
  for (int a = 0x80; a < 0x100; ++a) {
    uint32_t point;
    EXPECT_EQ(DecodeUtf8(std::string(1, static_cast<char>(a)), &point), 0u);
    for (int b = 0; b < 0x100; ++b) {
      const std::string pair = {static_cast<char>(a), static_cast<char>(b)};
      two += DecodeUtf8(pair, &point) == 2;
      for (int c = 0; c < 0x100; ++c) {
        three += DecodeUtf8(pair + static_cast<char>(c), &point) == 3;
      }
    }
  }
  EXPECT_EQ(two, 0x800 - 0x80);
  EXPECT_EQ(three, 0x10000 - 0x800 - 0x800);
  for (const absl::string_view bad :
       {"", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
        "\xf8\x88\x80\x80"}) {
    uint32_t point;
    EXPECT_EQ(DecodeUtf8(bad, &point), 0u);
  }
}

TEST(Utf8Test, UnfinishedIsWhatCanStillBecomeACharacter) {
  EXPECT_EQ(UnfinishedUtf8(""), 0u);
  EXPECT_EQ(UnfinishedUtf8("\x80"), 0u);
  EXPECT_EQ(UnfinishedUtf8("a\x80\x80"), 0u);
  EXPECT_EQ(UnfinishedUtf8("\xc1"), 0u);
  EXPECT_EQ(UnfinishedUtf8("\xe0\x80"), 0u);  // too many bytes for U+0000
  EXPECT_EQ(UnfinishedUtf8("\xed\xa0"), 0u);  // a surrogate
  EXPECT_EQ(UnfinishedUtf8("\xf4\x90"), 0u);  // above U+10FFFF
  EXPECT_EQ(UnfinishedUtf8("\xf4\x8f\xbf"), 3u);
  EXPECT_EQ(UnfinishedUtf8("\xff"), 0u);
}

TEST(Utf8Test, CheckNamesTheByte) {
  SEPTET_EXPECT_OK(CheckUtf8(""));
  SEPTET_EXPECT_OK(CheckUtf8("na\xc3\xafve"));
  EXPECT_THAT(CheckUtf8("na\xc3ve"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "byte 2 (0xc3) is not UTF-8"));
}

}  // namespace
}  // namespace septet
