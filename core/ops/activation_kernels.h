// SPDX-License-Identifier: Apache-2.0
// Activation functions and their derivatives on contiguous arrays, on the CPU.
// The definitions are in activation_kind.h.
//
//   ActivationForward(ActivationKind::kGelu, n, x, y);        // y = phi(x)
//   ActivationBackward(ActivationKind::kGelu, n, x, dy, dx);  // dx
//
// Plain functions of float or double, elementwise: y may be x, dx may be x or
// dy; other overlap is not allowed. Pointers need the alignment of their type.
//
// Accuracy: relative, into the tails: the left tails of gelu, swish, sigmoid,
// softplus and gaussian, and their derivatives, keep about 1e-15 (double) or
// 1e-6 (float) of their own size down to where they underflow; gelu_tanh's that
// times its exponent, 1.6 |x + 0.0447 x^3|, which is rounded. Beside the
// zeros of a derivative the error is of that size relative to its terms. NaN
// gives NaN in the forward direction. At -infinity gelu, gelu_tanh and swish
// are NaN, as their formulas: 0 * infinity; all derivatives but sin's have
// their limits at both infinities.
//
// The bits of an element depend on its x (and dy) only, not on its place. They
// differ in the last places between machines with and without fused
// multiply-add.
//
// Cost in cache, one thread of a Zen 4 core (AVX-512), ns an element, forward
// and backward: float 0.06 (relu) to 0.7 (gelu, softplus), double 0.15 to 2.0
// (activation_kernels_benchmark).
#ifndef SEPTET_CORE_OPS_ACTIVATION_KERNELS_H_
#define SEPTET_CORE_OPS_ACTIVATION_KERNELS_H_

#include <cstdint>

#include "septet/core/ops/activation_kind.h"
#include "septet/core/ops/store_mode.h"

namespace septet {

// y[i] = phi(x[i]), i < n. mode: of the whole output, of which y may be a part
// (store_mode.h).
void ActivationForward(ActivationKind kind, int64_t n, const float* x, float* y,
                       StoreMode mode = StoreMode::kCached);
void ActivationForward(ActivationKind kind, int64_t n, const double* x,
                       double* y, StoreMode mode = StoreMode::kCached);

// dx[i] = dy[i] phi'(x[i]); dx is overwritten.
void ActivationBackward(ActivationKind kind, int64_t n, const float* x,
                        const float* dy, float* dx,
                        StoreMode mode = StoreMode::kCached);
void ActivationBackward(ActivationKind kind, int64_t n, const double* x,
                        const double* dy, double* dx,
                        StoreMode mode = StoreMode::kCached);

// d[i] = phi'(x[i]).
void ActivationDerivative(ActivationKind kind, int64_t n, const float* x,
                          float* d);
void ActivationDerivative(ActivationKind kind, int64_t n, const double* x,
                          double* d);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_ACTIVATION_KERNELS_H_
