// SPDX-License-Identifier: Apache-2.0
// Sorting along an axis, and the k largest or smallest elements.
//
//   const SortResult s = Sort(x, -1, {.descending = true});
//   // s.values and s.indices, of x's shape
//   const SortResult top = TopK(logits, 5);
//   // [..., V] -> top.values and top.indices [..., 5]
//   const Var order = ArgSort(x, 0);
//   // i64: the index in x of the smallest element comes first
//
// Ascending or descending, NaN comes last; equal elements (0 and -0 are equal)
// keep their order, the lower index first. So the order is one and the same
// whatever the machine or the number of threads.
//
// Cost: n log n comparisons a line of n; TopK n + k log k. Lines run in
// parallel. Values are differentiable as Gather is (core/ops/index.h): the
// gradient goes to the elements that were taken; indices are constants.
#ifndef SEPTET_CORE_OPS_SORT_H_
#define SEPTET_CORE_OPS_SORT_H_

#include <cstdint>

#include "septet/core/autograd/var.h"

namespace septet {

struct SortOptions {
  bool descending = false;
};

struct SortResult {
  Var values;   // x along the axis by `indices`; carries the error, if any
  Var indices;  // i64, a constant
};

// x: f32, f64, i32 or i64 of rank 1 to 8; the axis may be negative. Values and
// indices have x's shape. Indices count along the axis.
// Errors, in all three: InvalidArgument naming the axis, or k, and x.
SortResult Sort(const Var& x, int64_t axis = -1,
                const SortOptions& options = {});
Var ArgSort(const Var& x, int64_t axis = -1, const SortOptions& options = {});

struct TopKOptions {
  bool largest = true;  // else the smallest
};

// The k first of Sort in descending (smallest: ascending) order: x's shape with
// k along the axis. 0 <= k <= its extent. NaN is taken last.
SortResult TopK(const Var& x, int64_t k, int64_t axis = -1,
                const TopKOptions& options = {});

}  // namespace septet

#endif  // SEPTET_CORE_OPS_SORT_H_
