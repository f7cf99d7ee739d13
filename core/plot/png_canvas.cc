// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cairo.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/plot/canvas_impl.h"
#include "septet/core/plot/font_impl.h"
#include "septet/core/plot/geometry_impl.h"
#include "septet/core/plot/png_impl.h"

namespace septet {
namespace plot_internal {
namespace {

absl::Status CairoError(cairo_status_t status, absl::string_view what) {
  if (status == CAIRO_STATUS_SUCCESS) return absl::OkStatus();
  const std::string message =
      absl::StrCat("plot: ", what, ": ", cairo_status_to_string(status));
  if (status == CAIRO_STATUS_NO_MEMORY) {
    return absl::ResourceExhaustedError(message);
  }
  return absl::InternalError(message);
}

absl::StatusOr<Surface> NewSurface(int64_t width, int64_t height) {
  // cairo's own limit.
  if (width > 32767 || height > 32767) {
    return absl::ResourceExhaustedError(
        absl::StrCat("plot: a picture of ", width, " x ", height,
                     " pixels, want at most 32767 each way"));
  }
  Surface surface(cairo_image_surface_create(
      CAIRO_FORMAT_RGB24, static_cast<int>(width), static_cast<int>(height)));
  SEPTET_RETURN_IF_ERROR(CairoError(
      cairo_surface_status(surface.get()),
      absl::StrCat("a picture of ", width, " x ", height, " pixels")));
  return surface;
}

// Segments of a piece of a long line.
constexpr size_t kPiece = 16;

// Whether this is one long line through points that go back and forth: cairo's
// time for it, as a whole, grows as the square of their number.
bool MayCrossItselfOften(const Path& path) {
  const std::vector<Path::Step>& steps = path.steps;
  if (steps.size() < 64 * kPiece) return false;
  bool forth = false, back = false;
  for (size_t i = 1; i < steps.size(); ++i) {
    if (steps[i].command != 'L') return false;
    forth = forth || steps[i].points[0].x > steps[i - 1].points[0].x;
    back = back || steps[i].points[0].x < steps[i - 1].points[0].x;
  }
  return forth && back;
}

class PngCanvas : public Canvas {
 public:
  PngCanvas(const Font* font, Surface surface, int dots_per_inch)
      : Canvas(font),
        surface_(std::move(surface)),
        context_(cairo_create(surface_.get())),
        dots_per_inch_(dots_per_inch) {
    cairo_scale(context_, dots_per_inch / 72.0, dots_per_inch / 72.0);
    // Pieces of curves may be off by this many pixels.
    cairo_set_tolerance(context_, 0.05);
    cairo_set_line_join(context_, CAIRO_LINE_JOIN_ROUND);
  }
  ~PngCanvas() override { cairo_destroy(context_); }

  void Fill(const Path& path, const Paint& paint) override {
    Trace(path);
    SetPaint(paint);
    cairo_fill(context_);
  }

  void Line(const Path& path, const Stroke& stroke) override {
    SetPaint(stroke.paint);
    cairo_set_line_width(context_, stroke.width);
    cairo_set_line_cap(context_, stroke.dash.empty() ? CAIRO_LINE_CAP_ROUND
                                                     : CAIRO_LINE_CAP_BUTT);
    cairo_set_dash(context_, stroke.dash.data(),
                   static_cast<int>(stroke.dash.size()), 0);
    if (stroke.paint.alpha == 1 && MayCrossItselfOften(path)) {
      StrokePieces(path, stroke);
      return;
    }
    Trace(path);
    cairo_stroke(context_);
  }

  void Stamp(const Path& shape, const std::vector<Point>& places,
             const Paint& paint) override {
    for (const Point& p : places) {
      cairo_save(context_);
      cairo_translate(context_, p.x, p.y);
      Fill(shape, paint);
      cairo_restore(context_);
    }
  }

  void Image(const Rect& rect, const Raster& raster) override {
    absl::StatusOr<Surface> image = MakeSurface(raster);
    if (!image.ok()) {
      if (status_.ok()) status_ = image.status();
      return;
    }
    cairo_save(context_);
    cairo_translate(context_, rect.x, rect.y);
    const double sx = rect.width / static_cast<double>(raster.width);
    const double sy = rect.height / static_cast<double>(raster.height);
    cairo_scale(context_, sx, sy);
    cairo_set_source_surface(context_, image->get(), 0, 0);
    // Where a pixel of the picture covers several of the image, their mean.
    const bool smaller = std::min(sx, sy) * dots_per_inch_ / 72 < 1;
    cairo_pattern_t* const pattern = cairo_get_source(context_);
    cairo_pattern_set_filter(
        pattern, smaller ? CAIRO_FILTER_GOOD : CAIRO_FILTER_NEAREST);
    cairo_pattern_set_extend(pattern, CAIRO_EXTEND_PAD);
    cairo_rectangle(context_, 0, 0, static_cast<double>(raster.width),
                    static_cast<double>(raster.height));
    cairo_fill(context_);
    cairo_restore(context_);
  }

  void Letters(const std::vector<const Glyph*>& glyphs,
               const std::vector<Point>& places,
               const std::vector<double>& sizes, Point origin, double degrees,
               Rgb color) override {
    constexpr double kRadian = 3.14159265358979323846 / 180;
    cairo_save(context_);
    cairo_translate(context_, origin.x, origin.y);
    cairo_rotate(context_, -degrees * kRadian);
    SetPaint({color, 1});
    for (size_t i = 0; i < glyphs.size(); ++i) {
      if (glyphs[i]->outline.steps.empty()) continue;
      cairo_save(context_);
      cairo_translate(context_, places[i].x, places[i].y);
      cairo_scale(context_, sizes[i] / kFontUnits, sizes[i] / kFontUnits);
      Trace(glyphs[i]->outline);
      cairo_restore(context_);
      cairo_fill(context_);
    }
    cairo_restore(context_);
  }

  void BeginGroup(absl::string_view) override {}
  void EndGroup() override {}

  absl::StatusOr<std::string> Finish() override {
    SEPTET_RETURN_IF_ERROR(status_);
    SEPTET_RETURN_IF_ERROR(CairoError(cairo_status(context_), "drawing"));
    SEPTET_ASSIGN_OR_RETURN(std::string png, EncodePng(surface_.get()));
    return WithResolution(std::move(png), dots_per_inch_);
  }

 private:
  // Pieces of a line, one after another, dashes going on from each to the next.
  void StrokePieces(const Path& line, const Stroke& stroke) {
    double drawn = 0;
    for (size_t begin = 1; begin < line.steps.size(); begin += kPiece) {
      const size_t end = std::min(begin + kPiece, line.steps.size());
      Path piece;
      piece.MoveTo(line.steps[begin - 1].points[0]);
      for (size_t i = begin; i < end; ++i) {
        piece.LineTo(line.steps[i].points[0]);
      }
      if (!stroke.dash.empty()) {
        cairo_set_dash(context_, stroke.dash.data(),
                       static_cast<int>(stroke.dash.size()), drawn);
        for (size_t i = begin; i < end; ++i) {
          const Point a = line.steps[i - 1].points[0];
          const Point b = line.steps[i].points[0];
          drawn += std::hypot(b.x - a.x, b.y - a.y);
        }
      }
      Trace(piece);
      cairo_stroke(context_);
    }
  }

  void Trace(const Path& path) {
    cairo_new_path(context_);
    for (const Path::Step& step : path.steps) {
      const Point* const p = step.points;
      switch (step.command) {
        case 'M':
          cairo_move_to(context_, p[0].x, p[0].y);
          break;
        case 'L':
          cairo_line_to(context_, p[0].x, p[0].y);
          break;
        case 'C':
          cairo_curve_to(context_, p[0].x, p[0].y, p[1].x, p[1].y, p[2].x,
                         p[2].y);
          break;
        default:
          cairo_close_path(context_);
      }
    }
  }

  void SetPaint(const Paint& paint) {
    cairo_set_source_rgba(context_, paint.color.red / 255.0,
                          paint.color.green / 255.0, paint.color.blue / 255.0,
                          paint.alpha);
  }

  Surface surface_;
  cairo_t* context_;
  int dots_per_inch_;
  absl::Status status_;
};

cairo_status_t AppendToString(void* closure, const unsigned char* data,
                              unsigned int length) {
  static_cast<std::string*>(closure)->append(
      reinterpret_cast<const char*>(data), length);
  return CAIRO_STATUS_SUCCESS;
}

// The check sum of PNG (ISO 3309), bit by bit: it is for a few bytes.
uint32_t Crc32(absl::string_view bytes) {
  uint32_t crc = 0xffffffff;
  for (const char byte : bytes) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) {
      crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
  }
  return ~crc;
}

std::string BigEndian(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16),
          static_cast<char>(value >> 8), static_cast<char>(value)};
}

}  // namespace

void SurfaceDeleter::operator()(cairo_surface_t* surface) const {
  cairo_surface_destroy(surface);
}

absl::StatusOr<Surface> MakeSurface(int width, int height) {
  SEPTET_ASSIGN_OR_RETURN(Surface surface, NewSurface(width, height));
  cairo_t* const context = cairo_create(surface.get());
  cairo_set_source_rgb(context, 1, 1, 1);
  cairo_paint(context);
  cairo_destroy(context);
  return surface;
}

absl::StatusOr<Surface> MakeSurface(const Raster& raster) {
  SEPTET_ASSIGN_OR_RETURN(Surface surface,
                          NewSurface(raster.width, raster.height));
  cairo_surface_flush(surface.get());
  unsigned char* const data = cairo_image_surface_get_data(surface.get());
  const int stride = cairo_image_surface_get_stride(surface.get());
  for (int64_t y = 0; y < raster.height; ++y) {
    auto* const row = reinterpret_cast<uint32_t*>(data + y * stride);
    for (int64_t x = 0; x < raster.width; ++x) {
      const Rgb& pixel = raster.pixels[y * raster.width + x];
      row[x] = uint32_t{pixel.red} << 16 | uint32_t{pixel.green} << 8 |
               uint32_t{pixel.blue};
    }
  }
  cairo_surface_mark_dirty(surface.get());
  return surface;
}

absl::StatusOr<std::string> EncodePng(cairo_surface_t* surface) {
  std::string png;
  SEPTET_RETURN_IF_ERROR(CairoError(
      cairo_surface_write_to_png_stream(surface, &AppendToString, &png),
      "encode PNG"));
  return png;
}

absl::StatusOr<std::string> EncodePng(const Raster& raster) {
  SEPTET_ASSIGN_OR_RETURN(const Surface surface, MakeSurface(raster));
  return EncodePng(surface.get());
}

std::string WithResolution(std::string png, int dots_per_inch) {
  // Behind the signature and IHDR, which is always first and 25 bytes long.
  constexpr size_t kPlace = 8 + 25;
  const auto per_meter =
      static_cast<uint32_t>(std::lround(dots_per_inch / 0.0254));
  const std::string chunk =
      absl::StrCat("pHYs", BigEndian(per_meter), BigEndian(per_meter), "\1");
  png.insert(kPlace,
             absl::StrCat(BigEndian(9), chunk, BigEndian(Crc32(chunk))));
  return png;
}

absl::StatusOr<std::unique_ptr<Canvas>> MakePngCanvas(const Font* font,
                                                      Size size,
                                                      int dots_per_inch) {
  const auto pixels = [&](double points) {
    return std::max(1,
                    static_cast<int>(std::lround(points * dots_per_inch / 72)));
  };
  SEPTET_ASSIGN_OR_RETURN(Surface surface,
                          MakeSurface(pixels(size.width), pixels(size.height)));
  return std::unique_ptr<Canvas>(
      absl::make_unique<PngCanvas>(font, std::move(surface), dots_per_inch));
}

}  // namespace plot_internal
}  // namespace septet
