// SPDX-License-Identifier: Apache-2.0
// What the decompositions share: stacks of matrices and the checks of them,
// work over a batch, transposes, signs, and sizes of workspaces.
#ifndef SEPTET_CORE_BLAS_LINALG_IMPL_H_
#define SEPTET_CORE_BLAS_LINALG_IMPL_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace linalg_internal {

// [..., rows, cols] as `count` matrices, row-major.
struct Matrices {
  Tensor data;  // contiguous
  int64_t count = 1;
  int64_t rows = 0;
  int64_t cols = 0;

  int64_t size() const { return rows * cols; }
};

// What is wrong with argument `name` of `op` is said as "op: name is f64 [3],
// expected ...".
absl::StatusOr<Matrices> ToMatrices(absl::string_view op,
                                    absl::string_view name, const Tensor& x);
absl::StatusOr<Matrices> ToSquareMatrices(absl::string_view op,
                                          absl::string_view name,
                                          const Tensor& x);

// Right-hand sides [..., rows, r] or, with one axis less than `a`, [..., rows]
// as one column; batch axes and dtype as those of `a`.
struct RightSides {
  Matrices matrices;
  bool is_vector = false;
};
absl::StatusOr<RightSides> ToRightSides(absl::string_view op, const Tensor& a,
                                        const Tensor& b);

// Which elements a function reads.
enum class Part { kAll, kLower, kUpper, kStrictlyLower, kStrictlyUpper };

// InvalidArgument with the index of the first element that is NaN or infinite:
// "eigh: a[0, 2, 1] is nan, expected finite numbers". The index is that of
// x.data's shape.
absl::Status RequireFinite(absl::string_view op, absl::string_view name,
                           const Matrices& x, Part part = Part::kAll);

// The batch axes of x [..., m, n] and then `dims`.
absl::StatusOr<Shape> BatchShape(const Tensor& x,
                                 std::initializer_list<int64_t> dims);

// "op: name" for one matrix, "op: name[1, 0]" for one of a stack.
std::string MatrixName(absl::string_view op, absl::string_view name,
                       const Tensor& x, int64_t matrix);

// fn(i) for every matrix in the current pool, `operations` being a matrix's
// work. Returns the error of the first matrix that has one.
absl::Status ForEachMatrix(int64_t count, double operations,
                           absl::FunctionRef<absl::Status(int64_t matrix)> fn);

// to[j rows + i] = from[i cols + j].
void Transpose(int64_t rows, int64_t cols, const float* from, float* to);
void Transpose(int64_t rows, int64_t cols, const double* from, double* to);

// True if a vector's sign is to change by our convention: the first entry whose
// magnitude is the largest, up to rounding (a relative 2^-12 for float, 2^-26
// for double), shall be positive.
template <typename T>
bool HasWrongSign(int64_t n, const T* v, int64_t stride) {
  T largest = 0;
  for (int64_t i = 0; i < n; ++i) {
    largest = std::max(largest, std::abs(v[i * stride]));
  }
  const T slack = std::sqrt(std::numeric_limits<T>::epsilon());
  for (int64_t i = 0; i < n; ++i) {
    const T x = v[i * stride];
    if (std::abs(x) >= largest * (1 - slack)) return x < 0;
  }
  return false;
}
template <typename T>
void Negate(int64_t n, T* v, int64_t stride) {
  for (int64_t i = 0; i < n; ++i) v[i * stride] = -v[i * stride];
}

// A size that LAPACK asked for as a floating number, which may have been
// rounded down. InvalidArgument if it does not fit into its 32-bit integers.
absl::StatusOr<int32_t> WorkspaceSize(absl::string_view op, double asked,
                                      double epsilon);
template <typename T>
absl::StatusOr<int32_t> WorkspaceSize(absl::string_view op, T asked) {
  return WorkspaceSize(op, static_cast<double>(asked),
                       std::numeric_limits<T>::epsilon());
}

absl::Status Overflow(absl::string_view op, absl::string_view what,
                      const Tensor& a, int64_t matrix);
// InvalidArgument if one of the `n` results of a matrix of finite elements is
// not finite: `what` of it is beyond the dtype.
template <typename T>
absl::Status RequireNoOverflow(absl::string_view op, absl::string_view what,
                               const Tensor& a, int64_t matrix, int64_t n,
                               const T* results) {
  for (int64_t i = 0; i < n; ++i) {
    if (!std::isfinite(results[i])) return Overflow(op, what, a, matrix);
  }
  return absl::OkStatus();
}

// Internal: LAPACK did not like argument -info.
absl::Status BadArgument(absl::string_view op, int64_t info);

// fn(zero of the C++ type) for f32 or f64.
template <typename Fn>
auto DispatchReal(DType dtype, const Fn& fn) {
  return dtype == DType::kF32 ? fn(0.0f) : fn(0.0);
}

}  // namespace linalg_internal
}  // namespace septet

#endif  // SEPTET_CORE_BLAS_LINALG_IMPL_H_
