// SPDX-License-Identifier: Apache-2.0
// Root-mean-square normalisation of rows (Zhang, Sennrich: Root Mean Square
// Layer Normalization, 2019, arXiv 1910.07467), forward and backward, on the
// CPU.
//
// For each row of x [rows, n], with u = x rstd:
//   rstd = 1 / sqrt(sum(x^2) / n + eps)
//   y = u scale
//
//   RmsNormForward(rows, n, x, scale, eps, y, rstd);
//   std::vector<float> workspace(RmsNormBackwardWorkspace(rows, n));
//   RmsNormBackward(rows, n, x, scale, rstd, dy, dx, dscale,
//                   workspace.data());
//
// Arrays are contiguous, float or double. Plain functions: no allocation, no
// threads. y may be x, dx may be dy; other overlap is not allowed. Sums follow
// the trees of reduce_kernels.h, and no product is fused with a sum: the bits
// are the same on every machine.
#ifndef SEPTET_CORE_OPS_RMS_NORM_KERNELS_H_
#define SEPTET_CORE_OPS_RMS_NORM_KERNELS_H_

#include <cstdint>

#include "septet/core/ops/store_mode.h"

namespace septet {

// scale [n] may be null (1). eps >= 0. rstd [rows] is written, for the backward
// function. y is overwritten, in the mode that fits the size of which it may be
// a part (store_mode.h).
void RmsNormForward(int64_t rows, int64_t n, const float* x, const float* scale,
                    float eps, float* y, float* rstd,
                    StoreMode mode = StoreMode::kCached);
void RmsNormForward(int64_t rows, int64_t n, const double* x,
                    const double* scale, double eps, double* y, double* rstd,
                    StoreMode mode = StoreMode::kCached);

// Elements of workspace that RmsNormBackward needs for dscale.
int64_t RmsNormBackwardWorkspace(int64_t rows, int64_t n);

// With g = dy scale: dx = rstd (g - u sum(g u) / n), overwritten; dscale += sum
// over the rows of dy u. Each may be null where it is not wanted; scale as in
// the forward function. The rows are added in the tree of a reduction over an
// outer axis, and the result once to dscale. workspace may be null if dscale
// is. mode: of dx.
void RmsNormBackward(int64_t rows, int64_t n, const float* x,
                     const float* scale, const float* rstd, const float* dy,
                     float* dx, float* dscale, float* workspace,
                     StoreMode mode = StoreMode::kCached);
void RmsNormBackward(int64_t rows, int64_t n, const double* x,
                     const double* scale, const double* rstd, const double* dy,
                     double* dx, double* dscale, double* workspace,
                     StoreMode mode = StoreMode::kCached);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_RMS_NORM_KERNELS_H_
