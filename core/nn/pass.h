// SPDX-License-Identifier: Apache-2.0
// What one pass through a model is: training or not, and where its random
// numbers come from.
//
//   Pass pass = Pass::Training(seed, step);
//   Var logits = model.Forward(p, pass, tokens);
//   Var values = model.Forward(p, Pass(), tokens);   // evaluation
//
// A dropout mask is a function of seed, layer and step, so that a run can be
// resumed, a pass repeated (Checkpoint) and one layer's mask be had without the
// others'. Give every pass through a model a step of its own.
#ifndef SEPTET_CORE_NN_PASS_H_
#define SEPTET_CORE_NN_PASS_H_

#include <cstdint>

#include "septet/core/random/philox.h"

namespace septet {

struct Pass {
  // Dropout and batch statistics are on.
  bool training = false;
  uint64_t seed = 0;  // its low 32 bits count, as in RandomStream
  uint64_t step = 0;  // number of the pass
  // Batch norm moves its running statistics. Off where a pass is repeated.
  bool update_statistics = true;

  static Pass Training(uint64_t seed, uint64_t step) {
    Pass pass;
    pass.training = true;
    pass.seed = seed;
    pass.step = step;
    return pass;
  }
};

// The key of this pass's mask in the layer whose stream is `layer`
// (ParameterScope::DropoutStream): words 0 and 1 of element `step` of that
// stream.
inline PhiloxKey DropoutKey(const Pass& pass, uint32_t layer) {
  const PhiloxBlock words =
      PhiloxElement({static_cast<uint32_t>(pass.seed), layer}, pass.step);
  return {words[0], words[1]};
}

}  // namespace septet

#endif  // SEPTET_CORE_NN_PASS_H_
