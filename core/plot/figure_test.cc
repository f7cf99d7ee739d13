// SPDX-License-Identifier: Apache-2.0
#include "septet/core/plot/figure.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "cairo.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/plot/color_map.h"
#include "septet/core/plot/series.h"
#include "septet/core/random/stream.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

// A PNG, decoded.
struct Picture {
  int width = 0, height = 0;
  std::vector<Rgb> pixels;

  Rgb at(double x, double y) const {
    return pixels[static_cast<int>(y) * width + static_cast<int>(x)];
  }
};

Picture Decode(const std::string& png) {
  struct Reader {
    const std::string* png;
    size_t position;
  } reader = {&png, 0};
  cairo_surface_t* const surface = cairo_image_surface_create_from_png_stream(
      [](void* closure, unsigned char* data, unsigned int length) {
        auto* const r = static_cast<Reader*>(closure);
        if (r->png->size() - r->position < length) {
          return CAIRO_STATUS_READ_ERROR;
        }
        std::memcpy(data, r->png->data() + r->position, length);
        r->position += length;
        return CAIRO_STATUS_SUCCESS;
      },
      &reader);
  Picture picture;
  EXPECT_EQ(cairo_surface_status(surface), CAIRO_STATUS_SUCCESS);
  picture.width = cairo_image_surface_get_width(surface);
  picture.height = cairo_image_surface_get_height(surface);
  const unsigned char* const data = cairo_image_surface_get_data(surface);
  const int stride = cairo_image_surface_get_stride(surface);
  for (int y = 0; y < picture.height; ++y) {
    for (int x = 0; x < picture.width; ++x) {
      uint32_t pixel;
      std::memcpy(&pixel, data + y * stride + 4 * x, 4);
      picture.pixels.push_back({static_cast<uint8_t>(pixel >> 16),
                                static_cast<uint8_t>(pixel >> 8),
                                static_cast<uint8_t>(pixel)});
    }
  }
  cairo_surface_destroy(surface);
  return picture;
}

// What stands between `begin` and `end`, behind `from`.
std::string Between(const std::string& text, absl::string_view begin,
                    absl::string_view end, size_t from = 0) {
  const size_t a = text.find(std::string(begin), from);
  if (a == std::string::npos) return "";
  const size_t b = text.find(std::string(end), a + begin.size());
  return text.substr(a + begin.size(), b - a - begin.size());
}

// The numbers of "M1 2L3 4Z".
std::vector<double> Numbers(std::string data) {
  for (char& c : data) {
    if (c == 'M' || c == 'L' || c == 'C' || c == 'Z') c = ' ';
  }
  std::vector<double> numbers;
  for (const absl::string_view word :
       absl::StrSplit(data, ' ', absl::SkipEmpty())) {
    numbers.push_back(std::strtod(std::string(word).c_str(), nullptr));
  }
  return numbers;
}

std::string Group(const std::string& svg, absl::string_view name) {
  return Between(svg, absl::StrCat("<g class=\"", name, "\">"), "\n</g>\n");
}

// The frame's left, top, right and bottom, by its axes.
struct Frame {
  double left, top, right, bottom;
};
Frame FrameOf(const std::string& svg) {
  const std::vector<double> n =
      Numbers(Between(Group(svg, "axes"), "d=\"", "\""));
  EXPECT_EQ(n.size(), 6u);
  return {n[0], n[1], n[4], n[5]};
}

// The points of the first path of a series, in parts of the frame from the
// lower left.
std::vector<std::pair<double, double>> SeriesPoints(const std::string& svg,
                                                    int series) {
  const Frame f = FrameOf(svg);
  const std::vector<double> n = Numbers(
      Between(Group(svg, absl::StrCat("series-", series)), "d=\"", "\""));
  std::vector<std::pair<double, double>> points;
  for (size_t i = 0; i + 1 < n.size(); i += 2) {
    points.emplace_back((n[i] - f.left) / (f.right - f.left),
                        (f.bottom - n[i + 1]) / (f.bottom - f.top));
  }
  return points;
}

FigureOptions Limits(double x_min, double x_max, double y_min, double y_max) {
  FigureOptions options;
  options.x.min = x_min;
  options.x.max = x_max;
  options.y.min = y_min;
  options.y.max = y_max;
  return options;
}

std::string Svg(const absl::StatusOr<Figure>& figure) {
  EXPECT_THAT(figure, IsOk());
  return figure->Svg().value();
}

void ExpectPoints(const std::vector<std::pair<double, double>>& actual,
                  const std::vector<std::pair<double, double>>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    // Thousandths of a point, of a frame of some 200 points.
    EXPECT_NEAR(actual[i].first, expected[i].first, 2e-5) << i;
    EXPECT_NEAR(actual[i].second, expected[i].second, 2e-5) << i;
  }
}

TEST(GeometryTest, LinearAxes) {
  ExpectPoints(SeriesPoints(Svg(Figure::Lines({{"a", {0, 1, 4}, {-1, 0, 3}}},
                                              Limits(0, 4, -1, 3))),
                            0),
               {{0, 0}, {0.25, 0.25}, {1, 1}});
}

TEST(GeometryTest, LogarithmicAxes) {
  FigureOptions options = Limits(1, 1e4, 1e-3, 1e5);
  options.x.log = options.y.log = true;
  ExpectPoints(
      SeriesPoints(
          Svg(Figure::Lines({{"", {1, 10, 1e4}, {1e-3, 10, 1e5}}}, options)),
          0),
      {{0, 0}, {0.25, 0.5}, {1, 1}});
}

TEST(GeometryTest, ChosenLimitsHoldAllData) {
  const std::string svg =
      Svg(Figure::Lines({{"", {-3, 5}, {1e5, 7e6}, {9e4, 6e6}, {2e5, 9e6}}}));
  for (const auto& [x, y] : SeriesPoints(svg, 0)) {
    EXPECT_GT(x, 0);
    EXPECT_LT(x, 1);
    EXPECT_GT(y, 0);
    EXPECT_LT(y, 0.95);  // room for the band above it
  }
}

TEST(GeometryTest, LinesAreCutAtLimits) {
  const auto points = SeriesPoints(
      Svg(Figure::Lines({{"", {0, 1}, {-1e299, 1e299}}}, Limits(0, 1, 0, 1))),
      0);
  ASSERT_EQ(points.size(), 2u);
  for (const auto& [x, y] : points) {
    EXPECT_NEAR(x, 0.5, 1e-3);
    EXPECT_GT(y, -0.02);
    EXPECT_LT(y, 1.02);
  }
}

TEST(GeometryTest, GapsCutALine) {
  const std::string svg =
      Svg(Figure::Lines({{"", {0, 1, 2, 3, 4, 5}, {0, 1, kNan, 1, kInf, 2}}}));
  const std::string series = Group(svg, "series-0");
  // One piece of two points; what stands alone has markers only.
  size_t paths = 0;
  for (size_t at = 0;
       (at = series.find("fill=\"none\"", at)) != std::string::npos; ++at) {
    ++paths;
  }
  EXPECT_EQ(paths, 1u);
  size_t markers = 0;
  for (size_t at = 0; (at = series.find("<use", at)) != std::string::npos;
       ++at) {
    ++markers;
  }
  EXPECT_EQ(markers, 4u);
}

TEST(GeometryTest, PngAndSvgAgree) {
  FigureOptions options = Limits(0, 10, 0, 10);
  options.dots_per_inch = 144;
  SEPTET_ASSERT_OK_AND_ASSIGN(const Figure figure,
                              Figure::Scatter({{"", {3}, {7}}}, options));
  const std::string svg = figure.Svg().value();
  const Frame f = FrameOf(svg);
  const Picture picture = Decode(figure.Png().value());
  EXPECT_EQ(picture.width, std::lround(144 * figure.width_inches()));
  EXPECT_EQ(picture.height, std::lround(144 * figure.height_inches()));
  double sum_x = 0, sum_y = 0, weight = 0;
  for (int y = 0; y < picture.height; ++y) {
    for (int x = 0; x < picture.width; ++x) {
      const Rgb c = picture.at(x, y);
      // Only the marker is blue.
      const double blue = static_cast<double>(c.blue) - c.red;
      if (blue < 20) continue;
      sum_x += blue * (x + 0.5);
      sum_y += blue * (y + 0.5);
      weight += blue;
    }
  }
  ASSERT_GT(weight, 0);
  // Two pixels a point.
  EXPECT_NEAR(sum_x / weight / 2, f.left + 0.3 * (f.right - f.left), 0.1);
  EXPECT_NEAR(sum_y / weight / 2, f.bottom - 0.7 * (f.bottom - f.top), 0.1);
}

TEST(GeometryTest, BarsStandOnZeroInTheirGroups) {
  BarOptions options;
  options.x.categories = {"a", "b"};
  options.y.min = -2;
  options.y.max = 2;
  const std::string svg =
      Svg(Figure::Bars({{"", {}, {1, -1}}, {"", {}, {2, 0.5}}}, options));
  const auto first = SeriesPoints(svg, 0);
  ASSERT_EQ(first.size(), 4u);
  EXPECT_NEAR(first[0].second, 0.75, 1e-4);
  EXPECT_NEAR(first[2].second, 0.5, 1e-4);
  // Groups are at 0 and 1 of -0.6 to 1.6, bars 0.4 wide less a gap.
  EXPECT_NEAR(first[0].first, (0.6 - 0.2 - 0.2 * 0.94) / 2.2, 1e-4);
  EXPECT_NEAR(first[1].first, (0.6 - 0.2 + 0.2 * 0.94) / 2.2, 1e-4);
}

TEST(GeometryTest, BarsBeyondTheLimitsHaveNoNumber) {
  BarOptions options;
  options.x.categories = {"a", "b"};
  options.values = true;
  options.y.min = 0;
  options.y.max = 2;
  const auto texts = [&](double second) {
    const std::string series =
        Group(Svg(Figure::Bars({{"", {}, {1, second}}}, options)), "series-0");
    size_t count = 0;
    for (size_t at = 0;
         (at = series.find("translate(", at)) != std::string::npos; ++at) {
      ++count;
    }
    return count;
  };
  EXPECT_GT(texts(1.5), texts(1e6));
  EXPECT_GT(texts(1e6), 0u);
}

TEST(GeometryTest, HeatMapCells) {
  Matrix matrix{2, 3, {0, 1, 2, 3, 4, kNan}};
  HeatMapOptions options;
  options.color_bar = false;
  const Figure figure = Figure::HeatMap(matrix, options).value();
  const Picture picture = Decode(figure.Png().value());
  const std::string svg = figure.Svg().value();
  const double scale = options.dots_per_inch / 72.0;
  // The frame is the last path before the axes' ticks: closed, not filled.
  const std::string map = Group(svg, "map-0");
  const size_t outline = map.find("Z\" fill=\"none\"");
  ASSERT_NE(outline, std::string::npos);
  const size_t begin = map.rfind("d=\"", outline) + 3;
  const std::vector<double> n = Numbers(map.substr(begin, outline - begin));
  ASSERT_EQ(n.size(), 8u);
  const double width = n[4] - n[0], height = n[5] - n[1];
  EXPECT_NEAR(height / width, 2.0 / 3, 1e-3);  // square cells
  const auto pixel = [&](int row, int column) {
    return picture.at(scale * (n[0] + width * (column + 0.5) / 3),
                      scale * (n[1] + height * (row + 0.5) / 2));
  };
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(pixel(i / 3, i % 3), MapColor(ColorMap::kViridis, i / 4.0)) << i;
  }
  EXPECT_EQ(pixel(1, 2), (Rgb{0xd9, 0xd9, 0xd9}));

  options.row_zero_on_top = false;
  const Picture turned =
      Decode(Figure::HeatMap(matrix, options).value().Png().value());
  EXPECT_EQ(
      turned.at(scale * (n[0] + width / 6), scale * (n[1] + height * 0.75)),
      MapColor(ColorMap::kViridis, 0));
}

TEST(GeometryTest, DivergingMapsPutZeroInTheMiddle) {
  HeatMapOptions options;
  options.color_map = ColorMap::kDiverging;
  options.color_bar = false;
  const std::string svg = Svg(Figure::HeatMap({1, 3, {-1, 0, 4}}, options));
  const auto color = [](double t) {
    const Rgb c = MapColor(ColorMap::kDiverging, t);
    char text[8];
    std::snprintf(text, sizeof text, "#%02x%02x%02x", c.red, c.green, c.blue);
    return std::string(text);
  };
  EXPECT_THAT(svg, HasSubstr(color(3.0 / 8)));
  EXPECT_THAT(svg, HasSubstr(color(0.5)));
  EXPECT_THAT(svg, HasSubstr(color(1)));
}

TEST(GeometryTest, SeveralMapsShareAScale) {
  HeatMapOptions options;
  options.map_columns = 2;
  const std::string svg = Svg(Figure::HeatMaps(
      {{1, 1, {0}}, {1, 1, {5}}, {1, 1, {10}}}, {"a", "b", "c"}, options));
  EXPECT_THAT(Group(svg, "map-0"), HasSubstr("fill=\"#440154\""));
  EXPECT_THAT(Group(svg, "map-1"), HasSubstr("fill=\"#21918c\""));
  EXPECT_THAT(Group(svg, "map-2"), HasSubstr("fill=\"#fde725\""));
}

TEST(GeometryTest, ImagesAreDrawnPixelByPixel) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Tensor images,
      Tensor::FromValues<uint8_t>({1, 2, 2, 3}, {255, 0, 0, 0, 255, 0,  //
                                                 0, 0, 255, 9, 8, 7}));
  const Figure figure = Figure::ImageGrid(images).value();
  const Picture picture = Decode(figure.Png().value());
  const int w = picture.width, h = picture.height;
  EXPECT_EQ(picture.at(w / 4, h / 4), (Rgb{255, 0, 0}));
  EXPECT_EQ(picture.at(3 * w / 4, h / 4), (Rgb{0, 255, 0}));
  EXPECT_EQ(picture.at(w / 4, 3 * h / 4), (Rgb{0, 0, 255}));
  EXPECT_EQ(picture.at(3 * w / 4, 3 * h / 4), (Rgb{9, 8, 7}));
  // Not smoothed: close to the border it is the pixel's own colour still.
  EXPECT_EQ(picture.at(w / 2 - 3, h / 4), (Rgb{255, 0, 0}));
}

TEST(GeometryTest, FloatingPointImages) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Tensor images,
      Tensor::FromValues<float>({1, 2, 2}, {-1, 1, 0, std::nanf("")}));
  ImageGridOptions options;
  options.black = -1;
  const Picture picture =
      Decode(Figure::ImageGrid(images, {}, options).value().Png().value());
  const int w = picture.width, h = picture.height;
  EXPECT_EQ(picture.at(w / 4, h / 4), (Rgb{0, 0, 0}));
  EXPECT_EQ(picture.at(3 * w / 4, h / 4), (Rgb{255, 255, 255}));
  EXPECT_EQ(picture.at(w / 4, 3 * h / 4), (Rgb{128, 128, 128}));
  EXPECT_EQ(picture.at(3 * w / 4, 3 * h / 4), (Rgb{255, 0, 255}));
}

TEST(GeometryTest, GridsAlignFrames) {
  FigureOptions wide_labels;
  wide_labels.y.label = "label";
  const Figure a =
      Figure::Lines({{"", {0, 1}, {0, 123456}}}, wide_labels).value();
  const Figure b = Figure::Lines({{"", {0, 1}, {0, 1}}}).value();
  const Figure grid = Figure::Grid(2, 1, {a, b}).value();
  EXPECT_DOUBLE_EQ(grid.height_inches(), a.height_inches() + b.height_inches());
  const std::string svg = grid.Svg().value();
  const size_t second = svg.find("panel-2");
  ASSERT_NE(second, std::string::npos);
  const Frame first = FrameOf(svg), below = FrameOf(svg.substr(second));
  EXPECT_EQ(first.left, below.left);
  EXPECT_EQ(first.right, below.right);
  EXPECT_GT(below.top, first.bottom);
}

// The legend's box in the SVG.
std::vector<double> LegendBox(const std::string& svg) {
  return Numbers(Between(Group(svg, "legend"), "d=\"", "\""));
}

TEST(LegendTest, StandsWhereNothingIs) {
  // A line along the top and one up the left side: the first corner that is
  // free is the lower right one.
  const std::string svg = Svg(
      Figure::Lines({{"a line", {0, 99}, {0.9, 0.9}}, {"", {0, 30}, {0, 0.7}}},
                    Limits(0, 99, 0, 1)));
  const Frame f = FrameOf(svg);
  const std::vector<double> box = LegendBox(svg);
  ASSERT_GE(box.size(), 8u);
  EXPECT_GT(box[4], f.right - 10);
  EXPECT_GT(box[5], f.bottom - 10);
}

TEST(LegendTest, GoesOutsideWhereDataIsEverywhere) {
  Series series{"noise", {}, {}};
  for (int i = 0; i < 400; ++i) {
    series.x.push_back(i % 20);
    series.y.push_back(i / 20);
  }
  const std::string covered = Svg(Figure::Scatter({series}));
  EXPECT_THAT(covered, HasSubstr("class=\"legend\""));
  // Without a box, and the frame is smaller for it.
  EXPECT_THAT(Group(covered, "legend"), Not(HasSubstr("fill=\"#ffffff\"")));
  FigureOptions options;
  options.legend = Legend::kNone;
  const std::string none = Svg(Figure::Scatter({series}, options));
  EXPECT_THAT(none, Not(HasSubstr("class=\"legend\"")));
  const Frame with = FrameOf(covered), without = FrameOf(none);
  EXPECT_LT((with.right - with.left) * (with.bottom - with.top),
            (without.right - without.left) * (without.bottom - without.top));
}

TEST(LegendTest, IsLeftOutWithoutLabels) {
  EXPECT_THAT(Svg(Figure::Lines({{"", {1, 2}, {3, 4}}})),
              Not(HasSubstr("class=\"legend\"")));
}

// One figure of each kind.
std::vector<Figure> AllKinds() {
  std::vector<Figure> figures;
  FigureOptions options;
  options.title = "γ ≥ ² & <title>";
  options.dots_per_inch = 72;
  options.x.label = "x";
  options.y_lines = {{0.5, "chance"}};
  figures.push_back(
      Figure::Lines({{"a", {0, 1, 2}, {0, 1, kNan}, {0, 0, 0}, {1, 2, 3}},
                     {"b, \"c\"", {0, 1}, {2, 3}}},
                    options)
          .value());
  figures.push_back(Figure::Scatter({{"a", {0, 1}, {0, 1}}}, options).value());
  BarOptions bars;
  bars.x.categories = {"one", "two"};
  bars.values = true;
  figures.push_back(
      Figure::Bars({{"a", {}, {1, 2}, {0.5, 1.5}, {1.5, 2.5}}}, bars).value());
  figures.push_back(Figure::Histogram({{"a", {1, 2, 2, 3}}}).value());
  figures.push_back(Figure::HeatMap({2, 2, {1, 2, 3, 4}}).value());
  figures.push_back(
      Figure::ImageGrid(Tensor::Full({2, 3, 3}, 7, DType::kU8).value(),
                        {"first", "second"})
          .value());
  GridOptions grid;
  grid.title = "all";
  grid.dots_per_inch = 72;
  grid.letters = true;
  figures.push_back(Figure::Grid(2, 3, figures, grid).value());
  return figures;
}

TEST(FigureTest, SameFigureSameBytes) {
  const std::vector<Figure> once = AllKinds(), again = AllKinds();
  for (size_t i = 0; i < once.size(); ++i) {
    EXPECT_EQ(once[i].Png().value(), again[i].Png().value()) << i;
    EXPECT_EQ(once[i].Svg().value(), again[i].Svg().value()) << i;
    EXPECT_EQ(once[i].Svg().value(), once[i].Svg().value()) << i;
    EXPECT_EQ(once[i].Csv(), again[i].Csv()) << i;
  }
}

TEST(FigureTest, SvgIsBalancedXml) {
  for (const Figure& figure : AllKinds()) {
    const std::string svg = figure.Svg().value();
    std::vector<std::string> open;
    for (size_t at = svg.find("<svg"); at != std::string::npos;
         at = svg.find('<', at + 1)) {
      const size_t end = svg.find('>', at);
      ASSERT_NE(end, std::string::npos);
      const std::string tag = svg.substr(at + 1, end - at - 1);
      ASSERT_EQ(tag.find('<'), std::string::npos);
      const std::string name = tag.substr(0, tag.find(' '));
      if (tag[0] == '/') {
        ASSERT_FALSE(open.empty());
        EXPECT_EQ(tag.substr(1), open.back());
        open.pop_back();
      } else if (tag.back() != '/') {
        open.push_back(name);
      }
    }
    EXPECT_TRUE(open.empty());
    // Each outline that is used is defined.
    for (size_t at = 0; (at = svg.find("href=\"#", at)) != std::string::npos;
         ++at) {
      const std::string id = Between(svg, "#", "\"", at);
      EXPECT_THAT(svg, HasSubstr(absl::StrCat("id=\"", id, "\"")));
    }
    EXPECT_THAT(svg, Not(HasSubstr("nan")));
    EXPECT_THAT(svg, Not(HasSubstr("inf")));
  }
}

TEST(FigureTest, CsvOfAllKinds) {
  const std::vector<Figure> figures = AllKinds();
  const std::string header = "panel,kind,series,x,y,low,high,value\n";
  EXPECT_EQ(figures[0].Csv(), header +
                                  "1,lines,a,0,0,0,1,\n"
                                  "1,lines,a,1,1,0,2,\n"
                                  "1,lines,a,2,nan,0,3,\n"
                                  "1,lines,\"b, \"\"c\"\"\",0,2,,,\n"
                                  "1,lines,\"b, \"\"c\"\"\",1,3,,,\n");
  EXPECT_EQ(figures[1].Csv(), header +
                                  "1,scatter,a,0,0,,,\n"
                                  "1,scatter,a,1,1,,,\n");
  EXPECT_EQ(figures[2].Csv(), header +
                                  "1,bars,a,one,1,0.5,1.5,\n"
                                  "1,bars,a,two,2,1.5,2.5,\n");
  EXPECT_THAT(figures[3].Csv(),
              StartsWith(header + "1,histogram,a,1.2,1,1,1.4,\n"));
  EXPECT_EQ(figures[4].Csv(), header +
                                  "1,heat map,,0,0,,,1\n"
                                  "1,heat map,,1,0,,,2\n"
                                  "1,heat map,,0,1,,,3\n"
                                  "1,heat map,,1,1,,,4\n");
  EXPECT_EQ(figures[5].Csv(), header +
                                  "1,images,first,0,0,,,7 7 7\n"
                                  "1,images,first,0,1,,,7 7 7\n"
                                  "1,images,first,0,2,,,7 7 7\n"
                                  "1,images,second,1,0,,,7 7 7\n"
                                  "1,images,second,1,1,,,7 7 7\n"
                                  "1,images,second,1,2,,,7 7 7\n");
  const std::string grid = figures[6].Csv();
  EXPECT_THAT(grid, AllOf(HasSubstr("\n2,scatter,a,1,1,,,\n"),
                          HasSubstr("\n6,images,second,1,2,,,7 7 7\n")));
  const Figure nested =
      Figure::Grid(1, 2, {figures[1], Figure::Grid(1, 1, {figures[1]}).value()})
          .value();
  EXPECT_EQ(nested.Csv(), header +
                              "1,scatter,a,0,0,,,\n"
                              "1,scatter,a,1,1,,,\n"
                              "2.1,scatter,a,0,0,,,\n"
                              "2.1,scatter,a,1,1,,,\n");
}

TEST(HistogramTest, CountsAndDensity) {
  HistogramOptions options;
  options.bins = 4;
  options.x.min = 0;
  options.x.max = 4;
  // A bin holds its lower edge; the last one both; 9 is outside.
  const std::vector<Samples> samples = {{"a", {0, 0.5, 1, 4, 9}}};
  EXPECT_THAT(Figure::Histogram(samples, options).value().Csv(),
              HasSubstr("1,histogram,a,0.5,2,0,1,\n"
                        "1,histogram,a,1.5,1,1,2,\n"
                        "1,histogram,a,2.5,0,2,3,\n"
                        "1,histogram,a,3.5,1,3,4,\n"));
  options.density = true;
  EXPECT_THAT(Figure::Histogram(samples, options).value().Csv(),
              HasSubstr("1,histogram,a,0.5,0.5,0,1,\n"));
  // An empty bin is a 0 in the numbers on a logarithmic axis too.
  options.density = false;
  options.y.log = true;
  EXPECT_THAT(Figure::Histogram(samples, options).value().Csv(),
              HasSubstr("1,histogram,a,2.5,0,2,3,\n"));
}

TEST(ConfusionMatrixTest, CountsInTheNumbersSharesInTheColours) {
  const Figure figure =
      ConfusionMatrix({2, 2, {30, 10, 0, 7}}, {"cat", "dog"}).value();
  EXPECT_THAT(figure.Csv(), HasSubstr("1,heat map,,cat,cat,,,30\n"
                                      "1,heat map,,dog,cat,,,10\n"
                                      "1,heat map,,cat,dog,,,0\n"
                                      "1,heat map,,dog,dog,,,7\n"));
  const Rgb c = MapColor(ColorMap::kViridis, 0.75);
  char text[8];
  std::snprintf(text, sizeof text, "#%02x%02x%02x", c.red, c.green, c.blue);
  EXPECT_THAT(figure.Svg().value(), HasSubstr(text));
  EXPECT_THAT(ConfusionMatrix({2, 2, {1, 2, 3, 4}}, {"a"}),
              StatusIs(kInvalid, HasSubstr("counts are 2 x 2, want 1 x 1")));
  EXPECT_THAT(ConfusionMatrix({1, 1, {0.5}}, {"a"}),
              StatusIs(kInvalid, HasSubstr("row 0 and column 0 is 0.5")));
  EXPECT_THAT(ConfusionMatrix({1, 1, {-1}}, {"a"}),
              StatusIs(kInvalid, HasSubstr("want a whole number >= 0")));
  // A class that never occurs.
  SEPTET_EXPECT_OK(ConfusionMatrix({2, 2, {0, 0, 0, 7}}, {"cat", "dog"}));
}

TEST(AttentionMapTest, TokensAlongBothAxes) {
  const Figure figure =
      AttentionMap({1, 2, {0.25, 0.75}}, {"a b"}, {"x", "y\n"}).value();
  EXPECT_THAT(figure.Csv(), HasSubstr("1,heat map,,x,a\u2423b,,,0.25\n"));
  EXPECT_THAT(
      AttentionMap({1, 2, {0.25, 0.75}}, {"a"}, {"x"}),
      StatusIs(
          kInvalid,
          HasSubstr("x.categories has 1 names, want 2, as many as columns")));
}

TEST(AttentionMapTest, SignedDifferencesToo) {
  HeatMapOptions options;
  options.color_map = ColorMap::kDiverging;
  SEPTET_EXPECT_OK(
      AttentionMap({1, 2, {-0.25, 0.75}}, {"a"}, {"x", "y"}, options));
}

TEST(SaveTest, WritesThreeFilesAndTheFolder) {
  const std::string stem =
      absl::StrCat(std::getenv("TEST_TMPDIR"), "/new/folder/loss.v2");
  const Figure figure = Figure::Lines({{"a", {0, 1}, {2, 3}}}).value();
  SEPTET_ASSERT_OK(figure.Save(stem));
  EXPECT_EQ(ReadFileToString(stem + ".png").value(), figure.Png().value());
  EXPECT_EQ(ReadFileToString(stem + ".svg").value(), figure.Svg().value());
  EXPECT_EQ(ReadFileToString(stem + ".csv").value(), figure.Csv());
  EXPECT_THAT(figure.Save(""), StatusIs(kInvalid, HasSubstr("the stem is ''")));
  EXPECT_THAT(figure.Save("figures/"),
              StatusIs(kInvalid, HasSubstr("the stem is 'figures/'")));
  EXPECT_THAT(figure.Save(stem + ".csv/x"),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("is not a directory")));
}

TEST(SaveTest, PngSaysItsResolution) {
  FigureOptions options;
  options.dots_per_inch = 100;
  const std::string png =
      Figure::Lines({{"", {0}, {0}}}, options).value().Png().value();
  const size_t at = png.find("pHYs");
  ASSERT_NE(at, std::string::npos);
  // 3937 pixels a metre.
  EXPECT_EQ(png.substr(at + 4, 9),
            std::string("\0\0\x0f\x61\0\0\x0f\x61\1", 9));
  // Of zlib.crc32(b"pHYs" + these 9 bytes).
  EXPECT_EQ(png.substr(at + 13, 4), std::string("\xa8\x3f\xa7\x69", 4));
}

struct BadCase {
  const char* name;
  absl::Status status;
  const char* message;
};

template <typename T>
absl::Status StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

absl::Status LinesStatus(std::vector<Series> series,
                         FigureOptions options = {}) {
  return Figure::Lines(std::move(series), std::move(options)).status();
}

FigureOptions With(void (*change)(FigureOptions*)) {
  FigureOptions options;
  options.title = "loss";
  change(&options);
  return options;
}

TEST(ErrorTest, Lines) {
  const std::vector<Series> good = {{"a", {1, 2}, {3, 4}}};
  const BadCase cases[] = {
      {"none", LinesStatus({}), "figure: no series, want at least 1"},
      {"empty", LinesStatus({{"a", {}, {}}}),
       "figure: series 0 'a': y has no value, want at least 1"},
      {"lengths", LinesStatus({good[0], {"b", {1, 2}, {1}}}),
       "figure: series 1 'b': y has 1 values, want 2, as many as x"},
      {"low", LinesStatus({{"a", {1, 2}, {1, 2}, {1}, {2, 3}}}),
       "series 0 'a': low has 1 values, want 2, as many as y"},
      {"high", LinesStatus({{"a", {1, 2}, {1, 2}, {1, 2}, {}}}),
       "series 0 'a': high has 0 values, want 2, as many as y"},
      {"order", LinesStatus({{"a", {1, 2}, {1, 2}, {1, 5}, {2, 3}}}),
       "low[1] is 5 and high[1] is 3, want low <= high"},
      {"huge", LinesStatus({{"a", {1, 2}, {1, 1e301}}}),
       "series 0 'a': y[1] is 1e+301, want -1e300 to 1e300"},
      {"nothing", LinesStatus({{"a", {1, 2}, {kNan, kInf}}}),
       "x: no series has a finite value"},
      {"label", LinesStatus({{"a\xff", {1}, {1}}}),
       "series 0 'a\\xff': label is 'a\\xff', want UTF-8"},
      {"color", LinesStatus({{"a", {1}, {1}, {}, {}, -1}}),
       "color is -1, want >= 0"},
      {"log y", LinesStatus({{"a", {1, 2}, {1, -0.5}}}, With([](auto* o) {
                              o->y.log = true;
                            })),
       "figure 'loss': series 0 'a': y[1] is -0.5, want > 0 on a logarithmic "
       "axis"},
      {"log x", LinesStatus({{"a", {1, 0}, {1, 1}}}, With([](auto* o) {
                              o->x.log = true;
                            })),
       "x[1] is 0, want > 0 on a logarithmic axis"},
      {"denormal", LinesStatus({{"a", {1}, {1e-310}}}, With([](auto* o) {
                                 o->y.log = true;
                               })),
       "want >= 1e-300 on a logarithmic axis"},
      {"title", LinesStatus(good, With([](auto* o) { o->title = "\xc3("; })),
       "title is '\\xc3(', want UTF-8"},
      {"axis label",
       LinesStatus(good, With([](auto* o) { o->y.label = "\x80"; })),
       "y.label is '\\x80', want UTF-8"},
      {"nan limit", LinesStatus(good, With([](auto* o) { o->x.min = kNan; })),
       "figure 'loss': x.min is nan, want a finite number"},
      {"limits",
       LinesStatus(good, With([](auto* o) { o->x.min = 2, o->x.max = 2; })),
       "x: min is 2 and max is 2, want min < max"},
      {"close", LinesStatus(good, With([](auto* o) {
                              o->x.min = 1, o->x.max = std::nextafter(1, 2);
                            })),
       "want them further apart"},
      {"one limit", LinesStatus(good, With([](auto* o) { o->y.min = 9; })),
       "y: min is 9 and the greatest value is 4, want min < max"},
      {"log limit",
       LinesStatus(good, With([](auto* o) { o->y.log = true, o->y.min = 0; })),
       "y.min is 0, want > 0 on a logarithmic axis"},
      {"reference", LinesStatus(good, With([](auto* o) {
                                  o->y_lines = {{kInf, ""}};
                                })),
       "y_lines[0].value is inf, want a finite number"},
      {"width", LinesStatus(good, With([](auto* o) { o->width_inches = 1e9; })),
       "width_inches is 1e+09, want 0.5 to 60"},
      {"width nan",
       LinesStatus(good, With([](auto* o) { o->width_inches = kNan; })),
       "width_inches is nan, want 0.5 to 60"},
      {"height",
       LinesStatus(good, With([](auto* o) { o->height_inches = -1; })),
       "height_inches is -1, want 0.5 to 60"},
      {"font", LinesStatus(good, With([](auto* o) { o->font_points = 0; })),
       "font_points is 0, want 4 to 40"},
      {"dots", LinesStatus(good, With([](auto* o) { o->dots_per_inch = 0; })),
       "dots_per_inch is 0, want 30 to 1200"},
      {"pixels", LinesStatus(good, With([](auto* o) {
                               o->width_inches = 50, o->height_inches = 50,
                               o->dots_per_inch = 1200;
                             })),
       "50 x 50 inches at 1200 dots per inch, want at most 60 inches each way"},
  };
  for (const BadCase& c : cases) {
    EXPECT_THAT(c.status, StatusIs(kInvalid, HasSubstr(c.message))) << c.name;
  }
}

TEST(ErrorTest, BarsAndHistograms) {
  BarOptions bars;
  bars.x.categories = {"one", "two"};
  EXPECT_THAT(
      Figure::Bars({{"a", {}, {1}}}, bars),
      StatusIs(
          kInvalid,
          HasSubstr("figure: series 0 'a': y has 1 values, want 2, as many "
                    "as options.x.categories")));
  EXPECT_THAT(Figure::Bars({{"a", {0, 1}, {1, 2}}}, bars),
              StatusIs(kInvalid, HasSubstr("x has 2 values, want none")));
  EXPECT_THAT(Figure::Bars({}, bars),
              StatusIs(kInvalid, HasSubstr("no series")));
  EXPECT_THAT(Figure::Bars({{"a", {}, {}}}),
              StatusIs(kInvalid, HasSubstr("y has no value")));
  bars.x.log = true;
  EXPECT_THAT(Figure::Bars({{"a", {}, {1, 2}}}, bars),
              StatusIs(kInvalid, HasSubstr("x.log is true")));

  EXPECT_THAT(Figure::Histogram({}),
              StatusIs(kInvalid, HasSubstr("no sample")));
  EXPECT_THAT(Figure::Histogram({{"a", {}}}),
              StatusIs(kInvalid, HasSubstr("series 0 'a': no value")));
  EXPECT_THAT(Figure::Histogram({{"a", {1, kNan}}}),
              StatusIs(kInvalid, HasSubstr("series 0 'a': values[1] is nan")));
  HistogramOptions options;
  options.bins = -1;
  EXPECT_THAT(Figure::Histogram({{"a", {1}}}, options),
              StatusIs(kInvalid, HasSubstr("bins is -1, want 0 to 10000")));
}

TEST(ErrorTest, ConfusionMatrices) {
  EXPECT_THAT(ConfusionMatrix({2, 3, {}}, {"a", "b"}),
              StatusIs(kInvalid, HasSubstr("counts are 2 x 3, want 2 x 2")));
  for (const size_t values : {0, 1, 5}) {
    Matrix counts{2, 2, std::vector<double>(values, 1.0)};
    EXPECT_THAT(
        ConfusionMatrix(counts, {"a", "b"}),
        StatusIs(kInvalid, HasSubstr(absl::StrCat("counts are 2 x 2 and have ",
                                                  values, " values, want 4"))));
  }
}

TEST(ErrorTest, HeatMaps) {
  const auto status = [](Matrix m, HeatMapOptions options = {}) {
    return Figure::HeatMap(std::move(m), std::move(options)).status();
  };
  EXPECT_THAT(
      status({0, 2, {}}),
      StatusIs(kInvalid, HasSubstr("the matrix is 0 x 2, want at least")));
  EXPECT_THAT(status({int64_t{1} << 40, int64_t{1} << 40, {}}),
              StatusIs(kInvalid, HasSubstr("want at least 1 x 1 and at most")));
  EXPECT_THAT(status({2, 2, {1, 2, 3}}),
              StatusIs(kInvalid, HasSubstr("has 3 values, want 4")));
  EXPECT_THAT(status({1, 1, {kNan}}), StatusIs(kInvalid, HasSubstr("colour")));
  HeatMapOptions options;
  options.log = true;
  EXPECT_THAT(status({1, 2, {1, -2}}, options),
              StatusIs(kInvalid, HasSubstr("the value in row 0 and column 1 is "
                                           "-2, want > 0")));
  options = {};
  options.min = 3;
  options.max = 3;
  EXPECT_THAT(status({1, 1, {1}}, options),
              StatusIs(kInvalid, HasSubstr("want min < max")));
  options = {};
  options.y.categories = {"a"};
  EXPECT_THAT(
      status({2, 1, {1, 2}}, options),
      StatusIs(kInvalid, HasSubstr("y.categories has 1 names, want 2")));
  options = {};
  options.x.min = 0;
  EXPECT_THAT(status({2, 1, {1, 2}}, options),
              StatusIs(kInvalid, HasSubstr("x: only min is given")));
  options = {};
  options.y.log = true;
  EXPECT_THAT(status({2, 1, {1, 2}}, options),
              StatusIs(kInvalid, HasSubstr("y.log is true, want min and max")));
  options = {};
  options.x.categories = {"a"};
  options.x.min = 0;
  options.x.max = 1;
  EXPECT_THAT(
      status({1, 1, {1}}, options),
      StatusIs(kInvalid, HasSubstr("x: categories are given with min")));
  options = {};
  options.y_lines = {{1, "a"}};
  EXPECT_THAT(status({1, 1, {1}}, options),
              StatusIs(kInvalid, HasSubstr("y_lines has 1 lines, want none")));
  EXPECT_THAT(status({1, 40000, std::vector<double>(40000)}),
              StatusIs(kInvalid, HasSubstr("32767 along a side")));
  options = {};
  options.cell_digits = 99;
  EXPECT_THAT(status({1, 1, {1}}, options),
              StatusIs(kInvalid, HasSubstr("cell_digits is 99")));
  options = {};
  options.map_columns = -2;
  EXPECT_THAT(status({1, 1, {1}}, options),
              StatusIs(kInvalid, HasSubstr("map_columns is -2")));
  EXPECT_THAT(Figure::HeatMaps({}, {}),
              StatusIs(kInvalid, HasSubstr("no matrix")));
  EXPECT_THAT(
      Figure::HeatMaps({{1, 1, {1}}, {1, 2, {1, 2}}}, {}),
      StatusIs(kInvalid, HasSubstr("map 1: the matrix is 1 x 2, want 1 x 1")));
  EXPECT_THAT(Figure::HeatMaps({{1, 1, {1}}}, {"a", "b"}),
              StatusIs(kInvalid, HasSubstr("2 titles, want 1")));
}

TEST(ErrorTest, ImagesAndGrids) {
  const auto status = [](const Tensor& images,
                         std::vector<std::string> captions = {},
                         ImageGridOptions options = {}) {
    return Figure::ImageGrid(images, std::move(captions), std::move(options))
        .status();
  };
  const Tensor good = Tensor::Full({2, 3, 3}, 7, DType::kU8).value();
  EXPECT_THAT(status(Tensor()), StatusIs(kInvalid, HasSubstr("undefined")));
  EXPECT_THAT(status(Tensor::Full({3, 3}, 7, DType::kU8).value()),
              StatusIs(kInvalid, HasSubstr("want [N, H, W] or [N, H, W, C]")));
  EXPECT_THAT(status(Tensor::Full({1, 3, 3, 2}, 7, DType::kU8).value()),
              StatusIs(kInvalid, HasSubstr("want 1 or 3 channels")));
  EXPECT_THAT(status(Tensor::Full({1, 3, 3}, 7, DType::kI64).value()),
              StatusIs(kInvalid, HasSubstr("want u8, f32 or f64")));
  EXPECT_THAT(status(Tensor::Full({0, 3, 3}, 7, DType::kU8).value()),
              StatusIs(kInvalid, HasSubstr("want at least one pixel")));
  EXPECT_THAT(status(Tensor::Full({10001, 1, 1}, 7, DType::kU8).value()),
              StatusIs(kInvalid, HasSubstr("want at most 10000 images")));
  EXPECT_THAT(status(good, {"one"}),
              StatusIs(kInvalid, HasSubstr("1 captions, want 2")));
  EXPECT_THAT(
      status(good, {"one", "\xff"}),
      StatusIs(kInvalid, HasSubstr("captions[1] is '\\xff', want UTF-8")));
  ImageGridOptions options;
  options.white = options.black;
  EXPECT_THAT(status(good, {}, options),
              StatusIs(kInvalid, HasSubstr("black is 0 and white is 0")));
  options = {};
  options.columns = -1;
  EXPECT_THAT(status(good, {}, options),
              StatusIs(kInvalid, HasSubstr("columns is -1")));
  options = {};
  options.row_labels = {"a", "b"};
  EXPECT_THAT(status(good, {}, options),
              StatusIs(kInvalid, HasSubstr("2 row_labels, want 1")));

  options = {};
  options.y.label = "a";
  EXPECT_THAT(status(good, {}, options),
              StatusIs(kInvalid, HasSubstr("images have row_labels")));
  options = {};
  options.x_lines = {{1, "a"}};
  EXPECT_THAT(status(good, {}, options),
              StatusIs(kInvalid, HasSubstr("x_lines has 1 lines, want none")));
  EXPECT_THAT(status(Tensor::Full({1, 1, 40000}, 7, DType::kU8).value()),
              StatusIs(kInvalid, HasSubstr("at most 32767 pixels")));

  const Figure figure = Figure::Lines({{"", {0}, {0}}}).value();
  EXPECT_THAT(Figure::Grid(0, 1, {figure}),
              StatusIs(kInvalid, HasSubstr("a grid of 0 x 1, want 1 x 1")));
  EXPECT_THAT(Figure::Grid(1, 1, {}),
              StatusIs(kInvalid, HasSubstr("0 figures in a grid of 1 x 1")));
  EXPECT_THAT(Figure::Grid(1, 1, {figure, figure}),
              StatusIs(kInvalid, HasSubstr("2 figures in a grid of 1 x 1")));
  EXPECT_THAT(Figure::Grid(100, 1, std::vector<Figure>(100, figure)),
              StatusIs(kInvalid, HasSubstr("want at most 60 inches each way")));
}

TEST(HardCaseTest, BandsBelowALogarithmicAxisReachItsBottom) {
  FigureOptions options;
  options.y.log = true;
  const std::string svg =
      Svg(Figure::Lines({{"", {0, 1}, {1, 10}, {-1, 0}, {5, 20}}}, options));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, HasSubstr("fill-opacity=\"0.2\""));
}

TEST(HardCaseTest, LogarithmicAxesOfAllNumbersThatMayBe) {
  FigureOptions options;
  options.x.log = options.y.log = true;
  const std::vector<double> ends = {1e-300, 1e300};
  SEPTET_ASSERT_OK_AND_ASSIGN(const Figure line,
                              Figure::Lines({{"a", ends, ends}}, options));
  EXPECT_THAT(line.Svg().value(), Not(HasSubstr("nan")));
  HistogramOptions histogram;
  histogram.x.log = true;
  SEPTET_ASSERT_OK_AND_ASSIGN(const Figure bars,
                              Figure::Histogram({{"a", ends}}, histogram));
  EXPECT_THAT(bars.Svg().value(), Not(HasSubstr("nan")));
}

// As a whole cairo would draw this for minutes. Pieces must leave no gaps: most
// of the frame is covered.
TEST(HardCaseTest, LongLinesThatCrossThemselves) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const RandomStream random,
                              RandomStream::Create(3, "tangle"));
  Series tangle{"", {}, {}};
  for (uint64_t i = 0; i < 20000; ++i) {
    tangle.x.push_back(random.Unit(2 * i));
    tangle.y.push_back(random.Unit(2 * i + 1));
  }
  FigureOptions options;
  options.width_inches = 2;
  options.dots_per_inch = 72;
  for (const LineStyle style : {LineStyle::kSolid, LineStyle::kDashed}) {
    tangle.line = style;
    tangle.color = 0;
    SEPTET_ASSERT_OK_AND_ASSIGN(const Figure figure,
                                Figure::Lines({tangle}, options));
    const Picture picture = Decode(figure.Png().value());
    int colored = 0;
    for (const Rgb& pixel : picture.pixels) {
      colored += pixel == PaletteColor(0) ? 1 : 0;
    }
    EXPECT_GT(colored, picture.width * picture.height / 3);
  }
}

TEST(HardCaseTest, ManyPointsStaySmallAndKeepTheirPeaks) {
  Series series{"", {}, {}};
  for (int i = 0; i < 200000; ++i) {
    series.x.push_back(i);
    series.y.push_back(i == 123456 ? 1 : 0.001 * (i % 7));
  }
  const Figure figure =
      Figure::Lines({series}, Limits(0, 200000, 0, 1)).value();
  const std::string svg = figure.Svg().value();
  EXPECT_LT(svg.size(), 200000u);
  double highest = 0;
  for (const auto& [x, y] : SeriesPoints(svg, 0))
    highest = std::max(highest, y);
  EXPECT_NEAR(highest, 1, 1e-3);
}

TEST(HardCaseTest, NamesThatFallTogether) {
  FigureOptions options;
  options.x.categories = {"a", "b", "c"};
  options.x.min = 0;
  options.x.max = 1e300;
  EXPECT_THAT(Svg(Figure::Lines({{"", {0, 1}, {0, 1}}}, options)),
              Not(HasSubstr("nan")));
}

TEST(HardCaseTest, WhateverTheOptionsAFigureIsDrawnOrRefused) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const RandomStream random,
                              RandomStream::Create(7, "figures"));
  uint64_t next = 0;
  const auto below = [&](uint32_t n) { return random.Below(next++, n); };
  const auto number = [&]() -> double {
    switch (below(12)) {
      case 0:
        return 0;
      case 1:
        return kNan;
      case 2:
        return kInf;
      case 3:
        return -1;
      case 4:
        return 1e9 + 1e-3 * random.Normal(next++);
      case 5:
        return std::pow(10.0, 290 * random.Normal(next++) / 4);
      default:
        return std::exp(2 * random.Normal(next++));
    }
  };
  const auto values = [&](size_t n) {
    std::vector<double> result;
    while (result.size() < n) result.push_back(number());
    return result;
  };
  const auto text = [&] { return std::string(below(5) * below(15), 'm'); };
  int drawn = 0, refused = 0;
  for (int i = 0; i < 300; ++i) {
    HeatMapOptions options;
    options.title = text();
    options.width_inches = 0.5 + 0.1 * below(60);
    if (below(3) == 0) options.height_inches = 0.5 + 0.1 * below(40);
    options.font_points = 4 + below(20);
    options.dots_per_inch = 30;
    options.square_cells = below(2) == 0;
    options.cell_digits = static_cast<int>(below(4)) - 1;
    options.color_map = static_cast<ColorMap>(below(3));
    for (AxisOptions* axis : {&options.x, &options.y}) {
      axis->label = text();
      axis->log = below(4) == 0;
      if (below(6) == 0) axis->min = number();
      if (below(6) == 0) axis->max = number();
      if (below(6) == 0) axis->categories = {text(), text(), text()};
    }
    if (below(4) == 0) options.y_lines = {{number(), text()}};
    std::vector<Series> series(1 + below(4));
    for (Series& s : series) {
      const size_t n = 1 + below(40);
      s.label = text();
      s.x = values(n);
      s.y = values(n);
      if (below(2) == 0) {
        s.low = s.high = s.y;
        for (double& v : s.high) v += std::fabs(v);
      }
    }
    absl::StatusOr<Figure> figure = absl::UnknownError("");
    switch (below(4)) {
      case 0:
        figure = Figure::Lines(series, options);
        break;
      case 1:
        figure = Figure::Scatter(series, options);
        break;
      case 2: {
        const int64_t rows = 1 + below(9), columns = 1 + below(9);
        figure =
            Figure::HeatMap({rows, columns, values(rows * columns)}, options);
        break;
      }
      default: {
        HistogramOptions histogram;
        static_cast<FigureOptions&>(histogram) = options;
        std::vector<double> finite;
        for (const double v : values(60)) {
          if (std::isfinite(v) && std::fabs(v) < 1e299) finite.push_back(v);
        }
        figure = Figure::Histogram({{"", finite}}, histogram);
      }
    }
    if (!figure.ok()) {
      ++refused;
      EXPECT_THAT(figure, StatusIs(kInvalid, HasSubstr("want")));
      continue;
    }
    ++drawn;
    SEPTET_ASSERT_OK_AND_ASSIGN(const std::string svg, figure->Svg());
    EXPECT_THAT(svg, Not(HasSubstr("nan"))) << i;
    SEPTET_ASSERT_OK(figure->Png());
  }
  // Both happen often.
  EXPECT_GT(drawn, 75);
  EXPECT_GT(refused, 30);
}

TEST(FigureTest, ThreadsMayDrawTheSameFigure) {
  const Figure figure = Figure::Lines({{"a", {0, 1}, {2, 3}}}).value();
  const std::string png = figure.Png().value();
  std::vector<std::string> drawn(3);
  std::vector<std::thread> threads;
  for (std::string& result : drawn) {
    threads.emplace_back([&figure, &result] { result = figure.Png().value(); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& result : drawn) EXPECT_EQ(result, png);
}

TEST(HardCaseTest, SmallestFiguresWithTheLongestTexts) {
  FigureOptions options;
  options.width_inches = options.height_inches = 0.5;
  options.font_points = 40;
  options.title = std::string(2000, 'W') + " " + std::string(200, 'i');
  options.x.label = options.y.label = options.title;
  for (int i = 0; i < 50; ++i) options.x.categories.push_back(options.title);
  Series series{options.title, {0, 49}, {0, 1e9}};
  const Figure figure = Figure::Lines({series}, options).value();
  EXPECT_EQ(Decode(figure.Png().value()).width, 100);
  EXPECT_THAT(figure.Svg().value(), Not(HasSubstr("nan")));
}

}  // namespace
}  // namespace septet
