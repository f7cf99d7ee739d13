// SPDX-License-Identifier: Apache-2.0
// The decay gamma of each head of retention, and the sums of its powers
// (Sun et al.: Retentive Network, 2023, arXiv 2307.08621, eq. 8 and section
// 3.1; retnet.md 3.2 and 3.4).
//
//   SEPTET_ASSIGN_OR_RETURN(Tensor log_gamma,
//                           LogDecay({DecayKind::kTorchscale}, /*heads=*/8));
//   HalfLife(log_gamma.data<double>()[0]);   // 21.8 positions
//
// Decays are kept as natural logarithms in float64, whatever a model computes
// in: 1 - 2^(-5-i) in float32 is 1 from head 20 on.
#ifndef SEPTET_RETENTION_DECAY_H_
#define SEPTET_RETENTION_DECAY_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

enum class DecayKind {
  kTorchscale,  // 1 - 2^(-5-i) for head i (eq. 8)
  kLinspace,    // 1 - exp(a), a evenly from ln 1/32 to ln 1/512 (section 3.1)
  kFixed,       // `fixed` for all heads
  kNone,        // 1: no decay
  kCustom,      // `custom`
  kCustomLog,   // `custom` has ln gamma, for which 1 - gamma may be tiny
};

struct DecayOptions {
  DecayKind kind = DecayKind::kTorchscale;
  double fixed = 127.0 / 128;
  std::vector<double> custom;  // one a head
};

// ln gamma, f64 [heads].
// Errors: InvalidArgument for heads < 1, a gamma outside of (0, 1], or another
// number of custom ones, each with its value.
absl::StatusOr<Tensor> LogDecay(const DecayOptions& options, int64_t heads);

// c_n = sum_{i <= n} gamma^i for n >= 0, by expm1: (1 - gamma^(n+1)) /
// (1 - gamma) loses all digits for gamma near 1.
double DecayRowSum(double log_gamma, int64_t n);

// (dc_n / dlog_gamma) / c_n, with the same accuracy: the mean of i under
// weights gamma^i.
double DecayRowSumSlope(double log_gamma, int64_t n);

// Positions after which half is left; infinite for gamma = 1.
double HalfLife(double log_gamma);

}  // namespace septet

#endif  // SEPTET_RETENTION_DECAY_H_
