// SPDX-License-Identifier: Apache-2.0
#include "septet/core/plot/canvas_impl.h"

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "septet/core/plot/font_impl.h"
#include "septet/core/plot/geometry_impl.h"
#include "septet/core/plot/ticks.h"

namespace septet {
namespace plot_internal {

void Canvas::Text(const TickLabel& text, Point at, const TextStyle& style) {
  std::vector<const Glyph*> glyphs;
  std::vector<Point> places;
  std::vector<double> sizes;
  double x = 0;
  const auto add = [&](absl::string_view part, double size, double y) {
    for (const absl::string_view c : Characters(part)) {
      const Glyph& glyph = font_->GlyphOf(c);
      glyphs.push_back(&glyph);
      places.push_back({x, y});
      sizes.push_back(size);
      x += glyph.advance * size / kFontUnits;
    }
  };
  add(text.base, style.size, 0);
  add(text.exponent, style.size * Font::kExponentSize,
      -style.size * Font::kExponentRise);
  add(text.tail, style.size, 0);
  if (glyphs.empty()) return;
  const double shift = style.align == Align::kLeft     ? 0
                       : style.align == Align::kCenter ? x / 2
                                                       : x;
  const double drop =
      style.vertical == Vertical::kMiddle ? style.size * Font::kDigit / 2 : 0;
  for (Point& place : places) {
    place.x -= shift;
    place.y += drop;
  }
  Letters(glyphs, places, sizes, at, style.degrees, style.color);
}

}  // namespace plot_internal
}  // namespace septet
