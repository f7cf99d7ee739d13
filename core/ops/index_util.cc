// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/index_util.h"

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

// "[1, 2]" for an element of a row-major tensor; "" at rank 0.
std::string Place(const Shape& shape, int64_t element) {
  std::string text;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    const int64_t i = element % shape[axis];
    element /= shape[axis];
    text = text.empty() ? absl::StrCat(i, "]") : absl::StrCat(i, ", ", text);
  }
  return text.empty() ? text : absl::StrCat("[", text);
}

// The first element that is not allowed, or -1. The first loop has no exit, so
// that it runs on vectors.
template <typename I>
int64_t FirstOutside(const I* index, int64_t size, int64_t n,
                     const int64_t* ignored) {
  const auto limit = static_cast<uint64_t>(n);
  const int64_t skip = ignored != nullptr ? *ignored : 0;
  uint64_t outside = 0;
  for (int64_t i = 0; i < size; ++i) {
    const auto value = static_cast<int64_t>(index[i]);
    outside |= static_cast<uint64_t>(static_cast<uint64_t>(value) >= limit) &
               static_cast<uint64_t>(ignored == nullptr || value != skip);
  }
  if (outside == 0) return -1;
  int64_t i = 0;
  while (static_cast<uint64_t>(static_cast<int64_t>(index[i])) < limit ||
         (ignored != nullptr && static_cast<int64_t>(index[i]) == skip)) {
    ++i;
  }
  return i;
}

}  // namespace

absl::Status RequireIndices(absl::string_view name, const Tensor& index) {
  if (!index.defined()) return RequireDefined(name, index);
  if (index.dtype() == DType::kI32 || index.dtype() == DType::kI64) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(name, " is ", index.DebugString(), ", expected i32 or i64"));
}

absl::Status CheckIndices(absl::string_view name, const Tensor& index,
                          int64_t n, absl::string_view of,
                          const int64_t* ignored) {
  return WithIndices(index, [&](const auto* data) -> absl::Status {
    const int64_t bad = FirstOutside(data, index.num_elements(), n, ignored);
    if (bad < 0) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(name, Place(index.shape(), bad), " is ", data[bad],
                     ", expected 0 <= ", name, " < ", n, " (", of, ")",
                     ignored == nullptr ? "" : absl::StrCat(" or ", *ignored)));
  });
}

AxisView ViewAxis(const Shape& shape, int axis) {
  AxisView view;
  for (int i = 0; i < axis; ++i) view.outer *= shape[i];
  view.n = shape[axis];
  for (int i = axis + 1; i < shape.rank(); ++i) view.inner *= shape[i];
  return view;
}

}  // namespace septet
