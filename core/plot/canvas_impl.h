// SPDX-License-Identifier: Apache-2.0
// What figures are drawn on: a PNG by cairo, or an SVG.
//
// The SVG is written here and not by cairo, whose files number their parts with
// counters of the process: the same figure would give other bytes each time.
#ifndef SEPTET_CORE_PLOT_CANVAS_IMPL_H_
#define SEPTET_CORE_PLOT_CANVAS_IMPL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/plot/color_map.h"
#include "septet/core/plot/font_impl.h"
#include "septet/core/plot/geometry_impl.h"
#include "septet/core/plot/ticks.h"

namespace septet {
namespace plot_internal {

struct Paint {
  Rgb color;
  double alpha = 1;
};

struct Stroke {
  Paint paint;
  double width = 1;
  std::vector<double> dash = {};  // lengths on and off, in points
};

// Shades of the furniture.
inline constexpr Rgb kInk = {0x26, 0x26, 0x26};
inline constexpr Rgb kFrame = {0x59, 0x59, 0x59};
inline constexpr Rgb kGridLine = {0xe4, 0xe4, 0xe4};
inline constexpr Rgb kWhite = {0xff, 0xff, 0xff};

enum class Align { kLeft, kCenter, kRight };
enum class Vertical { kBaseline, kMiddle };  // the middle of a digit

struct TextStyle {
  double size = 9;  // points
  Align align = Align::kLeft;
  Vertical vertical = Vertical::kBaseline;
  double degrees = 0;  // counter-clockwise
  Rgb color = kInk;
};

struct Raster {
  int64_t width = 0, height = 0;
  std::vector<Rgb> pixels;  // row by row, from the top
};

class Canvas {
 public:
  virtual ~Canvas() = default;

  virtual void Fill(const Path& path, const Paint& paint) = 0;
  virtual void Line(const Path& path, const Stroke& stroke) = 0;
  // The same shape, drawn around the origin, at many places.
  virtual void Stamp(const Path& shape, const std::vector<Point>& places,
                     const Paint& paint) = 0;
  // Pixels as squares, not smoothed, unless the picture has fewer.
  virtual void Image(const Rect& rect, const Raster& raster) = 0;
  virtual void Letters(const std::vector<const Glyph*>& glyphs,
                       const std::vector<Point>& places,  // in the text's frame
                       const std::vector<double>& sizes, Point origin,
                       double degrees, Rgb color) = 0;
  // Names what is drawn until EndGroup.
  virtual void BeginGroup(absl::string_view name) = 0;
  virtual void EndGroup() = 0;
  // The file. Errors: ResourceExhausted, Internal. Once.
  virtual absl::StatusOr<std::string> Finish() = 0;

  void Text(const TickLabel& text, Point at, const TextStyle& style);
  void Text(absl::string_view text, Point at, const TextStyle& style) {
    Text(TickLabel{std::string(text), "", ""}, at, style);
  }
  const Font& font() const { return *font_; }

 protected:
  explicit Canvas(const Font* font) : font_(font) {}

 private:
  const Font* font_;
};

// `font` must outlive the canvas. Size in points. The background is white.
// Errors: ResourceExhausted, Internal.
absl::StatusOr<std::unique_ptr<Canvas>> MakePngCanvas(const Font* font,
                                                      Size size,
                                                      int dots_per_inch);
std::unique_ptr<Canvas> MakeSvgCanvas(const Font* font, Size size);

}  // namespace plot_internal
}  // namespace septet

#endif  // SEPTET_CORE_PLOT_CANVAS_IMPL_H_
