// SPDX-License-Identifier: Apache-2.0
// How a kernel writes a large output: into the caches, or past them.
//
// An ordinary store first reads the line that it is about to overwrite. Where
// the output is larger than the caches keep, that read is a third of a copy's
// traffic, and the lines written push out what is still of use. Streaming
// (non-temporal) stores write whole lines to memory instead. An output that
// fits should stay in the cache for the op that reads it next.
//
// The mode depends on the size of the whole output alone, and never changes a
// bit of it: the same vectors are computed and stored by another instruction.
#ifndef SEPTET_CORE_OPS_STORE_MODE_H_
#define SEPTET_CORE_OPS_STORE_MODE_H_

#include <cstdint>

namespace septet {

enum class StoreMode { kCached, kStreaming };

// Half of a common last-level cache (32 MiB on the machines we know): with an
// input of the same size, the two just fill it.
inline constexpr int64_t kStreamingBytes = int64_t{16} << 20;

// For an output of that many bytes in all, of which a kernel may write a part.
inline StoreMode StoreModeFor(int64_t output_bytes) {
  return output_bytes >= kStreamingBytes ? StoreMode::kStreaming
                                         : StoreMode::kCached;
}

}  // namespace septet

#endif  // SEPTET_CORE_OPS_STORE_MODE_H_
