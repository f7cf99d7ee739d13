// SPDX-License-Identifier: Apache-2.0
// Discrete Fourier and cosine transforms over any axes, of any lengths.
//
//   SEPTET_ASSIGN_OR_RETURN(Tensor spectrum, RealFft(images, {-2, -1}));
//   // f64 [B, H, W] -> [B, H, W/2 + 1, 2]
//   SEPTET_ASSIGN_OR_RETURN(Tensor again,
//                           InverseRealFft(spectrum, {-2, -1}, W));
//   SEPTET_ASSIGN_OR_RETURN(Tensor c, Dct(images, {1, 2}, DctNorm::kOrtho));
//
// Complex numbers are pairs along a last axis of 2: real part, imaginary part.
// Axes of a complex tensor are those before it: -1 is the one before the pairs.
//
// Of length n along an axis:
//   Fft    X_k = sum_j x_j exp(-2 pi i j k / n)
//   Dct    X_k = 2 sum_j x_j cos(pi k (2 j + 1) / (2 n))               (DCT-II)
// and the inverses undo them (that of Dct is the scaled DCT-III). Scaling:
//   FftNorm::kBackward  forward 1, inverse 1 / n, the default, as in NumPy
//   FftNorm::kOrtho     both 1 / sqrt(n): unitary
//   FftNorm::kForward   forward 1 / n, inverse 1
//   DctNorm::kNone      as above, inverse with 1 / (2 n)
//   DctNorm::kOrtho     orthogonal: X_0 / sqrt(4 n), others / sqrt(2 n)
// n is the product of the lengths for several axes, as in SciPy.
//
// All is computed in f64, for f32 too: an f32 result has its own rounding and
// no other error. The error of f64 is a few eps log2(n) of the norm, that of
// lengths with a prime factor above 31 some eps more.
//
// Cost: about 5 n log2(n) operations a complex line and half of it for real
// ones, eight lines at a time in vector registers, blocks of lines in the
// current pool (core/base/thread_pool.h); threads change no bit. A tensor in
// f64 is made on the way. Plans (roots of unity) are made at the first use of a
// length and kept.
#ifndef SEPTET_CORE_BLAS_FFT_H_
#define SEPTET_CORE_BLAS_FFT_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

enum class FftNorm { kBackward, kOrtho, kForward };
enum class DctNorm { kNone, kOrtho };

// Common to all: f32 or f64, and so is the result. Axes may be negative; each
// at most once, at least one. Lengths are >= 1; a tensor may be empty because
// of its other axes.
// Errors: InvalidArgument naming the argument, expected and actual;
// ResourceExhausted. NaN and infinities spread over their lines.

// x: [..., 2] -> the same shape.
absl::StatusOr<Tensor> Fft(const Tensor& x, absl::Span<const int64_t> axes,
                           FftNorm norm = FftNorm::kBackward);
absl::StatusOr<Tensor> InverseFft(const Tensor& x,
                                  absl::Span<const int64_t> axes,
                                  FftNorm norm = FftNorm::kBackward);

// x: [...] real -> complex [..., 2], of which the last of `axes`, of length n,
// has the n / 2 + 1 places 0..n / 2; the others are their conjugates.
absl::StatusOr<Tensor> RealFft(const Tensor& x, absl::Span<const int64_t> axes,
                               FftNorm norm = FftNorm::kBackward);

// Undoes RealFft: x [..., 2] -> [...] with `length` along the last of `axes`,
// where x must have length / 2 + 1 places. Imaginary parts that no real signal
// has (at 0, and at length / 2 where that is even, of one axis) are ignored.
absl::StatusOr<Tensor> InverseRealFft(const Tensor& x,
                                      absl::Span<const int64_t> axes,
                                      int64_t length,
                                      FftNorm norm = FftNorm::kBackward);

// x: [...] real -> the same shape.
absl::StatusOr<Tensor> Dct(const Tensor& x, absl::Span<const int64_t> axes,
                           DctNorm norm = DctNorm::kNone);
absl::StatusOr<Tensor> InverseDct(const Tensor& x,
                                  absl::Span<const int64_t> axes,
                                  DctNorm norm = DctNorm::kNone);

}  // namespace septet

#endif  // SEPTET_CORE_BLAS_FFT_H_
