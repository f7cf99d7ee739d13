// SPDX-License-Identifier: Apache-2.0
// Two-dimensional convolution (cross-correlation) of images, its derivatives,
// and its transpose. Images are NHWC, weights [KH, KW, Cin / groups, Cout]:
//
//   y[n, i, j, o] = bias[o] + sum over a, b, c of
//       x[n, i s_h - p_top + a d_h, j s_w - p_left + b d_w, c] w[a, b, c, o]
//
// with stride s, zero padding p, dilation d, and c over the input channels of
// the group of o: group g of G has the inputs [g Cin / G, (g + 1) Cin / G) and
// the outputs [g Cout / G, (g + 1) Cout / G). G = Cin is depthwise.
//
//   Conv2dShape s;                       // 3 x 3, padded by 1
//   s.n = 8; s.h = s.w = 32; s.c_in = s.c_out = 64; s.kh = s.kw = 3;
//   s.pad_top = s.pad_bottom = s.pad_left = s.pad_right = 1;
//   SEPTET_RETURN_IF_ERROR(Conv2dForward(s, x, w, bias, y));
//
// The transposed convolution has no functions of its own: for an image of
// `c_out` channels, Conv2dBackwardData is its forward function (with bias),
// Conv2dForward its gradient of the image, and Conv2dBackwardWeights, with the
// roles of x and dy exchanged, that of the weights. The shape is that of the
// convolution it transposes; output padding is a larger h and w.
//
// Implementation: one register-blocked vector kernel for float and double
// (conv_kernels.h): some output pixels times one or two vectors of output
// channels stay in registers, inputs are broadcast from the image itself, and
// rows of the kernel are contiguous in memory. Where the kernel reaches over
// the border, a band of the image is copied with its zeros. Depthwise
// convolutions have a kernel of their own, over channels. The transposed
// direction is the same kernel, once for each remainder by the stride.
// Conv2dReference... are the definitions in plain loops, for tests.
//
// Threads: bands of images and rows are cut by the shape alone and run in the
// current pool (core/base/thread_pool.h); the gradient of the weights is summed
// in a fixed tree over a number of parts that the shape fixes. The bits do not
// depend on the number of threads. They may differ between machines with other
// vector instructions.
//
// Cost: 2 n out_h out_w kh kw c_in c_out / groups floating-point operations for
// each function; memory beyond the arguments for a copy of the weights, some
// 200 KiB a thread (one row of the padded image, if that is more), and for the
// gradient of the weights some 400 KiB a thread and at most 16 copies of it
// within 4 MiB (one copy, if that is more).
//
// Errors of all functions: InvalidArgument, from ValidateConv2d;
// ResourceExhausted if there is no memory. A NaN or an infinity anywhere in
// what a sum reads makes it NaN or infinite; a padding zero times an infinite
// weight is NaN, as in any product with zero.
#ifndef SEPTET_CORE_BLAS_CONV_H_
#define SEPTET_CORE_BLAS_CONV_H_

#include <cstdint>

#include "absl/status/status.h"

namespace septet {

struct Conv2dShape {
  int64_t n = 0;      // images
  int64_t h = 0;      // rows of an input image
  int64_t w = 0;      // columns of an input image
  int64_t c_in = 0;   // channels of the input
  int64_t c_out = 0;  // channels of the output
  int64_t kh = 1;     // rows of the kernel
  int64_t kw = 1;     // columns of the kernel
  int64_t stride_h = 1;
  int64_t stride_w = 1;
  int64_t pad_top = 0;
  int64_t pad_bottom = 0;
  int64_t pad_left = 0;
  int64_t pad_right = 0;
  int64_t dilation_h = 1;
  int64_t dilation_w = 1;
  int64_t groups = 1;

  // Of a valid shape: floor((h + pads - d (kh - 1) - 1) / s) + 1.
  int64_t OutH() const {
    return (h + pad_top + pad_bottom - dilation_h * (kh - 1) - 1) / stride_h +
           1;
  }
  int64_t OutW() const {
    return (w + pad_left + pad_right - dilation_w * (kw - 1) - 1) / stride_w +
           1;
  }
};

// InvalidArgument, naming the field, what it is and what was expected: for
// negative extents and paddings, kernels, strides, dilations and groups below
// 1, groups that do not divide the channels, a kernel larger than the padded
// image, and sizes that overflow. n, c_in and c_out may be 0.
absl::Status ValidateConv2d(const Conv2dShape& shape);

// y [n, out_h, out_w, c_out] is overwritten; it must not overlap the inputs.
// x [n, h, w, c_in], w [kh, kw, c_in / groups, c_out], bias [c_out] or null.
absl::Status Conv2dForward(const Conv2dShape& shape, const float* x,
                           const float* w, const float* bias, float* y);
absl::Status Conv2dForward(const Conv2dShape& shape, const double* x,
                           const double* w, const double* bias, double* y);

// dx [n, h, w, c_in] is overwritten with sum over o, a, b of dy w, plus bias
// [c_in] unless that is null: the gradient of the input for the gradient dy of
// the output, or a transposed convolution of dy.
absl::Status Conv2dBackwardData(const Conv2dShape& shape, const float* dy,
                                const float* w, const float* bias, float* dx);
absl::Status Conv2dBackwardData(const Conv2dShape& shape, const double* dy,
                                const double* w, const double* bias,
                                double* dx);

// dw += the gradient of w; dbias [c_out] += the sum of dy over pixels, unless
// it is null.
absl::Status Conv2dBackwardWeights(const Conv2dShape& shape, const float* x,
                                   const float* dy, float* dw, float* dbias);
absl::Status Conv2dBackwardWeights(const Conv2dShape& shape, const double* x,
                                   const double* dy, double* dw, double* dbias);

// Windows of h x w pixels side by side, at most 255 of them.
struct Conv2dPool {
  int64_t h = 2;
  int64_t w = 2;
};

// InvalidArgument, naming the field, from ValidateConv2d and for windows that
// are larger than the result, have no pixel or more than 255.
absl::Status ValidateConv2dPool(const Conv2dShape& shape,
                                const Conv2dPool& pool);

// Convolution, maximum over windows and ReLU in one pass: the convolution's own
// result is made by bands that stay in the cache, and is never in memory.
//   y [n, out_h / pool.h, out_w / pool.w, c_out] = max(0, the maximum of the
//   window), rows and columns left over at the end belonging to no window;
//   winner, of y's shape: a pool.w + b for the window's first pixel (a, b) that
//   is the maximum, 255 where that is 0 or less. A NaN wins over every
//   number, and stays.
absl::Status Conv2dMaxPoolReluForward(const Conv2dShape& shape,
                                      const Conv2dPool& pool, const float* x,
                                      const float* w, const float* bias,
                                      float* y, uint8_t* winner);
absl::Status Conv2dMaxPoolReluForward(const Conv2dShape& shape,
                                      const Conv2dPool& pool, const double* x,
                                      const double* w, const double* bias,
                                      double* y, uint8_t* winner);

// Its derivatives: those of the convolution for the gradient that dy, of y's
// shape, leaves at the winners. dx is overwritten; dw and dbias are added to.
absl::Status Conv2dMaxPoolReluBackwardData(const Conv2dShape& shape,
                                           const Conv2dPool& pool,
                                           const float* dy,
                                           const uint8_t* winner,
                                           const float* w, float* dx);
absl::Status Conv2dMaxPoolReluBackwardData(const Conv2dShape& shape,
                                           const Conv2dPool& pool,
                                           const double* dy,
                                           const uint8_t* winner,
                                           const double* w, double* dx);
absl::Status Conv2dMaxPoolReluBackwardWeights(const Conv2dShape& shape,
                                              const Conv2dPool& pool,
                                              const float* x, const float* dy,
                                              const uint8_t* winner, float* dw,
                                              float* dbias);
absl::Status Conv2dMaxPoolReluBackwardWeights(const Conv2dShape& shape,
                                              const Conv2dPool& pool,
                                              const double* x, const double* dy,
                                              const uint8_t* winner, double* dw,
                                              double* dbias);

// Convolution and its derivatives in plain loops; sums run in order of the
// index, in T.
template <typename T>
absl::Status Conv2dReferenceForward(const Conv2dShape& shape, const T* x,
                                    const T* w, const T* bias, T* y);
template <typename T>
absl::Status Conv2dReferenceBackwardData(const Conv2dShape& shape, const T* dy,
                                         const T* w, const T* bias, T* dx);
template <typename T>
absl::Status Conv2dReferenceBackwardWeights(const Conv2dShape& shape,
                                            const T* x, const T* dy, T* dw,
                                            T* dbias);

// What would run: "highway" or "highway-depthwise".
const char* Conv2dBackendName(const Conv2dShape& shape);

}  // namespace septet

#endif  // SEPTET_CORE_BLAS_CONV_H_
