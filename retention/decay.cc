// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/decay.h"

#include <cmath>
#include <cstddef>
#include <iterator>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"

namespace septet {
namespace {

absl::Status CheckGamma(absl::string_view name, double gamma) {
  if (gamma > 0 && gamma <= 1) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " is ", gamma, ", expected a gamma in (0, 1]"));
}

// ln gamma of head `i`.
double LogGamma(const DecayOptions& options, int64_t i, int64_t heads) {
  switch (options.kind) {
    case DecayKind::kTorchscale:
      return std::log1p(-std::exp2(-5.0 - static_cast<double>(i)));
    case DecayKind::kLinspace: {
      const double first = std::log(1.0 / 32), last = std::log(1.0 / 512);
      const double part =
          heads == 1 ? 0
                     : static_cast<double>(i) / static_cast<double>(heads - 1);
      return std::log1p(-std::exp(first + part * (last - first)));
    }
    case DecayKind::kFixed:
      return std::log(options.fixed);
    case DecayKind::kNone:
      return 0;
    case DecayKind::kCustom:
      return std::log(options.custom[static_cast<size_t>(i)]);
    case DecayKind::kCustomLog:
      return options.custom[static_cast<size_t>(i)];
  }
  return 0;
}

// coth x - 1 / x for |x| <= 1/2, to the last digits.
double CothWithoutPole(double x) {
  // 2^(2k) B_2k / (2k)! for k = 1, 2, ...; the terms fall by pi^2 / x^2 > 39.
  constexpr double kSeries[] = {
      1.0 / 3,
      -1.0 / 45,
      2.0 / 945,
      -1.0 / 4725,
      2.0 / 93555,
      -1382.0 / 638512875,
      4.0 / 18243225,
      -3617.0 / 162820783125,
      87734.0 / 38979295480125,
      -349222.0 / 1531329465290625,
      310732.0 / 13447856940643125,
  };
  double sum = 0;
  for (size_t k = std::size(kSeries); k-- > 0;) sum = sum * x * x + kSeries[k];
  return sum * x;
}

}  // namespace

absl::StatusOr<Tensor> LogDecay(const DecayOptions& options, int64_t heads) {
  if (heads < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("decay: heads is ", heads, ", expected at least 1"));
  }
  if (options.kind == DecayKind::kFixed) {
    SEPTET_RETURN_IF_ERROR(CheckGamma("decay: fixed", options.fixed));
  }
  const bool custom_log = options.kind == DecayKind::kCustomLog;
  if (options.kind == DecayKind::kCustom || custom_log) {
    if (static_cast<int64_t>(options.custom.size()) != heads) {
      return absl::InvalidArgumentError(
          absl::StrCat("decay: custom has ", options.custom.size(),
                       " values, expected one for each of ", heads, " heads"));
    }
    for (size_t i = 0; i < options.custom.size(); ++i) {
      if (custom_log) {
        if (std::isfinite(options.custom[i]) && options.custom[i] <= 0) {
          continue;
        }
        return absl::InvalidArgumentError(
            absl::StrCat("decay: custom[", i, "] is ", options.custom[i],
                         ", expected the logarithm of a gamma in (0, 1]"));
      }
      SEPTET_RETURN_IF_ERROR(CheckGamma(absl::StrCat("decay: custom[", i, "]"),
                                        options.custom[i]));
    }
  }
  SEPTET_ASSIGN_OR_RETURN(Tensor log_gamma,
                          Tensor::Empty(Shape({heads}), DType::kF64));
  double* const to = log_gamma.mutable_data<double>();
  for (int64_t i = 0; i < heads; ++i) to[i] = LogGamma(options, i, heads);
  return log_gamma;
}

double DecayRowSum(double log_gamma, int64_t n) {
  const double terms = static_cast<double>(n) + 1;
  return log_gamma == 0 ? terms
                        : std::expm1(terms * log_gamma) / std::expm1(log_gamma);
}

double DecayRowSumSlope(double log_gamma, int64_t n) {
  if (log_gamma == 0) return static_cast<double>(n) / 2;
  // With N = n + 1 terms, ln c_n = ln expm1(N log_gamma) - ln expm1(log_gamma).
  const double terms = static_cast<double>(n) + 1;
  const double x = terms * log_gamma;
  if (x < -1) return 1 / std::expm1(-log_gamma) - terms / std::expm1(-x);
  // Here these two all but cancel. c_n = exp(n log_gamma / 2) sinh(x / 2) /
  // sinh(log_gamma / 2), and of the derivatives of both logarithms 1 /
  // log_gamma, which is what cancels, is left out.
  return 0.5 * (static_cast<double>(n) + terms * CothWithoutPole(x / 2) -
                CothWithoutPole(log_gamma / 2));
}

double HalfLife(double log_gamma) {
  return log_gamma == 0 ? std::numeric_limits<double>::infinity()
                        : std::log(2.0) / -log_gamma;
}

}  // namespace septet
