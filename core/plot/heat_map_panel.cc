// SPDX-License-Identifier: Apache-2.0
// Matrices as colours, with a colour bar.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/io/quote.h"
#include "septet/core/plot/axis_impl.h"
#include "septet/core/plot/canvas_impl.h"
#include "septet/core/plot/color_map.h"
#include "septet/core/plot/csv.h"
#include "septet/core/plot/figure.h"
#include "septet/core/plot/font_impl.h"
#include "septet/core/plot/geometry_impl.h"
#include "septet/core/plot/panel_impl.h"
#include "septet/core/plot/series.h"
#include "septet/core/plot/ticks.h"

namespace septet {
namespace plot_internal {
namespace {

constexpr double kTickLength = 3;
constexpr double kGap = 3;
constexpr double kBarWidth = 9, kBarGap = 8;
constexpr Rgb kMissing = {0xd9, 0xd9, 0xd9};
// Maps of more cells are one image in the SVG too.
constexpr int64_t kMostRectangles = 2500;
// Letters in cells are at least so large.
constexpr double kLeastCellText = 3.5;
constexpr int64_t kMostCells = 4 << 20;
// An image of cairo's has at most so many pixels along a side.
constexpr int64_t kLongestSide = 32767;

struct Map {
  std::string title;
  Matrix colors;
  std::vector<double> values;      // for the CSV
  std::vector<std::string> texts;  // in the cells; may be empty
};

class HeatMapPanel : public Panel {
 public:
  HeatMapPanel(std::vector<Map> maps, HeatMapOptions options)
      : maps_(std::move(maps)), options_(std::move(options)) {
    const auto count = static_cast<int>(maps_.size());
    columns_ = options_.map_columns > 0
                   ? std::min(options_.map_columns, count)
                   : static_cast<int>(std::ceil(std::sqrt(count)));
    rows_ = (count + columns_ - 1) / columns_;
  }

  absl::Status Prepare();

  Size NaturalSize(const Font& font) const override {
    const double width = 72 * options_.width_inches;
    if (options_.height_inches > 0) return {width, 72 * options_.height_inches};
    double height = width;
    for (int i = 0; i < 3; ++i) {
      const Margins margins = Measure(font, {width, height}, "");
      const double map_width = std::max(
          (width - margins.left - margins.right - (columns_ - 1) * GapX()) /
              columns_,
          10.0);
      const double map_height = map_width * Aspect();
      height = margins.top + margins.bottom + rows_ * map_height +
               (rows_ - 1) * GapY();
    }
    return {width, height};
  }

  Margins Measure(const Font& font, Size cell,
                  absl::string_view letter) const override {
    Margins margins = {40, 50, 20, 30};
    for (int i = 0; i < 3; ++i) {
      margins =
          MakeLayout(font, {0, 0, cell.width, cell.height}, margins, letter)
              .needed;
    }
    return margins;
  }

  void Draw(Canvas& canvas, const Rect& cell, const Margins& margins,
            absl::string_view letter) const override;
  void AppendCsv(absl::string_view panel, std::string* csv) const override;

 private:
  // Labels along one side.
  struct Side {
    Axis axis;
    std::vector<double> values;
    std::vector<TickLabel> labels;
    TickLabel offset;
    double degrees = 0, size = 0;
    double extent = 0;  // away from the frame
    double overhang = 0;
  };
  struct Layout {
    Rect block;  // all maps
    Size map;    // each of them
    Side x, y;
    Axis color;
    Ticks color_ticks;
    double color_width = 0;  // of the widest label
    TitleBlock title;
    Margins needed;
  };

  int64_t matrix_rows() const { return maps_[0].colors.rows; }
  int64_t matrix_columns() const { return maps_[0].colors.columns; }
  double Aspect() const {
    if (!options_.square_cells) return 0.75;
    const double aspect = static_cast<double>(matrix_rows()) /
                          static_cast<double>(matrix_columns());
    return std::min(std::max(aspect, 0.25), 4.0);
  }
  bool HasTitles() const {
    for (const Map& map : maps_) {
      if (!map.title.empty()) return true;
    }
    return false;
  }
  double MapTitle() const {
    return HasTitles() ? 1.25 * options_.font_points + kGap : 0;
  }
  double GapX() const { return 9; }
  double GapY() const { return 9 + MapTitle(); }

  double Position(double value) const {
    if (std::isinf(value)) return value > 0 ? 1 : 0;
    return color_.Fraction(value);
  }
  Rgb ColorOf(double value) const {
    return std::isnan(value) ? kMissing
                             : MapColor(options_.color_map, Position(value));
  }

  Side MakeSide(const Font& font, const AxisOptions& axis, int64_t count,
                double length, bool along_x, double room) const;
  Layout MakeLayout(const Font& font, const Rect& cell, const Margins& margins,
                    absl::string_view letter) const;
  void DrawCells(Canvas& canvas, const Rect& frame, const Map& map) const;
  void DrawTexts(Canvas& canvas, const Rect& frame, const Map& map,
                 double size) const;
  double CellTextSize(const Font& font, Size map) const;
  void DrawSides(Canvas& canvas, const Rect& frame, const Layout& layout,
                 bool left, bool bottom) const;
  void DrawColorBar(Canvas& canvas, const Layout& layout) const;

  std::vector<Map> maps_;
  HeatMapOptions options_;
  int columns_ = 1, rows_ = 1;
  Axis color_;
  bool below_ = false, above_ = false;  // values beyond the ends
};

absl::Status HeatMapPanel::Prepare() {
  Extent extent;
  for (const Map& map : maps_) {
    for (const double v : map.colors.values) {
      if (std::isfinite(v)) extent.Add(v);
    }
  }
  AxisOptions range;
  range.log = options_.log;
  range.min = options_.min;
  range.max = options_.max;
  if (options_.color_map == ColorMap::kDiverging && !options_.log) {
    // The middle of the map is 0.
    if (range.min.has_value() && !range.max.has_value())
      range.max = -*range.min;
    if (range.max.has_value() && !range.min.has_value())
      range.min = -*range.max;
    if (!extent.empty()) {
      const double size =
          std::max(std::fabs(extent.low), std::fabs(extent.high));
      extent.low = -size;
      extent.high = size;
    }
  }
  SEPTET_ASSIGN_OR_RETURN(color_,
                          MakeAxis(range, extent, AxisMargin{0, 0}, "colour"));
  for (const Map& map : maps_) {
    for (const double v : map.colors.values) {
      below_ = below_ || v < color_.low;
      above_ = above_ || v > color_.high;
    }
  }
  return absl::OkStatus();
}

HeatMapPanel::Side HeatMapPanel::MakeSide(const Font& font,
                                          const AxisOptions& options,
                                          int64_t count, double length,
                                          bool along_x, double room) const {
  Side side;
  side.size = TickSize(options_);
  side.axis.low = -0.5;
  side.axis.high = static_cast<double>(count) - 0.5;
  if (!options.categories.empty()) {
    const CategoryTicks names = FitCategories(
        options.categories, side.axis, font, side.size, length, along_x, room);
    side.values = names.values;
    for (const std::string& name : names.labels) {
      side.labels.push_back({name, "", ""});
    }
    side.degrees = names.degrees;
    side.size = names.size;
    side.extent = names.extent;
    side.overhang = names.overhang;
    return side;
  }
  bool whole = true;
  if (options.min.has_value()) {
    side.axis = {options.log, *options.min, *options.max};
    whole = false;
  }
  const Ticks ticks =
      FitTicks(side.axis, font, side.size, length, along_x, whole);
  side.values = ticks.values;
  side.labels = ticks.labels;
  side.offset = ticks.offset;
  side.extent = along_x ? 1.05 * side.size : 0;
  for (size_t i = 0; i < ticks.values.size(); ++i) {
    const double width = font.Width(ticks.labels[i], side.size);
    if (!along_x) {
      side.extent = std::max(side.extent, width);
    } else {
      side.overhang =
          std::max(side.overhang,
                   width / 2 - length * side.axis.Fraction(ticks.values[i]));
    }
  }
  return side;
}

HeatMapPanel::Layout HeatMapPanel::MakeLayout(const Font& font,
                                              const Rect& cell,
                                              const Margins& margins,
                                              absl::string_view letter) const {
  Layout layout;
  const double size = TickSize(options_), label = options_.font_points;
  const double width =
      std::max(cell.width - margins.left - margins.right, 10.0);
  const double height =
      std::max(cell.height - margins.top - margins.bottom, 10.0);
  layout.map.width =
      std::max((width - (columns_ - 1) * GapX()) / columns_, 2.0);
  layout.map.height = std::max((height - (rows_ - 1) * GapY()) / rows_, 2.0);
  if (options_.square_cells) {
    layout.map.width = std::min(layout.map.width, layout.map.height / Aspect());
    layout.map.height = layout.map.width * Aspect();
  }
  layout.block.width = columns_ * layout.map.width + (columns_ - 1) * GapX();
  layout.block.height = rows_ * layout.map.height + (rows_ - 1) * GapY();
  layout.block.x = cell.x + margins.left + (width - layout.block.width) / 2;
  layout.block.y = cell.y + margins.top + (height - layout.block.height) / 2;

  layout.x = MakeSide(font, options_.x, matrix_columns(), layout.map.width,
                      true, 0.35 * cell.height);
  layout.y = MakeSide(font, options_.y, matrix_rows(), layout.map.height, false,
                      0.35 * cell.width);
  layout.color = color_;
  std::string title = options_.title;
  if (!letter.empty()) {
    title =
        title.empty() ? std::string(letter) : absl::StrCat(letter, " ", title);
  }
  layout.title =
      MakeTitle(font, title, TitleSize(options_), cell.width - 2 * kGap);

  Margins& need = layout.needed;
  need.left = 2 * kGap + kTickLength + layout.y.extent;
  if (!options_.y.label.empty()) need.left += 1.05 * label + kGap;
  need.left = std::max(need.left, layout.x.overhang + kGap);
  need.bottom = 2 * kGap + kTickLength + layout.x.extent;
  if (!options_.x.label.empty() || !layout.x.offset.empty()) {
    need.bottom += 1.15 * label + 1.5;
  }
  need.top = 2 * kGap + layout.title.height() + MapTitle() +
             (layout.title.lines.empty() ? 0 : kGap);
  need.right = 2 * kGap + 0.5 * size;
  if (!layout.y.offset.empty()) need.top += 1.2 * size;
  if (options_.color_bar) {
    layout.color_ticks =
        FitTicks(color_, font, size, layout.block.height, false);
    for (const TickLabel& text : layout.color_ticks.labels) {
      layout.color_width = std::max(layout.color_width, font.Width(text, size));
    }
    need.right =
        kBarGap + kBarWidth + kTickLength + 2 * kGap + layout.color_width;
    if (!options_.color_label.empty()) need.right += 1.15 * label + kGap;
    if (!layout.color_ticks.offset.empty()) {
      need.top = std::max(need.top,
                          2 * kGap + layout.title.height() + 1.5 * size + kGap);
      need.right = std::max(
          need.right,
          kBarGap + font.Width(layout.color_ticks.offset, size) + kGap);
    }
    if (above_) need.top += kGap;
  }
  return layout;
}

void HeatMapPanel::DrawCells(Canvas& canvas, const Rect& frame,
                             const Map& map) const {
  const int64_t rows = map.colors.rows, columns = map.colors.columns;
  const auto value = [&](int64_t row, int64_t column) {
    const int64_t r = options_.row_zero_on_top ? row : rows - 1 - row;
    return map.colors.values[r * columns + column];
  };
  if (rows * columns > kMostRectangles) {
    Raster raster;
    raster.width = columns;
    raster.height = rows;
    raster.pixels.reserve(rows * columns);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c) {
        raster.pixels.push_back(ColorOf(value(r, c)));
      }
    }
    canvas.Image(frame, raster);
    return;
  }
  const double width = frame.width / static_cast<double>(columns);
  const double height = frame.height / static_cast<double>(rows);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      Rect box = {frame.x + width * static_cast<double>(c),
                  frame.y + height * static_cast<double>(r), width, height};
      // A little below the next cells, which are drawn later: no seams.
      if (c + 1 < columns) box.width += std::min(0.3, width);
      if (r + 1 < rows) box.height += std::min(0.3, height);
      canvas.Fill(Rectangle(box), {ColorOf(value(r, c)), 1});
    }
  }
}

double HeatMapPanel::CellTextSize(const Font& font, Size map) const {
  const double width = map.width / static_cast<double>(matrix_columns());
  const double height = map.height / static_cast<double>(matrix_rows());
  double size = std::min(TickSize(options_), 0.6 * height);
  for (const Map& m : maps_) {
    for (const std::string& text : m.texts) {
      const double extent = font.Width(text, 1);
      if (extent > 0) size = std::min(size, 0.88 * width / extent);
    }
  }
  return size;
}

void HeatMapPanel::DrawTexts(Canvas& canvas, const Rect& frame, const Map& map,
                             double size) const {
  if (map.texts.empty() || size < kLeastCellText) return;
  const int64_t rows = map.colors.rows, columns = map.colors.columns;
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t place = options_.row_zero_on_top ? r : rows - 1 - r;
    for (int64_t c = 0; c < columns; ++c) {
      const int64_t i = r * columns + c;
      TextStyle style{size, Align::kCenter, Vertical::kMiddle};
      style.color =
          Lightness(ColorOf(map.colors.values[i])) < 55 ? kWhite : kInk;
      canvas.Text(map.texts[i],
                  {frame.x + frame.width * (static_cast<double>(c) + 0.5) /
                                 static_cast<double>(columns),
                   frame.y + frame.height * (static_cast<double>(place) + 0.5) /
                                 static_cast<double>(rows)},
                  style);
    }
  }
}

void HeatMapPanel::DrawSides(Canvas& canvas, const Rect& frame,
                             const Layout& layout, bool left,
                             bool bottom) const {
  const Stroke stroke = {{kFrame, 1}, 0.7};
  const double label = options_.font_points;
  if (bottom) {
    const Side& side = layout.x;
    const double top = frame.bottom() + kTickLength + kGap;
    for (size_t i = 0; i < side.values.size(); ++i) {
      const double x =
          frame.x + frame.width * side.axis.Fraction(side.values[i]);
      canvas.Line(
          Polyline({{x, frame.bottom()}, {x, frame.bottom() + kTickLength}}),
          stroke);
      TextStyle style{side.size, Align::kCenter};
      if (side.degrees == 0) {
        canvas.Text(side.labels[i], {x, top + Font::kAscent * side.size},
                    style);
        continue;
      }
      style.align = Align::kRight;
      style.vertical = Vertical::kMiddle;
      style.degrees = side.degrees;
      canvas.Text(side.labels[i],
                  {side.degrees == 90 ? x : x + 0.1 * side.size,
                   side.degrees == 90 ? top - 0.5 : top + 0.2 * side.size},
                  style);
    }
    const double baseline = top + side.extent + 1.5 + Font::kAscent * label;
    if (!side.offset.empty()) {
      canvas.Text(side.offset, {frame.right(), baseline},
                  {side.size, Align::kRight});
    }
    if (!options_.x.label.empty()) {
      DrawAxisLabel(canvas, options_.x.label,
                    {frame.x + frame.width / 2, baseline}, label, 0,
                    columns_ > 1 ? frame.width + GapX() - 2 : frame.width + 30);
    }
  }
  if (left) {
    const Side& side = layout.y;
    const double right = frame.x - kTickLength - kGap;
    for (size_t i = 0; i < side.values.size(); ++i) {
      const double fraction = side.axis.Fraction(side.values[i]);
      const double y = options_.row_zero_on_top
                           ? frame.y + frame.height * fraction
                           : frame.bottom() - frame.height * fraction;
      canvas.Line(Polyline({{frame.x - kTickLength, y}, {frame.x, y}}), stroke);
      canvas.Text(side.labels[i], {right, y},
                  {side.size, Align::kRight, Vertical::kMiddle});
    }
    if (!side.offset.empty()) {
      canvas.Text(side.offset, {frame.x, frame.y - kGap}, {side.size});
    }
    if (!options_.y.label.empty()) {
      DrawAxisLabel(canvas, options_.y.label,
                    {right - side.extent - kGap - 0.2 * label,
                     frame.y + frame.height / 2},
                    label, 90,
                    rows_ > 1 ? frame.height + GapY() - 2 : frame.height + 30);
    }
  }
}

void HeatMapPanel::DrawColorBar(Canvas& canvas, const Layout& layout) const {
  canvas.BeginGroup("color-bar");
  const double size = TickSize(options_);
  const Rect bar = {layout.block.right() + kBarGap, layout.block.y, kBarWidth,
                    layout.block.height};
  // As a picture of one column, from the top.
  constexpr int kSteps = 256;
  Raster raster;
  raster.width = 1;
  raster.height = kSteps;
  for (int i = 0; i < kSteps; ++i) {
    raster.pixels.push_back(
        MapColor(options_.color_map, (kSteps - i - 0.5) / kSteps));
  }
  canvas.Image(bar, raster);
  std::vector<Point> outline = {{bar.x, bar.bottom()}, {bar.x, bar.y}};
  constexpr double kArrow = 6;
  const double middle = bar.x + bar.width / 2;
  if (above_) {
    canvas.Fill(
        Polygon(
            {{bar.x, bar.y}, {middle, bar.y - kArrow}, {bar.right(), bar.y}}),
        {MapColor(options_.color_map, 1), 1});
    outline.push_back({middle, bar.y - kArrow});
  }
  outline.push_back({bar.right(), bar.y});
  outline.push_back({bar.right(), bar.bottom()});
  if (below_) {
    canvas.Fill(Polygon({{bar.x, bar.bottom()},
                         {middle, bar.bottom() + kArrow},
                         {bar.right(), bar.bottom()}}),
                {MapColor(options_.color_map, 0), 1});
    outline.push_back({middle, bar.bottom() + kArrow});
  }
  const Stroke stroke = {{kFrame, 1}, 0.5};
  canvas.Line(Polygon(outline), stroke);
  const double left = bar.right() + kTickLength;
  const Ticks& ticks = layout.color_ticks;
  for (const double v : ticks.minor) {
    const double y = bar.bottom() - bar.height * color_.Fraction(v);
    canvas.Line(Polyline({{bar.right(), y}, {bar.right() + 1.7, y}}), stroke);
  }
  for (size_t i = 0; i < ticks.values.size(); ++i) {
    const double y =
        bar.bottom() - bar.height * color_.Fraction(ticks.values[i]);
    canvas.Line(Polyline({{bar.right(), y}, {left, y}}), stroke);
    canvas.Text(ticks.labels[i], {left + 0.7 * kGap, y},
                {size, Align::kLeft, Vertical::kMiddle});
  }
  if (!ticks.offset.empty()) {
    canvas.Text(ticks.offset, {bar.x, bar.y - kGap - (above_ ? kArrow : 0)},
                {size});
  }
  if (!options_.color_label.empty()) {
    DrawAxisLabel(canvas, options_.color_label,
                  {left + kGap + layout.color_width + kGap +
                       Font::kAscent * options_.font_points,
                   bar.y + bar.height / 2},
                  options_.font_points, 90, bar.height + 30);
  }
  canvas.EndGroup();
}

void HeatMapPanel::Draw(Canvas& canvas, const Rect& cell,
                        const Margins& margins,
                        absl::string_view letter) const {
  const Layout layout = MakeLayout(canvas.font(), cell, margins, letter);
  const double text_size = CellTextSize(canvas.font(), layout.map);
  for (size_t i = 0; i < maps_.size(); ++i) {
    const int row = static_cast<int>(i) / columns_;
    const int column = static_cast<int>(i) % columns_;
    const Rect frame = {layout.block.x + column * (layout.map.width + GapX()),
                        layout.block.y + row * (layout.map.height + GapY()),
                        layout.map.width, layout.map.height};
    canvas.BeginGroup(absl::StrCat("map-", i));
    DrawCells(canvas, frame, maps_[i]);
    DrawTexts(canvas, frame, maps_[i], text_size);
    canvas.Line(Rectangle(frame), {{kFrame, 1}, 0.6});
    // The lowest of its column, where the last row is not full.
    const bool bottom = i + columns_ >= maps_.size();
    DrawSides(canvas, frame, layout, column == 0, bottom);
    if (!maps_[i].title.empty()) {
      const double size = 1.02 * options_.font_points;
      canvas.Text(canvas.font().Fit(Printable(maps_[i].title), size,
                                    frame.width + GapX() - 2),
                  {frame.x + frame.width / 2, frame.y - kGap},
                  {size, Align::kCenter});
    }
    canvas.EndGroup();
  }
  if (options_.color_bar) DrawColorBar(canvas, layout);
  double bottom = layout.block.y - kGap - MapTitle();
  if (!layout.y.offset.empty() || !layout.color_ticks.offset.empty()) {
    bottom = std::min(bottom, layout.block.y - 1.5 * TickSize(options_));
  }
  if (above_ && options_.color_bar) bottom -= kGap;
  layout.title.Draw(canvas, {cell.x + kGap, cell.y, cell.width - 2 * kGap, 0},
                    layout.block.x + layout.block.width / 2, bottom);
}

void HeatMapPanel::AppendCsv(absl::string_view panel, std::string* csv) const {
  const auto name = [](const AxisOptions& axis, int64_t i) {
    return axis.categories.empty() ? absl::StrCat(i) : axis.categories[i];
  };
  for (const Map& map : maps_) {
    for (int64_t r = 0; r < map.colors.rows; ++r) {
      for (int64_t c = 0; c < map.colors.columns; ++c) {
        *csv += CsvLine({PanelName(panel), "heat map", map.title,
                         name(options_.x, c), name(options_.y, r), "", "",
                         CsvNumber(map.values[r * map.colors.columns + c])});
      }
    }
  }
}

absl::Status CheckMatrix(const Matrix& m, bool log) {
  if (m.rows < 1 || m.columns < 1 || m.rows > kLongestSide ||
      m.columns > kLongestSide || m.rows * m.columns > kMostCells) {
    return absl::InvalidArgumentError(
        absl::StrCat("the matrix is ", m.rows, " x ", m.columns,
                     ", want at least 1 x 1 and at most ", kMostCells,
                     " cells and ", kLongestSide, " along a side"));
  }
  if (static_cast<int64_t>(m.values.size()) != m.rows * m.columns) {
    return absl::InvalidArgumentError(
        absl::StrCat("the matrix is ", m.rows, " x ", m.columns, " and has ",
                     m.values.size(), " values, want ", m.rows * m.columns));
  }
  for (size_t i = 0; i < m.values.size(); ++i) {
    if (!std::isfinite(m.values[i])) continue;
    SEPTET_RETURN_IF_ERROR(CheckAxisValue(
        m.values[i], log,
        absl::StrCat("the value in row ", static_cast<int64_t>(i) / m.columns,
                     " and column ", static_cast<int64_t>(i) % m.columns)));
  }
  return absl::OkStatus();
}

absl::Status CheckSide(const AxisOptions& axis, int64_t count,
                       absl::string_view name, absl::string_view what) {
  if (!axis.categories.empty() &&
      static_cast<int64_t>(axis.categories.size()) != count) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ".categories has ", axis.categories.size(),
                     " names, want ", count, ", as many as ", what));
  }
  if (!axis.categories.empty() &&
      (axis.min.has_value() || axis.max.has_value() || axis.log)) {
    return absl::InvalidArgumentError(absl::StrCat(
        name,
        ": categories are given with min, max or log, want one or the "
        "other"));
  }
  if (axis.min.has_value() != axis.max.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": only ", axis.min.has_value() ? "min" : "max",
                     " is given, want both ends of the cells or neither"));
  }
  if (axis.log && !axis.min.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, ".log is true, want min and max with it: indices begin at 0"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const Panel>> Make(
    std::vector<Map> maps, const HeatMapOptions& options) {
  const std::string figure = FigureName(options.title);
  SEPTET_RETURN_IF_ERROR(CheckOptions(options)) << figure;
  SEPTET_RETURN_IF_ERROR(CheckNoLines(options)) << figure;
  SEPTET_RETURN_IF_ERROR(CheckText(options.color_label, "color_label"))
      << figure;
  if (maps.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(figure, ": no matrix, want at least 1"));
  }
  if (options.map_columns < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        figure, ": map_columns is ", options.map_columns, ", want >= 0"));
  }
  if (options.cell_digits < -1 || options.cell_digits > 17) {
    return absl::InvalidArgumentError(absl::StrCat(
        figure, ": cell_digits is ", options.cell_digits, ", want -1 to 17"));
  }
  for (const auto& [limit, name] :
       {std::pair(options.min, "min"), std::pair(options.max, "max")}) {
    if (!limit.has_value()) continue;
    SEPTET_RETURN_IF_ERROR(CheckAxisValue(*limit, options.log, name)) << figure;
  }
  const Matrix& first = maps[0].colors;
  for (size_t i = 0; i < maps.size(); ++i) {
    std::string name = absl::StrCat(figure, ": map ", i);
    if (!maps[i].title.empty()) {
      absl::StrAppend(&name, " ", QuoteName(maps[i].title));
    }
    SEPTET_RETURN_IF_ERROR(CheckText(maps[i].title, "title")) << name;
    const Matrix& m = maps[i].colors;
    SEPTET_RETURN_IF_ERROR(CheckMatrix(m, options.log)) << name;
    if (m.rows != first.rows || m.columns != first.columns) {
      return absl::InvalidArgumentError(absl::StrCat(
          name, ": the matrix is ", m.rows, " x ", m.columns, ", want ",
          first.rows, " x ", first.columns, " as the first"));
    }
  }
  SEPTET_RETURN_IF_ERROR(CheckSide(options.x, first.columns, "x", "columns"))
      << figure;
  SEPTET_RETURN_IF_ERROR(CheckSide(options.y, first.rows, "y", "rows"))
      << figure;
  auto panel = std::make_shared<HeatMapPanel>(std::move(maps), options);
  SEPTET_RETURN_IF_ERROR(panel->Prepare()) << figure;
  return std::shared_ptr<const Panel>(std::move(panel));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Panel>> MakeHeatMaps(
    std::vector<Matrix> matrices, std::vector<std::string> titles,
    const HeatMapOptions& options) {
  if (!titles.empty() && titles.size() != matrices.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        FigureName(options.title), ": ", titles.size(), " titles, want ",
        matrices.size(), ", one a matrix, or none"));
  }
  std::vector<Map> maps;
  for (size_t i = 0; i < matrices.size(); ++i) {
    Map map;
    if (!titles.empty()) map.title = std::move(titles[i]);
    map.values = matrices[i].values;
    map.colors = std::move(matrices[i]);
    if (options.cell_digits >= 0 && options.cell_digits <= 17) {
      for (const double v : map.values) {
        // A number too long for any cell is written with an exponent.
        map.texts.push_back(std::fabs(v) < 1e15
                                ? FixedNumber(v, options.cell_digits)
                                : ShortNumber(v, 3));
      }
    }
    maps.push_back(std::move(map));
  }
  return Make(std::move(maps), options);
}

absl::StatusOr<std::shared_ptr<const Panel>> MakeConfusionMatrix(
    const Matrix& counts, const HeatMapOptions& options) {
  Map map;
  map.colors = counts;
  map.values = counts.values;
  for (int64_t r = 0; r < counts.rows; ++r) {
    double sum = 0;
    const auto row = map.colors.values.begin() + r * counts.columns;
    for (int64_t c = 0; c < counts.columns; ++c) sum += row[c];
    for (int64_t c = 0; c < counts.columns; ++c) {
      map.texts.push_back(FixedNumber(row[c], 0));
      if (sum > 0) row[c] /= sum;
    }
  }
  std::vector<Map> maps;
  maps.push_back(std::move(map));
  return Make(std::move(maps), options);
}

}  // namespace plot_internal
}  // namespace septet
