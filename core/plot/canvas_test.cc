// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/plot/canvas_impl.h"
#include "septet/core/plot/font_impl.h"
#include "septet/core/plot/geometry_impl.h"

namespace septet {
namespace plot_internal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(TextTest, Utf8) {
  EXPECT_TRUE(IsUtf8(""));
  EXPECT_TRUE(IsUtf8("γ ≥ ² \U0001F600 \u7fff"));
  for (const char* bad :
       {"\x80", "\xc0\x80", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80",
        "\xf4\x90\x80\x80", "\xff", "a\xe2\x82", "\xf5\x80\x80\x80"}) {
    EXPECT_FALSE(IsUtf8(bad)) << bad;
  }
}

TEST(TextTest, ControlCharactersArePrinted) {
  EXPECT_EQ(Printable("a\n\tγ\x07"), "a\\n\\tγ\\x07");
}

TEST(FontTest, WidthsGrowWithTheSize) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Font> font, Font::Load());
  EXPECT_EQ(font->Width("", 10), 0);
  EXPECT_GT(font->Width("W", 10), font->Width("i", 10));
  EXPECT_DOUBLE_EQ(font->Width("Wiγ", 20), 2 * font->Width("Wiγ", 10));
  EXPECT_DOUBLE_EQ(font->Width("ab", 10),
                   font->Width("a", 10) + font->Width("b", 10));
  EXPECT_LT(font->Width(TickLabel{"10", "3", ""}, 10), font->Width("103", 10));
  EXPECT_FALSE(font->GlyphOf("g").outline.steps.empty());
  EXPECT_TRUE(font->GlyphOf(" ").outline.steps.empty());
}

TEST(FontTest, FitCutsWithAnEllipsis) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Font> font, Font::Load());
  EXPECT_EQ(font->Fit("short", 9, 100), "short");
  const std::string cut = font->Fit("a rather long γγγγ text", 9, 50);
  EXPECT_THAT(cut, ::testing::EndsWith("…"));
  EXPECT_LE(font->Width(cut, 9), 50);
  EXPECT_EQ(font->Fit("abc", 9, 0.1), "…");
}

TEST(FontTest, WrapBreaksAtSpacesAndLineBreaks) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Font> font, Font::Load());
  EXPECT_THAT(font->Wrap("one two\nthree", 9, 1000),
              ElementsAre("one two", "three"));
  const double width = font->Width("aaa bbb", 9) + 0.1;
  EXPECT_THAT(font->Wrap("aaa bbb ccc", 9, width),
              ElementsAre("aaa bbb", "ccc"));
}

TEST(SvgCanvasTest, Pieces) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Font> font, Font::Load());
  const std::unique_ptr<Canvas> canvas =
      MakeSvgCanvas(font.get(), {100, 50.25});
  canvas->BeginGroup("a<b");
  canvas->Fill(Rectangle({1, 2, 3, 4.0625}), {{255, 0, 16}, 0.5});
  canvas->Line(Polyline({{0, -0.0001}, {1.5, 20}}), {{{0, 0, 0}}, 0.7, {3, 2}});
  canvas->EndGroup();
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string svg, canvas->Finish());
  EXPECT_THAT(svg, HasSubstr("width=\"100pt\" height=\"50.25pt\" "
                             "viewBox=\"0 0 100 50.25\""));
  EXPECT_THAT(svg, HasSubstr("<g class=\"a&lt;b\">\n"
                             "<path d=\"M1 2L4 2L4 6.063L1 6.063Z\" "
                             "fill=\"#ff0010\" fill-opacity=\"0.5\"/>\n"
                             "<path d=\"M0 0L1.5 20\" fill=\"none\" "
                             "stroke=\"#000000\" stroke-width=\"0.7\" "
                             "stroke-dasharray=\"3 2\" "
                             "stroke-linejoin=\"round\"/>\n</g>\n"));
}

}  // namespace
}  // namespace plot_internal
}  // namespace septet
