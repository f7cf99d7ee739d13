// SPDX-License-Identifier: Apache-2.0
#include "septet/core/plot/figure.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/plot/canvas_impl.h"
#include "septet/core/plot/color_map.h"
#include "septet/core/plot/csv.h"
#include "septet/core/plot/font_impl.h"
#include "septet/core/plot/geometry_impl.h"
#include "septet/core/plot/panel_impl.h"
#include "septet/core/plot/series.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

using plot_internal::Canvas;
using plot_internal::FigureName;
using plot_internal::Font;
using plot_internal::Panel;
using plot_internal::Rect;
using plot_internal::Size;

absl::StatusOr<Figure> Figure::Make(
    absl::StatusOr<std::shared_ptr<const Panel>> panel, int dots_per_inch,
    absl::string_view title) {
  SEPTET_RETURN_IF_ERROR(panel);
  SEPTET_ASSIGN_OR_RETURN(const std::unique_ptr<Font> font, Font::Load());
  const Size size = (*panel)->NaturalSize(*font);
  const double width = size.width / 72, height = size.height / 72;
  const double pixels = width * height * dots_per_inch * dots_per_inch;
  if (width > kMaxFigureInches || height > kMaxFigureInches ||
      pixels > kMaxFigurePixels) {
    return absl::InvalidArgumentError(absl::StrCat(
        FigureName(title), ": ", width, " x ", height, " inches at ",
        dots_per_inch, " dots per inch, want at most ", kMaxFigureInches,
        " inches each way and ", kMaxFigurePixels, " dots"));
  }
  return Figure(*std::move(panel), dots_per_inch, size.width, size.height);
}

absl::StatusOr<Figure> Figure::Lines(std::vector<Series> series,
                                     FigureOptions options) {
  return Make(plot_internal::MakeLines(std::move(series), options),
              options.dots_per_inch, options.title);
}

absl::StatusOr<Figure> Figure::Scatter(std::vector<Series> series,
                                       FigureOptions options) {
  return Make(plot_internal::MakeScatter(std::move(series), options),
              options.dots_per_inch, options.title);
}

absl::StatusOr<Figure> Figure::Bars(std::vector<Series> series,
                                    BarOptions options) {
  return Make(plot_internal::MakeBars(std::move(series), options),
              options.dots_per_inch, options.title);
}

absl::StatusOr<Figure> Figure::Histogram(std::vector<Samples> samples,
                                         HistogramOptions options) {
  return Make(plot_internal::MakeHistogram(std::move(samples), options),
              options.dots_per_inch, options.title);
}

absl::StatusOr<Figure> Figure::HeatMap(Matrix matrix, HeatMapOptions options) {
  return HeatMaps({std::move(matrix)}, {}, std::move(options));
}

absl::StatusOr<Figure> Figure::HeatMaps(std::vector<Matrix> matrices,
                                        std::vector<std::string> titles,
                                        HeatMapOptions options) {
  return Make(plot_internal::MakeHeatMaps(std::move(matrices),
                                          std::move(titles), options),
              options.dots_per_inch, options.title);
}

absl::StatusOr<Figure> Figure::ImageGrid(const Tensor& images,
                                         std::vector<std::string> captions,
                                         ImageGridOptions options) {
  return Make(plot_internal::MakeImages(images, std::move(captions), options),
              options.dots_per_inch, options.title);
}

absl::StatusOr<Figure> Figure::Grid(int rows, int columns,
                                    std::vector<Figure> figures,
                                    GridOptions options) {
  std::vector<std::shared_ptr<const Panel>> panels;
  for (const Figure& figure : figures) panels.push_back(figure.panel_);
  return Make(
      plot_internal::MakeGrid(rows, columns, std::move(panels), options),
      options.dots_per_inch, options.title);
}

absl::StatusOr<std::string> Figure::Png() const {
  SEPTET_ASSIGN_OR_RETURN(const std::unique_ptr<Font> font, Font::Load());
  SEPTET_ASSIGN_OR_RETURN(const std::unique_ptr<Canvas> canvas,
                          plot_internal::MakePngCanvas(
                              font.get(), {width_, height_}, dots_per_inch_));
  panel_->Draw(*canvas, {0, 0, width_, height_},
               panel_->Measure(*font, {width_, height_}, ""), "");
  return canvas->Finish();
}

absl::StatusOr<std::string> Figure::Svg() const {
  SEPTET_ASSIGN_OR_RETURN(const std::unique_ptr<Font> font, Font::Load());
  const std::unique_ptr<Canvas> canvas =
      plot_internal::MakeSvgCanvas(font.get(), {width_, height_});
  panel_->Draw(*canvas, {0, 0, width_, height_},
               panel_->Measure(*font, {width_, height_}, ""), "");
  return canvas->Finish();
}

std::string Figure::Csv() const {
  std::string csv =
      CsvLine({"panel", "kind", "series", "x", "y", "low", "high", "value"});
  panel_->AppendCsv("", &csv);
  return csv;
}

absl::Status Figure::Save(absl::string_view stem) const {
  const size_t slash = stem.rfind('/');
  if (stem.empty() || slash == stem.size() - 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("save figure: the stem is '", stem,
                     "', want a path without a suffix, as in figures/loss"));
  }
  SEPTET_ASSIGN_OR_RETURN(const std::string png, Png(),
                          _ << "save figure " << stem);
  SEPTET_ASSIGN_OR_RETURN(const std::string svg, Svg(),
                          _ << "save figure " << stem);
  if (slash != absl::string_view::npos && slash > 0) {
    SEPTET_RETURN_IF_ERROR(MakeDirectories(stem.substr(0, slash)));
  }
  // The numbers first: a picture never stands without them.
  SEPTET_RETURN_IF_ERROR(
      WriteFileAtomically(absl::StrCat(stem, ".csv"), Csv()));
  SEPTET_RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(stem, ".svg"), svg));
  return WriteFileAtomically(absl::StrCat(stem, ".png"), png);
}

double Figure::width_inches() const { return width_ / 72; }
double Figure::height_inches() const { return height_ / 72; }

absl::StatusOr<Figure> ConfusionMatrix(Matrix counts,
                                       std::vector<std::string> classes,
                                       ConfusionMatrixOptions options) {
  const std::string figure = FigureName(options.title);
  const auto want = static_cast<int64_t>(classes.size());
  if (counts.rows != want || counts.columns != want) {
    return absl::InvalidArgumentError(absl::StrCat(
        figure, ": counts are ", counts.rows, " x ", counts.columns, ", want ",
        want, " x ", want, " for ", want, " classes"));
  }
  if (static_cast<int64_t>(counts.values.size()) != want * want) {
    return absl::InvalidArgumentError(absl::StrCat(
        figure, ": counts are ", counts.rows, " x ", counts.columns,
        " and have ", counts.values.size(), " values, want ", want * want));
  }
  for (size_t i = 0; i < counts.values.size(); ++i) {
    const double v = counts.values[i];
    // Doubles count up to 2^53.
    if (!(v >= 0 && v <= 9007199254740992.0 && v == std::floor(v))) {
      return absl::InvalidArgumentError(absl::StrCat(
          figure, ": the count in row ", static_cast<int64_t>(i) / want,
          " and column ", static_cast<int64_t>(i) % want, " is ", v,
          ", want a whole number >= 0"));
    }
  }
  options.x.categories = classes;
  options.y.categories = std::move(classes);
  options.min = 0;
  options.max = 1;
  options.log = false;
  if (options.color_label.empty()) options.color_label = "share of the row";
  return Figure::Make(plot_internal::MakeConfusionMatrix(counts, options),
                      options.dots_per_inch, options.title);
}

absl::StatusOr<Figure> AttentionMap(Matrix weights,
                                    std::vector<std::string> query_tokens,
                                    std::vector<std::string> key_tokens,
                                    HeatMapOptions options) {
  // Spaces belong to tokens: an open box (U+2423).
  for (std::vector<std::string>* tokens : {&query_tokens, &key_tokens}) {
    for (std::string& token : *tokens) {
      token = absl::StrReplaceAll(token, {{" ", "\u2423"}});
    }
  }
  options.x.categories = std::move(key_tokens);
  options.y.categories = std::move(query_tokens);
  if (options.x.label.empty()) options.x.label = "key";
  if (options.y.label.empty()) options.y.label = "query";
  if (options.color_label.empty()) options.color_label = "attention";
  if (!options.min.has_value() && !options.log &&
      options.color_map != ColorMap::kDiverging) {
    options.min = 0;
  }
  return Figure::HeatMap(std::move(weights), std::move(options));
}

}  // namespace septet
