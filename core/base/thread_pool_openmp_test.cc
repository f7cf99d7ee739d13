// SPDX-License-Identifier: Apache-2.0
// Linked with OpenMP, which stands for a library that has threads of its own.
#include <omp.h>

#include <atomic>
#include <cstdint>
#include <thread>

#include "gtest/gtest.h"
#include "septet/core/base/thread_pool.h"

namespace septet {
namespace {

class OpenMpTest : public ::testing::Test {
 protected:
  void SetUp() override { omp_set_num_threads(7); }
};

TEST_F(OpenMpTest, OneThreadInsideThePoolAndInTheCallerMeanwhile) {
  ThreadPool pool(3);
  for (int repeat = 0; repeat < 3; ++repeat) {
    std::atomic<int> arrived{0};
    std::atomic<int> most{0};
    // All three threads are in here at once.
    ParallelFor(&pool, 3, 1, [&](int64_t, int64_t) {
      ++arrived;
      while (arrived < 3) std::this_thread::yield();
      const int threads = omp_get_max_threads();
      int seen = most;
      while (seen < threads && !most.compare_exchange_weak(seen, threads)) {
      }
    });
    EXPECT_EQ(most, 1);
    EXPECT_EQ(omp_get_max_threads(), 7);
  }
}

TEST_F(OpenMpTest, OneThreadWithoutAPoolToo) {
  ThreadPool one(1), two(2);
  for (ThreadPool* pool : {static_cast<ThreadPool*>(nullptr), &one, &two}) {
    for (const int64_t grain : {1, 10}) {
      ParallelFor(pool, 10, grain, [&](int64_t, int64_t) {
        EXPECT_EQ(omp_get_max_threads(), 1);
        ParallelFor(pool, 2, 1, [&](int64_t, int64_t) {
          EXPECT_EQ(omp_get_max_threads(), 1);
        });
        EXPECT_EQ(omp_get_max_threads(), 1);
      });
      EXPECT_EQ(omp_get_max_threads(), 7);
    }
  }
}

TEST_F(OpenMpTest, ScopesNestAndGiveBack) {
  {
    const ScopedSingleThreadedLibraries outer;
    EXPECT_EQ(omp_get_max_threads(), 1);
    {
      const ScopedSingleThreadedLibraries inner;
      EXPECT_EQ(omp_get_max_threads(), 1);
    }
    EXPECT_EQ(omp_get_max_threads(), 1);
    int others = 0;
    std::thread([&others] {
      omp_set_num_threads(5);
      others = omp_get_max_threads();
    }).join();
    EXPECT_EQ(others, 5) << "the scope is of its thread alone";
  }
  EXPECT_EQ(omp_get_max_threads(), 7);
}

}  // namespace
}  // namespace septet
