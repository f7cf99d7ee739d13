// SPDX-License-Identifier: Apache-2.0
// Private to the normalisation ops: how the backward pass over rows is cut into
// blocks whose gradients of the parameters are then added.
#ifndef SEPTET_CORE_OPS_NORM_OP_IMPL_H_
#define SEPTET_CORE_OPS_NORM_OP_IMPL_H_

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/reduce_kernels.h"
#include "septet/core/ops/reduce_tree.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace ops_internal {

// Rows of a block: four times what a loop without sums takes, because each
// block has gradients of its own; whole blocks of the tree over rows; and at
// most 64 blocks, so that there is little to add up in the end.
inline int64_t BackwardBlockRows(int64_t rows, int64_t n) {
  const auto tree = static_cast<int64_t>(kReduceColumnBlock);
  const int64_t wanted =
      std::max(4 * kElementwiseGrain / n, (rows + 63) / int64_t{64});
  return (std::max<int64_t>(1, wanted) + tree - 1) / tree * tree;
}

// Calls fn(begin, end, gradients, workspace) for blocks of rows of n elements.
// `gradients` [width] is zero, and added to; `workspace` has
// workspace_of(rows of a block) elements. Then sums [width] holds the sum of
// all gradients: of T and T, for any number of threads. Without width, both are
// null.
template <typename T, typename WorkspaceOf, typename Fn>
absl::Status BackwardInBlocks(int64_t rows, int64_t n, int64_t width,
                              const WorkspaceOf& workspace_of, T* sums,
                              const Fn& fn) {
  if (rows == 0) {
    std::fill_n(sums, width, T{0});
    return absl::OkStatus();
  }
  const int64_t block_rows = BackwardBlockRows(rows, n);
  const int64_t blocks = NumBlocks(rows, block_rows);
  T* memory = nullptr;
  Tensor storage;
  const int64_t pitch =
      width == 0 ? 0 : width + workspace_of(std::min(rows, block_rows));
  if (width > 0) {
    SEPTET_ASSIGN_OR_RETURN(storage,
                            Tensor::Empty(Shape({blocks, pitch}), kDTypeOf<T>));
    memory = storage.mutable_data<T>();
    std::fill_n(memory, blocks * width, T{0});
  }
  ParallelFor(rows, block_rows, [&](int64_t begin, int64_t end) {
    const int64_t block = begin / block_rows;
    T* gradients = width == 0 ? nullptr : memory + block * width;
    T* workspace = width == 0
                       ? nullptr
                       : memory + blocks * width + block * (pitch - width);
    fn(begin, end, gradients, workspace);
  });
  if (width > 0) {
    std::fill_n(sums, width, T{0});
    ColumnSumKernel(blocks, width, memory, sums);
  }
  return absl::OkStatus();
}

}  // namespace ops_internal
}  // namespace septet

#endif  // SEPTET_CORE_OPS_NORM_OP_IMPL_H_
