// SPDX-License-Identifier: Apache-2.0
// Matrices for tests of decompositions, and products of them in double by plain
// loops.
#ifndef SEPTET_CORE_BLAS_LINALG_TESTUTIL_H_
#define SEPTET_CORE_BLAS_LINALG_TESTUTIL_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"
#include "septet/core/random/philox.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

// One matrix in double.
struct TestMatrix {
  TestMatrix(int64_t rows, int64_t cols)
      : rows(rows), cols(cols), values(rows * cols, 0.0) {}
  // Matrix `index` of a stack [..., rows, cols].
  explicit TestMatrix(const Tensor& stack, int64_t index = 0)
      : TestMatrix(stack.dim(stack.rank() - 2), stack.dim(stack.rank() - 1)) {
    const std::vector<double> all = stack.ToVector<double>();
    std::copy_n(all.begin() + index * rows * cols, rows * cols, values.begin());
  }

  double& operator()(int64_t i, int64_t j) { return values[i * cols + j]; }
  double operator()(int64_t i, int64_t j) const { return values[i * cols + j]; }

  Tensor ToTensor(DType dtype = DType::kF64) const {
    return Tensor::FromValues<double>({rows, cols}, values)
        .value()
        .To(dtype)
        .value();
  }

  int64_t rows, cols;
  std::vector<double> values;
};

inline TestMatrix Product(const TestMatrix& a, const TestMatrix& b) {
  TestMatrix c(a.rows, b.cols);
  for (int64_t i = 0; i < a.rows; ++i) {
    for (int64_t k = 0; k < a.cols; ++k) {
      for (int64_t j = 0; j < b.cols; ++j) c(i, j) += a(i, k) * b(k, j);
    }
  }
  return c;
}

inline TestMatrix Transposed(const TestMatrix& a) {
  TestMatrix t(a.cols, a.rows);
  for (int64_t i = 0; i < a.rows; ++i) {
    for (int64_t j = 0; j < a.cols; ++j) t(j, i) = a(i, j);
  }
  return t;
}

inline TestMatrix Diagonal(const std::vector<double>& d, int64_t rows,
                           int64_t cols) {
  TestMatrix m(rows, cols);
  for (size_t i = 0; i < d.size(); ++i) {
    m(static_cast<int64_t>(i), static_cast<int64_t>(i)) = d[i];
  }
  return m;
}

inline TestMatrix Identity(int64_t n) {
  return Diagonal(std::vector<double>(n, 1.0), n, n);
}

// Uniform in [-1, 1), the same on every run; `stream` tells matrices apart.
inline TestMatrix RandomMatrix(int64_t rows, int64_t cols, uint32_t stream) {
  TestMatrix m(rows, cols);
  for (size_t i = 0; i < m.values.size(); ++i) {
    m.values[i] =
        Philox4x32({0x11a1, stream}, {static_cast<uint32_t>(i), 0, 0, 0})[0] *
            0x1p-31 -
        1;
  }
  return m;
}

inline TestMatrix RandomSymmetric(int64_t n, uint32_t stream) {
  TestMatrix m = RandomMatrix(n, n, stream);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < i; ++j) m(j, i) = m(i, j);
  }
  return m;
}

// Orthogonal: columns of a random matrix, orthonormalised twice.
inline TestMatrix RandomOrthogonal(int64_t n, uint32_t stream) {
  TestMatrix q = RandomMatrix(n, n, stream);
  for (int64_t j = 0; j < n; ++j) {
    for (int pass = 0; pass < 2; ++pass) {
      for (int64_t k = 0; k < j; ++k) {
        double dot = 0;
        for (int64_t i = 0; i < n; ++i) dot += q(i, j) * q(i, k);
        for (int64_t i = 0; i < n; ++i) q(i, j) -= dot * q(i, k);
      }
    }
    double norm = 0;
    for (int64_t i = 0; i < n; ++i) norm += q(i, j) * q(i, j);
    for (int64_t i = 0; i < n; ++i) q(i, j) /= std::sqrt(norm);
  }
  return q;
}

// |got - want| <= tolerance everywhere.
inline void ExpectMatrixNear(const TestMatrix& got, const TestMatrix& want,
                             double tolerance) {
  ASSERT_EQ(got.rows, want.rows);
  ASSERT_EQ(got.cols, want.cols);
  for (int64_t i = 0; i < got.rows; ++i) {
    for (int64_t j = 0; j < got.cols; ++j) {
      ASSERT_LE(std::abs(got(i, j) - want(i, j)), tolerance)
          << "element " << i << ", " << j << ": got " << got(i, j) << ", want "
          << want(i, j);
    }
  }
}

inline void ExpectOrthonormalColumns(const TestMatrix& q, double tolerance) {
  ExpectMatrixNear(Product(Transposed(q), q), Identity(q.cols), tolerance);
}

// A stack [batch..., rows, cols] of matrices of one shape.
inline Tensor Stack(const std::vector<TestMatrix>& matrices, const Shape& shape,
                    DType dtype = DType::kF64) {
  std::vector<double> all;
  for (const TestMatrix& m : matrices) {
    all.insert(all.end(), m.values.begin(), m.values.end());
  }
  return Tensor::FromValues<double>(shape, all).value().To(dtype).value();
}

// Column j has its entry of largest magnitude positive.
inline bool HasPositiveLargestEntry(const TestMatrix& m, int64_t j) {
  double largest = 0;
  for (int64_t i = 0; i < m.rows; ++i) {
    if (std::abs(m(i, j)) > std::abs(largest) * (1 + 1e-3)) largest = m(i, j);
  }
  return largest > 0;
}

}  // namespace septet

#endif  // SEPTET_CORE_BLAS_LINALG_TESTUTIL_H_
