// SPDX-License-Identifier: Apache-2.0
// Whether a computed tensor agrees with an expected one.
//
// Each golden family's README fixes a tolerance; all of them are
//
//   |got - want| <= absolute + relative * max(scale, min_scale)
//
// with the scale |want| of the element itself, or the largest |want| of the
// tensor:
//
//   redshift     {.absolute = 1e-9, .relative = 1e-9, kElement}
//   offline_rl   {.absolute = 1e-12, .relative = 1e-9, kTensor}
//   cope         {.relative = 1e-10, kTensor, .min_scale = 0.01 G}
//   gahb         {.relative = 1e-9, kTensor, .absolute_if_zero = 1e-12}
//
// Integers and bools agree where they are equal, whatever the tolerance. NaN
// agrees with NaN alone, an infinity with the same infinity; they do not count
// for the largest |want|. A NaN or infinity that was not expected is an error
// of infinite size.
#ifndef SEPTET_CORE_CONFORMANCE_TOLERANCE_H_
#define SEPTET_CORE_CONFORMANCE_TOLERANCE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "septet/core/tensor/tensor.h"

namespace septet {

struct Tolerance {
  enum class Scale {
    kElement,  // |want| of the element
    kTensor,   // the largest finite |want| of the tensor
  };

  double absolute = 0;
  double relative = 0;
  Scale scale = Scale::kTensor;
  double min_scale = 0;
  // In place of `absolute` where every element of `want` is 0.
  double absolute_if_zero = 0;
};

// The element at which |got - want| is largest as a multiple of what is
// allowed there.
struct Comparison {
  bool passed = false;
  double error = 0;            // |got - want|
  double allowed = 0;          // of `error`
  std::vector<int64_t> index;  // of the element; empty for rank 0
  double got = 0;
  double want = 0;
  // Why nothing could be compared (shape, kind of dtype); else empty.
  std::string problem;

  // "error 2e-16 of 1e-09 allowed", and where it does not pass also
  // " at [0, 3]: got 1, want 2"; or the problem.
  std::string ToString() const;
};

// Compares element by element. The dtypes may differ among floating ones, and
// among integers and bool; the shapes must be equal. Two empty tensors agree.
Comparison Compare(const Tensor& got, const Tensor& want,
                   const Tolerance& tolerance);

}  // namespace septet

#endif  // SEPTET_CORE_CONFORMANCE_TOLERANCE_H_
