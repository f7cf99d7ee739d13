// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/flop_rate.h"

#include "septet/core/base/check.h"
#include "septet/core/blas/peak.h"

namespace septet {

double MeasureFlopRate(int threads) {
  SEPTET_CHECK_GE(threads, 1);
  return kExpectedEfficiency * threads * PeakFlops<float>();
}

}  // namespace septet
