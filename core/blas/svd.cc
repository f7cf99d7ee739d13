// SPDX-License-Identifier: Apache-2.0
#include "septet/core/blas/svd.h"

#include <algorithm>
#include <cstdint>
#include <initializer_list>
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

using linalg_internal::HasWrongSign;
using linalg_internal::Matrices;
using linalg_internal::Negate;

// u [m, columns], vt [rows, n].
template <typename T>
void FixSigns(int64_t m, int64_t n, int64_t columns, int64_t rows, T* u,
              T* vt) {
  const int64_t k = std::min(m, n);
  for (int64_t j = 0; j < std::max(columns, rows); ++j) {
    if (j < columns ? HasWrongSign(m, u + j, columns)
                    : HasWrongSign(n, vt + j * n, 1)) {
      if (j < columns) Negate(m, u + j, columns);
      if (j < rows && (j < k || j >= columns)) Negate(n, vt + j * n, 1);
    }
    // Beyond k the two bases have nothing to do with each other.
    if (j >= k && j < columns && j < rows && HasWrongSign(n, vt + j * n, 1)) {
      Negate(n, vt + j * n, 1);
    }
  }
}

// Row-major A is column-major A^T = V diag(s) U^T: what LAPACK calls U is our
// V^T in row-major order, and what it calls V^T is our U.
template <typename T>
absl::Status Decompose(const Tensor& original, const Matrices& a,
                       SvdVectors vectors, const SvdResult& result) {
  const int64_t m = a.rows, n = a.cols, k = std::min(m, n);
  const char job = vectors == SvdVectors::kFull   ? 'A'
                   : vectors == SvdVectors::kThin ? 'S'
                                                  : 'N';
  const int64_t columns = vectors == SvdVectors::kFull ? m : k;
  const int64_t rows = vectors == SvdVectors::kFull ? n : k;
  const blasint bm = static_cast<blasint>(m), bn = static_cast<blasint>(n);
  const blasint ldvt = static_cast<blasint>(columns);
  T asked = 0;
  if (const blasint info =
          lapack::Gesdd(job, bn, bm, nullptr, bn, nullptr, nullptr, bn, nullptr,
                        ldvt, &asked, -1, nullptr);
      info != 0) {
    return linalg_internal::BadArgument("svd", info);
  }
  SEPTET_ASSIGN_OR_RETURN(const blasint lwork,
                          linalg_internal::WorkspaceSize("svd", asked));
  const double operations = 22.0 * static_cast<double>(m) * n * k;
  return linalg_internal::ForEachMatrix(
      a.count, operations, [&](int64_t i) -> absl::Status {
        SEPTET_ASSIGN_OR_RETURN(
            const Tensor workspace,
            Tensor::Empty(Shape({m * n + lwork}), kDTypeOf<T>), _ << "svd");
        std::vector<blasint> iwork(static_cast<size_t>(8 * k));
        T* copy = workspace.mutable_data<T>();
        std::copy_n(a.data.data<T>() + i * m * n, m * n, copy);
        T* s = result.s.mutable_data<T>() + i * k;
        T* u = nullptr;
        T* vt = nullptr;
        if (vectors != SvdVectors::kNone) {
          u = result.u.mutable_data<T>() + i * m * columns;
          vt = result.vt.mutable_data<T>() + i * rows * n;
        }
        const blasint info =
            lapack::Gesdd(job, bn, bm, copy, bn, s, vt, bn, u, ldvt,
                          copy + m * n, lwork, iwork.data());
        if (info < 0) return linalg_internal::BadArgument("svd", info);
        if (info > 0) {
          return absl::InternalError(absl::StrCat(
              linalg_internal::MatrixName("svd", "a", original, i),
              " did not converge: LAPACK's gesdd says info ", info));
        }
        SEPTET_RETURN_IF_ERROR(linalg_internal::RequireNoOverflow(
            "svd", "its singular values", original, i, k, s));
        if (u != nullptr) FixSigns(m, n, columns, rows, u, vt);
        return absl::OkStatus();
      });
}

// `count` identities [n, n].
template <typename T>
void Identities(int64_t count, int64_t n, T* to) {
  std::fill_n(to, count * n * n, T{0});
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t j = 0; j < n; ++j) to[(i * n + j) * n + j] = T{1};
  }
}

}  // namespace

absl::StatusOr<SvdResult> Svd(const Tensor& a, SvdVectors vectors) {
  SEPTET_ASSIGN_OR_RETURN(const Matrices matrices,
                          linalg_internal::ToMatrices("svd", "a", a));
  SEPTET_RETURN_IF_ERROR(linalg_internal::RequireFinite("svd", "a", matrices));
  const int64_t m = matrices.rows, n = matrices.cols, k = std::min(m, n);
  const auto empty =
      [&](std::initializer_list<int64_t> dims) -> absl::StatusOr<Tensor> {
    SEPTET_ASSIGN_OR_RETURN(const Shape shape,
                            linalg_internal::BatchShape(a, dims));
    SEPTET_ASSIGN_OR_RETURN(Tensor tensor, Tensor::Empty(shape, a.dtype()),
                            _ << "svd");
    return tensor;
  };
  const bool full = vectors == SvdVectors::kFull;
  SvdResult result;
  SEPTET_ASSIGN_OR_RETURN(result.s, empty({k}));
  if (vectors != SvdVectors::kNone) {
    SEPTET_ASSIGN_OR_RETURN(result.u, empty({m, full ? m : k}));
    SEPTET_ASSIGN_OR_RETURN(result.vt, empty({full ? n : k, n}));
  }
  SEPTET_RETURN_IF_ERROR(
      linalg_internal::DispatchReal(a.dtype(), [&](auto zero) -> absl::Status {
        using T = decltype(zero);
        if (k > 0) return Decompose<T>(a, matrices, vectors, result);
        if (full) {
          Identities(matrices.count, m, result.u.mutable_data<T>());
          Identities(matrices.count, n, result.vt.mutable_data<T>());
        }
        return absl::OkStatus();
      }));
  return result;
}

}  // namespace septet
