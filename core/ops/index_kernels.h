// SPDX-License-Identifier: Apache-2.0
// Sums of chosen rows, on the CPU: what the gradient of an embedding is made
// of.
//
//   const int64_t rows[] = {4, 0, 4};
//   SumRowsKernel(3, rows, /*pitch=*/n, n, x, out);   // out = 2 x[4] + x[0]
//
// Plain functions of float or double: no allocation, no threads. out must not
// overlap x.
//
// The rows are added in the order given, in blocks of 32, and the blocks in
// pairs of neighbours, as in a sum over an outer axis (reduce_kernels.h): bits
// depend on the list alone.
#ifndef SEPTET_CORE_OPS_INDEX_KERNELS_H_
#define SEPTET_CORE_OPS_INDEX_KERNELS_H_

#include <cstdint>

namespace septet {

// out[j] = sum over k < count of x[rows[k] pitch + j], j < n; 0 where count is
// 0. out is overwritten.
void SumRowsKernel(int64_t count, const int64_t* rows, int64_t pitch, int64_t n,
                   const float* x, float* out);
void SumRowsKernel(int64_t count, const int64_t* rows, int64_t pitch, int64_t n,
                   const double* x, double* out);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_INDEX_KERNELS_H_
