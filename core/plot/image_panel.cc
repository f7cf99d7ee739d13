// SPDX-License-Identifier: Apache-2.0
// Images in a grid.
#include <algorithm>
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
#include "absl/strings/string_view.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/plot/canvas_impl.h"
#include "septet/core/plot/color_map.h"
#include "septet/core/plot/csv.h"
#include "septet/core/plot/figure.h"
#include "septet/core/plot/font_impl.h"
#include "septet/core/plot/geometry_impl.h"
#include "septet/core/plot/panel_impl.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace plot_internal {
namespace {

// Around the block of images, and between them where they are not tiny.
constexpr double kGap = 3;
constexpr int64_t kMostImages = 10000;
constexpr int64_t kMostValues = 16 << 20;
// An image of cairo's has at most so many pixels along a side.
constexpr int64_t kLongestSide = 32767;
constexpr Rgb kNotANumber = {0xff, 0x00, 0xff};

class ImagePanel : public Panel {
 public:
  ImagePanel(std::vector<double> values, int64_t count, int64_t height,
             int64_t width, int64_t channels, double black, double white,
             std::vector<std::string> captions, ImageGridOptions options)
      : values_(std::move(values)),
        count_(count),
        height_(height),
        width_(width),
        channels_(channels),
        black_(black),
        white_(white),
        captions_(std::move(captions)),
        options_(std::move(options)) {
    columns_ = ColumnsOf(count, options_);
    rows_ = (count + columns_ - 1) / columns_;
  }

  static int64_t ColumnsOf(int64_t count, const ImageGridOptions& options) {
    if (options.columns > 0) return std::min<int64_t>(options.columns, count);
    return static_cast<int64_t>(
        std::ceil(std::sqrt(static_cast<double>(count))));
  }

  Size NaturalSize(const Font& font) const override {
    const double width = 72 * options_.width_inches;
    if (options_.height_inches > 0) return {width, 72 * options_.height_inches};
    const Margins margins = Measure(font, {width, width}, "");
    const double inner = std::max(width - margins.left - margins.right, 10.0);
    const double gap = GapOf(inner);
    const double image = ((inner + gap) / static_cast<double>(columns_) - gap) *
                         static_cast<double>(height_) /
                         static_cast<double>(width_);
    return {width, margins.top + margins.bottom +
                       static_cast<double>(rows_) * (image + Caption()) +
                       static_cast<double>(rows_ - 1) * gap};
  }

  Margins Measure(const Font& font, Size cell,
                  absl::string_view letter) const override {
    Margins margins = {2 * kGap, 2 * kGap, 2 * kGap, 2 * kGap};
    double widest = 0;
    for (const std::string& label : options_.row_labels) {
      widest = std::max(widest, font.Width(Printable(label), RowSize()));
    }
    if (widest > 0) margins.left += std::min(widest, 0.3 * cell.width) + kGap;
    const TitleBlock title = MakeTitle(font, Title(letter), TitleSize(options_),
                                       cell.width - 2 * kGap);
    if (!title.lines.empty()) margins.top += title.height() + kGap;
    if (!options_.column_labels.empty()) margins.top += 1.3 * RowSize();
    return margins;
  }

  void Draw(Canvas& canvas, const Rect& cell, const Margins& margins,
            absl::string_view letter) const override;
  void AppendCsv(absl::string_view panel, std::string* csv) const override;

 private:
  double RowSize() const { return options_.font_points; }
  // Between images of a block that is so wide: a quarter of one at most, so
  // that any number of columns has room.
  double GapOf(double inner) const {
    return std::min(kGap, 0.2 * inner / static_cast<double>(columns_));
  }
  double Caption() const {
    return captions_.empty() ? 0 : 1.3 * TickSize(options_);
  }
  std::string Title(absl::string_view letter) const {
    if (letter.empty()) return options_.title;
    return options_.title.empty() ? std::string(letter)
                                  : absl::StrCat(letter, " ", options_.title);
  }
  Raster MakeRaster(int64_t image) const;

  std::vector<double> values_;  // [N, H, W, C]
  int64_t count_, height_, width_, channels_;
  double black_, white_;
  std::vector<std::string> captions_;
  ImageGridOptions options_;
  int64_t columns_ = 1, rows_ = 1;
};

Raster ImagePanel::MakeRaster(int64_t image) const {
  Raster raster;
  raster.width = width_;
  raster.height = height_;
  raster.pixels.reserve(width_ * height_);
  const double* v = values_.data() + image * height_ * width_ * channels_;
  const auto level = [&](double value) {
    return (value - black_) / (white_ - black_);
  };
  for (int64_t i = 0; i < width_ * height_; ++i, v += channels_) {
    if (channels_ == 1) {
      raster.pixels.push_back(std::isnan(v[0])
                                  ? kNotANumber
                                  : MapColor(options_.color_map, level(v[0])));
      continue;
    }
    const auto byte = [&](double value) {
      return MapColor(ColorMap::kGrey, level(value)).red;
    };
    raster.pixels.push_back(std::isnan(v[0] + v[1] + v[2])
                                ? kNotANumber
                                : Rgb{byte(v[0]), byte(v[1]), byte(v[2])});
  }
  return raster;
}

void ImagePanel::Draw(Canvas& canvas, const Rect& cell, const Margins& margins,
                      absl::string_view letter) const {
  const Font& font = canvas.font();
  const double inner =
      std::max(cell.width - margins.left - margins.right, 10.0);
  const double tall =
      std::max(cell.height - margins.top - margins.bottom, 10.0);
  const double gap = GapOf(inner);
  // As large as both extents allow.
  const double by_width = (inner - gap * static_cast<double>(columns_ - 1)) /
                          static_cast<double>(columns_);
  const double by_height = ((tall - gap * static_cast<double>(rows_ - 1)) /
                                static_cast<double>(rows_) -
                            Caption()) *
                           static_cast<double>(width_) /
                           static_cast<double>(height_);
  const double width = std::max(std::min(by_width, by_height), 1e-3);
  const double height =
      width * static_cast<double>(height_) / static_cast<double>(width_);
  const double block = static_cast<double>(columns_) * (width + gap) - gap;
  const double left = cell.x + margins.left + (inner - block) / 2;
  const double top = cell.y + margins.top;

  const double size = TickSize(options_);
  double caption_size = size;
  for (const std::string& caption : captions_) {
    const double extent = font.Width(Printable(caption), size);
    if (extent > width) {
      caption_size = std::min(caption_size, size * width / extent);
    }
  }
  caption_size = std::max(caption_size, 0.7 * size);
  for (int64_t i = 0; i < count_; ++i) {
    const double x = left + static_cast<double>(i % columns_) * (width + gap);
    const double y =
        top + static_cast<double>(i / columns_) * (height + Caption() + gap);
    canvas.Image({x, y, width, height}, MakeRaster(i));
    if (captions_.empty()) continue;
    canvas.Text(font.Fit(Printable(captions_[i]), caption_size, width + gap),
                {x + width / 2, y + height + 1.05 * size},
                {caption_size, Align::kCenter});
  }
  for (size_t r = 0; r < options_.row_labels.size(); ++r) {
    const double y =
        top + static_cast<double>(r) * (height + Caption() + gap) + height / 2;
    canvas.Text(font.Fit(Printable(options_.row_labels[r]), RowSize(),
                         0.3 * cell.width),
                {left - 2 * kGap, y},
                {RowSize(), Align::kRight, Vertical::kMiddle});
  }
  for (size_t c = 0; c < options_.column_labels.size(); ++c) {
    const double x = left + static_cast<double>(c) * (width + gap) + width / 2;
    canvas.Text(
        font.Fit(Printable(options_.column_labels[c]), RowSize(), width + gap),
        {x, top - kGap}, {RowSize(), Align::kCenter});
  }
  const double above = options_.column_labels.empty() ? 0 : 1.3 * RowSize();
  MakeTitle(font, Title(letter), TitleSize(options_), cell.width - 2 * kGap)
      .Draw(canvas, {cell.x + kGap, cell.y, cell.width - 2 * kGap, 0},
            left + block / 2, top - kGap - above);
}

void ImagePanel::AppendCsv(absl::string_view panel, std::string* csv) const {
  const double* v = values_.data();
  for (int64_t i = 0; i < count_; ++i) {
    for (int64_t y = 0; y < height_; ++y) {
      std::string pixels;
      for (int64_t k = 0; k < width_ * channels_; ++k) {
        absl::StrAppend(&pixels, k == 0 ? "" : " ", CsvNumber(*v++));
      }
      *csv += CsvLine({PanelName(panel), "images",
                       captions_.empty() ? "" : captions_[i], absl::StrCat(i),
                       absl::StrCat(y), "", "", pixels});
    }
  }
}

absl::Status CheckLabels(const std::vector<std::string>& labels, int64_t want,
                         absl::string_view name, absl::string_view what) {
  if (!labels.empty() && static_cast<int64_t>(labels.size()) != want) {
    return absl::InvalidArgumentError(absl::StrCat(labels.size(), " ", name,
                                                   ", want ", want, ", one a ",
                                                   what, ", or none"));
  }
  for (size_t i = 0; i < labels.size(); ++i) {
    SEPTET_RETURN_IF_ERROR(
        CheckText(labels[i], absl::StrCat(name, "[", i, "]")));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Panel>> MakeImages(
    const Tensor& images, std::vector<std::string> captions,
    const ImageGridOptions& options) {
  const std::string figure = FigureName(options.title);
  SEPTET_RETURN_IF_ERROR(CheckOptions(options)) << figure;
  const auto wrong = [&](absl::string_view want) {
    return absl::InvalidArgumentError(
        absl::StrCat(figure, ": images are ",
                     images.defined() ? images.DebugString() : "undefined",
                     ", want ", want));
  };
  if (!images.defined() || (images.rank() != 3 && images.rank() != 4)) {
    return wrong("[N, H, W] or [N, H, W, C]");
  }
  const DType dtype = images.dtype();
  if (dtype != DType::kU8 && dtype != DType::kF32 && dtype != DType::kF64) {
    return wrong("u8, f32 or f64");
  }
  const int64_t count = images.shape()[0], height = images.shape()[1];
  const int64_t width = images.shape()[2];
  const int64_t channels = images.rank() == 4 ? images.shape()[3] : 1;
  if (channels != 1 && channels != 3) return wrong("1 or 3 channels");
  if (images.num_elements() == 0) return wrong("at least one pixel");
  if (count > kMostImages || images.num_elements() > kMostValues) {
    return wrong(absl::StrCat("at most ", kMostImages, " images of ",
                              kMostValues, " values together"));
  }
  if (height > kLongestSide || width > kLongestSide) {
    return wrong(
        absl::StrCat("at most ", kLongestSide, " pixels along a side"));
  }
  SEPTET_RETURN_IF_ERROR(CheckNoLines(options)) << figure;
  if (!options.x.label.empty() || !options.y.label.empty() ||
      !options.x.categories.empty() || !options.y.categories.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(figure,
                     ": x or y has a label or categories, want none: "
                     "images have row_labels and column_labels"));
  }
  if (options.columns < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(figure, ": columns is ", options.columns, ", want >= 0"));
  }
  if (!std::isfinite(options.black) || !std::isfinite(options.white) ||
      std::fabs(options.black) > 1e300 || std::fabs(options.white) > 1e300 ||
      options.black == options.white) {
    return absl::InvalidArgumentError(absl::StrCat(
        figure, ": black is ", options.black, " and white is ", options.white,
        ", want two finite numbers of at most 1e300"));
  }
  SEPTET_RETURN_IF_ERROR(CheckLabels(captions, count, "captions", "image"))
      << figure;
  const int64_t columns = ImagePanel::ColumnsOf(count, options);
  SEPTET_RETURN_IF_ERROR(CheckLabels(
      options.row_labels, (count + columns - 1) / columns, "row_labels", "row"))
      << figure;
  SEPTET_RETURN_IF_ERROR(
      CheckLabels(options.column_labels, columns, "column_labels", "column"))
      << figure;
  SEPTET_ASSIGN_OR_RETURN(const Tensor numbers, images.To(DType::kF64));
  SEPTET_ASSIGN_OR_RETURN(const Tensor dense, numbers.Contiguous());
  const bool bytes = dtype == DType::kU8;
  return std::shared_ptr<const Panel>(std::make_shared<ImagePanel>(
      dense.ToVector<double>(), count, height, width, channels,
      bytes ? 0 : options.black, bytes ? 255 : options.white,
      std::move(captions), options));
}

}  // namespace plot_internal
}  // namespace septet
