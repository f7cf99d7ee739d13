// SPDX-License-Identifier: Apache-2.0
#include "septet/core/plot/color_map.h"

#include <cmath>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace septet {
namespace {

TEST(ColorMapTest, Ends) {
  EXPECT_EQ(MapColor(ColorMap::kViridis, 0), (Rgb{0x44, 0x01, 0x54}));
  EXPECT_EQ(MapColor(ColorMap::kViridis, 1), (Rgb{0xfd, 0xe7, 0x25}));
  // matplotlib.colormaps["viridis"](0.5)
  EXPECT_EQ(MapColor(ColorMap::kViridis, 0.5), (Rgb{0x21, 0x91, 0x8c}));
  EXPECT_EQ(MapColor(ColorMap::kGrey, 0), (Rgb{0, 0, 0}));
  EXPECT_EQ(MapColor(ColorMap::kGrey, 1), (Rgb{255, 255, 255}));
  EXPECT_EQ(MapColor(ColorMap::kGrey, 100 / 255.0), (Rgb{100, 100, 100}));
}

TEST(ColorMapTest, PositionsOutsideAreClamped) {
  for (const ColorMap map :
       {ColorMap::kViridis, ColorMap::kDiverging, ColorMap::kGrey}) {
    EXPECT_EQ(MapColor(map, -3), MapColor(map, 0)) << ColorMapName(map);
    EXPECT_EQ(MapColor(map, 1e300), MapColor(map, 1)) << ColorMapName(map);
    EXPECT_EQ(MapColor(map, std::numeric_limits<double>::quiet_NaN()),
              MapColor(map, 0))
        << ColorMapName(map);
  }
}

TEST(ColorMapTest, ViridisGrowsLighterEvenly) {
  double last = Lightness(MapColor(ColorMap::kViridis, 0));
  for (int i = 1; i <= 32; ++i) {
    const double next = Lightness(MapColor(ColorMap::kViridis, i / 32.0));
    EXPECT_NEAR(next - last, (91 - 15) / 32.0, 0.8) << i;
    last = next;
  }
}

TEST(ColorMapTest, DivergingIsLightInTheMiddleAndAlikeOnBothSides) {
  const auto at = [](double t) {
    return MapColor(ColorMap::kDiverging, 0.5 + 0.5 * t);
  };
  EXPECT_GT(Lightness(at(0)), 95);
  double last = Lightness(at(0));
  for (int i = 1; i <= 16; ++i) {
    const double red = Lightness(at(i / 16.0)), blue = Lightness(at(-i / 16.0));
    EXPECT_NEAR(red, blue, 5) << i;
    EXPECT_NEAR(last - red, 4, 2) << i;
    last = red;
    EXPECT_GT(at(i / 16.0).red, at(i / 16.0).blue) << i;
    EXPECT_LT(at(-i / 16.0).red, at(-i / 16.0).blue) << i;
  }
  // Nothing is at the edge of what sRGB can show: no step is clipped.
  const Rgb middle = at(0);
  EXPECT_NEAR(middle.red, middle.blue, 3);
}

TEST(ColorMapTest, PaletteRepeats) {
  for (int i = 0; i < kPaletteColors; ++i) {
    EXPECT_EQ(PaletteColor(i), PaletteColor(i + kPaletteColors));
    for (int k = 0; k < i; ++k) {
      EXPECT_FALSE(PaletteColor(i) == PaletteColor(k)) << i << " " << k;
    }
    // Seen on white paper.
    EXPECT_LT(Lightness(PaletteColor(i)), 75) << i;
  }
}

TEST(ColorMapTest, LightnessOfGreys) {
  EXPECT_NEAR(Lightness({0, 0, 0}), 0, 1e-9);
  EXPECT_NEAR(Lightness({255, 255, 255}), 100, 1e-9);
  // Middle grey of sRGB.
  EXPECT_NEAR(Lightness({119, 119, 119}), 50.0, 0.1);
}

}  // namespace
}  // namespace septet
