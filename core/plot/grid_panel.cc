// SPDX-License-Identifier: Apache-2.0
// Figures side by side, with their frames in line.
#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/plot/canvas_impl.h"
#include "septet/core/plot/figure.h"
#include "septet/core/plot/font_impl.h"
#include "septet/core/plot/geometry_impl.h"
#include "septet/core/plot/panel_impl.h"

namespace septet {
namespace plot_internal {
namespace {

constexpr double kTitleSize = 12;
constexpr double kTitleGap = 4;

// (a), (b), ... (z), (aa), (ab), ...
std::string Letter(size_t i) {
  std::string name;
  for (++i; i > 0; i = (i - 1) / 26) {
    name.insert(name.begin(), static_cast<char>('a' + (i - 1) % 26));
  }
  return absl::StrCat("(", name, ")");
}

class GridPanel : public Panel {
 public:
  GridPanel(size_t rows, size_t columns,
            std::vector<std::shared_ptr<const Panel>> panels,
            GridOptions options)
      : rows_(rows),
        columns_(columns),
        panels_(std::move(panels)),
        options_(std::move(options)) {}

  Size NaturalSize(const Font& font) const override {
    const Tracks tracks = MakeTracks(font);
    Size size;
    for (const double width : tracks.widths) size.width += width;
    for (const double height : tracks.heights) size.height += height;
    const TitleBlock title =
        MakeTitle(font, options_.title, kTitleSize, size.width - 8);
    if (!title.lines.empty()) size.height += title.height() + kTitleGap;
    return size;
  }

  Margins Measure(const Font&, Size, absl::string_view) const override {
    return {};
  }

  void Draw(Canvas& canvas, const Rect& cell, const Margins&,
            absl::string_view letter) const override {
    const Font& font = canvas.font();
    const Tracks tracks = MakeTracks(font);
    const Size size = NaturalSize(font);
    const double left = cell.x + (cell.width - size.width) / 2;
    double y = cell.y;
    std::string text = options_.title;
    if (!letter.empty()) {
      text =
          text.empty() ? std::string(letter) : absl::StrCat(letter, " ", text);
    }
    const TitleBlock title = MakeTitle(font, text, kTitleSize, size.width - 8);
    if (!title.lines.empty()) {
      y += title.height() + kTitleGap;
      title.Draw(canvas, cell, left + size.width / 2, y);
    }
    for (size_t row = 0; row < rows_; ++row) {
      double x = left;
      for (size_t column = 0; column < columns_; ++column) {
        const size_t i = row * columns_ + column;
        const Rect place = {x, y, tracks.widths[column], tracks.heights[row]};
        x += tracks.widths[column];
        if (i >= panels_.size()) continue;
        Margins margins = tracks.rows[row];
        margins.left = tracks.columns[column].left;
        margins.right = tracks.columns[column].right;
        canvas.BeginGroup(absl::StrCat("panel-", i + 1));
        panels_[i]->Draw(canvas, place, margins,
                         options_.letters ? Letter(i) : "");
        canvas.EndGroup();
      }
      y += tracks.heights[row];
    }
  }

  void AppendCsv(absl::string_view panel, std::string* csv) const override {
    const std::string prefix = panel.empty() ? "" : absl::StrCat(panel, ".");
    for (size_t i = 0; i < panels_.size(); ++i) {
      panels_[i]->AppendCsv(absl::StrCat(prefix, i + 1), csv);
    }
  }

 private:
  struct Tracks {
    std::vector<double> widths, heights;
    std::vector<Margins> columns,
        rows;  // of which left/right, top/bottom count
  };

  Tracks MakeTracks(const Font& font) const {
    Tracks tracks;
    tracks.widths.assign(columns_, 0);
    tracks.heights.assign(rows_, 0);
    tracks.columns.resize(columns_);
    tracks.rows.resize(rows_);
    for (size_t i = 0; i < panels_.size(); ++i) {
      const Size size = panels_[i]->NaturalSize(font);
      double& width = tracks.widths[i % columns_];
      double& height = tracks.heights[i / columns_];
      width = std::max(width, size.width);
      height = std::max(height, size.height);
    }
    for (size_t i = 0; i < panels_.size(); ++i) {
      Margins margins = panels_[i]->Measure(
          font, {tracks.widths[i % columns_], tracks.heights[i / columns_]},
          options_.letters ? Letter(i) : "");
      tracks.columns[i % columns_].Cover(margins);
      tracks.rows[i / columns_].Cover(margins);
    }
    return tracks;
  }

  size_t rows_, columns_;
  std::vector<std::shared_ptr<const Panel>> panels_;
  GridOptions options_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<const Panel>> MakeGrid(
    int rows, int columns, std::vector<std::shared_ptr<const Panel>> panels,
    const GridOptions& options) {
  const std::string figure = FigureName(options.title);
  SEPTET_RETURN_IF_ERROR(CheckText(options.title, "title")) << figure;
  constexpr int kMost = 100;
  if (rows < 1 || rows > kMost || columns < 1 || columns > kMost) {
    return absl::InvalidArgumentError(
        absl::StrCat(figure, ": a grid of ", rows, " x ", columns,
                     ", want 1 x 1 to ", kMost, " x ", kMost));
  }
  if (panels.empty() || panels.size() > static_cast<size_t>(rows * columns)) {
    return absl::InvalidArgumentError(
        absl::StrCat(figure, ": ", panels.size(), " figures in a grid of ",
                     rows, " x ", columns, ", want 1 to ", rows * columns));
  }
  if (options.dots_per_inch < 30 || options.dots_per_inch > 1200) {
    return absl::InvalidArgumentError(
        absl::StrCat(figure, ": dots_per_inch is ", options.dots_per_inch,
                     ", want 30 to 1200"));
  }
  return std::shared_ptr<const Panel>(
      std::make_shared<GridPanel>(rows, columns, std::move(panels), options));
}

}  // namespace plot_internal
}  // namespace septet
