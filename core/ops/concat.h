// SPDX-License-Identifier: Apache-2.0
// Joining, cutting, padding and rearranging tensors along axes.
//
//   Var qkv = Linear(x, w, b);                              // [B, T, 3 D]
//   std::vector<Var> parts = Chunk(qkv, 3, /*axis=*/-1);    // views
//   Var keys = Concat({cache, parts[1]}, /*axis=*/1);
//   Var image = Pad(y, {0, 1, 1, 0}, {0, 1, 1, 0}, {PadMode::kReflect});
//
// Any dtype; axes may be negative. All are linear: gradients, for f32 and f64,
// are each other's, any number of times. Errors: InvalidArgument naming the
// argument, what was expected and what came.
//
// Slice, Split, Chunk, Squeeze and Unsqueeze copy nothing; the others write
// each element of the result once.
#ifndef SEPTET_CORE_OPS_CONCAT_H_
#define SEPTET_CORE_OPS_CONCAT_H_

#include <cstdint>
#include <initializer_list>
#include <vector>

#include "absl/types/span.h"
#include "septet/core/autograd/var.h"

namespace septet {

// The tensors, one or more, one after the other along `axis`; their other
// extents agree.
Var Concat(absl::Span<const Var> parts, int64_t axis);
inline Var Concat(std::initializer_list<Var> parts, int64_t axis) {
  return Concat(absl::MakeConstSpan(parts.begin(), parts.size()), axis);
}

// The tensors, one or more of one shape, along a new axis: element i of axis
// `axis` of the result is parts[i].
Var Stack(absl::Span<const Var> parts, int64_t axis);
inline Var Stack(std::initializer_list<Var> parts, int64_t axis) {
  return Stack(absl::MakeConstSpan(parts.begin(), parts.size()), axis);
}

// Elements begin, begin + step, ... below end of one axis; 0 <= begin <= end <=
// extent, step >= 1. A view. The gradient is zero elsewhere.
Var Slice(const Var& x, int64_t axis, int64_t begin, int64_t end,
          int64_t step = 1);

// Views of `sizes` elements each, which add up to the extent of the axis. Up to
// 10 parts share one gradient, written once; more are as many slices. On an
// error every part has it (one, if there are no sizes).
std::vector<Var> Split(const Var& x, absl::Span<const int64_t> sizes,
                       int64_t axis);
// `parts` equal parts; the extent must be a multiple.
std::vector<Var> Chunk(const Var& x, int64_t parts, int64_t axis);

// What stands beside the elements: a constant; the elements mirrored at the
// first and last one, which are not repeated (fewer than the extent); the
// first or last one; or the elements from the other end (at most the extent).
enum class PadMode { kConstant, kReflect, kEdge, kCircular };
struct PadOptions {
  PadMode mode = PadMode::kConstant;
  double value = 0;  // for kConstant, converted to the dtype
};
// before[i] and after[i] elements at either end of axis i, >= 0, below 2^31;
// one an axis.
Var Pad(const Var& x, absl::Span<const int64_t> before,
        absl::Span<const int64_t> after, const PadOptions& options = {});
inline Var Pad(const Var& x, std::initializer_list<int64_t> before,
               std::initializer_list<int64_t> after,
               const PadOptions& options = {}) {
  return Pad(x, absl::MakeConstSpan(before.begin(), before.size()),
             absl::MakeConstSpan(after.begin(), after.size()), options);
}

// The axis in reverse order.
Var Flip(const Var& x, int64_t axis);

// Element i of the axis goes to (i + shift) modulo the extent, as in NumPy.
Var Roll(const Var& x, int64_t axis, int64_t shift);

// x repeated `times` times, >= 0, along an axis: a b a b (Tile), a a b b
// (Repeat).
Var Tile(const Var& x, int64_t axis, int64_t times);
Var Repeat(const Var& x, int64_t axis, int64_t times);

// Without an axis of extent 1; with one more, before axis `axis` (from -rank -
// 1 to rank).
Var Squeeze(const Var& x, int64_t axis);
Var Unsqueeze(const Var& x, int64_t axis);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_CONCAT_H_
