// SPDX-License-Identifier: Apache-2.0
#include "septet/core/blas/eigh.h"

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
#include "septet/core/blas/linalg_testutil.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::HasSubstr;

TEST(EighTest, ReconstructsWithOrthonormalVectors) {
  for (const DType dtype : {DType::kF64, DType::kF32}) {
    const double eps = dtype == DType::kF64 ? 1e-15 : 5e-7;
    for (const int64_t n : {1, 2, 3, 7, 16, 33, 100}) {
      SCOPED_TRACE(n);
      const Tensor a = RandomSymmetric(n, 1).ToTensor(dtype);
      SEPTET_ASSERT_OK_AND_ASSIGN(const EighResult e, Eigh(a));
      EXPECT_EQ(e.values.shape(), Shape({n}));
      EXPECT_EQ(e.values.dtype(), dtype);
      const std::vector<double> w = e.values.ToVector<double>();
      const TestMatrix v(e.vectors);
      // Norms are about sqrt(n).
      const double tolerance = 10 * eps * std::sqrt(n) * (n + 1);
      ExpectOrthonormalColumns(v, tolerance);
      ExpectMatrixNear(Product(Product(v, Diagonal(w, n, n)), Transposed(v)),
                       TestMatrix(a), tolerance);
      for (int64_t k = 0; k < n; ++k) {
        if (k > 0) {
          EXPECT_LE(w[k - 1], w[k]);
        }
        EXPECT_TRUE(HasPositiveLargestEntry(v, k)) << k;
      }
      SEPTET_ASSERT_OK_AND_ASSIGN(const EighResult alone,
                                  Eigh(a, {Triangle::kLower, false}));
      EXPECT_FALSE(alone.vectors.defined());
      for (int64_t k = 0; k < n; ++k) {
        EXPECT_NEAR(alone.values.ToVector<double>()[k], w[k], tolerance);
      }
    }
  }
}

TEST(EighTest, KnownSpectrum) {
  // Second differences on n points: 2 - 2 cos(pi k / (n + 1)), vectors sines.
  const int64_t n = 20;
  TestMatrix a(n, n);
  for (int64_t i = 0; i < n; ++i) {
    a(i, i) = 2;
    if (i > 0) a(i, i - 1) = a(i - 1, i) = -1;
  }
  SEPTET_ASSERT_OK_AND_ASSIGN(const EighResult e, Eigh(a.ToTensor()));
  const TestMatrix v(e.vectors);
  for (int64_t k = 0; k < n; ++k) {
    const double angle = M_PI * (k + 1) / (n + 1);
    EXPECT_NEAR(e.values.ToVector<double>()[k], 2 - 2 * std::cos(angle), 1e-14);
    for (int64_t i = 0; i < n; ++i) {
      EXPECT_NEAR(
          std::abs(v(i, k)),
          std::abs(std::sqrt(2.0 / (n + 1)) * std::sin(angle * (i + 1))),
          1e-13);
    }
  }
}

TEST(EighTest, TiedLargestEntriesHaveTheFirstPositive) {
  const Tensor a = Tensor::FromValues<double>({2, 2}, {0, 1, 1, 0}).value();
  SEPTET_ASSERT_OK_AND_ASSIGN(const EighResult e, Eigh(a));
  const double half = std::sqrt(0.5);
  EXPECT_THAT(e.values.ToVector<double>(),
              ::testing::Pointwise(::testing::DoubleEq(), {-1.0, 1.0}));
  EXPECT_THAT(e.vectors.ToVector<double>(),
              ::testing::Pointwise(::testing::DoubleNear(1e-15),
                                   {half, half, -half, half}));
}

TEST(EighTest, ReadsTheTriangleAskedForAlone) {
  const TestMatrix good = RandomSymmetric(6, 2);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  TestMatrix lower = good, upper = good;
  for (int64_t i = 0; i < 6; ++i) {
    for (int64_t j = 0; j < i; ++j) {
      lower(j, i) = nan;
      upper(i, j) = nan;
    }
  }
  SEPTET_ASSERT_OK_AND_ASSIGN(const EighResult l, Eigh(lower.ToTensor()));
  SEPTET_ASSERT_OK_AND_ASSIGN(const EighResult u,
                              Eigh(upper.ToTensor(), {Triangle::kUpper}));
  ExpectMatrixNear(TestMatrix(l.vectors), TestMatrix(u.vectors), 1e-13);
  EXPECT_THAT(Eigh(upper.ToTensor()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "eigh: a[1, 0] is nan, expected finite numbers"));
  EXPECT_THAT(Eigh(lower.ToTensor(), {Triangle::kUpper}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       "eigh: a[0, 1] is nan, expected finite numbers"));
}

TEST(EighTest, WideRangeAndRepeatedValues) {
  // From 1 to 1e-14, and a space of dimension 5.
  const int64_t n = 20;
  std::vector<double> w(n);
  for (int64_t k = 0; k < n; ++k)
    w[k] = std::pow(10.0, -std::max<double>(0, k - 5));
  const TestMatrix q = RandomOrthogonal(n, 3);
  TestMatrix a = Product(Product(q, Diagonal(w, n, n)), Transposed(q));
  SEPTET_ASSERT_OK_AND_ASSIGN(const EighResult e, Eigh(a.ToTensor()));
  const std::vector<double> got = e.values.ToVector<double>();
  for (int64_t k = 0; k < n; ++k) {
    EXPECT_NEAR(got[n - 1 - k], w[k], 1e-14);
  }
  const TestMatrix v(e.vectors);
  ExpectOrthonormalColumns(v, 1e-13);
  ExpectMatrixNear(Product(Product(v, Diagonal(got, n, n)), Transposed(v)), a,
                   1e-13);
}

TEST(EighTest, BatchesAreTheirMatricesAndThreadsChangeNoBit) {
  const int64_t n = 17;
  std::vector<TestMatrix> matrices;
  for (uint32_t i = 0; i < 6; ++i) matrices.push_back(RandomSymmetric(n, i));
  const Tensor stack = Stack(matrices, {2, 3, n, n});
  for (const int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    SEPTET_ASSERT_OK_AND_ASSIGN(const EighResult e, Eigh(stack));
    EXPECT_EQ(e.values.shape(), Shape({2, 3, n}));
    EXPECT_EQ(e.vectors.shape(), Shape({2, 3, n, n}));
    for (int64_t i = 0; i < 6; ++i) {
      SEPTET_ASSERT_OK_AND_ASSIGN(const EighResult one,
                                  Eigh(matrices[i].ToTensor()));
      EXPECT_EQ(TestMatrix(e.vectors, i).values,
                one.vectors.ToVector<double>());
    }
  }
  // Strides are no matter.
  SEPTET_ASSERT_OK_AND_ASSIGN(const EighResult strided,
                              Eigh(stack.Permute({1, 0, 2, 3}).value()));
  EXPECT_EQ(TestMatrix(strided.vectors, 1).values,
            TestMatrix(Eigh(stack)->vectors, 3).values);
}

TEST(EighTest, NothingGivesNothing) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const EighResult none,
                              Eigh(Tensor::Zeros({0, 0}, DType::kF32).value()));
  EXPECT_EQ(none.values.shape(), Shape({0}));
  EXPECT_EQ(none.vectors.shape(), Shape({0, 0}));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const EighResult batch,
      Eigh(Tensor::Zeros({0, 3, 3}, DType::kF64).value()));
  EXPECT_EQ(batch.values.shape(), Shape({0, 3}));
}

TEST(EighTest, Errors) {
  const auto invalid = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  EXPECT_THAT(Eigh(Tensor()), invalid("eigh: a is not given"));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Tensor large,
      Tensor::FromValues<float>(Shape({2, 2, 2}),
                                {1, 0, 0, 1, 3e38f, 3e38f, 3e38f, 3e38f}));
  EXPECT_THAT(Eigh(large),
              invalid("eigh: a[1] has elements so large that its eigenvalues "
                      "overflow f32, expected smaller ones"));
  EXPECT_THAT(Eigh(Tensor::Zeros({2, 2}, DType::kI32).value()),
              invalid("eigh: a is i32 [2, 2], expected f32 or f64"));
  EXPECT_THAT(Eigh(Tensor::Zeros({4}, DType::kF32).value()),
              invalid("eigh: a is f32 [4], expected a matrix, [..., rows, "
                      "columns]"));
  EXPECT_THAT(Eigh(Tensor::Zeros({2, 3}, DType::kF32).value()),
              invalid("eigh: a is f32 [2, 3], expected square matrices"));
  TestMatrix a = RandomSymmetric(3, 1);
  a(2, 1) = -std::numeric_limits<double>::infinity();
  EXPECT_THAT(Eigh(Stack({RandomSymmetric(3, 2), a}, {2, 3, 3})),
              invalid("eigh: a[1, 2, 1] is -inf, expected finite numbers"));
  // More than LAPACK can count the workspace of; no such matrix is made.
  SEPTET_ASSERT_OK_AND_ASSIGN(const Tensor one,
                              Tensor::Zeros({1, 1}, DType::kF32));
  EXPECT_THAT(Eigh(one.BroadcastTo({32767, 32767}).value()),
              invalid("expected at most 32766 rows"));
}

}  // namespace
}  // namespace septet
