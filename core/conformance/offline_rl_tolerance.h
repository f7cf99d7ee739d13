// SPDX-License-Identifier: Apache-2.0
// The tolerance of all offline_rl cases, as their README gives it.
#ifndef SEPTET_CORE_CONFORMANCE_OFFLINE_RL_TOLERANCE_H_
#define SEPTET_CORE_CONFORMANCE_OFFLINE_RL_TOLERANCE_H_

#include "septet/core/conformance/tolerance.h"

namespace septet {

// The largest |want| is over the tensor.
inline constexpr Tolerance kOfflineRlF64 = {/*absolute=*/1e-12,
                                            /*relative=*/1e-9,
                                            Tolerance::Scale::kTensor};
inline constexpr Tolerance kOfflineRlF32 = {/*absolute=*/1e-6,
                                            /*relative=*/2e-5,
                                            Tolerance::Scale::kTensor};

}  // namespace septet

#endif  // SEPTET_CORE_CONFORMANCE_OFFLINE_RL_TOLERANCE_H_
