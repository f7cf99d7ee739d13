// SPDX-License-Identifier: Apache-2.0
// What a figure is inside: something that can be measured, drawn and written
// down.
#ifndef SEPTET_CORE_PLOT_PANEL_IMPL_H_
#define SEPTET_CORE_PLOT_PANEL_IMPL_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/plot/canvas_impl.h"
#include "septet/core/plot/figure.h"
#include "septet/core/plot/font_impl.h"
#include "septet/core/plot/geometry_impl.h"
#include "septet/core/plot/series.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace plot_internal {

// Checked when it is made; drawing cannot fail.
class Panel {
 public:
  virtual ~Panel() = default;

  // In points.
  virtual Size NaturalSize(const Font& font) const = 0;
  // The space around its frame that it needs in a cell of this size.
  virtual Margins Measure(const Font& font, Size cell,
                          absl::string_view letter) const = 0;
  // `margins` are at least those measured. `letter`: in front of the title.
  virtual void Draw(Canvas& canvas, const Rect& cell, const Margins& margins,
                    absl::string_view letter) const = 0;
  // `panel`: its number in a grid; empty where it is all of the figure.
  virtual void AppendCsv(absl::string_view panel, std::string* csv) const = 0;
};

// A panel of lines, markers, bars or bins.
absl::StatusOr<std::shared_ptr<const Panel>> MakeLines(
    std::vector<Series> series, const FigureOptions& options);
absl::StatusOr<std::shared_ptr<const Panel>> MakeScatter(
    std::vector<Series> series, const FigureOptions& options);
absl::StatusOr<std::shared_ptr<const Panel>> MakeBars(
    std::vector<Series> series, const BarOptions& options);
absl::StatusOr<std::shared_ptr<const Panel>> MakeHistogram(
    std::vector<Samples> samples, const HistogramOptions& options);

absl::StatusOr<std::shared_ptr<const Panel>> MakeHeatMaps(
    std::vector<Matrix> matrices, std::vector<std::string> titles,
    const HeatMapOptions& options);
// counts: written into the cells; colours are their share of the row.
absl::StatusOr<std::shared_ptr<const Panel>> MakeConfusionMatrix(
    const Matrix& counts, const HeatMapOptions& options);

absl::StatusOr<std::shared_ptr<const Panel>> MakeImages(
    const Tensor& images, std::vector<std::string> captions,
    const ImageGridOptions& options);

absl::StatusOr<std::shared_ptr<const Panel>> MakeGrid(
    int rows, int columns, std::vector<std::shared_ptr<const Panel>> panels,
    const GridOptions& options);

// What the CSV calls a panel of this number.
inline std::string PanelName(absl::string_view panel) {
  return panel.empty() ? "1" : std::string(panel);
}

// "figure 'loss'", for messages.
std::string FigureName(absl::string_view title);

// InvalidArgument, naming the field, if a text is not UTF-8.
absl::Status CheckText(absl::string_view text, absl::string_view field);

// InvalidArgument for what no kind of figure takes.
absl::Status CheckOptions(const FigureOptions& options);

// InvalidArgument for reference lines where there are no axes for them.
absl::Status CheckNoLines(const FigureOptions& options);

// Sizes of text, as parts of the options' font_points.
inline double TitleSize(const FigureOptions& o) { return 1.15 * o.font_points; }
inline double TickSize(const FigureOptions& o) { return 0.88 * o.font_points; }

// The title above a frame, centred over it where that stays in the cell.
struct TitleBlock {
  std::vector<std::string> lines;
  double size = 0;

  double height() const;
  void Draw(Canvas& canvas, const Rect& cell, double center,
            double bottom) const;
};
TitleBlock MakeTitle(const Font& font, absl::string_view title, double size,
                     double width);

// The label of an axis: no longer than its cell.
void DrawAxisLabel(Canvas& canvas, absl::string_view text, Point at,
                   double size, double degrees, double room);

}  // namespace plot_internal
}  // namespace septet

#endif  // SEPTET_CORE_PLOT_PANEL_IMPL_H_
