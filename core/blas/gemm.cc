// SPDX-License-Identifier: Apache-2.0
#include "septet/core/blas/gemm.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cblas.h"
#include "dnnl.h"
#include "septet/core/base/thread_pool.h"

namespace septet {
namespace {

enum class Backend { kOneDnn, kOpenBlas, kGemv };

template <typename T>
Backend Choose(const GemmShape& shape) {
  if (shape.m == 1 || shape.n == 1) return Backend::kGemv;
  return std::is_same_v<T, float> ? Backend::kOneDnn : Backend::kOpenBlas;
}

absl::Status Validate(const GemmShape& s, int64_t lda, int64_t ldb,
                      int64_t ldc) {
  if (s.m < 0 || s.n < 0 || s.k < 0) {
    return absl::InvalidArgumentError(absl::StrCat("gemm: m is ", s.m, ", n ",
                                                   s.n, ", k ", s.k,
                                                   ", expected none negative"));
  }
  // OpenBLAS counts in 32 bits.
  const int64_t largest = std::max({s.m, s.n, s.k, lda, ldb, ldc});
  if (largest > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(
        absl::StrCat("gemm: size ", largest, " is above 2^31 - 1"));
  }
  const auto check = [](const char* name, int64_t got, int64_t want) {
    if (got >= std::max<int64_t>(want, 1)) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("gemm: ", name, " is ", got, ", expected at least ",
                     std::max<int64_t>(want, 1), ", the length of a row"));
  };
  absl::Status status = check("lda", lda, s.transpose_a ? s.m : s.k);
  if (status.ok()) status = check("ldb", ldb, s.transpose_b ? s.k : s.n);
  if (status.ok()) status = check("ldc", ldc, s.n);
  return status;
}

template <typename T>
void ScaleOutput(const GemmShape& s, T beta, T* c, int64_t ldc) {
  for (int64_t i = 0; i < s.m; ++i) {
    T* row = c + i * ldc;
    if (beta == T(0)) {
      std::fill(row, row + s.n, T(0));
    } else {
      for (int64_t j = 0; j < s.n; ++j) row[j] *= beta;
    }
  }
}

CBLAS_TRANSPOSE Flag(bool transpose) {
  return transpose ? CblasTrans : CblasNoTrans;
}

void CblasGemv(CBLAS_TRANSPOSE t, int64_t rows, int64_t cols, float alpha,
               const float* a, int64_t lda, const float* x, int64_t incx,
               float beta, float* y, int64_t incy) {
  cblas_sgemv(CblasRowMajor, t, rows, cols, alpha, a, lda, x, incx, beta, y,
              incy);
}
void CblasGemv(CBLAS_TRANSPOSE t, int64_t rows, int64_t cols, double alpha,
               const double* a, int64_t lda, const double* x, int64_t incx,
               double beta, double* y, int64_t incy) {
  cblas_dgemv(CblasRowMajor, t, rows, cols, alpha, a, lda, x, incx, beta, y,
              incy);
}

// One row (m == 1): C^T = op(B)^T A^T. One column: C = op(A) B.
template <typename T>
void RunGemv(const GemmShape& s, const T* a, int64_t lda, const T* b,
             int64_t ldb, T* c, int64_t ldc, const GemmScale& scale) {
  const T alpha = static_cast<T>(scale.alpha);
  const T beta = static_cast<T>(scale.beta);
  if (s.m == 1) {
    const int64_t rows = s.transpose_b ? s.n : s.k;
    const int64_t cols = s.transpose_b ? s.k : s.n;
    CblasGemv(Flag(!s.transpose_b), rows, cols, alpha, b, ldb, a,
              s.transpose_a ? lda : 1, beta, c, 1);
  } else {
    const int64_t rows = s.transpose_a ? s.k : s.m;
    const int64_t cols = s.transpose_a ? s.m : s.k;
    CblasGemv(Flag(s.transpose_a), rows, cols, alpha, a, lda, b,
              s.transpose_b ? 1 : ldb, beta, c, ldc);
  }
}

bool RunMatrix(const GemmShape& s, const float* a, int64_t lda, const float* b,
               int64_t ldb, float* c, int64_t ldc, const GemmScale& scale) {
  return dnnl_sgemm(s.transpose_a ? 'T' : 'N', s.transpose_b ? 'T' : 'N', s.m,
                    s.n, s.k, static_cast<float>(scale.alpha), a, lda, b, ldb,
                    static_cast<float>(scale.beta), c, ldc) == dnnl_success;
}
bool RunMatrix(const GemmShape& s, const double* a, int64_t lda,
               const double* b, int64_t ldb, double* c, int64_t ldc,
               const GemmScale& scale) {
  cblas_dgemm(CblasRowMajor, Flag(s.transpose_a), Flag(s.transpose_b), s.m, s.n,
              s.k, scale.alpha, a, lda, b, ldb, scale.beta, c, ldc);
  return true;
}

template <typename T>
absl::Status Run(const GemmShape& s, const T* a, int64_t lda, const T* b,
                 int64_t ldb, T* c, int64_t ldc, const GemmScale& scale) {
  if (absl::Status status = Validate(s, lda, ldb, ldc); !status.ok()) {
    return status;
  }
  if (s.m == 0 || s.n == 0) return absl::OkStatus();
  // Libraries differ in what they do with beta when there is nothing to add,
  // and BLAS with NaN in a C that beta = 0 overwrites.
  if (s.k == 0 || scale.alpha == 0.0) {
    ScaleOutput(s, static_cast<T>(scale.beta), c, ldc);
    return absl::OkStatus();
  }
  if (scale.beta == 0.0 && Choose<T>(s) != Backend::kOneDnn) {
    ScaleOutput(s, T(0), c, ldc);
  }
  // Blocks of rows worth about 10^7 operations, whole multiples of the
  // libraries' own blocking.
  const int64_t work_per_row = 2 * s.n * s.k;
  const int64_t rows =
      std::max<int64_t>(96, (10'000'000 / work_per_row + 95) / 96 * 96);
  std::atomic<bool> failed{false};
  const auto block = [&](int64_t begin, int64_t end) {
    GemmShape part = s;
    part.m = end - begin;
    const T* a_part = a + (s.transpose_a ? begin : begin * lda);
    // The kernel is chosen by the whole shape, or a last block of one row
    // would be computed differently.
    if (Choose<T>(s) == Backend::kGemv) {
      RunGemv(part, a_part, lda, b, ldb, c + begin * ldc, ldc, scale);
    } else if (!RunMatrix(part, a_part, lda, b, ldb, c + begin * ldc, ldc,
                          scale)) {
      failed = true;
    }
  };
  if (s.m <= rows || Choose<T>(s) == Backend::kGemv) {
    ScopedSingleThreadedLibraries single;
    block(0, s.m);
  } else {
    ParallelFor(s.m, rows, block);
  }
  if (failed) {
    return absl::InternalError(absl::StrCat("gemm: oneDNN failed on m ", s.m,
                                            ", n ", s.n, ", k ", s.k));
  }
  return absl::OkStatus();
}

template <typename T>
absl::Status RunBatched(const GemmShape& s, const GemmBatch& batch, const T* a,
                        int64_t lda, const T* b, int64_t ldb, T* c, int64_t ldc,
                        const GemmScale& scale) {
  if (absl::Status status = Validate(s, lda, ldb, ldc); !status.ok()) {
    return status;
  }
  if (batch.count < 0 || batch.stride_a < 0 || batch.stride_b < 0 ||
      batch.stride_c < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "gemm: batch count is ", batch.count, ", stride_a ", batch.stride_a,
        ", stride_b ", batch.stride_b, ", stride_c ", batch.stride_c,
        ", expected none negative"));
  }
  const int64_t extent = s.m == 0 || s.n == 0 ? 0 : (s.m - 1) * ldc + s.n;
  if (batch.count > 1 && batch.stride_c < extent) {
    return absl::InvalidArgumentError(
        absl::StrCat("gemm: stride_c is ", batch.stride_c,
                     ", expected at least ", extent, ", the extent of C"));
  }
  if (extent == 0) return absl::OkStatus();
  const double work = 2.0 * static_cast<double>(s.m) *
                      static_cast<double>(s.n) * static_cast<double>(s.k + 1);
  std::atomic<bool> failed{false};
  const auto some = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (!Run(s, a + i * batch.stride_a, lda, b + i * batch.stride_b, ldb,
               c + i * batch.stride_c, ldc, scale)
               .ok()) {
        failed = true;
      }
    }
  };
  if (work > 1e8) {
    // Large enough to be cut by itself.
    some(0, batch.count);
  } else {
    const int64_t grain = 1 + static_cast<int64_t>(2e6 / work);
    ParallelFor(batch.count, grain, some);
  }
  if (failed) {
    return absl::InternalError(absl::StrCat("gemm: oneDNN failed on m ", s.m,
                                            ", n ", s.n, ", k ", s.k));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Gemm(const GemmShape& shape, const float* a, int64_t lda,
                  const float* b, int64_t ldb, float* c, int64_t ldc,
                  const GemmScale& scale) {
  return Run(shape, a, lda, b, ldb, c, ldc, scale);
}

absl::Status Gemm(const GemmShape& shape, const double* a, int64_t lda,
                  const double* b, int64_t ldb, double* c, int64_t ldc,
                  const GemmScale& scale) {
  return Run(shape, a, lda, b, ldb, c, ldc, scale);
}

absl::Status GemmBatched(const GemmShape& shape, const GemmBatch& batch,
                         const float* a, int64_t lda, const float* b,
                         int64_t ldb, float* c, int64_t ldc,
                         const GemmScale& scale) {
  return RunBatched(shape, batch, a, lda, b, ldb, c, ldc, scale);
}

absl::Status GemmBatched(const GemmShape& shape, const GemmBatch& batch,
                         const double* a, int64_t lda, const double* b,
                         int64_t ldb, double* c, int64_t ldc,
                         const GemmScale& scale) {
  return RunBatched(shape, batch, a, lda, b, ldb, c, ldc, scale);
}

template <typename T>
absl::Status GemmReference(const GemmShape& s, const T* a, int64_t lda,
                           const T* b, int64_t ldb, T* c, int64_t ldc,
                           const GemmScale& scale) {
  if (absl::Status status = Validate(s, lda, ldb, ldc); !status.ok()) {
    return status;
  }
  for (int64_t i = 0; i < s.m; ++i) {
    for (int64_t j = 0; j < s.n; ++j) {
      T sum = 0;
      for (int64_t l = 0; l < s.k; ++l) {
        sum += a[s.transpose_a ? l * lda + i : i * lda + l] *
               b[s.transpose_b ? j * ldb + l : l * ldb + j];
      }
      T& out = c[i * ldc + j];
      const T old = scale.beta == 0.0 ? T(0) : static_cast<T>(scale.beta) * out;
      out = static_cast<T>(scale.alpha) * sum + old;
    }
  }
  return absl::OkStatus();
}

template absl::Status GemmReference(const GemmShape&, const float*, int64_t,
                                    const float*, int64_t, float*, int64_t,
                                    const GemmScale&);
template absl::Status GemmReference(const GemmShape&, const double*, int64_t,
                                    const double*, int64_t, double*, int64_t,
                                    const GemmScale&);

template <typename T>
const char* GemmBackendName(const GemmShape& shape) {
  switch (Choose<T>(shape)) {
    case Backend::kOneDnn:
      return "onednn";
    case Backend::kOpenBlas:
      return "openblas";
    case Backend::kGemv:
      break;
  }
  return "openblas-gemv";
}

template const char* GemmBackendName<float>(const GemmShape&);
template const char* GemmBackendName<double>(const GemmShape&);

}  // namespace septet
