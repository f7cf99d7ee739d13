// SPDX-License-Identifier: Apache-2.0
#include "septet/core/blas/gemm.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "hwy/targets.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/blas/gemm_impl.h"
#include "septet/core/blas/gemm_kernels.h"
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

// Gemm, or one of its implementations, against the definition.
template <typename T>
void Compare(const GemmShape& s, int64_t pad, const GemmScale& scale,
             std::optional<GemmBackend> backend = std::nullopt) {
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
  if (backend.has_value()) {
    SEPTET_ASSERT_OK(RunGemmBackend(*backend, s, a.data(), lda, b.data(), ldb,
                                    got.data(), ldc, scale));
  } else {
    SEPTET_ASSERT_OK(
        Gemm(s, a.data(), lda, b.data(), ldb, got.data(), ldc, scale));
  }
  SEPTET_ASSERT_OK(
      GemmReference(s, a.data(), lda, b.data(), ldb, want.data(), ldc, scale));
  // Both sums of k products are off by at most k eps/2 times the sum of their
  // magnitudes, however they are ordered, which is at most the product of the
  // norms of the row and the column; scaling by alpha and adding beta C, which
  // is below beta, round thrice more.
  std::vector<double> norm_a(s.m), norm_b(s.n);
  for (int64_t i = 0; i < s.m; ++i) {
    for (int64_t l = 0; l < s.k; ++l) {
      norm_a[i] =
          std::hypot(norm_a[i], a[s.transpose_a ? l * lda + i : i * lda + l]);
    }
  }
  for (int64_t j = 0; j < s.n; ++j) {
    for (int64_t l = 0; l < s.k; ++l) {
      norm_b[j] =
          std::hypot(norm_b[j], b[s.transpose_b ? j * ldb + l : l * ldb + j]);
    }
  }
  for (int64_t i = 0; i < s.m; ++i) {
    for (int64_t j = 0; j < ldc; ++j) {
      const int64_t at = i * ldc + j;
      if (j < s.n) {
        const double tolerance =
            static_cast<double>(s.k + 3) *
            (std::abs(scale.alpha) * norm_a[i] * norm_b[j] +
             std::abs(scale.beta)) *
            std::numeric_limits<T>::epsilon();
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

// So many terms that those of a transposed A are copied in parts, 512 at a
// time.
TYPED_TEST(GemmTest, PartsOfATransposedA) {
  const GemmShape s{2400, 5, 1100, true, false};
  const auto a = Numbers<TypeParam>(s.k * s.m, 1);
  const auto b = Numbers<TypeParam>(s.k * s.n, 2);
  for (const GemmScale scale : {GemmScale{}, GemmScale{2.0, -1.0}}) {
    auto got = Numbers<TypeParam>(s.m * s.n, 3);
    auto want = got;
    SEPTET_ASSERT_OK(RunGemmBackend(GemmBackend::kPacked, s, a.data(), s.m,
                                    b.data(), s.n, got.data(), s.n, scale));
    SEPTET_ASSERT_OK(GemmReference(s, a.data(), s.m, b.data(), s.n, want.data(),
                                   s.n, scale));
    // Norms of rows and columns of numbers below 1 are below sqrt(k).
    const double tolerance = static_cast<double>((s.k + 3) * (s.k + 1)) *
                             std::abs(scale.alpha) *
                             std::numeric_limits<TypeParam>::epsilon();
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_NEAR(got[i], want[i], tolerance) << "at " << i;
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
  // Each large enough to be cut, for every implementation.
  for (const GemmShape& s : std::vector<GemmShape>{
           {1, 3000, 700},
           {3, 2500, 300, true, true},
           {17, 900, 300, false, true},
           {2000, 2, 200},
           {90, 700, 400},
           {301, 517, 130, true, true},
       }) {
    SCOPED_TRACE(::testing::Message() << s.m << "x" << s.n << "x" << s.k);
    const int64_t lda = s.transpose_a ? s.m : s.k;
    const int64_t ldb = s.transpose_b ? s.k : s.n;
    const auto a = Numbers<TypeParam>(s.m * s.k, 1);
    const auto b = Numbers<TypeParam>(s.k * s.n, 2);
    for (const GemmBackend backend : kAllGemmBackends) {
      if (!GemmBackendTakes<TypeParam>(backend, s)) continue;
      std::vector<TypeParam> serial(s.m * s.n);
      SEPTET_ASSERT_OK(RunGemmBackend<TypeParam>(backend, s, a.data(), lda,
                                                 b.data(), ldb, serial.data(),
                                                 s.n, GemmScale{}));
      for (const int threads : {1, 2, 3}) {
        ThreadPool pool(threads);
        ScopedThreadPool scope(&pool);
        std::vector<TypeParam> parallel(s.m * s.n);
        SEPTET_ASSERT_OK(
            RunGemmBackend<TypeParam>(backend, s, a.data(), lda, b.data(), ldb,
                                      parallel.data(), s.n, GemmScale{}));
        EXPECT_EQ(serial, parallel)
            << GemmBackendNameOf(backend) << ", " << threads << " threads";
      }
    }
  }
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

// Extents around the widths of the kernels: a vector of floats or doubles has
// 2 to 16 elements, a panel up to 64 columns, a tile 6 or 8 rows.
constexpr int64_t kExtents[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 67};

// A pseudo-random member of kExtents.
int64_t Extent(uint32_t i, uint32_t stream) {
  return kExtents[Philox4x32({11, stream}, {i, 0, 0, 0})[0] %
                  std::size(kExtents)];
}

// Every implementation on shapes that the table might give to another.
TYPED_TEST(GemmTest, EveryBackendAgreesWithPlainLoops) {
  std::vector<GemmShape> shapes;
  for (uint32_t i = 0; i < 200; ++i) {
    shapes.push_back(
        {Extent(i, 1), Extent(i, 2), Extent(i, 3), (i & 1) != 0, (i & 2) != 0});
  }
  // Longer than what a kernel takes at a time.
  for (int t = 0; t < 4; ++t) {
    const bool ta = (t & 1) != 0;
    const bool tb = (t & 2) != 0;
    shapes.push_back({3, 19, 4111, ta, tb});
    shapes.push_back({7, 70, 1031, ta, tb});
    shapes.push_back({2, 2111, 9, ta, tb});
    shapes.push_back({70, 67, 523, ta, tb});
    shapes.push_back({267, 21, 70, ta, tb});  // a transposed A is copied
  }
  const GemmScale scales[] = {{1.0, 0.0}, {1.0, 1.0}, {0.5, -2.0}, {-1.0, 0.0}};
  int run = 0;
  for (const GemmBackend backend : kAllGemmBackends) {
    for (const GemmShape& s : shapes) {
      if (!GemmBackendTakes<TypeParam>(backend, s)) continue;
      ++run;
      SCOPED_TRACE(::testing::Message()
                   << GemmBackendNameOf(backend) << " " << s.m << "x" << s.n
                   << "x" << s.k << (s.transpose_a ? " T" : " N")
                   << (s.transpose_b ? "T" : "N"));
      Compare<TypeParam>(s, run % 3, scales[run % 4], backend);
    }
  }
  // Each element type has five of the six, of which one takes half the shapes.
  EXPECT_EQ(run, 4 * 220 + 220 / 2);
}

// The kernels for narrower vectors than this machine's, which other machines
// run.
TYPED_TEST(GemmTest, EveryVectorWidthAgreesWithPlainLoops) {
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().DeInit();
    SCOPED_TRACE(hwy::TargetName(target));
    for (const GemmBackend backend :
         {GemmBackend::kRows, GemmBackend::kColumns, GemmBackend::kDirect,
          GemmBackend::kPacked}) {
      for (uint32_t i = 0; i < 40; ++i) {
        const GemmShape s{Extent(i, 4), Extent(i, 5), Extent(i, 6),
                          (i & 1) != 0, (i & 2) != 0};
        if (!GemmBackendTakes<TypeParam>(backend, s)) continue;
        SCOPED_TRACE(::testing::Message() << GemmBackendNameOf(backend) << " "
                                          << s.m << "x" << s.n << "x" << s.k);
        Compare<TypeParam>(s, 1, {0.5, 2.0}, backend);
        Compare<TypeParam>(s, 0, {}, backend);
      }
    }
    Compare<TypeParam>({9, 35, 20}, 1, {});
    // Wide vectors have kernels of their own for everything.
    const bool library =
        std::string(GemmBackendName<TypeParam>({200, 200, 200})) ==
        (std::is_same_v<TypeParam, float> ? "onednn" : "openblas");
    EXPECT_EQ(library, KernelVectorBytes() < 32);
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();
}

// What the name says is what runs: the same bits, where no two implementations
// agree in all.
TYPED_TEST(GemmTest, NamedBackendIsWhatRuns) {
  int distinguished = 0;
  for (const GemmShape& s : std::vector<GemmShape>{
           {1, 300, 700},
           {1, 300, 700, false, true},
           {3, 400, 500},
           {3, 40, 50},
           {20, 40, 700, false, true},
           {40, 3, 700},
           {50, 60, 700},
           {150, 300, 700},
           {150, 300, 700, true, true},
       }) {
    const int64_t lda = s.transpose_a ? s.m : s.k;
    const int64_t ldb = s.transpose_b ? s.k : s.n;
    const auto a = Numbers<TypeParam>(s.m * s.k, 1);
    const auto b = Numbers<TypeParam>(s.k * s.n, 2);
    std::vector<TypeParam> got(s.m * s.n);
    SEPTET_ASSERT_OK(Gemm(s, a.data(), lda, b.data(), ldb, got.data(), s.n));
    bool found = false;
    for (const GemmBackend backend : kAllGemmBackends) {
      if (!GemmBackendTakes<TypeParam>(backend, s)) continue;
      std::vector<TypeParam> other(s.m * s.n);
      SEPTET_ASSERT_OK(RunGemmBackend<TypeParam>(backend, s, a.data(), lda,
                                                 b.data(), ldb, other.data(),
                                                 s.n, GemmScale{}));
      if (std::string(GemmBackendNameOf(backend)) ==
          GemmBackendName<TypeParam>(s)) {
        found = true;
        EXPECT_EQ(got, other) << GemmBackendNameOf(backend);
      } else if (got != other) {
        ++distinguished;
      }
    }
    EXPECT_TRUE(found);
  }
  EXPECT_GE(distinguished, 9);
}

TEST(GemmBackendTest, TableChoosesByTypeShapeAndVectors) {
  EXPECT_STREQ(GemmBackendName<float>({1, 8, 8}), "highway-rows");
  EXPECT_STREQ(GemmBackendName<double>({4, 1024, 1024}), "highway-rows");
  EXPECT_STREQ(GemmBackendName<double>({4, 64, 64, false, true}),
               "highway-rows");
  EXPECT_STREQ(GemmBackendName<double>({8, 1, 64}), "highway-columns");
  EXPECT_STREQ(GemmBackendName<float>({8, 1, 2, true}), "highway-columns");
  if (KernelVectorBytes() < 32) {
    EXPECT_STREQ(GemmBackendName<float>({8, 8, 8}), "onednn");
    EXPECT_STREQ(GemmBackendName<double>({8, 8, 8}), "openblas");
    return;
  }
  EXPECT_STREQ(GemmBackendName<float>({8, 16, 8}), "highway-direct");
  EXPECT_STREQ(GemmBackendName<double>({8, 16, 8}), "highway-direct");
  EXPECT_STREQ(GemmBackendName<float>({8, 16, 8, false, true}),
               "highway-packed");
  EXPECT_STREQ(GemmBackendName<double>({512, 512, 512}), "highway-packed");
  if (KernelVectorBytes() < 64) return;
  EXPECT_STREQ(GemmBackendName<float>({8, 1024, 1024, false, true}),
               "highway-rows");
  EXPECT_STREQ(GemmBackendName<float>({96, 1024, 1024}), "highway-direct");
}

}  // namespace
}  // namespace septet
