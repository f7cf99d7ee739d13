// SPDX-License-Identifier: Apache-2.0
// Lines, scatter plots, bars and histograms: what has two axes.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <set>
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

enum class Kind { kLines, kScatter, kBars, kHistogram };

const char* KindName(Kind kind) {
  switch (kind) {
    case Kind::kLines:
      return "lines";
    case Kind::kScatter:
      return "scatter";
    case Kind::kBars:
      return "bars";
    case Kind::kHistogram:
      break;
  }
  return "histogram";
}

constexpr double kLineWidth = 1.3;
constexpr double kTickLength = 3;
constexpr double kGap = 3;         // between neighbouring pieces of text
constexpr double kLabelGap = 1.5;  // between ticks and an axis' label
constexpr double kBandAlpha = 0.2;
constexpr double kBarWidth = 0.8;  // of a group, of the distance of groups
// Lines of at most so many points have markers.
constexpr size_t kMostMarkers = 25;

Path MarkerShape(int index, double r) {
  switch (index % 6) {
    case 0:
      return Circle({0, 0}, r);
    case 1:
      return Rectangle({-0.88 * r, -0.88 * r, 1.76 * r, 1.76 * r});
    case 2:
      return Polygon({{0, -1.2 * r}, {1.1 * r, 0.8 * r}, {-1.1 * r, 0.8 * r}});
    case 3:
      return Polygon(
          {{0, -1.3 * r}, {1.1 * r, 0}, {0, 1.3 * r}, {-1.1 * r, 0}});
    case 4:
      return Polygon({{0, 1.2 * r}, {1.1 * r, -0.8 * r}, {-1.1 * r, -0.8 * r}});
    default: {
      const double a = 0.42 * r, b = 1.15 * r;
      return Polygon({{-a, -b},
                      {a, -b},
                      {a, -a},
                      {b, -a},
                      {b, a},
                      {a, a},
                      {a, b},
                      {-a, b},
                      {-a, a},
                      {-b, a},
                      {-b, -a},
                      {-a, -a}});
    }
  }
}

std::vector<double> Dash(LineStyle style) {
  switch (style) {
    case LineStyle::kSolid:
      return {};
    case LineStyle::kDashed:
      return {4.5, 2};
    case LineStyle::kDotted:
      return {1.3, 1.5};
    case LineStyle::kDashDot:
      break;
  }
  return {5, 1.7, 1.2, 1.7};
}

// Which small squares of a frame something is drawn in: bounded, however much
// is drawn.
class Occupancy {
 public:
  explicit Occupancy(const Rect& frame)
      : frame_(frame),
        columns_(1 + static_cast<int>(frame.width / kCell)),
        rows_(1 + static_cast<int>(frame.height / kCell)),
        taken_(static_cast<size_t>(columns_) * rows_) {}

  void Add(Point p) {
    if (frame_.Contains(p)) taken_[Row(p.y) * columns_ + Column(p.x)] = true;
  }
  // The line from a to b, both in the frame.
  void AddSegment(Point a, Point b) {
    const double length = std::hypot(b.x - a.x, b.y - a.y);
    const int pieces = 1 + static_cast<int>(2 * length / kCell);
    for (int i = 0; i <= pieces; ++i) {
      const double t = static_cast<double>(i) / pieces;
      Add({a.x + t * (b.x - a.x), a.y + t * (b.y - a.y)});
    }
  }
  void AddBox(const Rect& box) {
    for (int r = Row(box.y); r <= Row(box.bottom()); ++r) {
      for (int c = Column(box.x); c <= Column(box.right()); ++c) {
        taken_[r * columns_ + c] = true;
      }
    }
  }
  // Squares of `box` that are taken.
  int Count(const Rect& box) const {
    int count = 0;
    for (int r = Row(box.y); r <= Row(box.bottom()); ++r) {
      for (int c = Column(box.x); c <= Column(box.right()); ++c) {
        count += taken_[r * columns_ + c];
      }
    }
    return count;
  }

 private:
  static constexpr double kCell = 2;  // points

  int Row(double y) const {
    return std::min(std::max(static_cast<int>((y - frame_.y) / kCell), 0),
                    rows_ - 1);
  }
  int Column(double x) const {
    return std::min(std::max(static_cast<int>((x - frame_.x) / kCell), 0),
                    columns_ - 1);
  }

  Rect frame_;
  int columns_, rows_;
  std::vector<bool> taken_;
};

// As many points as a line can show: of those in a quarter of a point of x, the
// first, least, greatest and last.
std::vector<Point> Simplify(const std::vector<Point>& points) {
  constexpr double kBucket = 0.25;
  if (points.size() < 2000 ||
      !std::is_sorted(points.begin(), points.end(),
                      [](Point a, Point b) { return a.x < b.x; })) {
    return points;
  }
  std::vector<Point> result;
  for (size_t i = 0; i < points.size();) {
    const double bucket = std::floor(points[i].x / kBucket);
    size_t end = i, low = i, high = i;
    for (; end < points.size() && std::floor(points[end].x / kBucket) == bucket;
         ++end) {
      if (points[end].y < points[low].y) low = end;
      if (points[end].y > points[high].y) high = end;
    }
    std::vector<size_t> kept = {i, low, high, end - 1};
    std::sort(kept.begin(), kept.end());
    kept.erase(std::unique(kept.begin(), kept.end()), kept.end());
    for (const size_t k : kept) result.push_back(points[k]);
    i = end;
  }
  return result;
}

struct LegendEntry {
  std::string label;
  size_t series;
};

struct LegendBlock {
  std::vector<LegendEntry> entries;
  int columns = 1;
  double size = 0;          // of its text
  double column_width = 0;  // swatch, text and gap
  double width = 0, height = 0;

  int rows() const {
    return (static_cast<int>(entries.size()) + columns - 1) / columns;
  }
};

enum class Place { kNone, kInside, kRight, kBelow };

struct Layout {
  Rect frame;
  Axis x, y;
  Ticks x_ticks, y_ticks;
  CategoryTicks x_names, y_names;
  TitleBlock title;
  Margins needed;
};

class AxesPanel : public Panel {
 public:
  AxesPanel(Kind kind, std::vector<Series> series, FigureOptions options)
      : kind_(kind), series_(std::move(series)), options_(std::move(options)) {}

  // Sets the axes. Errors: InvalidArgument.
  absl::Status Prepare();

  void set_bar_values(bool values) { bar_values_ = values; }
  void set_bins(std::vector<double> edges) { edges_ = std::move(edges); }

  Size NaturalSize(const Font& font) const override {
    const double width = 72 * options_.width_inches;
    if (options_.height_inches > 0) return {width, 72 * options_.height_inches};
    // About the golden ratio with the usual margins; what names that lean and a
    // legend below need comes on top.
    const double height = 0.68 * width;
    const double usual = 4.2 * options_.font_points;
    const double bottom = Arrange(font, {width, height}, "").margins.bottom;
    return {width, height + std::max(bottom - usual, 0.0)};
  }

  Margins Measure(const Font& font, Size cell,
                  absl::string_view letter) const override {
    return Arrange(font, cell, letter).margins;
  }

  void Draw(Canvas& canvas, const Rect& cell, const Margins& margins,
            absl::string_view letter) const override;
  void AppendCsv(absl::string_view panel, std::string* csv) const override;

 private:
  struct Arrangement {
    Margins margins;
    Place place = Place::kNone;
    LegendBlock legend;
  };

  Arrangement Arrange(const Font& font, Size cell,
                      absl::string_view letter) const;
  Layout MakeLayout(const Font& font, const Rect& cell, const Margins& margins,
                    absl::string_view letter) const;
  LegendBlock MakeLegend(const Font& font, double widest, double tallest,
                         bool below) const;
  // The best place in the frame, and how much of the data it would cover.
  std::pair<Point, int> BestPlace(const Layout& layout,
                                  const LegendBlock& legend) const;
  // What is drawn, with the reference lines or without.
  Occupancy Obstacles(const Layout& layout, bool references) const;

  Point At(const Layout& layout, double x, double y) const {
    return {layout.frame.x + layout.frame.width * layout.x.Fraction(x),
            layout.frame.bottom() - layout.frame.height * layout.y.Fraction(y)};
  }
  // What a band or bar ends at where its value is not on a logarithmic axis.
  double Grounded(double value) const {
    return options_.y.log && !(value > 0) ? y_.low : value;
  }
  double Base() const { return options_.y.log ? y_.low : 0; }

  int ColorIndex(size_t i) const {
    return series_[i].color.value_or(static_cast<int>(i));
  }
  Rgb ColorOf(size_t i) const { return PaletteColor(ColorIndex(i)); }
  LineStyle StyleOf(size_t i) const {
    if (series_[i].line.has_value()) return *series_[i].line;
    return static_cast<LineStyle>(ColorIndex(i) / kPaletteColors % 4);
  }
  bool HasMarkers(size_t i) const {
    return kind_ == Kind::kScatter || series_[i].y.size() <= kMostMarkers;
  }
  double MarkerSize(size_t i) const {
    if (kind_ == Kind::kLines) return 1.9;
    return series_[i].y.size() <= 200    ? 2.2
           : series_[i].y.size() <= 2000 ? 1.6
                                         : 1.1;
  }

  // The parts of a series without gaps, on paper.
  std::vector<std::vector<Point>> Runs(const Layout& layout, size_t i) const;
  std::vector<std::vector<Point>> Bands(const Layout& layout, size_t i) const;
  std::vector<Rect> Boxes(const Layout& layout, size_t i) const;
  Path BinOutline(const Layout& layout, size_t i) const;

  void DrawAxes(Canvas& canvas, const Rect& cell, const Layout& layout) const;
  void DrawGridLines(Canvas& canvas, const Layout& layout) const;
  void DrawLines(Canvas& canvas, const Layout& layout, size_t i) const;
  void DrawMarkers(Canvas& canvas, const Layout& layout, size_t i) const;
  void DrawErrorBars(Canvas& canvas, const Layout& layout, size_t i,
                     double shift) const;
  // Behind the point of all values written at bars, for three significant ones
  // of each; -1: some need an exponent.
  int BarDigits() const;
  void DrawBars(Canvas& canvas, const Layout& layout, size_t i) const;
  void DrawReferenceLines(Canvas& canvas, const Layout& layout) const;
  void DrawLegend(Canvas& canvas, const LegendBlock& legend, Point at,
                  bool box) const;

  Kind kind_;
  std::vector<Series> series_;
  FigureOptions options_;
  bool bar_values_ = false;
  std::vector<double> edges_;  // of a histogram
  Axis x_, y_;
};

// The distance of the centre of bar `i` of `count` from its group's.
double BarShift(size_t i, size_t count) {
  const double n = static_cast<double>(count);
  return kBarWidth * ((static_cast<double>(i) + 0.5) / n - 0.5);
}

absl::Status AxesPanel::Prepare() {
  Extent xs, ys;
  const bool y_log = options_.y.log;
  for (const Series& s : series_) {
    for (size_t k = 0; k < s.y.size(); ++k) {
      if (!std::isfinite(s.x[k]) || !std::isfinite(s.y[k])) continue;
      xs.Add(s.x[k]);
      ys.Add(s.y[k]);
      if (s.low.empty()) continue;
      for (const double end : {s.low[k], s.high[k]}) {
        if (std::isfinite(end) && (end > 0 || !y_log)) ys.Add(end);
      }
    }
  }
  for (const ReferenceLine& line : options_.x_lines) xs.Add(line.value);
  for (const ReferenceLine& line : options_.y_lines) ys.Add(line.value);
  AxisMargin x_margin, y_margin;
  y_margin.low = y_margin.high = 0.05;
  if (kind_ == Kind::kLines && options_.x.categories.empty()) {
    x_margin.low = x_margin.high = 0.02;
  }
  if (kind_ == Kind::kBars || kind_ == Kind::kHistogram) {
    if (y_log) {
      y_margin.low = 0.1;
    } else if (!ys.empty()) {
      // Bars stand on 0.
      if (ys.low >= 0) ys.Add(0), y_margin.low = 0;
      if (ys.high <= 0 && ys.low < 0) ys.Add(0), y_margin.high = 0;
      if (ys.low == 0 && ys.high == 0) ys.Add(1);
    }
    if (bar_values_) {
      if (y_margin.low > 0) y_margin.low = 0.1;
      if (y_margin.high > 0) y_margin.high = 0.1;
    }
  }
  if (kind_ == Kind::kBars) {
    xs = Extent();
    xs.Add(-0.6);
    xs.Add(static_cast<double>(series_[0].y.size()) - 0.4);
    x_margin = {0, 0};
  }
  if (kind_ == Kind::kHistogram) {
    xs = Extent();
    xs.Add(edges_.front());
    xs.Add(edges_.back());
    x_margin.low = x_margin.high = 0.02;
  }
  SEPTET_ASSIGN_OR_RETURN(x_, MakeAxis(options_.x, xs, x_margin, "x"));
  SEPTET_ASSIGN_OR_RETURN(y_, MakeAxis(options_.y, ys, y_margin, "y"));
  return absl::OkStatus();
}

LegendBlock AxesPanel::MakeLegend(const Font& font, double widest,
                                  double tallest, bool below) const {
  LegendBlock legend;
  legend.size = TickSize(options_);
  const double swatch = 2.6 * legend.size, line = 1.3 * legend.size;
  double text = 0;
  for (size_t i = 0; i < series_.size(); ++i) {
    if (series_[i].label.empty()) continue;
    const std::string label = font.Fit(Printable(series_[i].label), legend.size,
                                       std::max(widest - swatch, swatch));
    legend.entries.push_back({label, i});
    text = std::max(text, font.Width(label, legend.size));
  }
  const int count = static_cast<int>(legend.entries.size());
  legend.column_width = swatch + text + legend.size;
  if (count > 0) {
    legend.columns =
        below ? std::min(count,
                         std::max(1, static_cast<int>((widest + legend.size) /
                                                      legend.column_width)))
              : std::max(1, static_cast<int>(std::ceil(
                                count * line / std::max(tallest, line))));
    legend.columns = std::min(legend.columns, count);
  }
  legend.width = legend.columns * legend.column_width;
  legend.height = legend.rows() * line + 0.4 * legend.size;
  return legend;
}

Layout AxesPanel::MakeLayout(const Font& font, const Rect& cell,
                             const Margins& margins,
                             absl::string_view letter) const {
  Layout layout;
  layout.x = x_;
  layout.y = y_;
  layout.frame = {cell.x + margins.left, cell.y + margins.top,
                  std::max(cell.width - margins.left - margins.right, 10.0),
                  std::max(cell.height - margins.top - margins.bottom, 10.0)};
  const double size = TickSize(options_), label = options_.font_points;
  Margins& need = layout.needed;

  double tick_height = size, x_left = 0, x_right = 0;
  if (!options_.x.categories.empty()) {
    layout.x_names =
        FitCategories(options_.x.categories, x_, font, size, layout.frame.width,
                      true, 0.35 * cell.height);
    tick_height = layout.x_names.extent;
    x_left = layout.x_names.overhang;
    if (layout.x_names.degrees == 0 && !layout.x_names.values.empty()) {
      x_right =
          font.Width(layout.x_names.labels.back(), size) / 2 -
          layout.frame.width * (1 - x_.Fraction(layout.x_names.values.back()));
    }
  } else {
    layout.x_ticks = FitTicks(x_, font, size, layout.frame.width, true);
    const Ticks& ticks = layout.x_ticks;
    if (!ticks.values.empty()) {
      x_left = font.Width(ticks.labels.front(), size) / 2 -
               layout.frame.width * x_.Fraction(ticks.values.front());
      x_right = font.Width(ticks.labels.back(), size) / 2 -
                layout.frame.width * (1 - x_.Fraction(ticks.values.back()));
      if (!ticks.labels.back().exponent.empty()) tick_height *= 1.12;
    }
  }
  double tick_width = 0;
  if (!options_.y.categories.empty()) {
    layout.y_names =
        FitCategories(options_.y.categories, y_, font, size,
                      layout.frame.height, false, 0.4 * cell.width);
    tick_width = layout.y_names.extent;
  } else {
    layout.y_ticks = FitTicks(y_, font, size, layout.frame.height, false);
    for (const TickLabel& text : layout.y_ticks.labels) {
      tick_width = std::max(tick_width, font.Width(text, size));
    }
  }

  std::string title = options_.title;
  if (!letter.empty()) {
    title =
        title.empty() ? std::string(letter) : absl::StrCat(letter, " ", title);
  }
  layout.title =
      MakeTitle(font, title, TitleSize(options_), cell.width - 2 * kGap);

  need.left = 2 * kGap + kTickLength + tick_width;
  if (!options_.y.label.empty()) need.left += 1.05 * label + kGap;
  need.left = std::max(need.left, x_left + kGap);
  need.bottom = 2 * kGap + kTickLength + 1.05 * tick_height;
  const bool x_offset = !layout.x_ticks.offset.empty();
  if (!options_.x.label.empty() || x_offset) {
    need.bottom += 1.15 * label + kLabelGap;
  }
  need.right = std::max(2 * kGap, x_right + kGap);
  need.top = kGap + std::max(layout.title.height() + kGap, 0.5 * size);
  if (!layout.y_ticks.offset.empty()) need.top += 1.2 * size;
  return layout;
}

AxesPanel::Arrangement AxesPanel::Arrange(const Font& font, Size cell,
                                          absl::string_view letter) const {
  const Rect whole = {0, 0, cell.width, cell.height};
  const auto settle = [&](const Margins& extra) {
    Margins margins = {40, 10, 15, 30};
    Layout layout;
    for (int i = 0; i < 3; ++i) {
      layout = MakeLayout(font, whole, margins, letter);
      margins = layout.needed;
      margins.right += extra.right;
      margins.bottom += extra.bottom;
    }
    return margins;
  };
  Arrangement result;
  result.margins = settle({});
  size_t labelled = 0;
  for (const Series& s : series_) labelled += !s.label.empty();
  if (labelled == 0 || options_.legend == Legend::kNone) return result;

  const Layout layout = MakeLayout(font, whole, result.margins, letter);
  const Rect& frame = layout.frame;
  result.legend =
      MakeLegend(font, 0.6 * frame.width, 0.9 * frame.height, false);
  if (options_.legend == Legend::kAuto &&
      result.legend.width < 0.75 * frame.width &&
      result.legend.height < frame.height - 8 &&
      BestPlace(layout, result.legend).second == 0) {
    result.place = Place::kInside;
    return result;
  }
  // To the right or below: whichever leaves the larger frame.
  const LegendBlock right =
      MakeLegend(font, 0.45 * cell.width, frame.height, false);
  const LegendBlock below =
      MakeLegend(font, cell.width - 4 * kGap, cell.height, true);
  const double right_area =
      std::max(frame.width - right.width - kGap, 0.0) * frame.height;
  const double below_area =
      frame.width * std::max(frame.height - below.height - kGap, 0.0);
  Margins extra;
  if (right_area >= below_area) {
    result.place = Place::kRight;
    result.legend = right;
    extra.right = right.width + kGap;
  } else {
    result.place = Place::kBelow;
    result.legend = below;
    extra.bottom = below.height + kGap;
  }
  result.margins = settle(extra);
  return result;
}

std::vector<std::vector<Point>> AxesPanel::Runs(const Layout& layout,
                                                size_t i) const {
  const Series& s = series_[i];
  std::vector<std::vector<Point>> runs;
  bool connected = false;
  for (size_t k = 0; k < s.y.size(); ++k) {
    const bool finite = std::isfinite(s.x[k]) && std::isfinite(s.y[k]);
    if (finite && !connected) runs.emplace_back();
    if (finite) runs.back().push_back(At(layout, s.x[k], s.y[k]));
    connected = finite;
  }
  return runs;
}

std::vector<std::vector<Point>> AxesPanel::Bands(const Layout& layout,
                                                 size_t i) const {
  const Series& s = series_[i];
  std::vector<std::vector<Point>> bands;
  if (s.low.empty()) return bands;
  std::vector<Point> upper, lower;
  const auto finish = [&] {
    if (upper.size() > 1) {
      std::vector<Point> band = Simplify(upper);
      const std::vector<Point> back = Simplify(lower);
      band.insert(band.end(), back.rbegin(), back.rend());
      bands.push_back(ClipPolygon(std::move(band), layout.frame));
    }
    upper.clear();
    lower.clear();
  };
  for (size_t k = 0; k < s.y.size(); ++k) {
    if (std::isfinite(s.x[k]) && std::isfinite(s.low[k]) &&
        std::isfinite(s.high[k])) {
      upper.push_back(At(layout, s.x[k], Grounded(s.high[k])));
      lower.push_back(At(layout, s.x[k], Grounded(s.low[k])));
    } else {
      finish();
    }
  }
  finish();
  return bands;
}

std::vector<Rect> AxesPanel::Boxes(const Layout& layout, size_t i) const {
  std::vector<Rect> boxes;
  const Series& s = series_[i];
  for (size_t k = 0; k < s.y.size(); ++k) {
    if (!std::isfinite(s.y[k])) continue;
    Point a, b;
    if (kind_ == Kind::kHistogram) {
      a = At(layout, edges_[k], Base());
      b = At(layout, edges_[k + 1], Grounded(s.y[k]));
    } else {
      const double n = static_cast<double>(series_.size());
      // A hair of paper between the bars of a group.
      const double half = 0.5 * kBarWidth / n * (series_.size() > 1 ? 0.94 : 1);
      const double x = static_cast<double>(k) + BarShift(i, series_.size());
      a = At(layout, x - half, Base());
      b = At(layout, x + half, s.y[k]);
    }
    const std::vector<Point> inside =
        ClipPolygon({a, {b.x, a.y}, b, {a.x, b.y}}, layout.frame);
    if (inside.empty()) continue;
    Rect box = {inside[0].x, inside[0].y, 0, 0};
    double right = box.x, bottom = box.y;
    for (const Point& p : inside) {
      box.x = std::min(box.x, p.x);
      box.y = std::min(box.y, p.y);
      right = std::max(right, p.x);
      bottom = std::max(bottom, p.y);
    }
    box.width = right - box.x;
    box.height = bottom - box.y;
    boxes.push_back(box);
  }
  return boxes;
}

Path AxesPanel::BinOutline(const Layout& layout, size_t i) const {
  const Series& s = series_[i];
  std::vector<Point> points = {At(layout, edges_.front(), Base())};
  for (size_t k = 0; k < s.y.size(); ++k) {
    points.push_back(At(layout, edges_[k], Grounded(s.y[k])));
    points.push_back(At(layout, edges_[k + 1], Grounded(s.y[k])));
  }
  points.push_back(At(layout, edges_.back(), Base()));
  return Polyline(ClipPolygon(std::move(points), layout.frame));
}

Occupancy AxesPanel::Obstacles(const Layout& layout, bool references) const {
  Occupancy taken(layout.frame);
  const auto along = [&](const std::vector<Point>& line) {
    for (const std::vector<Point>& part : ClipPolyline(line, layout.frame)) {
      for (size_t k = 1; k < part.size(); ++k) {
        taken.AddSegment(part[k - 1], part[k]);
      }
    }
  };
  for (size_t i = 0; i < series_.size(); ++i) {
    if (kind_ == Kind::kBars || kind_ == Kind::kHistogram) {
      for (const Rect& box : Boxes(layout, i)) taken.AddBox(box);
      if (kind_ == Kind::kHistogram) continue;
    }
    const double shift = kind_ == Kind::kBars ? BarShift(i, series_.size()) : 0;
    const Series& s = series_[i];
    if (kind_ == Kind::kLines) {
      for (const std::vector<Point>& run : Runs(layout, i)) {
        along(Simplify(run));
      }
    }
    for (size_t k = 0; k < s.y.size(); ++k) {
      if (!std::isfinite(s.x[k]) || !std::isfinite(s.y[k])) continue;
      if (kind_ != Kind::kLines || HasMarkers(i)) {
        taken.Add(At(layout, s.x[k] + shift, s.y[k]));
      }
      if (s.low.empty() || !std::isfinite(s.low[k]) ||
          !std::isfinite(s.high[k])) {
        continue;
      }
      const Point low = At(layout, s.x[k] + shift, Grounded(s.low[k]));
      const Point high = At(layout, s.x[k] + shift, Grounded(s.high[k]));
      along({low, high});
      // A band fills what lies between this and the last.
      if (kind_ != Kind::kLines || k == 0 || !std::isfinite(s.x[k - 1]) ||
          !std::isfinite(s.low[k - 1]) || !std::isfinite(s.high[k - 1])) {
        continue;
      }
      const Point low0 = At(layout, s.x[k - 1], Grounded(s.low[k - 1]));
      const Point high0 = At(layout, s.x[k - 1], Grounded(s.high[k - 1]));
      const Rect& f = layout.frame;
      const double from = std::max(std::min(low0.x, low.x), f.x);
      const double to = std::min(std::max(low0.x, low.x), f.right());
      for (double x = from; x < to; x += 2) {
        const double u = (x - low0.x) / (low.x - low0.x);
        along({{x, low0.y + u * (low.y - low0.y)},
               {x, high0.y + u * (high.y - high0.y)}});
      }
    }
    if (bar_values_) {
      for (const Rect& box : Boxes(layout, i)) {
        along({{box.x, box.y - 6}, {box.right(), box.y - 6}});
      }
    }
  }
  if (!references) return taken;
  for (const ReferenceLine& line : options_.y_lines) {
    const double y = At(layout, x_.low, line.value).y;
    along({{layout.frame.x, y}, {layout.frame.right(), y}});
  }
  for (const ReferenceLine& line : options_.x_lines) {
    const double x = At(layout, line.value, y_.low).x;
    along({{x, layout.frame.y}, {x, layout.frame.bottom()}});
  }
  return taken;
}

std::pair<Point, int> AxesPanel::BestPlace(const Layout& layout,
                                           const LegendBlock& legend) const {
  const Occupancy taken = Obstacles(layout, true);
  constexpr double kPad = 4;
  const Rect& f = layout.frame;
  const double left = f.x + kPad, right = f.right() - kPad - legend.width;
  const double top = f.y + kPad, bottom = f.bottom() - kPad - legend.height;
  const double center = (left + right) / 2, middle = (top + bottom) / 2;
  const Point places[] = {{right, top},    {left, top},   {right, bottom},
                          {left, bottom},  {center, top}, {center, bottom},
                          {right, middle}, {left, middle}};
  std::pair<Point, int> best = {places[0], std::numeric_limits<int>::max()};
  for (const Point& place : places) {
    const Rect box =
        Rect{place.x, place.y, legend.width, legend.height}.Grown(2);
    const int covered = taken.Count(box);
    if (covered < best.second) best = {place, covered};
  }
  return best;
}

void AxesPanel::DrawGridLines(Canvas& canvas, const Layout& layout) const {
  const Stroke stroke = {{kGridLine, 1}, 0.5};
  const Rect& f = layout.frame;
  canvas.BeginGroup("grid-lines");
  if (options_.x.categories.empty()) {
    for (const double value : layout.x_ticks.values) {
      const double x = f.x + f.width * x_.Fraction(value);
      canvas.Line(Polyline({{x, f.y}, {x, f.bottom()}}), stroke);
    }
  }
  for (const double value : layout.y_ticks.values) {
    const double y = f.bottom() - f.height * y_.Fraction(value);
    canvas.Line(Polyline({{f.x, y}, {f.right(), y}}), stroke);
  }
  canvas.EndGroup();
}

void AxesPanel::DrawAxes(Canvas& canvas, const Rect& cell,
                         const Layout& layout) const {
  const Rect& f = layout.frame;
  const Stroke stroke = {{kFrame, 1}, 0.7};
  const double size = TickSize(options_), label = options_.font_points;
  canvas.BeginGroup("axes");
  canvas.Line(
      Polyline({{f.x, f.y}, {f.x, f.bottom()}, {f.right(), f.bottom()}}),
      stroke);
  const auto tick = [&](double value, bool along_x, double length) {
    if (along_x) {
      const double x = f.x + f.width * x_.Fraction(value);
      canvas.Line(Polyline({{x, f.bottom()}, {x, f.bottom() + length}}),
                  stroke);
    } else {
      const double y = f.bottom() - f.height * y_.Fraction(value);
      canvas.Line(Polyline({{f.x - length, y}, {f.x, y}}), stroke);
    }
  };
  for (const double v : layout.x_ticks.minor) tick(v, true, 0.55 * kTickLength);
  for (const double v : layout.y_ticks.minor) {
    tick(v, false, 0.55 * kTickLength);
  }
  // Below the x axis.
  double bottom = f.bottom() + kTickLength + kGap;
  double tick_height = size;
  const CategoryTicks& names = layout.x_names;
  for (size_t i = 0; i < names.values.size(); ++i) {
    const double x = f.x + f.width * x_.Fraction(names.values[i]);
    if (kind_ != Kind::kBars) tick(names.values[i], true, kTickLength);
    TextStyle style{names.size, Align::kCenter};
    if (names.degrees == 0) {
      canvas.Text(names.labels[i], {x, bottom + Font::kAscent * names.size},
                  style);
      continue;
    }
    style.align = Align::kRight;
    style.vertical = Vertical::kMiddle;
    style.degrees = names.degrees;
    canvas.Text(names.labels[i],
                {x + 0.1 * names.size, bottom + 0.2 * names.size}, style);
  }
  if (!options_.x.categories.empty()) tick_height = names.extent;
  for (size_t i = 0; i < layout.x_ticks.values.size(); ++i) {
    const double x = f.x + f.width * x_.Fraction(layout.x_ticks.values[i]);
    const bool raised = !layout.x_ticks.labels[i].exponent.empty();
    if (raised) tick_height = std::max(tick_height, 1.12 * size);
    tick(layout.x_ticks.values[i], true, kTickLength);
    canvas.Text(layout.x_ticks.labels[i],
                {x, bottom + (raised ? 0.9 : Font::kAscent) * size},
                {size, Align::kCenter});
  }
  bottom += 1.05 * tick_height + kLabelGap;
  double room = f.width;
  if (!layout.x_ticks.offset.empty()) {
    const double width = canvas.font().Width(layout.x_ticks.offset, size);
    canvas.Text(layout.x_ticks.offset,
                {f.right(), bottom + Font::kAscent * label},
                {size, Align::kRight});
    room = f.width - 2 * (width + kGap);
  }
  if (!options_.x.label.empty()) {
    DrawAxisLabel(canvas, options_.x.label,
                  {f.x + f.width / 2, bottom + Font::kAscent * label}, label, 0,
                  std::max(room, 0.3 * f.width));
  }
  // To the left of the y axis.
  const double left = f.x - kTickLength - kGap;
  double tick_width = layout.y_names.extent;
  for (size_t i = 0; i < layout.y_ticks.values.size(); ++i) {
    const double y =
        f.bottom() - f.height * y_.Fraction(layout.y_ticks.values[i]);
    tick(layout.y_ticks.values[i], false, kTickLength);
    canvas.Text(layout.y_ticks.labels[i], {left, y},
                {size, Align::kRight, Vertical::kMiddle});
    tick_width = std::max(tick_width,
                          canvas.font().Width(layout.y_ticks.labels[i], size));
  }
  for (size_t i = 0; i < layout.y_names.values.size(); ++i) {
    const double y =
        f.bottom() - f.height * y_.Fraction(layout.y_names.values[i]);
    tick(layout.y_names.values[i], false, kTickLength);
    canvas.Text(layout.y_names.labels[i], {left, y},
                {layout.y_names.size, Align::kRight, Vertical::kMiddle});
  }
  if (!layout.y_ticks.offset.empty()) {
    canvas.Text(layout.y_ticks.offset, {f.x, f.y - kGap - 0.2 * size},
                {size, Align::kLeft});
  }
  if (!options_.y.label.empty()) {
    DrawAxisLabel(
        canvas, options_.y.label,
        {left - tick_width - kGap - 0.2 * label, f.y + f.height / 2}, label, 90,
        f.height + 0.6 * (cell.bottom() - f.bottom()) * (names.degrees == 0));
  }
  canvas.EndGroup();
  const double offset = layout.y_ticks.offset.empty() ? 0 : 1.2 * size;
  layout.title.Draw(canvas, {cell.x + kGap, cell.y, cell.width - 2 * kGap, 0},
                    f.x + f.width / 2, f.y - kGap - offset);
}

void AxesPanel::DrawLines(Canvas& canvas, const Layout& layout,
                          size_t i) const {
  const Rect box = layout.frame.Grown(0.6);
  const Stroke stroke = {{ColorOf(i), 1}, kLineWidth, Dash(StyleOf(i))};
  std::vector<Point> alone;
  for (const std::vector<Point>& run : Runs(layout, i)) {
    if (run.size() == 1 && layout.frame.Contains(run[0])) {
      alone.push_back(run[0]);
    }
    for (const std::vector<Point>& part : ClipPolyline(Simplify(run), box)) {
      canvas.Line(Polyline(part), stroke);
    }
  }
  if (!HasMarkers(i)) {
    canvas.Stamp(Circle({0, 0}, 1.2), alone, {ColorOf(i), 1});
  }
}

void AxesPanel::DrawMarkers(Canvas& canvas, const Layout& layout,
                            size_t i) const {
  std::vector<Point> places;
  std::set<std::pair<int64_t, int64_t>> taken;
  for (const std::vector<Point>& run : Runs(layout, i)) {
    for (const Point& p : run) {
      if (!layout.frame.Grown(0.01).Contains(p)) continue;
      // Those within a tenth of a point of each other look like one.
      if (taken.emplace(std::llround(10 * p.x), std::llround(10 * p.y))
              .second) {
        places.push_back(p);
      }
    }
  }
  const double alpha = kind_ == Kind::kScatter ? 0.75 : 1;
  canvas.Stamp(MarkerShape(ColorIndex(i), MarkerSize(i)), places,
               {ColorOf(i), alpha});
}

void AxesPanel::DrawErrorBars(Canvas& canvas, const Layout& layout, size_t i,
                              double shift) const {
  const Series& s = series_[i];
  if (s.low.empty()) return;
  const Rgb color = kind_ == Kind::kBars ? kInk : ColorOf(i);
  const Stroke stroke = {{color, 1}, 0.9};
  for (size_t k = 0; k < s.y.size(); ++k) {
    if (!std::isfinite(s.x[k]) || !std::isfinite(s.low[k]) ||
        !std::isfinite(s.high[k])) {
      continue;
    }
    const Point low = At(layout, s.x[k] + shift, Grounded(s.low[k]));
    const Point high = At(layout, s.x[k] + shift, Grounded(s.high[k]));
    if (low.x < layout.frame.x || low.x > layout.frame.right()) continue;
    for (const auto& part : ClipPolyline({low, high}, layout.frame)) {
      canvas.Line(Polyline(part), stroke);
    }
    for (const Point& end : {low, high}) {
      if (!layout.frame.Contains(end)) continue;
      canvas.Line(Polyline({{end.x - 1.8, end.y}, {end.x + 1.8, end.y}}),
                  stroke);
    }
  }
}

int AxesPanel::BarDigits() const {
  int digits = 0;
  for (const Series& s : series_) {
    for (const double y : s.y) {
      if (!std::isfinite(y)) continue;
      const std::string text = ShortNumber(y, 3);
      if (text.find('e') != std::string::npos) return -1;
      const size_t point = text.find('.');
      if (point == std::string::npos) continue;
      digits = std::max(digits, static_cast<int>(text.size() - point) - 1);
    }
  }
  return digits;
}

void AxesPanel::DrawBars(Canvas& canvas, const Layout& layout, size_t i) const {
  for (const Rect& box : Boxes(layout, i)) {
    canvas.Fill(Rectangle(box), {ColorOf(i), 0.85});
  }
  const Series& s = series_[i];
  if (!bar_values_) return;
  const double width = layout.frame.width * (x_.Fraction(1) - x_.Fraction(0)) *
                       kBarWidth / static_cast<double>(series_.size());
  const int digits = BarDigits();
  for (size_t k = 0; k < s.y.size(); ++k) {
    if (!std::isfinite(s.y[k])) continue;
    const std::string text =
        digits < 0 ? ShortNumber(s.y[k], 3) : FixedNumber(s.y[k], digits);
    double size = 0.85 * TickSize(options_);
    size = std::min(size, size * 1.15 * width /
                              std::max(canvas.font().Width(text, size), 1e-3));
    if (size < 3.5) continue;
    const bool up = s.y[k] >= Base();
    double end = s.y[k];
    if (!s.low.empty() && std::isfinite(up ? s.high[k] : s.low[k])) {
      end = Grounded(up ? s.high[k] : s.low[k]);
    }
    const Point at =
        At(layout, static_cast<double>(k) + BarShift(i, series_.size()), end);
    // A bar that limits cut off has its end, and its number, elsewhere.
    if (!layout.frame.Contains(at)) continue;
    canvas.Text(text, {at.x, up ? at.y - 2.5 : at.y + 2.5 + 0.75 * size},
                {size, Align::kCenter});
  }
}

void AxesPanel::DrawReferenceLines(Canvas& canvas, const Layout& layout) const {
  const Rect& f = layout.frame;
  const Stroke stroke = {{kFrame, 1}, 0.8, {3, 2}};
  const double size = 0.92 * TickSize(options_);
  canvas.BeginGroup("reference-lines");
  const Occupancy taken = Obstacles(layout, false);
  for (const ReferenceLine& line : options_.y_lines) {
    const double fraction = y_.Fraction(line.value);
    if (fraction < 0 || fraction > 1) continue;
    const double y = f.bottom() - f.height * fraction;
    canvas.Line(Polyline({{f.x, y}, {f.right(), y}}), stroke);
    if (line.label.empty()) continue;
    const std::string text =
        canvas.font().Fit(Printable(line.label), size, f.width);
    const double width = canvas.font().Width(text, size);
    // At the end and on the side where it covers least.
    int least = std::numeric_limits<int>::max();
    Point best = {f.x + 3, y - 2.5};
    for (const double x : {f.right() - 1 - width, f.x + 3}) {
      for (const double baseline : {y - 2.5, y + 2 + Font::kAscent * size}) {
        const Rect box = {x, baseline - Font::kAscent * size, width, size};
        if (box.y < f.y || box.bottom() > f.bottom()) continue;
        const int covered = taken.Count(box);
        if (covered < least) {
          least = covered;
          best = {x, baseline};
        }
      }
    }
    canvas.Text(text, best,
                {size, Align::kLeft, Vertical::kBaseline, 0, kFrame});
  }
  for (const ReferenceLine& line : options_.x_lines) {
    const double fraction = x_.Fraction(line.value);
    if (fraction < 0 || fraction > 1) continue;
    const double x = f.x + f.width * fraction;
    canvas.Line(Polyline({{x, f.y}, {x, f.bottom()}}), stroke);
    const bool left = x - f.x > 1.3 * size;
    canvas.Text(canvas.font().Fit(Printable(line.label), size, f.height),
                {left ? x - 2 : x + 2 + Font::kAscent * size, f.y + 1},
                {size, Align::kRight, Vertical::kBaseline, 90, kFrame});
  }
  canvas.EndGroup();
}

void AxesPanel::DrawLegend(Canvas& canvas, const LegendBlock& legend, Point at,
                           bool box) const {
  canvas.BeginGroup("legend");
  if (box) {
    const Path outline = Rectangle({at.x, at.y, legend.width, legend.height});
    canvas.Fill(outline, {kWhite, 0.85});
  }
  const double line = 1.3 * legend.size, swatch = 2.1 * legend.size;
  for (size_t e = 0; e < legend.entries.size(); ++e) {
    const int row = static_cast<int>(e) % legend.rows();
    const int column = static_cast<int>(e) / legend.rows();
    const size_t i = legend.entries[e].series;
    const double x = at.x + 0.3 * legend.size + column * legend.column_width;
    const double y = at.y + 0.2 * legend.size + (row + 0.5) * line;
    const Rgb color = ColorOf(i);
    const double h = 0.35 * legend.size;
    switch (kind_) {
      case Kind::kLines:
        if (!series_[i].low.empty()) {
          canvas.Fill(Rectangle({x, y - h, swatch, 2 * h}),
                      {color, kBandAlpha});
        }
        canvas.Line(Polyline({{x, y}, {x + swatch, y}}),
                    {{color, 1}, kLineWidth, Dash(StyleOf(i))});
        if (HasMarkers(i)) {
          canvas.Stamp(MarkerShape(ColorIndex(i), MarkerSize(i)),
                       {{x + swatch / 2, y}}, {color, 1});
        }
        break;
      case Kind::kScatter:
        canvas.Stamp(MarkerShape(ColorIndex(i), 2.2), {{x + swatch / 2, y}},
                     {color, 1});
        break;
      case Kind::kBars:
        canvas.Fill(Rectangle({x, y - h, swatch, 2 * h}), {color, 0.85});
        break;
      case Kind::kHistogram:
        canvas.Fill(Rectangle({x, y - h, swatch, 2 * h}), {color, 0.3});
        canvas.Line(Rectangle({x, y - h, swatch, 2 * h}),
                    {{color, 1}, 1, Dash(StyleOf(i))});
        break;
    }
    canvas.Text(legend.entries[e].label, {x + swatch + 0.5 * legend.size, y},
                {legend.size, Align::kLeft, Vertical::kMiddle});
  }
  canvas.EndGroup();
}

void AxesPanel::Draw(Canvas& canvas, const Rect& cell, const Margins& margins,
                     absl::string_view letter) const {
  const Font& font = canvas.font();
  const Arrangement arrangement =
      Arrange(font, {cell.width, cell.height}, letter);
  const Layout layout = MakeLayout(font, cell, margins, letter);
  DrawGridLines(canvas, layout);
  for (size_t i = 0; i < series_.size(); ++i) {
    if (kind_ != Kind::kLines) break;
    for (const std::vector<Point>& band : Bands(layout, i)) {
      if (band.empty()) continue;
      canvas.Fill(Polygon(band), {ColorOf(i), kBandAlpha});
    }
  }
  for (size_t i = 0; i < series_.size(); ++i) {
    canvas.BeginGroup(absl::StrCat("series-", i));
    switch (kind_) {
      case Kind::kLines:
        DrawLines(canvas, layout, i);
        if (HasMarkers(i)) DrawMarkers(canvas, layout, i);
        break;
      case Kind::kScatter:
        DrawErrorBars(canvas, layout, i, 0);
        DrawMarkers(canvas, layout, i);
        break;
      case Kind::kBars:
        DrawBars(canvas, layout, i);
        DrawErrorBars(canvas, layout, i, BarShift(i, series_.size()));
        break;
      case Kind::kHistogram: {
        const Path outline = BinOutline(layout, i);
        if (!outline.steps.empty()) {
          canvas.Fill(outline, {ColorOf(i), 0.3});
          canvas.Line(outline, {{ColorOf(i), 1}, 1, Dash(StyleOf(i))});
        }
        break;
      }
    }
    canvas.EndGroup();
  }
  if ((kind_ == Kind::kBars || kind_ == Kind::kHistogram) && !y_.log &&
      y_.low < 0 && y_.high > 0) {
    const double y = At(layout, x_.low, 0).y;
    canvas.Line(Polyline({{layout.frame.x, y}, {layout.frame.right(), y}}),
                {{kFrame, 1}, 0.7});
  }
  DrawReferenceLines(canvas, layout);
  DrawAxes(canvas, cell, layout);
  const LegendBlock& legend = arrangement.legend;
  const Rect& f = layout.frame;
  switch (arrangement.place) {
    case Place::kNone:
      break;
    case Place::kInside:
      DrawLegend(canvas, legend, BestPlace(layout, legend).first, true);
      break;
    case Place::kRight:
      DrawLegend(canvas, legend, {f.right() + 2 * kGap, f.y}, false);
      break;
    case Place::kBelow:
      DrawLegend(
          canvas, legend,
          {std::max(cell.x + kGap, std::min(f.x + (f.width - legend.width) / 2,
                                            cell.right() - legend.width)),
           cell.bottom() - legend.height - kGap},
          false);
      break;
  }
}

void AxesPanel::AppendCsv(absl::string_view panel, std::string* csv) const {
  for (const Series& s : series_) {
    for (size_t k = 0; k < s.y.size(); ++k) {
      std::string x = CsvNumber(s.x[k]);
      if (kind_ == Kind::kBars) x = options_.x.categories[k];
      std::string low, high;
      if (kind_ == Kind::kHistogram) {
        low = CsvNumber(edges_[k]);
        high = CsvNumber(edges_[k + 1]);
      } else if (!s.low.empty()) {
        low = CsvNumber(s.low[k]);
        high = CsvNumber(s.high[k]);
      }
      *csv += CsvLine({PanelName(panel), KindName(kind_), s.label, x,
                       // What a logarithmic axis does not show is an empty bin.
                       kind_ == Kind::kHistogram && std::isnan(s.y[k])
                           ? "0"
                           : CsvNumber(s.y[k]),
                       low, high, ""});
    }
  }
}

// "series 1 'ours'".
std::string SeriesName(size_t i, absl::string_view label) {
  std::string name = absl::StrCat("series ", i);
  if (!label.empty()) absl::StrAppend(&name, " ", QuoteName(label));
  return name;
}

absl::Status CheckLength(absl::string_view field, size_t length, size_t want,
                         absl::string_view other) {
  if (length == want) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      field, " has ", length, " values, want ", want, ", as many as ", other));
}

// Values that are drawn: finite ones must fit the axis.
absl::Status CheckValues(const std::vector<double>& values, bool log,
                         absl::string_view field) {
  for (size_t k = 0; k < values.size(); ++k) {
    if (!std::isfinite(values[k])) continue;
    SEPTET_RETURN_IF_ERROR(
        CheckAxisValue(values[k], log, absl::StrCat(field, "[", k, "]")));
  }
  return absl::OkStatus();
}

absl::Status CheckSeries(const Series& s, const FigureOptions& options) {
  SEPTET_RETURN_IF_ERROR(CheckText(s.label, "label"));
  if (s.color.has_value() && *s.color < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("color is ", *s.color, ", want >= 0"));
  }
  if (s.y.empty()) {
    return absl::InvalidArgumentError("y has no value, want at least 1");
  }
  SEPTET_RETURN_IF_ERROR(CheckLength("y", s.y.size(), s.x.size(), "x"));
  if (!s.low.empty() || !s.high.empty()) {
    SEPTET_RETURN_IF_ERROR(CheckLength("low", s.low.size(), s.y.size(), "y"));
    SEPTET_RETURN_IF_ERROR(CheckLength("high", s.high.size(), s.y.size(), "y"));
  }
  SEPTET_RETURN_IF_ERROR(CheckValues(s.x, options.x.log, "x"));
  SEPTET_RETURN_IF_ERROR(CheckValues(s.y, options.y.log, "y"));
  // A band may reach below a logarithmic axis.
  SEPTET_RETURN_IF_ERROR(CheckValues(s.low, false, "low"));
  SEPTET_RETURN_IF_ERROR(CheckValues(s.high, false, "high"));
  for (size_t k = 0; k < s.low.size(); ++k) {
    if (s.low[k] > s.high[k]) {
      return absl::InvalidArgumentError(
          absl::StrCat("low[", k, "] is ", s.low[k], " and high[", k, "] is ",
                       s.high[k], ", want low <= high"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const Panel>> MakeAxes(
    Kind kind, std::vector<Series> series, const FigureOptions& options,
    bool bar_values, std::vector<double> edges) {
  const std::string figure = FigureName(options.title);
  SEPTET_RETURN_IF_ERROR(CheckOptions(options)) << figure;
  if (series.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(figure, ": no series, want at least 1"));
  }
  for (size_t i = 0; i < series.size(); ++i) {
    SEPTET_RETURN_IF_ERROR(CheckSeries(series[i], options))
        << figure << ": " << SeriesName(i, series[i].label);
  }
  auto panel = std::make_shared<AxesPanel>(kind, std::move(series), options);
  panel->set_bar_values(bar_values);
  panel->set_bins(std::move(edges));
  SEPTET_RETURN_IF_ERROR(panel->Prepare()) << figure;
  return std::shared_ptr<const Panel>(std::move(panel));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Panel>> MakeLines(
    std::vector<Series> series, const FigureOptions& options) {
  return MakeAxes(Kind::kLines, std::move(series), options, false, {});
}

absl::StatusOr<std::shared_ptr<const Panel>> MakeScatter(
    std::vector<Series> series, const FigureOptions& options) {
  return MakeAxes(Kind::kScatter, std::move(series), options, false, {});
}

absl::StatusOr<std::shared_ptr<const Panel>> MakeBars(
    std::vector<Series> series, const BarOptions& options) {
  const std::string figure = FigureName(options.title);
  if (options.x.log) {
    return absl::InvalidArgumentError(
        absl::StrCat(figure, ": x.log is true, want false: bars have names"));
  }
  const size_t count = options.x.categories.size();
  for (size_t i = 0; i < series.size(); ++i) {
    Series& s = series[i];
    const std::string name = absl::StrCat(figure, ": ", SeriesName(i, s.label));
    if (!s.x.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          name, ": x has ", s.x.size(),
          " values, want none: the groups are options.x.categories"));
    }
    SEPTET_RETURN_IF_ERROR(
        CheckLength("y", s.y.size(), count, "options.x.categories"))
        << name;
    for (size_t k = 0; k < count; ++k) s.x.push_back(static_cast<double>(k));
  }
  return MakeAxes(Kind::kBars, std::move(series), options, options.values, {});
}

namespace {

// The bins' edges by the rule of D. Freedman and P. Diaconis (1981): 2 IQR /
// n^(1/3) wide, of the sample that asks for most.
int ChooseBins(const std::vector<Samples>& samples, double low, double high) {
  constexpr int kFewest = 5, kMost = 100;
  double bins = kFewest;
  for (const Samples& sample : samples) {
    std::vector<double> sorted = sample.values;
    std::sort(sorted.begin(), sorted.end());
    const size_t n = sorted.size();
    const double iqr = sorted[3 * n / 4] - sorted[n / 4];
    const double size = static_cast<double>(n);
    bins = std::max(bins, iqr > 0 ? (high - low) * std::cbrt(size) / (2 * iqr)
                                  : 1 + std::log2(size));
  }
  return static_cast<int>(std::min<double>(std::ceil(bins), kMost));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Panel>> MakeHistogram(
    std::vector<Samples> samples, const HistogramOptions& options) {
  const std::string figure = FigureName(options.title);
  SEPTET_RETURN_IF_ERROR(CheckOptions(options)) << figure;
  constexpr int kMostBins = 10000;
  if (options.bins < 0 || options.bins > kMostBins) {
    return absl::InvalidArgumentError(absl::StrCat(
        figure, ": bins is ", options.bins, ", want 0 to ", kMostBins));
  }
  if (samples.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(figure, ": no sample, want at least 1"));
  }
  Extent extent;
  for (size_t i = 0; i < samples.size(); ++i) {
    const std::string name =
        absl::StrCat(figure, ": ", SeriesName(i, samples[i].label));
    SEPTET_RETURN_IF_ERROR(CheckText(samples[i].label, "label")) << name;
    if (samples[i].values.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": no value, want at least 1"));
    }
    for (size_t k = 0; k < samples[i].values.size(); ++k) {
      SEPTET_RETURN_IF_ERROR(CheckAxisValue(samples[i].values[k], options.x.log,
                                            absl::StrCat("values[", k, "]")))
          << name;
      extent.Add(samples[i].values[k]);
    }
  }
  AxisOptions range = options.x;
  SEPTET_ASSIGN_OR_RETURN(const Axis axis,
                          MakeAxis(range, extent, AxisMargin{0, 0}, "x"),
                          _ << figure);
  const auto forward = [&](double v) { return axis.log ? std::log10(v) : v; };
  const double low = forward(axis.low), high = forward(axis.high);
  int bins = options.bins;
  if (bins == 0) {
    std::vector<Samples> mapped = samples;
    for (Samples& sample : mapped) {
      for (double& v : sample.values) v = forward(v);
    }
    bins = ChooseBins(mapped, low, high);
  }
  std::vector<double> edges;
  for (int b = 0; b <= bins; ++b) {
    const double edge = (low * (bins - b) + high * b) / bins;
    edges.push_back(axis.log ? std::pow(10.0, edge) : edge);
  }
  edges.front() = axis.low;
  edges.back() = axis.high;

  std::vector<Series> series;
  for (size_t i = 0; i < samples.size(); ++i) {
    Series s;
    s.label = samples[i].label;
    s.y.assign(bins, 0);
    double inside = 0;
    for (const double v : samples[i].values) {
      if (v < edges.front() || v > edges.back()) continue;
      // Bins hold their lower edge, the last one both.
      const auto above = std::upper_bound(edges.begin(), edges.end(), v);
      const size_t bin = std::min<size_t>(above - edges.begin(), bins) - 1;
      s.y[bin] += 1;
      inside += 1;
    }
    for (int b = 0; b < bins; ++b) {
      const double width = edges[b + 1] - edges[b];
      s.x.push_back(axis.log ? std::sqrt(edges[b]) * std::sqrt(edges[b + 1])
                             : (edges[b] + edges[b + 1]) / 2);
      if (options.density && inside > 0) s.y[b] /= inside * width;
    }
    // A logarithmic axis has no 0: an empty bin has no height.
    series.push_back(std::move(s));
  }
  FigureOptions axes = options;
  if (axes.y.label.empty())
    axes.y.label = options.density ? "density" : "count";
  if (axes.y.log) {
    for (Series& s : series) {
      for (double& y : s.y) {
        if (y == 0) y = std::nan("");
      }
    }
  }
  return MakeAxes(Kind::kHistogram, std::move(series), axes, false,
                  std::move(edges));
}

}  // namespace plot_internal
}  // namespace septet
