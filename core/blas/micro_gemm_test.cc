// SPDX-License-Identifier: Apache-2.0
// Every vector target against plain loops: sizes around every tile, any
// strides of A, guards, and what is promised of the bits.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "septet/core/blas/micro_gemm_probe.h"
#include "septet/core/ops/kernel_testutil.h"

namespace septet {
namespace {

template <typename T>
class MicroGemmTest : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(MicroGemmTest, Types);

struct Problem {
  int64_t m, n, k;
  int64_t pad;  // of every row
  bool transpose_a;
  bool accumulate;
};

template <typename T>
void CheckProblem(const Problem& p) {
  SCOPED_TRACE(testing::Message()
               << "m " << p.m << " n " << p.n << " k " << p.k << " pad "
               << p.pad << " transpose_a " << p.transpose_a << " accumulate "
               << p.accumulate);
  TestRandom random(static_cast<uint64_t>(p.m * 7919 + p.n * 104729 + p.k));
  const int64_t a_length = p.transpose_a ? p.m : p.k;
  const int64_t lda = a_length + p.pad;
  const int64_t ldb = p.n + p.pad;
  const int64_t ldc = p.n + 2 * p.pad;
  GuardedArray<T> a((p.transpose_a ? p.k : p.m) * lda), b(p.k * ldb),
      c(p.m * ldc);
  a.FillUniform(&random, -1, 1);
  b.FillUniform(&random, -1, 1);
  c.FillUniform(&random, -1, 1);
  const std::vector<T> before = c.ToVector();
  const size_t a_row = static_cast<size_t>(p.transpose_a ? 1 : lda);
  const size_t a_column = static_cast<size_t>(p.transpose_a ? lda : 1);
  MicroGemmProbe(static_cast<size_t>(p.m), static_cast<size_t>(p.n),
                 static_cast<size_t>(p.k), a.data(), a_row, a_column, b.data(),
                 static_cast<size_t>(ldb), c.data(), static_cast<size_t>(ldc),
                 p.accumulate);
  EXPECT_TRUE(c.GuardsAreIntact());
  for (int64_t i = 0; i < p.m; ++i) {
    for (int64_t j = 0; j < ldc; ++j) {
      const T old = before[static_cast<size_t>(i * ldc + j)];
      if (j >= p.n) {
        ASSERT_EQ(c[i * ldc + j], old) << "padding of row " << i;
        continue;
      }
      double want = p.accumulate ? static_cast<double>(old) : 0.0;
      double size = std::abs(want);
      for (int64_t q = 0; q < p.k; ++q) {
        const double term =
            static_cast<double>(a[i * static_cast<int64_t>(a_row) +
                                  q * static_cast<int64_t>(a_column)]) *
            static_cast<double>(b[q * ldb + j]);
        want += term;
        size += std::abs(term);
      }
      // Every step of the chain rounds once (twice without fused operations).
      const double tolerance = 2.0 * static_cast<double>(p.k + 1) *
                               std::numeric_limits<T>::epsilon() * size;
      ASSERT_LE(std::abs(static_cast<double>(c[i * ldc + j]) - want), tolerance)
          << "element " << i << ", " << j;
    }
  }
}

TYPED_TEST(MicroGemmTest, MatchesPlainLoopsForEveryShape) {
  ForEachTarget([] {
    // Rows: 6, 8 and what they leave over; columns: lanes of every target.
    for (const int64_t m : {1, 2, 3, 5, 6, 7, 8, 13, 17}) {
      for (const int64_t n : {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 47,
                              49, 63, 64, 65, 80}) {
        CheckProblem<TypeParam>({m, n, 5, (m + n) % 3, n % 2 == 0, m % 2 == 0});
      }
    }
    for (const int64_t k : {0, 1, 2, 3, 4, 64, 101}) {
      for (const bool accumulate : {false, true}) {
        CheckProblem<TypeParam>({7, 33, k, 0, false, accumulate});
        CheckProblem<TypeParam>({6, 64, k, 1, true, accumulate});
      }
    }
    CheckProblem<TypeParam>({0, 5, 3, 0, false, false});
    CheckProblem<TypeParam>({5, 0, 3, 1, false, false});
    CheckProblem<TypeParam>({64, 64, 128, 0, false, false});
  });
}

TYPED_TEST(MicroGemmTest, BitsDoNotDependOnHowTheProductIsCut) {
  using T = TypeParam;
  constexpr size_t kM = 19, kN = 71, kK = 23;
  TestRandom random(1);
  GuardedArray<T> a(kM * kK), b(kK * kN);
  a.FillUniform(&random, -1, 1);
  b.FillUniform(&random, -1, 1);
  ForEachTarget([&] {
    std::vector<T> whole(kM * kN), parts(kM * kN);
    MicroGemmProbe(kM, kN, kK, a.data(), kK, 1, b.data(), kN, whole.data(), kN,
                   false);
    for (size_t i = 0; i < kM; ++i) {
      for (const auto& [begin, end] :
           {std::pair<size_t, size_t>{0, 3}, {3, 40}, {40, kN}}) {
        MicroGemmProbe(1, end - begin, 9, a.data() + i * kK, kK, 1,
                       b.data() + begin, kN, parts.data() + i * kN + begin, kN,
                       false);
        MicroGemmProbe(1, end - begin, kK - 9, a.data() + i * kK + 9, kK, 1,
                       b.data() + 9 * kN + begin, kN,
                       parts.data() + i * kN + begin, kN, true);
      }
    }
    for (size_t i = 0; i < whole.size(); ++i) {
      ASSERT_TRUE(SameBits(whole[i], parts[i])) << "element " << i;
    }
  });
}

TYPED_TEST(MicroGemmTest, OverwritingDoesNotReadC) {
  std::vector<TypeParam> a(6 * 4, 1), b(4 * 64, 1);
  ForEachTarget([&] {
    std::vector<TypeParam> c(6 * 64,
                             std::numeric_limits<TypeParam>::quiet_NaN());
    MicroGemmProbe(6, 64, 4, a.data(), 4, 1, b.data(), 64, c.data(), 64, false);
    for (const TypeParam value : c) ASSERT_EQ(value, 4);
  });
}

TYPED_TEST(MicroGemmTest, PackTransposedIsTheScaledTranspose) {
  using T = TypeParam;
  ForEachTarget([] {
    for (const int64_t rows : {0, 1, 3, 4, 5, 8, 15, 16, 17, 33, 64}) {
      for (const int64_t columns : {1, 2, 3, 4, 5, 7, 16, 31}) {
        SCOPED_TRACE(testing::Message() << rows << " x " << columns);
        const int64_t from_row = columns + 3;
        const int64_t to_row = rows + 2;
        TestRandom random(static_cast<uint64_t>(rows * 100 + columns));
        GuardedArray<T> from(rows * from_row), to(columns * to_row);
        from.FillUniform(&random, -1, 1);
        to.FillUniform(&random, -1, 1);
        const std::vector<T> before = to.ToVector();
        PackTransposedProbe(static_cast<size_t>(rows),
                            static_cast<size_t>(columns), from.data(),
                            static_cast<size_t>(from_row), T{3}, to.data(),
                            static_cast<size_t>(to_row));
        EXPECT_TRUE(to.GuardsAreIntact());
        for (int64_t j = 0; j < columns; ++j) {
          for (int64_t i = 0; i < to_row; ++i) {
            const T want = i < rows
                               ? T{3} * from[i * from_row + j]
                               : before[static_cast<size_t>(j * to_row + i)];
            ASSERT_EQ(to[j * to_row + i], want) << i << ", " << j;
          }
        }
      }
    }
  });
}

}  // namespace
}  // namespace septet
