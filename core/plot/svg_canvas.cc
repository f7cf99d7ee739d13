// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/plot/canvas_impl.h"
#include "septet/core/plot/font_impl.h"
#include "septet/core/plot/geometry_impl.h"
#include "septet/core/plot/png_impl.h"

namespace septet {
namespace plot_internal {
namespace {

// Thousandths of a point are finer than any printer.
constexpr double kUnit = 1000;

// Without trailing zeros.
std::string Number(double value, double unit = kUnit) {
  const int64_t units = std::llround(value * unit);
  const auto whole = static_cast<int64_t>(unit);
  const uint64_t size = units < 0 ? -units : units;
  std::string text =
      absl::StrCat(units < 0 ? "-" : "", size / static_cast<uint64_t>(whole));
  uint64_t rest = size % static_cast<uint64_t>(whole);
  if (rest == 0) return text;
  text += '.';
  for (int64_t digit = whole / 10; rest > 0; digit /= 10) {
    absl::StrAppend(&text, rest / static_cast<uint64_t>(digit));
    rest %= static_cast<uint64_t>(digit);
  }
  return text;
}

std::string PathData(const Path& path) {
  std::string data;
  for (const Path::Step& step : path.steps) {
    data += step.command;
    const int points = step.command == 'C' ? 3 : step.command == 'Z' ? 0 : 1;
    for (int i = 0; i < points; ++i) {
      absl::StrAppend(&data, i == 0 ? "" : " ", Number(step.points[i].x), " ",
                      Number(step.points[i].y));
    }
  }
  return data;
}

std::string Color(Rgb color) {
  return absl::StrFormat("#%02x%02x%02x", color.red, color.green, color.blue);
}

std::string Escaped(absl::string_view text) {
  std::string result;
  for (const char c : Printable(text)) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

class SvgCanvas : public Canvas {
 public:
  SvgCanvas(const Font* font, Size size) : Canvas(font), size_(size) {}

  void Fill(const Path& path, const Paint& paint) override {
    absl::StrAppend(&body_, "<path d=\"", PathData(path), "\"", FillOf(paint),
                    "/>\n");
  }

  void Line(const Path& path, const Stroke& stroke) override {
    absl::StrAppend(&body_, "<path d=\"", PathData(path),
                    "\" fill=\"none\" stroke=\"", Color(stroke.paint.color),
                    "\" stroke-width=\"", Number(stroke.width), "\"");
    if (stroke.paint.alpha < 1) {
      absl::StrAppend(&body_, " stroke-opacity=\"", Number(stroke.paint.alpha),
                      "\"");
    }
    if (!stroke.dash.empty()) {
      absl::StrAppend(&body_, " stroke-dasharray=\"");
      for (size_t i = 0; i < stroke.dash.size(); ++i) {
        absl::StrAppend(&body_, i == 0 ? "" : " ", Number(stroke.dash[i]));
      }
      absl::StrAppend(&body_, "\"");
    } else {
      absl::StrAppend(&body_, " stroke-linecap=\"round\"");
    }
    absl::StrAppend(&body_, " stroke-linejoin=\"round\"/>\n");
  }

  void Stamp(const Path& shape, const std::vector<Point>& places,
             const Paint& paint) override {
    if (places.empty()) return;
    const std::string id = Define("m", PathData(shape));
    absl::StrAppend(&body_, "<g", FillOf(paint), ">\n");
    for (const Point& p : places) {
      absl::StrAppend(&body_, "<use xlink:href=\"#", id, "\" x=\"", Number(p.x),
                      "\" y=\"", Number(p.y), "\"/>\n");
    }
    absl::StrAppend(&body_, "</g>\n");
  }

  void Image(const Rect& rect, const Raster& raster) override {
    absl::StatusOr<std::string> png = EncodePng(raster);
    if (!png.ok()) {
      if (status_.ok()) status_ = png.status();
      return;
    }
    absl::StrAppend(
        &body_, "<image x=\"", Number(rect.x), "\" y=\"", Number(rect.y),
        "\" width=\"", Number(rect.width), "\" height=\"", Number(rect.height),
        "\" preserveAspectRatio=\"none\" image-rendering=\"optimizeSpeed\" "
        "style=\"image-rendering:pixelated\" "
        "xlink:href=\"data:image/png;base64,",
        absl::Base64Escape(*png), "\"/>\n");
  }

  void Letters(const std::vector<const Glyph*>& glyphs,
               const std::vector<Point>& places,
               const std::vector<double>& sizes, Point origin, double degrees,
               Rgb color) override {
    absl::StrAppend(&body_, "<g fill=\"", Color(color),
                    "\" transform=\"translate(", Number(origin.x), " ",
                    Number(origin.y), ")");
    if (degrees != 0)
      absl::StrAppend(&body_, " rotate(", Number(-degrees), ")");
    absl::StrAppend(&body_, "\">");
    for (size_t i = 0; i < glyphs.size(); ++i) {
      if (glyphs[i]->outline.steps.empty()) continue;
      const std::string id = Define("g", PathData(glyphs[i]->outline));
      absl::StrAppend(&body_, "<use xlink:href=\"#", id,
                      "\" transform=\"translate(", Number(places[i].x), " ",
                      Number(places[i].y), ") scale(",
                      // Millionths: of 2048 units.
                      Number(sizes[i] / kFontUnits, 1e6), ")\"/>");
    }
    absl::StrAppend(&body_, "</g>\n");
  }

  void BeginGroup(absl::string_view name) override {
    absl::StrAppend(&body_, "<g class=\"", Escaped(name), "\">\n");
  }
  void EndGroup() override { absl::StrAppend(&body_, "</g>\n"); }

  absl::StatusOr<std::string> Finish() override {
    SEPTET_RETURN_IF_ERROR(status_);
    const std::string width = Number(size_.width),
                      height = Number(size_.height);
    return absl::StrCat(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<svg xmlns=\"http://www.w3.org/2000/svg\" "
        "xmlns:xlink=\"http://www.w3.org/1999/xlink\" width=\"",
        width, "pt\" height=\"", height, "pt\" viewBox=\"0 0 ", width, " ",
        height, "\" version=\"1.1\">\n<defs>\n", definitions_,
        "</defs>\n<rect width=\"", width, "\" height=\"", height,
        "\" fill=\"#ffffff\"/>\n", body_, "</svg>\n");
  }

 private:
  static std::string FillOf(const Paint& paint) {
    std::string result = absl::StrCat(" fill=\"", Color(paint.color), "\"");
    if (paint.alpha < 1) {
      absl::StrAppend(&result, " fill-opacity=\"", Number(paint.alpha), "\"");
    }
    return result;
  }

  // The name of an outline, numbered in the order of use.
  std::string Define(absl::string_view prefix, const std::string& data) {
    const auto [it, added] =
        ids_.try_emplace(data, absl::StrCat(prefix, ids_.size()));
    if (added) {
      absl::StrAppend(&definitions_, "<path id=\"", it->second, "\" d=\"", data,
                      "\"/>\n");
    }
    return it->second;
  }

  Size size_;
  std::map<std::string, std::string> ids_;
  std::string definitions_, body_;
  absl::Status status_;
};

}  // namespace

std::unique_ptr<Canvas> MakeSvgCanvas(const Font* font, Size size) {
  return absl::make_unique<SvgCanvas>(font, size);
}

}  // namespace plot_internal
}  // namespace septet
