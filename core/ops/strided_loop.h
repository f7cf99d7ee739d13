// SPDX-License-Identifier: Apache-2.0
// The iteration behind the strided kernels: joins axes, and calls a function
// for each innermost row. Internal to core/ops.
#ifndef SEPTET_CORE_OPS_STRIDED_LOOP_H_
#define SEPTET_CORE_OPS_STRIDED_LOOP_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "septet/core/base/check.h"

namespace septet {
namespace ops_internal {

constexpr int kMaxRank = 8;

// A shape with axes joined where all operands allow it, and the strides of
// kOperands operands. The output is contiguous, so it never stands in the way.
// Innermost axis last; rank >= 1.
template <int kOperands>
struct StridedLoop {
  int rank = 1;
  int64_t size = 1;
  // The first `rank` of each; the others are not set: small loops are worth
  // less than clearing them.
  int64_t shape[kMaxRank];
  int64_t strides[kOperands][kMaxRank];

  StridedLoop(absl::Span<const int64_t> full_shape,
              const absl::Span<const int64_t> (&full_strides)[kOperands]) {
    SEPTET_CHECK(full_shape.size() <= kMaxRank)
        << "rank " << full_shape.size() << " of a strided kernel";
    for (const absl::Span<const int64_t>& s : full_strides) {
      SEPTET_CHECK_EQ(s.size(), full_shape.size());
    }
    int count = 0;  // axes so far, outermost first
    for (size_t axis = 0; axis < full_shape.size(); ++axis) {
      const int64_t extent = full_shape[axis];
      size *= extent;
      if (extent == 1) continue;
      bool join = count > 0;
      for (int k = 0; k < kOperands && join; ++k) {
        join = strides[k][count - 1] == full_strides[k][axis] * extent;
      }
      if (join) {
        --count;
        shape[count] *= extent;
      } else {
        shape[count] = extent;
      }
      for (int k = 0; k < kOperands; ++k) {
        strides[k][count] = full_strides[k][axis];
      }
      ++count;
    }
    if (count > 0) {
      rank = count;
    } else {
      // A single element: strides do not matter, and 1 takes the fast loop.
      shape[0] = 1;
      for (int k = 0; k < kOperands; ++k) strides[k][0] = 1;
    }
  }

  int64_t inner_extent() const { return shape[rank - 1]; }
  int64_t inner_stride(int operand) const { return strides[operand][rank - 1]; }

  // row(offsets), with the element offset of each operand, for each innermost
  // row in order.
  template <typename Row>
  void ForEachRow(const Row& row) const {
    if (size == 0) return;
    int64_t offsets[kOperands] = {};
    if (rank == 1) {
      row(offsets);
      return;
    }
    int64_t index[kMaxRank] = {};
    while (true) {
      row(offsets);
      int axis = rank - 2;
      for (; axis >= 0; --axis) {
        for (int k = 0; k < kOperands; ++k) offsets[k] += strides[k][axis];
        if (++index[axis] < shape[axis]) break;
        index[axis] = 0;
        for (int k = 0; k < kOperands; ++k) {
          offsets[k] -= strides[k][axis] * shape[axis];
        }
      }
      if (axis < 0) return;
    }
  }
};

// out[i] = x[i * stride], i < n.
template <typename T>
inline void GatherRow(int64_t n, const T* x, int64_t stride, T* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = x[i * stride];
}

// Elements that are gathered at a time into a buffer on the stack, where an
// operand's innermost stride is neither 0 nor 1. Three buffers of doubles stay
// in a first-level cache.
constexpr int64_t kGatherChunk = 256;

}  // namespace ops_internal
}  // namespace septet

#endif  // SEPTET_CORE_OPS_STRIDED_LOOP_H_
