// SPDX-License-Identifier: Apache-2.0
// Retention in elementary ops, with a matrix of rows by rows: the oracle of the
// kernels, and where derivatives of higher order come from. Private to
// retention.cc.
#ifndef SEPTET_RETENTION_RETENTION_COMPOSITE_H_
#define SEPTET_RETENTION_RETENTION_COMPOSITE_H_

#include <cstdint>

#include "septet/core/autograd/op.h"
#include "septet/retention/retention_problem.h"

namespace septet {
namespace retention_internal {

struct RetentionAttrs {
  RetentionNorm norm = RetentionNorm::kDecay;
  int64_t chunk = 64;
  int64_t backward_chunk = 64;
  bool recurrent = false;  // forward row by row
  double scale = 1;
  bool return_state = false;
};

// Inputs q, k, v, log_gamma, state, key_sum, offsets, positions; outputs out,
// state, key_sum, divisors (which nobody reads, and which are zeros here).
void RetentionComposite(CompositeArgs& args);

}  // namespace retention_internal
}  // namespace septet

#endif  // SEPTET_RETENTION_RETENTION_COMPOSITE_H_
