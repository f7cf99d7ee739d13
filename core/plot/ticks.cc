// SPDX-License-Identifier: Apache-2.0
#include "septet/core/plot/ticks.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/check.h"

namespace septet {
namespace {

constexpr char kMinus[] = "\u2212";
constexpr char kTimes[] = "\u00d7";

// Labels of more digits share a summand.
constexpr int kMostDigits = 6;
// Labels from 10^kLargeExponent on, and up to 10^kSmallExponent, share a
// factor.
constexpr int kLargeExponent = 5;
constexpr int kSmallExponent = -4;

double PowerOfTen(int exponent) { return std::pow(10.0, exponent); }

// number * 10^exponent, rounded once for the exponents of everyday.
double Scaled(double number, int exponent) {
  return exponent >= 0 ? number * PowerOfTen(exponent)
                       : number / PowerOfTen(-exponent);
}

// The exponent of the leading digit; value > 0.
int Exponent(double value) {
  int exponent = static_cast<int>(std::floor(std::log10(value)));
  // The logarithm may be rounded across a power of ten.
  if (Scaled(1, exponent + 1) <= value) ++exponent;
  if (Scaled(1, exponent) > value) --exponent;
  return exponent;
}

// A step of mantissa * 10^exponent, and the multiples that lie on the axis.
struct Steps {
  int mantissa = 10;
  int exponent = 0;
  double first = 0, last = -1;  // whole numbers

  double count() const { return last - first + 1; }
  double value(double i) const { return Scaled(i * mantissa, exponent); }
};

Steps MakeSteps(int mantissa, int exponent, double low, double high) {
  Steps steps;
  steps.mantissa = mantissa;
  steps.exponent = exponent;
  const double step = Scaled(mantissa, exponent);
  // Limits that are multiples themselves are ticks, whatever the quotient's
  // last digits say.
  const auto slack = [](double q) { return 1e-9 + 4e-16 * std::fabs(q); };
  steps.first = std::ceil(low / step - slack(low / step));
  steps.last = std::floor(high / step + slack(high / step));
  return steps;
}

Steps ChooseSteps(double low, double high, int most, bool whole) {
  // 25 * 10^0 is the 2.5 times 10^1 of the header.
  constexpr int kMantissas[] = {10, 20, 25, 50};
  int exponent = Exponent((high - low) / most) - 2;
  if (whole) exponent = std::max(exponent, -1);
  for (;; ++exponent) {
    for (int mantissa : kMantissas) {
      if (whole && exponent < 0 && mantissa % 10 != 0) continue;
      const Steps steps = MakeSteps(mantissa, exponent, low, high);
      if (steps.count() <= most) return steps;
    }
  }
}

// Digits behind the point that a step has.
int StepDigits(const Steps& steps) {
  const int exponent =
      steps.mantissa % 10 == 0 ? steps.exponent + 1 : steps.exponent;
  return std::max(0, -exponent);
}

TickLabel Power(absl::string_view prefix, int exponent) {
  return {absl::StrCat(prefix, "10"),
          absl::StrCat(exponent < 0 ? kMinus : "", std::abs(exponent)), ""};
}

// tenths / 10 * 10^exponent, as labels of a logarithmic axis are written.
TickLabel LogLabel(int tenths, int exponent) {
  const int digits = tenths % 10 == 0 ? 0 : 1;
  if (exponent >= -3 && exponent < 5) {
    return {FixedNumber(Scaled(tenths, exponent - 1),
                        std::max(0, digits - exponent)),
            "", ""};
  }
  if (tenths == 10) return Power("", exponent);
  return Power(absl::StrCat(FixedNumber(tenths / 10.0, digits), kTimes),
               exponent);
}

Ticks Label(const Steps& steps, double low, double high) {
  Ticks result;
  double greatest = 0;
  for (double i = steps.first; i <= steps.last; ++i) {
    const double value = std::min(std::max(steps.value(i), low), high);
    result.values.push_back(value);
    greatest = std::max(greatest, std::fabs(value));
  }
  int digits = StepDigits(steps);
  double summand = 0;
  const double step = Scaled(steps.mantissa, steps.exponent);
  // Digits from the leading one of the greatest to the last one of the step.
  if (greatest > 0 && Exponent(greatest) - Exponent(step) + 1 > kMostDigits) {
    const int exponent = Exponent(high - low) + 1;
    // The limits have more digits than the ticks between them.
    const double lowest = result.values.front();
    summand = Scaled(std::floor(Scaled(lowest, -exponent) + 1e-9), exponent);
    greatest = std::max(std::fabs(result.values.front() - summand),
                        std::fabs(result.values.back() - summand));
  }
  int factor = 0;
  if (greatest > 0) {
    const int exponent = Exponent(greatest);
    if (exponent >= kLargeExponent || exponent <= kSmallExponent) {
      factor = exponent;
      const int last =
          steps.mantissa % 10 == 0 ? steps.exponent + 1 : steps.exponent;
      digits = std::max(0, factor - last);
    }
  }
  for (const double value : result.values) {
    result.labels.push_back(
        {FixedNumber(Scaled(value - summand, -factor), digits), "", ""});
  }
  if (factor != 0) result.offset = Power(kTimes, factor);
  if (summand != 0) {
    std::string& text = factor != 0 ? result.offset.tail : result.offset.base;
    const std::string number = ShortNumber(std::fabs(summand), 15);
    text = absl::StrCat(factor != 0 ? " " : "", summand < 0 ? kMinus : "+",
                        factor != 0 ? " " : "", number);
  }
  return result;
}

}  // namespace

std::string FixedNumber(double value, int digits) {
  std::string text = absl::StrFormat("%.*f", digits, std::fabs(value));
  const bool zero = text.find_first_not_of("0.") == std::string::npos;
  return value < 0 && !zero ? absl::StrCat(kMinus, text) : text;
}

std::string ShortNumber(double value, int digits) {
  std::string text = absl::StrFormat("%.*g", digits, std::fabs(value));
  const size_t e = text.find('e');
  if (e != std::string::npos) {
    // "3e-07", "3e+20" as "3e-7", "3e20".
    const bool negative = text[e + 1] == '-';
    const size_t first = text.find_first_not_of("+-0", e + 1);
    text = absl::StrCat(text.substr(0, e + 1), negative ? kMinus : "",
                        text.substr(first));
  }
  return value < 0 ? absl::StrCat(kMinus, text) : text;
}

Ticks LinearTicks(double low, double high, int most) {
  SEPTET_CHECK(low < high && most >= 1);
  return Label(ChooseSteps(low, high, most, /*whole=*/false), low, high);
}

Ticks WholeTicks(double low, double high, int most) {
  SEPTET_CHECK(low < high && most >= 1);
  return Label(ChooseSteps(low, high, most, /*whole=*/true), low, high);
}

Ticks LogTicks(double low, double high, int most) {
  SEPTET_CHECK(low > 0 && low < high && most >= 1);
  const double low_exponent = std::log10(low), high_exponent = std::log10(high);
  const int first = static_cast<int>(std::ceil(low_exponent - 1e-9));
  const int last = static_cast<int>(std::floor(high_exponent + 1e-9));
  const auto clamp = [&](double v) { return std::min(std::max(v, low), high); };

  Ticks result;
  if (last - first >= 1 && most >= 2) {
    // As many powers as there may be, but two at least where there are two.
    int stride = 1;
    const auto count = [&](int s) {
      const int from =
          static_cast<int>(std::ceil(static_cast<double>(first) / s));
      const int to =
          static_cast<int>(std::floor(static_cast<double>(last) / s));
      return to - from + 1;
    };
    while (count(stride) > most) ++stride;
    for (int e = first; e <= last; ++e) {
      if (e % stride == 0) {
        result.values.push_back(clamp(Scaled(1, e)));
        result.labels.push_back(Power("", e));
      } else {
        result.minor.push_back(Scaled(1, e));
      }
    }
    // Where powers stand close, what lies between only makes it grey.
    if (stride == 1 && last - first <= 12) {
      for (int e = first - 1; e <= last; ++e) {
        for (int m = 2; m <= 9; ++m) {
          const double value = Scaled(m, e);
          if (value > low && value < high) result.minor.push_back(value);
        }
      }
    }
    return result;
  }

  // Tenths, of which the first set is taken that gives a few ticks.
  const std::vector<int> sets[] = {{10, 20, 50}, {10, 15, 20, 30, 50, 70}};
  for (const std::vector<int>& mantissas : sets) {
    result = Ticks();
    for (int e = first - 1; e <= last; ++e) {
      for (const int m : mantissas) {
        const double value = Scaled(m, e - 1);
        if (value < low * (1 - 1e-12) || value > high * (1 + 1e-12)) continue;
        result.values.push_back(clamp(value));
        result.labels.push_back(LogLabel(m, e));
      }
      for (int m = 1; m <= 9; ++m) {
        const double value = Scaled(m, e);
        if (value < low || value > high) continue;
        if (std::find(mantissas.begin(), mantissas.end(), 10 * m) ==
            mantissas.end()) {
          result.minor.push_back(value);
        }
      }
    }
    const int count = static_cast<int>(result.values.size());
    if (count >= 3 && count <= most) return result;
  }
  return LinearTicks(low, high, most);
}

}  // namespace septet
