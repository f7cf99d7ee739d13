// SPDX-License-Identifier: Apache-2.0
// The inner loops of pooling (core/blas/pool.h), over channels, on the CPU.
// Plain functions: no allocation, no threads.
#ifndef SEPTET_CORE_BLAS_POOL_KERNELS_H_
#define SEPTET_CORE_BLAS_POOL_KERNELS_H_

#include <cstdint>

namespace septet {

// A stretch of `rows` x `cols` pixels of `channels` elements: element c of
// pixel (i, j) is data[i row_stride + j channels + c].
template <typename T>
struct PoolWindow {
  const T* data = nullptr;
  int64_t rows = 0;  // at least 1
  int64_t cols = 0;  // at least 1
  int64_t row_stride = 0;
  int64_t channels = 0;
};

// y[c] = the maximum over the window, and argmax[c], unless it is null, its
// place: first_place + i place_stride + j, below 2^31.
void PoolMax(const PoolWindow<float>& window, int64_t first_place,
             int64_t place_stride, float* y, int64_t* argmax);
void PoolMax(const PoolWindow<double>& window, int64_t first_place,
             int64_t place_stride, double* y, int64_t* argmax);

// y[c] = the sum over the window, divided by count.
void PoolAverage(const PoolWindow<float>& window, float count, float* y);
void PoolAverage(const PoolWindow<double>& window, double count, double* y);

// y[c] += x[c] / count for c < channels.
void PoolAddQuotient(int64_t channels, const float* x, float count, float* y);
void PoolAddQuotient(int64_t channels, const double* x, double count,
                     double* y);

}  // namespace septet

#endif  // SEPTET_CORE_BLAS_POOL_KERNELS_H_
