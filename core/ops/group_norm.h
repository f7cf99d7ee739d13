// SPDX-License-Identifier: Apache-2.0
// Group normalisation, channels last (Wu, He: Group Normalization, 2018, arXiv
// 1803.08494): the channels of a sample are cut into groups of neighbours, and
// each group, over all positions, is brought to mean 0 and variance 1:
// y = (x - mean) / sqrt(var + eps) * scale + bias, with the population variance
// and a scale and bias for each channel.
//
//   Var y = GroupNorm(images, 8, scale, bias, 1e-5);      // [N, H, W, C]
//   Var o = GroupNorm(tokens, heads, Var(), Var(), 1e-6); // [rows, H D]:
//                                                         // RetNet's, per head
//
// One group is layer normalisation over positions and channels, as many groups
// as channels instance normalisation. For a sequence [B, T, C] whose tokens are
// normalised one by one (RetNet) reshape to [B T, C] first.
//
// Cost: three passes over x forward, two over x and dy backward. The
// reductions' order is fixed by the shape (core/ops/group_norm_kernels.h).
#ifndef SEPTET_CORE_OPS_GROUP_NORM_H_
#define SEPTET_CORE_OPS_GROUP_NORM_H_

#include <cstdint>

#include "septet/core/autograd/var.h"

namespace septet {

// x: [N, ..., C], f32 or f64, rank >= 2, C >= 1 and some position. groups >= 1
// divides C. scale and bias: [C], each may be an undefined Var (1 and 0).
// eps >= 0.
// Errors: InvalidArgument naming the argument, expected and actual.
// Differentiable any number of times (higher derivatives through elementary
// ops).
Var GroupNorm(const Var& x, int64_t groups, const Var& scale, const Var& bias,
              double eps);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_GROUP_NORM_H_
