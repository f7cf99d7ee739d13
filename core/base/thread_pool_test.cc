// SPDX-License-Identifier: Apache-2.0
#include "septet/core/base/thread_pool.h"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::HasSubstr;

using Block = std::pair<int64_t, int64_t>;

// The blocks in the order of their beginnings.
std::vector<Block> Blocks(ThreadPool* pool, int64_t n, int64_t grain) {
  std::mutex mutex;
  std::vector<Block> blocks;
  ParallelFor(pool, n, grain, [&](int64_t begin, int64_t end) {
    const std::lock_guard<std::mutex> lock(mutex);
    blocks.emplace_back(begin, end);
  });
  std::sort(blocks.begin(), blocks.end());
  return blocks;
}

TEST(ThreadPoolTest, CreateChecksTheNumberOfThreads) {
  for (const int good : {1, 2, 5}) {
    SEPTET_ASSERT_OK_AND_ASSIGN(std::unique_ptr<ThreadPool> pool,
                                ThreadPool::Create(good));
    EXPECT_EQ(pool->num_threads(), good);
  }
  for (const int bad : {0, -1, 1025}) {
    EXPECT_THAT(ThreadPool::Create(bad),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         Eq("number of threads is " + std::to_string(bad) +
                            ", want 1 to 1024")));
  }
}

TEST(ThreadPoolDeathTest, TheConstructorAbortsOnNonsense) {
  EXPECT_DEATH(ThreadPool(0), "num_threads >= 1 \\(0 vs. 1\\)");
}

TEST(ThreadPoolTest, ThreadsThatTheSystemRefusesAreAnError) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers need the address space";
#endif
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_AS, &before), 0);
  rlimit limit = before;
  // Less than the stacks of a thousand threads.
  limit.rlim_cur = 1 << 30;
  ASSERT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
  const auto pool = ThreadPool::Create(1024);
  ASSERT_EQ(setrlimit(RLIMIT_AS, &before), 0);
  EXPECT_THAT(pool, StatusIs(absl::StatusCode::kResourceExhausted,
                             HasSubstr("of 1023 cannot be started: ")));
}

TEST(ThreadPoolTest, StartsAndStopsUnderLoad) {
  for (int i = 0; i < 50; ++i) {
    ThreadPool pool(1 + i % 5);
    std::atomic<int64_t> sum{0};
    if (i % 2 == 0) {
      ParallelFor(&pool, 100, 1, [&](int64_t begin, int64_t) { sum += begin; });
      EXPECT_EQ(sum, 4950);
    }
  }
}

TEST(ParallelForTest, BlocksAreTheSameWithAnyNumberOfThreads) {
  ThreadPool one(1), two(2), seven(7);
  for (const int64_t n : {1, 2, 31, 32, 33, 1000}) {
    for (const int64_t grain : {1, 2, 7, 32, 5000}) {
      std::vector<Block> want;
      for (int64_t begin = 0; begin < n; begin += grain) {
        want.emplace_back(begin, std::min(n, begin + grain));
      }
      for (ThreadPool* pool :
           {static_cast<ThreadPool*>(nullptr), &one, &two, &seven}) {
        ASSERT_EQ(Blocks(pool, n, grain), want) << n << " by " << grain;
      }
    }
  }
}

TEST(ParallelForTest, EmptyAndHugeRanges) {
  ThreadPool pool(3);
  EXPECT_TRUE(Blocks(&pool, 0, 10).empty());
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  EXPECT_THAT(Blocks(&pool, 5, kMax), ElementsAre(Block(0, 5)));
  EXPECT_THAT(Blocks(&pool, kMax, kMax / 2),
              ElementsAre(Block(0, kMax / 2), Block(kMax / 2, kMax - 1),
                          Block(kMax - 1, kMax)));
  EXPECT_EQ(NumBlocks(kMax, 1), kMax);
  EXPECT_EQ(NumBlocks(kMax, kMax), 1);
  EXPECT_EQ(NumBlocks(0, 3), 0);
}

TEST(ParallelForDeathTest, ChecksItsArguments) {
  const auto nothing = [](int64_t, int64_t) {};
  EXPECT_DEATH(ParallelFor(nullptr, -1, 1, nothing), "n >= 0 \\(-1 vs. 0\\)");
  EXPECT_DEATH(ParallelFor(nullptr, 1, 0, nothing), "grain >= 1 \\(0 vs. 1\\)");
}

TEST(ParallelForTest, SerialLoopsAscend) {
  std::vector<int64_t> begins;
  ParallelFor(nullptr, 10, 3,
              [&](int64_t begin, int64_t) { begins.push_back(begin); });
  EXPECT_THAT(begins, ElementsAre(0, 3, 6, 9));
}

// Each of three threads holds its block until the two others have one.
TEST(ParallelForTest, AllThreadsTakePartTheCallerAmongThem) {
  ThreadPool pool(3);
  std::atomic<int> arrived{0};
  std::mutex mutex;
  std::set<std::thread::id> ids;
  ParallelFor(&pool, 3, 1, [&](int64_t, int64_t) {
    ++arrived;
    while (arrived < 3) std::this_thread::yield();
    const std::lock_guard<std::mutex> lock(mutex);
    ids.insert(std::this_thread::get_id());
  });
  EXPECT_EQ(ids.size(), 3);
  EXPECT_EQ(ids.count(std::this_thread::get_id()), 1);
}

TEST(ParallelForTest, NestedLoopsRunInline) {
  ThreadPool pool(3), other(2);
  std::atomic<int64_t> inner_blocks{0};
  std::atomic<int> elsewhere{0};
  for (int repeat = 0; repeat < 100; ++repeat) {
    ParallelFor(&pool, 8, 1, [&](int64_t, int64_t) {
      const std::thread::id id = std::this_thread::get_id();
      for (ThreadPool* inner : {&pool, &other}) {
        ParallelFor(inner, 10, 3, [&](int64_t, int64_t) {
          ++inner_blocks;
          if (std::this_thread::get_id() != id) ++elsewhere;
        });
      }
    });
  }
  EXPECT_EQ(inner_blocks, 100 * 8 * 2 * 4);
  EXPECT_EQ(elsewhere, 0);
}

TEST(ParallelForTest, ALoopInsideALoopOfOneBlockUsesThePool) {
  ThreadPool pool(2);
  std::atomic<int> arrived{0};
  ParallelFor(&pool, 1, 1, [&](int64_t, int64_t) {
    ParallelFor(&pool, 2, 1, [&](int64_t, int64_t) {
      ++arrived;
      while (arrived < 2) std::this_thread::yield();
    });
  });
  EXPECT_EQ(arrived, 2);
}

TEST(ParallelForTest, ManyCallersShareOnePool) {
  ThreadPool pool(3);
  std::vector<int64_t> sums(4);
  std::vector<std::thread> callers;
  for (int64_t& sum : sums) {
    callers.emplace_back([&pool, &sum] {
      for (int repeat = 0; repeat < 200; ++repeat) {
        std::vector<int64_t> values(64);
        ParallelFor(&pool, 64, 4, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) values[i] = i;
        });
        for (const int64_t value : values) sum += value;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_THAT(sums, ::testing::Each(200 * 63 * 32));
}

TEST(ParallelForTest, ABusyPoolDoesNotHoldUpACaller) {
  ThreadPool pool(2);
  std::atomic<int> holding{0};
  std::atomic<bool> release{false};
  // Holds its own thread and the one of the pool.
  std::thread holder([&] {
    ParallelFor(&pool, 2, 1, [&](int64_t, int64_t) {
      ++holding;
      while (!release) std::this_thread::yield();
    });
  });
  while (holding < 2) std::this_thread::yield();
  EXPECT_EQ(Blocks(&pool, 100, 1).size(), 100);
  release = true;
  holder.join();
}

TEST(ParallelForTest, ResultsAreVisibleToTheCaller) {
  ThreadPool pool(4);
  std::vector<int> values(1000);
  for (int repeat = 0; repeat < 500; ++repeat) {
    ParallelFor(&pool, 1000, 10, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) values[i] = repeat;
    });
    ASSERT_EQ(std::count(values.begin(), values.end(), repeat), 1000);
  }
}

TEST(ScopedThreadPoolTest, NestsAndIsOfItsThread) {
  ThreadPool a(2), b(2);
  EXPECT_EQ(CurrentThreadPool(), nullptr);
  {
    const ScopedThreadPool outer(&a);
    EXPECT_EQ(CurrentThreadPool(), &a);
    {
      const ScopedThreadPool inner(&b);
      EXPECT_EQ(CurrentThreadPool(), &b);
      const ScopedThreadPool none(nullptr);
      EXPECT_EQ(CurrentThreadPool(), nullptr);
    }
    EXPECT_EQ(CurrentThreadPool(), &a);
    std::thread([] { EXPECT_EQ(CurrentThreadPool(), nullptr); }).join();
    // Two blocks that wait for one another need two threads.
    std::atomic<int> arrived{0};
    ParallelFor(2, 1, [&](int64_t, int64_t) {
      ++arrived;
      while (arrived < 2) std::this_thread::yield();
    });
  }
  EXPECT_EQ(CurrentThreadPool(), nullptr);
}

TEST(ParallelReduceTest, TheTreeFollowsFromTheBlocks) {
  ThreadPool pool(4);
  const auto map = [](int64_t begin, int64_t end) {
    return std::to_string(begin) + "-" + std::to_string(end);
  };
  const auto combine = [](const std::string& a, const std::string& b) {
    return "(" + a + " " + b + ")";
  };
  for (ThreadPool* p : {static_cast<ThreadPool*>(nullptr), &pool}) {
    EXPECT_EQ(ParallelReduce(p, 13, 2, std::string("none"), map, combine),
              "(((0-2 2-4) (4-6 6-8)) ((8-10 10-12) 12-13))");
    EXPECT_EQ(ParallelReduce(p, 2, 2, std::string("none"), map, combine),
              "0-2");
    EXPECT_EQ(ParallelReduce(p, 0, 2, std::string("none"), map, combine),
              "none");
  }
}

TEST(ParallelReduceTest, SumsHaveTheSameBitsWithAnyNumberOfThreads) {
  std::vector<float> x(100003);
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] = std::sin(static_cast<float>(i)) * 1e3f;
  }
  const auto sum = [&](ThreadPool* pool) {
    return ParallelReduce(
        pool, static_cast<int64_t>(x.size()), 1000, 0.0f,
        [&](int64_t begin, int64_t end) {
          float total = 0;
          for (int64_t i = begin; i < end; ++i) total += x[i];
          return total;
        },
        [](float a, float b) { return a + b; });
  };
  const float want = sum(nullptr);
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    for (int repeat = 0; repeat < 20; ++repeat) {
      const float got = sum(&pool);
      ASSERT_EQ(std::memcmp(&got, &want, sizeof(got)), 0) << threads;
    }
  }
}

// This program has no OpenMP: see thread_pool_openmp_test.
TEST(ScopedSingleThreadedLibrariesTest, DoesNothingWithoutSuchLibraries) {
  const ScopedSingleThreadedLibraries outer;
  const ScopedSingleThreadedLibraries inner;
}

}  // namespace
}  // namespace septet
