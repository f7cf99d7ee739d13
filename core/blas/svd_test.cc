// SPDX-License-Identifier: Apache-2.0
#include "septet/core/blas/svd.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
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

using ::testing::HasSubstr;

TEST(SvdTest, ReconstructsThinAndFull) {
  for (const DType dtype : {DType::kF64, DType::kF32}) {
    const double eps = dtype == DType::kF64 ? 1e-15 : 5e-7;
    for (const auto& [m, n] : std::vector<std::pair<int64_t, int64_t>>{
             {1, 1}, {1, 5}, {5, 1}, {3, 7}, {7, 3}, {16, 16}, {40, 33}}) {
      for (const SvdVectors kind : {SvdVectors::kThin, SvdVectors::kFull}) {
        SCOPED_TRACE(testing::Message() << m << " x " << n);
        const Tensor a = RandomMatrix(m, n, 1).ToTensor(dtype);
        SEPTET_ASSERT_OK_AND_ASSIGN(const SvdResult r, Svd(a, kind));
        const int64_t k = std::min(m, n);
        const bool full = kind == SvdVectors::kFull;
        const int64_t columns = full ? m : k, rows = full ? n : k;
        EXPECT_EQ(r.u.shape(), Shape({m, columns}));
        EXPECT_EQ(r.s.shape(), Shape({k}));
        EXPECT_EQ(r.vt.shape(), Shape({rows, n}));
        EXPECT_EQ(r.u.dtype(), dtype);
        const TestMatrix u(r.u), vt(r.vt);
        const std::vector<double> s = r.s.ToVector<double>();
        const double tolerance = 20 * eps * static_cast<double>(m + n);
        ExpectOrthonormalColumns(u, tolerance);
        ExpectOrthonormalColumns(Transposed(vt), tolerance);
        ExpectMatrixNear(Product(Product(u, Diagonal(s, columns, rows)), vt),
                         TestMatrix(a), tolerance);
        for (int64_t j = 0; j < k; ++j) {
          EXPECT_GE(s[j], 0);
          if (j > 0) {
            EXPECT_GE(s[j - 1], s[j]);
          }
        }
        for (int64_t j = 0; j < columns; ++j) {
          EXPECT_TRUE(HasPositiveLargestEntry(u, j)) << j;
        }
        for (int64_t j = columns; j < rows; ++j) {
          EXPECT_TRUE(HasPositiveLargestEntry(Transposed(vt), j)) << j;
        }
        SEPTET_ASSERT_OK_AND_ASSIGN(const SvdResult alone,
                                    Svd(a, SvdVectors::kNone));
        EXPECT_FALSE(alone.u.defined() || alone.vt.defined());
        for (int64_t j = 0; j < k; ++j) {
          EXPECT_NEAR(alone.s.ToVector<double>()[j], s[j], tolerance);
        }
      }
    }
  }
}

TEST(SvdTest, RankDeficientAndIllConditioned) {
  // Singular values 1, 1e-3, ..., 1e-15, 0, 0.
  const int64_t m = 12, n = 8;
  std::vector<double> s(n, 0.0);
  for (int64_t j = 0; j < 6; ++j) s[j] = std::pow(1e-3, j);
  const TestMatrix u = RandomOrthogonal(m, 1), v = RandomOrthogonal(n, 2);
  const TestMatrix a = Product(Product(u, Diagonal(s, m, n)), Transposed(v));
  SEPTET_ASSERT_OK_AND_ASSIGN(const SvdResult r, Svd(a.ToTensor()));
  for (int64_t j = 0; j < n; ++j) {
    EXPECT_NEAR(r.s.ToVector<double>()[j], s[j], 1e-15);
  }
  ExpectOrthonormalColumns(TestMatrix(r.u), 1e-14);
  // All zero: any bases.
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const SvdResult zero,
      Svd(Tensor::Zeros({3, 5}, DType::kF32).value(), SvdVectors::kFull));
  EXPECT_THAT(zero.s.ToVector<float>(), ::testing::Each(0.0f));
  ExpectOrthonormalColumns(TestMatrix(zero.u), 1e-6);
  ExpectOrthonormalColumns(Transposed(TestMatrix(zero.vt)), 1e-6);
}

TEST(SvdTest, KnownValues) {
  const Tensor a = Tensor::FromValues<double>({2, 2}, {3, 0, 4, 5}).value();
  SEPTET_ASSERT_OK_AND_ASSIGN(const SvdResult r, Svd(a));
  EXPECT_THAT(r.s.ToVector<double>(),
              ::testing::Pointwise(::testing::DoubleNear(1e-14),
                                   {std::sqrt(45.0), std::sqrt(5.0)}));
}

TEST(SvdTest, BatchesAreTheirMatricesAndThreadsChangeNoBit) {
  std::vector<TestMatrix> matrices;
  for (uint32_t i = 0; i < 4; ++i) matrices.push_back(RandomMatrix(9, 14, i));
  const Tensor stack = Stack(matrices, {4, 9, 14});
  for (const int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    SEPTET_ASSERT_OK_AND_ASSIGN(const SvdResult r,
                                Svd(stack, SvdVectors::kFull));
    EXPECT_EQ(r.vt.shape(), Shape({4, 14, 14}));
    for (int64_t i = 0; i < 4; ++i) {
      SEPTET_ASSERT_OK_AND_ASSIGN(
          const SvdResult one, Svd(matrices[i].ToTensor(), SvdVectors::kFull));
      EXPECT_EQ(TestMatrix(r.u, i).values, one.u.ToVector<double>());
      EXPECT_EQ(TestMatrix(r.vt, i).values, one.vt.ToVector<double>());
    }
  }
}

TEST(SvdTest, NothingGivesIdentities) {
  const Tensor a = Tensor::Zeros({2, 3, 0}, DType::kF64).value();
  SEPTET_ASSERT_OK_AND_ASSIGN(const SvdResult thin, Svd(a));
  EXPECT_EQ(thin.u.shape(), Shape({2, 3, 0}));
  EXPECT_EQ(thin.s.shape(), Shape({2, 0}));
  EXPECT_EQ(thin.vt.shape(), Shape({2, 0, 0}));
  SEPTET_ASSERT_OK_AND_ASSIGN(const SvdResult full, Svd(a, SvdVectors::kFull));
  EXPECT_EQ(TestMatrix(full.u, 1).values, Identity(3).values);
  EXPECT_EQ(full.vt.shape(), Shape({2, 0, 0}));
}

TEST(SvdTest, Errors) {
  const auto invalid = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  EXPECT_THAT(Svd(Tensor()), invalid("svd: a is not given"));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Tensor large,
      Tensor::FromValues<float>(Shape({2, 2, 2}),
                                {1, 0, 0, 1, 3e38f, 3e38f, 3e38f, 3e38f}));
  EXPECT_THAT(Svd(large),
              invalid("svd: a[1] has elements so large that its singular "
                      "values overflow f32, expected smaller ones"));
  EXPECT_THAT(Svd(Tensor::Zeros({2, 2}, DType::kI64).value()),
              invalid("svd: a is i64 [2, 2], expected f32 or f64"));
  EXPECT_THAT(Svd(Tensor::Zeros({}, DType::kF32).value()),
              invalid("svd: a is f32 [], expected a matrix"));
  TestMatrix a = RandomMatrix(2, 3, 1);
  a(0, 2) = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(Svd(a.ToTensor()),
              invalid("svd: a[0, 2] is nan, expected finite numbers"));
}

}  // namespace
}  // namespace septet
