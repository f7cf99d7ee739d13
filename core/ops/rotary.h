// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding (Su et al.: RoFormer: Enhanced Transformer with
// Rotary Position Embedding, 2021, arXiv 2104.09864, eq. 15 and 34): in the row
// of time t, pair i of the first R elements, (a, b), becomes
//   (a cos w - b sin w, a sin w + b cos w),
//   w = (offset + t) position_scale frequencies[i],
// and the other D - R elements stay as they are (partial rotary embedding). The
// product of a rotated query and a rotated key depends on the difference of
// their times alone.
//
//   SEPTET_ASSIGN_OR_RETURN(Tensor w, RotaryFrequencies(head_dim));
//   q = Rotary(q, w);                        // [B, H, T, D]
//   k = Rotary(k, w, {.time_axis = -3});     // [B, T, H, D], no copy
//
// Rows of several sequences, each at its own time:
//
//   k = Rotary(k, w, {.time_axis = -3}, times);   // i64 [T], instead of t
//
// Any frequencies will do: RetNet's are a linspace in the exponent. Angles are
// computed in float64 for every dtype, sines and cosines too, and rounded once;
// with float32 angles time 10000 would be off by 1e-3.
//
// Cost: one pass over x; T R/2 sines and cosines, and a table of them that
// lives as long as the call (T R elements, or 2 T R for kInterleaved).
#ifndef SEPTET_CORE_OPS_ROTARY_H_
#define SEPTET_CORE_OPS_ROTARY_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "septet/core/autograd/var.h"
#include "septet/core/ops/rotary_layout.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

struct RotaryOptions {
  RotaryLayout layout = RotaryLayout::kInterleaved;
  // Not the last one; negative ones count from the end.
  int time_axis = -2;
  // The time of row 0: the length of the cache when decoding.
  double offset = 0;
  // Linear position interpolation by a factor s: 1 / s.
  double position_scale = 1;
  // Only the first so many of the axis before the last, which must be the one
  // behind time_axis, are rotated, and the others copied; -1: all. Heads of q
  // and k in a joint [B, T, heads of q, k and v, D], for JointAttention.
  int64_t rows = -1;
};

// x: [..., D], f32 or f64, rank >= 2. frequencies: [R/2], f64, finite, R <= D.
// times: i64 [T], one for each row of the time axis, or undefined: 0, 1, ...
// Errors: InvalidArgument naming the argument, expected and actual.
// Differentiable in x any number of times (the gradient is rotated back).
Var Rotary(const Var& x, const Tensor& frequencies,
           const RotaryOptions& options = {}, const Tensor& times = {});

struct RotaryFrequencyOptions {
  double base = 10000;
  // Divides all frequencies: linear position interpolation (Chen et al., 2023,
  // arXiv 2306.15595). The same as RotaryOptions::position_scale = 1 / s.
  double linear_scale = 1;
  // NTK-aware scaling by a factor a: base becomes base a^(R / (R - 2)), which
  // leaves the highest frequency and divides the lowest by a. Without effect at
  // R = 2.
  double ntk_factor = 1;
};

// base^(-2 i / R) for i < R/2: f64 [R/2].
// Errors: InvalidArgument if rotary_dim is odd or < 2, or an option is not a
// finite number > 0.
absl::StatusOr<Tensor> RotaryFrequencies(
    int64_t rotary_dim, const RotaryFrequencyOptions& options = {});

}  // namespace septet

#endif  // SEPTET_CORE_OPS_ROTARY_H_
