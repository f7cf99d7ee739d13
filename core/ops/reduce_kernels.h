// SPDX-License-Identifier: Apache-2.0
// Sums, maxima and minima over rows, columns or a middle axis, sums of squares
// and dot products, on the CPU.
//
//   ReduceKernel(ReduceKind::kSum, /*outer=*/rows, n, /*inner=*/1, x, out);
//   ReduceKernel(ReduceKind::kSum, 1, rows, /*inner=*/columns, x, out);
//   ColumnSumKernel(rows, columns, dy, dbias);   // dbias += sum of the rows
//
// Plain functions of float or double: no allocation, no threads. x is
// contiguous and row-major; it must not overlap the output.
//
// Sums are formed by a tree that depends on the length alone, so their bits are
// the same on every machine and for every vector width. With L = 64 virtual
// lanes for float, 32 for double:
//   1. The row is cut into blocks of 32 L elements (the last may be shorter).
//   2. Within a block, lane l starts at 0 and adds the elements l, l + L,
//      l + 2 L, ... of the block one after the other.
//   3. The lanes of a block are folded: lane l + lane (l + L/2) for l < L/2,
//      then with L/4, ..., 1.
//   4. The sums of blocks are combined in pairs of neighbours, (b0 + b1),
//      (b2 + b3), ..., then pairs of those, and so on; what has no right
//      neighbour is added at the end, the shortest runs first.
// Over an outer axis ([n, inner] with inner > 1) each column is summed in
// blocks of 32 rows, from 0, one row after the other, and the blocks by 4.
// The error of a sum of n terms is at most about (38 + log2(n / 2048)) eps / 2
// times the sum of their absolute values, eps = 2^-23 or 2^-52.
//
// Maxima and minima are NaN where an element is NaN. Reducing no elements
// gives 0, -infinity and infinity.
#ifndef SEPTET_CORE_OPS_REDUCE_KERNELS_H_
#define SEPTET_CORE_OPS_REDUCE_KERNELS_H_

#include <cstdint>

namespace septet {

enum class ReduceKind { kSum, kMax, kMin };
constexpr ReduceKind kAllReduceKinds[] = {ReduceKind::kSum, ReduceKind::kMax,
                                          ReduceKind::kMin};

// x [outer, n, inner] -> out [outer, inner]. out is overwritten.
void ReduceKernel(ReduceKind kind, int64_t outer, int64_t n, int64_t inner,
                  const float* x, float* out);
void ReduceKernel(ReduceKind kind, int64_t outer, int64_t n, int64_t inner,
                  const double* x, double* out);

// Of one row of n elements.
float SumKernel(int64_t n, const float* x);
double SumKernel(int64_t n, const double* x);
// Each square is rounded, then added by the tree.
float SumOfSquaresKernel(int64_t n, const float* x);
double SumOfSquaresKernel(int64_t n, const double* x);
// Each product is rounded, then added by the tree.
float DotKernel(int64_t n, const float* a, const float* b);
double DotKernel(int64_t n, const double* a, const double* b);

// out[columns] += sum over the rows of x [rows, columns]: the tree's sum is
// added once. The gradient of a bias.
void ColumnSumKernel(int64_t rows, int64_t columns, const float* x, float* out);
void ColumnSumKernel(int64_t rows, int64_t columns, const double* x,
                     double* out);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_REDUCE_KERNELS_H_
