// SPDX-License-Identifier: Apache-2.0
#include "septet/core/blas/lstsq.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>
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

// norms[r] = |a x - b| of each column, in double.
template <typename T>
void ResidualNorms(int64_t m, int64_t n, int64_t r, const T* a, const T* x,
                   const T* b, T* norms) {
  std::vector<double> squares(static_cast<size_t>(r), 0.0);
  std::vector<double> row(static_cast<size_t>(r));
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t c = 0; c < r; ++c) row[c] = -static_cast<double>(b[i * r + c]);
    for (int64_t j = 0; j < n; ++j) {
      const double factor = a[i * n + j];
      for (int64_t c = 0; c < r; ++c) row[c] += factor * x[j * r + c];
    }
    for (int64_t c = 0; c < r; ++c) squares[c] += row[c] * row[c];
  }
  for (int64_t c = 0; c < r; ++c)
    norms[c] = static_cast<T>(std::sqrt(squares[c]));
}

template <typename T>
absl::Status Run(const Tensor& original, const Matrices& a, const Matrices& b,
                 double rcond, const LstsqResult& result) {
  const int64_t m = a.rows, n = a.cols, r = b.cols, k = std::min(m, n);
  const int64_t side = std::max(m, n);
  const int64_t columns = std::max<int64_t>(r, 1);  // the rank wants a column
  const blasint bm = static_cast<blasint>(m), bn = static_cast<blasint>(n);
  const blasint br = static_cast<blasint>(columns);
  const blasint bside = static_cast<blasint>(side);
  const T limit = static_cast<T>(rcond);
  T asked = 0;
  blasint iasked = 0, rank = 0;
  if (const blasint info =
          lapack::Gelsd(bm, bn, br, nullptr, bm, nullptr, bside, nullptr, limit,
                        &rank, &asked, -1, &iasked);
      info != 0) {
    return linalg_internal::BadArgument("lstsq", info);
  }
  SEPTET_ASSIGN_OR_RETURN(const blasint lwork,
                          linalg_internal::WorkspaceSize("lstsq", asked));
  const double operations = 12.0 * static_cast<double>(side) * k * k;
  return linalg_internal::ForEachMatrix(
      a.count, operations, [&](int64_t i) -> absl::Status {
        SEPTET_ASSIGN_OR_RETURN(
            const Tensor workspace,
            Tensor::Empty(Shape({m * n + side * columns + lwork}), kDTypeOf<T>),
            _ << "lstsq");
        std::vector<blasint> iwork(static_cast<size_t>(iasked));
        T* ca = workspace.mutable_data<T>();  // column-major
        T* cb = ca + m * n;                   // column-major [side, columns]
        const T* pa = a.data.data<T>() + i * m * n;
        const T* pb = b.data.data<T>() + i * m * r;
        linalg_internal::Transpose(m, n, pa, ca);
        std::fill_n(cb, side * columns, T{0});
        for (int64_t c = 0; c < r; ++c) {
          for (int64_t row = 0; row < m; ++row) {
            cb[c * side + row] = pb[row * r + c];
          }
        }
        blasint found = 0;
        const blasint info = lapack::Gelsd(
            bm, bn, br, ca, bm, cb, bside,
            result.singular_values.mutable_data<T>() + i * k, limit, &found,
            cb + side * columns, lwork, iwork.data());
        if (info < 0) return linalg_internal::BadArgument("lstsq", info);
        if (info > 0) {
          return absl::InternalError(absl::StrCat(
              linalg_internal::MatrixName("lstsq", "a", original, i),
              " did not converge: LAPACK's gelsd says info ", info));
        }
        result.rank.mutable_data<int64_t>()[i] = found;
        T* x = result.x.mutable_data<T>() + i * n * r;
        for (int64_t row = 0; row < n; ++row) {
          for (int64_t c = 0; c < r; ++c) x[row * r + c] = cb[c * side + row];
        }
        ResidualNorms(m, n, r, pa, x, pb,
                      result.residual_norm.mutable_data<T>() + i * r);
        return absl::OkStatus();
      });
}

}  // namespace

absl::StatusOr<LstsqResult> Lstsq(const Tensor& a, const Tensor& b,
                                  const LstsqOptions& options) {
  SEPTET_ASSIGN_OR_RETURN(const Matrices matrices,
                          linalg_internal::ToMatrices("lstsq", "a", a));
  SEPTET_ASSIGN_OR_RETURN(const linalg_internal::RightSides sides,
                          linalg_internal::ToRightSides("lstsq", a, b));
  SEPTET_RETURN_IF_ERROR(
      linalg_internal::RequireFinite("lstsq", "a", matrices));
  Matrices named = sides.matrices;
  if (sides.is_vector) {
    // The index in an error has as many axes as the argument.
    SEPTET_ASSIGN_OR_RETURN(named.data, named.data.Reshape(b.shape().dims()));
  }
  SEPTET_RETURN_IF_ERROR(linalg_internal::RequireFinite("lstsq", "b", named));
  const int64_t m = matrices.rows, n = matrices.cols, k = std::min(m, n);
  const int64_t r = sides.matrices.cols;
  if (std::isnan(options.rcond) || options.rcond >= 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "lstsq: rcond is ", options.rcond, ", expected a number below 1"));
  }
  const double epsilon = a.dtype() == DType::kF32
                             ? std::numeric_limits<float>::epsilon()
                             : std::numeric_limits<double>::epsilon();
  const double rcond = options.rcond < 0
                           ? epsilon * static_cast<double>(std::max(m, n))
                           : options.rcond;
  LstsqResult result;
  const auto zeros =
      [&](DType dtype,
          std::initializer_list<int64_t> dims) -> absl::StatusOr<Tensor> {
    SEPTET_ASSIGN_OR_RETURN(const Shape shape,
                            linalg_internal::BatchShape(a, dims));
    SEPTET_ASSIGN_OR_RETURN(Tensor tensor, Tensor::Zeros(shape, dtype),
                            _ << "lstsq");
    return tensor;
  };
  if (sides.is_vector) {
    SEPTET_ASSIGN_OR_RETURN(result.x, zeros(a.dtype(), {n}));
    SEPTET_ASSIGN_OR_RETURN(result.residual_norm, zeros(a.dtype(), {}));
  } else {
    SEPTET_ASSIGN_OR_RETURN(result.x, zeros(a.dtype(), {n, r}));
    SEPTET_ASSIGN_OR_RETURN(result.residual_norm, zeros(a.dtype(), {r}));
  }
  SEPTET_ASSIGN_OR_RETURN(result.rank, zeros(DType::kI64, {}));
  SEPTET_ASSIGN_OR_RETURN(result.singular_values, zeros(a.dtype(), {k}));
  SEPTET_RETURN_IF_ERROR(
      linalg_internal::DispatchReal(a.dtype(), [&](auto zero) -> absl::Status {
        using T = decltype(zero);
        if (k > 0) return Run<T>(a, matrices, sides.matrices, rcond, result);
        for (int64_t i = 0; i < matrices.count; ++i) {
          ResidualNorms<T>(m, 0, r, nullptr, nullptr,
                           sides.matrices.data.data<T>() + i * m * r,
                           result.residual_norm.mutable_data<T>() + i * r);
        }
        return absl::OkStatus();
      }));
  return result;
}

}  // namespace septet
