// SPDX-License-Identifier: Apache-2.0
// Colours: maps from numbers, and a palette for series.
//
//   Rgb color = MapColor(ColorMap::kViridis, 0.5);
#ifndef SEPTET_CORE_PLOT_COLOR_MAP_H_
#define SEPTET_CORE_PLOT_COLOR_MAP_H_

#include <cstdint>
#include <string>

namespace septet {

// 8 bits a channel, sRGB.
struct Rgb {
  uint8_t red = 0, green = 0, blue = 0;

  friend bool operator==(const Rgb& a, const Rgb& b) {
    return a.red == b.red && a.green == b.green && a.blue == b.blue;
  }
};

enum class ColorMap {
  // From dark violet over green to yellow, equal steps to the eye (N. Smith,
  // S. van der Walt, 2015; CC0).
  kViridis,
  // From blue over near white to red, for signed data: lightness falls evenly
  // to both sides, alike on both (made in Oklab, B. Ottosson, 2020).
  kDiverging,
  kGrey,  // from black to white
};

// "viridis", "diverging", "grey".
std::string ColorMapName(ColorMap map);

// The colour at `position` of the map, 0 to 1; positions outside are clamped,
// NaN is 0.
Rgb MapColor(ColorMap map, double position);

// Colours of series, told apart by the colour-blind too (M. Okabe, K. Ito,
// 2008, less yellow, which white paper swallows); repeats from
// kPaletteColors on. index >= 0.
inline constexpr int kPaletteColors = 7;
Rgb PaletteColor(int index);

// CIE lightness L* of a colour, 0 (black) to 100 (white).
double Lightness(Rgb color);

}  // namespace septet

#endif  // SEPTET_CORE_PLOT_COLOR_MAP_H_
