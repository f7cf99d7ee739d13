// SPDX-License-Identifier: Apache-2.0
#include "septet/baselines/fashion_classifier/figures.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "septet/baselines/fashion_classifier/model.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/plot/color_map.h"
#include "septet/core/plot/figure.h"
#include "septet/core/plot/series.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"
#include "septet/core/train/metrics.h"

namespace septet {
namespace {

// The curve of a metric, as the mean and band over seeds.
absl::StatusOr<Series> Curve(const std::vector<std::vector<MetricRow>>& seeds,
                             const std::string& metric,
                             const std::string& label, double factor,
                             double steps_per_epoch) {
  std::vector<double> x;
  std::vector<std::vector<double>> curves;
  for (const std::vector<MetricRow>& rows : seeds) {
    std::vector<double> steps, values;
    for (const MetricRow& row : rows) {
      const auto found = row.values.find(metric);
      if (found == row.values.end()) continue;
      steps.push_back(static_cast<double>(row.step) / steps_per_epoch);
      values.push_back(factor * found->second);
    }
    if (steps.empty() || (!x.empty() && steps != x)) {
      return absl::InvalidArgumentError(
          absl::StrCat("curves: metric '", metric, "' has ", steps.size(),
                       " rows in one "
                       "seed, expected those of the first, ",
                       x.size(), ", and at least one"));
    }
    x = std::move(steps);
    curves.push_back(std::move(values));
  }
  return SeedBand(label, std::move(x), curves);
}

}  // namespace

absl::StatusOr<Figure> ConfusionFigure(const std::vector<int64_t>& counts,
                                       const std::vector<std::string>& classes,
                                       const std::string& title) {
  Matrix matrix;
  matrix.rows = matrix.columns = static_cast<int64_t>(classes.size());
  matrix.values.assign(counts.begin(), counts.end());
  ConfusionMatrixOptions options;
  options.title = title;
  options.width_inches = 5.5;
  return ConfusionMatrix(std::move(matrix), classes, options);
}

absl::StatusOr<Figure> FilterFigure(const ImageClassifier& model) {
  const Tensor& weights = model.parameters().tensor(model.filters());
  const int64_t rows = weights.dim(0), cols = weights.dim(1);
  const int64_t in = weights.dim(2), out = weights.dim(3);
  const int64_t shown = in == 3 ? 3 : 1;
  const int64_t size = rows * cols * shown;
  const float* const w = weights.data<float>();
  // [out, rows, cols, shown], and how strong each is.
  std::vector<float> values(static_cast<size_t>(out * size));
  std::vector<double> energy(static_cast<size_t>(out));
  float largest = 0;
  for (int64_t o = 0; o < out; ++o) {
    for (int64_t pixel = 0; pixel < rows * cols; ++pixel) {
      for (int64_t c = 0; c < in; ++c) {
        const float v = w[(pixel * in + c) * out + o];
        energy[o] += static_cast<double>(v) * v;
        values[o * size + pixel * shown + (in == 3 ? c : 0)] +=
            in == 3 ? v : v / static_cast<float>(in);
      }
    }
    for (int64_t i = 0; i < size; ++i) {
      largest = std::max(largest, std::abs(values[o * size + i]));
    }
  }
  std::vector<int64_t> order(static_cast<size_t>(out));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return energy[a] > energy[b]; });
  SEPTET_ASSIGN_OR_RETURN(const Tensor images,
                          Tensor::Empty({out, rows, cols, shown}, DType::kF32));
  float* to = images.mutable_data<float>();
  for (const int64_t o : order) {
    to = std::copy_n(values.data() + o * size, size, to);
  }
  ImageGridOptions options;
  options.black = largest > 0 ? -largest : -1;
  options.white = -options.black;
  // The scale: there is no colour bar.
  options.title =
      in == 3
          ? absl::StrFormat("First-layer filters, 0 in grey, black %.2g",
                            options.black)
          : absl::StrFormat("First-layer filters, %.2g (blue) to %.2g (red)",
                            options.black, options.white);
  options.color_map = ColorMap::kDiverging;
  options.columns =
      static_cast<int>(std::ceil(std::sqrt(2 * static_cast<double>(out))));
  options.width_inches = 4.5;
  return Figure::ImageGrid(images, {}, options);
}

absl::StatusOr<Figure> CurvesFigure(
    const std::vector<std::vector<MetricRow>>& seeds, double steps_per_epoch) {
  const auto panel = [&](const char* title, const char* label,
                         const char* train, const char* test,
                         double factor) -> absl::StatusOr<Figure> {
    SEPTET_ASSIGN_OR_RETURN(Series training, Curve(seeds, train, "training",
                                                   factor, steps_per_epoch));
    SEPTET_ASSIGN_OR_RETURN(Series held_out, Curve(seeds, test, "held out",
                                                   factor, steps_per_epoch));
    FigureOptions options;
    options.title = title;
    options.x.label = "epoch";
    options.y.label = label;
    options.width_inches = 3.6;
    return Figure::Lines({std::move(training), std::move(held_out)}, options);
  };
  SEPTET_ASSIGN_OR_RETURN(Figure loss, panel("Loss", "cross-entropy, nats",
                                             "loss", "test_loss", 1));
  SEPTET_ASSIGN_OR_RETURN(
      Figure accuracy,
      panel("Accuracy", "accuracy, %", "accuracy", "test_accuracy", 100));
  GridOptions options;
  if (seeds.size() > 1) {
    options.title = absl::StrCat("Mean and range of ", seeds.size(), " seeds");
  }
  return Figure::Grid(1, 2, {std::move(loss), std::move(accuracy)}, options);
}

}  // namespace septet
