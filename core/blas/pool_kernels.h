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

// A row of windows side by side, each of `rows` x `cols` pixels: pixel (a, b)
// of window j is x[a row_stride + (j cols + b) channels + c].
template <typename T>
struct PoolRow {
  int64_t windows = 0;
  int64_t rows = 0;  // at least 1; rows * cols <= kNoPoolWinner
  int64_t cols = 0;  // at least 1
  int64_t row_stride = 0;
  int64_t channels = 0;
  const T* x = nullptr;
};

// Where no pixel wins.
inline constexpr uint8_t kNoPoolWinner = 255;

// y[j channels + c] = max(0, the maximum over window j), and winner[likewise]
// the place a cols + b of the first pixel that is the maximum, or kNoPoolWinner
// where that is 0 or less. A NaN wins over every number.
void PoolMaxRelu(const PoolRow<float>& row, float* y, uint8_t* winner);
void PoolMaxRelu(const PoolRow<double>& row, double* y, uint8_t* winner);

// What goes back through PoolMaxRelu to the pixels `begin` to `end` of one row
// of the image: x[(p - begin) stride + c] = dy[j channels + c] where
// winner[likewise] == first_place + b, else 0, for pixel p = j cols + b; 0
// behind the last window.
template <typename T>
struct PoolSpread {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t windows = 0;
  int64_t cols = 0;
  int64_t first_place = 0;
  int64_t channels = 0;
  const T* dy = nullptr;
  const uint8_t* winner = nullptr;
  T* x = nullptr;
  int64_t stride = 0;
};
void PoolSpreadRow(const PoolSpread<float>& args);
void PoolSpreadRow(const PoolSpread<double>& args);

}  // namespace septet

#endif  // SEPTET_CORE_BLAS_POOL_KERNELS_H_
