// SPDX-License-Identifier: Apache-2.0
// Reading and writing elements by index: rows of a table, one element a
// position, sums into chosen places; one-hot rows, the place of an extreme,
// masks.
//
//   Var h = Embedding(table, ids);           // of [V, D], [B, T]: [B, T, D]
//   Var q = Gather(values, -1, actions);     // of [B, A], [B, 1]: [B, 1]
//   Var attention = Where(CausalMask(T, S), scores, lowest);
//
// Indices are i32 or i64 and count from 0; they are constants. One outside of
// its range, negative ones included, is an InvalidArgument that names its
// place, its value and the range. Axes may be negative. Results are new
// row-major tensors; whatever has elements chosen may be of any dtype, what is
// differentiated f32 or f64.
//
// Gradients are dense and exact for repeated indices: what lands in one place
// is added in the order of the indices, in a fixed tree or in double, by no
// atomics, so that bits do not depend on the number of threads. All are linear
// in x and differentiable any number of times.
#ifndef SEPTET_CORE_OPS_INDEX_H_
#define SEPTET_CORE_OPS_INDEX_H_

#include <cstdint>

#include "septet/core/autograd/var.h"
#include "septet/core/tensor/dtype.h"

namespace septet {

// The rows of weight [V, D] that ids [...] name: [..., D]. Reads and writes
// each row once. Gradient: [V, D], the ids sorted by counting in O(V + ids),
// then each row written once.
Var Embedding(const Var& weight, const Var& ids);

// x with `axis` replaced by the K places that index [K] names.
Var IndexSelect(const Var& x, int64_t axis, const Var& index);

// out[i, j, k] = x[i, index[i, j, k], k] at axis 1, and so on for the other
// axes: torch.gather. index has the rank of x; its extents are at most those of
// x, but for `axis`, where there is no limit.
Var Gather(const Var& x, int64_t axis, const Var& index);

// x with source[i, j, k] added to [i, index[i, j, k], k] (at axis 1):
// torch.scatter_add. x, index and source have the same extents but for `axis`,
// where those of index and source agree. x: f32, f64, i32 or i64.
Var ScatterAdd(const Var& x, int64_t axis, const Var& index, const Var& source);

// The same with source put in place of what x has. Where an index is repeated
// the last one counts, and it alone has a gradient.
Var Scatter(const Var& x, int64_t axis, const Var& index, const Var& source);

// [...] -> [..., depth] of f32, f64, i32 or i64: 1 at ids, else 0. A constant.
Var OneHot(const Var& ids, int64_t depth, DType dtype = DType::kF32);

struct ArgOptions {
  bool keep_dims = false;
};

// The place of the largest (smallest) element along an axis, i64: the first of
// equal ones; the first NaN, if there is one, is both. x: f32, f64, i32 or
// i64; the axis must not be empty. Not differentiable.
Var ArgMax(const Var& x, int64_t axis = -1, const ArgOptions& options = {});
Var ArgMin(const Var& x, int64_t axis = -1, const ArgOptions& options = {});

// x with `value` where mask (bool, broadcast) is true. The gradient is 0 there.
Var MaskedFill(const Var& x, const Var& mask, double value);

// bool [queries, keys]: true where query t may see key s, which is
// s <= t + keys - queries (the last query sees every key). Both >= 0.
Var CausalMask(int64_t queries, int64_t keys);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_INDEX_H_
