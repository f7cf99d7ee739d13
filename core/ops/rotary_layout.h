// SPDX-License-Identifier: Apache-2.0
// Which elements of a row form the pairs that a rotary embedding rotates.
#ifndef SEPTET_CORE_OPS_ROTARY_LAYOUT_H_
#define SEPTET_CORE_OPS_ROTARY_LAYOUT_H_

namespace septet {

// Pair i of the first R elements:
enum class RotaryLayout {
  kInterleaved,  // (2 i, 2 i + 1): RoFormer, GPT-J, RetNet
  kHalf,         // (i, i + R/2): GPT-NeoX, Llama as Hugging Face stores it
};

}  // namespace septet

#endif  // SEPTET_CORE_OPS_ROTARY_LAYOUT_H_
