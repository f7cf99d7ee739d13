// SPDX-License-Identifier: Apache-2.0
// The tolerance of the gahb cases other than Jacobians, as their README gives
// it.
#ifndef SEPTET_CORE_CONFORMANCE_GAHB_TOLERANCE_H_
#define SEPTET_CORE_CONFORMANCE_GAHB_TOLERANCE_H_

#include "septet/core/conformance/tolerance.h"

namespace septet {

// Relative to the largest |want| of the tensor; 1e-12 absolute where it is all
// zero.
inline constexpr Tolerance kGahbF64 = {/*absolute=*/0, /*relative=*/1e-9,
                                       Tolerance::Scale::kTensor,
                                       /*min_scale=*/0,
                                       /*absolute_if_zero=*/1e-12};
inline constexpr Tolerance kGahbF32 = {/*absolute=*/0, /*relative=*/2e-4,
                                       Tolerance::Scale::kTensor,
                                       /*min_scale=*/0,
                                       /*absolute_if_zero=*/1e-12};

}  // namespace septet

#endif  // SEPTET_CORE_CONFORMANCE_GAHB_TOLERANCE_H_
