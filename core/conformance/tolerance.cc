// SPDX-License-Identifier: Apache-2.0
#include "septet/core/conformance/tolerance.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<int64_t> IndexOf(const Shape& shape, int64_t element) {
  std::vector<int64_t> index(shape.rank());
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    index[axis] = element % shape.dim(axis);
    element /= shape.dim(axis);
  }
  return index;
}

// How far an error exceeds what is allowed.
double Ratio(double error, double allowed) {
  if (error == 0) return 0;
  return allowed > 0 ? error / allowed : kInfinity;
}

double FloatError(double got, double want) {
  if (std::isnan(want) || std::isnan(got)) {
    return std::isnan(want) && std::isnan(got) ? 0 : kInfinity;
  }
  if (got == want) return 0;  // infinities too
  return std::abs(got - want);
}

// fn(i) gives the error and what is allowed of element i.
template <typename ErrorFn, typename AllowedFn>
int64_t FindWorst(int64_t n, const ErrorFn& error_of,
                  const AllowedFn& allowed_of, Comparison* result) {
  int64_t worst = -1;
  double worst_ratio = -1;
  result->passed = true;
  for (int64_t i = 0; i < n; ++i) {
    const double error = error_of(i);
    const double allowed = allowed_of(i);
    if (!(error <= allowed)) result->passed = false;
    const double ratio = Ratio(error, allowed);
    if (ratio > worst_ratio) {
      worst = i;
      worst_ratio = ratio;
      result->error = error;
      result->allowed = allowed;
    }
  }
  return worst;
}

// 17 digits tell any two doubles apart.
std::string Exactly(double value) {
  std::string text(32, '\0');
  text.resize(std::snprintf(text.data(), text.size(), "%.17g", value));
  return text;
}

}  // namespace

std::string Comparison::ToString() const {
  if (!problem.empty()) return problem;
  std::string text = absl::StrCat("error ", error, " of ", allowed, " allowed");
  if (!passed) {
    absl::StrAppend(&text, " at [", absl::StrJoin(index, ", "), "]: got ",
                    Exactly(got), ", want ", Exactly(want));
  }
  return text;
}

Comparison Compare(const Tensor& got, const Tensor& want,
                   const Tolerance& tolerance) {
  Comparison result;
  if (!got.has_storage() || !want.has_storage()) {
    result.problem = "undefined tensor";
    return result;
  }
  if (got.shape() != want.shape() ||
      IsFloating(got.dtype()) != IsFloating(want.dtype())) {
    result.problem =
        absl::StrCat("got ", got.DebugString(), ", want ", want.DebugString());
    return result;
  }
  const int64_t n = want.num_elements();
  int64_t worst;
  if (!IsFloating(want.dtype())) {
    const std::vector<int64_t> a = got.ToVector<int64_t>();
    const std::vector<int64_t> b = want.ToVector<int64_t>();
    worst = FindWorst(
        n,
        [&](int64_t i) {
          if (a[i] == b[i]) return 0.0;
          return std::max(1.0, std::abs(static_cast<double>(a[i]) -
                                        static_cast<double>(b[i])));
        },
        [](int64_t) { return 0.0; }, &result);
    if (worst >= 0) {
      result.got = static_cast<double>(a[worst]);
      result.want = static_cast<double>(b[worst]);
    }
  } else {
    const std::vector<double> a = got.ToVector<double>();
    const std::vector<double> b = want.ToVector<double>();
    double largest = 0;
    bool all_zero = true;
    for (const double x : b) {
      if (x != 0) all_zero = false;
      if (std::isfinite(x)) largest = std::max(largest, std::abs(x));
    }
    const double absolute = all_zero && tolerance.absolute_if_zero > 0
                                ? tolerance.absolute_if_zero
                                : tolerance.absolute;
    worst = FindWorst(
        n, [&](int64_t i) { return FloatError(a[i], b[i]); },
        [&](int64_t i) {
          double scale = largest;
          if (tolerance.scale == Tolerance::Scale::kElement) {
            scale = std::isfinite(b[i]) ? std::abs(b[i]) : 0;
          }
          return absolute +
                 tolerance.relative * std::max(scale, tolerance.min_scale);
        },
        &result);
    if (worst >= 0) {
      result.got = a[worst];
      result.want = b[worst];
    }
  }
  if (worst >= 0) result.index = IndexOf(want.shape(), worst);
  return result;
}

}  // namespace septet
