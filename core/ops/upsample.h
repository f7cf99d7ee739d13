// SPDX-License-Identifier: Apache-2.0
// Images of another size: nearest neighbour or bilinear, as PyTorch's
// interpolate without antialiasing. NHWC: x [N, H, W, C], f32 or f64.
//
//   Var twice = Upsample2d(x, 2, 2);                       // nearest
//   Var y = Resize2d(x, 224, 224, {ResizeMode::kBilinear});
//
// Output place i of n along an axis of m input places reads, in mode
// - nearest: place floor(i m / n), in integers;
// - bilinear: between the neighbours of max(0, (i + 0.5) m / n - 0.5), no
//   further than the last;
// - bilinear with align_corners: between the neighbours of i (m - 1) / (n - 1),
//   or place 0 for n of 1,
// with weights computed in double. Cost: 1 (4) operations an output element
// forward, as many backward. Linear in x: differentiable any number of times.
//
// Errors: InvalidArgument naming the argument, what it is and what was
// expected: other dtypes or ranks, sizes or factors below 1, images without a
// pixel, align_corners with nearest.
#ifndef SEPTET_CORE_OPS_UPSAMPLE_H_
#define SEPTET_CORE_OPS_UPSAMPLE_H_

#include <cstdint>

#include "septet/core/autograd/var.h"

namespace septet {

enum class ResizeMode { kNearest, kBilinear };

struct ResizeOptions {
  ResizeMode mode = ResizeMode::kNearest;
  bool align_corners = false;  // bilinear alone
};

// [N, out_h, out_w, C]; larger or smaller.
Var Resize2d(const Var& x, int64_t out_h, int64_t out_w,
             const ResizeOptions& options = {});

// [N, factor_h H, factor_w W, C].
Var Upsample2d(const Var& x, int64_t factor_h, int64_t factor_w,
               const ResizeOptions& options = {});

}  // namespace septet

#endif  // SEPTET_CORE_OPS_UPSAMPLE_H_
