// SPDX-License-Identifier: Apache-2.0
// One axis: its limits, where values lie, ticks that fit.
#ifndef SEPTET_CORE_PLOT_AXIS_IMPL_H_
#define SEPTET_CORE_PLOT_AXIS_IMPL_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/plot/figure.h"
#include "septet/core/plot/font_impl.h"
#include "septet/core/plot/ticks.h"

namespace septet {
namespace plot_internal {

// Sizes of values that are drawn.
inline constexpr double kGreatest = 1e300, kLeastLog = 1e-300;

// InvalidArgument if `value` is not finite, too large, or not > 0 on a
// logarithmic axis.
absl::Status CheckAxisValue(double value, bool log, absl::string_view field);
// InvalidArgument if not min < max, or closer than doubles can tell apart.
absl::Status CheckLimits(double min, double max, bool log,
                         absl::string_view name);

// The least and greatest of values.
struct Extent {
  double low = 1, high = 0;

  bool empty() const { return low > high; }
  void Add(double value) {
    if (empty()) {
      low = high = value;
    } else if (value < low) {
      low = value;
    } else if (value > high) {
      high = value;
    }
  }
};

struct Axis {
  bool log = false;
  double low = 0, high = 1;

  // 0 at low, 1 at high; not beyond +-1e4, so that drawings stay finite.
  double Fraction(double value) const;
};

// From the options' limits, where they are given, else from the data, with so
// much of its length added at each end (unless that is `pinned` there).
struct AxisMargin {
  double low = 0.03, high = 0.03;
};
absl::StatusOr<Axis> MakeAxis(const AxisOptions& options, Extent data,
                              AxisMargin margin, absl::string_view name);

// Ticks whose labels do not touch along `length` points; whole numbers only
// where `whole`. Along x labels stand side by side, along y above each other.
Ticks FitTicks(const Axis& axis, const Font& font, double size, double length,
               bool along_x, bool whole = false);

// Names at 0, 1, 2, ...: which are written, and how.
struct CategoryTicks {
  std::vector<double> values;
  std::vector<std::string> labels;
  double degrees = 0;  // 0, or turned along x
  double size = 0;
  double extent = 0;    // height along x, width along y
  double overhang = 0;  // along x: how far the first reaches to the left of 0
};
CategoryTicks FitCategories(const std::vector<std::string>& names,
                            const Axis& axis, const Font& font, double size,
                            double length, bool along_x, double room);

}  // namespace plot_internal
}  // namespace septet

#endif  // SEPTET_CORE_PLOT_AXIS_IMPL_H_
