// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <memory>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/blas/fft_plan_impl.h"

namespace septet {
namespace fft_internal {
namespace {

using ::testing::Ge;
using ::testing::Le;

// The spectrum of a fixed line of n, by that plan.
std::vector<double> Spectrum(const FftPlan& plan) {
  std::vector<double> data(static_cast<size_t>(2 * plan.n()));
  for (size_t i = 0; i < data.size(); ++i) {
    data[i] = static_cast<double>(i * i % 11) - 5;
  }
  std::vector<double> workspace(static_cast<size_t>(plan.WorkspaceSize(1)));
  plan.Forward(1, data.data(), workspace.data());
  return data;
}

TEST(FftPlanTest, SizeCountsWhatIsHeld) {
  EXPECT_EQ(FftPlan(1).size(), 1);
  EXPECT_EQ(FftPlan(60).size(), 60);
  // Chirp 37, and an inner length L >= 73: its roots and the spectrum.
  EXPECT_THAT(FftPlan(37).size(), Ge(37 + 2 * 73));
  EXPECT_THAT(FftPlan(37).size(), Le(37 + 2 * 128));
}

TEST(FftPlanTest, PlansAreKeptUntilThereIsTooMuch) {
  const std::shared_ptr<const FftPlan> plan = GetFftPlan(37);
  const std::vector<double> before = Spectrum(*plan);
  EXPECT_EQ(GetFftPlan(37), plan);
  // With this one the cache holds too much: it is emptied either before, or
  // when the next is added.
  const std::shared_ptr<const FftPlan> large = GetFftPlan(kMostNumbers);
  GetFftPlan(6);
  EXPECT_NE(GetFftPlan(37), plan);
  // Who has a plan keeps it.
  EXPECT_EQ(large->n(), kMostNumbers);
  EXPECT_EQ(Spectrum(*plan), before);
  EXPECT_EQ(Spectrum(*GetFftPlan(37)), before);
  EXPECT_EQ(GetFftPlan(6), GetFftPlan(6));
}

TEST(FftPlanTest, RootsAreKept) {
  const std::shared_ptr<const std::vector<Root>> roots = GetRoots(4, 12);
  ASSERT_EQ(roots->size(), 4);
  EXPECT_EQ((*roots)[3].re, 0.0);
  EXPECT_EQ((*roots)[3].im, -1.0);
  EXPECT_EQ(GetRoots(4, 12), roots);
  EXPECT_NE(GetRoots(4, 24), roots);
  EXPECT_EQ(GetRoots(5, 12)->size(), 5);
}

TEST(FftPlanTest, ThreadsShareTheCache) {
  constexpr int64_t kCalls = 512;
  const auto length = [](int64_t call) { return 200 + call * 7 % 64; };
  std::vector<std::vector<double>> want;
  for (int64_t call = 0; call < kCalls; ++call) {
    want.push_back(Spectrum(FftPlan(length(call))));
  }
  // Beginning with lengths that nobody asked for yet.
  ThreadPool pool(4);
  ScopedThreadPool scope(&pool);
  std::vector<std::vector<double>> got(kCalls);
  ParallelFor(kCalls, 1, [&](int64_t begin, int64_t end) {
    for (int64_t call = begin; call < end; ++call) {
      got[static_cast<size_t>(call)] = Spectrum(*GetFftPlan(length(call)));
    }
  });
  EXPECT_EQ(got, want);
}

}  // namespace
}  // namespace fft_internal
}  // namespace septet
