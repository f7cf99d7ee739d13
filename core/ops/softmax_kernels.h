// SPDX-License-Identifier: Apache-2.0
// Softmax and log-softmax of rows, forward and backward, on the CPU.
//
//   SoftmaxForward(rows, n, x, y);          // y = exp(x - max) / sum
//   SoftmaxBackward(rows, n, y, dy, dx);    // dx = y (dy - sum(y dy))
//   LogSoftmaxForward(rows, n, x, y);       // y = x - max - log(sum)
//   LogSoftmaxBackward(rows, n, y, dy, dx); // dx = dy - exp(y) sum(dy)
//
// All arrays are [rows, n], contiguous, float or double. Plain functions: no
// allocation, no threads. Each row depends on itself alone. y may be x, dx may
// be dy; other overlap is not allowed.
//
// The maximum is subtracted first, so no finite input overflows; sums are
// formed by the tree of reduce_kernels.h. Elements of -infinity get probability
// 0 (log-probability -infinity). A row that is all -infinity, or that holds
// +infinity or NaN, has no softmax: all its elements become NaN.
//
// Cost: three passes over a row, of which one is from memory. `mode` is that of
// the whole output, of which y or dx may be a part (store_mode.h).
#ifndef SEPTET_CORE_OPS_SOFTMAX_KERNELS_H_
#define SEPTET_CORE_OPS_SOFTMAX_KERNELS_H_

#include <cstdint>

#include "septet/core/ops/store_mode.h"

namespace septet {

void SoftmaxForward(int64_t rows, int64_t n, const float* x, float* y,
                    StoreMode mode = StoreMode::kCached);
void SoftmaxForward(int64_t rows, int64_t n, const double* x, double* y,
                    StoreMode mode = StoreMode::kCached);

// y is the output of the forward function. dx is overwritten.
void SoftmaxBackward(int64_t rows, int64_t n, const float* y, const float* dy,
                     float* dx, StoreMode mode = StoreMode::kCached);
void SoftmaxBackward(int64_t rows, int64_t n, const double* y, const double* dy,
                     double* dx, StoreMode mode = StoreMode::kCached);

void LogSoftmaxForward(int64_t rows, int64_t n, const float* x, float* y,
                       StoreMode mode = StoreMode::kCached);
void LogSoftmaxForward(int64_t rows, int64_t n, const double* x, double* y,
                       StoreMode mode = StoreMode::kCached);

// y is the output of the forward function. dx is overwritten.
void LogSoftmaxBackward(int64_t rows, int64_t n, const float* y,
                        const float* dy, float* dx,
                        StoreMode mode = StoreMode::kCached);
void LogSoftmaxBackward(int64_t rows, int64_t n, const double* y,
                        const double* dy, double* dx,
                        StoreMode mode = StoreMode::kCached);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_SOFTMAX_KERNELS_H_
