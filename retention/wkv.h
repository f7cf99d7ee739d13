// SPDX-License-Identifier: Apache-2.0
// The "wkv" of RWKV-4 (Peng et al.: RWKV: Reinventing RNNs for the Transformer
// Era, 2023, arXiv 2305.13048, eq. 16): a mean of the values so far, weighted
// by their keys and, channel by channel, by their age. In row t,
//
//   y_t = (sum_{i < t} exp(k_i - (t - 1 - i) w) v_i + exp(k_t + u) v_t)
//       / (sum_{i < t} exp(k_i - (t - 1 - i) w)     + exp(k_t + u)).
//
//   w = Exp(p[time_decay]);
//   Var y = Wkv(k, v, w, p[time_first]).out;                    // [B, T, C]
//
//   // A long sequence in parts, or token by token:
//   WkvOutput a = Wkv(k1, v1, w, u, {}, true);
//   WkvOutput b = Wkv(k2, v2, w, u, a.state, true);
//
// The sums are kept with the largest exponent so far apart, so that keys of any
// size overflow nothing (retention/wkv_kernels.h says how).
//
// Cost: one scan over time forward, two exponentials an element; one forward
// and one backward for the gradient, six in all. Sequences and blocks of 64
// channels run in parallel. Memory beside inputs and results: a quarter of y,
// kept for the gradient. The same bits for any number of threads.
#ifndef SEPTET_RETENTION_WKV_H_
#define SEPTET_RETENTION_WKV_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "septet/core/autograd/var.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

struct WkvOutput {
  Var out;
  // If asked for: [B, 3, C], the sums a exp(m) and b exp(m) of numerator and
  // denominator behind the last row as a, b and m. A constant.
  Tensor state;
};

// k, v: [B, T, C], f32 or f64. w, the decay of a row, and u, the bonus of the
// row's own key: [C], finite, w >= 0 in the paper. state: as above, of the same
// dtype, or undefined: no rows before. T >= 1.
// Errors, in `out`: InvalidArgument naming the argument, expected and actual.
// Differentiable in k, v, w and u, not through the state, any number of times:
// first derivatives are fused, higher ones and forward mode go through
// elementary ops, row by row.
WkvOutput Wkv(const Var& k, const Var& v, const Var& w, const Var& u,
              const Tensor& state = {}, bool return_state = false);

// The state of no rows, [B, 3, C]. ResourceExhausted.
absl::StatusOr<Tensor> EmptyWkvState(int64_t batch, int64_t channels,
                                     DType dtype);

}  // namespace septet

#endif  // SEPTET_RETENTION_WKV_H_
