// SPDX-License-Identifier: Apache-2.0
// Group normalisation, channels last (Wu, He: Group Normalization, 2018, arXiv
// 1803.08494), forward and backward, on the CPU.
//
// x is [samples, positions, channels]; group g of a sample is its channels
// [g C / G, (g + 1) C / G) at all positions, m = positions C / G elements. With
// u = (x - mean) rstd:
//   mean = sum(x) / m,  rstd = 1 / sqrt(sum((x - mean)^2) / m + eps)
//   y = u scale + bias, scale and bias a channel
//
// Arrays are contiguous, float or double. Plain functions: no allocation, no
// threads. y may be x, dx may be dy; other overlap is not allowed.
//
// With one position a group is a row of its own, and everything is as in
// layer_norm_kernels.h. With more, each channel is summed over positions in
// blocks of 32 rows of `width` elements, blocks and channels in double, in an
// order that the shape alone fixes: the bits are the same on every machine.
#ifndef SEPTET_CORE_OPS_GROUP_NORM_KERNELS_H_
#define SEPTET_CORE_OPS_GROUP_NORM_KERNELS_H_

#include <cstdint>

#include "septet/core/ops/store_mode.h"

namespace septet {

struct GroupNormShape {
  int64_t samples;
  int64_t positions;  // >= 1
  int64_t channels;   // >= 1
  int64_t groups;     // >= 1, divides channels
};

// Elements of workspace and of totals that the functions below need.
int64_t GroupNormWorkspace(const GroupNormShape& shape);
int64_t GroupNormTotals(const GroupNormShape& shape);

// scale [channels] may be null (1), bias [channels] may be null (0). eps >= 0.
// mean and rstd [samples, groups] are written, for the backward function. y is
// overwritten, in the mode that fits the size of which it may be a part
// (store_mode.h).
void GroupNormForward(const GroupNormShape& shape, const float* x,
                      const float* scale, const float* bias, float eps,
                      float* y, float* mean, float* rstd, float* workspace,
                      double* totals, StoreMode mode = StoreMode::kCached);
void GroupNormForward(const GroupNormShape& shape, const double* x,
                      const double* scale, const double* bias, double eps,
                      double* y, double* mean, double* rstd, double* workspace,
                      double* totals, StoreMode mode = StoreMode::kCached);

// With g = dy scale and the means over a group: dx = rstd (g - mean(g)
// - u mean(g u)), overwritten, may be null. dparameters [2, channels], which
// may be null, gains the sums over samples and positions of dy u, for scale,
// and of dy, for bias. mode: of dx.
void GroupNormBackward(const GroupNormShape& shape, const float* x,
                       const float* scale, const float* mean, const float* rstd,
                       const float* dy, float* dx, double* dparameters,
                       float* workspace, double* totals,
                       StoreMode mode = StoreMode::kCached);
void GroupNormBackward(const GroupNormShape& shape, const double* x,
                       const double* scale, const double* mean,
                       const double* rstd, const double* dy, double* dx,
                       double* dparameters, double* workspace, double* totals,
                       StoreMode mode = StoreMode::kCached);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_GROUP_NORM_KERNELS_H_
