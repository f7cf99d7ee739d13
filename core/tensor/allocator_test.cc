// SPDX-License-Identifier: Apache-2.0
#include "septet/core/tensor/allocator.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <random>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

#if defined(__SANITIZE_ADDRESS__)
#define SEPTET_TEST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SEPTET_TEST_ASAN 1
#endif
#endif

namespace septet {
namespace {

TEST(CpuAllocatorTest, BlocksAreAlignedAndDisjoint) {
  std::vector<std::pair<uintptr_t, size_t>> blocks;
  for (size_t bytes = 0; bytes < 3000; bytes += 37) {
    void* block = CpuAllocator().Allocate(bytes);
    ASSERT_NE(block, nullptr);
    std::memset(block, 0xab, bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % kTensorAlignment, 0u);
    blocks.emplace_back(reinterpret_cast<uintptr_t>(block), bytes);
  }
  std::sort(blocks.begin(), blocks.end());
  for (size_t i = 1; i < blocks.size(); ++i) {
    EXPECT_LE(blocks[i - 1].first + blocks[i - 1].second, blocks[i].first);
  }
  for (const auto& [address, bytes] : blocks) {
    CpuAllocator().Free(reinterpret_cast<void*>(address), bytes);
  }
}

// live_bytes counts whole blocks: the difference to what was asked is lost.
TEST(CpuAllocatorTest, LargeBlocksStartAtHugePages) {
  for (const size_t mib : {4, 6, 8, 10, 40}) {
    const size_t bytes = mib << 20;
    auto* block = static_cast<char*>(CpuAllocator().Allocate(bytes));
    ASSERT_NE(block, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % (size_t{2} << 20), 0u);
    block[0] = block[bytes - 1] = 1;
    CpuAllocator().Free(block, bytes);
  }
  CpuAllocator().ReleaseCached();
}

// A tensor of 2^n, 5/4 2^n, ... bytes has 64 more for its header, and loses
// nothing.
TEST(CpuAllocatorTest, RoundSizesWithAHeaderLoseNothing) {
  for (size_t power = 1024; power <= (size_t{64} << 20); power *= 2) {
    for (size_t quarter = 4; quarter < 8; ++quarter) {
      const size_t bytes = power / 4 * quarter + 64;
      const int64_t before = CpuAllocator().Stats().live_bytes;
      void* block = CpuAllocator().Allocate(bytes);
      ASSERT_NE(block, nullptr);
      EXPECT_EQ(CpuAllocator().Stats().live_bytes - before,
                static_cast<int64_t>(bytes));
      CpuAllocator().Free(block, bytes);
    }
  }
  CpuAllocator().ReleaseCached();
}

TEST(CpuAllocatorTest, WastesAtMostAQuarter) {
  std::vector<size_t> sizes;
  for (size_t bytes = 1; bytes <= 5000; ++bytes) sizes.push_back(bytes);
  for (size_t power = 4096; power <= (size_t{16} << 20); power *= 2) {
    for (size_t quarter = 4; quarter < 8; ++quarter) {
      const size_t edge = power / 4 * quarter;
      sizes.insert(sizes.end(), {edge - 1, edge, edge + 1, edge + power / 9});
    }
  }
  for (size_t bytes : sizes) {
    const int64_t before = CpuAllocator().Stats().live_bytes;
    void* block = CpuAllocator().Allocate(bytes);
    ASSERT_NE(block, nullptr);
    const int64_t taken = CpuAllocator().Stats().live_bytes - before;
    CpuAllocator().Free(block, bytes);
    EXPECT_GE(taken, static_cast<int64_t>(bytes));
    EXPECT_EQ(taken % kTensorAlignment, 0u);
    EXPECT_LE(taken - static_cast<int64_t>(bytes),
              std::max<int64_t>(63, bytes / 4))
        << bytes;
  }
  CpuAllocator().ReleaseCached();
}

TEST(CpuAllocatorTest, SteadyLoopTakesNothingFromTheSystem) {
  const std::vector<size_t> sizes = {64, 100, 4096, 100, 1 << 20, 777777, 1};
  const auto step = [&] {
    std::vector<void*> blocks;
    for (size_t bytes : sizes) blocks.push_back(CpuAllocator().Allocate(bytes));
    for (size_t i = 0; i < sizes.size(); ++i) {
      CpuAllocator().Free(blocks[i], sizes[i]);
    }
  };
  step();
  const AllocatorStats before = CpuAllocator().Stats();
  for (int i = 0; i < 100; ++i) step();
  const AllocatorStats after = CpuAllocator().Stats();
  EXPECT_EQ(after.system_allocations, before.system_allocations);
  EXPECT_EQ(after.system_bytes, before.system_bytes);
  EXPECT_EQ(after.live_bytes, before.live_bytes);
}

TEST(CpuAllocatorTest, CountsLiveBytesAndTheirPeak) {
  constexpr int64_t kBytes = (1 << 24) + 64;  // just a class
  const int64_t before = CpuAllocator().Stats().live_bytes;
  void* a = CpuAllocator().Allocate(kBytes);
  void* b = CpuAllocator().Allocate(kBytes);
  EXPECT_EQ(CpuAllocator().Stats().live_bytes, before + 2 * kBytes);
  CpuAllocator().Free(a, kBytes);
  EXPECT_EQ(CpuAllocator().Stats().live_bytes, before + kBytes);
  CpuAllocator().Free(b, kBytes);
  EXPECT_EQ(CpuAllocator().Stats().live_bytes, before);
  EXPECT_GE(CpuAllocator().Stats().peak_live_bytes, before + 2 * kBytes);
}

TEST(CpuAllocatorTest, ThePeakCanBeginAnew) {
  Allocator& allocator = CpuAllocator();
  void* kept = allocator.Allocate(1000);
  allocator.Free(allocator.Allocate(50000), 50000);
  const AllocatorStats before = allocator.Stats();
  ASSERT_GE(before.peak_live_bytes, before.live_bytes + 50000);
  allocator.ResetPeak();
  EXPECT_EQ(allocator.Stats().peak_live_bytes, before.live_bytes);
  allocator.Free(allocator.Allocate(640), 640);
  EXPECT_EQ(allocator.Stats().peak_live_bytes, before.live_bytes + 640);
  allocator.Free(kept, 1000);
}

TEST(CpuAllocatorTest, ReleaseCachedKeepsOnlyWhatIsInUse) {
  void* kept = CpuAllocator().Allocate(1000);
  std::vector<void*> blocks;
  for (int i = 0; i < 20; ++i) blocks.push_back(CpuAllocator().Allocate(5000));
  for (void* block : blocks) CpuAllocator().Free(block, 5000);
  EXPECT_GT(CpuAllocator().Stats().system_bytes,
            CpuAllocator().Stats().live_bytes);
  CpuAllocator().ReleaseCached();
  EXPECT_EQ(CpuAllocator().Stats().system_bytes,
            CpuAllocator().Stats().live_bytes);
  const int64_t before = CpuAllocator().Stats().system_allocations;
  void* fresh = CpuAllocator().Allocate(5000);
  EXPECT_EQ(CpuAllocator().Stats().system_allocations, before + 1);
  std::memset(kept, 1, 1000);
  CpuAllocator().Free(kept, 1000);
  CpuAllocator().Free(fresh, 5000);
}

// Sizes from 16 KiB to 4 MiB in random order, written from end to end.
TEST(CpuAllocatorTest, MediumBlocksKeepWhatIsWritten) {
  struct Block {
    unsigned char* data;
    size_t bytes;
    unsigned char fill;
  };
  std::vector<Block> blocks;
  std::mt19937_64 random(1);
  const int64_t live = CpuAllocator().Stats().live_bytes;
  for (int i = 0; i < 60; ++i) {
    const size_t bytes = (16 << 10) + random() % ((size_t{1} << 22) >> (i % 8));
    auto* data = static_cast<unsigned char*>(CpuAllocator().Allocate(bytes));
    ASSERT_NE(data, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % kTensorAlignment, 0u);
    std::memset(data, i, bytes);
    blocks.push_back({data, bytes, static_cast<unsigned char>(i)});
    if (i % 3 == 2) {
      const Block& freed = blocks[blocks.size() - 2];
      CpuAllocator().Free(freed.data, freed.bytes);
      blocks.erase(blocks.end() - 2);
    }
    if (i % 20 == 19) CpuAllocator().ReleaseCached();
  }
  for (const Block& block : blocks) {
    EXPECT_EQ(std::count(block.data, block.data + block.bytes, block.fill),
              static_cast<int64_t>(block.bytes));
    CpuAllocator().Free(block.data, block.bytes);
  }
  EXPECT_EQ(CpuAllocator().Stats().live_bytes, live);
}

#ifndef SEPTET_TEST_ASAN
TEST(CpuAllocatorTest, MediumBlocksGoBackWithTheirRegion) {
  constexpr size_t kBytes = (1 << 20) + 64;
  CpuAllocator().ReleaseCached();
  const int64_t before = CpuAllocator().Stats().system_bytes;
  void* blocks[3];
  for (void*& block : blocks) {
    block = CpuAllocator().Allocate(kBytes);
    ASSERT_NE(block, nullptr);
  }
  for (void* block : {blocks[1], blocks[2]}) {
    EXPECT_EQ(static_cast<char*>(block) - static_cast<char*>(blocks[0]),
              block == blocks[1] ? kBytes : 2 * kBytes);
    CpuAllocator().Free(block, kBytes);
  }
  // One is in use: the others stay, and are handed out again.
  CpuAllocator().ReleaseCached();
  const AllocatorStats kept = CpuAllocator().Stats();
  EXPECT_EQ(kept.system_bytes, before + static_cast<int64_t>(3 * kBytes));
  CpuAllocator().Free(CpuAllocator().Allocate(kBytes), kBytes);
  EXPECT_EQ(CpuAllocator().Stats().system_allocations, kept.system_allocations);
  CpuAllocator().Free(blocks[0], kBytes);
  CpuAllocator().ReleaseCached();
  EXPECT_EQ(CpuAllocator().Stats().system_bytes, before);
}
#endif

TEST(CpuAllocatorTest, AbsurdSizesGiveNull) {
  const AllocatorStats before = CpuAllocator().Stats();
  for (int shift : {50, 55, 56, 57, 62, 63}) {
    EXPECT_EQ(CpuAllocator().Allocate(size_t{1} << shift), nullptr) << shift;
    EXPECT_EQ(CpuAllocator().Allocate((size_t{1} << shift) + 1), nullptr);
  }
  EXPECT_EQ(CpuAllocator().Allocate(SIZE_MAX), nullptr);
  EXPECT_EQ(CpuAllocator().Stats().live_bytes, before.live_bytes);
  EXPECT_EQ(CpuAllocator().Stats().system_allocations,
            before.system_allocations);
}

// Blocks go from thread to thread; each must keep what its owner has written.
TEST(CpuAllocatorTest, ThreadsDoNotDisturbEachOther) {
  struct Block {
    unsigned char* data;
    size_t bytes;
    unsigned char fill;
  };
  const int64_t live = CpuAllocator().Stats().live_bytes;
  std::mutex mutex;
  std::vector<Block> pool;
  std::vector<std::thread> threads;
  std::vector<int> damaged(4, 0);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(t);
      for (int i = 0; i < 20000; ++i) {
        if (random() % 2 == 0) {
          const size_t bytes = 1 + random() % (1 << (random() % 14));
          const auto fill = static_cast<unsigned char>(random());
          auto* data =
              static_cast<unsigned char*>(CpuAllocator().Allocate(bytes));
          std::memset(data, fill, bytes);
          std::lock_guard<std::mutex> hold(mutex);
          pool.push_back({data, bytes, fill});
        } else {
          Block block;
          {
            std::lock_guard<std::mutex> hold(mutex);
            if (pool.empty()) continue;
            std::swap(pool[random() % pool.size()], pool.back());
            block = pool.back();
            pool.pop_back();
          }
          for (size_t k = 0; k < block.bytes; ++k) {
            damaged[t] += block.data[k] != block.fill;
          }
          CpuAllocator().Free(block.data, block.bytes);
        }
        if (i % 5000 == 0) CpuAllocator().ReleaseCached();
        if (i % 100 == 0) CpuAllocator().Stats();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(damaged, std::vector<int>(4, 0));
  for (const Block& block : pool) CpuAllocator().Free(block.data, block.bytes);
  EXPECT_EQ(CpuAllocator().Stats().live_bytes, live);
}

#ifdef SEPTET_TEST_ASAN
// Reached by volatile: the compiler may not drop the access.
unsigned char Read(const void* block, size_t offset) {
  return static_cast<const volatile unsigned char*>(block)[offset];
}

TEST(CpuAllocatorDeathTest, UseAfterFreeOfACachedBlock) {
  void* block = CpuAllocator().Allocate(1000);
  std::memset(block, 0, 1000);
  CpuAllocator().Free(block, 1000);
  EXPECT_DEATH(Read(block, 64), "use-after-poison");
  EXPECT_DEATH(Read(block, 999), "use-after-poison");
}

TEST(CpuAllocatorDeathTest, ReadBehindTheEnd) {
  // Both as it comes from the system and from the cache.
  for (int i = 0; i < 2; ++i) {
    void* block = CpuAllocator().Allocate(1000);
    Read(block, 999);
    EXPECT_DEATH(Read(block, 1000), "use-after-poison|overflow");
    CpuAllocator().Free(block, 1000);
  }
}
#endif

}  // namespace
}  // namespace septet
