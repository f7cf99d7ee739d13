// SPDX-License-Identifier: Apache-2.0
// The entries of Gemm's table, each to be had by itself: for gemm.cc and for
// the tests that hold every entry to the definition.
#ifndef SEPTET_CORE_BLAS_GEMM_IMPL_H_
#define SEPTET_CORE_BLAS_GEMM_IMPL_H_

#include <cstdint>

#include "absl/status/status.h"
#include "septet/core/blas/gemm.h"
#include "septet/core/blas/gemm_kernels.h"

namespace septet {

enum class GemmBackend {
  kRows,
  kColumns,
  kDirect,
  kPacked,
  kOneDnn,
  kOpenBlas
};

inline constexpr GemmBackend kAllGemmBackends[] = {
    GemmBackend::kRows,   GemmBackend::kColumns, GemmBackend::kDirect,
    GemmBackend::kPacked, GemmBackend::kOneDnn,  GemmBackend::kOpenBlas};

const char* GemmBackendNameOf(GemmBackend backend);

// The table.
template <typename T>
GemmBackend ChooseGemmBackend(const GemmShape& shape);

// True if that implementation can compute products of this shape and type.
template <typename T>
bool GemmBackendTakes(GemmBackend backend, const GemmShape& shape);

// Gemm by an implementation that takes the shape. The sizes are good and the
// extents and alpha not zero.
template <typename T>
absl::Status RunGemmBackend(GemmBackend backend, const GemmShape& shape,
                            const T* a, int64_t lda, const T* b, int64_t ldb,
                            T* c, int64_t ldc, const GemmScale& scale);

// InvalidArgument where Gemm has it.
absl::Status ValidateGemm(const GemmShape& shape, int64_t lda, int64_t ldb,
                          int64_t ldc);

// PackPanels and PanelProduct of gemm_kernels.h by the threads of the current
// pool.
template <typename T>
void PackAllPanels(int64_t k, int64_t n, const T* b, int64_t ldb,
                   bool transpose_b, T scale, T* panels);
template <typename T>
void PanelProductInParallel(const PanelProductArgs<T>& args);

}  // namespace septet

#endif  // SEPTET_CORE_BLAS_GEMM_IMPL_H_
