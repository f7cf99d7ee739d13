// SPDX-License-Identifier: Apache-2.0
#include "septet/core/plot/series.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/io/quote.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

absl::StatusOr<Series> SeedBand(std::string label, std::vector<double> x,
                                const std::vector<std::vector<double>>& curves,
                                Band band) {
  if (curves.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "seed band ", QuoteName(label), ": no curve, want one a seed"));
  }
  for (size_t i = 0; i < curves.size(); ++i) {
    if (curves[i].size() != x.size()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "seed band ", QuoteName(label), ": curve ", i, " has ",
          curves[i].size(), " values, want ", x.size(), ", as many as x"));
    }
  }
  const size_t count = curves.size();
  Series result;
  result.label = std::move(label);
  result.y.resize(x.size());
  if (count > 1) {
    result.low.resize(x.size());
    result.high.resize(x.size());
  }
  for (size_t i = 0; i < x.size(); ++i) {
    // Divided before it is summed, and taken from the first curve, so that no
    // finite curves overflow and equal ones have their very value as mean.
    const double first = curves[0][i];
    double mean = 0, least = first, greatest = first;
    bool finite = true;
    for (const std::vector<double>& curve : curves) {
      finite = finite && std::isfinite(curve[i]);
      mean += (curve[i] / count - first / count);
      least = std::min(least, curve[i]);
      greatest = std::max(greatest, curve[i]);
    }
    if (!finite) {
      constexpr double kGap = std::numeric_limits<double>::quiet_NaN();
      result.y[i] = kGap;
      if (count > 1) result.low[i] = result.high[i] = kGap;
      continue;
    }
    // Rounding may not put the mean outside of what it is the mean of.
    mean = std::min(std::max(first + mean, least), greatest);
    result.y[i] = mean;
    if (count == 1) continue;
    if (band == Band::kMinMax) {
      result.low[i] = least;
      result.high[i] = greatest;
      continue;
    }
    double squares = 0;
    for (const std::vector<double>& curve : curves) {
      squares += (curve[i] - mean) * (curve[i] - mean);
    }
    double half = std::sqrt(squares / (count - 1));
    if (band == Band::kStandardError) half /= std::sqrt(count);
    result.low[i] = mean - half;
    result.high[i] = mean + half;
  }
  result.x = std::move(x);
  return result;
}

absl::StatusOr<Matrix> Matrix::FromTensor(const Tensor& tensor) {
  if (!tensor.defined() || tensor.rank() != 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("matrix: the tensor is ",
                     tensor.defined() ? tensor.DebugString() : "undefined",
                     ", want 2 axes [rows, columns]"));
  }
  SEPTET_ASSIGN_OR_RETURN(const Tensor numbers, tensor.To(DType::kF64));
  SEPTET_ASSIGN_OR_RETURN(const Tensor dense, numbers.Contiguous());
  Matrix result;
  result.rows = tensor.shape()[0];
  result.columns = tensor.shape()[1];
  result.values = dense.ToVector<double>();
  return result;
}

}  // namespace septet
