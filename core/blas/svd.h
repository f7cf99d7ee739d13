// SPDX-License-Identifier: Apache-2.0
// Singular value decomposition A = U diag(s) V^T, by LAPACK's divide and
// conquer (gesdd).
//
//   SEPTET_ASSIGN_OR_RETURN(const SvdResult r, Svd(a));            // thin
//   // a [..., m, n], k = min(m, n): r.u [..., m, k], r.s [..., k] descending,
//   // r.vt [..., k, n]
//
// The common sign of a pair of singular vectors is free; here the entry of
// largest magnitude of the left one is positive (the first of those that are
// largest up to rounding). What completes a basis in the full form has a sign
// by the same rule. Vectors of equal or nearly equal values are any basis of
// their common space.
//
// Accuracy: |A - U diag(s) V^T| is some eps |A|; small singular values have an
// error relative to the largest.
// Cost: for m = n about 22 n^3 operations, values alone 8/3 n^3. Matrices of a
// batch run in the current pool, each in one thread: threads change no bit.
#ifndef SEPTET_CORE_BLAS_SVD_H_
#define SEPTET_CORE_BLAS_SVD_H_

#include "absl/status/statusor.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

enum class SvdVectors {
  kThin,  // u [..., m, k], vt [..., k, n]
  kFull,  // u [..., m, m], vt [..., n, n]
  kNone,  // values alone
};

struct SvdResult {
  Tensor u;   // orthonormal columns; undefined for kNone
  Tensor s;   // [..., k], descending, >= 0
  Tensor vt;  // orthonormal rows; undefined for kNone
};

// a: [..., m, n], f32 or f64; the results have its dtype. Without rows or
// columns there are no values, and the full factors are identities.
// Errors: InvalidArgument for another dtype or shape, for elements that are NaN
// or infinite (with the index) or so large that a value overflows, and for
// sizes that LAPACK cannot count; Internal, with LAPACK's info, if it does not
// converge.
absl::StatusOr<SvdResult> Svd(const Tensor& a,
                              SvdVectors vectors = SvdVectors::kThin);

}  // namespace septet

#endif  // SEPTET_CORE_BLAS_SVD_H_
