// SPDX-License-Identifier: Apache-2.0
// Two-dimensional convolution of images (cross-correlation) and its transpose.
// Images are NHWC: x [N, H, W, Cin], w [KH, KW, Cin / groups, Cout]. For images
// and weights in the layouts of PyTorch (NCHW, OIHW, IOHW) there is
// core/ops/image_layout.h.
//
//   // 3 x 3, padded to keep the size, then half of it.
//   Var y = Conv2d(x, w1, b1, Conv2dOptions::Uniform(1, 1));
//   Var z = Conv2d(Relu(y), w2, b2, Conv2dOptions::Uniform(2, 1));
//
// The formula, the threads and what a NaN does are core/blas/conv.h's, whose
// vector kernels run here, in f32 and f64; the bias is added within them, and
// its gradient summed with that of the weights if both are asked for.
// Cost: 2 N OH OW KH KW Cin Cout / groups operations forward and twice that
// backward. All functions are linear in each argument, and their derivatives
// are each other: differentiable any number of times.
//
// Errors: InvalidArgument naming the argument, what it is and what was
// expected: wrong ranks, dtypes and channels, sizes out of range, groups that
// do not divide the channels, a kernel larger than the padded image.
#ifndef SEPTET_CORE_OPS_CONV_H_
#define SEPTET_CORE_OPS_CONV_H_

#include <cstdint>

#include "septet/core/autograd/var.h"

namespace septet {

struct Conv2dOptions {
  int64_t stride_h = 1;
  int64_t stride_w = 1;
  // Rows and columns of zeros around the image.
  int64_t pad_top = 0;
  int64_t pad_bottom = 0;
  int64_t pad_left = 0;
  int64_t pad_right = 0;
  int64_t dilation_h = 1;
  int64_t dilation_w = 1;
  // Channels are cut into so many groups that see nothing of each other; as
  // many as there are input channels is depthwise.
  int64_t groups = 1;

  // The same for both axes and all sides.
  static Conv2dOptions Uniform(int64_t stride, int64_t padding,
                               int64_t groups = 1, int64_t dilation = 1) {
    return {stride,  stride,   padding,  padding, padding,
            padding, dilation, dilation, groups};
  }
};

// [N, OH, OW, Cout], OH = floor((H + pads - dilation (KH - 1) - 1) / stride) +
// 1. bias [Cout] may be an undefined Var. N, Cin and Cout may be 0.
Var Conv2d(const Var& x, const Var& w, const Var& bias,
           const Conv2dOptions& options = {});

// The transposed convolution (Zeiler et al., 2010, "deconvolution"): the
// gradient of a convolution with these options with respect to its input. x
// [N, H, W, Cin], w [KH, KW, Cout / groups, Cin], bias [Cout] or undefined; the
// result is [N, OH, OW, Cout] with
//   OH = (H - 1) stride - pads + dilation (KH - 1) + 1 + output_padding_h,
// 0 <= output_padding < stride: rows and columns at the end.
Var ConvTranspose2d(const Var& x, const Var& w, const Var& bias,
                    const Conv2dOptions& options = {},
                    int64_t output_padding_h = 0, int64_t output_padding_w = 0);

// The gradient of a convolution with these options with respect to its weights
// of kh rows and kw columns: [kh, kw, Cin / groups, Cout], for its input x
// [N, H, W, Cin] and a gradient dy [N, OH, OW, Cout] of its output.
Var Conv2dWeightGrad(const Var& x, const Var& dy, int64_t kh, int64_t kw,
                     const Conv2dOptions& options = {});

}  // namespace septet

#endif  // SEPTET_CORE_OPS_CONV_H_
