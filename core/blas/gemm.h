// SPDX-License-Identifier: Apache-2.0
// Matrix products of row-major matrices: C = alpha op(A) op(B) + beta C, with
// op(X) = X or its transpose.
//
//   // y [32, 10] = x [32, 64] w [64, 10]
//   SEPTET_RETURN_IF_ERROR(Gemm({32, 10, 64}, x, 64, w, 10, y, 10));
//
// One table chooses the implementation, by element type and shape:
//   f32                  oneDNN
//   f64                  OpenBLAS
//   f32, f64, one row or OpenBLAS's matrix-vector product (a matrix-matrix
//   one column           product is four times slower there)
// GemmReference is the definition in plain loops, for tests.
//
// Threads: rows of C are cut into blocks by the shape alone and run in the
// current pool (core/base/thread_pool.h), the libraries with one thread each:
// the bits of C do not depend on the number of threads. They may differ between
// machines with other vector instructions.
//
// Cost: 2 m n k floating-point operations.
#ifndef SEPTET_CORE_BLAS_GEMM_H_
#define SEPTET_CORE_BLAS_GEMM_H_

#include <cstdint>

#include "absl/status/status.h"

namespace septet {

struct GemmShape {
  int64_t m = 0;             // rows of C
  int64_t n = 0;             // columns of C
  int64_t k = 0;             // terms of each sum
  bool transpose_a = false;  // A is stored [k, m] instead of [m, k]
  bool transpose_b = false;  // B is stored [n, k] instead of [k, n]
};

struct GemmScale {
  double alpha = 1.0;
  double beta = 0.0;  // 0 overwrites C, whatever it holds
};

// lda, ldb and ldc are the distances between rows as stored, in elements.
// InvalidArgument for a negative size, or a distance below the row's length;
// Internal if the library fails. C must not overlap A or B.
absl::Status Gemm(const GemmShape& shape, const float* a, int64_t lda,
                  const float* b, int64_t ldb, float* c, int64_t ldc,
                  const GemmScale& scale = {});
absl::Status Gemm(const GemmShape& shape, const double* a, int64_t lda,
                  const double* b, int64_t ldb, double* c, int64_t ldc,
                  const GemmScale& scale = {});

// Matrices of one shape at equal distances, in elements. 0 for a or b repeats
// one matrix; those of C must not overlap.
struct GemmBatch {
  int64_t count = 1;
  int64_t stride_a = 0;
  int64_t stride_b = 0;
  int64_t stride_c = 0;
};

// Gemm of each of batch.count matrices, in parallel over them and over their
// rows. The bits of a matrix do not depend on how many there are.
//
//   // scores [8, 64, 64] = q [8, 64, 32] times k [8, 64, 32] transposed
//   GemmBatched({64, 64, 32, false, true}, {8, 64 * 32, 64 * 32, 64 * 64},
//               q, 32, k, 32, scores, 64);
//
// InvalidArgument as for Gemm, for a negative count or stride, and for a
// stride_c below the extent of a matrix.
absl::Status GemmBatched(const GemmShape& shape, const GemmBatch& batch,
                         const float* a, int64_t lda, const float* b,
                         int64_t ldb, float* c, int64_t ldc,
                         const GemmScale& scale = {});
absl::Status GemmBatched(const GemmShape& shape, const GemmBatch& batch,
                         const double* a, int64_t lda, const double* b,
                         int64_t ldb, double* c, int64_t ldc,
                         const GemmScale& scale = {});

// The same as Gemm in plain loops; sums run in order of the index, in T.
template <typename T>
absl::Status GemmReference(const GemmShape& shape, const T* a, int64_t lda,
                           const T* b, int64_t ldb, T* c, int64_t ldc,
                           const GemmScale& scale = {});

// What Gemm would run: "onednn", "openblas" or "openblas-gemv".
template <typename T>
const char* GemmBackendName(const GemmShape& shape);

}  // namespace septet

#endif  // SEPTET_CORE_BLAS_GEMM_H_
