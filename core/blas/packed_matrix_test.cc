// SPDX-License-Identifier: Apache-2.0
#include "septet/core/blas/packed_matrix.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/blas/gemm.h"
#include "septet/core/blas/gemm_impl.h"
#include "septet/core/random/philox.h"

namespace septet {
namespace {

using ::testing::HasSubstr;

template <typename T>
std::vector<T> Numbers(int64_t n, uint32_t stream) {
  std::vector<T> values(n);
  for (int64_t i = 0; i < n; ++i) {
    const auto words =
        Philox4x32({7, stream}, {static_cast<uint32_t>(i), 0, 0, 0});
    values[i] = static_cast<T>(words[0] * 0x1p-32 * 2 - 1);
  }
  return values;
}

template <typename T>
class PackedMatrixTest : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(PackedMatrixTest, Types);

TYPED_TEST(PackedMatrixTest, AgreesWithGemm) {
  using T = TypeParam;
  for (const int64_t k : {1, 3, 64, 600}) {
    for (const int64_t n : {1, 5, 31, 64, 65, 150}) {
      for (const bool transpose_b : {false, true}) {
        const int64_t ldb = (transpose_b ? k : n) + 2;
        const auto b = Numbers<T>((transpose_b ? n : k) * ldb, 1);
        SEPTET_ASSERT_OK_AND_ASSIGN(
            const auto packed,
            PackedMatrix<T>::Create(k, n, b.data(), ldb, transpose_b));
        EXPECT_EQ(packed.k(), k);
        EXPECT_EQ(packed.n(), n);
        for (const int64_t m : {1, 2, 7, 8, 33}) {
          for (const bool transpose_a : {false, true}) {
            for (const GemmScale scale :
                 {GemmScale{}, GemmScale{-0.5, 2.0}, GemmScale{1.0, 1.0}}) {
              SCOPED_TRACE(::testing::Message() << m << "x" << n << "x" << k
                                                << (transpose_a ? " T" : " N")
                                                << (transpose_b ? "T" : "N"));
              const int64_t lda = (transpose_a ? m : k) + 1;
              const int64_t ldc = n + 3;
              const auto a = Numbers<T>((transpose_a ? k : m) * lda, 2);
              auto got = Numbers<T>(m * ldc, 3);
              auto want = got;
              if (scale.beta == 0.0) {
                for (int64_t i = 0; i < m; ++i) {
                  for (int64_t j = 0; j < n; ++j) {
                    got[i * ldc + j] = std::numeric_limits<T>::quiet_NaN();
                  }
                }
              }
              SEPTET_ASSERT_OK(packed.Multiply(m, a.data(), lda, got.data(),
                                               ldc, {transpose_a, scale}));
              SEPTET_ASSERT_OK(Gemm({m, n, k, transpose_a, transpose_b},
                                    a.data(), lda, b.data(), ldb, want.data(),
                                    ldc, scale));
              // Both off by at most k eps/2 times the sum of magnitudes, at
              // most k + 2, and the roundings of scaling.
              const double tolerance = static_cast<double>((k + 3) * (k + 2)) *
                                       std::numeric_limits<T>::epsilon();
              for (int64_t i = 0; i < m * ldc; ++i) {
                if (i % ldc < n) {
                  ASSERT_NEAR(got[i], want[i], tolerance) << "at " << i;
                } else {
                  ASSERT_EQ(got[i], want[i]) << "padding was written";
                }
              }
            }
          }
        }
      }
    }
  }
}

TYPED_TEST(PackedMatrixTest, HasTheBitsOfTheSameKernelUnpacked) {
  using T = TypeParam;
  const int64_t m = 40, n = 90, k = 700;
  const auto a = Numbers<T>(m * k, 1);
  const auto b = Numbers<T>(k * n, 2);
  std::vector<T> got(m * n), want(m * n);
  SEPTET_ASSERT_OK_AND_ASSIGN(const auto packed,
                              PackedMatrix<T>::Create(k, n, b.data(), n));
  SEPTET_ASSERT_OK(packed.Multiply(m, a.data(), k, got.data(), n));
  for (const GemmBackend backend :
       {GemmBackend::kDirect, GemmBackend::kPacked}) {
    SEPTET_ASSERT_OK(RunGemmBackend<T>(backend, {m, n, k}, a.data(), k,
                                       b.data(), n, want.data(), n, {}));
    EXPECT_EQ(got, want) << GemmBackendNameOf(backend);
  }
}

TYPED_TEST(PackedMatrixTest, BitsDoNotDependOnThreads) {
  using T = TypeParam;
  const int64_t m = 130, n = 500, k = 300;
  const auto a = Numbers<T>(m * k, 1);
  const auto b = Numbers<T>(k * n, 2);
  std::vector<T> serial(m * n);
  SEPTET_ASSERT_OK_AND_ASSIGN(const auto packed,
                              PackedMatrix<T>::Create(k, n, b.data(), n));
  SEPTET_ASSERT_OK(packed.Multiply(m, a.data(), k, serial.data(), n));
  for (const int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    ScopedThreadPool scope(&pool);
    std::vector<T> parallel(m * n);
    SEPTET_ASSERT_OK_AND_ASSIGN(const auto again,
                                PackedMatrix<T>::Create(k, n, b.data(), n));
    SEPTET_ASSERT_OK(again.Multiply(m, a.data(), k, parallel.data(), n));
    EXPECT_EQ(serial, parallel);
  }
}

TYPED_TEST(PackedMatrixTest, ManyThreadsMayUseOneMatrixAndItsCopies) {
  using T = TypeParam;
  const int64_t m = 9, n = 70, k = 40;
  const auto a = Numbers<T>(m * k, 1);
  const auto b = Numbers<T>(k * n, 2);
  std::vector<T> want(m * n);
  PackedMatrix<T> copy;
  {
    SEPTET_ASSERT_OK_AND_ASSIGN(const auto packed,
                                PackedMatrix<T>::Create(k, n, b.data(), n));
    SEPTET_ASSERT_OK(packed.Multiply(m, a.data(), k, want.data(), n));
    copy = packed;  // outlives what it was copied from
  }
  std::vector<std::vector<T>> got(8, std::vector<T>(m * n));
  ThreadPool pool(3);
  ParallelFor(&pool, 8, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      SEPTET_EXPECT_OK(copy.Multiply(m, a.data(), k, got[i].data(), n));
    }
  });
  for (const auto& one : got) EXPECT_EQ(one, want);
}

TYPED_TEST(PackedMatrixTest, NothingToAdd) {
  using T = TypeParam;
  const std::vector<T> x(12, T{1});
  std::vector<T> c(6, T{3});
  SEPTET_ASSERT_OK_AND_ASSIGN(const auto no_terms,
                              PackedMatrix<T>::Create(0, 3, nullptr, 3));
  SEPTET_ASSERT_OK(
      no_terms.Multiply(2, x.data(), 1, c.data(), 3, {false, {1.0, 2.0}}));
  EXPECT_EQ(c, std::vector<T>(6, T{6}));
  SEPTET_ASSERT_OK(no_terms.Multiply(2, x.data(), 1, c.data(), 3));
  EXPECT_EQ(c, std::vector<T>(6, T{0}));
  SEPTET_ASSERT_OK_AND_ASSIGN(const auto no_columns,
                              PackedMatrix<T>::Create(4, 0, nullptr, 1));
  SEPTET_ASSERT_OK(no_columns.Multiply(3, x.data(), 4, c.data(), 1));
  SEPTET_ASSERT_OK_AND_ASSIGN(const auto packed,
                              PackedMatrix<T>::Create(4, 3, x.data(), 3));
  SEPTET_ASSERT_OK(packed.Multiply(0, x.data(), 4, c.data(), 3));
  EXPECT_EQ(c, std::vector<T>(6, T{0}));
  c.assign(6, T{5});
  SEPTET_ASSERT_OK(
      packed.Multiply(2, x.data(), 4, c.data(), 3, {false, {0.0, 1.0}}));
  EXPECT_EQ(c, std::vector<T>(6, T{5}));
}

TYPED_TEST(PackedMatrixTest, Errors) {
  using T = TypeParam;
  T x[16] = {};
  EXPECT_THAT(PackedMatrix<T>::Create(-1, 2, x, 2).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("gemm: m is 0, n 2, k -1")));
  EXPECT_THAT(PackedMatrix<T>::Create(2, 3, x, 2).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("ldb is 2, expected at least 3")));
  EXPECT_THAT(PackedMatrix<T>::Create(int64_t{1} << 31, 1, x, 1).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("above 2^31 - 1")));
  SEPTET_ASSERT_OK_AND_ASSIGN(const auto packed,
                              PackedMatrix<T>::Create(2, 3, x, 3));
  EXPECT_THAT(packed.Multiply(2, x, 1, x, 3),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("lda is 1, expected at least 2")));
  EXPECT_THAT(packed.Multiply(2, x, 2, x, 2),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("ldc is 2, expected at least 3")));
  EXPECT_THAT(
      packed.Multiply(-2, x, 2, x, 3),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("m is -2")));
}

}  // namespace
}  // namespace septet
