// SPDX-License-Identifier: Apache-2.0
// Layer normalisation of rows (Ba, Kiros, Hinton: Layer Normalization, 2016,
// arXiv 1607.06450), forward and backward, on the CPU.
//
// For each row of x [rows, n], with u = (x - mean) rstd:
//   mean = sum(x) / n,  rstd = 1 / sqrt(sum((x - mean)^2) / n + eps)
//   y = u scale + bias
//
//   LayerNormForward(rows, n, x, scale, bias, eps, y, mean, rstd);
//   std::vector<float> workspace(LayerNormBackwardWorkspace(rows, n));
//   LayerNormBackward(rows, n, x, scale, mean, rstd, dy, dx, dscale, dbias,
//                     workspace.data());
//
// Arrays are contiguous, float or double. Plain functions: no allocation, no
// threads. y may be x, dx may be dy; other overlap is not allowed.
//
// The variance is computed in a second pass, from differences to the mean. All
// sums follow the trees of reduce_kernels.h, and no product is fused with a
// sum: the bits are the same on every machine.
#ifndef SEPTET_CORE_OPS_LAYER_NORM_KERNELS_H_
#define SEPTET_CORE_OPS_LAYER_NORM_KERNELS_H_

#include <cstdint>

#include "septet/core/ops/store_mode.h"

namespace septet {

// scale [n] may be null (1), bias [n] may be null (0). eps >= 0. mean [rows]
// and rstd [rows] are written, for the backward function. y is overwritten, in
// the mode that fits the size of which it may be a part (store_mode.h).
void LayerNormForward(int64_t rows, int64_t n, const float* x,
                      const float* scale, const float* bias, float eps,
                      float* y, float* mean, float* rstd,
                      StoreMode mode = StoreMode::kCached);
void LayerNormForward(int64_t rows, int64_t n, const double* x,
                      const double* scale, const double* bias, double eps,
                      double* y, double* mean, double* rstd,
                      StoreMode mode = StoreMode::kCached);

// Elements of workspace that LayerNormBackward needs for dscale and dbias.
int64_t LayerNormBackwardWorkspace(int64_t rows, int64_t n);

// With g = dy scale: dx = rstd (g - sum(g) / n - u sum(g u) / n), overwritten;
// dscale += sum over the rows of dy u, dbias += sum over the rows of dy. Each
// may be null where it is not wanted; scale as in the forward function. The
// rows are added in the tree of a reduction over an outer axis, and the result
// once to dscale and dbias. workspace may be null if both are. mode: of dx.
void LayerNormBackward(int64_t rows, int64_t n, const float* x,
                       const float* scale, const float* mean, const float* rstd,
                       const float* dy, float* dx, float* dscale, float* dbias,
                       float* workspace, StoreMode mode = StoreMode::kCached);
void LayerNormBackward(int64_t rows, int64_t n, const double* x,
                       const double* scale, const double* mean,
                       const double* rstd, const double* dy, double* dx,
                       double* dscale, double* dbias, double* workspace,
                       StoreMode mode = StoreMode::kCached);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_LAYER_NORM_KERNELS_H_
