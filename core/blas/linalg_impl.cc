// SPDX-License-Identifier: Apache-2.0
#include "septet/core/blas/linalg_impl.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace linalg_internal {
namespace {

absl::Status Wrong(absl::string_view op, absl::string_view name,
                   const Tensor& x, absl::string_view expected) {
  return absl::InvalidArgumentError(absl::StrCat(
      op, ": ", name, " is ", x.DebugString(), ", expected ", expected));
}

// The index of element i of an array of `dims`.
std::vector<int64_t> IndexOf(absl::Span<const int64_t> dims, int64_t i) {
  std::vector<int64_t> index(dims.size());
  for (size_t axis = dims.size(); axis-- > 0;) {
    index[axis] = i % dims[axis];
    i /= dims[axis];
  }
  return index;
}

template <typename T>
absl::Status RequireFiniteOf(absl::string_view op, absl::string_view name,
                             const Matrices& x, Part part) {
  const T* p = x.data.data<T>();
  for (int64_t row = 0; row < x.count * x.rows; ++row, p += x.cols) {
    const int64_t i = row % x.rows;
    int64_t begin = 0, end = x.cols;
    if (part == Part::kUpper) begin = i;
    if (part == Part::kStrictlyUpper) begin = i + 1;
    if (part == Part::kLower) end = i + 1;
    if (part == Part::kStrictlyLower) end = i;
    for (int64_t j = begin; j < end; ++j) {
      if (std::isfinite(p[j])) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          op, ": ", name, "[",
          absl::StrJoin(IndexOf(x.data.shape().dims(), row * x.cols + j), ", "),
          "] is ", p[j], ", expected finite numbers"));
    }
  }
  return absl::OkStatus();
}

template <typename T>
void TransposeOf(int64_t rows, int64_t cols, const T* from, T* to) {
  // Tiles of both arrays fit into the first-level cache.
  constexpr int64_t kTile = 32;
  for (int64_t i0 = 0; i0 < rows; i0 += kTile) {
    const int64_t i1 = std::min(rows, i0 + kTile);
    for (int64_t j0 = 0; j0 < cols; j0 += kTile) {
      const int64_t j1 = std::min(cols, j0 + kTile);
      for (int64_t j = j0; j < j1; ++j) {
        for (int64_t i = i0; i < i1; ++i) to[j * rows + i] = from[i * cols + j];
      }
    }
  }
}

}  // namespace

absl::StatusOr<Matrices> ToMatrices(absl::string_view op,
                                    absl::string_view name, const Tensor& x) {
  if (!x.defined()) {
    return absl::InvalidArgumentError(
        absl::StrCat(op, ": ", name, " is not given"));
  }
  if (x.dtype() != DType::kF32 && x.dtype() != DType::kF64) {
    return Wrong(op, name, x, "f32 or f64");
  }
  if (x.rank() < 2) return Wrong(op, name, x, "a matrix, [..., rows, columns]");
  Matrices result;
  result.rows = x.dim(x.rank() - 2);
  result.cols = x.dim(x.rank() - 1);
  for (int i = 0; i + 2 < x.rank(); ++i) result.count *= x.dim(i);
  if (std::max(result.rows, result.cols) >
      std::numeric_limits<int32_t>::max()) {
    return Wrong(op, name, x, "at most 2^31 - 1 rows and columns");
  }
  SEPTET_ASSIGN_OR_RETURN(result.data, x.Contiguous(), _ << op);
  return result;
}

absl::StatusOr<Matrices> ToSquareMatrices(absl::string_view op,
                                          absl::string_view name,
                                          const Tensor& x) {
  SEPTET_ASSIGN_OR_RETURN(Matrices result, ToMatrices(op, name, x));
  if (result.rows != result.cols) {
    return Wrong(op, name, x, "square matrices");
  }
  return result;
}

absl::StatusOr<RightSides> ToRightSides(absl::string_view op, const Tensor& a,
                                        const Tensor& b) {
  if (!b.defined()) {
    return absl::InvalidArgumentError(absl::StrCat(op, ": b is not given"));
  }
  const int batch = a.rank() - 2;
  RightSides result;
  result.is_vector = b.rank() == batch + 1;
  bool good =
      b.dtype() == a.dtype() && (result.is_vector || b.rank() == batch + 2);
  for (int i = 0; good && i <= batch; ++i) good = b.dim(i) == a.dim(i);
  if (!good) {
    return Wrong(
        op, "b", b,
        absl::StrCat(DTypeName(a.dtype()), " [",
                     absl::StrJoin(a.shape().dims().first(batch + 1), ", "),
                     "], a column for each matrix of a, ", a.DebugString(),
                     ", or one axis more for several"));
  }
  Tensor columns = b;
  if (result.is_vector) {
    std::vector<int64_t> dims(b.shape().dims().begin(), b.shape().dims().end());
    dims.push_back(1);
    SEPTET_ASSIGN_OR_RETURN(const Tensor contiguous, b.Contiguous());
    SEPTET_ASSIGN_OR_RETURN(columns, contiguous.Reshape(dims), _ << op);
  }
  SEPTET_ASSIGN_OR_RETURN(result.matrices, ToMatrices(op, "b", columns));
  return result;
}

absl::Status RequireFinite(absl::string_view op, absl::string_view name,
                           const Matrices& x, Part part) {
  return DispatchReal(x.data.dtype(), [&](auto zero) {
    return RequireFiniteOf<decltype(zero)>(op, name, x, part);
  });
}

absl::StatusOr<Shape> BatchShape(const Tensor& x,
                                 std::initializer_list<int64_t> dims) {
  std::vector<int64_t> all(x.shape().dims().begin(),
                           x.shape().dims().end() - 2);
  all.insert(all.end(), dims);
  return Shape::Create(all);
}

std::string MatrixName(absl::string_view op, absl::string_view name,
                       const Tensor& x, int64_t matrix) {
  const absl::Span<const int64_t> batch =
      x.shape().dims().first(static_cast<size_t>(x.rank() - 2));
  if (batch.empty()) return absl::StrCat(op, ": ", name);
  return absl::StrCat(op, ": ", name, "[",
                      absl::StrJoin(IndexOf(batch, matrix), ", "), "]");
}

absl::Status ForEachMatrix(int64_t count, double operations,
                           absl::FunctionRef<absl::Status(int64_t matrix)> fn) {
  // Some tens of microseconds a block.
  const int64_t grain = 1 + static_cast<int64_t>(1e5 / (operations + 1e3));
  std::vector<absl::Status> errors(
      static_cast<size_t>(NumBlocks(count, grain)));
  ParallelFor(count, grain, [&](int64_t begin, int64_t end) {
    absl::Status& error = errors[static_cast<size_t>(begin / grain)];
    for (int64_t i = begin; i < end && error.ok(); ++i) error = fn(i);
  });
  for (absl::Status& error : errors) SEPTET_RETURN_IF_ERROR(error);
  return absl::OkStatus();
}

void Transpose(int64_t rows, int64_t cols, const float* from, float* to) {
  TransposeOf(rows, cols, from, to);
}
void Transpose(int64_t rows, int64_t cols, const double* from, double* to) {
  TransposeOf(rows, cols, from, to);
}

absl::StatusOr<int32_t> WorkspaceSize(absl::string_view op, double asked,
                                      double epsilon) {
  const double size = std::ceil(asked * (1 + epsilon));
  if (size >= 1 && size <= std::numeric_limits<int32_t>::max()) {
    return static_cast<int32_t>(size);
  }
  return absl::InvalidArgumentError(
      absl::StrCat(op,
                   ": the matrix is too large for LAPACK, which counts its "
                   "workspace in 32 bits and needs ",
                   size, " elements"));
}

absl::Status Overflow(absl::string_view op, absl::string_view what,
                      const Tensor& a, int64_t matrix) {
  return absl::InvalidArgumentError(absl::StrCat(
      MatrixName(op, "a", a, matrix), " has elements so large that ", what,
      " overflow ", DTypeName(a.dtype()), ", expected smaller ones"));
}

absl::Status BadArgument(absl::string_view op, int64_t info) {
  return absl::InternalError(
      absl::StrCat(op, ": LAPACK refused argument ", -info));
}

}  // namespace linalg_internal
}  // namespace septet
