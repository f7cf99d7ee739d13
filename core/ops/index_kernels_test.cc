// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/index_kernels.h"

#include <cstdint>
#include <vector>

#include "gtest/gtest.h"
#include "septet/core/ops/kernel_testutil.h"
#include "septet/core/ops/store_mode.h"

namespace septet {
namespace {

// The tree of the header: blocks of 32 one after the other, then in pairs.
template <typename T>
T TreeSum(const std::vector<T>& terms) {
  std::vector<T> blocks;
  for (size_t begin = 0; begin < terms.size(); begin += 32) {
    T sum = 0;
    for (size_t i = begin; i < terms.size() && i < begin + 32; ++i) {
      sum += terms[i];
    }
    blocks.push_back(sum);
  }
  // Whole pairs of pairs first, as binary digits; what is left over last.
  std::vector<T> waiting;
  for (size_t k = 0; k < blocks.size(); ++k) {
    T value = blocks[k];
    for (size_t bits = k; bits % 2 == 1; bits /= 2) {
      value = waiting.back() + value;
      waiting.pop_back();
    }
    waiting.push_back(value);
  }
  if (waiting.empty()) return T(0);
  T total = waiting.back();
  for (size_t k = waiting.size() - 1; k > 0; --k)
    total = waiting[k - 1] + total;
  return total;
}

template <typename T>
void ExpectTreeSums() {
  TestRandom random(1);
  constexpr int64_t kRows = 5;
  // One sum of each length.
  const std::vector<int64_t> lengths = {0,  1,  2,  0,  31,  1, 32,
                                        33, 64, 65, 97, 300, 1};
  const auto count = static_cast<int64_t>(lengths.size());
  std::vector<int64_t> starts = {0};
  for (const int64_t length : lengths) {
    starts.push_back(starts.back() + length);
  }
  std::vector<int64_t> order;
  for (int64_t k = 0; k < starts.back(); ++k) {
    order.push_back(random.Below(kRows));
  }
  for (const int64_t n : {1, 2, 3, 7, 8, 15, 16, 17, 63, 64, 65, 130}) {
    GuardedArray<T> x(kRows * n);
    x.FillUniform(&random, -1, 1);
    for (const StoreMode mode : {StoreMode::kCached, StoreMode::kStreaming}) {
      GuardedArray<T> y(count * n, 3);
      SumRowsKernel(count, starts.data(), order.data(), n, x.data(), y.data(),
                    mode);
      EXPECT_TRUE(y.GuardsAreIntact());
      for (int64_t e = 0; e < count * n; ++e) {
        std::vector<T> terms;
        for (int64_t k = starts[e / n]; k < starts[e / n + 1]; ++k) {
          terms.push_back(x[order[k] * n + e % n]);
        }
        ASSERT_TRUE(SameBits(y[e], TreeSum(terms)))
            << "column " << e % n << " of " << n << ", " << terms.size()
            << " rows";
      }
    }
  }
  SumRowsKernel(0, starts.data(), order.data(), 3, static_cast<T*>(nullptr),
                static_cast<T*>(nullptr), StoreMode::kCached);
}

template <typename I>
void ExpectCopies() {
  TestRandom random(2);
  for (const int64_t n : {1, 3, 4, 15, 16, 17, 33, 3000}) {
    for (const int64_t count : {0, 1, 7}) {
      GuardedArray<uint32_t> x(5 * n);
      for (int64_t i = 0; i < 5 * n; ++i) {
        x[i] = static_cast<uint32_t>(random.Next());
      }
      std::vector<I> rows;
      for (int64_t k = 0; k < count; ++k) {
        rows.push_back(static_cast<I>(random.Below(5)));
      }
      for (const StoreMode mode : {StoreMode::kCached, StoreMode::kStreaming}) {
        GuardedArray<uint32_t> y(count * n, 5);
        CopyRowsKernel(count, rows.data(), n, x.data(), y.data(), mode);
        EXPECT_TRUE(y.GuardsAreIntact());
        for (int64_t e = 0; e < count * n; ++e) {
          ASSERT_EQ(y[e], x[rows[e / n] * n + e % n]);
        }
      }
    }
  }
}

TEST(IndexKernelsTest, SumsFollowTheTreeOnEveryTarget) {
  ForEachTarget([] {
    ExpectTreeSums<float>();
    ExpectTreeSums<double>();
  });
}

TEST(IndexKernelsTest, CopiesOnEveryTarget) {
  ForEachTarget([] {
    ExpectCopies<int32_t>();
    ExpectCopies<int64_t>();
  });
}

}  // namespace
}  // namespace septet
