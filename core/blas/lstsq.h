// SPDX-License-Identifier: Apache-2.0
// Least squares: the x of least norm among those that minimise |A x - b|, for
// matrices of any shape and rank, by the singular value decomposition (LAPACK's
// gelsd).
//
//   SEPTET_ASSIGN_OR_RETURN(const LstsqResult fit, Lstsq(basis, values));
//   // fit.x [..., n, r]; fit.rank, fit.singular_values, fit.residual_norm
//
// Singular values of A up to rcond times the largest count as zero: their
// directions are left out of x. The rank is how many are left.
//
// Never by normal equations: the error of x grows with the condition number of
// A (for a residual near 0), not with its square.
//
// Cost: about 4 m n^2 + 8 n^3 operations for m >= n. Matrices of a batch run in
// the current pool, each in one thread: threads change no bit.
#ifndef SEPTET_CORE_BLAS_LSTSQ_H_
#define SEPTET_CORE_BLAS_LSTSQ_H_

#include "absl/status/statusor.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

struct LstsqOptions {
  // In [0, 1); < 0: max(m, n) times the epsilon of the dtype.
  double rcond = -1;
};

struct LstsqResult {
  Tensor x;                // [..., n, r], or [..., n] for b [..., m]
  Tensor rank;             // i64 [...]
  Tensor singular_values;  // [..., min(m, n)], descending
  Tensor residual_norm;    // [..., r], or [...]: |A x - b| of each column
};

// a: [..., m, n]. b: [..., m, r], r right-hand sides, or [..., m], one for each
// matrix, with the batch axes of a. f32 or f64, all of one dtype. Without rows
// x is 0; without columns it is empty; the rank is 0 in both.
// Errors: InvalidArgument for other dtypes or shapes, an rcond out of range,
// for elements that are NaN or infinite (with the index), and for sizes that
// LAPACK cannot count; Internal, with LAPACK's info, if the decomposition does
// not converge.
absl::StatusOr<LstsqResult> Lstsq(const Tensor& a, const Tensor& b,
                                  const LstsqOptions& options = {});

}  // namespace septet

#endif  // SEPTET_CORE_BLAS_LSTSQ_H_
