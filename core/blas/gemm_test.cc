// SPDX-License-Identifier: Apache-2.0
#include "septet/core/blas/gemm.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
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
void Compare(const GemmShape& s, int64_t pad, const GemmScale& scale) {
  const int64_t lda = (s.transpose_a ? s.m : s.k) + pad;
  const int64_t ldb = (s.transpose_b ? s.k : s.n) + pad;
  const int64_t ldc = s.n + pad;
  const auto a = Numbers<T>((s.transpose_a ? s.k : s.m) * lda, 1);
  const auto b = Numbers<T>((s.transpose_b ? s.n : s.k) * ldb, 2);
  auto got = Numbers<T>(s.m * ldc, 3);
  auto want = got;
  if (scale.beta == 0.0) {
    // What is overwritten may be anything.
    for (int64_t i = 0; i < s.m; ++i) {
      std::fill_n(got.data() + i * ldc, s.n,
                  std::numeric_limits<T>::quiet_NaN());
    }
  }
  SEPTET_ASSERT_OK(
      Gemm(s, a.data(), lda, b.data(), ldb, got.data(), ldc, scale));
  SEPTET_ASSERT_OK(
      GemmReference(s, a.data(), lda, b.data(), ldb, want.data(), ldc, scale));
  // Each of k products and sums is off by at most eps times the sum of
  // magnitudes, which is at most k + 1 here.
  const double tolerance = 4.0 * (s.k + 2) * (s.k + 2) * std::abs(scale.alpha) *
                           std::numeric_limits<T>::epsilon();
  for (int64_t i = 0; i < s.m; ++i) {
    for (int64_t j = 0; j < ldc; ++j) {
      const int64_t at = i * ldc + j;
      if (j < s.n) {
        ASSERT_NEAR(got[at], want[at], tolerance) << "at " << i << ", " << j;
      } else {
        ASSERT_EQ(got[at], want[at]) << "padding was written";
      }
    }
  }
}

template <typename T>
class GemmTest : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(GemmTest, Types);

TYPED_TEST(GemmTest, AgreesWithPlainLoops) {
  for (const int64_t m : {1, 2, 3, 17, 65}) {
    for (const int64_t n : {1, 3, 16, 33}) {
      for (const int64_t k : {1, 2, 31, 64}) {
        for (int transposes = 0; transposes < 4; ++transposes) {
          const GemmShape s{m, n, k, (transposes & 1) != 0,
                            (transposes & 2) != 0};
          SCOPED_TRACE(::testing::Message()
                       << m << "x" << n << "x" << k << " t" << transposes);
          Compare<TypeParam>(s, 0, {});
          Compare<TypeParam>(s, 3, {0.5, 2.0});
        }
      }
    }
  }
}

TYPED_TEST(GemmTest, NothingToAdd) {
  Compare<TypeParam>({3, 4, 0}, 1, {1.0, 0.0});
  Compare<TypeParam>({3, 4, 0}, 1, {1.0, 2.0});
  Compare<TypeParam>({3, 4, 5}, 1, {0.0, 2.0});
  Compare<TypeParam>({0, 4, 5}, 1, {});
  Compare<TypeParam>({3, 0, 5}, 1, {});
}

TYPED_TEST(GemmTest, BitsDoNotDependOnThreads) {
  const GemmShape s{700, 130, 90};
  const auto a = Numbers<TypeParam>(s.m * s.k, 1);
  const auto b = Numbers<TypeParam>(s.k * s.n, 2);
  std::vector<TypeParam> serial(s.m * s.n);
  std::vector<TypeParam> parallel(s.m * s.n);
  SEPTET_ASSERT_OK(Gemm(s, a.data(), s.k, b.data(), s.n, serial.data(), s.n));
  ThreadPool pool(3);
  ScopedThreadPool scope(&pool);
  SEPTET_ASSERT_OK(Gemm(s, a.data(), s.k, b.data(), s.n, parallel.data(), s.n));
  EXPECT_EQ(serial, parallel);
}

// Batches against Gemm of each matrix, for the same bits; what lies between the
// matrices of C is not touched.
TYPED_TEST(GemmTest, BatchedIsGemmOfEach) {
  struct Case {
    GemmShape shape;
    int64_t count;
    bool repeat_a;
    bool repeat_b;
  };
  const Case cases[] = {
      {{5, 7, 3}, 4, false, false},
      {{5, 7, 3, true, true}, 4, false, false},
      {{17, 16, 33}, 3, true, false},
      {{64, 64, 64, false, true}, 9, false, true},
      {{1, 31, 8, true, false}, 5, true, true},
      {{6, 1, 9}, 1, false, false},
      {{3, 4, 0}, 2, false, false},
      {{0, 4, 5}, 3, false, false},
      {{3, 4, 5}, 0, false, false},
  };
  for (const Case& test : cases) {
    const GemmShape& s = test.shape;
    SCOPED_TRACE(::testing::Message()
                 << test.count << " of " << s.m << "x" << s.n << "x" << s.k);
    const int64_t lda = (s.transpose_a ? s.m : s.k) + 1;
    const int64_t ldb = (s.transpose_b ? s.k : s.n) + 2;
    const int64_t ldc = s.n + 3;
    GemmBatch batch;
    batch.count = test.count;
    batch.stride_a = test.repeat_a ? 0 : (s.transpose_a ? s.k : s.m) * lda + 5;
    batch.stride_b = test.repeat_b ? 0 : (s.transpose_b ? s.n : s.k) * ldb;
    batch.stride_c = s.m * ldc + 1;
    const auto a = Numbers<TypeParam>(
        test.count * batch.stride_a + (s.m + s.k + 1) * lda, 1);
    const auto b = Numbers<TypeParam>(
        test.count * batch.stride_b + (s.n + s.k + 1) * ldb, 2);
    for (const GemmScale scale : {GemmScale{}, GemmScale{0.5, -2.0}}) {
      auto got = Numbers<TypeParam>(test.count * batch.stride_c, 3);
      auto want = got;
      SEPTET_ASSERT_OK(GemmBatched(s, batch, a.data(), lda, b.data(), ldb,
                                   got.data(), ldc, scale));
      for (int64_t i = 0; i < test.count; ++i) {
        SEPTET_ASSERT_OK(Gemm(s, a.data() + i * batch.stride_a, lda,
                              b.data() + i * batch.stride_b, ldb,
                              want.data() + i * batch.stride_c, ldc, scale));
      }
      EXPECT_EQ(got, want);
      for (const int threads : {2, 3}) {
        auto parallel = Numbers<TypeParam>(test.count * batch.stride_c, 3);
        ThreadPool pool(threads);
        ScopedThreadPool scope(&pool);
        SEPTET_ASSERT_OK(GemmBatched(s, batch, a.data(), lda, b.data(), ldb,
                                     parallel.data(), ldc, scale));
        EXPECT_EQ(parallel, want);
      }
    }
  }
}

TYPED_TEST(GemmTest, BatchedRefusesBadBatches) {
  TypeParam x[16] = {};
  EXPECT_THAT(GemmBatched({2, 2, 2}, {-1, 4, 4, 4}, x, 2, x, 2, x, 2),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("batch count is -1")));
  EXPECT_THAT(
      GemmBatched({2, 2, 2}, {2, 4, -4, 4}, x, 2, x, 2, x, 2),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("stride_b -4")));
  EXPECT_THAT(GemmBatched({2, 2, 2}, {2, 4, 4, 3}, x, 2, x, 2, x, 2),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("stride_c is 3, expected at least 4")));
  EXPECT_THAT(GemmBatched({2, 2, 3}, {2, 4, 4, 4}, x, 2, x, 2, x, 2),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("lda is 2, expected at least 3")));
}

TYPED_TEST(GemmTest, RefusesBadSizes) {
  TypeParam x[4] = {};
  EXPECT_THAT(
      Gemm({-1, 2, 2}, x, 2, x, 2, x, 2),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("m is -1")));
  EXPECT_THAT(Gemm({2, 2, 3}, x, 2, x, 2, x, 2),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("lda is 2, expected at least 3")));
  EXPECT_THAT(Gemm({2, 3, 2}, x, 2, x, 2, x, 3),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("ldb is 2, expected at least 3")));
  EXPECT_THAT(Gemm({2, 3, 2, false, true}, x, 2, x, 2, x, 2),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("ldc is 2, expected at least 3")));
}

TEST(GemmBackendTest, TableChoosesByTypeAndShape) {
  EXPECT_STREQ(GemmBackendName<float>({8, 8, 8}), "onednn");
  EXPECT_STREQ(GemmBackendName<double>({8, 8, 8}), "openblas");
  EXPECT_STREQ(GemmBackendName<float>({1, 8, 8}), "openblas-gemv");
  EXPECT_STREQ(GemmBackendName<double>({8, 1, 8}), "openblas-gemv");
}

}  // namespace
}  // namespace septet
