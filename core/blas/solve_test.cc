// SPDX-License-Identifier: Apache-2.0
#include "septet/core/blas/solve.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/blas/eigh.h"
#include "septet/core/blas/linalg_testutil.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::HasSubstr;

// Well conditioned and of no symmetry.
TestMatrix General(int64_t n, uint32_t stream) {
  TestMatrix a = RandomMatrix(n, n, stream);
  for (int64_t i = 0; i < n; ++i) a(i, (i + 1) % n) += 2.0 + n;
  return a;
}
TestMatrix Definite(int64_t n, uint32_t stream) {
  const TestMatrix m = RandomMatrix(n, n, stream);
  TestMatrix a = Product(m, Transposed(m));
  for (int64_t i = 0; i < n; ++i) a(i, i) += 1;
  return a;
}
TestMatrix TriangleOf(TestMatrix a, bool lower) {
  for (int64_t i = 0; i < a.rows; ++i) {
    for (int64_t j = 0; j < a.cols; ++j) {
      if (lower ? j > i : j < i) a(i, j) = 0;
    }
    a(i, i) = 3 + a(i, i);
  }
  return a;
}
// The other triangle filled with NaN.
TestMatrix Spoiled(TestMatrix a, bool keep_lower, bool keep_diagonal = true) {
  for (int64_t i = 0; i < a.rows; ++i) {
    for (int64_t j = 0; j < a.cols; ++j) {
      if (keep_lower ? j > i : j < i) a(i, j) = std::nan("");
    }
    if (!keep_diagonal) a(i, i) = std::nan("");
  }
  return a;
}

TEST(SolveTest, SolvesForOneAndSeveralRightSides) {
  for (const DType dtype : {DType::kF64, DType::kF32}) {
    const double tolerance = dtype == DType::kF64 ? 1e-13 : 2e-5;
    for (const int64_t n : {1, 2, 5, 17, 40}) {
      for (const int64_t r : {1, 3}) {
        const TestMatrix want = RandomMatrix(n, r, 9);
        const auto check = [&](const absl::StatusOr<Tensor>& x) {
          SEPTET_ASSERT_OK(x);
          EXPECT_EQ(x->dtype(), dtype);
          ExpectMatrixNear(TestMatrix(*x), want, tolerance);
        };
        const TestMatrix a = General(n, 1);
        check(Solve(a.ToTensor(dtype), Product(a, want).ToTensor(dtype)));
        const TestMatrix d = Definite(n, 2);
        const Tensor db = Product(d, want).ToTensor(dtype);
        check(SolvePositiveDefinite(Spoiled(d, true).ToTensor(dtype), db));
        check(SolvePositiveDefinite(Spoiled(d, false).ToTensor(dtype), db,
                                    Triangle::kUpper));
        for (const bool lower : {true, false}) {
          for (const bool transpose : {false, true}) {
            for (const bool unit : {false, true}) {
              SCOPED_TRACE(testing::Message()
                           << lower << " " << transpose << " " << unit);
              TestMatrix t = TriangleOf(RandomMatrix(n, n, 3), lower);
              for (double& v : t.values) v /= 8;  // so that 1 dominates
              TestMatrix full = t;
              for (int64_t i = 0; unit && i < n; ++i) full(i, i) = 1;
              const Tensor b =
                  Product(transpose ? Transposed(full) : full, want)
                      .ToTensor(dtype);
              const absl::StatusOr<Tensor> x =
                  SolveTriangular(Spoiled(t, lower, !unit).ToTensor(dtype), b,
                                  {lower ? Triangle::kLower : Triangle::kUpper,
                                   transpose, unit});
              SEPTET_ASSERT_OK(x);
              // Triangles amplify more: compare what goes in.
              ExpectMatrixNear(
                  Product(transpose ? Transposed(full) : full, TestMatrix(*x)),
                  TestMatrix(b), 100 * tolerance);
            }
          }
        }
      }
    }
  }
}

TEST(SolveTest, VectorsAreColumns) {
  const std::vector<TestMatrix> a = {General(4, 1), General(4, 2)};
  const TestMatrix b = RandomMatrix(2, 4, 3);
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor x,
                              Solve(Stack(a, {2, 4, 4}), b.ToTensor()));
  EXPECT_EQ(x.shape(), Shape({2, 4}));
  for (int64_t i = 0; i < 2; ++i) {
    for (int64_t row = 0; row < 4; ++row) {
      double sum = 0;
      for (int64_t j = 0; j < 4; ++j) {
        sum += a[i](row, j) * TestMatrix(x)(i, j);
      }
      EXPECT_NEAR(sum, b(i, row), 1e-14);
    }
  }
}

TEST(SolveTest, CholeskyFactors) {
  for (const int64_t n : {1, 3, 20}) {
    const TestMatrix a = Definite(n, 4);
    for (const bool lower : {true, false}) {
      SEPTET_ASSERT_OK_AND_ASSIGN(
          const Tensor factor,
          Cholesky(Spoiled(a, lower).ToTensor(),
                   lower ? Triangle::kLower : Triangle::kUpper));
      const TestMatrix l(factor);
      ExpectMatrixNear(Product(l, Transposed(l)), a, 1e-13);
      for (int64_t i = 0; i < n; ++i) {
        EXPECT_GT(l(i, i), 0);
        for (int64_t j = i + 1; j < n; ++j) EXPECT_EQ(l(i, j), 0);
      }
    }
  }
}

TEST(SolveTest, LogDeterminants) {
  const auto of = [](std::vector<double> values, int64_t n) {
    return LogDet(Tensor::FromValues<double>({n, n}, values).value()).value();
  };
  LogDetResult d = of({0, 2, 3, 0}, 2);
  EXPECT_EQ(d.sign.item<double>(), -1);
  EXPECT_NEAR(d.log_abs.item<double>(), std::log(6.0), 1e-15);
  d = of({-2, 0, 0, -3}, 2);
  EXPECT_EQ(d.sign.item<double>(), 1);
  EXPECT_NEAR(d.log_abs.item<double>(), std::log(6.0), 1e-15);
  d = of({1, 2, 2, 4}, 2);
  EXPECT_EQ(d.sign.item<double>(), 0);
  EXPECT_EQ(d.log_abs.item<double>(), -std::numeric_limits<double>::infinity());
  d = of({}, 0);
  EXPECT_EQ(d.sign.item<double>(), 1);
  EXPECT_EQ(d.log_abs.item<double>(), 0);
  // Beyond the range of a double.
  const int64_t n = 400;
  std::vector<double> diagonal(n, 1e-3);
  diagonal[7] = -1e-3;
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const LogDetResult big,
      LogDet(Stack({Diagonal(diagonal, n, n)}, {1, n, n})));
  EXPECT_EQ(big.sign.shape(), Shape({1}));
  EXPECT_EQ(big.sign.item<double>(), -1);
  EXPECT_NEAR(big.log_abs.item<double>(), n * std::log(1e-3), 1e-9);
}

TEST(SolveTest, BatchesAreTheirMatricesAndThreadsChangeNoBit) {
  std::vector<TestMatrix> a, b;
  for (uint32_t i = 0; i < 6; ++i) {
    a.push_back(Definite(11, i));
    b.push_back(RandomMatrix(11, 2, 100 + i));
  }
  const Tensor stack_a = Stack(a, {3, 2, 11, 11});
  const Tensor stack_b = Stack(b, {3, 2, 11, 2});
  for (const int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    const Tensor general = Solve(stack_a, stack_b).value();
    const Tensor definite = SolvePositiveDefinite(stack_a, stack_b).value();
    const Tensor triangular = SolveTriangular(stack_a, stack_b).value();
    const Tensor factor = Cholesky(stack_a).value();
    for (int64_t i = 0; i < 6; ++i) {
      const Tensor one_a = a[i].ToTensor(), one_b = b[i].ToTensor();
      EXPECT_EQ(TestMatrix(general, i).values,
                Solve(one_a, one_b)->ToVector<double>());
      EXPECT_EQ(TestMatrix(definite, i).values,
                SolvePositiveDefinite(one_a, one_b)->ToVector<double>());
      EXPECT_EQ(TestMatrix(triangular, i).values,
                SolveTriangular(one_a, one_b)->ToVector<double>());
      EXPECT_EQ(TestMatrix(factor, i).values,
                Cholesky(one_a)->ToVector<double>());
    }
  }
}

TEST(SolveTest, NothingGivesNothing) {
  const Tensor a = Tensor::Zeros({2, 0, 0}, DType::kF64).value();
  const Tensor b = Tensor::Zeros({2, 0, 3}, DType::kF64).value();
  EXPECT_EQ(Solve(a, b)->shape(), Shape({2, 0, 3}));
  EXPECT_EQ(SolvePositiveDefinite(a, b)->shape(), Shape({2, 0, 3}));
  EXPECT_EQ(SolveTriangular(a, b)->shape(), Shape({2, 0, 3}));
  EXPECT_EQ(Cholesky(a)->shape(), Shape({2, 0, 0}));
  EXPECT_EQ(Solve(General(3, 1).ToTensor(),
                  Tensor::Zeros({3, 0}, DType::kF64).value())
                ->shape(),
            Shape({3, 0}));
}

TEST(SolveTest, SingularMatricesAreRefusedByName) {
  const auto refused = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(text));
  };
  const Tensor b = Tensor::FromValues<double>({2}, {1, 1}).value();
  const Tensor exact = Tensor::FromValues<double>({2, 2}, {1, 2, 2, 4}).value();
  EXPECT_THAT(Solve(exact, b), refused("solve: a is singular: pivot 1"));
  const Tensor rounded =
      Tensor::FromValues<double>({2, 2}, {1, 1, 1, 1 + 0x1p-52}).value();
  EXPECT_THAT(Solve(rounded, b),
              refused("solve: a is singular to working precision: its "
                      "reciprocal condition number is "));
  SEPTET_EXPECT_OK(Solve(rounded, b, {0.0}));
  EXPECT_THAT(Solve(General(2, 1).ToTensor(), b, {1.0}),
              refused("expected at least 1"));
  const Tensor stack = Stack(
      {Identity(2), Diagonal({1, 0}, 2, 2), Diagonal({0, 1}, 2, 2)}, {3, 2, 2});
  const Tensor sides = Tensor::Full({3, 2}, 1.0, DType::kF64).value();
  EXPECT_THAT(Solve(stack, sides), refused("solve: a[1] is singular: pivot 1"));
  EXPECT_THAT(SolveTriangular(stack, sides),
              refused("solve_triangular: a[1] is singular: its diagonal is 0 "
                      "in row 1"));
  EXPECT_THAT(SolvePositiveDefinite(stack, sides),
              refused("solve_positive_definite: a[1] is not positive definite: "
                      "its leading minor of order 2 is not positive"));
  EXPECT_THAT(Cholesky(stack), refused("cholesky: a[1] is not positive"));
}

TEST(SolveTest, Errors) {
  const auto invalid = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  const Tensor a = General(3, 1).ToTensor();
  const Tensor b = RandomMatrix(3, 2, 1).ToTensor();
  EXPECT_THAT(Solve(Tensor(), b), invalid("solve: a is not given"));
  EXPECT_THAT(Solve(a, Tensor()), invalid("solve: b is not given"));
  EXPECT_THAT(Solve(b, b), invalid("solve: a is f64 [3, 2], expected square"));
  EXPECT_THAT(Solve(a, b.To(DType::kF32).value()),
              invalid("solve: b is f32 [3, 2], expected f64 [3]"));
  EXPECT_THAT(
      Solve(a, Tensor::Zeros({4}, DType::kF64).value()),
      invalid("solve: b is f64 [4], expected f64 [3], a column for each "
              "matrix of a, f64 [3, 3], or one axis more for several"));
  EXPECT_THAT(SolveTriangular(a, Tensor::Zeros({}, DType::kF64).value()),
              invalid("solve_triangular: b is f64 []"));
  EXPECT_THAT(SolvePositiveDefinite(a, Stack({Identity(3)}, {1, 3, 3})),
              invalid("solve_positive_definite: b is f64 [1, 3, 3]"));
  EXPECT_THAT(Solve(a, b, {std::nan("")}), invalid("min_rcond is nan"));
  EXPECT_THAT(Solve(a, b, {2.0}),
              invalid("min_rcond is 2, expected a number up to 1"));
  TestMatrix bad = General(3, 1);
  bad(1, 2) = std::nan("");
  EXPECT_THAT(Solve(bad.ToTensor(), b),
              invalid("solve: a[1, 2] is nan, expected finite numbers"));
  EXPECT_THAT(LogDet(bad.ToTensor()), invalid("log_det: a[1, 2] is nan"));
  EXPECT_THAT(Cholesky(bad.ToTensor(), Triangle::kUpper),
              invalid("cholesky: a[1, 2] is nan"));
  const Tensor vector =
      Tensor::FromValues<double>({3}, {1, std::nan(""), 1}).value();
  EXPECT_THAT(Solve(a, vector), invalid("solve: b[1] is nan"));
  EXPECT_THAT(Cholesky(Tensor::Zeros({2, 2}, DType::kI32).value()),
              invalid("cholesky: a is i32 [2, 2], expected f32 or f64"));
  EXPECT_THAT(LogDet(b), invalid("log_det: a is f64 [3, 2], expected square"));
}

}  // namespace
}  // namespace septet
