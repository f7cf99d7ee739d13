// SPDX-License-Identifier: Apache-2.0
// The tolerance of the nat cases for which their README gives no other.
#ifndef SEPTET_CORE_CONFORMANCE_NAT_TOLERANCE_H_
#define SEPTET_CORE_CONFORMANCE_NAT_TOLERANCE_H_

#include "septet/core/conformance/tolerance.h"

namespace septet {

// Relative to the largest |want| of the tensor.
inline constexpr Tolerance kNatF64 = {/*absolute=*/0, /*relative=*/1e-10,
                                      Tolerance::Scale::kTensor};
inline constexpr Tolerance kNatF32 = {/*absolute=*/0, /*relative=*/2e-5,
                                      Tolerance::Scale::kTensor};

}  // namespace septet

#endif  // SEPTET_CORE_CONFORMANCE_NAT_TOLERANCE_H_
