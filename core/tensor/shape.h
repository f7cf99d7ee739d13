// SPDX-License-Identifier: Apache-2.0
// Extents of a tensor: at most kMaxRank non-negative 64-bit numbers, kept
// inline, whose product fits into 63 bits.
#ifndef SEPTET_CORE_TENSOR_SHAPE_H_
#define SEPTET_CORE_TENSOR_SHAPE_H_

#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "septet/core/base/check.h"

namespace septet {

inline constexpr int kMaxRank = 8;

class Shape {
 public:
  // Rank 0: a scalar, one element.
  Shape() = default;

  // For extents that the program has made itself: aborts if there are more
  // than kMaxRank, one is negative, or the product overflows. Use Create for
  // numbers from outside.
  Shape(std::initializer_list<int64_t> dims)
      : Shape(absl::MakeConstSpan(dims.begin(), dims.size())) {}
  explicit Shape(absl::Span<const int64_t> dims);

  // InvalidArgument, with the extents, where the constructor would abort.
  static absl::StatusOr<Shape> Create(absl::Span<const int64_t> dims);

  int rank() const { return rank_; }
  int64_t dim(int axis) const {
    SEPTET_DCHECK(axis >= 0 && axis < rank_);
    return dims_[axis];
  }
  int64_t operator[](int axis) const { return dim(axis); }
  absl::Span<const int64_t> dims() const {
    return absl::MakeConstSpan(dims_, rank_);
  }
  int64_t num_elements() const {
    int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n *= dims_[i];
    return n;
  }

  // The same extents but one. The product must still fit.
  Shape WithDim(int axis, int64_t extent) const;

  // "[2, 3]"; "[]" for a scalar.
  std::string ToString() const;

  friend bool operator==(const Shape& a, const Shape& b) {
    if (a.rank_ != b.rank_) return false;
    for (int i = 0; i < a.rank_; ++i) {
      if (a.dims_[i] != b.dims_[i]) return false;
    }
    return true;
  }
  friend bool operator!=(const Shape& a, const Shape& b) { return !(a == b); }
  friend std::ostream& operator<<(std::ostream& os, const Shape& shape) {
    return os << shape.ToString();
  }

 private:
  int rank_ = 0;
  // Extents from rank_ on have no meaning and are never read.
  int64_t dims_[kMaxRank];
};

// The common shape of two operands under NumPy's rule: aligned at the last
// axis, equal extents or 1. InvalidArgument naming both shapes otherwise.
absl::StatusOr<Shape> BroadcastShapes(const Shape& a, const Shape& b);

// Axis `axis` of a tensor of rank `rank`, counted from the end if negative.
// InvalidArgument if it is not within [-rank, rank).
absl::StatusOr<int> ResolveAxis(int64_t axis, int rank);

}  // namespace septet

#endif  // SEPTET_CORE_TENSOR_SHAPE_H_
