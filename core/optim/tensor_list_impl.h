// SPDX-License-Identifier: Apache-2.0
// Lists of parameters as one long row of elements, for updates that are fused
// over all of them.
#ifndef SEPTET_CORE_OPTIM_TENSOR_LIST_IMPL_H_
#define SEPTET_CORE_OPTIM_TENSOR_LIST_IMPL_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace optim_internal {

// One tensor of a list, as messages name it: "adam: gradient 3".
struct TensorName {
  absl::string_view list;
  size_t index;

  std::string ToString() const { return absl::StrCat(list, " ", index); }
};

// OK if `tensor` is a contiguous f32 or f64 tensor in the memory of the CPU;
// InvalidArgument or Unimplemented, with its name, if not.
absl::Status ValidateTensor(const TensorName& name, const Tensor& tensor);

// The same, and it has the dtype and the shape.
absl::Status ValidateLike(const TensorName& name, const Tensor& tensor,
                          DType dtype, const Shape& shape);

// OK if params[i] and grads[i] are like `like` in number, dtype, shape and
// layout, and the parameters can be written; errors as in adam.h, naming the
// optimiser.
absl::Status ValidateUpdate(absl::string_view name,
                            absl::Span<const Tensor> like,
                            absl::Span<const Tensor> params,
                            absl::Span<const Tensor> grads);

// Whether weight decay holds for each of `count` parameters: for all if `decay`
// is empty. InvalidArgument naming the optimiser if it has another length.
absl::StatusOr<std::vector<bool>> DecayMask(absl::string_view name,
                                            const std::vector<bool>& decay,
                                            size_t count);

using NamedTensor = std::pair<std::string, Tensor>;

// Copies of the entries of `state` in the order of `own`, the first of which is
// "step", of type i64 and rank 0. InvalidArgument as for Adam::SetState, naming
// the optimiser and its number of parameters.
absl::StatusOr<std::vector<Tensor>> MatchState(
    absl::string_view name, absl::Span<const NamedTensor> own,
    absl::Span<const NamedTensor> state, size_t num_params);

// Elements that one thread takes at a time: some 10 us, and far below a
// second-level cache.
constexpr int64_t kGrain = 16384;

// fn(index, begin, end) for ranges that together are the elements [begin, end)
// of the row, in order; ends[i] is the number of elements in tensors 0..i.
template <typename Fn>
void ForEachPart(const std::vector<int64_t>& ends, int64_t begin, int64_t end,
                 const Fn& fn) {
  size_t i = static_cast<size_t>(
      std::upper_bound(ends.begin(), ends.end(), begin) - ends.begin());
  while (begin < end) {
    const int64_t first = i == 0 ? 0 : ends[i - 1];
    const int64_t stop = std::min(end, ends[i]);
    if (begin < stop) fn(i, begin - first, stop - first);
    begin = stop;
    ++i;
  }
}

// The same for all elements of all tensors, from several threads.
template <typename Fn>
void ForEachRange(const std::vector<int64_t>& ends, const Fn& fn) {
  if (ends.empty()) return;
  ParallelFor(ends.back(), kGrain, [&](int64_t begin, int64_t end) {
    ForEachPart(ends, begin, end, fn);
  });
}

}  // namespace optim_internal
}  // namespace septet

#endif  // SEPTET_CORE_OPTIM_TENSOR_LIST_IMPL_H_
