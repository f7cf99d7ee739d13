// SPDX-License-Identifier: Apache-2.0
#include "septet/core/tensor/shape.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "septet/core/base/check.h"
#include "septet/core/base/status_macros.h"

namespace septet {

absl::StatusOr<Shape> Shape::Create(absl::Span<const int64_t> dims) {
  const auto text = [&] {
    return absl::StrCat("[", absl::StrJoin(dims, ", "), "]");
  };
  if (dims.size() > kMaxRank) {
    return absl::InvalidArgumentError(absl::StrCat(
        "shape ", text(), " has rank ", dims.size(), ", at most ", kMaxRank));
  }
  Shape shape;
  shape.rank_ = static_cast<int>(dims.size());
  // A zero makes the product 0, but the strides of the others must fit too.
  int64_t product = 1;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("shape ", text(), " has a negative extent at axis ", i));
    }
    if (__builtin_mul_overflow(product, std::max<int64_t>(dims[i], 1),
                               &product)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "shape ", text(), " has more elements than fit into 63 bits"));
    }
    shape.dims_[i] = dims[i];
  }
  return shape;
}

Shape::Shape(absl::Span<const int64_t> dims) {
  absl::StatusOr<Shape> shape = Create(dims);
  SEPTET_CHECK(shape.ok()) << shape.status().message();
  *this = *shape;
}

Shape Shape::WithDim(int axis, int64_t extent) const {
  SEPTET_CHECK(axis >= 0 && axis < rank_) << "axis " << axis << " of " << *this;
  Shape shape = *this;
  shape.dims_[axis] = extent;
  return Shape(shape.dims());
}

std::string Shape::ToString() const {
  return absl::StrCat("[", absl::StrJoin(dims(), ", "), "]");
}

absl::StatusOr<Shape> BroadcastShapes(const Shape& a, const Shape& b) {
  if (a == b) return a;
  const int rank = std::max(a.rank(), b.rank());
  int64_t dims[kMaxRank];
  for (int i = 0; i < rank; ++i) {
    const int ia = i - (rank - a.rank());
    const int ib = i - (rank - b.rank());
    const int64_t da = ia < 0 ? 1 : a[ia];
    const int64_t db = ib < 0 ? 1 : b[ib];
    if (da != db && da != 1 && db != 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("shapes ", a.ToString(), " and ", b.ToString(),
                       " do not broadcast: ", da, " against ", db));
    }
    dims[i] = da == 1 ? db : da;
  }
  SEPTET_ASSIGN_OR_RETURN(
      Shape shape, Shape::Create(absl::MakeConstSpan(dims, rank)),
      _ << "shapes " << a << " and " << b << " broadcast to too much");
  return shape;
}

absl::StatusOr<int> ResolveAxis(int64_t axis, int rank) {
  if (axis < -rank || axis >= rank) {
    return absl::InvalidArgumentError(absl::StrCat(
        "axis ", axis, " is not within [", -rank, ", ", rank, ")"));
  }
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

}  // namespace septet
