// SPDX-License-Identifier: Apache-2.0
// The data of figures: curves with bands, matrices. Links no drawing.
//
//   SEPTET_ASSIGN_OR_RETURN(
//       Series loss, SeedBand("ours", steps, {seed1, seed2, seed3}));
//   SEPTET_ASSIGN_OR_RETURN(Matrix map, Matrix::FromTensor(attention));
#ifndef SEPTET_CORE_PLOT_SERIES_H_
#define SEPTET_CORE_PLOT_SERIES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

enum class LineStyle { kSolid, kDashed, kDotted, kDashDot };

// Points in order, with a band or error bars around y.
struct Series {
  std::string label = {};              // in the legend; empty: not there
  std::vector<double> x = {}, y = {};  // equally many
  // Ends of the band or error bars; empty, or as many as y.
  std::vector<double> low = {}, high = {};
  // Place in the palette (color_map.h); by default the series' own index.
  std::optional<int> color = {};
  // By default solid for the first colours, then dashed, dotted, ...
  std::optional<LineStyle> line = {};
};

// What the band around a mean over seeds shows.
enum class Band {
  kMinMax,             // the worst and the best
  kStandardError,      // mean -+ s / sqrt(n), s with n - 1
  kStandardDeviation,  // mean -+ s
};

// The mean over seeds of curves at the same x, and its band. Where a curve is
// not finite, so is the mean: it has a gap. One curve has no band. Errors:
// InvalidArgument if there is no curve or one is not as long as x.
absl::StatusOr<Series> SeedBand(std::string label, std::vector<double> x,
                                const std::vector<std::vector<double>>& curves,
                                Band band = Band::kMinMax);

// values[row * columns + column].
struct Matrix {
  int64_t rows = 0;
  int64_t columns = 0;
  std::vector<double> values = {};

  // Of a tensor [rows, columns] of any element type on the CPU. Errors:
  // InvalidArgument for another number of axes.
  static absl::StatusOr<Matrix> FromTensor(const Tensor& tensor);
};

}  // namespace septet

#endif  // SEPTET_CORE_PLOT_SERIES_H_
