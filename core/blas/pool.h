// SPDX-License-Identifier: Apache-2.0
// Two-dimensional maximum and average pooling of NHWC images, and their
// derivatives, float and double.
//
//   Pool2dShape s;                        // 2 x 2, halves the image
//   s.n = 8; s.h = s.w = 32; s.c = 16;
//   s.kh = s.kw = s.stride_h = s.stride_w = 2;
//   SEPTET_RETURN_IF_ERROR(MaxPool2dForward(s, x, y, argmax));
//
// Window (i, j) covers the rows i stride_h - pad_h, ... + kh - 1 of the image
// and the columns likewise. The output has
//   floor((h + 2 pad_h - kh) / stride_h) + 1
// rows; with ceil_mode the quotient is rounded up, and a last window that would
// start at or beyond h + pad_h of the padded image is left out again: each
// window has at least one pixel of the image, because pad < k.
//
// Maximum: padding is minus infinity. Of equal values the first in row-major
// order of the window wins. A NaN wins over every number, and the last of
// several NaNs over the others, as in PyTorch. argmax is the winner's place
// h' w + w' in its image.
// Average: with count_include_pad, the sum is divided by the pixels of the
// window within the padded image, else by those within the image (they differ
// from kh kw at the end in ceil_mode, as in PyTorch).
//
// Threads: rows of the result, cut by the shape alone; every element is
// computed in one fixed order, so that the bits depend neither on threads nor
// on the machine. Cost: one operation for each element of each window; nothing
// is allocated.
//
// Errors of all functions: InvalidArgument from ValidatePool2d. Results are
// overwritten and must not overlap the inputs.
#ifndef SEPTET_CORE_BLAS_POOL_H_
#define SEPTET_CORE_BLAS_POOL_H_

#include <cstdint>

#include "absl/status/status.h"

namespace septet {

struct Pool2dShape {
  int64_t n = 0;  // images
  int64_t h = 0;
  int64_t w = 0;
  int64_t c = 0;   // channels
  int64_t kh = 1;  // rows of a window
  int64_t kw = 1;
  int64_t stride_h = 1;
  int64_t stride_w = 1;
  int64_t pad_h = 0;  // above and below
  int64_t pad_w = 0;
  bool ceil_mode = false;

  // Of a valid shape.
  int64_t OutH() const { return Out(h, kh, stride_h, pad_h); }
  int64_t OutW() const { return Out(w, kw, stride_w, pad_w); }

 private:
  int64_t Out(int64_t extent, int64_t kernel, int64_t stride,
              int64_t padding) const {
    const int64_t room = extent + 2 * padding - kernel;
    if (!ceil_mode) return room / stride + 1;
    const int64_t windows = (room + stride - 1) / stride + 1;
    return (windows - 1) * stride >= extent + padding ? windows - 1 : windows;
  }
};

// InvalidArgument, naming the field, what it is and what was expected: negative
// extents, images without a pixel, windows or strides below 1, padding not
// below the window, a window larger than the padded image, images of more than
// 2^31 - 1 pixels. n and c may be 0.
absl::Status ValidatePool2d(const Pool2dShape& shape);

// x [n, h, w, c]; y and argmax [n, out_h, out_w, c]. argmax may be null.
absl::Status MaxPool2dForward(const Pool2dShape& shape, const float* x,
                              float* y, int64_t* argmax);
absl::Status MaxPool2dForward(const Pool2dShape& shape, const double* x,
                              double* y, int64_t* argmax);

// dx [n, h, w, c]: each element of dy [n, out_h, out_w, c] is added at its
// argmax, in row-major order of the windows. InvalidArgument for an argmax
// outside of the image.
absl::Status MaxPool2dBackward(const Pool2dShape& shape, const float* dy,
                               const int64_t* argmax, float* dx);
absl::Status MaxPool2dBackward(const Pool2dShape& shape, const double* dy,
                               const int64_t* argmax, double* dx);

// y [n, out_h, out_w, c]: the elements of x at argmax; the transpose of
// MaxPool2dBackward.
absl::Status MaxPool2dGather(const Pool2dShape& shape, const float* x,
                             const int64_t* argmax, float* y);
absl::Status MaxPool2dGather(const Pool2dShape& shape, const double* x,
                             const int64_t* argmax, double* y);

// The window's rows are summed one by one, then their sums.
absl::Status AvgPool2dForward(const Pool2dShape& shape, bool count_include_pad,
                              const float* x, float* y);
absl::Status AvgPool2dForward(const Pool2dShape& shape, bool count_include_pad,
                              const double* x, double* y);

// dx: the sum of dy over the windows that hold the pixel, each divided by its
// count.
absl::Status AvgPool2dBackward(const Pool2dShape& shape, bool count_include_pad,
                               const float* dy, float* dx);
absl::Status AvgPool2dBackward(const Pool2dShape& shape, bool count_include_pad,
                               const double* dy, double* dx);

}  // namespace septet

#endif  // SEPTET_CORE_BLAS_POOL_H_
