// SPDX-License-Identifier: Apache-2.0
// Token shift of RWKV-4 (Peng et al., 2023, arXiv 2305.13048, eq. 11 to 13):
// mixtures of each row with the one before it, channel by channel. With
// x_{-1} = `before`, or 0,
//
//   y^m_t = mix_m x_t + (1 - mix_m) x_{t-1},   m = 0, ..., M - 1.
//
//   std::vector<Var> y = TokenShift(x, p[mix]);   // M times [B, T, C]
//
// Cost: one walk over x for all mixtures, one over x and the gradients
// backward. The same bits for any number of threads.
#ifndef SEPTET_RETENTION_TOKEN_SHIFT_H_
#define SEPTET_RETENTION_TOKEN_SHIFT_H_

#include <vector>

#include "septet/core/autograd/var.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

// x: [B, T, C], f32 or f64. mix: [M, C], M in 1 to 3. before: [B, C], what a
// sequence had in its last row, or undefined; a constant. M results [B, T, C].
// Errors, in each of the results (one, if M is not known): InvalidArgument
// naming the argument, expected and actual.
// Differentiable in x and mix any number of times: first derivatives are
// fused, higher ones and forward mode go through elementary ops.
std::vector<Var> TokenShift(const Var& x, const Var& mix,
                            const Tensor& before = {});

}  // namespace septet

#endif  // SEPTET_RETENTION_TOKEN_SHIFT_H_
