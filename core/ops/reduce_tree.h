// SPDX-License-Identifier: Apache-2.0
// The constants of the fixed tree by which sums are formed. The tree itself is
// described in reduce_kernels.h.
#ifndef SEPTET_CORE_OPS_REDUCE_TREE_H_
#define SEPTET_CORE_OPS_REDUCE_TREE_H_

#include <cstddef>
#include <cstdint>

namespace septet {

// Virtual lanes: 64 for float, 32 for double, which is four 512-bit vectors,
// enough to hide the latency of an addition there.
template <typename T>
constexpr size_t kReduceLanes = 256 / sizeof(T);

// Elements of a row that are summed lane by lane before the lanes are folded:
// 8 KiB, so that narrow vectors find them in the first-level cache when they
// pass over them several times.
template <typename T>
constexpr size_t kReduceBlock = 32 * kReduceLanes<T>;

// Rows that are added one after the other in a reduction over an outer axis.
constexpr size_t kReduceColumnBlock = 32;

// Blocks of a row are combined in pairs, pairs in pairs, ...: enough levels for
// any n that fits into memory.
constexpr size_t kReduceLevels = 40;

}  // namespace septet

#endif  // SEPTET_CORE_OPS_REDUCE_TREE_H_
