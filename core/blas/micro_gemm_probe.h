// SPDX-License-Identifier: Apache-2.0
// The functions of micro_gemm-inl.h as ordinary ones, for the vector target in
// use: for their test and benchmark.
#ifndef SEPTET_CORE_BLAS_MICRO_GEMM_PROBE_H_
#define SEPTET_CORE_BLAS_MICRO_GEMM_PROBE_H_

#include <cstddef>

namespace septet {

void MicroGemmProbe(size_t m, size_t n, size_t k, const float* a, size_t a_row,
                    size_t a_column, const float* b, size_t ldb, float* c,
                    size_t ldc, bool accumulate);
void MicroGemmProbe(size_t m, size_t n, size_t k, const double* a, size_t a_row,
                    size_t a_column, const double* b, size_t ldb, double* c,
                    size_t ldc, bool accumulate);

void PackTransposedProbe(size_t rows, size_t columns, const float* from,
                         size_t from_row, float scale, float* to,
                         size_t to_row);
void PackTransposedProbe(size_t rows, size_t columns, const double* from,
                         size_t from_row, double scale, double* to,
                         size_t to_row);

}  // namespace septet

#endif  // SEPTET_CORE_BLAS_MICRO_GEMM_PROBE_H_
