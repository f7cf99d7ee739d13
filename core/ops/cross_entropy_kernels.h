// SPDX-License-Identifier: Apache-2.0
// Cross-entropy of rows of logits with a class each, forward and backward, on
// the CPU.
//
// For each row of x [rows, n] with its class t, m = max(x),
// s = sum(exp(x - m)), and smoothing e:
//   loss = log s - (1 - e) (x_t - m) - e sum(x - m) / n
//   dx   = g (exp(x - m) / s - (1 - e) [j = t] - e / n)
//
//   CrossEntropyForward(rows, n, x, classes, ignored, e, loss, max, sum);
//   CrossEntropyBackward(rows, n, x, classes, ignored, e, max, sum, g, dx);
//
// A row is read once from memory and, if it fits, a second time from the cache;
// backward once, and dx is written once. Plain functions: no allocation, no
// threads. dx may be x; other overlap is not allowed. Sums follow the trees of
// reduce_kernels.h.
#ifndef SEPTET_CORE_OPS_CROSS_ENTROPY_KERNELS_H_
#define SEPTET_CORE_OPS_CROSS_ENTROPY_KERNELS_H_

#include <cstdint>

#include "septet/core/ops/store_mode.h"

namespace septet {

// classes [rows]: each in [0, n), or equal to `ignored`, which gives the loss 0
// and leaves max and sum 0. n >= 1, 0 <= smoothing <= 1. With loss null, max
// and sum of every row are written, whatever its class (classes may be null
// then).
void CrossEntropyForward(int64_t rows, int64_t n, const float* x,
                         const int64_t* classes, int64_t ignored,
                         float smoothing, float* loss, float* max, float* sum);
void CrossEntropyForward(int64_t rows, int64_t n, const double* x,
                         const int64_t* classes, int64_t ignored,
                         double smoothing, double* loss, double* max,
                         double* sum);

// dx [rows, n] is overwritten: 0 in rows that are ignored. g: one factor a row,
// `g_pitch` apart (0 repeats one). With StoreMode::kStreaming dx is written
// past the caches.
void CrossEntropyBackward(int64_t rows, int64_t n, const float* x,
                          const int64_t* classes, int64_t ignored,
                          float smoothing, const float* max, const float* sum,
                          const float* g, int64_t g_pitch, float* dx,
                          StoreMode mode = StoreMode::kCached);
void CrossEntropyBackward(int64_t rows, int64_t n, const double* x,
                          const int64_t* classes, int64_t ignored,
                          double smoothing, const double* max,
                          const double* sum, const double* g, int64_t g_pitch,
                          double* dx, StoreMode mode = StoreMode::kCached);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_CROSS_ENTROPY_KERNELS_H_
