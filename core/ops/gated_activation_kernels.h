// SPDX-License-Identifier: Apache-2.0
// Gated activations, y = phi(x) gate, and their gradients on contiguous arrays,
// on the CPU: the middle of a gated linear unit in one pass.
//
//   GatedActivationForward(ActivationKind::kSwish, n, x, gate, y);
//   GatedActivationBackward(ActivationKind::kSwish, n, x, gate, dy, dx, dgate);
//
// Plain functions of float or double, elementwise. The functions and their
// accuracy are those of activation_kernels.h; phi and its derivative share
// what they have in common. The bits of an element depend on its inputs only,
// not on its place.
//
// Cost: as an activation and a product; in cache, swish f32, one thread of a
// Zen 4 core (AVX-512): 0.6 ns an element forward, 0.8 backward.
#ifndef SEPTET_CORE_OPS_GATED_ACTIVATION_KERNELS_H_
#define SEPTET_CORE_OPS_GATED_ACTIVATION_KERNELS_H_

#include <cstdint>

#include "septet/core/ops/activation_kind.h"
#include "septet/core/ops/store_mode.h"

namespace septet {

// y[i] = phi(x[i]) gate[i], i < n. y may be x or gate. mode: of the whole
// output, of which y may be a part (store_mode.h).
void GatedActivationForward(ActivationKind kind, int64_t n, const float* x,
                            const float* gate, float* y,
                            StoreMode mode = StoreMode::kCached);
void GatedActivationForward(ActivationKind kind, int64_t n, const double* x,
                            const double* gate, double* y,
                            StoreMode mode = StoreMode::kCached);

// dx[i] = dy[i] gate[i] phi'(x[i]), dgate[i] = dy[i] phi(x[i]). Each output may
// be one of the inputs, but not both the same.
void GatedActivationBackward(ActivationKind kind, int64_t n, const float* x,
                             const float* gate, const float* dy, float* dx,
                             float* dgate, StoreMode mode = StoreMode::kCached);
void GatedActivationBackward(ActivationKind kind, int64_t n, const double* x,
                             const double* gate, const double* dy, double* dx,
                             double* dgate,
                             StoreMode mode = StoreMode::kCached);

// The same, and y as GatedActivationForward has it, but for rounding: what a
// derivative by the next layer's weight reads, in place of keeping it. y may be
// x.
void GatedActivationBackwardAndValue(ActivationKind kind, int64_t n,
                                     const float* x, const float* gate,
                                     const float* dy, float* dx, float* dgate,
                                     float* y);
void GatedActivationBackwardAndValue(ActivationKind kind, int64_t n,
                                     const double* x, const double* gate,
                                     const double* dy, double* dx,
                                     double* dgate, double* y);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_GATED_ACTIVATION_KERNELS_H_
