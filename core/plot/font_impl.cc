// SPDX-License-Identifier: Apache-2.0
#include "septet/core/plot/font_impl.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "cairo.h"
#include "septet/core/plot/geometry_impl.h"
#include "septet/core/plot/ticks.h"
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#endif

namespace septet {
namespace plot_internal {
namespace {

constexpr char kEllipsis[] = "\u2026";

// Bytes of the character that begins here; 0 if it is not UTF-8.
size_t CharacterLength(absl::string_view text) {
  const auto byte = [&](size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  size_t length;
  uint32_t code, least;
  if (first >= 0xc2 && first <= 0xdf) {
    length = 2, code = first & 0x1f, least = 0x80;
  } else if ((first & 0xf0) == 0xe0) {
    length = 3, code = first & 0x0f, least = 0x800;
  } else if (first >= 0xf0 && first <= 0xf4) {
    length = 4, code = first & 0x07, least = 0x10000;
  } else {
    return 0;
  }
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3f);
  }
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  return code < least || code > 0x10ffff || surrogate ? 0 : length;
}

}  // namespace

bool IsUtf8(absl::string_view text) {
  while (!text.empty()) {
    const size_t length = CharacterLength(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::vector<absl::string_view> Characters(absl::string_view text) {
  std::vector<absl::string_view> characters;
  while (!text.empty()) {
    const size_t length = std::max<size_t>(CharacterLength(text), 1);
    characters.push_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return characters;
}

std::string Printable(absl::string_view text) {
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      result += "\\n";
    } else if (c == '\t') {
      result += "\\t";
    } else if (c == '\r') {
      result += "\\r";
    } else if (byte < 0x20 || byte == 0x7f) {
      absl::StrAppendFormat(&result, "\\x%02x", byte);
    } else {
      result += c;
    }
  }
  return result;
}

struct Font::Cairo {
  cairo_surface_t* surface = nullptr;
  cairo_t* context = nullptr;

  ~Cairo() {
    if (context != nullptr) cairo_destroy(context);
    if (surface != nullptr) cairo_surface_destroy(surface);
  }
};

Font::Font(std::unique_ptr<Cairo> cairo) : cairo_(std::move(cairo)) {}
Font::~Font() = default;

absl::StatusOr<std::unique_ptr<Font>> Font::Load() {
  auto cairo = absl::make_unique<Cairo>();
  cairo->surface = cairo_image_surface_create(CAIRO_FORMAT_A8, 1, 1);
  cairo->context = cairo_create(cairo->surface);
  cairo_t* const context = cairo->context;
  // The outlines as they are designed.
  cairo_font_options_t* const options = cairo_font_options_create();
  cairo_font_options_set_hint_style(options, CAIRO_HINT_STYLE_NONE);
  cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF);
  cairo_set_font_options(context, options);
  cairo_font_options_destroy(options);
  {
#if defined(__SANITIZE_ADDRESS__)
    // fontconfig finds the font here and keeps some of what it allocates.
    const __lsan::ScopedDisabler ignore_leaks;
#endif
    cairo_select_font_face(context, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL,
                           CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(context, kFontUnits);
    cairo_text_extents_t extents;
    cairo_text_extents(context, "0", &extents);
  }
  const cairo_status_t status = cairo_status(context);
  if (status == CAIRO_STATUS_NO_MEMORY) {
    return absl::ResourceExhaustedError("plot: no memory for a font");
  }
  if (status != CAIRO_STATUS_SUCCESS) {
    return absl::InternalError(absl::StrCat("plot: cairo has no font: ",
                                            cairo_status_to_string(status)));
  }
  return absl::WrapUnique(new Font(std::move(cairo)));
}

const Glyph& Font::GlyphOf(absl::string_view character) const {
  const auto found = glyphs_.find(character);
  if (found != glyphs_.end()) return found->second;
  const std::string text(character);
  Glyph glyph;
  cairo_t* const context = cairo_->context;
  cairo_text_extents_t extents;
  cairo_text_extents(context, text.c_str(), &extents);
  glyph.advance = extents.x_advance;
  cairo_new_path(context);
  cairo_move_to(context, 0, 0);
  cairo_text_path(context, text.c_str());
  cairo_path_t* const path = cairo_copy_path(context);
  const auto point = [](const cairo_path_data_t& data) {
    return Point{data.point.x, data.point.y};
  };
  for (int i = 0; i < path->num_data; i += path->data[i].header.length) {
    const cairo_path_data_t* const data = &path->data[i];
    switch (data->header.type) {
      case CAIRO_PATH_MOVE_TO:
        // One that nothing follows only says where the text ends.
        if (i + data->header.length < path->num_data &&
            data[data->header.length].header.type != CAIRO_PATH_MOVE_TO) {
          glyph.outline.MoveTo(point(data[1]));
        }
        break;
      case CAIRO_PATH_LINE_TO:
        glyph.outline.LineTo(point(data[1]));
        break;
      case CAIRO_PATH_CURVE_TO:
        glyph.outline.CurveTo(point(data[1]), point(data[2]), point(data[3]));
        break;
      case CAIRO_PATH_CLOSE_PATH:
        glyph.outline.Close();
        break;
    }
  }
  cairo_path_destroy(path);
  return glyphs_.emplace(text, std::move(glyph)).first->second;
}

double Font::Width(absl::string_view text, double size) const {
  double units = 0;
  for (const absl::string_view c : Characters(text)) {
    units += GlyphOf(c).advance;
  }
  return units * size / kFontUnits;
}

double Font::Width(const TickLabel& label, double size) const {
  return Width(label.base, size) + Width(label.exponent, size * kExponentSize) +
         Width(label.tail, size);
}

std::string Font::Fit(absl::string_view text, double size, double width) const {
  if (Width(text, size) <= width) return std::string(text);
  double left = width - Width(kEllipsis, size);
  std::string result;
  for (const absl::string_view c : Characters(text)) {
    left -= Width(c, size);
    if (left < 0) break;
    absl::StrAppend(&result, c);
  }
  return absl::StrCat(result, kEllipsis);
}

std::vector<std::string> Font::Wrap(absl::string_view text, double size,
                                    double width) const {
  std::vector<std::string> lines;
  for (const absl::string_view paragraph : absl::StrSplit(text, '\n')) {
    std::string line;
    for (const absl::string_view word : absl::StrSplit(paragraph, ' ')) {
      const std::string longer =
          line.empty() ? std::string(word) : absl::StrCat(line, " ", word);
      if (line.empty() || Width(longer, size) <= width) {
        line = longer;
        continue;
      }
      lines.push_back(Fit(Printable(line), size, width));
      line = std::string(word);
    }
    lines.push_back(Fit(Printable(line), size, width));
  }
  return lines;
}

}  // namespace plot_internal
}  // namespace septet
