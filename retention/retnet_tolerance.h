// SPDX-License-Identifier: Apache-2.0
// The tolerances of retnet's families: 1e-10 (1 + max |expected|) in float64;
// in float32 1e-5 of it for values and 5e-5 for gradients, because rounding the
// inputs alone moves some gradients by 6e-6.
#ifndef SEPTET_RETENTION_RETNET_TOLERANCE_H_
#define SEPTET_RETENTION_RETNET_TOLERANCE_H_

#include "septet/core/conformance/tolerance.h"
#include "septet/core/tensor/dtype.h"

namespace septet {

inline constexpr Tolerance kRetnetF64 = {1e-10, 1e-10,
                                         Tolerance::Scale::kTensor};
inline constexpr Tolerance kRetnetF32 = {1e-5, 1e-5, Tolerance::Scale::kTensor};

// Of gradients.
constexpr Tolerance RetnetGradientTolerance(DType dtype) {
  return dtype == DType::kF64
             ? kRetnetF64
             : Tolerance{5e-5, 5e-5, Tolerance::Scale::kTensor};
}

}  // namespace septet

#endif  // SEPTET_RETENTION_RETNET_TOLERANCE_H_
