// SPDX-License-Identifier: Apache-2.0
// Copies of chosen rows, and sums of them, on the CPU: what an embedding and
// its gradient are made of.
//
//   const int64_t rows[] = {4, 0, 4};
//   CopyRowsKernel(3, rows, n, x, y, mode);           // y = x[4], x[0], x[4]
//   const int64_t starts[] = {0, 3, 3};
//   SumRowsKernel(2, starts, rows, n, x, y, mode);    // y = 2 x[4] + x[0], 0
//
// Plain functions: no allocation, no threads. The output must not overlap x.
// With StoreMode::kStreaming it is written past the caches, with the same bits.
//
// The rows of a sum are added in the order given, in blocks of 32, and the
// blocks in pairs of neighbours, as in a sum over an outer axis
// (reduce_kernels.h): bits depend on the list alone.
#ifndef SEPTET_CORE_OPS_INDEX_KERNELS_H_
#define SEPTET_CORE_OPS_INDEX_KERNELS_H_

#include <cstdint>

#include "septet/core/ops/store_mode.h"

namespace septet {

// y[k n + j] = x[rows[k] n + j], k < count, j < n: any elements of 4 bytes, or
// pieces of longer ones.
void CopyRowsKernel(int64_t count, const int32_t* rows, int64_t n,
                    const uint32_t* x, uint32_t* y, StoreMode mode);
void CopyRowsKernel(int64_t count, const int64_t* rows, int64_t n,
                    const uint32_t* x, uint32_t* y, StoreMode mode);

// y[r n + j] = sum of x[order[k] n + j] over starts[r] <= k < starts[r + 1],
// for r < count and j < n; 0 where there is no such k. y is overwritten.
void SumRowsKernel(int64_t count, const int64_t* starts, const int64_t* order,
                   int64_t n, const float* x, float* y, StoreMode mode);
void SumRowsKernel(int64_t count, const int64_t* starts, const int64_t* order,
                   int64_t n, const double* x, double* y, StoreMode mode);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_INDEX_KERNELS_H_
