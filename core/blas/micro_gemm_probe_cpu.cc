// SPDX-License-Identifier: Apache-2.0
#include <cstddef>

#include "septet/core/blas/micro_gemm_probe.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/blas/micro_gemm_probe_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "septet/core/blas/micro_gemm-inl.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace {

void GemmF32(size_t m, size_t n, size_t k, const float* a, size_t a_row,
             size_t a_column, const float* b, size_t ldb, float* c, size_t ldc,
             bool accumulate) {
  MicroGemm(m, n, k, a, a_row, a_column, b, ldb, c, ldc, accumulate);
}
void GemmF64(size_t m, size_t n, size_t k, const double* a, size_t a_row,
             size_t a_column, const double* b, size_t ldb, double* c,
             size_t ldc, bool accumulate) {
  MicroGemm(m, n, k, a, a_row, a_column, b, ldb, c, ldc, accumulate);
}
void PackF32(size_t rows, size_t columns, const float* from, size_t from_row,
             float scale, float* to, size_t to_row) {
  PackTransposed(rows, columns, from, from_row, scale, to, to_row);
}
void PackF64(size_t rows, size_t columns, const double* from, size_t from_row,
             double scale, double* to, size_t to_row) {
  PackTransposed(rows, columns, from, from_row, scale, to, to_row);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace septet {

HWY_EXPORT(GemmF32);
HWY_EXPORT(GemmF64);
HWY_EXPORT(PackF32);
HWY_EXPORT(PackF64);

void MicroGemmProbe(size_t m, size_t n, size_t k, const float* a, size_t a_row,
                    size_t a_column, const float* b, size_t ldb, float* c,
                    size_t ldc, bool accumulate) {
  HWY_DYNAMIC_DISPATCH(GemmF32)
  (m, n, k, a, a_row, a_column, b, ldb, c, ldc, accumulate);
}
void MicroGemmProbe(size_t m, size_t n, size_t k, const double* a, size_t a_row,
                    size_t a_column, const double* b, size_t ldb, double* c,
                    size_t ldc, bool accumulate) {
  HWY_DYNAMIC_DISPATCH(GemmF64)
  (m, n, k, a, a_row, a_column, b, ldb, c, ldc, accumulate);
}
void PackTransposedProbe(size_t rows, size_t columns, const float* from,
                         size_t from_row, float scale, float* to,
                         size_t to_row) {
  HWY_DYNAMIC_DISPATCH(PackF32)
  (rows, columns, from, from_row, scale, to, to_row);
}
void PackTransposedProbe(size_t rows, size_t columns, const double* from,
                         size_t from_row, double scale, double* to,
                         size_t to_row) {
  HWY_DYNAMIC_DISPATCH(PackF64)
  (rows, columns, from, from_row, scale, to, to_row);
}

}  // namespace septet
#endif  // HWY_ONCE
