// SPDX-License-Identifier: Apache-2.0
// Draws one figure of each kind, and hard cases, into a folder:
//
//   bazel run //core/plot:gallery -- FOLDER
#include <cmath>
#include <cstdint>
#include <iostream>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/plot/color_map.h"
#include "septet/core/plot/figure.h"
#include "septet/core/plot/series.h"
#include "septet/core/random/stream.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

class Gallery {
 public:
  Gallery(std::string folder, RandomStream random)
      : folder_(std::move(folder)), random_(std::move(random)) {}

  absl::Status DrawAll() {
    SEPTET_RETURN_IF_ERROR(LearningCurves());
    SEPTET_RETURN_IF_ERROR(Panels());
    SEPTET_RETURN_IF_ERROR(HeatMaps());
    SEPTET_RETURN_IF_ERROR(Images());
    return HardCases();
  }

 private:
  double Normal() { return random_.Normal(next_++); }
  double Unit() { return random_.Unit(next_++); }

  absl::Status Save(const absl::StatusOr<Figure>& figure,
                    absl::string_view name) {
    SEPTET_RETURN_IF_ERROR(figure) << name;
    SEPTET_RETURN_IF_ERROR(figure->Save(absl::StrCat(folder_, "/", name)));
    std::cout << folder_ << "/" << name << ".png\n";
    return absl::OkStatus();
  }

  absl::StatusOr<Series> Curve(const std::string& label, double rate,
                               double floor) {
    std::vector<double> steps;
    for (int i = 0; i <= 200; ++i) steps.push_back(50 * i);
    std::vector<std::vector<double>> seeds(5);
    for (std::vector<double>& seed : seeds) {
      double drift = 0.04 * Normal();
      for (const double step : steps) {
        drift = 0.95 * drift + 0.02 * Normal();
        seed.push_back((floor + 4 * std::exp(-rate * step / 1000)) *
                       std::exp(drift));
      }
    }
    return SeedBand(label, steps, seeds);
  }

  absl::StatusOr<Figure> LearningCurveFigure() {
    SEPTET_ASSIGN_OR_RETURN(const Series a, Curve("retention", 1.1, 1.35));
    SEPTET_ASSIGN_OR_RETURN(const Series b,
                            Curve("softmax attention", 0.8, 1.6));
    SEPTET_ASSIGN_OR_RETURN(const Series c, Curve("no decay, γ = 1", 0.45, 2));
    FigureOptions options;
    options.title = "Held-out loss, 5 seeds";
    options.x.label = "step";
    options.y.label = "bits per byte";
    options.y.log = true;
    options.y_lines = {{1.45, "paper"}};
    return Figure::Lines({a, b, c}, options);
  }

  absl::Status LearningCurves() {
    return Save(LearningCurveFigure(), "learning_curves");
  }

  absl::StatusOr<Figure> BarFigure() {
    BarOptions options;
    options.title = "Accuracy";
    options.x.categories = {"MNIST", "Fashion-MNIST", "CIFAR-10"};
    options.y.label = "test accuracy, %";
    options.values = true;
    return Figure::Bars({{"ours",
                          {},
                          {99.1, 91.2, 78.4},
                          {98.9, 90.7, 77.1},
                          {99.3, 91.6, 79.9}},
                         {"paper", {}, {99.2, 91.0, 80.2}},
                         {"linear", {}, {92.3, 84.1, 39.5}}},
                        options);
  }

  absl::StatusOr<Figure> ScatterFigure() {
    std::vector<Series> series(3);
    for (int k = 0; k < 3; ++k) {
      series[k].label = absl::StrCat("cluster ", k + 1);
      for (int i = 0; i < 120; ++i) {
        series[k].x.push_back(2 * std::cos(2.1 * k) + 0.6 * Normal());
        series[k].y.push_back(2 * std::sin(2.1 * k) + 0.6 * Normal());
      }
    }
    FigureOptions options;
    options.title = "Embedding";
    options.x.label = "first component";
    options.y.label = "second component";
    return Figure::Scatter(series, options);
  }

  absl::StatusOr<Figure> HistogramFigure() {
    std::vector<Samples> samples(2);
    samples[0].label = "before";
    samples[1].label = "after";
    for (int i = 0; i < 2000; ++i) {
      samples[0].values.push_back(Normal());
      samples[1].values.push_back(1.2 + 0.6 * Normal());
    }
    HistogramOptions options;
    options.title = "Advantages";
    options.x.label = "advantage";
    options.density = true;
    return Figure::Histogram(samples, options);
  }

  absl::Status Panels() {
    SEPTET_ASSIGN_OR_RETURN(const Figure lines, LearningCurveFigure());
    SEPTET_ASSIGN_OR_RETURN(const Figure bars, BarFigure());
    SEPTET_ASSIGN_OR_RETURN(const Figure scatter, ScatterFigure());
    SEPTET_ASSIGN_OR_RETURN(const Figure histogram, HistogramFigure());
    SEPTET_RETURN_IF_ERROR(Save(bars, "bars"));
    SEPTET_RETURN_IF_ERROR(Save(scatter, "scatter"));
    SEPTET_RETURN_IF_ERROR(Save(histogram, "histogram"));
    GridOptions options;
    options.letters = true;
    options.dots_per_inch = 110;
    return Save(Figure::Grid(2, 2, {lines, bars, scatter, histogram}, options),
                "panels");
  }

  absl::Status HeatMaps() {
    std::vector<std::string> classes = {
        "T-shirt", "trouser", "pullover", "dress", "coat",
        "sandal",  "shirt",   "sneaker",  "bag",   "boot"};
    Matrix counts;
    counts.rows = counts.columns = 10;
    for (int r = 0; r < 10; ++r) {
      for (int c = 0; c < 10; ++c) {
        const double wrong = std::floor(60 * std::pow(Unit(), 4));
        counts.values.push_back(r == c ? 880 + std::floor(100 * Unit())
                                       : wrong);
      }
    }
    ConfusionMatrixOptions confusion;
    confusion.title = "Fashion-MNIST, 10,000 test images";
    confusion.dots_per_inch = 110;
    SEPTET_RETURN_IF_ERROR(
        Save(ConfusionMatrix(counts, classes, confusion), "confusion_matrix"));

    const std::vector<std::string> tokens = {
        "The", " cat",   " sat",         " on", " the", " mat",
        ",",   " quite", " contentedly", ".",   "\n"};
    std::vector<Matrix> heads(4);
    std::vector<std::string> titles;
    const auto size = static_cast<int64_t>(tokens.size());
    for (int h = 0; h < 4; ++h) {
      titles.push_back(absl::StrCat("head ", h + 1));
      heads[h].rows = heads[h].columns = size;
      for (int64_t q = 0; q < size; ++q) {
        std::vector<double> row;
        double sum = 0;
        for (int64_t k = 0; k < size; ++k) {
          const double distance = static_cast<double>(q - k);
          row.push_back(k > q ? 0
                              : std::exp(Normal() - distance / (1 + 2 * h)));
          sum += row.back();
        }
        for (const double w : row) heads[h].values.push_back(w / sum);
      }
    }
    HeatMapOptions attention;
    attention.title = "Attention";
    attention.width_inches = 4;
    SEPTET_RETURN_IF_ERROR(
        Save(AttentionMap(heads[1], tokens, tokens, attention), "attention"));
    HeatMapOptions shared;
    shared.title = "Four heads on one scale";
    shared.x.label = "key";
    shared.y.label = "query";
    shared.color_label = "attention";
    SEPTET_RETURN_IF_ERROR(
        Save(Figure::HeatMaps(heads, titles, shared), "heat_maps"));

    Matrix field;
    field.rows = 60;
    field.columns = 80;
    for (int64_t r = 0; r < field.rows; ++r) {
      for (int64_t c = 0; c < field.columns; ++c) {
        const double x = static_cast<double>(c) / 40 - 1;
        const double y = static_cast<double>(r) / 30 - 1;
        field.values.push_back(r > 50 && c < 8
                                   ? kNan
                                   : 3e-5 * std::sin(5 * x) * std::cos(4 * y) +
                                         1e-5 * x);
      }
    }
    HeatMapOptions signed_map;
    signed_map.title = "Signed data";
    signed_map.color_map = ColorMap::kDiverging;
    signed_map.row_zero_on_top = false;
    signed_map.x.label = "x";
    signed_map.y.label = "y";
    signed_map.x.min = signed_map.y.min = -1;
    signed_map.x.max = signed_map.y.max = 1;
    signed_map.color_label = "u(x, y)";
    signed_map.max = 3e-5;
    return Save(Figure::HeatMap(field, signed_map), "diverging");
  }

  absl::Status Images() {
    std::vector<uint8_t> grey, rgb;
    std::vector<std::string> captions;
    constexpr int kSize = 28;
    for (int n = 0; n < 24; ++n) {
      captions.push_back(n % 5 == 0 ? "boot, not sneaker" : "sneaker");
      for (int y = 0; y < kSize; ++y) {
        for (int x = 0; x < kSize; ++x) {
          const double r = std::hypot(x - 13.5, y - 13.5);
          const double v = 0.5 + 0.5 * std::cos(r * (0.3 + 0.05 * n));
          grey.push_back(static_cast<uint8_t>(255 * v));
          rgb.push_back(static_cast<uint8_t>(255 * v));
          rgb.push_back(static_cast<uint8_t>(9 * x));
          rgb.push_back(static_cast<uint8_t>(9 * y));
        }
      }
    }
    SEPTET_ASSIGN_OR_RETURN(
        const Tensor grey_images,
        Tensor::FromValues<uint8_t>({24, kSize, kSize}, grey));
    SEPTET_ASSIGN_OR_RETURN(
        const Tensor rgb_images,
        Tensor::FromValues<uint8_t>({24, kSize, kSize, 3}, rgb));
    ImageGridOptions options;
    options.title = "Predictions";
    options.columns = 8;
    SEPTET_RETURN_IF_ERROR(
        Save(Figure::ImageGrid(grey_images, captions, options), "images_grey"));
    options.title = "Samples";
    options.row_labels = {"t = 0", "t = 500", "t = 1000"};
    SEPTET_RETURN_IF_ERROR(
        Save(Figure::ImageGrid(rgb_images, {}, options), "images_rgb"));
    std::vector<double> filters;
    for (int i = 0; i < 32 * 9; ++i) filters.push_back(0.2 * Normal());
    SEPTET_ASSIGN_OR_RETURN(const Tensor weights,
                            Tensor::FromValues<double>({32, 3, 3}, filters));
    ImageGridOptions signed_options;
    signed_options.title = "First-layer filters";
    signed_options.columns = 8;
    signed_options.width_inches = 3;
    signed_options.color_map = ColorMap::kDiverging;
    signed_options.black = -0.6;
    signed_options.white = 0.6;
    return Save(Figure::ImageGrid(weights, {}, signed_options), "filters");
  }

  absl::Status HardCases() {
    FigureOptions options;
    options.title = "One point";
    SEPTET_RETURN_IF_ERROR(
        Save(Figure::Lines({{"one", {3}, {7}}}, options), "hard_one_point"));
    options.title = "Constant";
    SEPTET_RETURN_IF_ERROR(
        Save(Figure::Lines({{"zero", {0, 1, 2}, {0, 0, 0}}}, options),
             "hard_constant"));
    options.title = "Gaps, and a tiny range far from zero";
    const double inf = std::numeric_limits<double>::infinity();
    const double base = 1e9;
    SEPTET_RETURN_IF_ERROR(
        Save(Figure::Lines({{"gaps",
                             {0, 1, 2, 3, 4, 5, 6},
                             {base, base + 1e-3, kNan, base + 2e-3, inf,
                              base + 1e-3, base + 3e-3}}},
                           options),
             "hard_gaps"));
    options.title = "Tiny numbers, huge numbers";
    SEPTET_RETURN_IF_ERROR(Save(
        Figure::Lines({{"", {1e-200, 2e-200, 3e-200}, {-1e290, 2e290, 3e290}}},
                      options),
        "hard_huge"));
    FigureOptions logs;
    logs.title = "Both axes logarithmic";
    logs.x.log = logs.y.log = true;
    logs.x.label = "parameters N";
    logs.y.label = "loss L ≥ L₀";
    Series power{"N⁻⁰·⁵", {}, {}};
    for (int i = 0; i <= 60; ++i) {
      power.x.push_back(std::pow(10.0, 3 + i / 5.0));
      power.y.push_back(std::pow(power.x.back(), -0.5));
    }
    SEPTET_RETURN_IF_ERROR(Save(Figure::Lines({power}, logs), "hard_log_log"));

    std::vector<Series> many(20);
    for (int k = 0; k < 20; ++k) {
      many[k].label =
          absl::StrCat("learning rate 1e−", k, ", weight decay 0.1");
      for (int i = 0; i < 100; ++i) {
        many[k].x.push_back(i);
        many[k].y.push_back(std::sin(0.07 * i + 0.3 * k) + 0.1 * k);
      }
    }
    options.title = "Twenty series with labels";
    options.width_inches = 6;
    SEPTET_RETURN_IF_ERROR(Save(Figure::Lines(many, options), "hard_many"));

    BarOptions bars;
    bars.title =
        "A title that is much longer than the figure is wide, and so is broken "
        "into lines";
    bars.y.label =
        "an axis label that is as long as a sentence, and then some more";
    bars.x.label = "kind";
    Series values{"mean return", {}, {}};
    for (int i = 0; i < 12; ++i) {
      bars.x.categories.push_back(
          absl::StrCat("environment number ", i, "-v", i % 3));
      values.y.push_back(300 * Normal());
      values.low.push_back(values.y.back() - 60);
      values.high.push_back(values.y.back() + 60);
    }
    SEPTET_RETURN_IF_ERROR(Save(Figure::Bars({values}, bars), "hard_bars"));
    SEPTET_RETURN_IF_ERROR(Save(
        Figure::HeatMap({1, 1, {0.25}}, HeatMapOptions()), "hard_one_cell"));

    Series dense{"noise", {}, {}};
    for (int i = 0; i < 100000; ++i) {
      dense.x.push_back(i);
      dense.y.push_back(std::sin(i * 1e-4) + 0.3 * Normal());
    }
    options.title = "A hundred thousand points";
    options.width_inches = 4.5;
    return Save(Figure::Lines({dense}, options), "hard_dense");
  }

  std::string folder_;
  RandomStream random_;
  uint64_t next_ = 0;
};

absl::Status Draw(absl::string_view folder) {
  SEPTET_ASSIGN_OR_RETURN(RandomStream random,
                          RandomStream::Create(1, "gallery"));
  return Gallery(ResolveUserPath(folder), std::move(random)).DrawAll();
}

}  // namespace
}  // namespace septet

int main(int argc, char** argv) {
  if (argc != 2 || absl::string_view(argv[1]).substr(0, 2) == "--") {
    std::cerr << "usage: gallery FOLDER\n";
    return 2;
  }
  const absl::Status status = septet::Draw(argv[1]);
  if (status.ok()) return 0;
  std::cerr << "gallery: " << status.message() << "\n";
  return 1;
}
