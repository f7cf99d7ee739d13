// SPDX-License-Identifier: Apache-2.0
// Linear systems A x = b with square A, by LAPACK: general (LU with row
// pivoting), symmetric positive definite (Cholesky), triangular; and what the
// factorisations give besides: the Cholesky factor and determinants.
//
//   SEPTET_ASSIGN_OR_RETURN(const Tensor x, Solve(a, b));
//   SEPTET_ASSIGN_OR_RETURN(const Tensor y, SolvePositiveDefinite(gram, b));
//   SEPTET_ASSIGN_OR_RETURN(const LogDetResult d, LogDet(a));
//
// For systems that are not square, or may be singular, there is Lstsq
// (core/blas/lstsq.h). An inverse is Solve(a, identity).
//
// Shapes: a is [..., n, n]. b is [..., n, r], r right-hand sides, or [..., n],
// one for each matrix, with the batch axes of a; the result has b's shape. f32
// or f64, all of one dtype. n = 0 and empty batches give empty results.
//
// Errors, in all: InvalidArgument for other dtypes or shapes and for elements
// that are NaN or infinite (with the index; of a, where they are read);
// FailedPrecondition naming the matrix for one that cannot be solved.
//
// Cost: 2/3 n^3 operations (LU), 1/3 n^3 (Cholesky), n^2 r (triangular).
// Matrices of a batch run in the current pool, each in one thread: threads
// change no bit.
#ifndef SEPTET_CORE_BLAS_SOLVE_H_
#define SEPTET_CORE_BLAS_SOLVE_H_

#include "absl/status/statusor.h"
#include "septet/core/blas/eigh.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

struct SolveOptions {
  // Matrices whose reciprocal condition number (estimated, 1-norm of the
  // transpose) is below this are refused as singular, since no digit of x would
  // be right. < 0: the epsilon of the dtype; 0: only those with a pivot that is
  // zero exactly.
  double min_rcond = -1;
};

// FailedPrecondition for a singular matrix, with its pivot or its reciprocal
// condition number.
absl::StatusOr<Tensor> Solve(const Tensor& a, const Tensor& b,
                             const SolveOptions& options = {});

// a is symmetric, of which `triangle` is read. FailedPrecondition if it is not
// positive definite, with the order of the first leading minor that is not.
absl::StatusOr<Tensor> SolvePositiveDefinite(
    const Tensor& a, const Tensor& b, Triangle triangle = Triangle::kLower);

struct TriangularOptions {
  Triangle triangle = Triangle::kLower;  // the other one is not read
  bool transpose = false;                // solve A^T x = b
  bool unit_diagonal = false;            // the diagonal is 1 and not read
};

// FailedPrecondition for a zero on the diagonal, with its row.
absl::StatusOr<Tensor> SolveTriangular(const Tensor& a, const Tensor& b,
                                       const TriangularOptions& options = {});

// The lower triangular L with a = L L^T and a positive diagonal, zeros above.
// Reads and refuses as SolvePositiveDefinite.
absl::StatusOr<Tensor> Cholesky(const Tensor& a,
                                Triangle triangle = Triangle::kLower);

// The determinant is sign exp(log_abs). A singular matrix has 0 and -infinity;
// that of n = 0 is 1.
struct LogDetResult {
  Tensor sign;     // [...]: -1, 0 or 1
  Tensor log_abs;  // [...]
};
absl::StatusOr<LogDetResult> LogDet(const Tensor& a);

}  // namespace septet

#endif  // SEPTET_CORE_BLAS_SOLVE_H_
