// SPDX-License-Identifier: Apache-2.0
#include "septet/core/blas/eigh.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "openblas_config.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/blas/lapack_impl.h"
#include "septet/core/blas/linalg_impl.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using linalg_internal::Matrices;

template <typename T>
absl::Status Decompose(const Tensor& original, const Matrices& a,
                       const EighOptions& options, const EighResult& result) {
  const int64_t n = a.rows;
  const blasint size = static_cast<blasint>(n);
  const char job = options.vectors ? 'V' : 'N';
  // Row-major and column-major exchange the triangles.
  const char uplo = options.triangle == Triangle::kLower ? 'U' : 'L';
  T asked = 0;
  blasint iasked = 0;
  if (const blasint info = lapack::Syevd(job, uplo, size, nullptr, size,
                                         nullptr, &asked, -1, &iasked, -1);
      info != 0) {
    return linalg_internal::BadArgument("eigh", info);
  }
  SEPTET_ASSIGN_OR_RETURN(const blasint lwork,
                          linalg_internal::WorkspaceSize("eigh", asked));
  const double cube = static_cast<double>(n) * n * n;
  return linalg_internal::ForEachMatrix(
      a.count, 9 * cube, [&](int64_t i) -> absl::Status {
        SEPTET_ASSIGN_OR_RETURN(
            const Tensor workspace,
            Tensor::Empty(Shape({n * n + lwork}), kDTypeOf<T>), _ << "eigh");
        std::vector<blasint> iwork(static_cast<size_t>(iasked));
        T* z = workspace.mutable_data<T>();
        std::copy_n(a.data.data<T>() + i * n * n, n * n, z);
        T* values = result.values.mutable_data<T>() + i * n;
        const blasint info =
            lapack::Syevd(job, uplo, size, z, size, values, z + n * n, lwork,
                          iwork.data(), iasked);
        if (info < 0) return linalg_internal::BadArgument("eigh", info);
        if (info > 0) {
          return absl::InternalError(absl::StrCat(
              linalg_internal::MatrixName("eigh", "a", original, i),
              " did not converge: LAPACK's syevd says info ", info));
        }
        SEPTET_RETURN_IF_ERROR(linalg_internal::RequireNoOverflow(
            "eigh", "its eigenvalues", original, i, n, values));
        if (!options.vectors) return absl::OkStatus();
        for (int64_t k = 0; k < n; ++k) {
          T* vector = z + k * n;
          if (linalg_internal::HasWrongSign(n, vector, 1)) {
            linalg_internal::Negate(n, vector, 1);
          }
        }
        linalg_internal::Transpose(
            n, n, z, result.vectors.mutable_data<T>() + i * n * n);
        return absl::OkStatus();
      });
}

}  // namespace

absl::StatusOr<EighResult> Eigh(const Tensor& a, const EighOptions& options) {
  // Above that the workspace, 1 + 6 n + 2 n^2 elements, cannot be asked for.
  constexpr int64_t kMaxRows = 32766;
  if (options.vectors && a.defined() && a.rank() >= 2 &&
      a.dim(a.rank() - 1) > kMaxRows) {
    return absl::InvalidArgumentError(absl::StrCat(
        "eigh: a is ", a.DebugString(), ", expected at most ", kMaxRows,
        " rows, as LAPACK counts its workspace in 32 "
        "bits"));
  }
  SEPTET_ASSIGN_OR_RETURN(const Matrices matrices,
                          linalg_internal::ToSquareMatrices("eigh", "a", a));
  SEPTET_RETURN_IF_ERROR(linalg_internal::RequireFinite(
      "eigh", "a", matrices,
      options.triangle == Triangle::kLower ? linalg_internal::Part::kLower
                                           : linalg_internal::Part::kUpper));
  EighResult result;
  SEPTET_ASSIGN_OR_RETURN(const Shape values,
                          linalg_internal::BatchShape(a, {matrices.rows}));
  SEPTET_ASSIGN_OR_RETURN(result.values, Tensor::Empty(values, a.dtype()),
                          _ << "eigh");
  if (options.vectors) {
    SEPTET_ASSIGN_OR_RETURN(result.vectors, Tensor::Empty(a.shape(), a.dtype()),
                            _ << "eigh");
  }
  if (matrices.rows == 0) return result;
  SEPTET_RETURN_IF_ERROR(
      linalg_internal::DispatchReal(a.dtype(), [&](auto zero) {
        return Decompose<decltype(zero)>(a, matrices, options, result);
      }));
  return result;
}

}  // namespace septet
