// SPDX-License-Identifier: Apache-2.0
// A few eigenpairs of a symmetric linear operator that is given as a function,
// without its matrix: the largest, the smallest, or those of largest magnitude.
//
//   EigsOptions options;
//   options.k = 5;
//   SEPTET_ASSIGN_OR_RETURN(const EigsResult e, Eigs(n,
//       [&](const Tensor& x) -> absl::StatusOr<Tensor> {   // [b, n] -> [b, n]
//         return MatMul(x, a).tensor();
//       }, options));
//   // e.values [k], e.vectors [n, k]: column j to value j
//
// Block Lanczos with thick restarts (K. Wu, H. Simon, SIAM J. Matrix Anal.
// Appl. 22, 2000; Y. Zhou, Y. Saad, Numer. Algorithms 47, 2008) and full
// re-orthogonalisation: a basis of Krylov vectors grows by a block of the
// operator's results, the eigenpairs of the operator within the basis are found
// by Eigh, and when the basis is full the best of them begin the next one. The
// operator takes a whole block of vectors at a time, since for products of
// matrices and for networks that is several times cheaper than one by one.
//
// A pair has converged when |A v - lambda v| <= tolerance max |lambda|; the
// residuals are computed from A v itself. lambda is then within the residual of
// an eigenvalue, and in general within its square over the gap. Eigenvalues
// repeated more often than there are vectors in a block may be found fewer
// times than they occur.
//
// The start vectors come from Philox (stream "eigs"): the same seed gives the
// same bits, with any number of threads if the operator does. Signs as in
// core/blas/eigh.h. Everything but the operator runs in f64.
//
// Cost: blocks of operator calls; about 4 n m operations a vector for the
// re-orthogonalisation in a basis of m; 16 n m bytes. The singular values and
// right vectors of B are the eigenpairs of x -> B^T (B x): values squared.
#ifndef SEPTET_CORE_BLAS_EIGS_H_
#define SEPTET_CORE_BLAS_EIGS_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

// A applied to each row of x [b, n]: [b, n] of the same dtype. b is at most
// EigsOptions::block and may be smaller.
using LinearOperator =
    absl::FunctionRef<absl::StatusOr<Tensor>(const Tensor& x)>;

enum class EigsWhich {
  kLargest,           // descending
  kSmallest,          // ascending
  kLargestMagnitude,  // by |lambda|, descending
};

struct EigsOptions {
  int64_t k = 1;  // 1..n
  EigsWhich which = EigsWhich::kLargest;
  // Of the residual, relative to the largest |lambda| found. What f32 operators
  // reach is about 1e-6.
  double tolerance = 1e-8;
  // Calls of the operator, each of a block of vectors.
  int64_t max_calls = 1000;
  int64_t block = 8;
  // Vectors of the largest basis; at least k + 2 block unless n is smaller.
  // 0: the larger of 2 k and k + 24, and two blocks. Never more than 32,766,
  // which is what Eigh takes.
  int64_t max_basis = 0;
  DType dtype = DType::kF64;  // f32 or f64: what the operator takes and gives
  uint64_t seed = 0;

  absl::Status Validate(int64_t n) const;
};

struct EigsResult {
  Tensor values;     // [k], of options.dtype
  Tensor vectors;    // [n, k], of options.dtype, columns of length 1
  Tensor residuals;  // f64 [k]: |A v - lambda v|
  int64_t calls = 0;
};

// 1 <= n < 2^31.
// Errors: ResourceExhausted if there is no memory for the basis;
// InvalidArgument for options out of range, and for an operator that
// returns another shape or dtype, NaN or infinities (with the place), or is not
// symmetric (|v^T A w - w^T A v| above 1e-8, f32 1e-4, of the largest); the
// operator's own; DeadlineExceeded if it has not converged within max_calls,
// with how many pairs have, and the residuals.
absl::StatusOr<EigsResult> Eigs(int64_t n, LinearOperator apply,
                                const EigsOptions& options = {});

}  // namespace septet

#endif  // SEPTET_CORE_BLAS_EIGS_H_
