// SPDX-License-Identifier: Apache-2.0
// Matrix products of row-major matrices: C = alpha op(A) op(B) + beta C, with
// op(X) = X or its transpose.
//
//   // y [32, 10] = x [32, 64] w [64, 10]
//   SEPTET_RETURN_IF_ERROR(Gemm({32, 10, 64}, x, 64, w, 10, y, 10));
//
// One table chooses the implementation, by element type, shape and the width of
// the machine's vectors; GemmBackendName says which. The first that fits is
// taken:
//
// - highway-rows reads B once, as it lies, for up to four rows of A at a time.
//   For one row; for two to four with a B of more than 256 KiB; with a
//   transposed B for up to four, and with AVX-512 and k of 256 or more for up
//   to 32.
// - highway-columns does the same for the transpose of C. For more than four
//   rows and up to four columns; f32 with AVX-512: up to eight.
// - onednn (f32, dnnl_sgemm) and openblas (f64, cblas_dgemm). For all else if
//   vectors have 16 bytes.
// - highway-direct runs micro_gemm-inl.h on B as it lies, not transposed. For
//   up to 96 rows, or a B of up to 384 KiB; without AVX-512: 16 rows, 64 KiB.
// - highway-packed runs micro_gemm-inl.h on panels into which B is copied. For
//   the rest.
//
// (Very short rows, of less than two vectors, are not read as rows. gemm.cc
// has the exact lines.) Seen on Zen 4 with AVX-512, one thread, as a part of
// the peak of multiply-adds: 512^3 f32 0.96 (oneDNN 0.96; B transposed 0.96
// against 0.75), f64 0.93 (OpenBLAS 0.77); 64^3 f32 0.97 (0.79), f64 0.96
// (0.93); 8 x 1024 x 1024 f32 0.89 (0.82). The figures of today are those of
// `bazel run //tools:bench -- --filter=gemm,gemv`.
// GemmReference is the definition in plain loops, for tests.
//
// A matrix that many products share, such as a layer's weight when it is only
// read, is packed once: PackedMatrix.
//
// Threads: C is cut by its shape and computed in the current pool
// (core/base/thread_pool.h), the libraries with one thread each: the bits of C
// do not depend on the number of threads. They may differ between machines with
// other vector instructions.
//
// Cost: 2 m n k floating-point operations. Memory: up to a copy of B, at most
// about 8 MiB at a time (more for single rows of more), and of a transposed A,
// at most half a MiB (or 512 terms, if those are more), from the cache of
// core/tensor/allocator.h.
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
// ResourceExhausted if there is no memory for the copy of B; Internal if a
// library fails. C must not overlap A or B.
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

// What Gemm runs, and GemmBatched for each matrix: a name of the table.
template <typename T>
const char* GemmBackendName(const GemmShape& shape);

}  // namespace septet

#endif  // SEPTET_CORE_BLAS_GEMM_H_
