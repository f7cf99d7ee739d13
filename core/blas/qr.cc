// SPDX-License-Identifier: Apache-2.0
#include "septet/core/blas/qr.h"

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
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
                       const QrOptions& options, const QrResult& result) {
  const int64_t m = a.rows, n = a.cols, k = std::min(m, n);
  const int64_t columns = options.full ? m : k;  // of Q
  const int64_t width = std::max(n, columns);    // of the array that holds both
  const blasint bm = static_cast<blasint>(m), bn = static_cast<blasint>(n);
  const blasint bk = static_cast<blasint>(k);
  const blasint bcolumns = static_cast<blasint>(columns);
  T asked[2] = {0, 0};
  blasint info =
      options.pivot
          ? lapack::Geqp3(bm, bn, nullptr, bm, nullptr, nullptr, &asked[0], -1)
          : lapack::Geqrf(bm, bn, nullptr, bm, nullptr, &asked[0], -1);
  if (info == 0) {
    info = lapack::Orgqr(bm, bcolumns, bk, nullptr, bm, nullptr, &asked[1], -1);
  }
  if (info != 0) return linalg_internal::BadArgument("qr", info);
  SEPTET_ASSIGN_OR_RETURN(
      const blasint lwork,
      linalg_internal::WorkspaceSize("qr", std::max(asked[0], asked[1])));
  const double operations = 4.0 * static_cast<double>(m) * width * k;
  return linalg_internal::ForEachMatrix(
      a.count, operations, [&](int64_t i) -> absl::Status {
        SEPTET_ASSIGN_OR_RETURN(
            const Tensor workspace,
            Tensor::Empty(Shape({m * width + k + lwork}), kDTypeOf<T>),
            _ << "qr");
        T* array = workspace.mutable_data<T>();  // column-major [m, width]
        T* tau = array + m * width;
        T* work = tau + k;
        linalg_internal::Transpose(m, n, a.data.data<T>() + i * m * n, array);
        blasint failed = 0;
        if (options.pivot) {
          std::vector<blasint> perm(static_cast<size_t>(n), 0);
          failed =
              lapack::Geqp3(bm, bn, array, bm, perm.data(), tau, work, lwork);
          int64_t* to = result.perm.mutable_data<int64_t>() + i * n;
          for (int64_t j = 0; j < n; ++j) to[j] = perm[j] - 1;
        } else {
          failed = lapack::Geqrf(bm, bn, array, bm, tau, work, lwork);
        }
        if (failed != 0) return linalg_internal::BadArgument("qr", failed);
        T* r = result.r.mutable_data<T>() + i * columns * n;
        for (int64_t row = 0; row < columns; ++row) {
          for (int64_t j = 0; j < n; ++j) {
            r[row * n + j] = j >= row && row < k ? array[j * m + row] : T{0};
          }
        }
        SEPTET_RETURN_IF_ERROR(linalg_internal::RequireNoOverflow(
            "qr", "lengths of its columns", original, i, columns * n, r));
        failed = lapack::Orgqr(bm, bcolumns, bk, array, bm, tau, work, lwork);
        if (failed != 0) return linalg_internal::BadArgument("qr", failed);
        for (int64_t j = 0; j < columns; ++j) {
          T* column = array + j * m;
          if (j < k ? r[j * n + j] < 0
                    : linalg_internal::HasWrongSign(m, column, 1)) {
            linalg_internal::Negate(m, column, 1);
            if (j < k) linalg_internal::Negate(n - j, r + j * n + j, 1);
          }
        }
        linalg_internal::Transpose(
            columns, m, array, result.q.mutable_data<T>() + i * m * columns);
        return absl::OkStatus();
      });
}

}  // namespace

absl::StatusOr<QrResult> Qr(const Tensor& a, const QrOptions& options) {
  SEPTET_ASSIGN_OR_RETURN(const Matrices matrices,
                          linalg_internal::ToMatrices("qr", "a", a));
  SEPTET_RETURN_IF_ERROR(linalg_internal::RequireFinite("qr", "a", matrices));
  const int64_t m = matrices.rows, n = matrices.cols, k = std::min(m, n);
  const int64_t columns = options.full ? m : k;
  const auto zeros =
      [&](DType dtype,
          std::initializer_list<int64_t> dims) -> absl::StatusOr<Tensor> {
    SEPTET_ASSIGN_OR_RETURN(const Shape shape,
                            linalg_internal::BatchShape(a, dims));
    SEPTET_ASSIGN_OR_RETURN(Tensor tensor, Tensor::Zeros(shape, dtype),
                            _ << "qr");
    return tensor;
  };
  QrResult result;
  SEPTET_ASSIGN_OR_RETURN(result.q, zeros(a.dtype(), {m, columns}));
  SEPTET_ASSIGN_OR_RETURN(result.r, zeros(a.dtype(), {columns, n}));
  if (options.pivot) {
    SEPTET_ASSIGN_OR_RETURN(result.perm, zeros(DType::kI64, {n}));
  }
  SEPTET_RETURN_IF_ERROR(
      linalg_internal::DispatchReal(a.dtype(), [&](auto zero) -> absl::Status {
        using T = decltype(zero);
        if (k > 0) return Decompose<T>(a, matrices, options, result);
        // Nothing to decompose: any basis, the columns in their order.
        for (int64_t i = 0; i < matrices.count; ++i) {
          for (int64_t j = 0; j < columns; ++j) {
            result.q.mutable_data<T>()[(i * m + j) * columns + j] = T{1};
          }
          for (int64_t j = 0; options.pivot && j < n; ++j) {
            result.perm.mutable_data<int64_t>()[i * n + j] = j;
          }
        }
        return absl::OkStatus();
      }));
  return result;
}

}  // namespace septet
