// SPDX-License-Identifier: Apache-2.0
// QR decomposition A = Q R by Householder reflections (LAPACK's geqrf), or
// A P = Q R with column pivoting (geqp3).
//
//   SEPTET_ASSIGN_OR_RETURN(const QrResult f, Qr(a));              // thin
//   // a [..., m, n], k = min(m, n): f.q [..., m, k], f.r [..., k, n]
//
// The diagonal of R is >= 0, which makes both factors of a matrix of full rank
// unique. What completes the basis in the full form has its entry of largest
// magnitude positive.
//
// With pivoting the diagonal of R descends, and a sharp fall in it shows the
// rank; columns perm[0], perm[1], ... of A are the columns of Q R.
//
// Cost: about 2 m n^2 - 2/3 n^3 operations for R and as many for the thin Q.
// Matrices of a batch run in the current pool, each in one thread: threads
// change no bit.
#ifndef SEPTET_CORE_BLAS_QR_H_
#define SEPTET_CORE_BLAS_QR_H_

#include "absl/status/statusor.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

struct QrOptions {
  bool full = false;   // q [..., m, m], r [..., m, n]
  bool pivot = false;  // column pivoting
};

struct QrResult {
  Tensor q;     // orthonormal columns
  Tensor r;     // upper triangular; zeros below
  Tensor perm;  // i64 [..., n], with pivoting alone
};

// a: [..., m, n], f32 or f64; q and r have its dtype. Without rows or columns a
// full q is an identity, and r is empty.
// Errors: InvalidArgument for another dtype or shape, for elements that are NaN
// or infinite (with the index) or so large that R overflows, and for sizes that
// LAPACK cannot count.
absl::StatusOr<QrResult> Qr(const Tensor& a, const QrOptions& options = {});

}  // namespace septet

#endif  // SEPTET_CORE_BLAS_QR_H_
