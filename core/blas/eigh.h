// SPDX-License-Identifier: Apache-2.0
// All eigenvalues and eigenvectors of symmetric matrices: A = V diag(w) V^T,
// by LAPACK's divide and conquer (syevd).
//
//   SEPTET_ASSIGN_OR_RETURN(const EighResult e, Eigh(covariance));
//   // e.values [..., n] ascending, e.vectors [..., n, n]: column k to value k
//
// The sign of an eigenvector is free; here its entry of largest magnitude is
// positive (the first of those that are largest up to rounding), so that
// results are stable. Vectors of equal or nearly equal values are any basis of
// their common space.
//
// Accuracy: |A - V diag(w) V^T| and |V^T V - I| are some eps |A|, so that small
// eigenvalues have an error relative to the largest.
// Cost: about 4/3 n^3 operations for values alone, 4 n^3 to 9 n^3 with vectors;
// memory 4 n^2. Matrices of a batch run in the current pool
// (core/base/thread_pool.h), each in one thread: threads change no bit.
#ifndef SEPTET_CORE_BLAS_EIGH_H_
#define SEPTET_CORE_BLAS_EIGH_H_

#include "absl/status/statusor.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

// Which triangle, with the diagonal, is read; the other is taken to be its
// mirror image, whatever is there.
enum class Triangle { kLower, kUpper };

struct EighOptions {
  Triangle triangle = Triangle::kLower;
  bool vectors = true;
};

struct EighResult {
  Tensor values;   // [..., n], ascending
  Tensor vectors;  // [..., n, n], columns of length 1; undefined if not asked
};

// a: [..., n, n], f32 or f64; the results have its dtype. n = 0 and empty
// batches give empty results.
// Errors: InvalidArgument for another dtype or shape, for elements of the
// triangle that are NaN or infinite (with the index) or so large that an
// eigenvalue overflows, and for n above 32,766 with vectors; Internal, with
// LAPACK's info, if it does not converge.
absl::StatusOr<EighResult> Eigh(const Tensor& a,
                                const EighOptions& options = {});

}  // namespace septet

#endif  // SEPTET_CORE_BLAS_EIGH_H_
