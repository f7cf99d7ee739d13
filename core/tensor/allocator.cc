// SPDX-License-Identifier: Apache-2.0
#include "septet/core/tensor/allocator.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <vector>

#include "absl/numeric/bits.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#endif
#endif
#ifdef ASAN_POISON_MEMORY_REGION
#define SEPTET_ALLOCATOR_ASAN 1
#else
#define SEPTET_ALLOCATOR_ASAN 0
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) \
  ((void)(address), (void)(size))
#endif

namespace septet {
namespace {

// Tensors keep their header in front of their elements (core/tensor/tensor.h).
constexpr size_t kHeader = kTensorAlignment;

// Classes 0..16: 64, 128, ..., 1088 bytes. Then 1280, 1536, 1792, 2048, ...,
// each with a header: elements have round sizes, and a class that ended there
// would send each of them, with its header, to the next.
constexpr int kLinearClasses = 17;
constexpr int kNumClasses = kLinearClasses + 4 * 53;

int SizeClass(size_t bytes) {
  if (bytes <= kLinearClasses * kTensorAlignment) {
    return bytes == 0 ? 0 : static_cast<int>((bytes - 1) / kTensorAlignment);
  }
  const size_t last = bytes - kHeader - 1;  // 1024 <= last
  const int octave = absl::bit_width(last) - 1;
  const int quarter = static_cast<int>((last >> (octave - 2)) & 3);
  return kLinearClasses + 4 * (octave - 10) + quarter;
}

size_t ClassBytes(int size_class) {
  if (size_class < kLinearClasses) {
    return (static_cast<size_t>(size_class) + 1) * kTensorAlignment;
  }
  const int octave = (size_class - kLinearClasses) / 4 + 10;
  const size_t quarter = (size_class - kLinearClasses) % 4;
  return ((4 + quarter + 1) << (octave - 2)) + kHeader;
}

// Held for a few instructions, by threads that rarely meet.
class SpinLock {
 public:
  void Lock() {
    while (locked_.exchange(true, std::memory_order_acquire)) {
      while (locked_.load(std::memory_order_relaxed)) {
      }
    }
  }
  void Unlock() { locked_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> locked_{false};
};

class SpinLockHolder {
 public:
  explicit SpinLockHolder(SpinLock* lock) : lock_(lock) { lock_->Lock(); }
  ~SpinLockHolder() { lock_->Unlock(); }

 private:
  SpinLock* const lock_;
};

// Large blocks ask for huge pages: what is read in another order than it lies
// in memory, such as the rows of a table or the columns of a head, lies on a
// small page each, and walking the page tables costs as much as the copying.
// What is left over behind the last takes small ones.
constexpr size_t kHugePage = size_t{2} << 20;

void* HugePages(size_t bytes) {
  void* block = nullptr;
  if (posix_memalign(&block, kHugePage, bytes) != 0) return nullptr;
#ifdef MADV_HUGEPAGE
  // Advice: where it is not taken, nothing is lost.
  (void)madvise(block, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  return block;
}

// Blocks in between are cut one after the other from regions of huge pages,
// which go back to the system as a whole. Not where memory errors are looked
// for: blocks side by side have nothing between them to run into.
constexpr size_t kRegion = size_t{16} << 20;
constexpr size_t kSmallestInRegion = size_t{16} << 10;
constexpr size_t kLargestInRegion = 2 * kHugePage;  // less than that
#if defined(MADV_HUGEPAGE) && !SEPTET_ALLOCATOR_ASAN
constexpr bool kRegions = true;
#else
constexpr bool kRegions = false;
#endif

class Regions {
 public:
  // Null if there is no memory for a new region.
  char* Cut(size_t bytes) {
    for (Region& region : regions_) {
      if (kRegion - region.used < bytes) continue;
      region.used += bytes;
      return region.begin + region.used - bytes;
    }
    auto* const begin = static_cast<char*>(HugePages(kRegion));
    if (begin == nullptr) return nullptr;
    regions_.push_back({begin, bytes, 0});
    return begin;
  }

  // For a block that is free: CountFree all first, then IsFree says whether
  // its whole region is, and ReleaseFree gives those back and counts anew.
  bool Contains(const void* block) { return Find(block) != nullptr; }
  void CountFree(const void* block, size_t bytes) {
    if (Region* region = Find(block)) region->free += bytes;
  }
  bool IsFree(const void* block) {
    const Region* region = Find(block);
    return region != nullptr && region->free == region->used;
  }
  void ReleaseFree() {
    const auto kept = std::partition(
        regions_.begin(), regions_.end(),
        [](const Region& region) { return region.free != region.used; });
    for (auto it = kept; it != regions_.end(); ++it) std::free(it->begin);
    regions_.erase(kept, regions_.end());
    for (Region& region : regions_) region.free = 0;
  }

 private:
  struct Region {
    char* begin;
    size_t used;
    size_t free;
  };

  Region* Find(const void* block) {
    const auto address = reinterpret_cast<uintptr_t>(block);
    for (Region& region : regions_) {
      const auto begin = reinterpret_cast<uintptr_t>(region.begin);
      if (begin <= address && address - begin < kRegion) return &region;
    }
    return nullptr;
  }

  std::vector<Region> regions_;
};

class CachingAllocator final : public Allocator {
 public:
  void* Allocate(size_t bytes) override {
    // Beyond this no machine has memory, and classes end.
    if (bytes > (size_t{1} << 56)) return nullptr;
    const int size_class = SizeClass(bytes);
    const size_t block_bytes = ClassBytes(size_class);
    {
      SpinLockHolder hold(&lock_);
      if (FreeBlock* block = free_[size_class]; block != nullptr) {
        free_[size_class] = block->next;
        CountLive(block_bytes);
        ASAN_UNPOISON_MEMORY_REGION(block, bytes);
        return block;
      }
    }
    void* block = SystemBlock(block_bytes);
    if (block == nullptr) {
      ReleaseCached();
      block = SystemBlock(block_bytes);
      if (block == nullptr) return nullptr;
    }
    SpinLockHolder hold(&lock_);
    ++stats_.system_allocations;
    stats_.system_bytes += block_bytes;
    CountLive(block_bytes);
    ASAN_POISON_MEMORY_REGION(static_cast<char*>(block) + bytes,
                              block_bytes - bytes);
    return block;
  }

  void Free(void* memory, size_t bytes) override {
    const int size_class = SizeClass(bytes);
    const size_t block_bytes = ClassBytes(size_class);
    ASAN_UNPOISON_MEMORY_REGION(memory, sizeof(FreeBlock));
    auto* block = static_cast<FreeBlock*>(memory);
    SpinLockHolder hold(&lock_);
    block->next = free_[size_class];
    free_[size_class] = block;
    stats_.live_bytes -= block_bytes;
    // The link stays readable: the leak check does not follow poisoned ones.
    ASAN_POISON_MEMORY_REGION(block + 1, block_bytes - sizeof(FreeBlock));
  }

  AllocatorStats Stats() const override {
    SpinLockHolder hold(&lock_);
    return stats_;
  }

  void ResetPeak() override {
    SpinLockHolder hold(&lock_);
    stats_.peak_live_bytes = stats_.live_bytes;
  }

  void ReleaseCached() override {
    const std::lock_guard<std::mutex> hold_regions(regions_mutex_);
    FreeBlock* lists[kNumClasses];
    {
      SpinLockHolder hold(&lock_);
      std::copy(free_, free_ + kNumClasses, lists);
      std::fill(free_, free_ + kNumClasses, nullptr);
    }
    for (int c = 0; c < kNumClasses; ++c) {
      for (FreeBlock* block = lists[c]; block != nullptr; block = block->next) {
        regions_.CountFree(block, ClassBytes(c));
      }
    }
    int64_t released = 0;
    for (int c = 0; c < kNumClasses; ++c) {
      for (FreeBlock* block = lists[c]; block != nullptr;) {
        FreeBlock* next = block->next;
        if (regions_.Contains(block) && !regions_.IsFree(block)) {
          SpinLockHolder hold(&lock_);
          block->next = free_[c];
          free_[c] = block;
        } else {
          released += ClassBytes(c);
          if (!regions_.Contains(block)) {
            ASAN_UNPOISON_MEMORY_REGION(block, ClassBytes(c));
            std::free(block);
          }
        }
        block = next;
      }
    }
    regions_.ReleaseFree();
    SpinLockHolder hold(&lock_);
    stats_.system_bytes -= released;
  }

 private:
  struct FreeBlock {
    FreeBlock* next;
  };

  // Null if there is no memory.
  void* SystemBlock(size_t bytes) {
    if (bytes >= kLargestInRegion) return HugePages(bytes);
    if (kRegions && bytes >= kSmallestInRegion) {
      const std::lock_guard<std::mutex> hold(regions_mutex_);
      if (char* block = regions_.Cut(bytes)) return block;
    }
    return std::aligned_alloc(kTensorAlignment, bytes);
  }

  void CountLive(size_t block_bytes) {
    stats_.live_bytes += block_bytes;
    stats_.peak_live_bytes =
        std::max(stats_.peak_live_bytes, stats_.live_bytes);
  }

  mutable SpinLock lock_;
  FreeBlock* free_[kNumClasses] = {};
  AllocatorStats stats_;

  std::mutex regions_mutex_;
  Regions regions_;  // under regions_mutex_
};

}  // namespace

Allocator& CpuAllocator() {
  // Never destroyed: tensors with static lifetime may outlive any order.
  static CachingAllocator* const allocator = new CachingAllocator;
  return *allocator;
}

}  // namespace septet
