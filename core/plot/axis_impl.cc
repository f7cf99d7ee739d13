// SPDX-License-Identifier: Apache-2.0
#include "septet/core/plot/axis_impl.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/plot/figure.h"
#include "septet/core/plot/font_impl.h"
#include "septet/core/plot/ticks.h"

namespace septet {
namespace plot_internal {
namespace {

// Limits closer than this leave no digits for ticks between them.
constexpr double kClosest = 1e-12, kClosestAbsolute = 1e-290;
// Of the limits of a logarithmic axis: their ticks are no denormal numbers.
constexpr double kMostExponent = 305;

bool TooClose(double low, double high, bool log) {
  if (log) return std::log10(high) - std::log10(low) < 1e-9;
  return high - low < kClosestAbsolute ||
         high - low < kClosest * std::max(std::fabs(low), std::fabs(high));
}

constexpr double kPi = 3.14159265358979323846;

}  // namespace

absl::Status CheckAxisValue(double value, bool log, absl::string_view field) {
  if (!std::isfinite(value)) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, " is ", value, ", want a finite number"));
  }
  if (std::fabs(value) > kGreatest) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, " is ", value, ", want -1e300 to 1e300"));
  }
  if (log && value <= 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, " is ", value, ", want > 0 on a logarithmic axis"));
  }
  if (log && value < kLeastLog) {
    return absl::InvalidArgumentError(absl::StrCat(
        field, " is ", value, ", want >= 1e-300 on a logarithmic axis"));
  }
  return absl::OkStatus();
}

absl::Status CheckLimits(double min, double max, bool log,
                         absl::string_view name) {
  if (min < max && !TooClose(min, max, log)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      name, ": min is ", min, " and max is ", max,
      min < max ? ", want them further apart" : ", want min < max"));
}

double Axis::Fraction(double value) const {
  const double fraction = log ? (std::log10(value) - std::log10(low)) /
                                    (std::log10(high) - std::log10(low))
                              : (value - low) / (high - low);
  return std::min(std::max(fraction, -1e4), 1e4);
}

absl::StatusOr<Axis> MakeAxis(const AxisOptions& options, Extent data,
                              AxisMargin margin, absl::string_view name) {
  Axis axis;
  axis.log = options.log;
  if (data.empty()) {
    // Both limits are all that there is to see.
    if (!options.min.has_value() || !options.max.has_value()) {
      return absl::InvalidArgumentError(absl::StrCat(
          name, ": no series has a finite value, want one, or both limits"));
    }
    data.low = *options.min;
    data.high = *options.max;
  }
  double low = data.low, high = data.high;
  if (options.log) {
    low = std::log10(low), high = std::log10(high);
  }
  if (TooClose(data.low, data.high, options.log)) {
    // One value: a tenth of it to either side.
    const double half =
        options.log ? 0.5
        : low == 0  ? 1
                    : 0.1 * std::max(std::fabs(low), 10 * kClosestAbsolute);
    low -= half;
    high += half;
  } else {
    const double length = high - low;
    low -= margin.low * length;
    high += margin.high * length;
  }
  if (options.log) {
    // The margin may reach beyond what doubles hold.
    low = std::pow(10.0, std::max(low, -kMostExponent));
    high = std::pow(10.0, std::min(high, kMostExponent));
  }
  axis.low = options.min.value_or(low);
  axis.high = options.max.value_or(high);
  if (axis.low >= axis.high || TooClose(axis.low, axis.high, axis.log)) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, ": ", options.min.has_value() ? "min" : "the least value", " is ",
        options.min.value_or(data.low), " and ",
        options.max.has_value() ? "max" : "the greatest value", " is ",
        options.max.value_or(data.high), ", want min < max"));
  }
  return axis;
}

Ticks FitTicks(const Axis& axis, const Font& font, double size, double length,
               bool along_x, bool whole) {
  int most = static_cast<int>(length / ((along_x ? 3.2 : 2.4) * size));
  most = std::min(std::max(most, 2), 8);
  for (;; --most) {
    Ticks ticks = axis.log ? LogTicks(axis.low, axis.high, most)
                  : whole  ? WholeTicks(axis.low, axis.high, most)
                           : LinearTicks(axis.low, axis.high, most);
    bool fits = true;
    for (size_t i = 1; i < ticks.values.size() && fits; ++i) {
      const double distance = length * (axis.Fraction(ticks.values[i]) -
                                        axis.Fraction(ticks.values[i - 1]));
      const double need = along_x ? (font.Width(ticks.labels[i], size) +
                                     font.Width(ticks.labels[i - 1], size)) /
                                            2 +
                                        0.7 * size
                                  : 1.15 * size;
      fits = distance >= need;
    }
    if (fits || most == 1) return ticks;
  }
}

CategoryTicks FitCategories(const std::vector<std::string>& names,
                            const Axis& axis, const Font& font, double size,
                            double length, bool along_x, double room) {
  CategoryTicks result;
  result.size = size;
  std::vector<double> places;
  std::vector<std::string> all;
  for (size_t i = 0; i < names.size(); ++i) {
    const double fraction = axis.Fraction(static_cast<double>(i));
    if (fraction < 0 || fraction > 1) continue;
    places.push_back(static_cast<double>(i));
    all.push_back(Printable(names[i]));
  }
  if (places.empty()) return result;
  const double step = places.size() < 2
                          ? length
                          : length * std::fabs(axis.Fraction(places[1]) -
                                               axis.Fraction(places[0]));
  // Smaller letters where names stand close, down to 5 points.
  result.size = std::min(size, std::max(step / 1.1, std::min(size, 5.0)));
  double widest = 0;
  for (const std::string& name : all) {
    widest = std::max(widest, font.Width(name, result.size));
  }
  const bool level = along_x && widest + 0.5 * result.size <= step;
  if (along_x && !level) {
    // Leaning while there is room between the names, else upright.
    result.degrees = step >= 1.9 * result.size ? 40 : 90;
  }
  size_t stride = 1;
  if (!level) {
    // Limits may be so far apart that all names fall together.
    const double every =
        std::ceil(1.05 * result.size / std::max(step, 1e-9) - 1e-9);
    stride = static_cast<size_t>(
        std::min(std::max(every, 1.0), static_cast<double>(all.size())));
  }
  const double angle = result.degrees * kPi / 180;
  const double longest = level ? step : room / (along_x ? std::sin(angle) : 1);
  for (size_t i = 0; i < all.size(); i += stride) {
    const std::string name = font.Fit(all[i], result.size, longest);
    const double width = font.Width(name, result.size);
    result.values.push_back(places[i]);
    result.labels.push_back(name);
    if (!along_x) {
      result.extent = std::max(result.extent, width);
      continue;
    }
    result.extent = std::max(
        result.extent, result.degrees == 0 ? result.size
                                           : width * std::sin(angle) +
                                                 result.size * std::cos(angle));
    const double reach =
        result.degrees == 0 ? width / 2 : width * std::cos(angle);
    result.overhang =
        std::max(result.overhang, reach - length * axis.Fraction(places[i]));
  }
  return result;
}

}  // namespace plot_internal
}  // namespace septet
