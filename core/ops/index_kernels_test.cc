// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/index_kernels.h"

#include <cstdint>
#include <vector>

#include "gtest/gtest.h"
#include "septet/core/ops/kernel_testutil.h"

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
  for (const int64_t n : {1, 2, 3, 7, 8, 15, 16, 17, 63, 64, 65, 130}) {
    const int64_t pitch = n + 3;
    GuardedArray<T> x(kRows * pitch);
    x.FillUniform(&random, -1, 1);
    for (const int64_t count : {0, 1, 2, 31, 32, 33, 64, 65, 97, 300}) {
      std::vector<int64_t> rows;
      for (int64_t k = 0; k < count; ++k) rows.push_back(random.Below(kRows));
      GuardedArray<T> out(n);
      SumRowsKernel(count, rows.data(), pitch, n, x.data(), out.data());
      EXPECT_TRUE(out.GuardsAreIntact());
      for (int64_t j = 0; j < n; ++j) {
        std::vector<T> terms;
        for (const int64_t row : rows) terms.push_back(x[row * pitch + j]);
        ASSERT_TRUE(SameBits(out[j], TreeSum(terms)))
            << "column " << j << " of " << n << ", " << count << " rows";
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

}  // namespace
}  // namespace septet
