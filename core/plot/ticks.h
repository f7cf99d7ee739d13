// SPDX-License-Identifier: Apache-2.0
// Where an axis has ticks, and what is written there.
//
//   LinearTicks(0, 9.3, 6)    // 0, 2, 4, 6, 8
//   LogTicks(0.02, 300, 6)    // 10^-1, 10^0, 10^1, 10^2, minor ones between
#ifndef SEPTET_CORE_PLOT_TICKS_H_
#define SEPTET_CORE_PLOT_TICKS_H_

#include <string>
#include <vector>

namespace septet {

// Text with a part that is written small and raised: {"3×10", "−4", ""}.
struct TickLabel {
  std::string base, exponent, tail;

  bool empty() const { return base.empty() && exponent.empty(); }
};

struct Ticks {
  std::vector<double> values;     // ascending, within the axis
  std::vector<TickLabel> labels;  // one a value
  std::vector<double> minor;      // without labels; ascending
  // What all labels are to be multiplied by or added to: "×10⁵", "+1.5×10⁹".
  TickLabel offset;
};

// At most `most` >= 1 ticks at multiples of 1, 2, 2.5 or 5 times a power of 10
// between low and high, with the smallest step that gives no more. Numbers of
// 10^5 and more, or below 10^-3, share a power of ten; those that differ only
// behind the sixth digit share a summand. The minus is U+2212. low < high,
// finite, |low| and |high| <= 1e300, and further apart than their last digits.
Ticks LinearTicks(double low, double high, int most);

// The same at multiples of whole steps >= 1: for counts and names.
Ticks WholeTicks(double low, double high, int most);

// At most `most` >= 1 powers of ten, every one, second, third, fifth or so on,
// minor ticks at 2, 3, ... 9 times each. Where less than two powers of ten lie
// between, ticks at 1, 2 and 5 (or 1, 1.5, 2, 3, 5 and 7) times powers of ten,
// or linear ones. 0 < low <
// high.
Ticks LogTicks(double low, double high, int most);

// `value` with so many digits behind the point, the minus U+2212.
std::string FixedNumber(double value, int digits);

// `value` as short as it can be with at most so many significant digits:
// "0.25", "3×10⁻⁷" as "3e−7".
std::string ShortNumber(double value, int digits);

}  // namespace septet

#endif  // SEPTET_CORE_PLOT_TICKS_H_
