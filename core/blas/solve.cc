// SPDX-License-Identifier: Apache-2.0
#include "septet/core/blas/solve.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "openblas_config.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/blas/eigh.h"
#include "septet/core/blas/lapack_impl.h"
#include "septet/core/blas/linalg_impl.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using linalg_internal::DispatchReal;
using linalg_internal::ForEachMatrix;
using linalg_internal::Matrices;
using linalg_internal::MatrixName;
using linalg_internal::Part;
using linalg_internal::RightSides;

// What all solvers begin with.
struct System {
  Matrices a;
  RightSides b;
  Tensor x;  // of b's shape

  int64_t n() const { return a.rows; }
  int64_t columns() const { return b.matrices.cols; }
  // Nothing to compute.
  bool empty() const { return a.count * a.rows == 0 || columns() == 0; }
};

absl::StatusOr<System> MakeSystem(absl::string_view op, const Tensor& a,
                                  const Tensor& b, Part part) {
  System system;
  SEPTET_ASSIGN_OR_RETURN(system.a,
                          linalg_internal::ToSquareMatrices(op, "a", a));
  SEPTET_ASSIGN_OR_RETURN(system.b, linalg_internal::ToRightSides(op, a, b));
  SEPTET_RETURN_IF_ERROR(
      linalg_internal::RequireFinite(op, "a", system.a, part));
  Matrices sides = system.b.matrices;
  if (system.b.is_vector) {
    // The index in an error has as many axes as the argument.
    SEPTET_ASSIGN_OR_RETURN(sides.data, sides.data.Reshape(b.shape().dims()));
  }
  SEPTET_RETURN_IF_ERROR(linalg_internal::RequireFinite(op, "b", sides));
  SEPTET_ASSIGN_OR_RETURN(system.x, Tensor::Empty(b.shape(), b.dtype()),
                          _ << op);
  return system;
}

// Lets solve(columns) replace the right-hand sides of a system, column-major,
// by the solutions.
template <typename T, typename Fn>
absl::Status SolveColumns(absl::string_view op, const System& system, int64_t i,
                          const Fn& solve) {
  const int64_t n = system.n(), r = system.columns();
  const T* b = system.b.matrices.data.data<T>() + i * n * r;
  T* x = system.x.mutable_data<T>() + i * n * r;
  if (r == 1) {
    std::copy_n(b, n, x);
    return solve(x);
  }
  SEPTET_ASSIGN_OR_RETURN(const Tensor columns,
                          Tensor::Empty(Shape({r, n}), kDTypeOf<T>), _ << op);
  linalg_internal::Transpose(n, r, b, columns.mutable_data<T>());
  SEPTET_RETURN_IF_ERROR(solve(columns.mutable_data<T>()));
  linalg_internal::Transpose(r, n, columns.data<T>(), x);
  return absl::OkStatus();
}

double Cube(int64_t n) { return static_cast<double>(n) * n * n; }

template <typename T>
absl::Status SolveGeneral(const Tensor& original, const System& system,
                          double min_rcond) {
  const int64_t n = system.n();
  const blasint size = static_cast<blasint>(n);
  return ForEachMatrix(
      system.a.count, 2.0 * Cube(n), [&](int64_t i) -> absl::Status {
        SEPTET_ASSIGN_OR_RETURN(
            const Tensor workspace,
            Tensor::Empty(Shape({n * n + 4 * n}), kDTypeOf<T>), _ << "solve");
        std::vector<blasint> pivots(static_cast<size_t>(n));
        T* lu = workspace.mutable_data<T>();  // of the transpose
        std::copy_n(system.a.data.data<T>() + i * n * n, n * n, lu);
        T norm = 0;
        for (int64_t row = 0; row < n; ++row) {
          T sum = 0;
          for (int64_t j = 0; j < n; ++j) sum += std::abs(lu[row * n + j]);
          norm = std::max(norm, sum);
        }
        blasint info = lapack::Getrf(size, size, lu, size, pivots.data());
        if (info < 0) return linalg_internal::BadArgument("solve", info);
        if (info > 0) {
          return absl::FailedPreconditionError(absl::StrCat(
              MatrixName("solve", "a", original, i), " is singular: pivot ",
              info - 1, " of its factorisation is 0"));
        }
        if (min_rcond > 0) {
          T rcond = 0;
          std::vector<blasint> iwork(static_cast<size_t>(n));
          info = lapack::Gecon('1', size, lu, size, norm, &rcond, lu + n * n,
                               iwork.data());
          if (info < 0) return linalg_internal::BadArgument("solve", info);
          if (!(rcond >= min_rcond)) {
            return absl::FailedPreconditionError(absl::StrCat(
                MatrixName("solve", "a", original, i),
                " is singular to working precision: its reciprocal condition "
                "number is ",
                rcond, ", expected at least ", min_rcond));
          }
        }
        return SolveColumns<T>("solve", system, i, [&](T* columns) {
          const blasint failed =
              lapack::Getrs('T', size, static_cast<blasint>(system.columns()),
                            lu, size, pivots.data(), columns, size);
          return failed == 0 ? absl::OkStatus()
                             : linalg_internal::BadArgument("solve", failed);
        });
      });
}

// Row-major and column-major exchange the triangles.
char Uplo(Triangle triangle) {
  return triangle == Triangle::kLower ? 'U' : 'L';
}
Part PartOf(Triangle triangle) {
  return triangle == Triangle::kLower ? Part::kLower : Part::kUpper;
}

// The factor in the given triangle of `factor`, which holds matrix i.
template <typename T>
absl::Status FactorPositiveDefinite(absl::string_view op,
                                    const Tensor& original, int64_t i,
                                    int64_t n, Triangle triangle, T* factor) {
  const blasint size = static_cast<blasint>(n);
  const blasint info = lapack::Potrf(Uplo(triangle), size, factor, size);
  if (info < 0) return linalg_internal::BadArgument(op, info);
  if (info == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(MatrixName(op, "a", original, i),
                   " is not positive definite: its leading minor of order ",
                   info, " is not positive"));
}

template <typename T>
absl::Status SolveDefinite(const Tensor& original, const System& system,
                           Triangle triangle) {
  constexpr char kName[] = "solve_positive_definite";
  const int64_t n = system.n();
  const blasint size = static_cast<blasint>(n);
  return ForEachMatrix(system.a.count, Cube(n), [&](int64_t i) -> absl::Status {
    SEPTET_ASSIGN_OR_RETURN(const Tensor workspace,
                            Tensor::Empty(Shape({n, n}), kDTypeOf<T>),
                            _ << kName);
    T* factor = workspace.mutable_data<T>();
    std::copy_n(system.a.data.data<T>() + i * n * n, n * n, factor);
    SEPTET_RETURN_IF_ERROR(
        FactorPositiveDefinite(kName, original, i, n, triangle, factor));
    return SolveColumns<T>(kName, system, i, [&](T* columns) {
      const blasint failed = lapack::Potrs(
          Uplo(triangle), size, static_cast<blasint>(system.columns()), factor,
          size, columns, size);
      return failed == 0 ? absl::OkStatus()
                         : linalg_internal::BadArgument(kName, failed);
    });
  });
}

template <typename T>
absl::Status SolveTriangles(const Tensor& original, const System& system,
                            const TriangularOptions& options) {
  constexpr char kName[] = "solve_triangular";
  const int64_t n = system.n();
  const blasint size = static_cast<blasint>(n);
  return ForEachMatrix(system.a.count, Cube(n), [&](int64_t i) -> absl::Status {
    const T* a = system.a.data.data<T>() + i * n * n;
    return SolveColumns<T>(kName, system, i, [&](T* columns) -> absl::Status {
      const blasint info = lapack::Trtrs(
          Uplo(options.triangle), options.transpose ? 'N' : 'T',
          options.unit_diagonal ? 'U' : 'N', size,
          static_cast<blasint>(system.columns()), a, size, columns, size);
      if (info < 0) return linalg_internal::BadArgument(kName, info);
      if (info == 0) return absl::OkStatus();
      return absl::FailedPreconditionError(
          absl::StrCat(MatrixName(kName, "a", original, i),
                       " is singular: its diagonal is 0 in row ", info - 1));
    });
  });
}

template <typename T>
absl::Status Factor(const Tensor& original, const Matrices& a,
                    Triangle triangle, const Tensor& result) {
  const int64_t n = a.rows;
  return ForEachMatrix(a.count, Cube(n), [&](int64_t i) -> absl::Status {
    const T* from = a.data.data<T>() + i * n * n;
    T* l = result.mutable_data<T>() + i * n * n;
    // The lower triangle, whichever was given.
    for (int64_t row = 0; row < n; ++row) {
      for (int64_t j = 0; j < n; ++j) {
        l[row * n + j] = j > row                        ? T{0}
                         : triangle == Triangle::kLower ? from[row * n + j]
                                                        : from[j * n + row];
      }
    }
    return FactorPositiveDefinite("cholesky", original, i, n, Triangle::kLower,
                                  l);
  });
}

template <typename T>
absl::Status LogDeterminants(const Matrices& a, const LogDetResult& result) {
  const int64_t n = a.rows;
  const blasint size = static_cast<blasint>(n);
  return ForEachMatrix(a.count, Cube(n), [&](int64_t i) -> absl::Status {
    SEPTET_ASSIGN_OR_RETURN(const Tensor workspace,
                            Tensor::Empty(Shape({n, n}), kDTypeOf<T>),
                            _ << "log_det");
    std::vector<blasint> pivots(static_cast<size_t>(n));
    T* lu = workspace.mutable_data<T>();
    std::copy_n(a.data.data<T>() + i * n * n, n * n, lu);
    blasint info = 0;
    if (n > 0) info = lapack::Getrf(size, size, lu, size, pivots.data());
    if (info < 0) return linalg_internal::BadArgument("log_det", info);
    int sign = 1;
    double log_abs = 0;
    for (int64_t j = 0; j < n && info == 0; ++j) {
      const double pivot = lu[j * n + j];
      if ((pivot < 0) != (pivots[j] != j + 1)) sign = -sign;
      log_abs += std::log(std::abs(pivot));
    }
    result.sign.mutable_data<T>()[i] = info == 0 ? static_cast<T>(sign) : T{0};
    result.log_abs.mutable_data<T>()[i] =
        info == 0 ? static_cast<T>(log_abs)
                  : -std::numeric_limits<T>::infinity();
    return absl::OkStatus();
  });
}

}  // namespace

absl::StatusOr<Tensor> Solve(const Tensor& a, const Tensor& b,
                             const SolveOptions& options) {
  SEPTET_ASSIGN_OR_RETURN(const System system,
                          MakeSystem("solve", a, b, Part::kAll));
  double min_rcond = options.min_rcond;
  if (std::isnan(min_rcond) || min_rcond > 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "solve: min_rcond is ", min_rcond, ", expected a number up to 1"));
  }
  if (min_rcond < 0) {
    min_rcond = a.dtype() == DType::kF32
                    ? std::numeric_limits<float>::epsilon()
                    : std::numeric_limits<double>::epsilon();
  }
  if (system.empty()) return system.x;
  SEPTET_RETURN_IF_ERROR(DispatchReal(a.dtype(), [&](auto zero) {
    return SolveGeneral<decltype(zero)>(a, system, min_rcond);
  }));
  return system.x;
}

absl::StatusOr<Tensor> SolvePositiveDefinite(const Tensor& a, const Tensor& b,
                                             Triangle triangle) {
  SEPTET_ASSIGN_OR_RETURN(
      const System system,
      MakeSystem("solve_positive_definite", a, b, PartOf(triangle)));
  if (system.empty()) return system.x;
  SEPTET_RETURN_IF_ERROR(DispatchReal(a.dtype(), [&](auto zero) {
    return SolveDefinite<decltype(zero)>(a, system, triangle);
  }));
  return system.x;
}

absl::StatusOr<Tensor> SolveTriangular(const Tensor& a, const Tensor& b,
                                       const TriangularOptions& options) {
  SEPTET_ASSIGN_OR_RETURN(
      const System system,
      MakeSystem("solve_triangular", a, b,
                 options.unit_diagonal ? (options.triangle == Triangle::kLower
                                              ? Part::kStrictlyLower
                                              : Part::kStrictlyUpper)
                                       : PartOf(options.triangle)));
  if (system.empty()) return system.x;
  SEPTET_RETURN_IF_ERROR(DispatchReal(a.dtype(), [&](auto zero) {
    return SolveTriangles<decltype(zero)>(a, system, options);
  }));
  return system.x;
}

absl::StatusOr<Tensor> Cholesky(const Tensor& a, Triangle triangle) {
  SEPTET_ASSIGN_OR_RETURN(
      const Matrices matrices,
      linalg_internal::ToSquareMatrices("cholesky", "a", a));
  SEPTET_RETURN_IF_ERROR(linalg_internal::RequireFinite(
      "cholesky", "a", matrices, PartOf(triangle)));
  SEPTET_ASSIGN_OR_RETURN(const Tensor result,
                          Tensor::Empty(a.shape(), a.dtype()), _ << "cholesky");
  if (matrices.rows == 0) return result;
  SEPTET_RETURN_IF_ERROR(DispatchReal(a.dtype(), [&](auto zero) {
    return Factor<decltype(zero)>(a, matrices, triangle, result);
  }));
  return result;
}

absl::StatusOr<LogDetResult> LogDet(const Tensor& a) {
  SEPTET_ASSIGN_OR_RETURN(const Matrices matrices,
                          linalg_internal::ToSquareMatrices("log_det", "a", a));
  SEPTET_RETURN_IF_ERROR(
      linalg_internal::RequireFinite("log_det", "a", matrices));
  SEPTET_ASSIGN_OR_RETURN(const Shape shape,
                          linalg_internal::BatchShape(a, {}));
  LogDetResult result;
  SEPTET_ASSIGN_OR_RETURN(result.sign, Tensor::Empty(shape, a.dtype()));
  SEPTET_ASSIGN_OR_RETURN(result.log_abs, Tensor::Empty(shape, a.dtype()));
  SEPTET_RETURN_IF_ERROR(DispatchReal(a.dtype(), [&](auto zero) {
    return LogDeterminants<decltype(zero)>(matrices, result);
  }));
  return result;
}

}  // namespace septet
