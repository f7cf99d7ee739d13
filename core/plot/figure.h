// SPDX-License-Identifier: Apache-2.0
// Figures for papers and reports: lines with seed bands, scatter plots, bars,
// histograms, heat maps, grids of images, and grids of figures; from one
// description a PNG, an SVG and the numbers as CSV.
//
//   FigureOptions options;
//   options.title = "Held-out loss";
//   options.x.label = "step";
//   options.y.label = "bits per byte";
//   options.y.log = true;
//   SEPTET_ASSIGN_OR_RETURN(
//       Series ours, SeedBand("ours", steps, {seed1, seed2, seed3}));
//   SEPTET_ASSIGN_OR_RETURN(Figure figure, Figure::Lines({ours}, options));
//   SEPTET_RETURN_IF_ERROR(figure.Save("out/loss"));  // .png .svg .csv
//
// Sizes are in inches and points (1/72 inch). Text is UTF-8 in DejaVu Sans, or
// in what fontconfig takes for it where that is not installed; line breaks are
// kept in titles, other control characters are drawn as C writes them. The SVG
// draws letters as outlines: it looks the same everywhere and needs no font.
// Colours and line styles can be told apart by the colour-blind and in grey;
// heat maps use viridis, or for signed data a diverging map. Equal figures give
// equal bytes (with equal versions of cairo, FreeType and the font): no dates,
// no counters.
//
// What is not finite: a line has a gap there, a marker or a bar is left out, a
// cell of a heat map is grey (NaN) or the end of the scale (infinite). Limits,
// bins and scales come from the finite values. Finite values beyond 1e300 are
// refused.
//
// The CSV: see csv.h for its one layout. Cost: linear in the data; lines of
// more points than the picture can show are drawn as their envelope, a scatter
// plot's markers that would fall together are drawn once (the CSV has all).
//
// Errors: InvalidArgument that names the figure, the series or field, what was
// expected and what was found. Nothing is drawn before Save.
//
// Stability: core's public API; names and meaning stay, additions come.
// Keywords: plot, chart, learning curve, confusion matrix, attention map.
#ifndef SEPTET_CORE_PLOT_FIGURE_H_
#define SEPTET_CORE_PLOT_FIGURE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/plot/color_map.h"
#include "septet/core/plot/series.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

namespace plot_internal {
class Panel;
}  // namespace plot_internal

struct ConfusionMatrixOptions;

// Figures are at most this large, so that no slip of a unit fills a disk.
inline constexpr double kMaxFigureInches = 60;
inline constexpr double kMaxFigurePixels = 100e6;

struct AxisOptions {
  std::string label;
  bool log = false;  // logarithmic: values must be > 0
  // Limits; those not given come from the data, with a small margin. On a
  // logarithmic axis > 0. min < max.
  std::optional<double> min, max;
  // Names of the positions 0, 1, 2, ... (bars: the groups; heat maps: columns
  // or rows; lines: ticks at whole numbers).
  std::vector<std::string> categories;
};

enum class Legend {
  kAuto,     // in the corner or at the edge where nothing is; else outside
  kOutside,  // to the right of the axes or below, whichever leaves more room
  kNone,
};

// A thin dashed line across the axes: a threshold, a chance level.
struct ReferenceLine {
  double value = 0;
  std::string label = {};  // written at its end; may be empty
};

struct FigureOptions {
  std::string title;
  AxisOptions x, y;
  double width_inches = 4.5;
  // 0: what the kind of figure asks for (axes: 0.68 of the width; heat maps and
  // images: what makes cells square).
  double height_inches = 0;
  double font_points = 9;   // of labels; titles are larger, ticks smaller
  int dots_per_inch = 200;  // of the PNG; 30 to 1200
  Legend legend = Legend::kAuto;
  std::vector<ReferenceLine> x_lines, y_lines;  // vertical, horizontal
};

// One sample of numbers for a histogram.
struct Samples {
  std::string label = {};
  std::vector<double> values = {};
};

struct HistogramOptions : FigureOptions {
  // Bins of equal width (of equal ratio where x.log) over the values of all
  // samples, or from x.min to x.max where they are given; values outside are
  // left out. 0: by the rule of Freedman and Diaconis, 5 to 100.
  int bins = 0;
  bool density = false;  // the area is 1; else y is a count
};

struct BarOptions : FigureOptions {
  bool values = false;  // write each bar's value at its end
};

struct HeatMapOptions : FigureOptions {
  ColorMap color_map = ColorMap::kViridis;
  // The ends of the scale; those not given are the least and greatest finite
  // value of all maps, and with ColorMap::kDiverging lie symmetrically around
  // 0. Values beyond the ends get the end's colour, and the colour bar's ends
  // become arrows.
  std::optional<double> min, max;
  bool log = false;  // logarithmic colour scale: min > 0
  std::string color_label;
  bool color_bar = true;
  // Digits behind the point of the value written into each cell; -1: none.
  // Left out where the cells are too small.
  int cell_digits = -1;
  bool square_cells = true;  // where the extents allow it (at most 4 to 1)
  // Row 0 is at the top, as a matrix is written; else at the bottom, as a
  // function is drawn. Without categories the axes count columns and rows, or
  // run from x.min to x.max (y.min to y.max), the outer edges of the cells.
  bool row_zero_on_top = true;
  int map_columns = 0;  // of several maps; 0: about as many as rows
};

struct ImageGridOptions : FigureOptions {
  int columns = 0;  // 0: about as many as rows
  // Values of floating-point images that are black and white.
  double black = 0, white = 1;
  // Of images of one channel.
  ColorMap color_map = ColorMap::kGrey;
  std::vector<std::string> row_labels;     // empty, or one a row of the grid
  std::vector<std::string> column_labels;  // empty, or one a column
};

struct GridOptions {
  std::string title;
  bool letters = false;  // (a), (b), ... in front of the titles
  int dots_per_inch = 200;
};

// A figure, checked, not yet drawn. Copies share the data. Thread-safe.
class Figure {
 public:
  // Lines through the points of each series, with the band between low and high
  // where they are given; markers where a series has few points. Each series
  // needs a point; x and y of equal length; low and high of that length or
  // empty, low <= high. On a logarithmic axis a value that is not > 0 is an
  // error, but a band reaches to the bottom where its low is not.
  static absl::StatusOr<Figure> Lines(std::vector<Series> series,
                                      FigureOptions options = {});

  // Markers; low and high are vertical error bars.
  static absl::StatusOr<Figure> Scatter(std::vector<Series> series,
                                        FigureOptions options = {});

  // Groups of bars: one group a category of options.x (as many as each series
  // has y), one bar a series; low and high are error bars. x of the series is
  // left empty. Bars begin at 0, on a logarithmic axis at its bottom.
  static absl::StatusOr<Figure> Bars(std::vector<Series> series,
                                     BarOptions options = {});

  // How often the values of each sample fall into bins; all must be finite.
  static absl::StatusOr<Figure> Histogram(std::vector<Samples> samples,
                                          HistogramOptions options = {});

  // A matrix as colours, with a colour bar; at most 2^22 cells.
  static absl::StatusOr<Figure> HeatMap(Matrix matrix,
                                        HeatMapOptions options = {});

  // Several, each below its own title, on one scale with one colour bar. Axis
  // labels are written at the outer maps.
  static absl::StatusOr<Figure> HeatMaps(std::vector<Matrix> matrices,
                                         std::vector<std::string> titles,
                                         HeatMapOptions options = {});

  // Images in a grid, row by row. images: [N, H, W] grey, or [N, H, W, C] with
  // C 1 (grey) or 3 (RGB); u8, or f32 and f64 between options.black and white
  // (beyond them clamped; NaN is magenta). captions: below the images; empty,
  // or one an image. At most 10,000 images and 2^24 values.
  static absl::StatusOr<Figure> ImageGrid(
      const Tensor& images, std::vector<std::string> captions = {},
      ImageGridOptions options = {});

  // Figures side by side, row by row, axes aligned; at most rows * columns of
  // them. Each keeps its width and height; a column is as wide as its widest.
  static absl::StatusOr<Figure> Grid(int rows, int columns,
                                     std::vector<Figure> figures,
                                     GridOptions options = {});

  // The files' contents. Errors: ResourceExhausted where memory is short,
  // Internal where cairo fails.
  absl::StatusOr<std::string> Png() const;
  absl::StatusOr<std::string> Svg() const;
  std::string Csv() const;

  // Writes <stem>.png, <stem>.svg and <stem>.csv, each complete or not at all,
  // and none if one cannot be drawn; makes the folder. A suffix .png, .svg or
  // .csv of the stem is not removed. Errors: those of Png and of AtomicFile.
  absl::Status Save(absl::string_view stem) const;

  // Its size on paper, heights chosen for it included.
  double width_inches() const;
  double height_inches() const;

 private:
  friend absl::StatusOr<Figure> ConfusionMatrix(Matrix counts,
                                                std::vector<std::string>,
                                                ConfusionMatrixOptions);

  Figure(std::shared_ptr<const plot_internal::Panel> panel, int dots_per_inch,
         double width, double height)
      : panel_(std::move(panel)),
        dots_per_inch_(dots_per_inch),
        width_(width),
        height_(height) {}

  static absl::StatusOr<Figure> Make(
      absl::StatusOr<std::shared_ptr<const plot_internal::Panel>> panel,
      int dots_per_inch, absl::string_view title);

  std::shared_ptr<const plot_internal::Panel> panel_;
  int dots_per_inch_;
  double width_, height_;  // points
};

struct ConfusionMatrixOptions : HeatMapOptions {
  ConfusionMatrixOptions() { x.label = "predicted", y.label = "true"; }
};

// How often examples of class `row` were taken for class `column`: counts in
// the cells, colours the share of the row. counts: [C, C], whole numbers >= 0;
// classes: C names. options.cell_digits, min, max and categories are set here.
absl::StatusOr<Figure> ConfusionMatrix(Matrix counts,
                                       std::vector<std::string> classes,
                                       ConfusionMatrixOptions options = {});

// Which keys each query attends to: weights [queries, keys] with the tokens'
// texts along both axes, spaces made visible. The scale begins at 0, unless it
// is logarithmic or diverging.
absl::StatusOr<Figure> AttentionMap(Matrix weights,
                                    std::vector<std::string> query_tokens,
                                    std::vector<std::string> key_tokens,
                                    HeatMapOptions options = {});

}  // namespace septet

#endif  // SEPTET_CORE_PLOT_FIGURE_H_
