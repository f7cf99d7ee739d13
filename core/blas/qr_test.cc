// SPDX-License-Identifier: Apache-2.0
#include "septet/core/blas/qr.h"

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

// The columns of a in the order of `perm`.
TestMatrix Permuted(const TestMatrix& a, const std::vector<int64_t>& perm) {
  TestMatrix p(a.rows, a.cols);
  for (int64_t i = 0; i < a.rows; ++i) {
    for (int64_t j = 0; j < a.cols; ++j) p(i, j) = a(i, perm[j]);
  }
  return p;
}

TEST(QrTest, ReconstructsInAllForms) {
  for (const DType dtype : {DType::kF64, DType::kF32}) {
    const double eps = dtype == DType::kF64 ? 1e-15 : 5e-7;
    for (const auto& [m, n] : std::vector<std::pair<int64_t, int64_t>>{
             {1, 1}, {1, 4}, {4, 1}, {3, 7}, {7, 3}, {20, 20}, {50, 37}}) {
      for (const bool full : {false, true}) {
        for (const bool pivot : {false, true}) {
          SCOPED_TRACE(testing::Message() << m << " x " << n);
          const Tensor a = RandomMatrix(m, n, 1).ToTensor(dtype);
          SEPTET_ASSERT_OK_AND_ASSIGN(const QrResult f, Qr(a, {full, pivot}));
          const int64_t k = std::min(m, n), columns = full ? m : k;
          EXPECT_EQ(f.q.shape(), Shape({m, columns}));
          EXPECT_EQ(f.r.shape(), Shape({columns, n}));
          EXPECT_EQ(f.perm.defined(), pivot);
          const TestMatrix q(f.q), r(f.r);
          const double tolerance = 10 * eps * static_cast<double>(m + n);
          ExpectOrthonormalColumns(q, tolerance);
          TestMatrix want(a);
          if (pivot) want = Permuted(want, f.perm.ToVector<int64_t>());
          ExpectMatrixNear(Product(q, r), want, tolerance);
          for (int64_t i = 0; i < columns; ++i) {
            if (i < k) {
              EXPECT_GE(r(i, i), 0);
            }
            if (i >= k) {
              EXPECT_TRUE(HasPositiveLargestEntry(q, i));
            }
            if (pivot && i > 0 && i < k) {
              EXPECT_LE(r(i, i), r(i - 1, i - 1) * (1 + 10 * eps));
            }
            for (int64_t j = 0; j < std::min(i, n); ++j) EXPECT_EQ(r(i, j), 0);
          }
        }
      }
    }
  }
}

TEST(QrTest, OrthogonalInputIsItsOwnFactor) {
  // Unique, as the diagonal of R is positive.
  const TestMatrix q = RandomOrthogonal(8, 3);
  SEPTET_ASSERT_OK_AND_ASSIGN(const QrResult f, Qr(q.ToTensor()));
  ExpectMatrixNear(TestMatrix(f.q), q, 1e-14);
  ExpectMatrixNear(TestMatrix(f.r), Identity(8), 1e-14);
}

TEST(QrTest, PivotingShowsTheRank) {
  const TestMatrix a = Product(RandomMatrix(9, 3, 1), RandomMatrix(3, 7, 2));
  SEPTET_ASSERT_OK_AND_ASSIGN(const QrResult f,
                              Qr(a.ToTensor(), {false, true}));
  const TestMatrix r(f.r);
  EXPECT_GT(r(2, 2), 1e-2);
  for (int64_t i = 3; i < 7; ++i) EXPECT_LT(r(i, i), 1e-14);
  std::vector<int64_t> perm = f.perm.ToVector<int64_t>();
  std::sort(perm.begin(), perm.end());
  EXPECT_THAT(perm, ::testing::ElementsAre(0, 1, 2, 3, 4, 5, 6));
}

TEST(QrTest, BatchesAreTheirMatricesAndThreadsChangeNoBit) {
  std::vector<TestMatrix> matrices;
  for (uint32_t i = 0; i < 4; ++i) matrices.push_back(RandomMatrix(13, 9, i));
  const Tensor stack = Stack(matrices, {2, 2, 13, 9});
  for (const int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    SEPTET_ASSERT_OK_AND_ASSIGN(const QrResult f, Qr(stack, {true, true}));
    EXPECT_EQ(f.perm.shape(), Shape({2, 2, 9}));
    for (int64_t i = 0; i < 4; ++i) {
      SEPTET_ASSERT_OK_AND_ASSIGN(const QrResult one,
                                  Qr(matrices[i].ToTensor(), {true, true}));
      EXPECT_EQ(TestMatrix(f.q, i).values, one.q.ToVector<double>());
      EXPECT_EQ(TestMatrix(f.r, i).values, one.r.ToVector<double>());
    }
  }
}

TEST(QrTest, NothingGivesIdentities) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const QrResult tall,
      Qr(Tensor::Zeros({3, 0}, DType::kF64).value(), {true, true}));
  EXPECT_EQ(tall.q.ToVector<double>(), Identity(3).values);
  EXPECT_EQ(tall.r.shape(), Shape({3, 0}));
  EXPECT_EQ(tall.perm.shape(), Shape({0}));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const QrResult wide,
      Qr(Tensor::Zeros({0, 2}, DType::kF64).value(), {false, true}));
  EXPECT_EQ(wide.q.shape(), Shape({0, 0}));
  EXPECT_EQ(wide.r.shape(), Shape({0, 2}));
  EXPECT_THAT(wide.perm.ToVector<int64_t>(), ::testing::ElementsAre(0, 1));
}

TEST(QrTest, Errors) {
  const auto invalid = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  EXPECT_THAT(Qr(Tensor()), invalid("qr: a is not given"));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      const Tensor large,
      Tensor::FromValues<float>(Shape({2, 2, 2}),
                                {1, 0, 0, 1, 3e38f, 3e38f, 3e38f, 3e38f}));
  EXPECT_THAT(Qr(large),
              invalid("qr: a[1] has elements so large that lengths of its "
                      "columns overflow f32, expected smaller ones"));
  EXPECT_THAT(Qr(Tensor::Zeros({2, 2}, DType::kBool).value()),
              invalid("qr: a is bool [2, 2], expected f32 or f64"));
  EXPECT_THAT(Qr(Tensor::Zeros({2}, DType::kF64).value()),
              invalid("qr: a is f64 [2], expected a matrix"));
  TestMatrix a = RandomMatrix(2, 3, 1);
  a(1, 0) = std::numeric_limits<double>::infinity();
  EXPECT_THAT(Qr(a.ToTensor()),
              invalid("qr: a[1, 0] is inf, expected finite numbers"));
}

}  // namespace
}  // namespace septet
