// SPDX-License-Identifier: Apache-2.0
#include "septet/core/blas/lstsq.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
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

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(LstsqTest, ResidualIsOrthogonalToTheColumns) {
  for (const DType dtype : {DType::kF64, DType::kF32}) {
    const double tolerance = dtype == DType::kF64 ? 1e-13 : 3e-5;
    for (const auto& [m, n] : std::vector<std::pair<int64_t, int64_t>>{
             {1, 1}, {5, 1}, {9, 4}, {30, 17}, {6, 6}, {4, 9}}) {
      SCOPED_TRACE(testing::Message() << m << " x " << n);
      const int64_t r = 3, k = std::min(m, n);
      const Tensor a = RandomMatrix(m, n, 1).ToTensor(dtype);
      const Tensor b = RandomMatrix(m, r, 2).ToTensor(dtype);
      SEPTET_ASSERT_OK_AND_ASSIGN(const LstsqResult fit, Lstsq(a, b));
      EXPECT_EQ(fit.x.shape(), Shape({n, r}));
      EXPECT_EQ(fit.rank.item<int64_t>(), k);
      EXPECT_EQ(fit.singular_values.shape(), Shape({k}));
      TestMatrix residual = Product(TestMatrix(a), TestMatrix(fit.x));
      const TestMatrix wanted(b);
      for (size_t i = 0; i < residual.values.size(); ++i) {
        residual.values[i] -= wanted.values[i];
      }
      const TestMatrix normal = Product(Transposed(TestMatrix(a)), residual);
      // Of ill-conditioned random systems x may be as large as 100.
      ExpectMatrixNear(normal, TestMatrix(n, r), 100 * tolerance);
      for (int64_t c = 0; c < r; ++c) {
        double squares = 0;
        for (int64_t i = 0; i < m; ++i) {
          squares += residual(i, c) * residual(i, c);
        }
        EXPECT_NEAR(fit.residual_norm.ToVector<double>()[c], std::sqrt(squares),
                    tolerance);
      }
    }
  }
}

TEST(LstsqTest, LeastNormOfRankDeficientSystems) {
  // Rank 2: x + y = 2 in both equations of two unknowns alike; the shortest
  // solution shares equally.
  const Tensor a =
      Tensor::FromValues<double>({3, 2}, {1, 1, 2, 2, 1, 1}).value();
  const Tensor b = Tensor::FromValues<double>({3}, {2, 4, 2}).value();
  SEPTET_ASSERT_OK_AND_ASSIGN(const LstsqResult fit, Lstsq(a, b));
  EXPECT_EQ(fit.rank.item<int64_t>(), 1);
  EXPECT_EQ(fit.x.shape(), Shape({2}));
  EXPECT_THAT(fit.x.ToVector<double>(),
              ::testing::Pointwise(::testing::DoubleNear(1e-14), {1.0, 1.0}));
  EXPECT_EQ(fit.residual_norm.shape(), Shape({}));
  EXPECT_NEAR(fit.residual_norm.item<double>(), 0, 1e-14);
  EXPECT_THAT(fit.singular_values.ToVector<double>(),
              ::testing::Pointwise(::testing::DoubleNear(1e-14),
                                   {std::sqrt(12.0), 0.0}));
}

TEST(LstsqTest, RcondDecidesWhatCountsAsZero) {
  const Tensor a = Diagonal({1, 1e-3, 1e-9}, 3, 3).ToTensor();
  const Tensor b = Tensor::FromValues<double>({3}, {1, 1e-3, 1e-9}).value();
  EXPECT_EQ(Lstsq(a, b)->rank.item<int64_t>(), 3);
  EXPECT_EQ(Lstsq(a, b, {1e-6})->rank.item<int64_t>(), 2);
  SEPTET_ASSERT_OK_AND_ASSIGN(const LstsqResult fit, Lstsq(a, b, {0.1}));
  EXPECT_EQ(fit.rank.item<int64_t>(), 1);
  EXPECT_THAT(
      fit.x.ToVector<double>(),
      ::testing::Pointwise(::testing::DoubleNear(1e-15), {1.0, 0.0, 0.0}));
  EXPECT_NEAR(fit.residual_norm.item<double>(), 1e-3, 1e-9);
}

TEST(LstsqTest, IllConditionedFitKeepsItsDigits) {
  // Monomials up to degree 9 on [0, 1]: condition number 1e7. Normal equations
  // would keep two digits.
  const int64_t m = 50, n = 10;
  TestMatrix a(m, n), want(n, 1);
  for (int64_t j = 0; j < n; ++j) {
    want(j, 0) = 1.0 / (j + 1);
    for (int64_t i = 0; i < m; ++i) {
      a(i, j) = std::pow(i / (m - 1.0), static_cast<double>(j));
    }
  }
  SEPTET_ASSERT_OK_AND_ASSIGN(const LstsqResult fit,
                              Lstsq(a.ToTensor(), Product(a, want).ToTensor()));
  ExpectMatrixNear(TestMatrix(fit.x), want, 1e-8);
}

TEST(LstsqTest, BatchesAreTheirMatricesAndThreadsChangeNoBit) {
  std::vector<TestMatrix> a, b;
  for (uint32_t i = 0; i < 4; ++i) {
    a.push_back(RandomMatrix(12, 5, i));
    b.push_back(RandomMatrix(12, 2, 100 + i));
  }
  for (const int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    SEPTET_ASSERT_OK_AND_ASSIGN(
        const LstsqResult fit,
        Lstsq(Stack(a, {4, 12, 5}), Stack(b, {4, 12, 2})));
    EXPECT_EQ(fit.rank.ToVector<int64_t>(), std::vector<int64_t>(4, 5));
    EXPECT_EQ(fit.residual_norm.shape(), Shape({4, 2}));
    for (int64_t i = 0; i < 4; ++i) {
      EXPECT_EQ(TestMatrix(fit.x, i).values,
                Lstsq(a[i].ToTensor(), b[i].ToTensor())->x.ToVector<double>());
    }
  }
}

TEST(LstsqTest, NothingToFit) {
  const auto zeros = [](const Shape& shape) {
    return Tensor::Zeros(shape, DType::kF64).value();
  };
  SEPTET_ASSERT_OK_AND_ASSIGN(const LstsqResult no_rows,
                              Lstsq(zeros({0, 3}), zeros({0, 2})));
  EXPECT_EQ(no_rows.x.ToVector<double>(), std::vector<double>(6, 0.0));
  EXPECT_EQ(no_rows.rank.item<int64_t>(), 0);
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const LstsqResult no_columns,
      Lstsq(zeros({2, 0}), Tensor::FromValues<double>({2}, {3, 4}).value()));
  EXPECT_EQ(no_columns.x.shape(), Shape({0}));
  EXPECT_EQ(no_columns.residual_norm.item<double>(), 5);
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const LstsqResult no_sides,
      Lstsq(RandomMatrix(4, 3, 1).ToTensor(), zeros({4, 0})));
  EXPECT_EQ(no_sides.x.shape(), Shape({3, 0}));
  EXPECT_EQ(no_sides.rank.item<int64_t>(), 3);
}

TEST(LstsqTest, Errors) {
  const auto invalid = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  const Tensor a = RandomMatrix(4, 3, 1).ToTensor();
  const Tensor b = RandomMatrix(4, 2, 1).ToTensor();
  EXPECT_THAT(Lstsq(Tensor(), b), invalid("lstsq: a is not given"));
  EXPECT_THAT(Lstsq(a, Tensor()), invalid("lstsq: b is not given"));
  EXPECT_THAT(Lstsq(a, RandomMatrix(3, 2, 1).ToTensor()),
              invalid("lstsq: b is f64 [3, 2], expected f64 [4]"));
  EXPECT_THAT(Lstsq(a.To(DType::kF32).value(), b),
              invalid("lstsq: b is f64 [4, 2], expected f32 [4]"));
  EXPECT_THAT(Lstsq(a, b, {1.0}),
              invalid("lstsq: rcond is 1, expected a number below 1"));
  EXPECT_THAT(Lstsq(a, b, {std::nan("")}), invalid("rcond is nan"));
  TestMatrix bad = RandomMatrix(4, 3, 1);
  bad(3, 0) = std::nan("");
  EXPECT_THAT(Lstsq(bad.ToTensor(), b),
              invalid("lstsq: a[3, 0] is nan, expected finite numbers"));
  bad = RandomMatrix(4, 2, 1);
  bad(0, 1) = std::nan("");
  EXPECT_THAT(Lstsq(a, bad.ToTensor()), invalid("lstsq: b[0, 1] is nan"));
}

}  // namespace
}  // namespace septet
