// SPDX-License-Identifier: Apache-2.0
// Two-dimensional maximum, average and global average pooling of images, NHWC:
// x [N, H, W, C], f32 or f64.
//
//   const MaxPooled half = MaxPool2d(x, Pool2dOptions::Uniform(2, 2));
//   Var logits = Linear(GlobalAvgPool2d(half.y), w, b);
//
// Which windows there are, what padding is, which of equal values wins and what
// a NaN does is said in core/blas/pool.h, whose kernels run here. Cost: one
// operation for each element of each window, forward and backward.
//
// Errors: InvalidArgument naming the argument, what it is and what was
// expected. Differentiable any number of times; the gradient of a maximum goes
// to its place, all of it to the first of equal values. The composites choose
// by index: kh kw times the memory of the result.
#ifndef SEPTET_CORE_OPS_POOL_H_
#define SEPTET_CORE_OPS_POOL_H_

#include <cstdint>

#include "septet/core/autograd/var.h"

namespace septet {

struct Pool2dOptions {
  int64_t kernel_h = 1;
  int64_t kernel_w = 1;
  int64_t stride_h = 1;
  int64_t stride_w = 1;
  // On both sides; below the kernel.
  int64_t pad_h = 0;
  int64_t pad_w = 0;
  // Also windows that reach over the end.
  bool ceil_mode = false;
  // Average: divide by the pixels within the padded image instead of those
  // within the image. No effect on the maximum.
  bool count_include_pad = true;

  // The same for both axes.
  static Pool2dOptions Uniform(int64_t kernel, int64_t stride,
                               int64_t padding = 0, bool ceil_mode = false) {
    return {kernel, kernel, stride, stride, padding, padding, ceil_mode, true};
  }
};

struct MaxPooled {
  Var y;       // [N, OH, OW, C]
  Var argmax;  // i64 of y's shape: h W + w within the image; a constant
};

// Errors are in both results.
MaxPooled MaxPool2d(const Var& x, const Pool2dOptions& options);

// [N, OH, OW, C].
Var AvgPool2d(const Var& x, const Pool2dOptions& options);

// The mean of each channel over its image, [N, C], in the tree of Mean.
// InvalidArgument for images without a pixel.
Var GlobalAvgPool2d(const Var& x);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_POOL_H_
