// SPDX-License-Identifier: Apache-2.0
// The outlines and widths of letters, from cairo, the same at every size: so
// PNG and SVG have one layout, which no hinting moves.
#ifndef SEPTET_CORE_PLOT_FONT_IMPL_H_
#define SEPTET_CORE_PLOT_FONT_IMPL_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/plot/geometry_impl.h"
#include "septet/core/plot/ticks.h"

namespace septet {
namespace plot_internal {

// Outlines are in units of which an em has so many: DejaVu Sans is drawn in
// them, so that its coordinates are whole numbers.
inline constexpr int kFontUnits = 2048;

struct Glyph {
  double advance = 0;  // in units
  Path outline;        // in units, y downwards from the baseline
};

// DejaVu Sans, or what fontconfig takes for it. Not thread-safe: each drawing
// has its own.
class Font {
 public:
  // Errors: Internal where cairo has no font at all, ResourceExhausted.
  static absl::StatusOr<std::unique_ptr<Font>> Load();
  ~Font();

  // `character`: one character in UTF-8.
  const Glyph& GlyphOf(absl::string_view character) const;

  // In points, at a size in points.
  double Width(absl::string_view text, double size) const;
  double Width(const TickLabel& label, double size) const;

  // Heights above and below the baseline that a line of text takes, and of a
  // digit, as parts of the size.
  static constexpr double kAscent = 0.78, kDescent = 0.24, kDigit = 0.73;
  static constexpr double kLine = 1.2;
  // An exponent's size and the height of its baseline, as parts of the size.
  static constexpr double kExponentSize = 0.72, kExponentRise = 0.38;

  // `text` cut down to `width` with an ellipsis where it is longer.
  std::string Fit(absl::string_view text, double size, double width) const;

  // `text` in lines: broken at line breaks, and at spaces where a line is wider
  // than `width`; words that are wider themselves are cut.
  std::vector<std::string> Wrap(absl::string_view text, double size,
                                double width) const;

 private:
  struct Cairo;

  explicit Font(std::unique_ptr<Cairo> cairo);

  std::unique_ptr<Cairo> cairo_;
  mutable std::map<std::string, Glyph, std::less<>> glyphs_;
};

// The characters of UTF-8 text, one by one.
std::vector<absl::string_view> Characters(absl::string_view text);

// Whether `text` is UTF-8 (no overlong forms, no surrogates).
bool IsUtf8(absl::string_view text);

// `text` with control characters escaped as in C.
std::string Printable(absl::string_view text);

}  // namespace plot_internal
}  // namespace septet

#endif  // SEPTET_CORE_PLOT_FONT_IMPL_H_
