// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/reduce_kernels.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "gtest/gtest.h"
#include "septet/core/ops/kernel_testutil.h"

namespace septet {
namespace {

template <typename T>
T Identity(ReduceKind kind) {
  const T inf = std::numeric_limits<T>::infinity();
  return kind == ReduceKind::kSum   ? T{0}
         : kind == ReduceKind::kMax ? -inf
                                    : inf;
}

template <typename T>
T Combine(ReduceKind kind, T a, T b) {
  if (kind == ReduceKind::kSum) return a + b;
  if (a != a) return a;
  if (b != b) return b;
  return kind == ReduceKind::kMax ? (a >= b ? a : b) : (a <= b ? a : b);
}

// Step 4 of the tree, by recursion on the largest power of two below the count.
template <typename T>
T CombineBlocks(ReduceKind kind, const std::vector<T>& blocks, size_t first,
                size_t count) {
  if (count == 1) return blocks[first];
  size_t left = 1;
  while (left * 2 < count) left *= 2;
  return Combine(kind, CombineBlocks(kind, blocks, first, left),
                 CombineBlocks(kind, blocks, first + left, count - left));
}

// The tree that the header describes, element by element.
template <typename T>
T TreeOfRow(ReduceKind kind, const std::vector<T>& x) {
  if (x.empty()) return Identity<T>(kind);
  const size_t lanes = std::is_same<T, float>::value ? 64 : 32;
  std::vector<T> blocks;
  for (size_t begin = 0; begin < x.size(); begin += 32 * lanes) {
    const size_t end = std::min(x.size(), begin + 32 * lanes);
    std::vector<T> lane(lanes, Identity<T>(kind));
    for (size_t i = begin; i < end; ++i) {
      T& target = lane[(i - begin) % lanes];
      target = Combine(kind, target, x[i]);
    }
    for (size_t half = lanes / 2; half >= 1; half /= 2) {
      for (size_t l = 0; l < half; ++l) {
        lane[l] = Combine(kind, lane[l], lane[l + half]);
      }
    }
    blocks.push_back(lane[0]);
  }
  return CombineBlocks(kind, blocks, 0, blocks.size());
}

template <typename T>
T TreeOfColumn(ReduceKind kind, const std::vector<T>& x) {
  if (x.empty()) return Identity<T>(kind);
  std::vector<T> blocks;
  for (size_t begin = 0; begin < x.size(); begin += 32) {
    T total = Identity<T>(kind);
    for (size_t i = begin; i < std::min(x.size(), begin + 32); ++i) {
      total = Combine(kind, total, x[i]);
    }
    blocks.push_back(total);
  }
  return CombineBlocks(kind, blocks, 0, blocks.size());
}

template <typename T>
class ReduceTest : public ::testing::Test {};
using FloatTypes = ::testing::Types<float, double>;
TYPED_TEST_SUITE(ReduceTest, FloatTypes);

TYPED_TEST(ReduceTest, RowsFollowTheTreeBitForBitOnEveryTarget) {
  using T = TypeParam;
  std::vector<int64_t> sizes = TestSizes();
  for (int64_t n : {1023, 1024, 1025, 2047, 2048, 2049, 4097, 7001, 14337}) {
    sizes.push_back(n);
  }
  ForEachTarget([&] {
    TestRandom random(21);
    for (int64_t n : sizes) {
      const int64_t rows = n > 2000 ? 1 : 3;
      GuardedArray<T> x(rows * n, n % 3), out(rows);
      x.FillUniform(&random, -1, 1);
      for (ReduceKind kind : kAllReduceKinds) {
        ReduceKernel(kind, rows, n, 1, x.data(), out.data());
        for (int64_t r = 0; r < rows; ++r) {
          const std::vector<T> row(x.data() + r * n, x.data() + (r + 1) * n);
          ASSERT_TRUE(SameBits(out[r], TreeOfRow(kind, row)))
              << "n " << n << ": " << out[r] << " want "
              << TreeOfRow(kind, row);
        }
        ASSERT_TRUE(out.GuardsAreIntact());
      }
      const std::vector<T> row(x.data(), x.data() + n);
      ASSERT_TRUE(
          SameBits(SumKernel(n, x.data()), TreeOfRow(ReduceKind::kSum, row)));
      std::vector<T> squares(row), products(row);
      for (size_t i = 0; i < row.size(); ++i) {
        squares[i] = row[i] * row[i];
        products[i] = row[i] * x[static_cast<int64_t>(row.size() - 1 - i)];
      }
      std::vector<T> reversed(row.rbegin(), row.rend());
      ASSERT_TRUE(SameBits(SumOfSquaresKernel(n, x.data()),
                           TreeOfRow(ReduceKind::kSum, squares)));
      ASSERT_TRUE(SameBits(DotKernel(n, x.data(), reversed.data()),
                           TreeOfRow(ReduceKind::kSum, products)));
    }
  });
}

TYPED_TEST(ReduceTest, ColumnsFollowTheTreeBitForBitOnEveryTarget) {
  using T = TypeParam;
  ForEachTarget([] {
    TestRandom random(22);
    for (int64_t inner : {2, 3, 7, 16, 17, 33, 255, 513, 1024, 1030}) {
      for (int64_t n : {0, 1, 2, 3, 4, 5, 31, 32, 33, 64, 65, 100, 131}) {
        const int64_t outer = inner < 100 ? 2 : 1;
        GuardedArray<T> x(outer * n * inner, n % 3), out(outer * inner);
        x.FillUniform(&random, -1, 1);
        for (ReduceKind kind : kAllReduceKinds) {
          ReduceKernel(kind, outer, n, inner, x.data(), out.data());
          ASSERT_TRUE(out.GuardsAreIntact());
          for (int64_t o = 0; o < outer; ++o) {
            for (int64_t c = 0; c < inner; ++c) {
              std::vector<T> column;
              for (int64_t i = 0; i < n; ++i) {
                column.push_back(x[(o * n + i) * inner + c]);
              }
              ASSERT_TRUE(
                  SameBits(out[o * inner + c], TreeOfColumn(kind, column)))
                  << "n " << n << " inner " << inner << " column " << c;
            }
          }
        }
        GuardedArray<T> total(inner), sum(inner);
        total.FillUniform(&random, -1, 1);
        const std::vector<T> before = total.ToVector();
        ReduceKernel(ReduceKind::kSum, 1, n, inner, x.data(), sum.data());
        ColumnSumKernel(n, inner, x.data(), total.data());
        for (int64_t c = 0; c < inner; ++c) {
          ASSERT_EQ(total[c], before[static_cast<size_t>(c)] + sum[c]);
        }
        ASSERT_TRUE(total.GuardsAreIntact());
      }
    }
    // One column.
    GuardedArray<T> x(100), total(1);
    x.FillUniform(&random, -1, 1);
    total[0] = T{1};
    ColumnSumKernel(100, 1, x.data(), total.data());
    ASSERT_EQ(total[0], T{1} + TreeOfColumn(ReduceKind::kSum, x.ToVector()));
  });
}

TYPED_TEST(ReduceTest, ErrorStaysSmallOverLongSums) {
  using T = TypeParam;
  TestRandom random(23);
  const int64_t n = 1 << 20;
  std::vector<T> x(n);
  long double want = 0;
  for (T& v : x) {
    v = static_cast<T>(random.Uniform(0, 1));
    want += v;
  }
  const long double eps = std::numeric_limits<T>::epsilon();
  // (38 + log2(n / 2048)) eps / 2 times the sum of absolute values.
  const long double bound = (38 + 9 + 1) * eps / 2 * want;
  EXPECT_LE(std::abs(SumKernel(n, x.data()) - want), bound);
  T sum;
  ReduceKernel(ReduceKind::kSum, 1, n, 1, x.data(), &sum);
  EXPECT_LE(std::abs(sum - want), bound);
  // As [n / 2, 2]: both columns together.
  T columns[2];
  ReduceKernel(ReduceKind::kSum, 1, n / 2, 2, x.data(), columns);
  EXPECT_LE(std::abs(static_cast<long double>(columns[0]) + columns[1] - want),
            bound);
}

TYPED_TEST(ReduceTest, NaNAndInfinities) {
  using T = TypeParam;
  const T inf = std::numeric_limits<T>::infinity();
  const T nan = std::numeric_limits<T>::quiet_NaN();
  ForEachTarget([&] {
    for (int64_t n : {1, 2, 17, 100, 3000}) {
      for (int64_t inner : {1, 2, 5}) {
        std::vector<T> x(static_cast<size_t>(n * inner), -inf);
        std::vector<T> out(static_cast<size_t>(inner));
        ReduceKernel(ReduceKind::kMax, 1, n, inner, x.data(), out.data());
        for (T v : out) EXPECT_EQ(v, -inf);
        // NaN in one column, early or late: only that column is NaN.
        for (int64_t at : {int64_t{0}, n / 2, n - 1}) {
          std::vector<T> y(x.size(), T{1});
          y[static_cast<size_t>(at * inner)] = nan;
          for (ReduceKind kind : kAllReduceKinds) {
            ReduceKernel(kind, 1, n, inner, y.data(), out.data());
            EXPECT_TRUE(std::isnan(out[0])) << n << " " << at;
            for (size_t c = 1; c < out.size(); ++c) {
              EXPECT_FALSE(std::isnan(out[c]));
            }
          }
        }
      }
    }
  });
}

TYPED_TEST(ReduceTest, NothingToReduce) {
  using T = TypeParam;
  T out[3] = {T{5}, T{5}, T{5}};
  ReduceKernel(ReduceKind::kSum, 1, 0, 3, static_cast<const T*>(nullptr), out);
  EXPECT_EQ(out[2], T{0});
  ReduceKernel(ReduceKind::kMax, 3, 0, 1, static_cast<const T*>(nullptr), out);
  EXPECT_EQ(out[0], -std::numeric_limits<T>::infinity());
  EXPECT_EQ(SumKernel(0, static_cast<const T*>(nullptr)), T{0});
  // No output: nothing is written.
  out[0] = T{7};
  ReduceKernel(ReduceKind::kSum, 0, 5, 1, static_cast<const T*>(nullptr), out);
  ReduceKernel(ReduceKind::kSum, 1, 5, 0, static_cast<const T*>(nullptr), out);
  EXPECT_EQ(out[0], T{7});
}

}  // namespace
}  // namespace septet
