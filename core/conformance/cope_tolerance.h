// SPDX-License-Identifier: Apache-2.0
// The tolerance of all cope cases, as their README gives it: the error of a
// tensor is max|got - want| / max(max|want|, 0.01 G), G being the largest
// magnitude over the file's `grad*` tensors for a gradient, and over the tensor
// itself for any other.
#ifndef SEPTET_CORE_CONFORMANCE_COPE_TOLERANCE_H_
#define SEPTET_CORE_CONFORMANCE_COPE_TOLERANCE_H_

#include <algorithm>
#include <cmath>
#include <string>

#include "absl/status/statusor.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/conformance/case.h"
#include "septet/core/conformance/tolerance.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

inline constexpr Tolerance kCopeF64{.relative = 1e-10};
inline constexpr Tolerance kCopeF32{.relative = 2e-5};

// Of gradients, which need the floor of 0.01 G; `file` by value, because
// looking for G is not using a tensor.
inline absl::StatusOr<Tolerance> CopeGradientTolerance(Case file, DType dtype) {
  Tolerance tolerance = dtype == DType::kF64 ? kCopeF64 : kCopeF32;
  for (const std::string& name : file.TensorNames("grad")) {
    SEPTET_ASSIGN_OR_RETURN(const Tensor grad, file.Input(name, DType::kF64));
    for (const double value : grad.ToVector<double>()) {
      tolerance.min_scale =
          std::max(tolerance.min_scale, 0.01 * std::abs(value));
    }
  }
  return tolerance;
}

}  // namespace septet

#endif  // SEPTET_CORE_CONFORMANCE_COPE_TOLERANCE_H_
