// SPDX-License-Identifier: Apache-2.0
#include "septet/core/plot/panel_impl.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/io/quote.h"
#include "septet/core/plot/axis_impl.h"
#include "septet/core/plot/canvas_impl.h"
#include "septet/core/plot/figure.h"
#include "septet/core/plot/font_impl.h"
#include "septet/core/plot/geometry_impl.h"

namespace septet {
namespace plot_internal {
namespace {

absl::Status CheckRange(double value, double least, double most,
                        absl::string_view field) {
  if (value >= least && value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, " is ", value, ", want ", least, " to ", most));
}

absl::Status CheckLimit(const std::optional<double>& limit, bool log,
                        absl::string_view field) {
  if (!limit.has_value()) return absl::OkStatus();
  return CheckAxisValue(*limit, log, field);
}

absl::Status CheckAxis(const AxisOptions& axis, absl::string_view name) {
  SEPTET_RETURN_IF_ERROR(CheckText(axis.label, absl::StrCat(name, ".label")));
  SEPTET_RETURN_IF_ERROR(
      CheckLimit(axis.min, axis.log, absl::StrCat(name, ".min")));
  SEPTET_RETURN_IF_ERROR(
      CheckLimit(axis.max, axis.log, absl::StrCat(name, ".max")));
  if (axis.min.has_value() && axis.max.has_value()) {
    SEPTET_RETURN_IF_ERROR(CheckLimits(*axis.min, *axis.max, axis.log, name));
  }
  for (size_t i = 0; i < axis.categories.size(); ++i) {
    SEPTET_RETURN_IF_ERROR(CheckText(
        axis.categories[i], absl::StrCat(name, ".categories[", i, "]")));
  }
  return absl::OkStatus();
}

absl::Status CheckReferenceLines(const std::vector<ReferenceLine>& lines,
                                 const AxisOptions& axis,
                                 absl::string_view name) {
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string field = absl::StrCat(name, "[", i, "]");
    SEPTET_RETURN_IF_ERROR(
        CheckText(lines[i].label, absl::StrCat(field, ".label")));
    SEPTET_RETURN_IF_ERROR(CheckAxisValue(lines[i].value, axis.log,
                                          absl::StrCat(field, ".value")));
  }
  return absl::OkStatus();
}

}  // namespace

std::string FigureName(absl::string_view title) {
  return title.empty() ? "figure" : absl::StrCat("figure ", QuoteName(title));
}

absl::Status CheckText(absl::string_view text, absl::string_view field) {
  if (IsUtf8(text)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, " is ", QuoteName(text), ", want UTF-8"));
}

absl::Status CheckOptions(const FigureOptions& options) {
  SEPTET_RETURN_IF_ERROR(CheckText(options.title, "title"));
  SEPTET_RETURN_IF_ERROR(CheckAxis(options.x, "x"));
  SEPTET_RETURN_IF_ERROR(CheckAxis(options.y, "y"));
  SEPTET_RETURN_IF_ERROR(
      CheckReferenceLines(options.x_lines, options.x, "x_lines"));
  SEPTET_RETURN_IF_ERROR(
      CheckReferenceLines(options.y_lines, options.y, "y_lines"));
  SEPTET_RETURN_IF_ERROR(
      CheckRange(options.width_inches, 0.5, kMaxFigureInches, "width_inches"));
  if (options.height_inches != 0) {
    SEPTET_RETURN_IF_ERROR(CheckRange(options.height_inches, 0.5,
                                      kMaxFigureInches, "height_inches"));
  }
  SEPTET_RETURN_IF_ERROR(CheckRange(options.font_points, 4, 40, "font_points"));
  return CheckRange(options.dots_per_inch, 30, 1200, "dots_per_inch");
}

absl::Status CheckNoLines(const FigureOptions& options) {
  if (options.x_lines.empty() && options.y_lines.empty()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(options.x_lines.empty() ? "y_lines has " : "x_lines has ",
                   std::max(options.x_lines.size(), options.y_lines.size()),
                   " lines, want none: this kind of figure has no axes"));
}

TitleBlock MakeTitle(const Font& font, absl::string_view title, double size,
                     double width) {
  TitleBlock block;
  block.size = size;
  if (!title.empty()) block.lines = font.Wrap(title, size, width);
  return block;
}

double TitleBlock::height() const {
  return static_cast<double>(lines.size()) * size * Font::kLine;
}

void TitleBlock::Draw(Canvas& canvas, const Rect& cell, double center,
                      double bottom) const {
  double widest = 0;
  for (const std::string& line : lines) {
    widest = std::max(widest, canvas.font().Width(line, size));
  }
  const double x = std::max(std::min(center, cell.right() - widest / 2),
                            cell.x + widest / 2);
  double y = bottom - height() + size * Font::kAscent;
  for (const std::string& line : lines) {
    canvas.Text(line, {x, y}, {size, Align::kCenter});
    y += size * Font::kLine;
  }
}

void DrawAxisLabel(Canvas& canvas, absl::string_view text, Point at,
                   double size, double degrees, double room) {
  const std::string printable = Printable(text);
  const double width = canvas.font().Width(printable, size);
  // A little smaller before it is cut.
  if (width > room) size *= std::max(room / width, 0.75);
  TextStyle style{size, Align::kCenter};
  style.degrees = degrees;
  canvas.Text(canvas.font().Fit(printable, size, room), at, style);
}

}  // namespace plot_internal
}  // namespace septet
