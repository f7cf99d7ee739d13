// SPDX-License-Identifier: Apache-2.0
// Batch normalisation's parts on the CPU: statistics of columns, a map of a
// matrix with numbers of its own for each column, and the sums of the backward
// pass. Columns are channels, rows everything else.
//
//   BatchNormStatistics(rows, c, x, mean, m2);        // one chunk of rows
//   BatchNormMerge(c, n_a, mean_a, m2_a, n_b, mean_b, m2_b);   // two chunks
//   BatchNormApply(rows, c, x, mean, multiplier, bias, y);
//   BatchNormBackwardSums(rows, c, x, mean, dy, sum_dy, sum_dy_x);
//   BatchNormBackwardApply(rows, c, x, mean, dy, p, dy_mean, q, dx);
//
// Arrays are contiguous, float or double. Plain functions: no allocation, no
// threads. y may be x, dx may be dy; other overlap is not allowed. rows and
// c >= 1. An output is stored in the mode that fits the size of which it may be
// a part (store_mode.h).
//
// x is read once for its statistics, in blocks of 32 rows: sums of differences
// to the mean of the rows before, and of their squares, give a block's mean and
// sum of squares, which are merged with those before by the formulas of Chan,
// Golub, LeVeque (1983); only the first block of a call is read twice, for a
// mean of its own. Fewer than 64 columns are handled as several rows side by
// side. All of it depends on the shape alone, and no product is fused with a
// sum: the bits are the same on every machine.
#ifndef SEPTET_CORE_OPS_BATCH_NORM_KERNELS_H_
#define SEPTET_CORE_OPS_BATCH_NORM_KERNELS_H_

#include <cstdint>

#include "septet/core/ops/store_mode.h"

namespace septet {

// mean[c] and m2[c] = sum over the rows of (x - mean)^2, overwritten.
void BatchNormStatistics(int64_t rows, int64_t c, const float* x, float* mean,
                         float* m2);
void BatchNormStatistics(int64_t rows, int64_t c, const double* x, double* mean,
                         double* m2);

// The statistics of n_a + n_b rows, from those of n_a (replaced) and of n_b.
void BatchNormMerge(int64_t c, int64_t n_a, float* mean_a, float* m2_a,
                    int64_t n_b, const float* mean_b, const float* m2_b);
void BatchNormMerge(int64_t c, int64_t n_a, double* mean_a, double* m2_a,
                    int64_t n_b, const double* mean_b, const double* m2_b);

// y = (x - shift) multiplier + bias; shift [c] and bias [c] may be null (0).
void BatchNormApply(int64_t rows, int64_t c, const float* x, const float* shift,
                    const float* multiplier, const float* bias, float* y,
                    StoreMode mode = StoreMode::kCached);
void BatchNormApply(int64_t rows, int64_t c, const double* x,
                    const double* shift, const double* multiplier,
                    const double* bias, double* y,
                    StoreMode mode = StoreMode::kCached);

// sum_dy[c] = sum of dy, sum_dy_x[c] = sum of dy (x - shift), overwritten.
// shift [c] may be null (0).
void BatchNormBackwardSums(int64_t rows, int64_t c, const float* x,
                           const float* shift, const float* dy, float* sum_dy,
                           float* sum_dy_x);
void BatchNormBackwardSums(int64_t rows, int64_t c, const double* x,
                           const double* shift, const double* dy,
                           double* sum_dy, double* sum_dy_x);

// dx = p (dy - dy_mean) - q (x - mean), overwritten; all of p, q, dy_mean and
// mean are [c]; dy_mean may be null (0).
void BatchNormBackwardApply(int64_t rows, int64_t c, const float* x,
                            const float* mean, const float* dy, const float* p,
                            const float* dy_mean, const float* q, float* dx,
                            StoreMode mode = StoreMode::kCached);
void BatchNormBackwardApply(int64_t rows, int64_t c, const double* x,
                            const double* mean, const double* dy,
                            const double* p, const double* dy_mean,
                            const double* q, double* dx,
                            StoreMode mode = StoreMode::kCached);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_BATCH_NORM_KERNELS_H_
