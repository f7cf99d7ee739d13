// SPDX-License-Identifier: Apache-2.0
// Memory of tensors.
//
// CpuAllocator() keeps what is freed and hands it out again, so that a training
// step after the first takes nothing from the operating system. Sizes are
// rounded up to classes: multiples of 64 bytes, from 1 KiB on four steps an
// octave and 64 bytes more, a tensor's header, so that elements of a round size
// fit; no more than the larger of 63 bytes and a quarter of what was asked for
// is lost. Blocks start at a multiple of 64 bytes; those of 4 MiB and more at
// one of 2 MiB, and ask for huge pages. Those from 16 KiB on are parts of
// regions of 16 MiB that ask for huge pages too: a step that works on a
// thousand small pages spends some percent of its time on finding them.
//
// Cost: a lock and a list operation. Thread-safe.
#ifndef SEPTET_CORE_TENSOR_ALLOCATOR_H_
#define SEPTET_CORE_TENSOR_ALLOCATOR_H_

#include <cstddef>
#include <cstdint>

namespace septet {

inline constexpr size_t kTensorAlignment = 64;

struct AllocatorStats {
  int64_t system_allocations = 0;  // blocks taken from the operating system
  int64_t system_bytes = 0;        // bytes held now, in use or cached
  int64_t live_bytes = 0;          // bytes in use now, rounded up to classes
  int64_t peak_live_bytes = 0;     // the most since the last ResetPeak()
};

class Allocator {
 public:
  virtual ~Allocator() = default;

  // At least `bytes` bytes, uninitialised; null if there are none to be had.
  virtual void* Allocate(size_t bytes) = 0;

  // `bytes` is what Allocate was asked for.
  virtual void Free(void* block, size_t bytes) = 0;

  virtual AllocatorStats Stats() const = 0;

  // The peak is what is in use now, from here on: what a part of a program
  // takes at most is the peak after it.
  virtual void ResetPeak() = 0;

  // Gives cached blocks back to the system; those that are part of a region, if
  // nothing of it is in use.
  virtual void ReleaseCached() = 0;
};

// The process-wide caching allocator of host memory.
Allocator& CpuAllocator();

}  // namespace septet

#endif  // SEPTET_CORE_TENSOR_ALLOCATOR_H_
